"""The rule book as supervision asks it: attested attributes and stage facts reach lists and expressions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contracts.expression.attributes import from_mapping
from contracts.messages import NEED_GRANT, StageRequest
from contracts.rulebook.records import Declared
from contracts.supervision.standing import verdict_on
from contracts.supervision.state import Attested, FlowRecord
from ledger.encoding import encode
from tests.contracts.rulebook.book import (
    FLOW,
    ORDER,
    PATIENT,
    PHARMACY,
    REVIEWER,
    SUBJECT,
    Book,
    entry,
    expression,
    listed,
)

PLATFORM = b"\x01" + b"p" * 32
RECORD = FlowRecord(
    kind="prescription",
    kind_version=1,
    filer=PLATFORM,
    platform=PLATFORM,
    organisation="platform one",
    opened_by="file",
    commitment=b"c" * 32,
    authorisation=b"a" * 32,
    subject=SUBJECT,
    granted_reviewer=REVIEWER,
    reviewer=REVIEWER,
    control="",
    marks=(),
)
REQUEST = StageRequest(
    flow=FLOW,
    kind="prescription",
    kind_version=1,
    stage="order",
    attempt=1,
    need=NEED_GRANT,
    actor=PATIENT,
    filer=PLATFORM,
    platform=PLATFORM,
    authorisation=b"a" * 32,
    commitment=b"c" * 32,
    envelope=b"",
    purpose="order",
    pharmacy=PHARMACY,
    order=ORDER,
    subject=b"",
    asset="CNY",
    amount=25_500,
    requested_ms=1,
    deadline_ms=2,
    envelope_epoch=0,
)


def asked(book: Book, record: FlowRecord = RECORD, attested: dict[str, Any] | None = None, **changes: Any) -> str:
    """Reason that supervision gets for the order, empty where it is allowed."""
    context = book.context("supervision")
    attributes = from_mapping({"drugs": ("860975",), "age": 40} if attested is None else attested)
    context.state.put(b"v" + FLOW, encode(Attested(attributes)))
    request = msgspec.structs.replace(REQUEST, **changes)
    return verdict_on(context, record, request, "platform one").reason


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("reviewer", (REVIEWER,)),
        ("subject", (SUBJECT,)),
        ("subject_drug", (SUBJECT, "860975")),
        ("pharmacy_subject", (PHARMACY, SUBJECT)),
        ("organisation", ("platform one",)),
        ("transaction", ("flow", FLOW)),
        ("transaction", ("order", ORDER)),
        ("transaction", ("party", PATIENT)),
        ("transaction", ("party", PHARMACY)),
    ],
)
def test_order_is_refused_by_each_kind_of_list_when_supervision_asks(kind: str, parts: Any) -> None:
    book = Book()
    version = book.adopt(lists=[listed("barred", kind)])
    assert asked(book) == ""
    book.adopt(version, entries={"barred": [entry(kind, *parts)]})
    assert asked(book) == f"rules_{kind}_listed"


def test_reviewer_is_who_asks_when_the_stage_is_review() -> None:
    book = Book()
    book.adopt(lists=[listed("barred", "reviewer")], entries={"barred": [entry("reviewer", REVIEWER)]})
    unreviewed = msgspec.structs.replace(RECORD, reviewer=b"", granted_reviewer=b"")
    changes = {"stage": "review", "pharmacy": b"", "order": b"", "purpose": "pres"}
    assert asked(book, unreviewed, actor=REVIEWER, **changes) == "rules_reviewer_listed"
    assert asked(book, unreviewed, actor=PHARMACY, **changes) == ""


def test_expressions_read_what_was_attested_when_supervision_asks() -> None:
    book = Book()
    rules = [
        expression("minors", "age < 18", reason="too_young"),
        expression("strong", '"7052" in drugs && amount > 20000', "hold", reason="strong_and_dear"),
    ]
    book.adopt(attributes=[Declared("age", "int")], expressions=rules)
    assert asked(book) == ""
    assert asked(book, attested={"age": 17, "drugs": ("860975",)}) == "too_young"
    assert asked(book, attested={"age": 40, "drugs": ("1", "7052")}) == "strong_and_dear"
    assert asked(book, attested={"drugs": ("860975",)}) == "rules_value_missing"


def test_new_version_holds_for_supervision_when_the_height_has_come() -> None:
    book = Book()
    draft = book.propose(expressions=[expression("none", "true", reason="closed")])
    book.agree(draft)
    book.activate(draft, book.height + 3)
    seen = []
    for _ in range(4):
        seen.append(asked(book))
        book.block()
    assert seen == ["", "closed", "closed", "closed"]
