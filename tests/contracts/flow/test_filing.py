"""What can be filed, by whom, and how often."""

import pytest
from msgspec.structs import replace

from contracts.flow import calls
from contracts.flow.answers import AuthorisationQuery, FlowQuery, PoolQuery, SealedQuery
from ledger.envelope import commitment_of
from ledger.errors import NotFound
from tests.contracts.flow.world import (
    CNY,
    HOSPITAL,
    OTHER_REVIEWER,
    OUTSIDER,
    PATIENT,
    PHARMACY,
    PLATFORM,
    REVIEWER,
    World,
    document,
)


def test_a_flows_id_is_fixed_at_filing():
    world = World()
    world.file()
    commitment = commitment_of(document("prescription"))
    assert world.show().flow == calls.flow_id(world.business.chain_id, HOSPITAL.public, commitment)
    assert calls.flow_id(b"c" * 32, HOSPITAL.public, commitment) != world.flow
    assert calls.flow_id(world.business.chain_id, PLATFORM.public, commitment) != world.flow


def test_the_same_commitment_is_not_filed_twice_by_one_filer():
    world = World()
    world.file()
    world.file("flow_filed_already")
    world.decide("file")
    world.file("flow_filed_already")
    # Another filer's flow of the same commitment is another flow: nobody can be kept from filing by being copied.
    world.file(filer=PLATFORM)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "unknown"}, "flow_kind_unknown"),
        ({"platform": b""}, "flow_party_wrong"),
        ({"platform": OUTSIDER.public}, "flow_party_wrong"),
        ({"platform": PLATFORM.public[:32]}, "flow_party_wrong"),
        ({"patient": b""}, "flow_party_wrong"),
        ({"patient": OUTSIDER.public}, "flow_party_wrong"),
        ({"document": None}, "flow_field_invalid"),
        ({"subject": b"s"}, "flow_field_invalid"),
        ({"amount": 5}, "flow_field_invalid"),
        ({"asset": "XYZ"}, "flow_asset_wrong"),
        ({"kind": "commission", "platform": b"", "document": None}, "flow_field_invalid"),
        ({"kind": "commission", "platform": b""}, "flow_field_invalid"),
    ],
)
def test_a_filing_is_refused_when_a_field_does_not_fit_its_kind(changes, code):
    world = World()
    world.file(code, **changes)
    with pytest.raises(NotFound):
        world.show()


def test_a_filing_that_nobody_decided_is_filed_again_unchanged_or_not_at_all():
    world = World()
    world.file(asset=CNY, amount=7)
    world.refuse("file", "quota_exhausted")
    assert world.show().status == "refused"
    world.file("flow_field_invalid")
    world.file("flow_field_invalid", asset=CNY, amount=8)
    world.file("flow_field_invalid", asset=CNY, amount=7, patient=REVIEWER.public)
    world.file("flow_field_invalid", asset=CNY, amount=7, document=None)
    number = world.show().number
    world.file(asset=CNY, amount=7)
    assert (world.show().number, world.stage("file").attempt) == (number, 2)
    world.decide("file")


def test_nothing_comes_before_the_filing_is_authorised():
    world = World()
    world.filing()
    world.file()
    flow = world.flow
    world.request_review("flow_unknown", authorisation=b"a" * 32)
    for sender, name, arguments in (
        (PLATFORM, "release", calls.Release(flow, REVIEWER.public, b"t" * 32, sealed(world, "release", PLATFORM))),
        (
            REVIEWER,
            "opinion",
            calls.Opinion(flow, True, b"c" * 32, None, sealed(world, "opinion_copy", REVIEWER)),
        ),
        (PATIENT, "place", calls.Place(flow, b"t" * 32, sealed(world, "order", PATIENT))),
        (PHARMACY, "accept", calls.Accept(flow)),
        (PHARMACY, "deliver", calls.Deliver(flow)),
    ):
        world.call(sender, name, arguments, "flow_not_authorised")
        world.call(sender, name, replace(arguments, flow=b"f" * 32), "flow_unknown")


def sealed(world, stage, sender):
    return world.seal("x", stage, sender, PLATFORM)


def test_stages_are_not_skipped():
    world = World().authorised()
    world.request_order("flow_stage_order")
    world.opinion("flow_not_released")
    world.place("flow_stage_order", token=bytes(32))
    world.accept("flow_stage_order")
    world.fulfil("flow_stage_order")
    world.deliver("flow_stage_order")
    world.request_review()
    world.grant("review")
    world.opinion("flow_not_released")
    world.release()
    world.request_order("flow_stage_order")


def test_filer_and_patient_do_not_review_their_own_document():
    world = World().authorised()
    world.request_review("flow_party_wrong", by=HOSPITAL)
    world.request_review("flow_party_wrong", by=PATIENT)


def test_a_reviewed_document_is_not_reviewed_again():
    world = World().reviewed()
    world.request_review("flow_stage_done", by=OTHER_REVIEWER)
    world.release("flow_stage_done")


def test_an_order_goes_to_an_admitted_pharmacy():
    world = World().reviewed()
    world.request_order("flow_party_wrong", pharmacy=OUTSIDER)
    world.request_order()


def test_the_pool_shows_what_waits_page_by_page_and_never_content():
    world = World()
    hashes = []
    for number in range(3):
        world.file(text=f"document {number}")
        hashes.append(world.decide("file"))

    def page(after=0, limit=2, kind=""):
        return world.business.view("flow", "pool", PoolQuery(kind, after, limit))

    first = page()
    assert [entry.authorisation for entry in first.entries] == hashes[:2]
    second = page(first.next)
    assert ([entry.authorisation for entry in second.entries], second.next) == (hashes[2:], 0)
    assert page(kind="commission").entries == ()
    assert page(kind="prescription", limit=9).next == 0
    assert set(type(first.entries[0]).__struct_fields__) == {"number", "authorisation", "kind", "filed_ms"}


def test_views_say_so_when_what_they_are_asked_for_is_not_there():
    world = World().authorised()
    for name, query in (
        ("flow", FlowQuery(b"f" * 32)),
        ("authorised", AuthorisationQuery(b"a" * 32)),
        ("document", AuthorisationQuery(b"a" * 32)),
        ("sealed", SealedQuery(world.flow, "release")),
        ("sealed", SealedQuery(b"f" * 32, "file_copy")),
    ):
        with pytest.raises(NotFound):
            world.business.view("flow", name, query)


def test_every_envelope_of_a_flow_can_be_asked_for():
    world = World().paid()
    copies = world.business.view("flow", "copies", FlowQuery(world.flow)).copies
    assert [copy.stage for copy in copies] == ["file_copy", "release", "opinion_copy", "order", "settle_copy"]


def test_a_flow_stays_small_whatever_happens_to_it():
    world = World().paid()
    world.decide("settle")
    world.control("suspend", 1)
    from contracts.flow.state import load_flow
    from ledger.encoding import encode

    record = load_flow(world.business.context("flow").state, world.flow)
    assert len(encode(record)) < 3_000
