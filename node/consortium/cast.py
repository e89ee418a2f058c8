"""Who acts when two chains are introduced to each other: geneses and keys, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.errors import NotFound
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.sealing_keys import DecryptionKey
from node.consortium.parties import Party
from node.consortium.plan import HOSPITALS, OFFICERS_NEEDED, PLATFORM, Consortium
from node.keyfile import PassphraseSource, environment_passphrase
from node.layout import HomeLayout
from node.node_keys import read_authority_keys

MEMBERS = (("Platform B", "platform"), ("Insurer C", "insurer"))
"""Organisations with a node of their own that take part in supervised flows, and as what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """What ``Bootstrap`` needs of a consortium.

    Attributes:
        business: genesis of the business chain.
        supervision: genesis of the supervision chain.
        governors: keys that satisfy the business chain's policy ``governors``.
        regulators: keys that satisfy the supervision chain's.
        officers: the regulator's; ``officers_needed`` of them satisfy its policy ``officers``.
        parties: who acts on the business chain without a node, the platform among them.
        members: (organisation, kind, member key) of nodes that take part in flows themselves.
        authority: key of one authority.
        sealing: that authority's keys that open documents.
        platform: name of the party that governs the business chain's delegations and proposes there.
        hospitals: organisations, each with the control class that the regulator gives it.
        officers_needed: see ``officers``.
    """

    business: Genesis
    supervision: Genesis
    governors: tuple[SigningKey, ...] = field(repr=False)
    regulators: tuple[SigningKey, ...] = field(repr=False)
    officers: tuple[Party, ...]
    parties: tuple[Party, ...]
    members: tuple[tuple[str, str, bytes], ...]
    authority: SigningKey = field(repr=False)
    sealing: tuple[DecryptionKey, ...] = field(repr=False)
    platform: str = PLATFORM
    hospitals: tuple[tuple[str, str], ...] = HOSPITALS
    officers_needed: int = OFFICERS_NEEDED

    def party(self, name: str) -> Party:
        """The party of that name.

        Raises:
            NotFound: there is none.
        """
        for party in self.parties:
            if party.name == name:
                return party
        raise NotFound(f"there is no party {name!r}")


def read_cast(consortium: Consortium, passphrase: PassphraseSource = environment_passphrase) -> Cast:
    """The cast of a consortium in a directory, whose keys this process may read.

    Raises:
        InvalidConfig: a key file cannot be used.
    """
    business, supervision = consortium.business, consortium.supervision
    regulator = supervision.nodes[0]
    return Cast(
        business=business.genesis(),
        supervision=supervision.genesis(),
        governors=tuple(business.signing_authority(passphrase)),
        regulators=tuple(supervision.signing_authority(passphrase)),
        officers=tuple(consortium.officers),
        parties=tuple(consortium.parties),
        members=tuple(
            (name, kind, bytes(business.node(name).keys(passphrase).member.public)) for name, kind in MEMBERS
        ),
        authority=regulator.keys(passphrase).member,
        sealing=tuple(read_authority_keys(HomeLayout(regulator.home), passphrase).sealing),
    )
