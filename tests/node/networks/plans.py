"""Small plans for the tests of this package."""

from __future__ import annotations

from pathlib import Path

from ledger.keys import SigningKey
from node.networks.blueprint import Blueprint, parse_blueprint
from node.networks.ceremony import Founding, Proposal, make_draft, propose, sign_draft
from node.networks.example import BUSINESS_EXAMPLE
from node.networks.member_file import MemberFile, state_keys

SEATS = ("platform-b", "insurer-c", "member-d")


def example() -> Blueprint:
    return parse_blueprint(BUSINESS_EXAMPLE)


def proposal() -> Proposal:
    return propose("business", example().chains()["business"])


class Keys:
    """Secret keys of one member, in memory."""

    def __init__(self) -> None:
        self.member = SigningKey.generate()
        self.validator = SigningKey.generate()
        self.transport = SigningKey.generate()
        self.authority = SigningKey.generate()

    def state(self, ceremony: bytes, organisation: str, seat: str) -> MemberFile:
        return state_keys(
            ceremony,
            organisation,
            seat,
            member=self.member,
            validator=self.validator,
            transport_seed=self.transport.seed,
            authority=self.authority,
        )


class Members:
    """All members of the example's ceremony."""

    def __init__(self) -> None:
        self.proposal = proposal()
        self.keys = {seat: Keys() for seat in SEATS}
        nodes = {node.name: node for node in self.proposal.chain.node}
        self.files = {
            seat: keys.state(self.proposal.id, nodes[seat].organisation, seat) for seat, keys in self.keys.items()
        }

    def draft(self) -> Founding:
        return make_draft(self.proposal, self.files.values())

    def sign(self, founding: Founding, seat: str, *, authority: bool = True):
        keys = self.keys[seat]
        return sign_draft(founding, seat, keys.member, keys.authority if authority else None)


def plan_file(directory: Path, text: str = BUSINESS_EXAMPLE) -> Path:
    path = directory / "network.toml"
    path.write_text(text, encoding="utf-8")
    return path
