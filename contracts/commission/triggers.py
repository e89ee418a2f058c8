"""When settlement is requested (PROTOCOL.md 1.2, 1.4): the due index, and the requests that a block's end emits.

An agreement stands in the due index at most once, under the earliest block time at which a trigger can fire; count,
amount and early requests put it there under the time of the block itself. The entry is a hint, checked when its time
comes: a cancellation need not look for the queue's new oldest record. Ends of blocks are the only place that iterates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from contracts.commission.amounts import batch_hash
from contracts.commission.calls import AccountTotal, RequestItem, SettlementRequest
from contracts.commission.records import Agreement, Triggers
from contracts.commission.state import (
    QueueEntry,
    RequestState,
    Tally,
    activation_key,
    activations_codec,
    due_key,
    listed_key,
    listed_prefix,
    load_agreement,
    load_tally,
    load_versions,
    queue_codec,
    store_tally,
)
from contracts.interface import MAX_DUE_ITEMS_PER_BLOCK, EndContext, StateSpace
from ledger.encoding import encode

MAX_RECORDS_REQUESTED_PER_BLOCK: Final = 4_000
"""Keeps the end of a block within the interface's bounds of one call: a read and a deletion for each record."""
MAX_ACCOUNTS_PER_REQUEST: Final = 64
"""Settled accounts in one request: each is an output of its settlement. The batch ends before the next one."""

REASON_COUNT: Final = "count"
REASON_AMOUNT: Final = "amount"
REASON_AGE: Final = "age"
REASON_SCHEDULE: Final = "schedule"
REASON_EARLY: Final = "early"


def entered_queue(context: EndContext, agreement: Agreement, tally: Tally, amount: int) -> None:
    """A record of ``amount`` has become pending in this block; ``agreement`` is the version in force."""
    now = context.block.time_ms
    if tally.unrequested_count == 0:
        tally.oldest_ms = now
        tally.schedule_ms = next_scheduled(agreement.triggers, now)
    tally.unrequested_count += 1
    tally.unrequested_amount += amount
    rearm(context.state, agreement, tally, now)


def left_queue(context: EndContext, tally: Tally, agreement: str, amount: int) -> None:
    """A pending record of ``amount`` was cancelled; where the due time is now too early, its check will find out."""
    tally.unrequested_count -= 1
    tally.unrequested_amount -= amount
    if tally.unrequested_count == 0:
        _emptied(tally)
        _move(context.state, agreement, tally, 0)


def _emptied(tally: Tally) -> None:
    tally.oldest_ms = 0
    tally.schedule_ms = 0
    tally.early = ""


def next_scheduled(triggers: Triggers, from_ms: int) -> int:
    """The first scheduled time at or after ``from_ms``, 0 without a schedule."""
    every_ms = triggers.schedule_every_s * 1000
    if every_ms == 0:
        return 0
    missed = max(0, from_ms - triggers.schedule_first_ms)
    return triggers.schedule_first_ms + -(-missed // every_ms) * every_ms


def rearm(state: StateSpace, agreement: Agreement, tally: Tally, now_ms: int) -> None:
    """Puts the agreement into the due index where it belongs; one that is due already keeps its place in line."""
    if tally.unrequested_count == 0:
        due = 0
    elif _reason(agreement.triggers, tally, now_ms):
        due = tally.due_ms if 0 < tally.due_ms <= now_ms else now_ms
    else:
        times = [tally.schedule_ms] if tally.schedule_ms else []
        if agreement.triggers.age_s:
            times.append(tally.oldest_ms + agreement.triggers.age_s * 1000)
        due = min(times, default=0)
    _move(state, agreement.agreement, tally, due)


def _move(state: StateSpace, agreement: str, tally: Tally, due_ms: int) -> None:
    if due_ms == tally.due_ms:
        return
    if tally.due_ms:
        state.delete(due_key(tally.due_ms, agreement))
    if due_ms:
        state.put(due_key(due_ms, agreement), b"")
    tally.due_ms = due_ms


def _reason(triggers: Triggers, tally: Tally, now_ms: int) -> str:
    """The first trigger that holds, or nothing; ``tally.oldest_ms`` may be too early and then ``age`` too."""
    if 0 < triggers.count <= tally.unrequested_count:
        return REASON_COUNT
    if 0 < triggers.amount <= tally.unrequested_amount:
        return REASON_AMOUNT
    if triggers.age_s and now_ms - tally.oldest_ms >= triggers.age_s * 1000:
        return REASON_AGE
    if 0 < tally.schedule_ms <= now_ms:
        return REASON_SCHEDULE
    return REASON_EARLY if tally.early else ""


def first_due_ms(state: StateSpace) -> int | None:
    """Block time from which the due index has work, or None."""
    for key, _ in state.iterate(b"c", limit=1):
        return _due_time(key)
    return None


def _due_time(key: bytes) -> int:
    return int.from_bytes(key[1:9], "big")


def end_block(context: EndContext) -> None:
    """Applies versions that activate at this height, then fires what is due, in order of due time.

    At most ``MAX_DUE_ITEMS_PER_BLOCK`` agreements or batches and ``MAX_RECORDS_REQUESTED_PER_BLOCK`` records; an
    agreement that is due again after a batch goes to the end of the line. The rest stays due for the next block.
    """
    _activate(context)
    now = context.block.time_ms
    found = [key for key, _ in context.state.iterate(b"c", limit=MAX_DUE_ITEMS_PER_BLOCK) if _due_time(key) <= now]
    line = deque(key[9:].decode() for key in found)
    records = MAX_RECORDS_REQUESTED_PER_BLOCK
    for _ in range(MAX_DUE_ITEMS_PER_BLOCK):
        if not line:
            return
        name = line.popleft()
        agreement = _current(context, name)
        if agreement.max_batch > records:
            return
        tally = load_tally(context.state, name)
        fired = _fire(context, agreement, tally)
        if fired:
            # Due again, it goes behind those that have not had their turn.
            records -= fired
            _move(context.state, name, tally, 0)
        rearm(context.state, agreement, tally, now)
        store_tally(context.state, name, tally)
        if 0 < tally.due_ms <= now:
            line.append(name)


def _current(context: EndContext, name: str) -> Agreement:
    version = load_versions(context.state, name).in_force(context.block.height)
    return load_agreement(context.state, name, version)


def _activate(context: EndContext) -> None:
    state = context.state
    key = activation_key(context.block.height)
    data = state.get(key)
    if data is None:
        return
    state.delete(key)
    for name in activations_codec.decode(data).agreements:
        agreement = _current(context, name)
        tally = load_tally(state, name)
        if tally.unrequested_count:
            tally.schedule_ms = next_scheduled(agreement.triggers, context.block.time_ms)
            rearm(state, agreement, tally, context.block.time_ms)
            store_tally(state, name, tally)


def _fire(context: EndContext, agreement: Agreement, tally: Tally) -> int:
    """Emits one request if a trigger holds; the number of records in it, and ``tally`` brought up to date."""
    name, now = agreement.agreement, context.block.time_ms
    queue = _queue(context.state, name, agreement.max_batch + 1)
    first = next(queue)
    tally.oldest_ms = first[1].booked_ms
    reason = _reason(agreement.triggers, tally, now)
    if not reason:
        return 0
    batch = _take_batch(first, queue, agreement.max_batch)
    rest = next(queue, None) if len(batch) == agreement.max_batch else None
    _write_request(context, agreement, tally, batch, reason)
    tally.unrequested_count -= len(batch)
    tally.early = ""
    if tally.unrequested_count == 0:
        _emptied(tally)
    else:
        # Where a batch ended early for its accounts, its own time is a safe lower bound of the next record's.
        tally.oldest_ms = batch[-1][1].booked_ms if rest is None else rest[1].booked_ms
        tally.schedule_ms = next_scheduled(agreement.triggers, now + 1)
    return len(batch)


def _queue(state: StateSpace, name: str, limit: int) -> Iterator[tuple[int, QueueEntry]]:
    for key, value in state.iterate(listed_prefix(b"q", name), limit=limit):
        yield int.from_bytes(key[-8:], "big"), queue_codec.decode(value)


def _take_batch(
    first: tuple[int, QueueEntry], queue: Iterator[tuple[int, QueueEntry]], max_batch: int
) -> list[tuple[int, QueueEntry]]:
    batch, accounts = [first], {first[1].settled}
    for item in islice(queue, max_batch - 1):
        accounts.add(item[1].settled)
        if len(accounts) > MAX_ACCOUNTS_PER_REQUEST:
            break
        batch.append(item)
    return batch


def _write_request(
    context: EndContext, agreement: Agreement, tally: Tally, batch: list[tuple[int, QueueEntry]], reason: str
) -> None:
    state, name = context.state, agreement.agreement
    totals: dict[str, int] = {}
    for sequence, entry in batch:
        totals[entry.settled] = totals.get(entry.settled, 0) + entry.amount
        state.delete(listed_key(b"q", name, sequence))
    number = tally.requests + 1
    items = tuple(RequestItem(entry.outpoint, entry.amount) for _, entry in batch)
    amount = sum(totals.values())
    request = SettlementRequest(
        agreement=name,
        request=number,
        reason=reason,
        height=context.block.height,
        time_ms=context.block.time_ms,
        items=items,
        totals=tuple(AccountTotal(account, total) for account, total in totals.items()),
        amount=amount,
        batch_hash=batch_hash(context.block.chain_id, context.address, name, number, items),
    )
    last = batch[-1][0]
    request_state = RequestState(last, len(batch), amount, reason, request.time_ms, request.batch_hash)
    state.put(listed_key(b"r", name, number), encode(request))
    state.put(listed_key(b"s", name, number), encode(request_state))
    state.put(listed_key(b"u", name, number), b"")
    tally.requests = number
    tally.requests_open += 1
    tally.requested = last
    tally.unrequested_amount -= amount
    context.emit("settlement_requested", request)
