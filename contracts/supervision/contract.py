"""The supervision contract (PROTOCOL.md 2): its methods. Queries are in ``views``."""

from __future__ import annotations

from contracts.decisions import ControlFlow, Decide, SetLimit
from contracts.interface import CallContext, EndContext, StateSpace, method
from contracts.messages import Taken
from contracts.supervision import deadlines, decide, disclosures, intake, officers
from contracts.supervision.calls import Decided, Disclose, Disclosure, GrantBatch, Signed
from contracts.supervision.views import SupervisionViews
from ledger.packet import Answer, Packet, PacketOrigin


class Supervision(SupervisionViews):
    """Decides, while the business is under way, whether each step of a flow may happen.

    Requests come by packet from contract ``flow`` of the business chain. Each is, at every moment, in exactly one
    status of ``calls.STATUSES``. Methods refuse with the codes of ``contracts.supervision.codes``, with
    ``governance_policy_unknown`` where the chain names no officers or authorities, and as ``contracts.bridge.outbox``
    does where nothing can be sent.
    """

    kind = "supervision"

    @method
    def decide(self, context: CallContext, arguments: Decide) -> Decided:
        """An authority's decision on what it opened, or one officer's on what the rules leave to officers."""
        return decide.decide(context, arguments)

    @method
    def control(self, context: CallContext, arguments: ControlFlow) -> Signed:
        """One officer's will to suspend, resume or terminate a flow."""
        return officers.control(context, arguments)

    @method
    def set_limit(self, context: CallContext, arguments: SetLimit) -> Signed:
        """One officer's will to set the amount above which a flow kind needs a decision."""
        return officers.set_limit(context, arguments)

    @method
    def grant_batch(self, context: CallContext, arguments: GrantBatch) -> Signed:
        """One officer's will to give an organisation a quota of automatic decisions."""
        return officers.grant_batch(context, arguments)

    @method
    def disclose(self, context: CallContext, arguments: Disclose) -> Disclosure:
        """An authority says that it opens a sealed record for another reason than to decide, before it does."""
        return disclosures.disclose(context, arguments)

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> Taken:
        """Takes a stage request of the business chain."""
        return intake.take(context, packet, origin.attachments)

    def on_answer(self, context: CallContext, packet: Packet, answer: Answer) -> None:
        """Marks decisions and grants that the business chain did not take."""
        deadlines.on_answer(context, packet, answer)

    def end_block(self, context: EndContext) -> None:
        """Closes requests that nobody decided in time."""
        deadlines.end_block(context)

    def next_due_ms(self, state: StateSpace) -> int | None:
        """Block time from which a request has expired, or None."""
        return deadlines.next_due_ms(state)
