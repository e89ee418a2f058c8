"""The commission contract (PROTOCOL.md 1): its methods. Queries are in ``views``."""

from __future__ import annotations

from contracts.codes import Refusal
from contracts.commission import agreements, bookings, codes, settlement, triggers
from contracts.commission.calls import (
    AgreementSigned,
    Book,
    Booked,
    Cancel,
    Cancelled,
    Correct,
    Corrected,
    EarlyRequest,
    Propose,
    RequestSettlement,
    Settle,
    Settled,
    Sign,
)
from contracts.commission.state import load_tally, store_tally
from contracts.commission.views import CommissionViews
from contracts.interface import CallContext, EndContext, StateSpace, method


class Commission(CommissionViews):
    """Commission settlement between insurers and platforms.

    The books of each agreement close at every height: booked = pending + settled + cancelled, and paid = settled +
    clawbacks not yet netted. ``pending`` counts records pending or requested, ``settled`` those of settled requests,
    both without cancelled ones; ``clawbacks`` are those of settled records that no settlement has netted. A clawback of
    a requested record counts there from its request's settlement on; until then it is in ``clawbacks_waiting``. Of the
    unspent outputs, settled ones sum to ``paid``, clawbacks to ``clawbacks + clawbacks_waiting``, pending ones to
    ``pending + clawbacks_waiting``.

    Methods refuse with the codes of ``contracts.commission.codes``, and with ``not_permitted`` where the party's
    signature is missing.
    """

    kind = "commission"

    @method
    def propose(self, context: CallContext, arguments: Propose) -> AgreementSigned:
        """Drafts the next version of an agreement; the drafting party's signature counts as its consent."""
        return agreements.propose(context, arguments)

    @method
    def sign(self, context: CallContext, arguments: Sign) -> AgreementSigned:
        """The other party's consent to exactly one draft; it then holds from its activation height on."""
        return agreements.sign(context, arguments)

    @method
    def book(self, context: CallContext, arguments: Book) -> Booked:
        """Books a sale: output 0 is the pending commission; needs the platform's signature, whoever sends it."""
        return bookings.book(context, arguments)

    @method
    def cancel(self, context: CallContext, arguments: Cancel) -> Cancelled:
        """Cancels a booking: spends its pending output (input 0), or creates a clawback (output 0)."""
        return bookings.cancel(context, arguments)

    @method
    def correct(self, context: CallContext, arguments: Correct) -> Corrected:
        """Cancels a booking and books the policy again, in one transaction."""
        return bookings.correct(context, arguments)

    @method
    def request(self, context: CallContext, arguments: RequestSettlement) -> EarlyRequest:
        """Asks for settlement of what is pending, up to one batch; the block's end emits the request."""
        bookings.require_only_call(context)
        agreement = bookings.agreement_in_force(context, arguments.agreement)
        agreements.require_party(context, agreement, arguments.party)
        tally = load_tally(context.state, agreement.agreement)
        if tally.unrequested_count == 0:
            raise Refusal(codes.NOTHING_PENDING, "nothing is pending that is not requested already")
        if tally.early:
            raise Refusal(codes.REQUEST_WAITING, f"the {tally.early} has asked already; the request comes by itself")
        tally.early = arguments.party
        triggers.rearm(context.state, agreement, tally, context.block.time_ms)
        store_tally(context.state, agreement.agreement, tally)
        asked = EarlyRequest(agreement.agreement, arguments.party, tally.unrequested_count, tally.unrequested_amount)
        context.emit("settlement_asked", asked)
        return asked

    @method
    def settle(self, context: CallContext, arguments: Settle) -> Settled:
        """Settles a request net of clawbacks, as the view ``settlement_plan`` says; needs the insurer's signature."""
        return settlement.settle(context, arguments)

    def end_block(self, context: EndContext) -> None:
        """Emits the settlement requests that are due."""
        triggers.end_block(context)

    def next_due_ms(self, state: StateSpace) -> int | None:
        """Block time from which a trigger is due, or None."""
        return triggers.first_due_ms(state)
