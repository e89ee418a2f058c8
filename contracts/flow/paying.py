"""Fulfil, settle, deliver: the pharmacy prices, patient and payer pay at once or not at all (PROTOCOL.md 2)."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.flow import calls, codes
from contracts.flow.answers import CLOSED, DONE, EXPIRED, PENDING, PRICED, REFUSED
from contracts.flow.asking import Question, ask, done_stage
from contracts.flow.envelopes import check_copy, check_for_authorities
from contracts.flow.gates import open_flow, require_admitted, require_askable, require_before, require_party
from contracts.flow.kinds import SETTLE_COPY, StageSpec
from contracts.flow.reimbursement import shares
from contracts.flow.reviewing import finish
from contracts.flow.state import FlowRecord, add_party, end_flow, next_stage, put_copy, put_flow, put_stage, step
from contracts.interface import CallContext, StateSpace
from contracts.messages import DELIVER, FULFIL, NEED_REPORT, ORDER, SETTLE
from ledger.encoding import encode
from ledger.envelope import Envelope
from ledger.keys import key_text


def fulfil(context: CallContext, arguments: calls.Fulfil) -> calls.PaymentRequested:
    """See ``Flow.fulfil``."""
    flow, kind = open_flow(context, arguments.flow)
    require_before(flow, kind, FULFIL)
    require_party(context, flow.pharmacy, "the pharmacy of the order")
    stage = flow.stage(FULFIL)
    if stage is None:
        raise Refusal(codes.STAGE_ORDER, "the pharmacy accepts the order before it prices it")
    if stage.status == DONE and kind.find(SETTLE) is not None:
        raise Refusal(codes.STAGE_DONE, "the order is paid")
    if arguments.asset != (flow.asset or arguments.asset) or not context.directory.asset_exists(arguments.asset):
        raise Refusal(codes.ASSET_WRONG, f"the order is paid in {flow.asset or 'an asset of this chain'}")
    reimbursed, patient_share = shares(context, arguments.items)
    if arguments.payer or reimbursed:
        if not arguments.payer:
            raise Refusal(codes.PAYER_MISSING, f"{reimbursed} is reimbursed: name who pays it")
        require_admitted(context, arguments.payer, "the payer")
    add_party(context.state, arguments.payer, flow.flow)
    priced = calls.PaymentRequested(
        flow=flow.flow,
        authorisation=flow.authorisation,
        pharmacy=flow.pharmacy,
        patient=flow.patient,
        payer=arguments.payer,
        asset=arguments.asset,
        items=arguments.items,
        total=reimbursed + patient_share,
        reimbursed=reimbursed,
        patient_share=patient_share,
        link=arguments.link,
        details=arguments.details,
    )
    context.state.put(b"i" + flow.flow, encode(priced))
    status = PRICED if kind.find(SETTLE) is not None else DONE
    flow = put_stage(context.state, flow, replace(stage, status=status, commitment=arguments.details))
    flow = replace(flow, payer=arguments.payer)
    if not next_stage(flow, kind):
        flow = end_flow(context.state, flow, CLOSED)
    put_flow(context.state, flow)
    context.emit(calls.PAYMENT_REQUESTED, priced)
    return priced


def find_payment(state: StateSpace, flow: bytes) -> calls.PaymentRequested | None:
    """The payment request of a flow, or None."""
    data = state.get(b"i" + flow)
    return None if data is None else calls.payment_codec.decode(data)


def settle(context: CallContext, arguments: calls.Settle) -> calls.Moved:
    """See ``Flow.settle``."""
    flow, kind = open_flow(context, arguments.flow)
    spec = kind.spec(SETTLE)
    kind.spec(FULFIL)
    fulfilled = flow.stage(FULFIL)
    payment = find_payment(context.state, flow.flow)
    if fulfilled is None or payment is None or not flow.done(ORDER):
        raise Refusal(codes.STAGE_ORDER, "the pharmacy has not priced the order")
    if fulfilled.status == DONE:
        raise Refusal(codes.STAGE_DONE, "the order is paid")
    # Two settlements in one transaction could both point at one payment.
    if len(context.transaction.body.calls) != 1:
        raise Refusal(codes.ONE_CALL, "a settlement is the only call of its transaction")
    _require_settler(context, flow)
    _check_payment(context, payment)
    flow = put_stage(context.state, flow, replace(fulfilled, status=DONE))
    _store_copy(context, flow, arguments.commitment, arguments.copy)
    flow = _report(context, flow, spec, arguments.commitment, arguments.envelope)
    return finish(context, flow, kind, calls.SETTLED, SETTLE)


def _require_settler(context: CallContext, flow: FlowRecord) -> None:
    if context.sender.key not in (flow.pharmacy, flow.patient, flow.payer, flow.platform, flow.filer):
        raise Refusal(codes.PARTY_WRONG, "only a party of the flow may do this")


def _check_payment(context: CallContext, payment: calls.PaymentRequested) -> None:
    """Refuses with ``flow_payment_wrong`` unless each lock gains and loses exactly what the payment request says."""
    expected: dict[str, int] = {}
    for key, amount in (
        (payment.pharmacy, payment.total),
        (payment.patient, -payment.patient_share),
        (payment.payer, -payment.reimbursed),
    ):
        if amount:
            lock = f"key({key_text(key)})"
            expected[lock] = expected.get(lock, 0) + amount
    moved: dict[str, int] = {}
    for sign, outputs in ((-1, context.inputs), (1, context.outputs)):
        for output in outputs:
            if output.asset != payment.asset:
                raise Refusal(codes.PAYMENT_WRONG, f"a settlement moves {payment.asset} alone, not {output.asset}")
            if output.lock not in expected:
                raise Refusal(codes.PAYMENT_WRONG, f"{output.lock} has no part in this payment")
            moved[output.lock] = moved.get(output.lock, 0) + sign * output.amount
    for lock, amount in expected.items():
        if moved.get(lock, 0) != amount:
            raise Refusal(
                codes.PAYMENT_WRONG,
                f"{lock} must {'gain' if amount > 0 else 'lose'} {abs(amount)} {payment.asset}, "
                f"the transaction makes that {moved.get(lock, 0)}",
            )
    for key, amount, who in (
        (payment.patient, payment.patient_share, "the patient"),
        (payment.payer, payment.reimbursed, "the payer"),
    ):
        if amount:
            context.require_signature(key, who)


def _store_copy(context: CallContext, flow: FlowRecord, commitment: bytes, copy: Envelope) -> None:
    owners = [party for party in (flow.platform, flow.pharmacy, flow.payer) if party]
    put_copy(context.state, flow.flow, check_copy(context, copy, flow.flow, SETTLE_COPY, commitment, owners))


def _report(
    context: CallContext, flow: FlowRecord, spec: StageSpec, commitment: bytes, envelope: Envelope | None
) -> FlowRecord:
    sender = context.sender.key
    if spec.need != NEED_REPORT:
        return done_stage(context, flow, SETTLE, sender, commitment=commitment)
    if envelope is None:
        raise Refusal(codes.ENVELOPE_RECIPIENTS, "the settlement record is sealed to the authorities too")
    digest, epoch = check_for_authorities(context, envelope, flow.flow, SETTLE, commitment)
    payment = find_payment(context.state, flow.flow)
    paid = None if payment is None else (payment.asset, payment.total)
    return ask(context, flow, spec, Question(sender, commitment, envelope, digest, epoch, paid=paid))


def report(context: CallContext, arguments: calls.Report) -> calls.Moved:
    """See ``Flow.report``."""
    flow, kind = open_flow(context, arguments.flow)
    spec = kind.spec(SETTLE)
    stage = flow.stage(SETTLE)
    if stage is None:
        raise Refusal(codes.STAGE_ORDER, "nothing is settled yet")
    _require_settler(context, flow)
    require_askable(stage, SETTLE, context.block.time_ms)
    copied = kind.find(FULFIL) is not None
    if copied != (arguments.copy is not None):
        raise Refusal(codes.FIELD_INVALID, "a copy of the record is stored where, and only where, the flow has parties")
    if arguments.copy is not None:
        _store_copy(context, flow, arguments.commitment, arguments.copy)
    flow = _report(context, flow, spec, arguments.commitment, arguments.envelope)
    return step(context, calls.SETTLED, flow, SETTLE)


def deliver(context: CallContext, arguments: calls.Deliver) -> calls.Moved:
    """See ``Flow.deliver``."""
    flow, kind = open_flow(context, arguments.flow)
    settled = flow.stage(SETTLE)
    if settled is not None and settled.status in (PENDING, REFUSED, EXPIRED):
        raise Refusal(codes.NOT_STORED, "the settlement record is not stored at the authorities yet")
    require_before(flow, kind, DELIVER)
    allowed = (flow.pharmacy, flow.patient) if kind.find(ORDER) is not None else (flow.platform, flow.filer)
    if context.sender.key not in allowed:
        raise Refusal(codes.PARTY_WRONG, "only a party of the delivery may do this")
    flow = done_stage(context, flow, DELIVER, context.sender.key)
    return finish(context, flow, kind, calls.DELIVERED, DELIVER)
