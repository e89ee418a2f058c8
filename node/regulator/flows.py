"""Finding flows and records on the supervision chain, and opening records in the open (PROTOCOL.md 2.5)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from contracts.supervision.answers import (
    MAX_PAGE,
    Counters,
    DisclosuresPage,
    FlowQuery,
    FlowView,
    Nothing,
    PageQuery,
    RecordRef,
    RecordsPage,
    RecordView,
    RequestQuery,
    RequestsPage,
    RequestView,
    StatisticsPage,
    StatisticsQuery,
    StatisticsRow,
    SubjectQuery,
)
from contracts.supervision.calls import Disclose, Disclosure
from ledger.envelope_document import SealedDocument
from ledger.errors import InvalidInput, NotFound
from node.calling import Caller, result_of
from node.gateway import Gateway
from node.regulator.decisions import CONTRACT, pending

if TYPE_CHECKING:
    from ledger.sealing_keys import DecryptionKey

MIN_PREFIX: Final = 4
"""Hex digits that a prefix of a flow id has at least."""
_HEX: Final = re.compile(r"\A[0-9a-f]+\Z")


async def find_flow(gateway: Gateway, text: str) -> FlowView:
    """The flow that people mean.

    Args:
        gateway: of the supervision chain.
        text: hex of a flow's id or authorisation hash, or the beginning of the id of a flow with a pending request.

    Raises:
        NotFound: there is none.
        InvalidInput: ``flow_invalid``: not hex; ``flow_ambiguous``: several begin so.
    """
    if not _HEX.match(text) or not MIN_PREFIX <= len(text) <= 64:
        raise InvalidInput(
            f"a flow is named by its id or authorisation hash (64 hex digits), or by {MIN_PREFIX} digits or more of "
            "the id of one that has a pending request",
            code="flow_invalid",
        )
    if len(text) == 64:
        return await gateway.view(CONTRACT, "flow", FlowQuery(bytes.fromhex(text)), FlowView)
    found = {
        name
        for view in await pending(gateway)
        for name in (view.request.flow, view.request.authorisation)
        if name.hex().startswith(text)
    }
    flows = [await gateway.view(CONTRACT, "flow", FlowQuery(name), FlowView) for name in sorted(found)]
    distinct = {flow.flow: flow for flow in flows}
    if not distinct:
        raise NotFound(f"no pending request is of a flow that begins with {text}; others are named in full")
    if len(distinct) > 1:
        raise InvalidInput(f"{len(distinct)} flows with pending requests begin with {text}", code="flow_ambiguous")
    return next(iter(distinct.values()))


async def requests(gateway: Gateway, after: int = 0) -> AsyncIterator[RequestView]:
    """All requests numbered above ``after``, in the order in which they came."""
    while True:
        page = await gateway.view(CONTRACT, "requests", PageQuery(after, MAX_PAGE), RequestsPage)
        for request in page.requests:
            yield request
        after = page.last
        if not page.more:
            return


async def first_request_since(gateway: Gateway, time_ms: int) -> int:
    """Number of the first request that came at ``time_ms`` or later; one more than the last where none did."""
    low, high = 1, (await counters(gateway)).requests + 1
    while low < high:
        middle = (low + high) // 2
        page = await gateway.view(CONTRACT, "requests", PageQuery(middle - 1, 1), RequestsPage)
        if not page.requests or page.requests[0].received_ms >= time_ms:
            high = middle
        else:
            low = middle + 1
    return low


async def counters(gateway: Gateway) -> Counters:
    """Totals of the supervision contract."""
    return await gateway.view(CONTRACT, "counters", Nothing(), Counters)


async def statistics(gateway: Gateway, dimension: str, value: str = "") -> AsyncIterator[StatisticsRow]:
    """Counts of one dimension, by value and day; of one value only where it is given."""
    after_value, after_day = "", 0
    while True:
        query = StatisticsQuery(dimension, value, after_value, after_day, MAX_PAGE)
        page = await gateway.view(CONTRACT, "statistics", query, StatisticsPage)
        for row in page.rows:
            yield row
        if not page.more:
            return
        after_value, after_day = page.rows[-1].value, page.rows[-1].day


async def records_of_subject(gateway: Gateway, subject: bytes) -> AsyncIterator[RecordRef]:
    """Sealed records under a pseudonym, in the order in which they came."""
    after = 0
    while True:
        query = SubjectQuery(subject, after, MAX_PAGE)
        page = await gateway.view(CONTRACT, "by_subject", query, RecordsPage)
        for record in page.records:
            yield record
        after = page.last
        if not page.more:
            return


async def disclosures(gateway: Gateway, after: int = 0) -> AsyncIterator[Disclosure]:
    """The disclosure log, oldest first, from the entry after ``after`` on."""
    while True:
        page = await gateway.view(CONTRACT, "disclosures", PageQuery(after, MAX_PAGE), DisclosuresPage)
        for entry in page.disclosures:
            yield entry
            after = entry.number
        if not page.more:
            return


async def find_record(gateway: Gateway, flow: bytes, stage: str, attempt: int = 0) -> RecordView:
    """A sealed record. Raises ``NotFound``."""
    return await gateway.view(CONTRACT, "record", RequestQuery(flow, stage, attempt), RecordView)


async def disclose(authority: Caller, flow: bytes, stage: str, attempt: int, purpose: str) -> Disclosure:
    """An authority says on chain that it opens a record, and why: before it does."""
    outcome = await authority.call(CONTRACT, "disclose", Disclose(flow, stage, attempt, purpose))
    return result_of(outcome, Disclosure)


async def open_record(
    authority: Caller, sealing: list[DecryptionKey], record: RecordView, purpose: str
) -> tuple[Disclosure, SealedDocument]:
    """Writes into the disclosure log that a record is opened, then opens it.

    Args:
        authority: who opens.
        sealing: its decryption keys; what only an older one opens counts when it was rewrapped for one of them.
        record: as found.
        purpose: why; a word such as ``search`` or ``court``.

    Raises:
        NotFound: nobody opened the request before it expired, so its envelope is gone.
        InvalidInput: the chain refused the disclosure, and then nothing was opened; or the envelope does not open.
    """
    from node.services import rewrapping  # noqa: PLC0415 - only who opens needs the library behind it

    request = record.request.request
    if not record.envelope:
        raise NotFound("this request expired unopened, and its envelope was dropped")
    entry = await disclose(authority, request.flow, request.stage, request.attempt, purpose)
    return entry, await rewrapping.open_record(authority.gateway, record, sealing)
