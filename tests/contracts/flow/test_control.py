"""Suspend, resume, terminate; and that withholding a control does not help, because stale supervision stops a flow."""

import pytest
from msgspec.structs import replace

from contracts import decisions
from contracts.bridge.clients import has_client
from contracts.bridge.records import ConflictingHeaders
from contracts.flow.answers import PoolQuery
from contracts.messages import Control
from ledger.packet import HeaderProof
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import BRIDGE, FUSION, call, certify
from tests.contracts.flow.world import OFFICERS, OTHER_REVIEWER, World

STEPS = {
    "authorised": ("request_review",),
    "granted": ("release",),
    "released": ("opinion",),
    "reviewed": ("request_order",),
    "orderable": ("place",),
    "placed": ("accept",),
    "priced": ("fulfil", "settle"),
}


@pytest.mark.parametrize(("reached", "step"), [(at, step) for at, steps in STEPS.items() for step in steps])
def test_no_stage_passes_while_a_flow_is_suspended(reached, step):
    world = getattr(World(), reached)()
    world.control("suspend", 1)
    getattr(world, step)("flow_suspended")
    world.control("resume", 2)
    getattr(world, step)()


def test_nothing_passes_while_a_paid_flow_is_suspended():
    world = World().paid()
    world.control("suspend", 1)
    # What was asked before is still answered: the money has moved, its record is to be stored.
    world.decide("settle")
    world.deliver("flow_suspended")
    world.control("resume", 2)
    world.deliver()


def test_a_filing_can_be_suspended_before_it_is_authorised():
    world = World()
    world.file()
    world.carry()
    world.control("suspend", 1)
    world.decide("file")
    world.request_review("flow_suspended")
    assert world.show().suspended
    pool = world.business.view("flow", "pool", PoolQuery("", 0, 10))
    assert pool.entries == ()
    world.control("resume", 2)
    assert len(world.business.view("flow", "pool", PoolQuery("", 0, 10)).entries) == 1


def test_a_suspended_expired_filing_is_not_filed_again():
    world = World(deadline_ms=60_000)
    world.file()
    world.control("suspend", 1)
    world.wait(120_000)
    world.file("flow_suspended")


def test_a_control_with_a_lower_counter_changes_nothing():
    world = World().authorised()
    world.control("suspend", 3)
    world.control("resume", 3, note="stale")
    world.control("resume", 2, note="stale")
    world.control("terminate", 1, note="stale")
    assert world.show().suspended
    world.control("resume", 4)
    world.control("suspend", 3, note="stale")
    assert not world.show().suspended
    world.request_review()


def test_a_control_has_one_of_three_actions_and_names_a_flow():
    world = World().authorised()
    world.control("pause", 1, "flow_packet_invalid")
    world.flow = b"f" * 32
    world.control("suspend", 1, "flow_unknown")


@pytest.mark.parametrize("reached", ["authorised", "granted", "released", "placed", "priced"])
def test_a_terminated_flow_is_over(reached):
    world = getattr(World(), reached)()
    world.control("terminate", 1)
    shown = world.show()
    assert (shown.status, shown.next_stage, shown.control_reason) == ("terminated", "", "under_inspection")
    for step in ("release", "opinion", "place", "accept", "fulfil", "settle", "deliver"):
        getattr(world, step)("flow_ended")
    world.request_review("flow_ended", by=OTHER_REVIEWER)
    world.request_order("flow_ended")
    world.control("resume", 2)
    assert world.show().status == "terminated"
    assert world.business.view("flow", "pool", PoolQuery("", 0, 10)).entries == ()
    assert world.business.rules.contracts["flow"].next_due_ms(world.business.context("flow").state) is None


def test_an_authorisation_is_refused_when_the_flow_was_terminated():
    world = World()
    world.file()
    world.carry()
    world.control("terminate", 1)
    world.decide("file", "flow_ended")
    world.file("flow_filed_already")


def test_the_record_of_what_was_paid_is_stored_though_the_flow_is_terminated():
    world = World().paid()
    world.control("terminate", 1)
    storage = world.decide("settle")
    assert (world.stage("settle").hash, world.show().status) == (storage, "terminated")


def test_a_closed_flow_is_not_terminated_any_more():
    world = World().paid()
    world.decide("settle")
    world.deliver()
    world.control("terminate", 1, note="stale")
    assert world.show().status == "closed"


@pytest.mark.parametrize(("reached", "step"), [(at, step) for at, steps in STEPS.items() for step in steps])
def test_no_stage_passes_on_stale_supervision(reached, step):
    world = getattr(World(), reached)()
    world.stale()
    getattr(world, step)("flow_supervision_stale")
    world.fresh()
    getattr(world, step)()


def test_supervision_is_fresh_until_the_last_millisecond():
    world = World().placed()
    world.stale(0)
    world.accept()


def test_delivery_waits_for_fresh_supervision_too():
    world = World().paid()
    world.decide("settle")
    world.stale()
    world.deliver("flow_supervision_stale")
    world.fresh()
    world.deliver()


def test_filing_goes_on_when_supervision_is_stale_and_nothing_is_lost():
    world = World()
    world.business.block(step_ms=3_600_000)
    world.file()
    world.fresh()
    world.decide("file")


def test_a_withheld_suspension_stops_the_flow_by_itself():
    """Relays that hold back the block with the control can bring no newer header either."""
    world = World().placed()
    before = world.supervision.height
    said = Control(world.flow, 1, "suspend", "under_inspection")
    world.regulate("control", decisions.ControlFlow(said), *OFFICERS[:2])
    assert world.supervision.height == before + 1
    world.stale()
    world.accept("flow_supervision_stale")
    # The header of that very block makes it fresh: but with it comes the control.
    kit.carry(world.supervision, world.business, step_ms=10)
    world.fresh()
    world.accept("flow_suspended")


def test_nothing_passes_when_the_supervision_chain_contradicted_itself():
    world = World().placed()
    world.supervision.block()
    header = world.supervision.tip
    other = replace(header, time_ms=header.time_ms + 1)
    keys = tuple(sorted(bytes(key.public) for key in world.supervision.deciders[header.height]))
    proofs = [
        HeaderProof(shown, certify(shown, world.supervision.deciders[header.height]), keys, 0, None)
        for shown in (header, other)
    ]
    conflict = world.business.tx(FUSION, call(BRIDGE, "report_conflict", ConflictingHeaders(*proofs)))
    world.business.run(conflict)
    assert not has_client(world.business.context("flow"), "supervision")
    world.accept("flow_supervision_frozen")
    world.file("bridge_frozen", text="second")
