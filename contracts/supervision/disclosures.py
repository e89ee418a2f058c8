"""The disclosure log: every opening of a sealed record by an authority is recorded on chain (PROTOCOL.md 2.5)."""

from __future__ import annotations

from contracts.codes import Refusal
from contracts.governance.policies import AUTHORITIES, keys_of, policy
from contracts.interface import CallContext
from contracts.supervision import codes
from contracts.supervision.calls import DISCLOSED_EVENT, Disclose, Disclosure
from contracts.supervision.state import (
    RequestRecord,
    load_flow,
    load_request,
    load_totals,
    numbered,
    store_totals,
)
from ledger.encoding import encode
from ledger.types import PublicKey


def disclose(context: CallContext, arguments: Disclose) -> Disclosure:
    """An authority says that it will open a record for another reason than to decide.

    Refuses with ``supervision_not_authority`` and ``supervision_record_unknown``.
    """
    authority = context.sender.key
    if authority not in keys_of(policy(context, AUTHORITIES)):
        raise Refusal(codes.NOT_AUTHORITY, "only an authority can open sealed records")
    attempt = arguments.attempt
    if not attempt:
        flow = load_flow(context.state, arguments.flow)
        attempt = 0 if flow is None else flow.newest(arguments.stage)
    record = load_request(context.state, arguments.flow, arguments.stage, attempt) if attempt else None
    if record is None or not record.record:
        raise Refusal(codes.RECORD_UNKNOWN, "there is no such sealed record")
    entry = log(context, authority, record, arguments.purpose)
    context.emit(DISCLOSED_EVENT, entry)
    return entry


def log(context: CallContext, authority: PublicKey, record: RequestRecord, purpose: str) -> Disclosure:
    """Adds an entry to the log."""
    totals = load_totals(context.state)
    totals.disclosures += 1
    store_totals(context.state, totals)
    member, request = context.directory.member(authority), record.request
    entry = Disclosure(
        number=totals.disclosures,
        authority=authority,
        organisation=context.sender.organisation if member is None else member.organisation,
        flow=request.flow,
        stage=request.stage,
        attempt=request.attempt,
        envelope=request.envelope,
        purpose=purpose,
        transaction=context.transaction.tx_id,
        time_ms=context.block.time_ms,
    )
    context.state.put(numbered(b"g", entry.number), encode(entry))
    return entry
