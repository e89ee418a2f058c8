"""A plan tried out: keys are made in memory and forgotten, so that a wrong lock or policy shows before a ceremony."""

from __future__ import annotations

from ledger.keys import SigningKey
from node.networks.blueprint import Blueprint, NodePlan
from node.networks.ceremony import Founding, authority_seats, make_draft, propose
from node.networks.member_file import state_keys


def rehearse(blueprint: Blueprint) -> dict[str, Founding]:
    """A draft of each chain, with keys that nobody has kept.

    Raises:
        InvalidInput, InvalidConfig, InvalidGenesis: the plan makes no genesis; the text says why.
    """
    found = {}
    for kind, chain in blueprint.chains().items():
        proposal = propose(kind, chain)
        with_authority = authority_seats(chain)
        members = []
        for seat in chain.seats:
            is_node = isinstance(seat, NodePlan)
            members.append(
                state_keys(
                    proposal.id,
                    seat.organisation,
                    seat.name,
                    member=SigningKey.generate(),
                    validator=SigningKey.generate() if is_node else None,
                    transport_seed=SigningKey.generate().seed if is_node else b"",
                    authority=SigningKey.generate() if seat.name in with_authority else None,
                )
            )
        found[kind] = make_draft(proposal, members)
    return found
