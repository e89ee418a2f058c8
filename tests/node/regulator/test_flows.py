"""Finding flows and records, opening records, and dry-runs against history."""

from __future__ import annotations

import pytest

from contracts import messages as m
from contracts.rulebook.records import ExpressionRule, ListRule
from ledger.errors import InvalidInput, NotFound
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller, CallRefused
from node.regulator import dry_run, flows, rulebook
from node.regulator.rule_entries import EntryReader
from node.regulator.rulebook import Change, RulePlan
from tests.contracts.supervision.world import DOCTOR, OFFICERS, SUBJECT
from tests.node.regulator.office import Office


async def test_flow_is_found_by_id_authorisation_and_prefix(office: Office) -> None:
    request = office.filed(1)
    authorisation = office.authorisation(request.flow)
    held = office.held(2)
    for text, flow in (
        (request.flow.hex(), request.flow),
        (authorisation.hex(), request.flow),
        (held.flow.hex()[:6], held.flow),
    ):
        assert (await flows.find_flow(office.gateway, text)).flow == flow


@pytest.mark.parametrize("text", ["", "abc", "xyz1", "AB12", "ab" * 33, "../etc"])
async def test_flow_is_refused_when_it_is_not_written_as_one(office: Office, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await flows.find_flow(office.gateway, text)
    assert caught.value.code == "flow_invalid"


async def test_prefix_is_not_guessed_when_two_flows_begin_so_or_none_does(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(flows, "MIN_PREFIX", 1)
    names = [office.held(number).flow.hex() for number in range(17)]
    digit = next(name[0] for name in names if sum(other[0] == name[0] for other in names) > 1)
    with pytest.raises(InvalidInput) as caught:
        await flows.find_flow(office.gateway, digit)
    assert caught.value.code == "flow_ambiguous"
    with pytest.raises(NotFound):
        await flows.find_flow(office.gateway, names[0][:10] + "0000000000")


async def test_prefix_does_not_find_a_flow_of_which_nothing_is_pending(office: Office) -> None:
    with pytest.raises(NotFound):
        await flows.find_flow(office.gateway, office.filed().flow.hex()[:12])


async def test_requests_since_a_time_begin_with_the_first_of_them(office: Office) -> None:
    for number in range(4):
        office.filed(number)
    received = [view.received_ms async for view in flows.requests(office.gateway)]
    for index, time_ms in enumerate(received, 1):
        assert await flows.first_request_since(office.gateway, time_ms) == index
        assert await flows.first_request_since(office.gateway, time_ms + 1) == index + 1


async def test_records_of_a_subject_are_all_found_when_they_fill_several_pages(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(flows, "MAX_PAGE", 2)
    filed = [office.filed(number).flow for number in range(5)]
    found = [record.flow async for record in flows.records_of_subject(office.gateway, SUBJECT)]
    assert found == filed
    assert [record async for record in flows.records_of_subject(office.gateway, bytes(32))] == []
    assert len([entry async for entry in flows.disclosures(office.gateway)]) == 5
    assert len([row async for row in flows.statistics(office.gateway, "stage")]) == 1
    assert len([view async for view in flows.requests(office.gateway)]) == 5


async def test_record_is_opened_after_the_log_says_so(office: Office) -> None:
    keys = [DecryptionKey.generate_x25519(1)]
    request, document = office.filed_for(keys, b'{"subject_id": "S"}')
    record = await flows.find_record(office.gateway, request.flow, m.FILE)
    entry, opened = await flows.open_record(Caller(office.gateway, DOCTOR), keys, record, "court")
    assert opened == document
    log = [item async for item in flows.disclosures(office.gateway)]
    assert log[-1] == entry
    assert (entry.purpose, entry.authority, entry.flow) == ("court", DOCTOR.public, request.flow)


async def test_record_stays_shut_when_the_chain_refuses_the_disclosure(office: Office) -> None:
    keys = [DecryptionKey.generate_x25519(1)]
    request, _ = office.filed_for(keys, b"{}")
    record = await flows.find_record(office.gateway, request.flow, m.FILE)
    with pytest.raises(CallRefused) as caught:
        await flows.open_record(Caller(office.gateway, OFFICERS[0]), keys, record, "curiosity")
    assert caught.value.code == "supervision_not_authority"


async def test_opening_is_logged_even_when_the_keys_do_not_fit(office: Office) -> None:
    request, _ = office.filed_for([DecryptionKey.generate_x25519(1)], b"{}")
    record = await flows.find_record(office.gateway, request.flow, m.FILE)
    before = len([item async for item in flows.disclosures(office.gateway)])
    with pytest.raises(InvalidInput):
        await flows.open_record(Caller(office.gateway, DOCTOR), [DecryptionKey.generate_x25519(1)], record, "court")
    assert len([item async for item in flows.disclosures(office.gateway)]) == before + 1


# --- dry-runs --------------------------------------------------------------------------------------------------------


def banned(stage: str = "file", effect: str = "refuse") -> RulePlan:
    rule = ExpressionRule("no_drug", "'860975' in drugs", effect, "", (stage,))
    return RulePlan(expressions=(rule,))


async def test_dry_run_says_which_filings_a_draft_would_refuse(office: Office) -> None:
    filed = [office.filed(number).flow for number in range(3)]
    office.attest(office.ask(office.request(number=9)), attributes=())
    number, _ = await rulebook.propose(office.officers[0], banned())
    found = await dry_run.dry_run(office.gateway, number)
    assert (found.against, found.evaluated) == (0, 4)
    assert [item.request.request.flow for item in found.changed] == filed
    assert dict(found.by_rule) == {("no_drug", "allow", "refuse"): 3}
    assert {item.after.reason for item in found.changed} == {"rules_expression"}


async def test_dry_run_knows_reviewer_and_pharmacy_of_later_stages(office: Office) -> None:
    office.reviewed(0)
    office.ask(office.request(m.ORDER, 0), "granted")
    order = office.request(m.ORDER, 0)
    listed = EntryReader("pharmacy_subject").entry({"pharmacy": order.pharmacy.hex(), "subject": SUBJECT.hex()})
    reviewer = EntryReader("reviewer").entry({"reviewer": office.request(m.REVIEW).actor.hex()})
    plan = RulePlan(
        lists=(ListRule("far", "pharmacy_subject", "deny"), ListRule("bad", "reviewer", "deny", "hold")),
        changes=(Change("far", True, [listed]), Change("bad", True, [reviewer])),
    )
    number, _ = await rulebook.propose(office.officers[0], plan)
    found = await dry_run.dry_run(office.gateway, number)
    assert [(item.request.request.stage, item.after.rule) for item in found.changed] == [
        (m.REVIEW, "bad"),
        (m.ORDER, "far"),
    ]


async def test_dry_run_compares_with_the_version_in_force_or_the_one_that_is_named(office: Office) -> None:
    office.filed(0)
    first = await rulebook.install(office.officers, banned())
    office.chain.block()
    hold = RulePlan(expressions=banned(effect="hold").expressions)
    second, _ = await rulebook.propose(office.officers[0], hold)
    found = await dry_run.dry_run(office.gateway, second)
    assert (found.against, dict(found.by_rule)) == (first, {("no_drug", "refuse", "hold"): 1})
    assert (await dry_run.dry_run(office.gateway, first)).changed == []
    named = await dry_run.dry_run(office.gateway, second, against=0)
    assert dict(named.by_rule) == {("no_drug", "allow", "hold"): 1}


async def test_dry_run_looks_at_the_newest_since_a_height_when_it_is_told_to(office: Office) -> None:
    for number in range(4):
        office.filed(number)
    times = [view.received_ms async for view in flows.requests(office.gateway)]
    height = next(h.height for h in office.chain.headers if h.time_ms == times[2])
    number, _ = await rulebook.propose(office.officers[0], banned())
    assert (await dry_run.dry_run(office.gateway, number, since_height=height)).evaluated == 2
    assert (await dry_run.dry_run(office.gateway, number, limit=3)).evaluated == 3


async def test_dry_run_refuses_a_version_that_there_is_not(office: Office) -> None:
    with pytest.raises(NotFound):
        await dry_run.dry_run(office.gateway, 7)
