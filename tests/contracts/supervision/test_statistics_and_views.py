"""What the regulator sees: statistics, pages, counters, and how large a delivery's events become."""

import pytest

from contracts import messages as m
from contracts.registry import participants as people
from contracts.rulebook.check import HOLD, REFUSE, Verdict
from contracts.supervision import answers as a
from contracts.supervision import calls, codes
from contracts.supervision.statistics import HELD, drugs_of
from ledger.errors import NotFound
from ledger.packet import ANSWER_OK
from tests.contracts.supervision.world import DAY_MS, DOCTOR, OFFICERS, SUBJECT, attested


def rows(world, dimension, value="", limit=50):
    page = world.view("statistics", a.StatisticsQuery(dimension, value, "", 0, limit))
    fields = a.Tallies.__struct_fields__
    return {
        row.value: {name: getattr(row.counts, name) for name in fields if getattr(row.counts, name)}
        for row in page.rows
    }


def test_requests_are_counted_by_every_dimension_when_they_end(world):
    world.reviewed()
    world.says = Verdict(REFUSE, "rules_listed", "pharmacies", 4)
    world.ask(world.request(m.ORDER), "refused")
    assert rows(world, calls.ORGANISATION) == {
        "hospital A": {"authorised": 2},
        "reviewers R": {"granted": 1},
        "pharmacy P": {"refused": 1},
    }
    assert rows(world, calls.STAGE) == {
        "prescription/file": {"authorised": 1},
        "prescription/review": {"granted": 1},
        "prescription/opinion": {"authorised": 1},
        "prescription/order": {"refused": 1},
    }
    whole = {"authorised": 2, "granted": 1, "refused": 1}
    assert rows(world, calls.DAY) == {"prescription": whole}
    assert rows(world, calls.SUBJECT) == {SUBJECT.hex(): whole}
    assert rows(world, calls.DRUG) == {"860975": whole}
    assert rows(world, calls.RULE) == {"pharmacies": {"refused": 1}}


def test_a_held_request_counts_twice_when_officers_decide_it(world):
    request = world.ask(world.request())
    world.says = Verdict(HOLD, "rules_amount", "large", 4)
    world.attest(request)
    assert rows(world, calls.RULE) == {"large": {HELD: 1}}
    world.vote(request, by=OFFICERS[0], cosigners=[OFFICERS[1]])
    assert rows(world, calls.ORGANISATION) == {"hospital A": {HELD: 1, "authorised": 1}}


def test_a_contracts_refusal_counts_under_its_reason_when_no_rule_refused(world):
    world.filed()
    world.classify("reviewers R", people.CONTROLLED)
    world.ask(world.request(m.REVIEW), "queued")
    assert rows(world, calls.RULE) == {codes.CLASS_CONTROLLED: {HELD: 1}}


def test_days_are_apart_and_pages_go_on_when_there_are_many_rows(world):
    for number in range(5):
        world.filed(number)
        world.chain.block(step_ms=DAY_MS)
    seen, value, day, more = [], "", 0, True
    while more:
        page = world.view("statistics", a.StatisticsQuery(calls.STAGE, "", value, day, 2))
        seen.extend((row.value, row.day) for row in page.rows)
        more = page.more
        if page.rows:
            value, day = page.rows[-1].value, page.rows[-1].day
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen)
    one = world.view("statistics", a.StatisticsQuery(calls.STAGE, "prescription/file", "", 0, 50)).rows
    assert [(row.value, row.day) for row in one] == seen
    assert not world.view("statistics", a.StatisticsQuery(calls.STAGE, "prescription/fil", "", 0, 50)).rows


def test_values_that_cannot_be_keys_are_counted_all_the_same(world):
    request = world.ask(world.request())
    odd = ("a\x00b", "", "x" * 256, *(f"drug {i:03}" for i in range(40)))
    world.attest(request, attributes=attested(drugs=odd))
    assert world.status(request) == "authorised"
    counted = rows(world, calls.DRUG)
    assert len(counted) == 16
    assert "a\ufffdb" in counted


def test_drugs_are_read_when_they_are_strings_only():
    assert drugs_of(attested(drugs="one")) == ("one",)
    assert drugs_of(attested(drugs=7)) == ()
    assert drugs_of(()) == ()


def test_an_unknown_dimension_is_not_found(world):
    with pytest.raises(NotFound):
        rows(world, "colour")


def test_pages_of_requests_go_on_after_the_last_number_when_there_are_more(world):
    requests = [world.ask(world.request(number=number)) for number in range(5)]
    world.attest(requests[1])
    first = world.view("waiting", a.PageQuery(0, 2))
    second = world.view("waiting", a.PageQuery(first.last, 10))
    assert [entry.number for entry in first.requests + second.requests] == [1, 3, 4, 5]
    assert (first.more, second.more) == (True, False)
    everything = world.view("requests", a.PageQuery(0, 10)).requests
    assert [entry.request for entry in everything] == requests
    refs = world.view("records", a.PageQuery(3, 10)).records
    assert [ref.number for ref in refs] == [4, 5]


def test_a_flow_shows_all_its_requests(world):
    filing = world.reviewed()
    view = world.view("flow", a.FlowQuery(filing.flow))
    assert [(shown.request.stage, shown.status) for shown in view.requests] == [
        (m.FILE, "authorised"),
        (m.OPINION, "authorised"),
        (m.REVIEW, "granted"),
    ]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("flow", a.FlowQuery(bytes(32))),
        ("request", a.RequestQuery(bytes(32), m.FILE, 0)),
        ("record", a.RequestQuery(bytes(32), m.FILE, 1)),
        ("batch", a.BatchQuery(1)),
        ("control_state", a.FlowQuery(bytes(32))),
    ],
)
def test_views_say_so_when_there_is_no_such_thing(world, name, query):
    with pytest.raises(NotFound):
        world.view(name, query)


def test_a_grant_has_no_sealed_record(world):
    world.filed()
    request = world.ask(world.request(m.REVIEW), "granted")
    with pytest.raises(NotFound):
        world.view("record", a.RequestQuery(request.flow, m.REVIEW, 0))


def test_each_packet_makes_one_event_so_that_a_full_delivery_fits(world):
    world.filed()
    for stage, expected in ((m.REVIEW, "granted"), (m.OPINION, "queued")):
        world.ask(world.request(stage), expected)
        assert len(world.events) == 1
    world.says = Verdict(REFUSE, "rules_listed", "list", 1)
    world.ask(world.request(m.REVIEW, attempt=2), "refused")
    assert len(world.events) == 1
    world.says = Verdict(HOLD, "rules_listed", "list", 1)
    world.ask(world.request(m.REVIEW, attempt=3), "queued")
    assert len(world.events) == 1
    world.ask(world.request(number=1))
    assert len(world.events) == 1


def test_an_answer_to_anything_else_changes_nothing(world):
    filing = world.filed()
    world.control(filing.flow, 1, m.SUSPEND)
    before = world.counters
    world.answered(world.packets()[0], "flow_control_unsigned")
    assert world.counters == before
    world.answered(world.packets()[0], ANSWER_OK)
    assert world.counters == before
    world.disclose(filing, by=DOCTOR)
