"""Signatures of keys that are not admitted any more are worth nothing, whoever sends them along."""

from __future__ import annotations

from ledger.keys import SigningKey
from ledger.state import contract_prefix
from tests.contracts.supervision.world import DOCTOR, OFFICERS, STRANGER, World


def dismiss(world: World, key: SigningKey) -> None:
    world.chain.state.apply({contract_prefix("admission") + b"k" + key.public: None})


def test_decision_is_refused_when_a_dismissed_authority_cosigns_it(world: World):
    request = world.ask(world.request())
    dismiss(world, DOCTOR)
    transaction = world.call(STRANGER, "decide", world.opening(request), DOCTOR)
    world.chain.run(transaction, "supervision_not_authority")
    assert world.status(request) == "waiting"


def test_control_is_refused_when_only_a_dismissed_officer_signed(world: World):
    request = world.filed()
    dismiss(world, OFFICERS[0])
    world.control(request.flow, 1, "suspend", "supervision_not_officer", signers=(STRANGER, OFFICERS[0]))
