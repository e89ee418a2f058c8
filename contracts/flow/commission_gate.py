"""Settlements of other contracts under supervision: above the limit a decision first, else a report (PROTOCOL.md 2).

Contract ``commission`` calls these inside the transaction that settles, with its own context; so what is refused here
pays nothing, and a decision is used in the very transaction that pays.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts import messages
from contracts.codes import Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import CLOSED, DONE, OPEN, StageView
from contracts.flow.asking import Question, ask
from contracts.flow.envelopes import check_for_authorities
from contracts.flow.gates import require_fresh, require_not_suspended
from contracts.flow.kinds import COMMISSION
from contracts.flow.state import (
    FlowRecord,
    add_party,
    begin_flow,
    end_flow,
    find_flow,
    limit_key,
    load_flow,
    load_kind,
    put_stage,
    step,
    subject_key,
)
from contracts.interface import CallContext, EndContext
from contracts.messages import SETTLE, Limit
from ledger.envelope import Envelope


def find_limit(context: EndContext, kind: str, asset: str) -> Limit | None:
    """The regulator's limit for a kind and asset, or None; asked with the context of contract ``flow``."""
    data = context.state.get(limit_key(kind, asset))
    return None if data is None else messages.limit_codec.decode(data)


def gate(
    context: CallContext, *, subject: bytes, asset: str, amount: int, insurer: bytes, kind: str = COMMISSION
) -> bool:
    """Lets a settlement pass, or refuses it.

    Args:
        context: of any contract; its transaction is the one that pays.
        subject: hash of the settlement request, 32 bytes.
        asset: currency.
        amount: minor units that are paid.
        insurer: key that pays; a flow counts only when this key filed it.
        kind: flow kind of such settlements.

    Returns:
        True when the settlement has to be reported in this transaction (``report``). False when nothing is asked: the
        chain has no contract ``flow``, or the regulator set no limit; or when an authorised flow was used.

    Refuses with ``flow_decision_needed`` above the limit when no authorised unused flow has this subject, asset and
    amount; ``flow_suspended`` when it is suspended; ``flow_supervision_stale`` or ``flow_supervision_frozen``.
    """
    address = context.directory.address_of("flow")
    if not address:
        return False
    inside = context.enter(address)
    limit = find_limit(inside, kind, asset)
    if limit is None:
        return False
    require_fresh(inside, load_kind(inside.state, kind))
    name = inside.state.get(subject_key(b"q", kind, insurer, subject))
    flow = None if name is None else find_flow(inside.state, name)
    if flow is not None:
        # What the regulator holds up stays held up, even when the limit is raised meanwhile.
        require_not_suspended(flow)
    if amount <= limit.amount:
        return True
    if flow is None or (flow.asset, flow.amount) != (asset, amount) or flow.used or flow.status != OPEN:
        raise Refusal(
            codes.DECISION_NEEDED,
            f"a settlement of {amount} {asset} is above the limit of {limit.amount}: file it as a flow of kind {kind} "
            f"with subject {subject.hex()} and wait until it is authorised",
            limit=limit.amount,
        )
    _use(inside, flow)
    return False


def _use(context: CallContext, flow: FlowRecord) -> None:
    now_ms, tx_id = context.block.time_ms, context.transaction.tx_id
    settled = StageView(SETTLE, 1, DONE, flow.filer, flow.commitment, b"", 0, now_ms, tx_id, "", "", 0)
    flow = replace(put_stage(context.state, flow, settled), used=True)
    step(context, calls.SETTLED, end_flow(context.state, flow, CLOSED), SETTLE, hash=tx_id)


def report(
    context: CallContext,
    *,
    subject: bytes,
    asset: str,
    amount: int,
    insurer: bytes,
    platform: bytes,
    commitment: bytes,
    envelope: Envelope | None,
    kind: str = COMMISSION,
) -> bytes:
    """Reports a settlement that needs no decision: its record is sealed to the authorities, who store it.

    Args:
        context: of any contract; its sender sealed the record.
        subject: as for ``gate``; reported once.
        asset: currency.
        amount: minor units.
        insurer: key that pays; the flow's filer.
        platform: key that is paid, or empty.
        commitment: salted commitment to the record.
        envelope: the record, sealed by the transaction's sender to every current authority key; context: the flow with
            id ``calls.flow_id(chain, insurer, commitment)``, stage ``settle``.
        kind: as for ``gate``.

    Returns:
        The flow's id.

    Refuses with ``flow_report_missing`` without an envelope, ``flow_filed_already``, or as envelopes are refused.
    """
    inside = context.enter_kind("flow")
    state = inside.state
    if envelope is None:
        raise Refusal(codes.REPORT_MISSING, "a settlement at or below the limit is reported: seal its record")
    name = calls.flow_id(context.block.chain_id, insurer, commitment)
    key = subject_key(b"u", kind, insurer, subject)
    if find_flow(state, name) is not None or state.get(key) is not None:
        raise Refusal(codes.FILED_ALREADY, "this settlement, or another one with this commitment, is reported already")
    terms = load_kind(state, kind)
    digest, epoch = check_for_authorities(inside, envelope, name, SETTLE, commitment)
    state.put(key, name)
    flow = begin_flow(
        inside,
        name,
        terms,
        filer=insurer,
        commitment=commitment,
        status=OPEN,
        platform=platform,
        subject=subject,
        asset=asset,
        amount=amount,
        reported=True,
    )
    add_party(state, context.sender.key, name)
    question = Question(context.sender.key, commitment, envelope, digest, epoch)
    step(inside, calls.SETTLED, ask(inside, flow, terms.spec(SETTLE), question), SETTLE)
    return name


def reported(context: EndContext, kind: str, insurer: bytes, subject: bytes) -> bytes:
    """Flow of a settlement that was reported; empty where none was. Asked with the context of contract ``flow``."""
    name = context.state.get(subject_key(b"u", kind, insurer, subject))
    return b"" if name is None else load_flow(context.state, name).flow
