"""Counts of requests by organisation, drug, subject, rule, stage and day (PROTOCOL.md 2.6)."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.expression.attributes import Attribute
from contracts.interface import EndContext, StateSpace
from contracts.supervision import calls
from contracts.supervision.answers import Tallies
from contracts.supervision.state import FlowRecord, RequestRecord, load_attested, tallies_codec
from ledger.encoding import encode

HELD: Final = "held"
"""Counted beside the statuses that end a request: one that was held counts again when officers decide."""
MAX_COUNTED_DRUGS: Final = 16
DAY_MS: Final = 86_400_000
_NOTHING: Final = Tallies(0, 0, 0, 0, 0, 0)
_DAY_BYTES: Final = 4


def value_text(value: str) -> str:
    """``value`` as a row of statistics names it: at most 256 characters, none of which is NUL."""
    return value[:256].replace("\x00", "\ufffd")


def row_key(dimension: str, value: str, day: int) -> bytes:
    """State key of a row."""
    return value_prefix(dimension, value) + day.to_bytes(_DAY_BYTES, "big")


def value_prefix(dimension: str, value: str) -> bytes:
    """Prefix of the rows of one value."""
    return dimension_prefix(dimension) + value.encode() + b"\x00"


def dimension_prefix(dimension: str) -> bytes:
    """Prefix of the rows of one dimension."""
    return b"s" + bytes([calls.DIMENSIONS.index(dimension)])


def read_row_key(key: bytes) -> tuple[str, int]:
    """Value and day of a row."""
    return key[2 : -_DAY_BYTES - 1].decode(), int.from_bytes(key[-_DAY_BYTES:], "big")


def drugs_of(attributes: tuple[Attribute, ...]) -> tuple[str, ...]:
    """The attested drug codes, in their order."""
    for attribute in attributes:
        if attribute.name == calls.DRUGS:
            value = attribute.value
            return value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
    return ()


def count(context: EndContext, flow: FlowRecord | None, record: RequestRecord, outcome: str) -> None:
    """Counts one request under ``outcome``: a status of ``calls`` that ends it, or ``HELD``.

    Args:
        context: of the supervision contract.
        flow: None where the flow never got so far as to be known.
        record: the request, with reason and rule.
        outcome: field of ``answers.Tallies``.
    """
    day, state, request = context.block.time_ms // DAY_MS, context.state, record.request
    _add(state, calls.DAY, request.kind, day, outcome)
    _add(state, calls.STAGE, f"{request.kind}/{request.stage}", day, outcome)
    if record.organisation:
        _add(state, calls.ORGANISATION, record.organisation, day, outcome)
    if record.rule or record.reason:
        _add(state, calls.RULE, record.rule or record.reason, day, outcome)
    if flow is None:
        return
    if flow.subject:
        _add(state, calls.SUBJECT, flow.subject.hex(), day, outcome)
    drugs = drugs_of(load_attested(state, request.flow))
    for drug in sorted(set(drugs))[:MAX_COUNTED_DRUGS]:
        _add(state, calls.DRUG, drug, day, outcome)


def _add(state: StateSpace, dimension: str, value: str, day: int, outcome: str) -> None:
    key = row_key(dimension, value_text(value), day)
    data = state.get(key)
    tallies = _NOTHING if data is None else tallies_codec.decode(data)
    state.put(key, encode(msgspec.structs.replace(tallies, **{outcome: getattr(tallies, outcome) + 1})))
