"""`tidegate commission`, command by command, as two companies use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from contracts.commission import codes
from node.cli.commission_agreements import Rate
from node.cli.commission_session import money
from node.services.messages import OrderDone, order_done_codec
from node.services.sales import sale_order_codec
from tests.node.cli.commission_kit import Desk, desk
from tests.node.services.members import B, C, D

NAME = "b-c"
PROPOSE = ("commission", "propose", "--agreement", NAME, "--insurer", C, "--rate", "3%", "--product", "health",
           "--channel", "online", "--seller", B)  # fmt: skip


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def blocks(at: Desk, count: int) -> None:
    for _ in range(count):
        asyncio.run(at.world.chain.make_block())


@pytest.fixture
def agreed(at: Desk) -> Desk:
    """An agreement in force, settled when 3 are pending, paid from the insurer's cash account."""
    at.run(*PROPOSE, "--trigger-count", "3", "--insurer-cash", "account(C cash)")
    at.run("commission", "sign", "--agreement", NAME, "--yes", by=C)
    blocks(at, 5)
    return at


def book(at: Desk, policy: str, premium: str, *more: str, code: int = 0, by: str = B) -> str:
    command = ("commission", "book", "--agreement", NAME, "--policy", policy, "--premium", premium, *more)
    return at.run(*command, code=code, by=by).output


# --- agreements -------------------------------------------------------------------------------------------------------


def test_agreement_is_in_force_when_proposed_and_signed(at: Desk):
    proposed = at.json(*PROPOSE)
    assert proposed["opened"] == ["b-c settlement pending", "b-c clawback", "b-c settled"]
    signing = at.run("commission", "sign", "--agreement", NAME, by=C, text="y\n").output
    assert "3% of the premium" in signing
    assert proposed["draft"]["agreement_hash"] in signing
    blocks(at, 5)
    listed = at.json("commission", "list")["agreements"]
    assert [(a["agreement"], a["platform"], a["insurer"], a["in_force"]) for a in listed] == [(NAME, B, C, 1)]


def test_nothing_is_signed_when_the_person_says_no(at: Desk):
    at.run(*PROPOSE)
    at.run("commission", "sign", "--agreement", NAME, by=C, text="n\n", code=1)
    assert at.json("commission", "list")["agreements"] == []


def test_insurer_may_draft_too_when_the_accounts_are_there(at: Desk):
    at.run(*PROPOSE)
    at.run("commission", "sign", "--agreement", NAME, "--yes", by=C)
    blocks(at, 5)
    at.run("commission", "propose", "--agreement", NAME, "--platform", B, "--rate", "2.5%", by=C)
    at.run("commission", "sign", "--agreement", NAME, "--yes", by=B)
    versions = at.json("commission", "list", "--agreement", NAME)["view"]["versions"]
    assert [entry["version"] for entry in versions] == [1, 2]


def test_version_is_proposed_when_written_as_json(agreed: Desk, tmp_path: Path):
    terms = agreed.json("commission", "list", "--agreement", NAME)["view"]["agreement"]
    terms.update(version=2, rate_ppm=20_000, activation_height=terms["activation_height"] + 100)
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(terms))
    agreed.run("commission", "propose", "--agreement", NAME, "--file", str(path))
    drafts = agreed.json("commission", "list", "--agreement", NAME)["drafts"]
    assert [draft["agreement"]["rate_ppm"] for draft in drafts] == [20_000]
    agreed.run("commission", "propose", "--agreement", "other", "--file", str(path), code=3)
    path.write_text("{")
    agreed.run("commission", "propose", "--agreement", NAME, "--file", str(path), code=3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--agreement", NAME, "--rate", "3%"), 2),
        (("--agreement", NAME, "--insurer", C), 2),
        (("--agreement", NAME, "--insurer", B, "--rate", "3%"), 2),
        (("--agreement", NAME, "--insurer", "Nobody", "--rate", "3%"), 5),
        (("--agreement", NAME, "--insurer", C, "--rate", "0%"), 2),
        (("--agreement", NAME, "--insurer", C, "--rate", "3"), 2),
        (("--agreement", NAME, "--insurer", C, "--rate", "3%", "--currency", "XXX"), 5),
    ],
)
def test_proposal_is_refused_when(at: Desk, arguments: tuple[str, ...], code: int):
    at.run("commission", "propose", *arguments, code=code)


def test_nothing_to_sign_when_no_draft_waits(at: Desk):
    at.run("commission", "sign", "--agreement", NAME, "--yes", by=C, code=5)
    at.run(*PROPOSE)
    at.run("commission", "sign", "--agreement", NAME, "--yes", by=D, code=5)


def test_draft_has_to_be_chosen_when_there_are_several(at: Desk):
    one = at.json(*PROPOSE)["draft"]["agreement_hash"]
    at.json(*PROPOSE, "--trigger-count", "9")
    assert "draft_ambiguous" in at.run("commission", "sign", "--agreement", NAME, "--yes", by=C, code=1).output
    at.run("commission", "sign", "--agreement", NAME, "--draft", one, "--yes", by=C)


@pytest.mark.parametrize(("text", "ppm"), [("3%", 30_000), ("0.25%", 2_500), ("30000ppm", 30_000), ("100%", 1_000_000)])
def test_rate_is_exact_when_read(text: str, ppm: int):
    assert Rate().convert(text, None, None) == ppm


@pytest.mark.parametrize("text", ["0%", "101%", "0.00001%", "3", "-3%", "x%", "1.5ppm", "NaN%"])
def test_rate_is_refused_when_it_cannot_be(text: str):
    with pytest.raises(click.BadParameter):
        Rate().convert(text, None, None)


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [(0, 2, "0.00"), (5, 2, "0.05"), (-123_456, 2, "-1,234.56"), (1_234_567, 0, "1,234,567"), (1, 8, "0.00000001")],
)
def test_money_reads_as_people_write_it(amount: int, scale: int, text: str):
    assert money(amount, scale) == text


# --- orders -----------------------------------------------------------------------------------------------------------


def test_booking_is_pending_when_booked(agreed: Desk):
    assert "90.00" in book(agreed, "C00100001", "3000")
    assert "done before" in book(agreed, "C00100001", "3000")
    listed = agreed.json("commission", "list", "--agreement", NAME)["bookings"]
    assert [(b["policy"], b["commission"], b["status"]) for b in listed] == [("C00100001", 9_000, "pending")]


def test_refused_when_the_insurer_or_a_stranger_books(agreed: Desk):
    assert "not_permitted" in book(agreed, "P", "3000", by=C, code=1)
    assert "not_permitted" in book(agreed, "P", "3000", by=D, code=1)


def test_refusal_has_its_code_when_the_policy_is_booked_otherwise(agreed: Desk):
    book(agreed, "P", "3000")
    assert codes.POLICY_BOOKED in book(agreed, "P", "3001", code=1)


def test_cancelled_and_corrected_when_asked(agreed: Desk):
    for policy in ("P1", "P2"):
        book(agreed, policy, "3000")
    agreed.run("commission", "cancel", "--agreement", NAME, "--policy", "P1")
    agreed.run("commission", "correct", "--agreement", NAME, "--policy", "P2", "--premium", "4000")
    agreed.run("commission", "cancel", "--agreement", NAME, "--policy", "P9", code=5)
    books = agreed.json("commission", "report", "--agreement", NAME)["books"][0]
    assert (books["booked"], books["cancelled"], books["pending"]) == (30_000, 18_000, 12_000)
    assert books["closes"] is True


def test_correction_keeps_the_rest_when_only_the_premium_is_given(agreed: Desk):
    book(agreed, "P", "3000", "--sold-on", "2026-01-02")
    found = agreed.json("commission", "correct", "--agreement", NAME, "--policy", "P", "--premium", "3100")
    sale = found["booking"]["record"]["inputs"][0]["information"]["sale"]
    assert (sale["premium"], sale["sold_on"], sale["product"]) == (310_000, 20_260_102, "health")


def test_service_of_the_node_is_asked_when_wished(agreed: Desk):
    asked = []

    def sales(payload: bytes) -> bytes:
        asked.append(sale_order_codec.decode(payload))
        return order_done_codec.encode(OrderDone(1, bytes(32), "refused", "commission_zero", 0, already=False))

    agreed.rpc.services["sales"] = sales
    assert "commission_zero" in book(agreed, "P1", "3000.5", "--service", code=1)
    assert (asked[0].raw.premium, asked[0].raw.policy) == ("3000.5", "P1")


def test_not_found_when_the_agreement_is_unknown(at: Desk):
    assert "not_found" in book(at, "P", "1", code=5)


# --- import -----------------------------------------------------------------------------------------------------------


def importing(at: Desk, path: Path, *more: str, code: int = 0) -> dict[str, object]:
    found = at.json("commission", "import", str(path), "--agreement", NAME, *more, code=code)
    assert isinstance(found, dict)
    return found


def test_file_is_booked_once_when_imported_twice(agreed: Desk, tmp_path: Path):
    path = tmp_path / "sales.csv"
    path.write_text("no,premium\nA,3000\nB,4000\nC,0.01\n")
    first = importing(agreed, path, "--policy-column", "no")
    assert (first["booked"], first["booked_amount"], first["zero"]) == (2, 21_000, 1)
    again = importing(agreed, path, "--policy-column", "no")
    assert (again["booked"], again["already"]) == (0, 2)


def test_nothing_is_booked_when_a_line_is_bad(agreed: Desk, tmp_path: Path):
    path = tmp_path / "sales.csv"
    path.write_text("premium\n3000\nx\n-1\n4000\n")
    result = agreed.run("commission", "import", str(path), "--agreement", NAME, code=3)
    assert "line 3, column 'premium'" in result.output
    assert "line 4, column 'premium'" in result.output
    assert agreed.json("commission", "list", "--agreement", NAME)["bookings"] == []
    found = importing(agreed, path, "--skip-invalid")
    assert (found["booked"], [p["line"] for p in found["skipped"]]) == (2, [3, 4])  # type: ignore[attr-defined]


def test_only_validated_when_dry(agreed: Desk, tmp_path: Path):
    path = tmp_path / "sales.csv"
    path.write_text("charges;x\n3000;1\n")
    found = importing(agreed, path, "--dry-run", "--premium-column", "charges", "--delimiter", ";")
    assert (found["policies"], found["commission"], found["booked"]) == (1, 9_000, 0)
    agreed.run("commission", "import", str(path), "--agreement", NAME, "--delimiter", ";;", code=2)


def test_refused_when_another_home_imports(agreed: Desk, tmp_path: Path):
    path = tmp_path / "sales.csv"
    path.write_text("premium\n3000\n")
    assert "not_permitted" in agreed.run("commission", "import", str(path), "--agreement", NAME, by=C, code=1).output


# --- settlement and books -----------------------------------------------------------------------------------------


def test_paid_when_the_insurer_pays_from_its_home(agreed: Desk):
    book(agreed, "P1", "3000")
    found = agreed.json("commission", "settle", "--agreement", NAME, "--pay", "--timeout", "20", by=C)
    assert [(r["reason"], r["amount"], r["paid"]) for r in found["requests"]] == [("early", 9_000, 9_000)]
    assert (found["open"], found["books"]["paid"]) == ([], 9_000)


def test_waiting_when_nobody_pays(agreed: Desk):
    book(agreed, "P1", "3000")
    assert (
        "settlement_waiting"
        in agreed.run("commission", "settle", "--agreement", NAME, "--timeout", "0.3", code=1).output
    )
    agreed.run("commission", "settle", "--agreement", NAME, "--pay", code=1)


def test_nothing_happens_when_nothing_is_pending(agreed: Desk):
    assert "nothing is pending" in agreed.run("commission", "settle", "--agreement", NAME).output


def test_report_shows_books_and_settlements(agreed: Desk):
    for number, premium in enumerate(("3000", "4000", "2000")):
        book(agreed, f"P{number}", premium)
    agreed.run("commission", "settle", "--agreement", NAME, "--pay", by=C)
    text = agreed.run("commission", "report", "--agreement", NAME).output
    assert "270.00" in text
    assert "count" in text
    assert agreed.json("commission", "report")["books"][0]["paid"] == 27_000


def test_unavailable_when_the_node_is_not_there(at: Desk, tmp_path: Path):
    from click.testing import CliRunner

    from node.cli.app import root

    result = CliRunner().invoke(root, ["commission", "list", "--socket", str(tmp_path / "none.sock")])
    assert result.exit_code == 4
    assert "rpc_unavailable" in result.output


def test_help_lists_commands_without_importing_them():
    import subprocess
    import sys

    script = (
        "import sys; from click.testing import CliRunner; from node.cli.app import root; "
        "r = CliRunner().invoke(root, ['commission', '--help']); assert 'import' in r.output, r.output; "
        "sys.exit('aiohttp' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
