"""`tidegate evidence export`, `verify` and `report` for flows and records; `tidegate flow report`, from live nodes."""

from __future__ import annotations

import asyncio
import csv
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result
from openpyxl import load_workbook

from contracts.commission.answers import BookingsPage, BookingsQuery
from ledger.genesis import format_genesis
from node.cli.app import root
from tests.node import traffic
from tests.node.bundles.made import sources, status_of
from tests.node.bundles.prescriptions import prescribe
from tests.node.services.test_supervised import NAME, Insured
from tests.node.two_chains import two_chains

pytestmark = pytest.mark.xdist_group("evidence_records")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments))


@cache
def directory() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


async def _work(place: Path) -> dict[str, Any]:
    """Commands against a consortium that runs: name → exit code, output, and the files that they wrote."""
    said: dict[str, Any] = {}
    async with two_chains(empty_block_ms=200) as world:
        await traffic.define(world)
        note = await traffic.file_note(world.business.gateway, world.party("City Hospital").signing)
        await status_of(world, note, "open")
        flow = await prescribe(world)
        insured = Insured(world)
        await insured.agree()
        insured.start()
        await insured.sell("P1", 300_000)
        await world.until(lambda: insured.now().paid == 9_000)
        await world.calm()
        page = await insured.gateway.view("commission", "bookings", BookingsQuery(NAME), BookingsPage)
        record = page.bookings[0].record.transaction_id.hex()
        view = await traffic.flow_view(world.business.gateway, note)
        for net in (world.business, world.supervision):
            (place / f"{net.genesis.name}.json").write_bytes(format_genesis(net.genesis))
        async with sources(world, place):
            where = ("--home", str(place), "--socket", str(place / "b.sock"))
            both = (*where, "--supervision-socket", str(place / "s.sock"))

            async def do(name: str, *arguments: str) -> None:
                result = await asyncio.to_thread(run, *arguments)
                said[name] = (result.exit_code, result.output)

            export = ("evidence", "export")
            await do("flow", *export, "--flow", flow.hex(), "-o", str(place / "flow.json"), *both, "--json")
            await do("known", *export, "--flow", view.authorisation.hex(), "-o", str(place / "note.json"), *both)
            await do("alone", *export, "--flow", flow.hex(), "-o", str(place / "alone.json"), *where)
            await do("booking", *export, "--record", record, "-o", str(place / "booking.json"), *both)
            sealed = ("--record", view.authorisation.hex(), "-o", str(place / "sealed.json"))
            await do("sealed", *export, *sealed, *both)
            await do("named", *export, "--record", f"{flow.hex()}:opinion:1", "-o", str(place / "opinion.json"), *both)
            nobody = ("--record", "00" * 32, "-o", str(place / "none.json"))
            await do("unknown", *export, *nobody, *both)
            await do("unknown alone", *export, *nobody, *where)
            await do("unknown flow", *export, "--flow", "00" * 32, "-o", str(place / "none.json"), *both)
            await do("no hash", *export, "--flow", "xyz", "-o", str(place / "none.json"), *both)
            await do("two", *export, "1", "--flow", "00" * 32, "-o", str(place / "none.json"), *both)
            files = ("--csv", str(place / "flows.csv"), "--xlsx", str(place / "flows.xlsx"))
            await do("report", "flow", "report", *files, *where, "--json")
            await do("kind", "flow", "report", "--kind", "note", *where, "--json")
            await do("table", "flow", "report", *where)
    return said


@cache
def worked() -> dict[str, Any]:
    return asyncio.run(_work(Path(directory().name)))


@pytest.fixture
def place() -> Path:
    worked()
    return Path(directory().name)


def genesis(place: Path) -> list[str]:
    return [part for name in ("business", "supervision") for part in ("--genesis", str(place / f"{name}.json"))]


@pytest.mark.parametrize("name", ["flow", "known", "alone", "booking", "sealed", "named"])
def test_export_says_what_the_file_holds(place: Path, name: str) -> None:
    code, output = worked()[name]
    assert code == 0, output
    if name == "flow":
        shown = json.loads(output)
        assert (shown["kind"], shown["chains"]) == ("flow", "business, supervision")
        assert shown["bytes"] == (place / "flow.json").stat().st_size


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("unknown", 5, "0 records are called"),
        ("unknown alone", 5, "--supervision-home"),
        ("unknown flow", 5, "no flow or authorisation"),
        ("no hash", 3, "64 lower-case hex digits"),
        ("two", 2, "name one thing"),
    ],
)
def test_export_says_what_it_cannot_find(place: Path, name: str, code: int, words: str) -> None:
    found, output = worked()[name]
    assert found == code, output
    assert words in output
    assert not (place / "none.json").exists()


@pytest.mark.parametrize(
    ("file", "kind", "words"),
    [
        ("flow", "flow", "was authorised by Regulator 0"),
        ("note", "flow", "it is open"),
        ("alone", "flow", "not shown: The supervision chain is not in this bundle"),
        ("booking", "record", "is settled and paid"),
        ("sealed", "record", "Sealed record file, attempt 1"),
        ("opinion", "record", "Sealed record opinion, attempt 1"),
    ],
)
def test_verify_says_in_words_what_is_proved(place: Path, file: str, kind: str, words: str) -> None:
    result = run("evidence", "verify", str(place / f"{file}.json"), *genesis(place))
    assert result.exit_code == 0, result.output
    assert words in result.output
    document = json.loads(run("evidence", "verify", str(place / f"{file}.json"), *genesis(place), "--json").stdout)
    assert (document["valid"], document["kind"]) == (True, kind)
    assert document["items"][0]["certified"]


def test_verify_names_the_field_when_a_byte_is_another(place: Path, tmp_path: Path) -> None:
    data = (place / "flow.json").read_bytes()
    at = data.rindex(b'"receipt": "') + 100
    flipped = tmp_path / "flipped.json"
    flipped.write_bytes(data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :])
    result = run("evidence", "verify", str(flipped), *genesis(place))
    assert result.exit_code == 1
    assert "receipt" in result.output
    assert run("evidence", "report", str(flipped), *genesis(place), "-o", str(tmp_path / "p.html")).exit_code == 1
    assert not (tmp_path / "p.html").exists(), "no page is made of what is not proved"


def test_verify_needs_the_genesis_files_of_both_chains(place: Path) -> None:
    result = run("evidence", "verify", str(place / "flow.json"), *genesis(place)[:2])
    assert result.exit_code == 1
    assert "genesis[1]" in result.output


def test_report_writes_a_page_and_a_pdf(place: Path, tmp_path: Path) -> None:
    for name in ("page.html", "page.pdf"):
        result = run("evidence", "report", str(place / "flow.json"), *genesis(place), "-o", str(tmp_path / name))
        assert result.exit_code == 0, result.output
    assert b"The regulator decided on file: authorised" in (tmp_path / "page.html").read_bytes()
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF-")
    assert run("evidence", "report", str(place / "flow.json"), *genesis(place), "-o", "page.doc").exit_code == 2


def test_a_flow_report_sums_to_what_was_paid(place: Path) -> None:
    code, output = worked()["report"]
    assert code == 0, output
    shown = json.loads(output)
    assert shown["flows"] == 2
    (usd,) = [each for each in shown["assets"] if each["asset"] == "USD"]
    assert (usd["paid"], usd["reimbursed"] + usd["patients"]) == (25_501, 25_501)
    with (place / "flows.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    flows = [line for line in lines if line["line"] == "flow"]
    paid = [Decimal(line["payment"]) for line in flows if line["payment"]]
    assert sum(paid) == Decimal("255.01")
    assert flows[-1]["running flows"] == "2"
    assert [line["number"] for line in flows] == ["1", "2"]
    assert (flows[1]["filer"], flows[1]["status"]) == ("City Hospital", "closed")
    totals = {line["asset"]: line for line in lines if line["line"] == "total"}
    assert Decimal(totals["USD"]["payment"]) == sum(paid)
    book = load_workbook(place / "flows.xlsx", data_only=True)
    rows = list(book["Flows"].iter_rows(values_only=True))
    cells = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert sum(Decimal(str(cell["payment"])) for cell in cells if cell["line"] == "flow" and cell["payment"]) == sum(
        paid
    )
    formulas = [
        cell.value for row in load_workbook(place / "flows.xlsx")["Flows"] for cell in row if cell.data_type == "f"
    ]
    assert len(formulas) == 4
    assert all(formula.startswith("=ROUND(SUMIF(") for formula in formulas)
    (total,) = [row for row in book["Totals"].iter_rows(values_only=True) if row[0] == "USD"]
    assert Decimal(str(total[3])) == sum(paid)


def test_a_flow_report_can_be_of_one_kind(place: Path) -> None:
    code, output = worked()["kind"]
    assert (code, json.loads(output)["flows"]) == (0, 1)
    assert "USD" in worked()["table"][1]
