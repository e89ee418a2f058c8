"""Opens sealed records of the supervision chain, and rewraps them for an authority's new key (PROTOCOL.md 2.5)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog

from contracts.rewraps import KIND, RewrapsPage, RewrapsQuery, StoreRewrap
from contracts.supervision.answers import PageQuery, RecordsPage, RecordView, RequestQuery
from ledger.envelope import Envelope, EnvelopeContext, Rewrap, envelope_codec, envelope_digest
from ledger.envelope_document import SealedDocument
from ledger.errors import InvalidEnvelope, NotFound
from ledger.sealing import open_document, rewrap
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller, CallRefused
from node.gateway import Gateway

log = structlog.get_logger(__name__)

SUPERVISION: Final = "supervision"
NOT_FOR_US: Final = "envelope_not_for_us"
PAGE: Final = 100


def context_of(record: RecordView) -> EnvelopeContext:
    """Where the envelope of a record belongs."""
    view, request = record.request, record.request.request
    return EnvelopeContext(view.source, request.flow, request.stage, request.actor, request.commitment)


async def open_record(gateway: Gateway, record: RecordView, keys: Sequence[DecryptionKey]) -> SealedDocument:
    """The document of a sealed record, by our keys or by a rewrap for one of them.

    Args:
        gateway: of the supervision chain.
        record: with its envelope.
        keys: ours.

    Raises:
        InvalidEnvelope: as ``ledger.sealing.open_document``.
    """
    envelope, context = envelope_codec.decode(record.envelope), context_of(record)
    try:
        return open_document(envelope, context, keys)
    except InvalidEnvelope as error:
        if error.code != NOT_FOR_US:
            raise
        for found in await _rewraps_for(gateway, envelope, keys):
            # Who wrapped it may have wrapped rubbish: then another one's counts.
            with contextlib.suppress(InvalidEnvelope):
                return open_document(envelope, context, keys, via=found)
        raise


async def _rewraps_for(gateway: Gateway, envelope: Envelope, keys: Sequence[DecryptionKey]) -> list[Rewrap]:
    try:
        page = await gateway.view(KIND, "rewraps", RewrapsQuery(envelope_digest(envelope)), RewrapsPage)
    except NotFound:
        return []  # this chain keeps no rewraps
    ours = {key.key_id for key in keys}
    return [found for found in page.rewraps if found.stanza.recipient in ours]


async def rewrap_records(
    caller: Caller, keys: Sequence[DecryptionKey], *, after: int = 0
) -> AsyncIterator[tuple[int, bool]]:
    """Rewraps every sealed record that the newest of ``keys`` does not open, so that the older ones can be put away.

    May be stopped and begun again: what is done is passed over.

    Args:
        caller: with the authority's key, on the supervision chain.
        keys: the authority's, the newest last.
        after: number of the last record that was looked at.

    Yields:
        (number of a record, True when it was rewrapped now), in order.

    Raises:
        CallRefused, CallUnresolved: see ``Caller.call``.
    """
    newest = keys[-1]
    while True:
        page = await caller.gateway.view(SUPERVISION, "records", PageQuery(after, PAGE), RecordsPage)
        for ref in page.records:
            query = RequestQuery(ref.flow, ref.stage, ref.attempt)
            record = await caller.gateway.view(SUPERVISION, "record", query, RecordView)
            yield ref.number, bool(record.envelope) and await _rewrap(caller, record, keys, newest)
        after = page.last
        if not page.more:
            return


async def records_shut_to(gateway: Gateway, key: DecryptionKey) -> AsyncIterator[int]:
    """Numbers of stored records that neither were sealed to ``key`` nor have a rewrap for it, in order."""
    after = 0
    while True:
        page = await gateway.view(SUPERVISION, "records", PageQuery(after, PAGE), RecordsPage)
        for ref in page.records:
            query = RequestQuery(ref.flow, ref.stage, ref.attempt)
            record = await gateway.view(SUPERVISION, "record", query, RecordView)
            if not record.envelope:
                continue
            envelope = envelope_codec.decode(record.envelope)
            if envelope.stanza_for(key.key_id) is None and not await _rewraps_for(gateway, envelope, [key]):
                yield ref.number
        after = page.last
        if not page.more:
            return


async def _rewrap(caller: Caller, record: RecordView, keys: Sequence[DecryptionKey], newest: DecryptionKey) -> bool:
    envelope, context = envelope_codec.decode(record.envelope), context_of(record)
    if envelope.stanza_for(newest.key_id) is not None:
        return False
    if any(found.wrapper == caller.key.public for found in await _rewraps_for(caller.gateway, envelope, [newest])):
        return False
    request = record.request.request
    for key in reversed(keys[:-1]):
        ways: list[Rewrap | None] = [None] if envelope.stanza_for(key.key_id) else []
        for via in [*ways, *await _rewraps_for(caller.gateway, envelope, [key])]:
            try:
                made = rewrap(envelope, context, key, newest.public, caller.key, via)
                await caller.call(KIND, "store", StoreRewrap(request.flow, request.stage, request.attempt, made))
            except (InvalidEnvelope, CallRefused) as error:
                log.warning("record_not_rewrapped", flow=request.flow.hex(), stage=request.stage, code=error.code)
                continue
            return True
    return False
