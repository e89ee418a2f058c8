"""Stages that are answered too late, or not at all: refused on arrival, noted by the block's end, asked again."""

import pytest

from contracts.flow.answers import PoolQuery
from tests.contracts.bridge import kit
from tests.contracts.flow.world import OTHER_REVIEWER, SUPERVISION, World

MINUTE_MS = 60_000
DEADLINE_MS = 5 * MINUTE_MS


def pool(world):
    return [entry.authorisation for entry in world.business.view("flow", "pool", PoolQuery("", 0, 10)).entries]


@pytest.fixture
def world():
    return World(deadline_ms=DEADLINE_MS, window_ms=30 * MINUTE_MS)


def test_a_decision_is_refused_when_it_comes_after_the_deadline(world):
    world.file()
    world.carry()
    world.business.block(step_ms=DEADLINE_MS + 1_000)
    assert world.show().status == "expired"
    assert [event.name for event in world.business.ended] == ["stage_expired"]
    world.decide("file", "flow_stage_late")
    assert world.show().status == "expired"
    world.file()
    assert (world.show().status, world.stage("file").attempt) == ("filing", 2)
    world.decide("file")


def test_a_decision_is_refused_in_the_very_block_after_the_deadline(world):
    world.file()
    world.carry()
    deadline_ms = world.stage("file").deadline_ms
    decision = world.decision("file")
    from contracts import decisions
    from tests.contracts.flow.world import AUTHORITY

    world.regulate("decide", decisions.Decide(decision, b"", (), b""), AUTHORITY)
    # The delivery's own block is the first one after the deadline: its end has noted nothing yet.
    kit.deliver(
        world.business, kit.relay(world.supervision, world.business), step_ms=deadline_ms + 1 - world.business.time_ms
    )
    assert world.show().status == "expired"


def test_a_decision_counts_at_the_deadline_itself(world):
    world.file()
    world.carry()
    deadline_ms = world.stage("file").deadline_ms
    from contracts import decisions
    from tests.contracts.flow.world import AUTHORITY

    world.regulate("decide", decisions.Decide(world.decision("file"), b"", (), b""), AUTHORITY)
    kit.deliver(
        world.business, kit.relay(world.supervision, world.business), step_ms=deadline_ms - world.business.time_ms
    )
    assert world.show().status == "open"


def test_a_grant_is_refused_when_it_comes_after_the_deadline(world):
    world.authorised()
    world.request_review()
    world.carry()
    assert pool(world) == []
    world.wait(DEADLINE_MS + 1_000)
    assert pool(world) == [world.authorisation]
    world.grant("review", "flow_stage_late")
    world.release("flow_grant_missing", token=bytes(32))
    world.request_review(by=OTHER_REVIEWER)
    world.grant("review")


def test_a_stage_is_asked_again_when_the_supervision_chain_saw_it_too_late(world):
    world.authorised()
    world.request_review()
    # The packet waits longer than its deadline: the supervision chain answers that it expired.
    world.supervision.block(step_ms=2 * DEADLINE_MS)
    kit.carry(world.business, world.supervision)
    kit.carry(world.supervision, world.business, step_ms=10)
    assert world.stage("review").status == "expired"
    assert pool(world) == [world.authorisation]


def test_a_stage_is_asked_again_when_the_supervision_chain_does_not_take_it(world):
    world.refuse_requests("supervision_closed")
    world.file()
    world.carry()
    assert (world.show().status, world.stage("file").reason) == ("refused", "supervision_closed")
    world.refuse_requests("")
    world.file()
    world.decide("file")
    assert world.stage("file").attempt == 2


def test_an_answer_to_an_earlier_attempt_changes_nothing(world):
    world.authorised()
    world.refuse_requests("supervision_closed")
    world.request_review()
    world.wait(DEADLINE_MS + 1_000, fresh=False)
    assert world.stage("review").status == "expired"
    world.fresh()
    world.request_review(by=OTHER_REVIEWER)
    height = world.business.height
    assert height
    world.carry()
    assert world.stage("review").status == "refused"
    assert world.stage("review").attempt == 2


def test_a_refusal_is_stale_when_its_stage_is_answered(world):
    world.granted()
    world.refuse("review")
    assert world.noted == "stale"
    assert world.stage("review").status == "granted"


def test_a_review_without_opinion_runs_out_with_its_grant(world):
    world.released()
    world.request_review("flow_stage_pending", by=OTHER_REVIEWER)
    world.wait(31 * MINUTE_MS)
    assert (world.stage("review").status, pool(world)) == ("expired", [world.authorisation])
    world.opinion("flow_not_released")
    world.request_review(by=OTHER_REVIEWER)
    world.grant("review")
    world.release(reviewer=OTHER_REVIEWER)
    world.opinion(by=OTHER_REVIEWER)
    world.decide("opinion")
    world.wait(31 * MINUTE_MS)
    assert world.show().next_stage == "order"


def test_a_reviewer_has_the_rest_of_his_window_when_his_opinion_is_refused(world):
    world.released()
    world.opinion()
    world.opinion("flow_stage_pending")
    world.request_review("flow_stage_pending", by=OTHER_REVIEWER)
    world.decide("opinion", outcome="refused", reason="opinion_unreadable")
    assert (world.stage("opinion").status, world.stage("review").status) == ("refused", "done")
    world.opinion(text="better")
    world.decide("opinion")
    assert world.stage("opinion").attempt == 2
    world.opinion("flow_stage_done")


def test_another_reviewer_has_his_turn_when_an_opinion_is_refused_after_the_window(world):
    world = World(deadline_ms=24 * 60 * MINUTE_MS, window_ms=30 * MINUTE_MS).released()
    world.opinion()
    world.carry()
    world.wait(31 * MINUTE_MS)
    assert world.stage("review").status == "done"
    world.decide("opinion", outcome="refused", reason="opinion_unreadable")
    assert (world.stage("review").status, pool(world)) == ("expired", [world.authorisation])
    world.opinion("flow_not_released")
    world.request_review(by=OTHER_REVIEWER)


def test_an_opinion_that_nobody_confirms_runs_out(world):
    world.released()
    world.opinion()
    world.wait(DEADLINE_MS + 1_000)
    assert (world.stage("opinion").status, world.stage("review").status) == ("expired", "done")
    world.opinion()
    world.decide("opinion")


def test_an_opinion_is_refused_in_the_block_in_which_its_window_is_over(world):
    world = World(max_staleness_ms=60 * MINUTE_MS, window_ms=30 * MINUTE_MS).released()
    late = world.stage("review").deadline_ms + 1 - world.business.time_ms
    from contracts.flow import calls
    from ledger.envelope import commitment_of
    from tests.contracts.bridge.kit import call
    from tests.contracts.flow.world import PLATFORM, REVIEWER, document

    made = document("opinion")
    copy = world.seal(made, "opinion_copy", REVIEWER, PLATFORM)
    opinion = calls.Opinion(world.flow, True, commitment_of(made), world.seal(made, "opinion", REVIEWER), copy)
    receipt = world.business.block(world.tx(REVIEWER, call("flow", "opinion", opinion)), step_ms=late)[0]
    assert receipt.code == "flow_grant_window"


def test_a_rejecting_opinion_ends_the_flow_once_it_is_confirmed(world):
    world.released()
    world.opinion(approve=False)
    world.request_order("flow_stage_order")
    assert world.show().status == "open"
    confirmation = world.decide("opinion")
    assert (world.show().status, world.stage("opinion").hash) == ("rejected", confirmation)
    world.request_order("flow_ended")
    world.request_review("flow_ended", by=OTHER_REVIEWER)


def test_an_order_that_nobody_accepts_runs_out_with_its_grant(world):
    world.placed()
    world.request_order("flow_stage_pending")
    world.wait(31 * MINUTE_MS)
    world.accept("flow_stage_order")
    world.request_order()
    world.grant("order")
    world.place()
    world.accept()
    world.wait(31 * MINUTE_MS)
    assert world.stage("order").status == "done"
    world.request_order("flow_stage_done")


def test_an_order_is_not_accepted_in_the_block_in_which_its_window_is_over():
    world = World(max_staleness_ms=60 * MINUTE_MS, window_ms=30 * MINUTE_MS).placed()
    late = world.stage("order").deadline_ms + 1 - world.business.time_ms
    from contracts.flow import calls
    from tests.contracts.bridge.kit import call
    from tests.contracts.flow.world import PHARMACY

    accept = world.tx(PHARMACY, call("flow", "accept", calls.Accept(world.flow)))
    assert world.business.block(accept, step_ms=late)[0].code == "flow_grant_window"


def test_a_report_is_stored_however_late(world):
    world.paid()
    world.carry()
    world.wait(100 * DEADLINE_MS)
    assert world.stage("settle").status == "pending"
    world.decide("settle")
    world.deliver()


def test_many_stages_run_out_over_several_blocks(world):
    flows = []
    for number in range(18):
        world.file(text=f"document {number}")
        flows.append(world.flow)
    contract, state = world.business.rules.contracts["flow"], world.business.context("flow").state
    assert contract.next_due_ms(state) == world.stage("file", flows[0]).deadline_ms + 1
    world.business.block(step_ms=DEADLINE_MS + 1_000)
    assert [world.show(flow).status for flow in flows] == ["expired"] * 16 + ["filing"] * 2
    world.business.block(step_ms=10)
    assert {world.show(flow).status for flow in flows} == {"expired"}
    assert contract.next_due_ms(world.business.context("flow").state) is None


def test_flows_wait_and_resume_when_the_supervision_chain_stood_still(world):
    world = World().authorised()
    world.request_review()
    # An hour without a block of it: nothing moves, nothing is lost.
    world.business.block(step_ms=60 * MINUTE_MS)
    world.release("flow_supervision_stale", token=bytes(32))
    assert world.stage("review").status == "pending"
    world.supervision.block(step_ms=60 * MINUTE_MS)
    world.fresh()
    world.grant("review")
    world.release()
    assert world.supervision.rules.contracts[SUPERVISION]
