"""The table in docs/doctor.md is the catalogue, and everything that is found stands in it."""

from __future__ import annotations

import re
from pathlib import Path

from node.doctor.catalogue import CATALOGUE, causes_first, found
from node.surroundings.finding import Finding

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| `([a-z_.]+)` \| (error|warning) \| (.+?) \| (.+?) \|$")


def test_the_documents_table_is_the_catalogue() -> None:
    lines = ROOT.joinpath("docs", "doctor.md").read_text(encoding="utf-8").splitlines()
    rows = [match.groups() for line in lines if (match := ROW.match(line))]
    assert rows == [(entry.code, entry.severity, entry.meaning, entry.remedy) for entry in CATALOGUE]


def test_every_code_that_the_doctor_can_find_is_in_the_catalogue_and_used() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in ROOT.joinpath("node", "doctor").glob("*.py"))
    used = set(re.findall(r"found\(\s*\"([a-z_.]+)\"", source))
    assert used == {entry.code for entry in CATALOGUE}


def test_codes_are_distinct() -> None:
    assert len({entry.code for entry in CATALOGUE}) == len(CATALOGUE)


def test_errors_come_before_warnings_and_causes_before_what_follows() -> None:
    later, warned, first = found("quorum.lost", "a"), found("signer.lost", "b"), found("disk.full", "c")
    foreign = Finding("other.thing", "error", "d")
    assert causes_first([foreign, warned, later, first]) == (first, later, foreign, warned)


def test_a_finding_says_more_than_the_catalogue_where_more_is_known() -> None:
    finding = found("daemon.failed", "so", remedy="do that", code="storage_fault")
    assert (finding.severity, finding.remedy, finding.data) == ("error", "do that", {"code": "storage_fault"})
