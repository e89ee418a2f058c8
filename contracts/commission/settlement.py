"""Settling a request: everything in one transaction, or nothing (PROTOCOL.md 1.4, 1.5).

Inputs: the request's pending outputs in order, then clawbacks in netting order, then currency. Outputs: what is
settled, then the payment; or, where clawbacks exceed the batch, the clawback that is carried over; then change.

Clawbacks net in the order in which they became nettable (cancelled after their settlement, or by it where they were
cancelled while requested), until they cover the batch; at most ``MAX_NETTED`` of them. So at most the last one is
netted in part: its rest is carried on its own account, and the others keep their outputs. Clawbacks reduce settled
accounts in the order in which those appear in the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.codes import Refusal
from contracts.commission import codes
from contracts.commission.agreements import require_party
from contracts.commission.answers import ClawbackItem, SettlementPlan
from contracts.commission.bookings import agreement_in_force, require_only_call, require_output
from contracts.commission.calls import AccountTotal, Settle, Settled, SettlementReport, SettlementRequest
from contracts.commission.records import INSURER, Agreement, RecordOutput
from contracts.commission.state import (
    Clawback,
    RequestState,
    Settlement,
    Tally,
    account_lock,
    claim_asset,
    clawback_asset,
    clawback_codec,
    key_lock,
    listed_key,
    load,
    load_tally,
    place_codec,
    request_codec,
    request_state_codec,
    store_tally,
    waiting_key,
)
from contracts.flow.commission_gate import gate, report
from contracts.interface import CallContext, StateSpace
from ledger.encoding import encode
from ledger.transaction import Output
from ledger.types import ZERO_HASH

MAX_NETTED: Final = 1_000
"""Clawbacks that one settlement nets; beside 1,000 pending records, 48 of a transaction's inputs are left."""


def plan_settlement(
    state: StateSpace,
    address: str,
    agreement: Agreement,
    *,
    request: SettlementRequest,
    request_state: RequestState,
    tally: Tally,
) -> SettlementPlan:
    """What settling ``request`` now must spend and create; ``agreement`` is the version in force."""
    taken: list[ClawbackItem] = []
    clawed_back = 0
    for item in _nettable(state, agreement.agreement, request.request, request_state, tally):
        if clawed_back >= request.amount or len(taken) >= MAX_NETTED:
            break
        taken.append(item)
        clawed_back += item.amount
    totals = _reduce(request.totals, clawed_back)
    claim, currency = claim_asset(address, agreement.currency), agreement.currency
    outputs = [Output(claim, total.amount, account_lock(address, total.account)) for total in totals]
    paid, carried = max(0, request.amount - clawed_back), max(0, clawed_back - request.amount)
    if paid:
        outputs.append(Output(currency, paid, agreement.platform.cash))
    elif carried:
        outputs.append(Output(clawback_asset(address, currency), carried, account_lock(address, taken[-1].account)))
    return SettlementPlan(request, tuple(taken), clawed_back, paid, carried, totals, tuple(outputs))


def _nettable(
    state: StateSpace, agreement: str, request: int, request_state: RequestState, tally: Tally
) -> Iterator[ClawbackItem]:
    """Clawbacks in netting order: those nettable already, then those that this settlement makes so (place 0)."""
    for place in range(tally.clawback_first, tally.clawback_next):
        found: Clawback = load(state, listed_key(b"n", agreement, place), clawback_codec)
        yield ClawbackItem(place, found.outpoint, found.amount, found.account, found.record)
    for number in range(1, request_state.waiting + 1):
        found = load(state, waiting_key(agreement, request, number), clawback_codec)
        yield ClawbackItem(0, found.outpoint, found.amount, found.account, found.record)


def _reduce(totals: tuple[AccountTotal, ...], clawed_back: int) -> tuple[AccountTotal, ...]:
    left = []
    for total in totals:
        cut = min(total.amount, clawed_back)
        clawed_back -= cut
        if cut < total.amount:
            left.append(AccountTotal(total.account, total.amount - cut))
    return tuple(left)


def settle(context: CallContext, arguments: Settle) -> Settled:
    """See ``Commission.settle``."""
    require_only_call(context)
    agreement = agreement_in_force(context, arguments.agreement)
    require_party(context, agreement, INSURER)
    state, name, number = context.state, agreement.agreement, arguments.request
    data = state.get(listed_key(b"r", name, number))
    if data is None:
        raise Refusal(codes.REQUEST_UNKNOWN, f"agreement {name!r} has no settlement request {number}")
    request_state: RequestState = load(state, listed_key(b"s", name, number), request_state_codec)
    if request_state.settled_by:
        raise Refusal(codes.REQUEST_SETTLED, f"request {number} was settled by {request_state.settled_by.hex()}")
    request = request_codec.decode(data)
    if arguments.batch_hash != request.batch_hash:
        raise Refusal(codes.HASH_WRONG, f"the batch hash of request {number} is {request.batch_hash.hex()}")
    tally = load_tally(state, name)
    plan = plan_settlement(state, context.address, agreement, request=request, request_state=request_state, tally=tally)
    _check_inputs(context, plan)
    _check_outputs(context, agreement, plan)
    _supervise(context, agreement, plan, arguments.report)
    _move_claims(context, agreement, plan)
    _store_settlement(context, agreement, plan)
    _net(context, plan, request_state, tally)
    _close(context, plan, request_state, tally)
    settled = Settled(
        name,
        number,
        len(request.items),
        request.amount,
        len(plan.clawbacks),
        plan.clawed_back,
        plan.paid,
        plan.carried,
    )
    context.emit("commission_settled", settled)
    return settled


def _check_inputs(context: CallContext, plan: SettlementPlan) -> None:
    inputs, items = context.transaction.body.inputs, plan.request.items
    wanted = tuple([item.outpoint for item in items])
    count = len(wanted)
    if inputs[:count] != wanted:
        _refuse_input(context, plan.request, inputs[:count], wanted)
    clawbacks = tuple([item.outpoint for item in plan.clawbacks])
    if inputs[count : count + len(clawbacks)] != clawbacks:
        raise Refusal(
            codes.CLAWBACKS_WRONG,
            f"after the pending outputs come the {len(clawbacks)} clawbacks of the settlement plan, in its order; "
            "a cancellation may have changed it: ask for the plan again",
        )


def _refuse_input(
    context: CallContext, request: SettlementRequest, inputs: tuple[bytes, ...], wanted: tuple[bytes, ...]
) -> None:
    for index, outpoint in enumerate(inputs):
        if outpoint == wanted[index]:
            continue
        data = context.state.get(b"o" + outpoint[:32])
        if data is not None and place_codec.decode(data).agreement != request.agreement:
            raise Refusal(codes.RECORD_FOREIGN, f"input {index} is a record of another agreement")
        break
    raise Refusal(
        codes.INPUT_WRONG,
        f"the first {len(wanted)} inputs must be the pending outputs of request {request.request}, in its order",
    )


def _check_outputs(context: CallContext, agreement: Agreement, plan: SettlementPlan) -> None:
    claims = plan.outputs[: len(plan.totals)] if plan.paid else plan.outputs
    for index, output in enumerate(claims):
        require_output(context, index, output, codes.SUM_WRONG)
    if not plan.paid:
        return
    currency = agreement.currency
    held = sum(output.amount for output in context.inputs if output.asset == currency)
    if held < plan.paid:
        raise Refusal(
            codes.CURRENCY_SHORT, f"the inputs hold {held} {currency}, the settlement moves {plan.paid}; add inputs"
        )
    index, payment = len(claims), plan.outputs[-1]
    if index >= len(context.outputs) or context.outputs[index] != payment:
        raise Refusal(
            codes.PAYMENT_WRONG, f"output {index} must pay the platform: {plan.paid} {currency} under {payment.lock}"
        )


def _supervise(
    context: CallContext, agreement: Agreement, plan: SettlementPlan, record: SettlementReport | None
) -> None:
    """Above the regulator's limit a decision is used, in this transaction; below it the settlement is reported."""
    subject, insurer = plan.request.batch_hash, agreement.insurer.key
    asset, amount = agreement.currency, plan.paid
    due = plan.paid > 0 and gate(context, subject=subject, asset=asset, amount=amount, insurer=insurer)
    if due:
        report(
            context,
            subject=subject,
            asset=asset,
            amount=amount,
            insurer=insurer,
            platform=agreement.platform.key,
            commitment=record.commitment if record else ZERO_HASH,
            envelope=record.envelope if record else None,
        )
    elif record is not None:
        raise Refusal(codes.REPORT_UNASKED, "nothing is to be reported of this settlement; leave the report out")


def _move_claims(context: CallContext, agreement: Agreement, plan: SettlementPlan) -> None:
    for index in range(len(plan.request.items) + len(plan.clawbacks)):
        context.approve_input(index)
    claim = claim_asset(context.address, agreement.currency)
    clawback = clawback_asset(context.address, agreement.currency)
    context.destroy(claim, plan.request.amount)
    context.issue(claim, plan.paid)
    context.destroy(clawback, plan.clawed_back)
    context.issue(clawback, plan.carried)


def _store_settlement(context: CallContext, agreement: Agreement, plan: SettlementPlan) -> None:
    lock = account_lock
    outputs = [RecordOutput(total.account, total.amount, lock(context.address, total.account)) for total in plan.totals]
    if plan.carried:
        account = plan.clawbacks[-1].account
        outputs.append(RecordOutput(account, plan.carried, lock(context.address, account)))
    record = Settlement(
        context.transaction.tx_id,
        key_lock(agreement.insurer.key),
        tuple([Clawback(item.outpoint, item.amount, item.account, item.record) for item in plan.clawbacks]),
        tuple(outputs),
    )
    context.state.put(listed_key(b"e", agreement.agreement, plan.request.request), encode(record))


def _net(context: CallContext, plan: SettlementPlan, request_state: RequestState, tally: Tally) -> None:
    """Takes the netted clawbacks out of the queue, and puts in what is carried and what has become nettable."""
    state, name, request = context.state, plan.request.agreement, plan.request.request
    queued = [item for item in plan.clawbacks if item.place]
    for item in queued:
        state.delete(listed_key(b"n", name, item.place))
    tally.clawback_first += len(queued)
    if plan.carried:
        last = plan.clawbacks[-1]
        outpoint = context.transaction.tx_id + len(plan.totals).to_bytes(4, "big")
        if last.place:
            tally.clawback_first = place = last.place
        else:
            place = tally.clawback_next
            tally.clawback_next += 1
        state.put(listed_key(b"n", name, place), encode(Clawback(outpoint, plan.carried, last.account, last.record)))
    for number in range(1, request_state.waiting + 1):
        key = waiting_key(name, request, number)
        if number > len(plan.clawbacks) - len(queued):
            state.put(listed_key(b"n", name, tally.clawback_next), encode(load(state, key, clawback_codec)))
            tally.clawback_next += 1
        state.delete(key)


def _close(context: CallContext, plan: SettlementPlan, request_state: RequestState, tally: Tally) -> None:
    """Brings books and request up to date."""
    state, name, request = context.state, plan.request.agreement, plan.request.request
    live = plan.request.amount - request_state.cancelled_amount
    tally.pending -= live
    tally.settled += live
    tally.paid += plan.paid
    tally.clawbacks += request_state.cancelled_amount - (plan.clawed_back - plan.carried)
    tally.clawbacks_waiting -= request_state.cancelled_amount
    tally.requests_open -= 1
    request_state.waiting = 0
    request_state.settled_by = context.transaction.tx_id
    request_state.settled_ms = context.block.time_ms
    request_state.paid = plan.paid
    state.put(listed_key(b"s", name, request), encode(request_state))
    state.delete(listed_key(b"u", name, request))
    store_tally(state, name, tally)
