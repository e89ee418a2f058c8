"""The three keys of a node. Light: client commands sign with the member key without the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ledger.errors import InvalidConfig
from ledger.keys import SigningKey
from node.keyfile import PassphraseSource, check_private, environment_passphrase, read_key
from node.layout import KEYS_MODE, HomeLayout
from p2p.identity import TransportKey

if TYPE_CHECKING:
    from ledger.sealing_keys import DecryptionKey

NODE_KINDS: Final = ("validator", "transport", "member")


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """The three keys of a node; printing them shows public halves only.

    Attributes:
        validator: signs votes, and what the node itself says.
        transport_seed: 32 secret bytes of the libp2p identity.
        member: the organisation's key: signs its transactions.
    """

    validator: SigningKey
    transport_seed: bytes = field(repr=False)
    member: SigningKey

    @classmethod
    def generate(cls) -> NodeKeys:
        """New keys from the operating system's randomness."""
        return cls(SigningKey.generate(), SigningKey.generate().seed, SigningKey.generate())

    @property
    def transport(self) -> TransportKey:
        """The libp2p identity: its public key and peer id."""
        return TransportKey(self.transport_seed)

    def seeds(self) -> dict[str, bytes]:
        """Secret bytes by kind of key file."""
        return {"validator": self.validator.seed, "transport": self.transport_seed, "member": self.member.seed}


def read_keys(layout: HomeLayout, passphrase: PassphraseSource = environment_passphrase) -> NodeKeys:
    """The node's keys from its home.

    Raises:
        InvalidConfig: as ``node.keyfile.read_key``.
    """
    check_private(layout.keys_dir, KEYS_MODE)
    validator, transport, member = (read_key(layout.key_file(kind), kind, passphrase) for kind in NODE_KINDS)
    return NodeKeys(SigningKey(validator), transport, SigningKey(member))


@dataclass(frozen=True, slots=True)
class AuthorityKeys:
    """What an authority opens documents with; printing it shows nothing secret.

    Attributes:
        sealing: decryption keys by epoch, the newest last.
        pseudonym: 32 bytes, the same for all authorities of a network (PROTOCOL.md 2.5).
    """

    sealing: list[DecryptionKey]
    pseudonym: bytes = field(repr=False)


def read_authority_keys(layout: HomeLayout, passphrase: PassphraseSource = environment_passphrase) -> AuthorityKeys:
    """``sealing-EPOCH.key`` and ``pseudonym.key`` from a home's ``keys/``.

    Raises:
        InvalidConfig: ``authority_keys_missing``, or as ``node.keyfile.read_key``.
    """
    from ledger.sealing_keys import DecryptionKey  # noqa: PLC0415 - only authorities need the library behind it

    check_private(layout.keys_dir, KEYS_MODE)
    files = layout.keys_dir.glob("sealing-*.key")
    sealing = [DecryptionKey.from_bytes(read_key(file, "sealing", passphrase)) for file in files]
    if not sealing:
        raise InvalidConfig(
            f"{layout.keys_dir} has no sealing-EPOCH.key: an authority opens documents with it",
            code="authority_keys_missing",
        )
    pseudonym = read_key(layout.key_file("pseudonym"), "pseudonym", passphrase)
    return AuthorityKeys(sorted(sealing, key=lambda key: key.epoch), pseudonym)


def read_member_key(layout: HomeLayout, passphrase: PassphraseSource = environment_passphrase) -> SigningKey:
    """The organisation's key alone.

    Raises:
        InvalidConfig: as ``node.keyfile.read_key``.
    """
    check_private(layout.keys_dir, KEYS_MODE)
    return SigningKey(read_key(layout.key_file("member"), "member", passphrase))
