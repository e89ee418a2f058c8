"""Flow kinds are data: what governance defines runs, in its version, and what could not run is refused."""

import pytest
from msgspec.structs import replace

from contracts.codes import ARGUMENTS_INVALID, Refusal
from contracts.flow import calls
from contracts.flow.answers import KindQuery, Nothing
from contracts.flow.kinds import (
    PRESCRIPTION_MASK,
    FlowKind,
    StageSpec,
    check_kind,
    commission,
    kind_codec,
    prescription,
)
from ledger.encoding import encode
from ledger.errors import MalformedBytes, NotFound
from node.fhir.masking import DEFAULT_MASK, check_paths
from tests.contracts.flow.world import (
    OTHER_REVIEWER,
    PATIENT,
    PAYER,
    PHARMACY,
    PLATFORM,
    World,
)

DAY_MS = 86_400_000
INVALID = "flow_kind_invalid"


def spec(stage, need="none", purpose="", deadline_ms=None, window_ms=None):
    return StageSpec(
        stage,
        need,
        purpose,
        (DAY_MS if need in ("decision", "grant") else 0) if deadline_ms is None else deadline_ms,
        (DAY_MS if stage in ("review", "order") else 0) if window_ms is None else window_ms,
    )


FILE = spec("file", "decision")


def kind(*stages, name="referral", version=1):
    return FlowKind(name, version, stages, 30_000, ())


REFERRAL = kind(FILE, spec("review", "grant", "refer"), spec("opinion", "decision"), spec("deliver"))
DISPENSE = kind(
    FILE,
    spec("order"),
    spec("fulfil"),
    spec("settle"),
    spec("deliver"),
    name="dispense",
)
SECOND_OPINION = kind(FILE, spec("review"), spec("opinion"), name="second_opinion")


def test_a_third_kind_that_a_transaction_defines_runs_end_to_end():
    world = World()
    world.file("flow_kind_unknown", kind="referral")
    receipt = world.define(REFERRAL)
    assert "kind_defined" in [event.name for event in receipt.events]
    world.authorised(kind="referral", patient=b"")
    assert world.show().next_stage == "review"
    world.request_review()
    world.carry()
    assert world.request("review").purpose == "refer"
    assert world.request("review").kind == "referral"
    world.grant("review")
    world.release()
    world.opinion()
    world.decide("opinion")
    world.request_order("flow_party_wrong")
    world.deliver("flow_party_wrong", by=PHARMACY)
    world.deliver(by=PLATFORM)
    assert world.show().status == "closed"


def test_a_kind_without_grants_gives_them_by_itself():
    world = World()
    world.define(DISPENSE)
    world.authorised(kind="dispense", platform=b"", document=None)
    world.request_review("flow_stage_missing")
    receipt = world.request_order()
    assert world.events(receipt) == ["order_granted"]
    world.place("flow_envelope_recipients", token=b"", to=OTHER_REVIEWER)
    world.place(token=b"")
    world.accept()
    world.fulfil()
    record = world.settlement("settlement", PATIENT, *(PHARMACY, PAYER))
    paid = world.payment(5_100, 20_401)
    world.call(PATIENT, "settle", replace(record, envelope=None), cosigners=(PATIENT, PAYER), **paid)
    world.deliver()
    assert world.show().status == "closed"
    again = calls.Report(world.flow, record.commitment, record.envelope, record.copy)
    world.call(PATIENT, "report", again, "flow_ended")


def test_a_kind_ends_with_its_last_stage_whichever_that_is():
    world = World()
    world.define(SECOND_OPINION)
    world.authorised(kind="second_opinion", patient=b"")
    assert world.events(world.request_review()) == ["review_granted"]
    world.release("flow_token_wrong", token=b"t" * 32)
    world.release(token=b"")
    assert world.events(world.opinion()) == ["opinion_given", "opinion_confirmed"]
    assert world.show().status == "closed"
    world.define(kind(FILE, name="notice"))
    world.authorised(kind="notice", patient=b"", platform=b"", document=None, text="notice")
    assert world.show().status == "closed"
    world.define(kind(FILE, spec("order", "grant", "go"), name="voucher"))
    world.authorised(kind="voucher", platform=b"", document=None, text="voucher")
    world.request_order()
    world.grant("order")
    world.place()
    assert world.show().status == "closed"
    world.define(kind(FILE, spec("order"), spec("fulfil"), name="quote"))
    world.authorised(kind="quote", platform=b"", document=None, text="quote")
    world.request_order()
    world.place(token=b"")
    world.accept()
    world.fulfil()
    assert world.show().status == "closed"


def test_a_grant_that_the_kind_gives_has_the_kinds_window():
    world = World()
    world.define(kind(FILE, spec("review", window_ms=60_000), spec("opinion"), name="quick"))
    world.authorised(kind="quick", patient=b"")
    world.request_review()
    world.wait(61_000)
    world.release("flow_grant_window", token=b"")
    world.request_review(by=OTHER_REVIEWER)
    assert world.stage("review").attempt == 2
    world.release("flow_grant_holder", token=b"")
    world.release(token=b"", reviewer=OTHER_REVIEWER)


def test_open_flows_keep_their_version():
    world = World().authorised()
    without_order = replace(prescription(), version=2, stages=prescription().stages[:3])
    world.define(without_order)
    old = world.flow
    world.file(text="second")
    assert (world.show(old).kind_version, world.show().kind_version) == (1, 2)
    world.flow = old
    world.request_review()
    world.grant("review")
    world.release()
    world.opinion()
    world.decide("opinion")
    assert world.show().next_stage == "order"
    world.request_order()


def test_a_filing_that_is_repeated_keeps_its_version():
    world = World()
    world.file()
    world.refuse("file", "quota_exhausted")
    world.define(replace(prescription(), version=2))
    world.file()
    assert world.show().kind_version == 1


def test_versions_of_a_kind_have_no_gaps_and_never_change():
    world = World()
    world.define(prescription(), "flow_kind_version")
    world.define(prescription(), "flow_kind_version", version=3)
    world.define(REFERRAL, "flow_kind_version", version=2)
    world.define(prescription(), version=2)
    assert world.business.view("flow", "kind_of", KindQuery("prescription", 0)).version == 2
    assert world.business.view("flow", "kind_of", KindQuery("prescription", 1)) == prescription()


@pytest.mark.parametrize(
    "stages",
    [
        (spec("review", "grant", "p"), spec("opinion", "decision")),
        (FILE, FILE),
        (FILE, spec("opinion", "decision"), spec("review", "grant", "p")),
        (FILE, spec("review", "grant", "p")),
        (FILE, spec("opinion", "decision")),
        (FILE, spec("fulfil")),
        (FILE, spec("settle", "report"), spec("deliver")),
        (FILE, spec("dance")),
        (spec("file"),),
        (spec("file", "grant", "p"),),
        (FILE, spec("deliver", "decision")),
        (FILE, spec("order", "decision")),
        (FILE, spec("order", "grant")),
        (FILE, spec("order", "none", "p")),
        (FILE, spec("order", "grant", "a b")),
        (FILE, spec("order", "grant", "é")),
        (FILE, spec("order", "grant", "p", deadline_ms=0)),
        (FILE, spec("order", deadline_ms=1)),
        (FILE, spec("settle", "report", deadline_ms=1)),
        (FILE, spec("order", "grant", "p", window_ms=0)),
        (FILE, spec("deliver", window_ms=1)),
    ],
)
def test_a_kind_is_refused_when_flows_of_it_could_not_run(stages):
    with pytest.raises(Refusal) as caught:
        check_kind(kind(*stages))
    assert caught.value.code == INVALID
    world = World()
    world.define(kind(*stages), INVALID)
    with pytest.raises(NotFound):
        world.business.view("flow", "kind_of", KindQuery("referral", 0))


def test_a_kind_is_refused_when_it_masks_twice_or_no_path():
    with pytest.raises(Refusal):
        check_kind(replace(REFERRAL, masked=("Patient.name", "Patient.name")))
    for path in ("name", "Patient", "Patient.name:upper", "patient.name", ""):
        with pytest.raises(MalformedBytes):
            kind_codec.decode(encode(replace(REFERRAL, masked=(path,))))


def test_the_built_in_kinds_stand_from_the_start():
    world = World()
    found = world.business.view("flow", "kinds", Nothing()).kinds
    assert found == (commission(), prescription())
    assert [check_kind(one) for one in found] == list(found)
    assert [stage.purpose for stage in prescription().stages if stage.purpose] == ["pres", "order"]
    with pytest.raises(NotFound):
        world.business.view("flow", "kind_of", KindQuery("prescription", 9))


def test_the_mask_of_prescriptions_is_what_clients_know_how_to_mask():
    assert PRESCRIPTION_MASK == DEFAULT_MASK
    check_paths(PRESCRIPTION_MASK)


def test_governance_refuses_what_is_no_action_or_no_kind():
    world = World()
    world.business.govern("flow", "dance", Nothing(), "flow_action_unknown")
    world.business.govern("flow", calls.DEFINE_KIND, KindQuery("prescription", 1), ARGUMENTS_INVALID)
