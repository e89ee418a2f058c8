"""Money: patient and payer lose exactly their shares, the pharmacy gains the total, or nothing happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.flow.amounts import reimbursement
from ledger.transaction import Output
from tests.contracts.bridge.kit import call, lock_of
from tests.contracts.flow.world import (
    CNY,
    COIN,
    HOSPITAL,
    OTHER_PATIENT,
    OTHER_PHARMACY,
    OUTSIDER,
    PATIENT,
    PAYER,
    PHARMACY,
    World,
)

WRONG = "flow_payment_wrong"
PATIENT_SHARE, REIMBURSED = 5_100, 20_401
TOTAL = PATIENT_SHARE + REIMBURSED


@pytest.fixture
def world():
    return World().priced()


def nothing_moved(world):
    assert (world.balance(PHARMACY), world.balance(OTHER_PHARMACY)) == (0, 0)
    assert world.stage("settle") is None


@pytest.mark.parametrize(
    ("patient", "payer"), [(-1, 0), (0, -1), (1, 0), (0, 1), (1, -1), (-1, 1), (-5_100, 5_100), (20_401, -20_401)]
)
def test_a_settlement_is_refused_when_a_share_is_off_by_a_minor_unit(world, patient, payer):
    world.settle(WRONG, **world.payment(PATIENT_SHARE + patient, REIMBURSED + payer))
    nothing_moved(world)


def test_a_settlement_is_refused_when_it_pays_another_pharmacy(world):
    world.settle(WRONG, **world.payment(PATIENT_SHARE, REIMBURSED, pharmacy=OTHER_PHARMACY))
    nothing_moved(world)


def test_a_settlement_is_refused_when_it_splits_what_the_pharmacy_gets(world):
    paid = world.payment(PATIENT_SHARE, REIMBURSED)
    outputs = [Output(CNY, TOTAL - 1, lock_of(PHARMACY)), Output(CNY, 1, lock_of(OTHER_PHARMACY)), *paid["outputs"][1:]]
    world.settle(WRONG, inputs=paid["inputs"], outputs=outputs)
    nothing_moved(world)


def test_a_settlement_is_refused_when_it_is_somebody_elses_money(world):
    paid = world.payment(PATIENT_SHARE, REIMBURSED)
    inputs = [world.coin(OTHER_PATIENT, 0), *paid["inputs"][1:]]
    outputs = [paid["outputs"][0], Output(CNY, COIN - PATIENT_SHARE, lock_of(OTHER_PATIENT)), paid["outputs"][2]]
    world.settle(WRONG, cosigners=(OTHER_PATIENT, PATIENT, PAYER), inputs=inputs, outputs=outputs)
    # A coin of a stranger that comes back to the stranger whole is no part of it either.
    inputs = [*paid["inputs"], world.coin(OTHER_PATIENT, 0)]
    outputs = [*paid["outputs"], Output(CNY, COIN, lock_of(OTHER_PATIENT))]
    world.settle(WRONG, cosigners=(OTHER_PATIENT, PATIENT, PAYER), inputs=inputs, outputs=outputs)
    nothing_moved(world)


def test_a_settlement_is_refused_when_nobody_pays(world):
    world.settle(WRONG, inputs=[], outputs=[])
    nothing_moved(world)


def test_a_settlement_is_refused_when_another_asset_moves_too(world):
    paid = world.payment(PATIENT_SHARE, REIMBURSED)
    from ledger.transaction import outpoint

    euros = outpoint(world.business.genesis.hash, 12)
    inputs = [*paid["inputs"], euros]
    world.settle(WRONG, inputs=inputs, outputs=[*paid["outputs"], Output("EUR", COIN, lock_of(PATIENT))])
    nothing_moved(world)


def test_a_settlement_is_refused_when_the_payer_or_patient_does_not_sign(world):
    paid = world.payment(PATIENT_SHARE, REIMBURSED)
    world.settle("not_permitted", cosigners=(PATIENT,), **paid)
    world.settle("not_permitted", by=PAYER, cosigners=(PAYER,), **paid)
    nothing_moved(world)


def test_one_payment_settles_one_flow():
    world = World().priced()
    first, paid = world.flow, world.payment(PATIENT_SHARE, REIMBURSED)
    one = call("flow", "settle", world.settlement())
    world.file(text="second")
    world.decide("file")
    world.request_review()
    world.grant("review")
    world.release(text="second")
    world.opinion()
    world.decide("opinion")
    world.request_order()
    world.grant("order")
    world.place()
    world.accept()
    world.fulfil()
    two = call("flow", "settle", world.settlement())
    both = world.tx(PATIENT, one, two, cosigners=(PAYER,), **paid)
    world.business.run(both, "flow_one_call", step_ms=10)
    world.flow = first
    world.settle(**paid)


def test_anybody_of_the_flow_may_bring_the_signed_payment_and_nobody_else(world):
    paid = world.payment(PATIENT_SHARE, REIMBURSED)
    world.settle("flow_party_wrong", by=OTHER_PHARMACY, cosigners=(PATIENT, PAYER), **paid)
    world.settle(by=PHARMACY, cosigners=(PATIENT, PAYER), **paid)


def test_an_order_is_paid_once(world):
    world.settle()
    world.fulfil("flow_stage_done")
    again = world.payment(PATIENT_SHARE, 0, first=1)
    world.settle("flow_stage_done", cosigners=(PATIENT,), **again)


def test_the_pharmacy_may_price_again_until_it_is_paid(world):
    world.fulfil(prices=(100, 101))
    world.settle(WRONG)
    # 80 % of 100 and of 101 by item: 80 and 80.8, which rounds to 81.
    assert (world.show().payment.reimbursed, world.show().payment.patient_share) == (161, 40)
    world.settle(**world.payment(40, 161))
    assert world.balance(PHARMACY) == 201


def test_nobody_pays_what_is_nothing(world):
    from contracts.flow.calls import Item

    items = (Item("drug", "no_insurance", 7_001),)
    world.fulfil(items=items, payer=b"")
    # No payer: nothing but the patient's signature, and the record is sealed to platform and pharmacy alone.
    from tests.contracts.flow.world import PLATFORM

    record = world.settlement("settlement", PATIENT, PLATFORM, PHARMACY)
    world.call(PATIENT, "settle", record, cosigners=(PATIENT,), **world.payment(7_001, 0))
    assert world.balance(PHARMACY) == 7_001


def test_a_payer_is_named_and_admitted_when_something_is_reimbursed(world):
    world.fulfil("flow_payer_missing", payer=b"")
    world.fulfil("flow_party_wrong", payer=OUTSIDER.public)
    world.fulfil("flow_party_wrong", by=OTHER_PHARMACY)


def test_an_order_is_accepted_priced_and_paid_in_that_order():
    world = World().orderable()
    world.accept("flow_stage_order")
    world.place()
    world.fulfil("flow_stage_order")
    world.settle("flow_stage_order")
    world.accept()
    world.accept("flow_stage_done")
    world.settle("flow_stage_order")
    world.deliver("flow_stage_order")
    world.fulfil()


def test_a_report_is_made_again_when_it_was_refused():
    from msgspec.structs import replace

    from contracts.flow.calls import Report

    world = World().paid()
    settled = world.settlement("again")
    report = Report(world.flow, settled.commitment, settled.envelope, settled.copy)
    world.call(PATIENT, "report", report, "flow_stage_pending")
    world.decide("settle", outcome="refused", reason="commitment_mismatch")
    assert world.stage("settle").status == "refused"
    world.deliver("flow_not_stored")
    world.call(PATIENT, "report", replace(report, copy=None), "flow_field_invalid")
    world.call(OTHER_PHARMACY, "report", report, "flow_party_wrong")
    world.call(PATIENT, "report", report)
    assert world.stage("settle").attempt == 2
    world.decide("settle")
    world.call(PATIENT, "report", report, "flow_stage_done")
    world.deliver(by=PATIENT)


def test_a_report_is_refused_when_nothing_is_settled(world):
    from contracts.flow.calls import Report

    settled = world.settlement()
    world.call(
        PATIENT, "report", Report(world.flow, settled.commitment, settled.envelope, settled.copy), "flow_stage_order"
    )


def test_only_pharmacy_or_patient_deliver():
    world = World().paid()
    world.decide("settle")
    world.deliver("flow_party_wrong", by=HOSPITAL)
    world.deliver("flow_party_wrong", by=PAYER)
    world.deliver(by=PATIENT)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 9_999), min_size=1, max_size=3))
def test_shares_add_up_and_every_unit_arrives(prices):
    world = World().placed()
    world.accept()
    world.fulfil(prices=tuple(prices))
    payment = world.show().payment
    assert payment.reimbursed == sum(reimbursement(price, 800_000) for price in prices)
    assert payment.reimbursed + payment.patient_share == payment.total == sum(prices)
    if payment.patient_share and payment.reimbursed:
        world.settle(**world.payment(payment.patient_share, payment.reimbursed))
        assert world.balance(PHARMACY) == sum(prices)
