"""Named lists: which stage asks which list for what, and that nothing passes because it cannot be checked."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.codes import Refusal
from contracts.messages import STAGES
from contracts.rulebook.codes import FIELD_INVALID, LOOKUPS_EXCEEDED, VALUE_MISSING
from contracts.rulebook.fingerprints import fingerprint, of_text
from contracts.rulebook.records import DEFAULT_STAGES, LIST_KINDS
from tests.contracts.bench import START_MS
from tests.contracts.rulebook.book import (
    DRUGS,
    FLOW,
    ORDER,
    PATIENT,
    PHARMACY,
    REVIEWER,
    SUBJECT,
    Book,
    entry,
    facts,
    listed,
)

OTHER_KEY = b"\x01" + b"k" * 32
ENTRIES = [
    ("reviewer", (REVIEWER,), (OTHER_KEY,)),
    ("subject", (SUBJECT,), (b"t" * 32,)),
    ("subject_drug", (SUBJECT, DRUGS[1]), (b"t" * 32, DRUGS[1])),
    ("subject_drug", (SUBJECT, DRUGS[0]), (SUBJECT, "860976")),
    ("pharmacy_subject", (PHARMACY, SUBJECT), (PHARMACY, b"t" * 32)),
    ("organisation", ("platform one",), ("platform two",)),
    ("transaction", ("flow", FLOW), ("flow", b"g" * 32)),
    ("transaction", ("order", ORDER), ("flow", ORDER)),
    ("transaction", ("party", PATIENT), ("party", OTHER_KEY)),
]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.mark.parametrize(("kind", "parts", "others"), ENTRIES)
def test_stage_is_refused_when_a_deny_list_has_it(kind: str, parts: Any, others: Any, book: Book) -> None:
    version = book.adopt(lists=[listed("barred", kind)], entries={"barred": [entry(kind, *others)]})
    assert book.ask().outcome == "allow"
    draft = book.propose(version)
    book.stage(draft, 0, "barred", [entry(kind, *parts)])
    book.agree(draft)
    book.activate(draft)
    said = book.ask()
    assert (said.outcome, said.reason, said.rule) == ("refuse", f"rules_{kind}_listed", "barred")
    assert said.version == draft


@pytest.mark.parametrize(("kind", "parts", "others"), [case for case in ENTRIES if case[0] != "subject_drug"])
def test_stage_is_refused_when_an_allow_list_does_not_have_it(kind: str, parts: Any, others: Any, book: Book) -> None:
    version = book.adopt(lists=[listed("good", kind, "allow")], entries={"good": [entry(kind, *others)]})
    said = book.ask()
    assert (said.outcome, said.reason, said.rule) == ("refuse", f"rules_{kind}_not_listed", "good")
    book.adopt(version, entries={"good": [entry(kind, *parts)]})
    assert book.ask().outcome == "allow"


def test_allow_list_of_drugs_needs_every_drug_when_there_are_several(book: Book) -> None:
    version = book.adopt(
        lists=[listed("good", "subject_drug", "allow")], entries={"good": [entry("subject_drug", SUBJECT, DRUGS[0])]}
    )
    assert book.ask().outcome == "refuse"
    assert book.ask(facts(drugs=DRUGS[:1])).outcome == "allow"
    book.adopt(version, entries={"good": [entry("subject_drug", SUBJECT, DRUGS[1])]})
    assert book.ask().outcome == "allow"


@pytest.mark.parametrize("kind", [kind for kind in LIST_KINDS if kind != "value"])
@pytest.mark.parametrize("stage", STAGES)
def test_list_is_asked_at_the_stages_of_its_kind_when_it_names_none(kind: str, stage: str, book: Book) -> None:
    parts = next(parts for name, parts, _ in ENTRIES if name == kind)
    book.adopt(lists=[listed("barred", kind)], entries={"barred": [entry(kind, *parts)]})
    assert (book.ask(facts(stage=stage)).outcome == "refuse") == (stage in DEFAULT_STAGES[kind])


def test_list_is_asked_at_its_own_stages_and_kinds_when_it_names_them(book: Book) -> None:
    rule = listed("barred", "reviewer", stages=("settle", "review"), kinds=("prescription", "loan"))
    book.adopt(lists=[rule], entries={"barred": [entry("reviewer", REVIEWER)]})
    assert book.ask().outcome == "allow"
    assert book.ask(facts(stage="settle")).outcome == "refuse"
    assert book.ask(facts(stage="review", kind="loan")).outcome == "refuse"
    assert book.ask(facts(stage="review", kind="commission")).outcome == "allow"


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("reviewer", {"reviewer": b""}),
        ("subject", {"subject": b""}),
        ("subject_drug", {"subject": b""}),
        ("subject_drug", {"drugs": ()}),
        ("subject_drug", {"drugs": ("860975", "")}),
        ("pharmacy_subject", {"pharmacy": b""}),
        ("pharmacy_subject", {"subject": b""}),
        ("organisation", {"organisation": ""}),
    ],
)
@pytest.mark.parametrize("mode", ["deny", "allow"])
def test_stage_is_held_when_what_a_list_asks_for_is_missing(kind: str, missing: Any, mode: str, book: Book) -> None:
    book.adopt(lists=[listed("asked", kind, mode)])
    said = book.ask(facts(**missing))
    assert (said.outcome, said.reason, said.rule) == ("hold", VALUE_MISSING, "asked")


def test_own_effect_and_reason_count_when_a_list_has_them(book: Book) -> None:
    rule = listed("watched", "subject", effect="hold", reason="needs_a_look")
    book.adopt(lists=[rule], entries={"watched": [entry("subject", SUBJECT)]})
    said = book.ask()
    assert (said.outcome, said.reason) == ("hold", "needs_a_look")


def test_refusal_wins_when_another_list_holds(book: Book) -> None:
    rules = [listed("a_watched", "subject", effect="hold"), listed("b_barred", "reviewer")]
    held = [entry("subject", SUBJECT)]
    version = book.adopt(lists=rules, entries={"a_watched": held})
    assert book.ask().outcome == "hold"
    book.adopt(version, entries={"b_barred": [entry("reviewer", REVIEWER)]})
    assert (book.ask().outcome, book.ask().rule) == ("refuse", "b_barred")


def test_entry_counts_to_its_last_millisecond_when_it_expires(book: Book) -> None:
    ends = START_MS + 500
    book.adopt(lists=[listed("barred", "reviewer")], entries={"barred": {entry("reviewer", REVIEWER): ends}})
    assert book.ask(time_ms=ends).outcome == "refuse"
    assert book.ask(time_ms=ends + 1).outcome == "allow"
    # A past stage is judged by its own time, which is how history is tried out.
    assert book.ask(facts(time_ms=ends), time_ms=ends + 1).outcome == "refuse"


def test_everything_passes_when_there_are_no_rules(book: Book) -> None:
    said = book.ask(facts(subject=b"", reviewer=b"", drugs=()))
    assert (said.outcome, said.reason, said.rule, said.version) == ("allow", "", "", 0)


def test_stage_is_held_when_more_would_be_looked_up_than_one_check_may(book: Book) -> None:
    lists = [listed(f"pairs_{number:02}", "subject_drug") for number in range(17)]
    book.adopt(lists=lists)
    drugs = tuple(f"{number:06}" for number in range(256))
    said = book.ask(facts(drugs=drugs))
    assert (said.outcome, said.reason, said.rule) == ("hold", LOOKUPS_EXCEEDED, "pairs_16")
    assert book.ask(facts(drugs=drugs[:200])).outcome == "allow"


def test_rules_are_asked_by_the_contract_of_their_kind_when_the_caller_is_another(book: Book) -> None:
    context = book.context("registry")
    assert context.enter_kind("rules").address == "rules"
    with pytest.raises(Refusal, match="no contract of kind"):
        context.enter_kind("flow")


# --- fingerprints -----------------------------------------------------------------------------------------------------


def test_fingerprints_differ_when_kind_or_parts_do() -> None:
    made = [fingerprint(kind, *parts) for kind, parts, _ in ENTRIES] + [fingerprint("value", "platform one")]
    assert len(set(made)) == len(made)
    assert fingerprint("reviewer", REVIEWER).hex() == fingerprint("reviewer", bytes(REVIEWER)).hex()


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("reviewer", ()),
        ("reviewer", (b"k" * 32,)),
        ("reviewer", ("k" * 33,)),
        ("subject", (SUBJECT, SUBJECT)),
        ("subject_drug", (SUBJECT, b"860975")),
        ("subject_drug", (SUBJECT, "")),
        ("transaction", (FLOW,)),
        ("transaction", ("batch", FLOW)),
        ("transaction", ("party", FLOW)),
        ("organisation", ("two\nlines",)),
        ("drug", ("860975",)),
    ],
)
def test_fingerprint_is_refused_when_its_parts_are_of_another_form(kind: str, parts: Any) -> None:
    with pytest.raises(Refusal) as caught:
        fingerprint(kind, *parts)
    assert caught.value.code == FIELD_INVALID


def test_text_asks_for_the_entry_of_its_hex_when_the_list_is_of_keys() -> None:
    assert of_text("reviewer", REVIEWER.hex()) == fingerprint("reviewer", REVIEWER)
    assert of_text("value", "x") == fingerprint("value", "x")
    for text in (REVIEWER.hex().upper(), REVIEWER.hex() + " ", SUBJECT.hex(), "", "zz"):
        assert of_text("reviewer", text) is None
    assert of_text("subject_drug", SUBJECT.hex()) is None
