"""Batch grants: one decision of officers gives an organisation a quota of filings of one kind (PROTOCOL.md 2.2).

A quota is not an authorisation: each document still gets its own authorising transaction. Quotas are counted on this
chain alone.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.interface import CallContext, EndContext
from contracts.supervision import codes
from contracts.supervision.calls import BATCH_EVENT, Batch, GrantBatch
from contracts.supervision.state import batch_codec, load_totals, numbered, store_totals
from ledger.encoding import encode

MAX_OPEN_BATCHES: Final = 64
"""With quota left, of one organisation and kind; what has run out is swept when the next one is granted."""


def grant(context: CallContext, arguments: GrantBatch, transactions: tuple[bytes, ...]) -> Batch:
    """Stores a batch that enough officers signed.

    Refuses with ``supervision_batch_invalid`` for one that could never be used, and ``supervision_batches_full``.
    """
    check(context, arguments)
    _sweep(context, arguments.organisation, arguments.kind)
    prefix = _prefix(arguments.organisation, arguments.kind)
    if sum(1 for _ in context.state.iterate(prefix, limit=MAX_OPEN_BATCHES)) == MAX_OPEN_BATCHES:
        raise Refusal(codes.BATCHES_FULL, f"{MAX_OPEN_BATCHES} batches of this organisation and kind have quota left")
    totals = load_totals(context.state)
    totals.batches += 1
    store_totals(context.state, totals)
    batch = Batch(
        totals.batches,
        arguments.organisation,
        arguments.kind,
        arguments.quota,
        0,
        arguments.not_before_ms,
        arguments.not_after_ms,
        transactions,
    )
    context.state.put(numbered(b"q", batch.number), encode(batch))
    context.state.put(_open_key(batch), b"")
    context.emit(BATCH_EVENT, batch)
    return batch


def check(context: EndContext, arguments: GrantBatch) -> None:
    """Refuses with ``supervision_batch_invalid`` a batch that is over before it begins, or names nobody."""
    if arguments.not_after_ms < max(arguments.not_before_ms, context.block.time_ms):
        raise Refusal(codes.BATCH_INVALID, "the batch's window is over already, or ends before it begins")
    if "\x00" in arguments.organisation or "\x00" in arguments.kind:
        raise Refusal(codes.BATCH_INVALID, "organisation and kind are names")


def take(context: EndContext, organisation: str, kind: str) -> bool:
    """Uses one of an organisation's quota for ``kind``, of the batch that ends first; False when none is left now."""
    now, prefix = context.block.time_ms, _prefix(organisation, kind)
    start = prefix + now.to_bytes(8, "big")
    for key, _ in context.state.iterate(prefix, start=start, limit=MAX_OPEN_BATCHES):
        batch = load(context, int.from_bytes(key[-8:], "big"))
        if batch is None or now < batch.not_before_ms:
            continue
        used = replace(batch, used=batch.used + 1)
        context.state.put(numbered(b"q", batch.number), encode(used))
        if used.used == used.quota:
            context.state.delete(key)
        return True
    return False


def load(context: EndContext, number: int) -> Batch | None:
    """The batch, or None where there is none of that number."""
    data = context.state.get(numbered(b"q", number))
    return None if data is None else batch_codec.decode(data)


def _sweep(context: EndContext, organisation: str, kind: str) -> None:
    over = []
    for key, _ in context.state.iterate(_prefix(organisation, kind), limit=MAX_OPEN_BATCHES):
        if int.from_bytes(key[-16:-8], "big") >= context.block.time_ms:
            break
        over.append(key)
    for key in over:
        context.state.delete(key)


def _prefix(organisation: str, kind: str) -> bytes:
    return b"o" + organisation.encode() + b"\x00" + kind.encode() + b"\x00"


def _open_key(batch: Batch) -> bytes:
    place = batch.not_after_ms.to_bytes(8, "big")
    return numbered(_prefix(batch.organisation, batch.kind) + place, batch.number)
