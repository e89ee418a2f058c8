"""``tidegate rules``: from a file to what decides, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.rulebook.fingerprints import fingerprint
from ledger.envelope_document import pseudonym
from node.regulator import rulebook
from tests.node.cli.office_desk import PSEUDONYM_KEY, OfficeDesk, office_desk

RULES = """
description = "banned drugs"
[lists.banned]
kind = "value"
entries = "banned.csv"
[expressions.no_drug]
when = "drugs.exists(d, d in banned)"
stages = ["file"]
reason = "drug_banned"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        (tmp_path / "banned.csv").write_text("value\n860975\n1049221\n", encoding="utf-8")
        (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
        yield found


def file_of(desk: OfficeDesk, text: str | None = None) -> str:
    path = desk.directory / "rules.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    return str(path)


def install(desk: OfficeDesk, text: str | None = None) -> int:
    made = desk.json("rules", "propose", file_of(desk, text), officers=1)
    desk.json("rules", "approve", str(made["version"]), "--digest", made["digest"], officers=2)
    desk.json("rules", "activate", str(made["version"]), officers=1)
    desk.office.chain.block()
    return int(made["version"])


def test_rules_decide_once_they_are_proposed_approved_and_activated(desk: OfficeDesk) -> None:
    office = desk.office
    made = desk.json("rules", "propose", file_of(desk), officers=1)
    assert (made["version"], made["base"], made["entries"]) == (1, 0, 2)
    assert desk.json("rules", "show", "1")["version"]["digest"] == made["digest"]
    one = desk.json("rules", "approve", "1", "--digest", made["digest"], "--officer", "Officer 1")
    assert not one["approved"]
    assert desk.refused("rules", "activate", "1", officers=1) == "rules_status_wrong"
    two = desk.json("rules", "approve", "1", "--digest", made["digest"], "--officer", "Officer 2")
    assert two["approved"]
    assert office.status(office.filed(0)) == "authorised"
    step = desk.json("rules", "activate", "1", "--after", "3", "--officer", "Officer 3")
    assert step["height"] == office.chain.height - 1 + 3
    assert "from block" in desk.run("rules", "list").stdout
    for _ in range(3):
        office.chain.block()
    assert "in force" in desk.run("rules", "list").stdout
    request = office.ask(office.request(number=1))
    office.attest(request)
    assert office.shown(request).reason == "drug_banned"
    assert not desk.json("rules", "rollback", "0", "--officer", "Officer 1")["done"]
    assert desk.json("rules", "rollback", "0", "--officer", "Officer 3")["done"]
    assert office.status(office.filed(2)) == "authorised"
    assert desk.json("rules", "show")["version"] is None


def test_approval_needs_the_digest_that_the_chain_has(desk: OfficeDesk) -> None:
    desk.run("rules", "propose", file_of(desk), officers=1)
    submitted = desk.office.gateway.submitted
    assert desk.refused("rules", "approve", "1", "--digest", "ab", code=3, officers=2) == "digest_invalid"
    assert desk.refused("rules", "approve", "1", "--digest", "ab" * 32, officers=2) == "rules_digest_differs"
    assert desk.refused("rules", "approve", "9", "--digest", "ab" * 32, code=5, officers=2) == "not_found"
    desk.run("rules", "activate", "1", "--height", "5", "--after", "5", code=2, officers=1)
    assert desk.office.gateway.submitted == submitted


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (RULES.replace("in banned", "in bannned"), "expressions.no_drug (line 7): line 1, column 22: unknown name"),
        (RULES.replace("banned.csv", "none.csv"), "lists.banned.entries: "),
        (RULES.replace("stages", "stage"), "expressions.no_drug: Object"),
        ("base = 7\n", "there is no version 7"),
    ],
)
def test_file_is_refused_with_the_place_and_nothing_is_sent(desk: OfficeDesk, text: str, place: str) -> None:
    submitted = desk.office.gateway.submitted
    code = 5 if "base" in text else 3
    result = desk.run("rules", "propose", file_of(desk, text), code=code, officers=1)
    assert place in result.output
    assert desk.office.gateway.submitted == submitted


def test_every_faulty_line_of_a_list_is_told(desk: OfficeDesk) -> None:
    (desk.directory / "banned.csv").write_text("value\ngood\na,b\ngood\nc,d\n", encoding="utf-8")
    output = desk.run("rules", "propose", file_of(desk), code=3, officers=1).output
    assert "banned.csv: line 3: 2 fields" in output
    assert "banned.csv: line 5: 2 fields" in output


def test_file_is_only_checked_when_that_is_asked_for(desk: OfficeDesk) -> None:
    submitted = desk.office.gateway.submitted
    assert desk.json("rules", "propose", file_of(desk), "--check") == {"base": 0, "entries": 2}
    assert desk.office.gateway.submitted == submitted


def test_id_numbers_leave_the_machine_as_fingerprints_only(desk: OfficeDesk) -> None:
    text = '[lists.people]\nkind = "subject"\nstages = ["file"]\nentries = [{id_number = "S-12"}]\n'
    assert "--authority-home" in desk.run("rules", "propose", file_of(desk, text), code=3, officers=1).output
    home = ("--authority-home", str(desk.directory / "authority"))
    desk.run("rules", "propose", file_of(desk, text), *home, officers=1)
    page = desk.office.chain.view("rules", "entries", rulebook_entries(1, "people"))
    assert [entry.fingerprint for entry in page.entries] == [fingerprint("subject", pseudonym("S12", PSEUDONYM_KEY))]
    assert not any(b"S-12" in wire or b"S12" in wire for wire in desk.office.chain.transactions.values())


def rulebook_entries(version: int, name: str):
    from contracts.rulebook.calls import EntryPageArguments

    return EntryPageArguments(version, name, b"", 100)


def test_interrupted_import_goes_on_when_the_command_is_run_again(desk: OfficeDesk, monkeypatch) -> None:
    monkeypatch.setattr(rulebook, "MAX_STAGED_BYTES", 40_000)
    monkeypatch.setattr("node.calling.RETRY_S", 0.0)
    lines = "".join(f"{number}\n" for number in range(3_500))
    (desk.directory / "banned.csv").write_text("value\n" + lines, encoding="utf-8")
    gateway = desk.office.gateway
    real = rulebook.Caller.send
    sent = 0

    async def dying(self, *args, **kwargs):
        nonlocal sent
        sent += 1
        if sent == 4:
            raise KeyboardInterrupt
        return await real(self, *args, **kwargs)

    monkeypatch.setattr(rulebook.Caller, "send", dying)
    result = desk.run("rules", "propose", file_of(desk), code=130, officers=1)
    assert "run the same command again" in result.output
    before = gateway.submitted
    made = desk.json("rules", "propose", file_of(desk), officers=1)
    assert (made["version"], made["entries"]) == (1, 3_500)
    assert gateway.submitted - before == 3
    assert desk.json("rules", "propose", file_of(desk), officers=1)["digest"] == made["digest"]


def test_dry_run_tells_which_decisions_change_by_rule(desk: OfficeDesk) -> None:
    desk.office.filed(0)
    desk.office.filed(1)
    desk.run("rules", "propose", file_of(desk), officers=1)
    found = desk.json("rules", "dry-run", "1")
    assert found["by_rule"] == [{"rule": "no_drug", "before": "allow", "after": "refuse", "requests": 2}]
    assert len(found["changed"]) == 2
    assert "2 would be decided otherwise" in desk.run("rules", "dry-run", "1").stdout
    assert desk.json("rules", "dry-run", "1", "--since", str(desk.office.chain.height))["evaluated"] == 0
    assert desk.refused("rules", "dry-run", "4", code=5) == "not_found"


def test_diff_shows_what_two_versions_differ_in(desk: OfficeDesk) -> None:
    install(desk)
    (desk.directory / "more.csv").write_text("value\n1\n2\n3\n", encoding="utf-8")
    change = (
        'remove = ["no_drug"]\n[attributes]\nitems = "int"\n[lists.banned]\neffect = "hold"\nentries = "more.csv"\n'
    )
    second = install(desk, change)
    changes = desk.json("rules", "diff", "1", str(second))["changes"]
    assert [(item["what"], item["name"], item["change"]) for item in changes] == [
        ("attribute", "items", "added"),
        ("list", "banned", "changed"),
        ("entries", "banned", "number"),
        ("expression", "no_drug", "removed"),
    ]
    assert (changes[2]["before"], changes[2]["after"]) == (2, 5)
    assert desk.json("rules", "diff", "1", "1")["changes"] == []
    assert "no_drug" in desk.run("rules", "diff", "0", "1").stdout


def test_draft_is_abandoned_by_its_officer_only(desk: OfficeDesk) -> None:
    desk.run("rules", "propose", file_of(desk), officers=1)
    assert desk.refused("rules", "abandon", "1", "--officer", "Officer 2") == "not_permitted"
    assert desk.json("rules", "abandon", "1", "--officer", "Officer 1")["abandoned"]
    assert "abandoned" in desk.run("rules", "list").stdout
