"""Settlements of other contracts: above the regulator's limit a decision first, used once; below it a report."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.flow import calls
from contracts.flow.answers import Nothing, SubjectQuery
from contracts.flow.commission_gate import gate, report
from contracts.interface import CallContext, Contract, method
from ledger.encoding import Record
from ledger.envelope import Envelope, commitment_of
from tests.contracts.bridge.kit import call
from tests.contracts.flow.world import CNY, HOSPITAL, PAYER, PLATFORM, World, document

SUBJECT = b"r" * 32
NEEDED = "flow_decision_needed"


class Pay(Record, frozen=True):
    """A settlement of the contract below."""

    subject: bytes
    amount: int
    commitment: bytes
    envelope: Envelope | None


class Settler(Contract):
    """Stands for contract ``commission``: asks the gate, reports when told to, and is paid."""

    kind = "settler"

    @method
    def pay(self, context: CallContext, arguments: Pay) -> None:
        """Settles."""
        insurer = context.sender.key
        asked = {"subject": arguments.subject, "asset": CNY, "amount": arguments.amount, "insurer": insurer}
        if gate(context, **asked):
            report(
                context,
                **asked,
                platform=PLATFORM.public,
                commitment=arguments.commitment,
                envelope=arguments.envelope,
            )
        context.emit("paid", Nothing())


@pytest.fixture
def world():
    made = World()
    rules = made.business.rules
    made.business.rules = type(rules)(
        rules.chain_id, {**rules.contracts, "settler": Settler("settler")}, rules.expiry_window
    )
    return made


def pay(world, amount, code="ok", *, subject=SUBJECT, by=PAYER, text="record", sealed=True, stage="settle"):
    made = document(text)
    commitment = commitment_of(made)
    world.flow = calls.flow_id(world.business.chain_id, by.public, commitment)
    envelope = world.seal(made, stage, by) if sealed else None
    return world.business.run(
        world.tx(by, call("settler", "pay", Pay(subject, amount, commitment, envelope))), code, step_ms=10
    )


def file(world, code="ok", *, amount=5_000, subject=SUBJECT, filer=PAYER, text="request"):
    changes = {"kind": "commission", "platform": b"", "patient": b"", "document": None}
    world.file(code, text=text, filer=filer, subject=subject, asset=CNY, amount=amount, **changes)


def test_nothing_is_asked_where_the_regulator_set_no_limit(world):
    receipt = pay(world, 10**12, sealed=False)
    assert [event.name for event in receipt.events] == ["paid"]


def test_a_settlement_at_the_limit_is_reported_and_stored(world):
    world.limit(5_000)
    pay(world, 5_000, "flow_report_missing", sealed=False)
    receipt = pay(world, 5_000)
    assert [event.name for event in receipt.events] == ["packet", "settled", "paid"]
    assert world.show().next_stage == "settle"
    storage = world.decide("settle")
    shown = world.show()
    assert (shown.status, shown.next_stage, shown.stages[0].hash) == ("closed", "", storage)
    request = world.request("settle")
    assert (request.need, request.subject, request.asset, request.amount) == ("report", SUBJECT, CNY, 5_000)
    assert (request.filer, request.platform, request.authorisation) == (PAYER.public, PLATFORM.public, b"")
    found = world.business.view("flow", "subject", SubjectQuery("commission", PAYER.public, SUBJECT))
    assert (found.filed, found.report) == (b"", world.flow)


def test_a_settlement_is_reported_once(world):
    world.limit(5_000)
    pay(world, 10)
    pay(world, 10, "flow_filed_already", text="another record")
    pay(world, 10, "flow_filed_already", subject=b"q" * 32)
    pay(world, 10, subject=b"q" * 32, text="another record")


def test_a_report_is_refused_when_it_is_sealed_for_another_stage(world):
    world.limit(5_000)
    pay(world, 10, "flow_envelope_foreign", stage="file")


def test_a_report_is_made_again_when_it_was_refused(world):
    world.limit(5_000)
    pay(world, 10)
    world.decide("settle", outcome="refused", reason="commitment_mismatch")
    made = document("better record")
    again = calls.Report(world.flow, commitment_of(made), world.seal(made, "settle", PAYER), None)
    world.call(HOSPITAL, "report", again, "flow_party_wrong")
    world.call(PAYER, "report", replace(again, copy=again.envelope), "flow_field_invalid")
    world.call(PAYER, "report", again)
    world.decide("settle")
    assert world.show().status == "closed"


def test_a_settlement_above_the_limit_waits_for_a_decision_and_uses_it_once(world):
    world.limit(4_999)
    pay(world, 5_000, NEEDED)
    file(world)
    pay(world, 5_000, NEEDED)
    file(world, "flow_filed_already")
    world.decide("file")
    flow = world.flow
    assert world.show().next_stage == "settle"
    receipt = pay(world, 5_000, sealed=False)
    assert [event.name for event in receipt.events] == ["settled", "paid"]
    shown = world.show(flow)
    assert (shown.status, shown.used) == ("closed", True)
    assert shown.stages[1].hash == receipt.tx_id
    pay(world, 5_000, NEEDED)


@pytest.mark.parametrize("changes", [{"amount": 5_001}, {"subject": b"q" * 32}, {"filer": HOSPITAL}])
def test_a_decision_counts_for_exactly_one_settlement(world, changes):
    world.limit(10)
    file(world, **changes)
    world.decide("file")
    pay(world, 5_000, NEEDED)


def test_a_refused_filing_pays_nothing(world):
    world.limit(10)
    file(world)
    world.decide("file", outcome="refused", reason="too_much")
    pay(world, 5_000, NEEDED)
    # Another filing of the same settlement may be authorised.
    file(world, text="request with reasons")
    world.decide("file")
    pay(world, 5_000)


def test_a_suspended_or_terminated_flow_pays_nothing(world):
    world.limit(10)
    file(world)
    world.decide("file")
    flow = world.flow
    world.control("suspend", 1)
    pay(world, 5_000, "flow_suspended")
    world.flow = flow
    world.control("resume", 2)
    world.control("terminate", 3)
    pay(world, 5_000, NEEDED)


def test_a_suspended_settlement_stays_suspended_when_the_limit_is_raised_meanwhile(world):
    world.limit(10)
    file(world)
    world.decide("file")
    world.control("suspend", 1)
    world.limit(9_000, 2)
    pay(world, 5_000, "flow_suspended")


def test_no_settlement_passes_on_stale_supervision_once_there_is_a_limit(world):
    world.limit(10)
    world.stale()
    pay(world, 5, "flow_supervision_stale")
    world.fresh()
    pay(world, 5)


def test_a_limit_with_a_lower_counter_changes_nothing(world):
    world.limit(100, 2)
    world.limit(10**9, 2)
    assert world.noted == "stale"
    world.limit(10**9, 1)
    assert world.business.view("flow", "limits", Nothing()).limits[0].amount == 100
    pay(world, 101, NEEDED)
    world.limit(101, 3)
    pay(world, 101)


def test_a_flow_that_another_contract_settles_is_not_settled_by_hand(world):
    world.limit(10)
    file(world)
    world.decide("file")
    made = document("settlement")
    copy = world.seal(made, "settle_copy", PAYER, PLATFORM)
    settle = calls.Settle(world.flow, commitment_of(made), world.seal(made, "settle", PAYER), copy)
    world.call(PAYER, "settle", settle, "flow_stage_missing")
    again = calls.Report(world.flow, commitment_of(made), world.seal(made, "settle", PAYER), None)
    world.call(PAYER, "report", again, "flow_stage_order")
    world.deliver("flow_stage_missing")
