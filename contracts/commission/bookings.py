"""Booking, cancelling and correcting a commission (PROTOCOL.md 1.1, 1.5).

The transaction's sender writes the outputs, the contract checks them; its own outputs come first, in the order
clawback, pending. A policy has at most one live booking: correcting it cancels that one and books the next revision,
under the version, and within the window, of the first; a cancelled policy stays cancelled.
"""

from __future__ import annotations

from contracts.codes import Refusal
from contracts.commission import codes
from contracts.commission.agreements import require_party
from contracts.commission.answers import STATUS_PENDING, STATUS_REQUESTED, STATUS_SETTLED
from contracts.commission.calls import Book, Booked, Cancel, Cancelled, Correct, Corrected
from contracts.commission.records import (
    CANCEL,
    CORRECT,
    PLATFORM,
    PURCHASE,
    Agreement,
    CommissionRecord,
    Information,
    RecordInput,
    RecordOutput,
    Sale,
)
from contracts.commission.state import (
    Booking,
    Cancellation,
    Clawback,
    PolicyHead,
    QueueEntry,
    RecordPlace,
    RequestState,
    Tally,
    account_lock,
    booking_codec,
    claim_asset,
    clawback_asset,
    key_lock,
    listed_key,
    load,
    load_agreement,
    load_tally,
    load_versions,
    place_codec,
    policy_codec,
    policy_key,
    request_state_codec,
    store_tally,
    waiting_key,
)
from contracts.commission.terms import check_sale, terms_of
from contracts.commission.triggers import entered_queue, left_queue
from contracts.interface import CallContext, StateSpace
from ledger.encoding import encode
from ledger.transaction import Output, outpoint
from ledger.types import MAX_AMOUNT


def require_only_call(context: CallContext) -> None:
    """Refuses a transaction with several calls of this contract: one output could be counted for two of them."""
    if sum(call.contract == context.address for call in context.transaction.body.calls) != 1:
        raise Refusal(codes.ONE_CALL, "one call of the commission contract in a transaction; send the others apart")


def agreement_in_force(context: CallContext, agreement: str) -> Agreement:
    """The version that holds in this block.

    Raises:
        Refusal: ``commission_agreement_unknown``, ``commission_agreement_not_in_force``.
    """
    versions = load_versions(context.state, agreement)
    version = versions.in_force(context.block.height)
    if version == 0:
        raise Refusal(
            codes.AGREEMENT_NOT_IN_FORCE,
            f"agreement {agreement!r} holds from height {versions.current[0].activation_height} on; wait for it",
        )
    return load_agreement(context.state, agreement, version)


def require_output(context: CallContext, index: int, wanted: Output, amount_code: str = codes.AMOUNT_WRONG) -> None:
    """Checks that output ``index`` is exactly ``wanted``.

    Raises:
        Refusal: ``commission_output_missing``, ``commission_output_wrong`` (asset or lock), or ``amount_code``.
    """
    outputs = context.outputs
    if index >= len(outputs):
        raise Refusal(codes.OUTPUT_MISSING, f"output {index} must be {_words(wanted)}; it is missing")
    output = outputs[index]
    if output.asset != wanted.asset or output.lock != wanted.lock:
        raise Refusal(codes.OUTPUT_WRONG, f"output {index} must be {_words(wanted)}, not {_words(output)}")
    if output.amount != wanted.amount:
        raise Refusal(amount_code, f"output {index} must hold {wanted.amount} minor units, not {output.amount}")


def _words(output: Output) -> str:
    return f"{output.amount} {output.asset} under {output.lock}"


def book(context: CallContext, arguments: Book) -> Booked:
    """See ``Commission.book``."""
    require_only_call(context)
    sale = arguments.sale
    check_sale(sale)
    agreement = agreement_in_force(context, arguments.agreement)
    require_party(context, agreement, PLATFORM)
    data = context.state.get(policy_key(agreement.agreement, sale.policy))
    if data is not None:
        if policy_codec.decode(data).cancelled:
            raise Refusal(codes.POLICY_CANCELLED, f"policy {sale.policy} was booked and cancelled, and stays cancelled")
        raise Refusal(codes.POLICY_BOOKED, f"policy {sale.policy} is booked already; use `correct` to change it")
    tally = load_tally(context.state, agreement.agreement)
    booked = _enter(context, agreement, agreement, tally, sale, transaction_type=PURCHASE)
    store_tally(context.state, agreement.agreement, tally)
    return booked


def cancel(context: CallContext, arguments: Cancel) -> Cancelled:
    """See ``Commission.cancel``."""
    require_only_call(context)
    agreement = agreement_in_force(context, arguments.agreement)
    require_party(context, agreement, PLATFORM)
    booking = _find_live(context, agreement, arguments.record)
    tally = load_tally(context.state, agreement.agreement)
    cancelled = _withdraw(context, agreement, tally, booking, CANCEL)
    head = PolicyHead(booking.revision, booking.sequence, True)
    context.state.put(policy_key(agreement.agreement, booking.policy), encode(head))
    store_tally(context.state, agreement.agreement, tally)
    return cancelled


def correct(context: CallContext, arguments: Correct) -> Corrected:
    """See ``Commission.correct``."""
    require_only_call(context)
    check_sale(arguments.sale)
    agreement = agreement_in_force(context, arguments.agreement)
    require_party(context, agreement, PLATFORM)
    booking = _find_live(context, agreement, arguments.record)
    if booking.policy != arguments.sale.policy:
        raise Refusal(
            codes.POLICY_DIFFERS,
            f"the booking is of policy {booking.policy}: a correction keeps it; cancel it and book the other",
        )
    booked_under = load_agreement(context.state, agreement.agreement, booking.version)
    tally = load_tally(context.state, agreement.agreement)
    cancelled = _withdraw(context, agreement, tally, booking, CORRECT)
    booked = _enter(
        context,
        agreement,
        booked_under,
        tally,
        arguments.sale,
        transaction_type=CORRECT,
        original=booking,
        index=1 if cancelled.clawback else 0,
    )
    store_tally(context.state, agreement.agreement, tally)
    return Corrected(cancelled, booked)


def _enter(
    context: CallContext,
    in_force: Agreement,
    agreement: Agreement,
    tally: Tally,
    sale: Sale,
    *,
    transaction_type: str,
    original: Booking | None = None,
    index: int = 0,
) -> Booked:
    """Books ``sale`` under ``agreement``; output ``index`` is the pending one."""
    terms = terms_of(context.address, agreement, transaction_type, sale)
    require_output(context, index, terms.output)
    if tally.booked + terms.commission > MAX_AMOUNT:
        raise Refusal(codes.BOOKS_FULL, f"an agreement books at most {MAX_AMOUNT} minor units; open another one")
    context.issue(terms.output.asset, terms.commission)
    tally.sequence += 1
    tx_id, now, row = context.transaction.tx_id, context.block.time_ms, terms.row
    booking = Booking(
        agreement=agreement.agreement,
        policy=sale.policy,
        revision=1 if original is None else original.revision + 1,
        sequence=tally.sequence,
        version=agreement.version,
        record=CommissionRecord(
            tx_id,
            (
                RecordInput(
                    sale.policy,
                    agreement.insurer.organisation,
                    transaction_type,
                    Information(sale, agreement.version, agreement.rate_ppm, agreement.base),
                    sale.premium,
                    key_lock(in_force.platform.key),
                ),
            ),
            (RecordOutput(row.pending, terms.commission, terms.output.lock),),
        ),
        outpoint=outpoint(tx_id, index),
        commission=terms.commission,
        pending=row.pending,
        settled=row.settled,
        clawback=row.clawback,
        booked_ms=now,
        first_booked_ms=now if original is None else original.first_booked_ms,
    )
    _store_booking(context.state, booking)
    tally.booked += booking.commission
    tally.pending += booking.commission
    entered_queue(context, in_force, tally, booking.commission)
    booked = _booked(booking)
    context.emit("commission_booked", booked)
    return booked


def _booked(booking: Booking) -> Booked:
    return Booked(
        booking.agreement,
        booking.policy,
        booking.revision,
        booking.sequence,
        booking.record.transaction_id,
        booking.version,
        booking.outpoint,
        booking.commission,
        booking.pending,
        booking.settled,
        booking.clawback,
    )


def _store_booking(state: StateSpace, booking: Booking) -> None:
    agreement, sequence = booking.agreement, booking.sequence
    state.put(listed_key(b"b", agreement, sequence), encode(booking))
    state.put(policy_key(agreement, booking.policy), encode(PolicyHead(booking.revision, sequence, False)))
    state.put(b"o" + booking.record.transaction_id, encode(RecordPlace(agreement, sequence)))
    entry = QueueEntry(booking.outpoint, booking.commission, booking.settled, booking.booked_ms)
    state.put(listed_key(b"q", agreement, sequence), encode(entry))


def _find_live(context: CallContext, agreement: Agreement, record: bytes) -> Booking:
    """The booking with that record id, not cancelled and still within its window."""
    state = context.state
    data = state.get(b"o" + record)
    if data is None:
        raise Refusal(codes.RECORD_UNKNOWN, f"there is no booking {record.hex()}; give the original's transaction id")
    place = place_codec.decode(data)
    if place.agreement != agreement.agreement:
        raise Refusal(codes.RECORD_FOREIGN, f"booking {record.hex()} belongs to another agreement")
    booking: Booking = load(state, listed_key(b"b", place.agreement, place.sequence), booking_codec)
    if state.get(listed_key(b"x", place.agreement, place.sequence)) is not None:
        raise Refusal(
            codes.ALREADY_CANCELLED,
            f"booking {record.hex()} was cancelled or corrected already; refer to the policy's latest booking",
        )
    window_s = load_agreement(state, agreement.agreement, booking.version).clawback_window_s
    if context.block.time_ms - booking.first_booked_ms > window_s * 1000:
        raise Refusal(
            codes.WINDOW_CLOSED,
            f"booking {record.hex()} could be cancelled or corrected for {window_s} s after the policy's first booking",
        )
    return booking


def _withdraw(
    context: CallContext, agreement: Agreement, tally: Tally, booking: Booking, transaction_type: str
) -> Cancelled:
    """Takes a live booking out of the books; what it stood for is destroyed, or clawed back."""
    request = 0 if booking.sequence > tally.requested else find_request(context.state, booking, tally)
    if request == 0:
        status, clawback = STATUS_PENDING, b""
        _destroy_pending(context, agreement, tally, booking)
    else:
        clawback = outpoint(context.transaction.tx_id, 0)
        status = _claw_back(context, agreement, tally, booking, request)
    tally.cancelled += booking.commission
    tally.cancelled_count += 1
    outputs: tuple[RecordOutput, ...] = ()
    if clawback:
        lock = account_lock(context.address, booking.clawback)
        outputs = (RecordOutput(booking.clawback, booking.commission, lock),)
    record_id = booking.record.transaction_id
    taken_back = RecordInput(
        record_id.hex(),
        agreement.platform.organisation,
        transaction_type,
        None,
        booking.commission,
        key_lock(agreement.platform.key),
    )
    record = CommissionRecord(context.transaction.tx_id, (taken_back,), outputs)
    key = listed_key(b"x", booking.agreement, booking.sequence)
    context.state.put(key, encode(Cancellation(record, clawback)))
    cancelled = Cancelled(booking.agreement, booking.policy, record_id, booking.commission, status, clawback)
    context.emit("commission_cancelled", cancelled)
    return cancelled


def _destroy_pending(context: CallContext, agreement: Agreement, tally: Tally, booking: Booking) -> None:
    if context.transaction.body.inputs[:1] != (booking.outpoint,):
        raise Refusal(codes.INPUT_WRONG, f"the first input must be the pending output {booking.outpoint.hex()}")
    context.approve_input(0)
    context.destroy(claim_asset(context.address, agreement.currency), booking.commission)
    context.state.delete(listed_key(b"q", booking.agreement, booking.sequence))
    tally.pending -= booking.commission
    left_queue(context, tally, booking.agreement, booking.commission)


def _claw_back(context: CallContext, agreement: Agreement, tally: Tally, booking: Booking, request: int) -> str:
    state, amount, name = context.state, booking.commission, booking.agreement
    asset = clawback_asset(context.address, agreement.currency)
    require_output(context, 0, Output(asset, amount, account_lock(context.address, booking.clawback)))
    context.issue(asset, amount)
    clawback = Clawback(outpoint(context.transaction.tx_id, 0), amount, booking.clawback, booking.record.transaction_id)
    request_state: RequestState = load(state, listed_key(b"s", name, request), request_state_codec)
    if request_state.settled_by:
        state.put(listed_key(b"n", name, tally.clawback_next), encode(clawback))
        tally.clawback_next += 1
        tally.clawbacks += amount
        tally.settled -= amount
        return STATUS_SETTLED
    request_state.waiting += 1
    request_state.cancelled_amount += amount
    state.put(waiting_key(name, request, request_state.waiting), encode(clawback))
    state.put(listed_key(b"s", name, request), encode(request_state))
    tally.clawbacks_waiting += amount
    tally.pending -= amount
    return STATUS_REQUESTED


def find_request(state: StateSpace, booking: Booking, tally: Tally) -> int:
    """Number of the request that took ``booking``, whose sequence is at most ``tally.requested``.

    Requests take rising sequences, so halving finds it in a few reads, whatever their number.
    """
    low, high = 1, tally.requests
    while low < high:
        middle = (low + high) // 2
        found: RequestState = load(state, listed_key(b"s", booking.agreement, middle), request_state_codec)
        if found.last_sequence < booking.sequence:
            low = middle + 1
        else:
            high = middle
    return low
