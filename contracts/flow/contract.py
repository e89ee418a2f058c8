"""Contract ``flow``: supervised business flows, the business side (PROTOCOL.md 2). Queries are in ``views``."""

from __future__ import annotations

from typing import TypeVar

from contracts.codes import ARGUMENTS_INVALID, Refusal
from contracts.flow import calls, codes, filing, kinds, ordering, packets, paying, reviewing
from contracts.flow.amounts import DEFAULT_RATIOS
from contracts.flow.asking import note_expiry, runs_out
from contracts.flow.reimbursement import put_rows
from contracts.flow.state import due_of, find_flow, newest_version, put_kind
from contracts.flow.views import FlowViews
from contracts.interface import MAX_DUE_ITEMS_PER_BLOCK, CallContext, EndContext, StateSpace, method
from contracts.messages import Taken
from ledger.encoding import Codec
from ledger.errors import InvalidInput
from ledger.genesis import Genesis
from ledger.packet import Answer, Packet, PacketOrigin

T = TypeVar("T")


class Flow(FlowViews):
    """Flows of documents that the regulator supervises.

    Methods refuse with the codes of ``contracts.flow.codes``. All but ``file`` refuse first of all with
    ``flow_suspended``, ``flow_not_authorised``, ``flow_ended``, ``flow_supervision_stale`` or
    ``flow_supervision_frozen``; those that ask the supervision chain refuse as ``contracts.bridge.outbox.send`` does.
    """

    kind = "flow"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the built-in kinds and the default reimbursement table."""
        del genesis
        for kind in (kinds.commission(), kinds.prescription()):
            put_kind(context.state, kinds.check_kind(kind))
        put_rows(context.state, calls.SetReimbursement((), DEFAULT_RATIOS))

    @method
    def file(self, context: CallContext, arguments: calls.File) -> calls.Moved:
        """Files a document; again with the same fields when nobody decided it in time, or contracts alone refused."""
        return filing.file(context, arguments)

    @method
    def request_review(self, context: CallContext, arguments: calls.RequestReview) -> calls.Moved:
        """Asks to review an authorised document, as reviewer."""
        return reviewing.request_review(context, arguments)

    @method
    def release(self, context: CallContext, arguments: calls.Release) -> calls.Moved:
        """Uses the review's grant: the document, sealed anew by the platform, for that reviewer alone."""
        return reviewing.release(context, arguments)

    @method
    def opinion(self, context: CallContext, arguments: calls.Opinion) -> calls.Moved:
        """The reviewer's opinion; one that does not approve ends the flow once it is confirmed."""
        return reviewing.opinion(context, arguments)

    @method
    def request_order(self, context: CallContext, arguments: calls.RequestOrder) -> calls.Moved:
        """Asks to order from a pharmacy, as patient; after a refusal again, from another one too."""
        return ordering.request_order(context, arguments)

    @method
    def place(self, context: CallContext, arguments: calls.Place) -> calls.Moved:
        """Uses the order's grant: the order itself, sealed for that pharmacy alone."""
        return ordering.place(context, arguments)

    @method
    def accept(self, context: CallContext, arguments: calls.Accept) -> calls.Moved:
        """The pharmacy takes the order on, before its grant's window is over."""
        return ordering.accept(context, arguments)

    @method
    def fulfil(self, context: CallContext, arguments: calls.Fulfil) -> calls.PaymentRequested:
        """The pharmacy prices the order item by item; the contract says who pays what, by its reimbursement table."""
        return paying.fulfil(context, arguments)

    @method
    def settle(self, context: CallContext, arguments: calls.Settle) -> calls.Moved:
        """Patient and payer pay the pharmacy, exactly and atomically, in this transaction."""
        return paying.settle(context, arguments)

    @method
    def report(self, context: CallContext, arguments: calls.Report) -> calls.Moved:
        """Reports a settlement once more, after its report was refused."""
        return paying.report(context, arguments)

    @method
    def deliver(self, context: CallContext, arguments: calls.Deliver) -> calls.Moved:
        """Picked up, or delivered: the last stage."""
        return paying.deliver(context, arguments)

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """``define_kind``: a new kind, or a kind's next version. ``set_reimbursement``: rows of the table."""
        if action == calls.DEFINE_KIND:
            self._define(context, _decoded(calls.define_kind_codec, data).kind)
        elif action == calls.SET_REIMBURSEMENT:
            change = _decoded(calls.set_reimbursement_codec, data)
            put_rows(context.state, change)
            context.emit(calls.REIMBURSEMENT_SET, change)
        else:
            raise Refusal(codes.ACTION_UNKNOWN, f"{self.address} has nothing to govern such as {action!r}")

    def _define(self, context: CallContext, kind: kinds.FlowKind) -> None:
        kinds.check_kind(kind)
        newest = newest_version(context.state, kind.name)
        if kind.version != newest + 1:
            raise Refusal(codes.KIND_VERSION, f"the next version of flow kind {kind.name} is {newest + 1}")
        put_kind(context.state, kind)
        context.emit(calls.KIND_DEFINED, kind)

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> Taken:
        """Takes a decision, grant, refusal, control or limit of the supervision chain."""
        return packets.take(context, packet, origin)

    def on_answer(self, context: CallContext, packet: Packet, answer: Answer) -> None:
        """Notes a request that the supervision chain refused to take, or did not take in time."""
        packets.hear(context, packet, answer)

    def end_block(self, context: EndContext) -> None:
        """Notes stages that ran out: not answered, or granted and not used to the end."""
        due = list(context.state.iterate(b"x", limit=MAX_DUE_ITEMS_PER_BLOCK))
        for key, _ in due:
            time_ms, name, stage = due_of(key)
            if time_ms > context.block.time_ms:
                break
            flow = find_flow(context.state, name)
            view = None if flow is None else flow.stage(stage)
            if flow is None or view is None or view.deadline_ms + 1 != time_ms or not runs_out(view):
                context.state.delete(key)
                continue
            note_expiry(context, flow, view)

    def next_due_ms(self, state: StateSpace) -> int | None:
        """Block time from which a stage runs out, or None."""
        for key, _ in state.iterate(b"x", limit=1):
            return due_of(key)[0]
        return None


def _decoded(codec: Codec[T], data: bytes) -> T:
    try:
        return codec.decode(data)
    except InvalidInput as error:
        raise Refusal(ARGUMENTS_INVALID, error.message) from error
