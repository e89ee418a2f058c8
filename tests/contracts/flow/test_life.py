"""A prescription's whole life, as each of its parties sees it."""

from contracts.flow.answers import AuthorisationQuery, FlowsQuery, PoolQuery
from contracts.flow.calls import payment_codec
from tests.contracts.flow.world import (
    CNY,
    COIN,
    COINS,
    HOSPITAL,
    PATIENT,
    PAYER,
    PHARMACY,
    PLATFORM,
    PRICE,
    REVIEWER,
    World,
)


def test_a_prescription_goes_through_every_stage():
    world = World()
    filed = world.file()
    assert world.events(filed) == ["filed"]
    assert world.show().status == "filing"
    authorisation = world.decide("file")
    shown = world.show()
    assert (shown.status, shown.authorisation, shown.next_stage) == ("open", authorisation, "review")
    assert b"prescription" in world.opened("file_copy", PLATFORM)
    pool = world.business.view("flow", "pool", PoolQuery("", 0, 10))
    assert [entry.authorisation for entry in pool.entries] == [authorisation]

    assert world.events(world.request_review()) == ["review_requested"]
    assert world.business.view("flow", "pool", PoolQuery("", 0, 10)).entries == ()
    world.grant("review")
    assert world.events(world.release()) == ["released"]
    assert b"masked" in world.opened("release", REVIEWER)
    assert world.events(world.opinion()) == ["opinion_given"]
    confirmation = world.decide("opinion")
    assert world.stage("opinion").hash == confirmation

    assert world.events(world.request_order()) == ["order_requested"]
    world.grant("order")
    assert world.events(world.place()) == ["order_placed"]
    assert b"order" in world.opened("order", PHARMACY)
    assert world.events(world.accept()) == ["order_accepted"]
    (event,) = [event for event in world.fulfil().events if event.name == "payment_requested"]
    payment = payment_codec.decode(event.data)
    assert (payment.total, payment.reimbursed, payment.patient_share) == (PRICE, 20_401, 5_100)

    assert world.events(world.settle()) == ["settled"]
    assert world.balance(PHARMACY) == PRICE
    assert world.balance(PATIENT) == COINS * COIN - 5_100
    assert world.balance(PAYER) == COINS * COIN - 20_401
    world.deliver("flow_not_stored")
    storage = world.decide("settle")
    assert world.stage("settle").hash == storage
    assert b"settlement" in world.opened("settle_copy", PAYER)
    assert world.events(world.deliver()) == ["delivered"]
    shown = world.show()
    assert (shown.status, shown.next_stage) == ("closed", "")
    assert [stage.status for stage in shown.stages] == ["done"] * 7
    world.deliver("flow_ended")


def test_a_document_stands_under_its_authorisation_hash():
    world = World().authorised()
    copy = world.document_of(world.authorisation)
    assert copy.sender == HOSPITAL.public
    by_hash = world.business.view("flow", "authorised", AuthorisationQuery(world.authorisation))
    assert by_hash == world.show()


def test_flows_are_listed_by_party_stage_and_kind():
    world = World().authorised()
    first = world.flow
    world.file(text="second")

    def listed(**changes):
        fields = {"kind": "", "stage": "", "party": b"", "newest": True, "after": 0, "limit": 10} | changes
        page = world.business.view("flow", "flows", FlowsQuery(**fields))
        return [flow.flow for flow in page.flows], page.next

    assert listed() == ([world.flow, first], 0)
    assert listed(newest=False) == ([first, world.flow], 0)
    assert listed(limit=1) == ([world.flow], 2)
    assert listed(limit=1, after=2) == ([first], 0)
    assert listed(limit=1, newest=False) == ([first], 1)
    assert listed(limit=1, newest=False, after=1) == ([world.flow], 0)
    assert listed(stage="review") == ([first], 0)
    assert listed(kind="commission") == ([], 0)
    assert listed(party=PATIENT.public) == ([world.flow, first], 0)
    assert listed(party=REVIEWER.public) == ([], 0)
    world.flow = first
    world.request_review()
    assert listed(party=REVIEWER.public) == ([first], 0)


def test_the_asset_of_the_filing_binds_the_pharmacy():
    world = World()
    world.granted(asset=CNY, amount=5)
    world.release()
    world.opinion()
    world.decide("opinion")
    world.request_order()
    world.grant("order")
    world.place()
    world.accept()
    world.fulfil("flow_asset_wrong", asset="EUR")
    world.fulfil("flow_asset_wrong", asset="nothing")
    world.fulfil()
