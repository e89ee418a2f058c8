"""``tidegate supervision``: officers and authorities at work, on the real contracts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import messages as m
from ledger.envelope_document import pseudonym
from ledger.errors import RpcUnavailable
from node.cli import supervision_watch
from node.cli.output import Report
from tests.contracts.supervision.world import SUBJECT
from tests.node.cli.office_desk import PSEUDONYM_KEY, OfficeDesk, office_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        yield found


async def interrupted() -> None:
    """Ctrl-C, and the wait for what it leads to."""
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.Event().wait()


def test_pending_request_passes_when_two_officers_approve_it_apart(desk: OfficeDesk) -> None:
    flow = desk.office.held().flow.hex()
    (waiting,) = desk.json("supervision", "pending")["pending"]
    assert (waiting["request"]["flow"], waiting["reason"]) == (flow, "supervision_class_controlled")
    first = desk.json("supervision", "approve", flow[:8], "--officer", "Officer 1")
    assert (first["status"], first["signatures"]) == ("pending", 1)
    assert "approved" not in desk.run("supervision", "pending").stdout
    second = desk.json("supervision", "approve", flow, "--officer", "Officer 2")
    assert second["status"] == "authorised"
    assert desk.json("supervision", "pending")["pending"] == []
    assert desk.json("supervision", "show", second["transaction"])["flow"] == flow


def test_request_is_refused_with_the_reason_when_officers_reject_it(desk: OfficeDesk) -> None:
    flow = desk.office.held().flow.hex()
    refused = desk.json("supervision", "reject", flow, "--reason", "dose_too_high", officers=2)
    assert (refused["status"], refused["reason"]) == ("refused", "dose_too_high")
    assert "dose_too_high" in desk.run("supervision", "show", flow).stdout


def test_decision_is_not_sent_when_nothing_or_nobody_fits(desk: OfficeDesk) -> None:
    flow = desk.office.filed().flow.hex()
    submitted = desk.office.gateway.submitted
    assert desk.refused("supervision", "approve", flow, code=5, officers=2) == "not_found"
    assert desk.refused("supervision", "approve", "nonsense", code=3, officers=2) == "flow_invalid"
    assert desk.refused("supervision", "approve", flow, "--officer", "Officer 9", code=5) == "not_found"
    assert "--officer" in desk.run("supervision", "approve", flow, code=2).output
    empty = desk.directory / "empty"
    empty.mkdir()
    named = ("--officer", "Officer 1", "--officers", str(empty))
    assert desk.refused("supervision", "approve", flow, *named, code=78) == "officers_missing"
    assert desk.office.gateway.submitted == submitted


def test_flow_is_controlled_and_the_chains_refusal_ends_the_command(desk: OfficeDesk) -> None:
    flow = desk.office.filed().flow.hex()
    assert not desk.json("supervision", "suspend", flow, "--reason", "complaint", officers=1)["signed"]["complete"]
    done = desk.json("supervision", "suspend", flow, "--officer", "Officer 3")
    assert (done["signed"]["complete"], done["control"]) == (True, "suspended")
    assert "complaint" in desk.run("supervision", "show", flow).stdout
    assert desk.refused("supervision", "suspend", flow, officers=2) == "supervision_control_invalid"
    assert desk.json("supervision", "resume", flow, officers=2)["control"] == "open"
    desk.run("supervision", "terminate", flow, officers=2, code=1)
    assert desk.json("supervision", "terminate", flow, "--yes", officers=2)["control"] == "terminated"


def test_subject_is_found_by_pseudonym_and_by_id_number(desk: OfficeDesk) -> None:
    name = pseudonym("S-12", PSEUDONYM_KEY)
    request = desk.office.ask(desk.office.request())
    desk.office.attest(request, subject=name)
    by_id = ("--id-number", "s 12", "--authority-home", str(desk.directory / "authority"))
    for said in ((name.hex(),), by_id):
        found = desk.json("supervision", "subject", *said)
        assert [record["flow"] for record in found["records"]] == [request.flow.hex()]
    desk.run("supervision", "subject", code=2)
    desk.run("supervision", "subject", "--id-number", "1", code=2)
    assert desk.refused("supervision", "subject", "12", code=3) == "subject_invalid"
    member = ("--id-number", "1", "--authority-home", str(desk.directory / "member"))
    assert desk.refused("supervision", "subject", *member, code=78) == "authority_keys_missing"


def test_record_is_printed_only_after_its_opening_is_in_the_log(desk: OfficeDesk) -> None:
    request, _ = desk.office.filed_for(desk.sealing, b'{"subject_id": "S-12"}')
    flow = request.flow.hex()
    shut = desk.run("supervision", "record", flow, "file").stdout
    assert "S-12" not in shut
    before = len(desk.json("supervision", "log")["disclosures"])
    opened = desk.json("supervision", "record", flow, "file", "--open", "--purpose", "court")
    assert opened["document"] == {"subject_id": "S-12"}
    log = desk.json("supervision", "log")["disclosures"]
    assert len(log) == before + 1
    assert (log[-1]["purpose"], log[-1]["flow"]) == ("court", flow)
    assert desk.json("supervision", "log", "--after", str(before), "--limit", "5")["disclosures"] == log[-1:]


def test_record_stays_shut_when_the_home_is_no_authoritys(desk: OfficeDesk) -> None:
    request, _ = desk.office.filed_for(desk.sealing, b'{"subject_id": "S-12"}')
    result = desk.run("supervision", "record", request.flow.hex(), "file", "--open", by="member", code=78)
    assert "S-12" not in result.output
    keys = desk.directory / "member" / "keys"
    for file in (desk.directory / "authority" / "keys").glob("*"):
        if file.name != "member.key":
            (keys / file.name).write_bytes(file.read_bytes())
            (keys / file.name).chmod(0o600)
    refused = desk.run("supervision", "record", request.flow.hex(), "file", "--open", by="member", code=1)
    assert "S-12" not in refused.output
    assert "supervision_not_authority" in refused.output


def test_statistics_are_counted_by_each_dimension(desk: OfficeDesk) -> None:
    desk.office.filed(0)
    desk.office.held(1)
    for by, value in (
        ("organisation", "hospital A"),
        ("drug", "860975"),
        ("subject", SUBJECT.hex()),
        ("stage", "prescription/file"),
        ("day", "prescription"),
    ):
        rows = desk.json("supervision", "stats", "--by", by)["rows"]
        (row,) = [row for row in rows if row["value"] == value]
        assert (row["counts"]["authorised"], row["counts"]["held"]) == (1, 1)
    assert "2023-11-14" in desk.run("supervision", "stats", "--by", "day").stdout
    assert desk.json("supervision", "stats", "--by", "drug", "--value", "none")["rows"] == []


def test_batches_and_limits_are_set_and_shown(desk: OfficeDesk) -> None:
    words = ("hospital A", "--quota", "7", "--until", "2030-01-01")
    assert not desk.json("supervision", "batch", "grant", *words, "--officer", "Officer 1")["signed"]["complete"]
    assert desk.json("supervision", "batch", "grant", *words, "--officer", "Officer 2")["signed"]["number"] == 1
    (batch,) = desk.json("supervision", "batch", "list")["batches"]
    assert (batch["organisation"], batch["quota"], batch["used"]) == ("hospital A", 7, 0)
    early = ("hospital A", "--quota", "7", "--until", "2020-01-01")
    assert desk.refused("supervision", "batch", "grant", *early, code=3, officers=2) == "time_invalid"
    assert desk.json("supervision", "limit", "show", "commission", "CNY")["limit"] is None
    assert desk.json("supervision", "limit", "set", "commission", "CNY", "5000", officers=2)["signed"]["complete"]
    assert desk.json("supervision", "limit", "show", "commission", "CNY")["limit"]["amount"] == 5_000


def test_watch_shows_how_things_stand_once(desk: OfficeDesk) -> None:
    desk.office.filed(0)
    desk.office.held(1)
    shown = desk.json("supervision", "watch", "--once")
    assert shown["stages"]["prescription/file"]["authorised"] == 1
    assert shown["totals"]["pending"] == 1
    assert len(shown["pending"]) == 1
    assert "waiting for officers" in desk.run("supervision", "watch", "--once").stdout


def test_watch_shows_the_relay_and_goes_on_when_it_is_away(desk: OfficeDesk) -> None:
    direction = {"from": "business", "to": "supervision", "connected": True, "lag_blocks": 2, "proved_ms_ago": 12_345}
    desk.rpc.plan("node.status", {"name": "f", "relay": {"directions": [direction]}})
    fusion = ("--fusion", str(desk.directory / "rpc.sock"))
    assert desk.json("supervision", "watch", "--once", *fusion)["relay"] == [direction]
    desk.rpc.plan("node.status", RpcUnavailable("gone"))
    assert desk.json("supervision", "watch", "--once", *fusion)["relay"] == []


def test_stage_has_to_be_said_when_two_requests_of_a_flow_are_pending(desk: OfficeDesk) -> None:
    office = desk.office
    office.filed(0)
    office.classify("reviewers R", "controlled")
    review = office.ask(office.request(m.REVIEW, 0))
    office.classify("pharmacy P", "controlled")
    office.ask(office.request(m.ORDER, 0))
    flow = review.flow.hex()
    assert desk.refused("supervision", "approve", flow[:10], officers=2) == "flow_ambiguous"
    assert desk.refused("supervision", "approve", flow, "--stage", "file", code=5, officers=2) == "not_found"
    assert desk.json("supervision", "approve", flow, "--stage", "review", officers=2)["status"] == "granted"


def test_watch_prints_each_event_once_and_tells_where_to_go_on(desk: OfficeDesk, monkeypatch) -> None:
    async def until_the_end(client, from_height: int, handle) -> None:
        for block in desk.office.gateway.blocks[from_height:]:
            handle(block)
        await interrupted()

    monkeypatch.setattr("node.cli.supervision_watch._follow", until_the_end)
    flow = desk.office.filed().flow.hex()
    desk.run("supervision", "suspend", flow, officers=2)
    result = desk.run("supervision", "watch", "--from", "0", "--json", code=130)
    events = [json.loads(line)["event"]["name"] for line in result.stdout.splitlines()]
    assert events[-3:] == ["officer_signed", "packet", "flow_controlled"]
    assert f"--from {desk.office.chain.height + 1}" in result.stderr
    later = desk.run("supervision", "watch", "--from", str(desk.office.chain.height), code=130)
    assert "supervision.flow_controlled" in later.stdout
    assert "officer_signed" not in later.stdout


def test_watch_draws_in_place_on_a_terminal(desk: OfficeDesk, monkeypatch) -> None:
    async def one_block(client, from_height: int, handle) -> None:
        while not drawn:
            await asyncio.sleep(0)
        handle(None)
        await interrupted()

    def noting(snapshot):
        drawn.append(snapshot)
        return real(snapshot)

    drawn: list[object] = []
    real = supervision_watch._drawn
    monkeypatch.setattr(supervision_watch, "_drawn", noting)
    monkeypatch.setattr("node.cli.supervision_watch._follow", one_block)
    monkeypatch.setattr(Report, "rich", property(lambda _: True))
    desk.office.held()
    shown = desk.run("supervision", "watch", code=130).stdout
    for part in ("waiting for officers: 1", "flows by stage", "prescription/file", "supervision_class_controlled"):
        assert part in shown
