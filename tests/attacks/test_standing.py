"""Who lost his standing at the regulator while his step was under way does not get it through."""

from __future__ import annotations

import pytest

from contracts import decisions
from contracts import messages as m
from contracts.registry import participants as people
from contracts.supervision import codes
from contracts.supervision.answers import FlowQuery
from contracts.supervision.calls import GrantBatch
from ledger.keys import SigningKey
from tests.contracts.flow.world import CNY, OFFICERS, PEOPLE, PHARMACY, PRICE, REVIEWER
from tests.contracts.supervision.test_two_chains import REGISTERED, SUPERVISION, TwoChains
from tests.contracts.supervision.world import DAY_MS


@pytest.fixture
def chains() -> TwoChains:
    return TwoChains()


def suspend(chains: TwoChains, key: SigningKey) -> None:
    """The regulator suspends a participant."""
    found = people.Participant(
        key.public,
        PEOPLE[key][0],
        REGISTERED[key],
        people.SUSPENDED,
        bytes(32),
        bytes(32),
        key.public,
        0,
        b"",
        0,
        "audit",
    )
    chains._write(people.participant_key(key.public), found)


def up_to_release(chains: TwoChains) -> None:
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    chains.carry()
    chains.fresh()
    chains.release()


def test_opinion_is_refused_when_the_reviewer_was_suspended_after_his_grant(chains: TwoChains) -> None:
    up_to_release(chains)
    suspend(chains, REVIEWER)
    chains.opinion()
    chains.carry()
    stage = chains.stage(m.OPINION)
    assert (stage.status, stage.reason) == ("refused", codes.SUSPENDED)
    chains.request_order("flow_stage_order")


def test_opinion_is_refused_when_the_reviewer_was_suspended_while_it_waited(chains: TwoChains) -> None:
    up_to_release(chains)
    chains.opinion()
    chains.carry()
    suspend(chains, REVIEWER)
    chains.opening(m.OPINION)
    chains.carry()
    stage = chains.stage(m.OPINION)
    assert (stage.status, stage.reason) == ("refused", codes.SUSPENDED)
    chains.request_order("flow_stage_order")


def test_review_and_order_are_refused_when_reviewer_or_pharmacy_is_suspended(chains: TwoChains) -> None:
    chains.up_to_order()
    suspend(chains, PHARMACY)
    chains.request_order()
    chains.carry()
    assert (chains.stage(m.ORDER).status, chains.stage(m.ORDER).reason) == ("refused", codes.SUSPENDED)
    suspend(chains, REVIEWER)
    chains.file(text="second")
    chains.opened_by_authority(m.FILE)
    chains.request_review()
    chains.carry()
    assert (chains.stage(m.REVIEW).status, chains.stage(m.REVIEW).reason) == ("refused", codes.SUSPENDED)


def test_every_order_of_a_controlled_pharmacy_waits_for_officers(chains: TwoChains) -> None:
    chains.classify("pharmacy", people.CONTROLLED)
    chains.up_to_order()
    chains.request_order()
    chains.carry()
    assert (chains.stage(m.ORDER).status, chains.asked_for(m.ORDER).status) == ("pending", "pending")
    chains.place("flow_grant_missing", token=b"t" * 32)
    decide = decisions.Decide(chains.decision_on(m.ORDER), b"", (), b"")
    chains.officers("decide", decide, OFFICERS[0])
    assert chains.stage(m.ORDER).status == "pending", "one officer alone decides nothing"
    chains.officers("decide", decide, OFFICERS[1])
    assert chains.stage(m.ORDER).status == "granted"
    chains.fresh()
    chains.place()


def test_order_is_refused_when_the_confirmed_opinion_rejects(chains: TwoChains) -> None:
    """The business chain ends such a flow; the supervision chain does not rely on that."""
    up_to_release(chains)
    chains.opinion(approve=False)
    chains.opened_by_authority(m.OPINION)
    assert chains.show().status == "rejected"
    assert not chains.asked_for(m.OPINION).request.approves
    assert chains.supervision.view(SUPERVISION, "flow", FlowQuery(chains.flow)).reviewer == b""


def test_quota_is_worth_nothing_when_the_organisation_is_controlled_since(chains: TwoChains) -> None:
    chains.classify("hospital", people.BATCH)
    batch = GrantBatch("hospital", "prescription", 5, 0, chains.supervision.time_ms + DAY_MS)
    chains.officers("grant_batch", batch, *OFFICERS[:2])
    chains.fresh()
    chains.classify("hospital", people.CONTROLLED)
    chains.file()
    chains.opened_by_authority(m.FILE)
    assert (chains.show().status, chains.asked_for(m.FILE).reason) == ("filing", codes.CLASS_CONTROLLED)


def test_decision_on_a_suspended_flow_is_refused_by_the_supervision_chain_itself(chains: TwoChains) -> None:
    chains.file()
    chains.carry()
    said = decisions.ControlFlow(m.Control(chains.flow, 1, m.SUSPEND, "inspection"))
    chains.officers("control", said, *OFFICERS[:2])
    chains.opening(m.FILE, codes.FLOW_SUSPENDED)
    assert chains.show().status == "filing"


def test_regulator_is_told_what_was_paid_whatever_the_record_says(chains: TwoChains) -> None:
    chains.up_to_order()
    chains.request_order()
    chains.carry()
    chains.place()
    chains.accept()
    chains.fulfil()
    chains.settle()
    chains.carry()
    request = chains.asked_for(m.SETTLE).request
    assert (request.asset, request.amount) == (CNY, PRICE)
