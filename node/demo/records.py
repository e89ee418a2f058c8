"""Who can read what: the regulator's records with the authority's key and with everybody else's; an order likewise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.flow.answers import SealedCopy, SealedQuery
from contracts.messages import ORDER
from contracts.supervision.answers import PageQuery, RecordsPage, RecordView, RequestQuery
from ledger.envelope import Envelope, EnvelopeContext, envelope_codec
from ledger.errors import InvalidEnvelope
from ledger.sealing import open_document, open_envelope
from ledger.sealing_keys import DecryptionKey
from node.consortium.parties import Party
from node.gateway import Gateway

PAGE: Final = 100
CONTRACT: Final = "supervision"


@dataclass(frozen=True, slots=True)
class Opened:
    """How many records the authority opened, and how many anybody else did (0 is right)."""

    records: int
    by_authority: int
    by_others: int


async def open_all(gateway: Gateway, authority: list[DecryptionKey], others: Iterable[Party]) -> Opened:
    """Opens every sealed record of the supervision chain with the authority's keys, and tries each with the others'."""
    keys = [party.sealing for party in others]
    records = by_authority = by_others = 0
    after = 0
    while True:
        page = await gateway.view(CONTRACT, "records", PageQuery(after, PAGE), RecordsPage)
        for ref in page.records:
            found = await gateway.view(CONTRACT, "record", RequestQuery(ref.flow, ref.stage, ref.attempt), RecordView)
            if not found.envelope:
                continue
            records += 1
            asked = found.request.request
            context = EnvelopeContext(found.request.source, asked.flow, asked.stage, asked.actor, asked.commitment)
            envelope = envelope_codec.decode(found.envelope)
            open_document(envelope, context, authority)
            by_authority += 1
            by_others += sum(_opens(envelope, context, key) for key in keys)
        after = page.last
        if not page.more:
            return Opened(records, by_authority, by_others)


async def order_readers(gateway: Gateway, flow: bytes, parties: Iterable[Party]) -> list[str]:
    """Names of those among ``parties`` who can open the order of a flow: its pharmacy alone."""
    found = await gateway.view("flow", "sealed", SealedQuery(flow, ORDER), SealedCopy)
    chain_id = (await gateway.info()).chain_id
    context = EnvelopeContext(chain_id, flow, ORDER, found.sender, found.commitment)
    names = []
    for party in parties:
        try:
            open_envelope(found.envelope, context, party.sealing)
        except InvalidEnvelope:
            continue
        names.append(party.name)
    return names


def _opens(envelope: Envelope, context: EnvelopeContext, key: DecryptionKey) -> bool:
    try:
        open_envelope(envelope, context, key)
    except InvalidEnvelope:
        return False
    return True
