"""What a member of a ceremony hands in: public halves of its keys, each with a proof that it has the other half.

The statement is signed by every key in it, over all of it and over the ceremony's id. So nobody can put another key in,
hand in a key of somebody else, or bring the file to another ceremony.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Record, digest, encode
from ledger.errors import InvalidInput
from ledger.keys import SigningKey, check_public_key, key_text, verify
from ledger.lock import check_name
from ledger.types import Hash32

TAG: Final = b"tidegate/member-keys"
_SUITE: Final = b"\x01"

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class MemberKeys(Record, frozen=True):
    """Public halves of a member's keys.

    Attributes:
        ceremony: the proposal's id; of a chain that runs already, its chain id.
        organisation: who answers for the keys.
        seat: name of the node, or of the holder of a key without one.
        member: the organisation's signing key.
        validator: signing key of its node; empty without one.
        transport: libp2p identity of its node, 32 bytes; empty without one.
        authority: its key of the admission authority; empty where it has none.
    """

    ceremony: _Hash
    organisation: _Name
    seat: _Name
    member: _Key
    validator: Annotated[bytes, Meta(max_length=33)]
    transport: Annotated[bytes, Meta(max_length=32)]
    authority: Annotated[bytes, Meta(max_length=33)]

    def signing(self) -> dict[str, bytes]:
        """Every key in it as a signing key, by its use; a transport key signs like the others."""
        found = {
            "member": self.member,
            "validator": self.validator,
            "transport": _SUITE + self.transport if self.transport else b"",
            "authority": self.authority,
        }
        return {use: key for use, key in found.items() if key}

    @property
    def has_node(self) -> bool:
        """Whether a node stands behind it."""
        return bool(self.validator)


class MemberFile(Record, frozen=True):
    """The statement and its proofs.

    Attributes:
        keys: what is stated.
        proofs: (key, its signature of the statement), sorted by key; one for each key in it.
    """

    keys: MemberKeys
    proofs: Annotated[
        tuple[tuple[_Key, Annotated[bytes, Meta(min_length=65, max_length=65)]], ...], Meta(min_length=1, max_length=4)
    ]


def statement_digest(keys: MemberKeys) -> Hash32:
    """The 32 bytes that each key in the statement signs."""
    return digest(TAG, keys.ceremony, encode(keys))


def state_keys(
    ceremony: bytes,
    organisation: str,
    seat: str,
    *,
    member: SigningKey,
    validator: SigningKey | None = None,
    transport_seed: bytes = b"",
    authority: SigningKey | None = None,
) -> MemberFile:
    """The signed statement of a member's keys."""
    transport = SigningKey(transport_seed) if transport_seed else None
    keys = MemberKeys(
        ceremony,
        organisation,
        seat,
        member.public,
        b"" if validator is None else validator.public,
        b"" if transport is None else transport.public[1:],
        b"" if authority is None else authority.public,
    )
    signed = statement_digest(keys)
    signers = [key for key in (member, validator, transport, authority) if key is not None]
    return MemberFile(keys, tuple(sorted((key.public, key.sign(signed)) for key in signers)))


def check_member(file: MemberFile, ceremony: bytes) -> MemberKeys:
    """The statement itself, once it is of this ceremony and every key in it has signed it.

    Raises:
        InvalidInput: ``member_file_foreign``, ``member_file_invalid`` or ``possession_unproved``.
    """
    keys = file.keys
    who = f"{keys.organisation} ({keys.seat})"
    if keys.ceremony != ceremony:
        raise InvalidInput(
            f"the keys of {who} were stated for another ceremony ({keys.ceremony.hex()[:16]}): that file proves "
            "nothing here; have it made anew with this proposal",
            code="member_file_foreign",
        )
    check_name(keys.organisation, "organisation")
    if bool(keys.validator) != bool(keys.transport):
        raise InvalidInput(f"{who}: a node has a validator and a transport key, or neither", code="member_file_invalid")
    signing = keys.signing()
    for use, key in signing.items():
        try:
            check_public_key(key)
        except InvalidInput as error:
            raise InvalidInput(f"{who}: {use} key: {error.message}", code="member_file_invalid") from error
    if len(set(signing.values())) != len(signing):
        raise InvalidInput(f"{who}: one key for two uses; each use has a key of its own", code="member_file_invalid")
    proofs, signed = dict(file.proofs), statement_digest(keys)
    for use, key in signing.items():
        if not verify(key, signed, proofs.get(key, b"")):
            raise InvalidInput(
                f"{who}: nothing proves that it has the {use} key {key_text(key)}: the proof is missing, or the file "
                "was changed after it was signed",
                code="possession_unproved",
            )
    return keys


def check_members(files: Iterable[MemberFile], ceremony: bytes) -> list[MemberKeys]:
    """The statements of all, once each is good and no seat or key stands in two.

    Raises:
        InvalidInput: as ``check_member``; ``member_repeated`` or ``key_repeated``.
    """
    found: list[MemberKeys] = []
    seats: set[str] = set()
    owners: dict[bytes, str] = {}
    for file in files:
        keys = check_member(file, ceremony)
        if keys.seat in seats:
            raise InvalidInput(
                f"there are two member files of {keys.organisation} ({keys.seat}): ask it which one is its own",
                code="member_repeated",
            )
        seats.add(keys.seat)
        for use, key in keys.signing().items():
            if key in owners:
                raise InvalidInput(
                    f"{owners[key]} and {keys.seat} hand in the same key ({use}): {key_text(key)}", code="key_repeated"
                )
            owners[key] = keys.seat
        found.append(keys)
    return found
