"""A supervision contract that says what a test tells it to, honest or not, and remembers what it was asked."""

from __future__ import annotations

from contracts import decisions, messages
from contracts.bridge.outbox import send
from contracts.codes import Refusal
from contracts.interface import CallContext, Contract, method
from contracts.messages import StageRequest
from ledger.encoding import Codec, Record
from ledger.packet import Packet, PacketOrigin


class Forge(Record, frozen=True):
    """A packet to send.

    Attributes:
        kind: of the packet.
        payload: canonical bytes of the record.
        evidence: ids of transactions.
        itself: name the sending transaction as evidence too.
        times: how often.
    """

    kind: str
    payload: bytes
    evidence: tuple[bytes, ...] = ()
    itself: bool = False
    times: int = 1


class Refuse(Record, frozen=True):
    """Refuse the next packets with this code; empty: take them."""

    code: str


_CODECS = {
    messages.DECISION: messages.decision_codec,
    messages.GRANT: messages.grant_codec,
    messages.REFUSAL: messages.refusal_codec,
    messages.CONTROL: messages.control_codec,
    messages.LIMIT: messages.limit_codec,
}


class Junk(Record, frozen=True):
    """A payload that is no record of the protocol."""

    data: bytes


junk_codec = Codec(Junk, 4_096)


class Regulator(Contract):
    """Stands at address ``supervision`` where a test plays the supervision chain."""

    kind = "regulator"

    @method
    def decide(self, context: CallContext, arguments: decisions.Decide) -> None:
        """An authority's or officers' decision: sends it with this transaction as evidence."""
        self._sign(context)
        self._say(context, messages.DECISION, arguments.decision)

    @method
    def control(self, context: CallContext, arguments: decisions.ControlFlow) -> None:
        """Officers' control, likewise."""
        self._sign(context)
        self._say(context, messages.CONTROL, arguments.control)

    @method
    def set_limit(self, context: CallContext, arguments: decisions.SetLimit) -> None:
        """Officers' limit, likewise."""
        self._sign(context)
        self._say(context, messages.LIMIT, arguments.limit)

    @method
    def forge(self, context: CallContext, arguments: Forge) -> None:
        """What corrupt validators could let out: any packet, with any evidence."""
        evidence = (*arguments.evidence, *([context.transaction.tx_id] if arguments.itself else []))
        codec: Codec = _CODECS.get(arguments.kind, junk_codec)
        try:
            payload = codec.decode(arguments.payload)
        except ValueError:
            payload = junk_codec.decode(arguments.payload)
        for _ in range(arguments.times):
            self._send(context, arguments.kind, payload, evidence)

    @method
    def refuse(self, context: CallContext, arguments: Refuse) -> None:
        """Refuses requests from now on."""
        context.state.put(b"refuse", arguments.code.encode())

    @method
    def mute(self, context: CallContext, arguments: Refuse) -> None:
        """What is signed from now on is only signed: no packet goes out by itself."""
        del arguments
        context.state.put(b"mute", b"1")

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> messages.Taken:
        code = (context.state.get(b"refuse") or b"").decode()
        if code:
            raise Refusal(code, "as told")
        request = messages.request_codec.decode(packet.payload)
        assert packet.kind == messages.REQUEST
        assert packet.deadline_ms == request.deadline_ms
        assert len(packet.attachments) == (1 if request.envelope else 0)
        context.state.put(b"q" + request.flow + request.stage.encode(), packet.payload)
        for ref in packet.attachments:
            context.state.put(b"e" + request.flow + request.stage.encode(), origin.attachments[ref.digest])
        return messages.Taken("queued")

    def _sign(self, context: CallContext) -> None:
        for key in context.transaction.body.cosigners:
            context.require_signature(key, "a cosigner")

    def _say(self, context: CallContext, kind: str, payload: Record) -> None:
        if context.state.get(b"mute") is None:
            self._send(context, kind, payload, (context.transaction.tx_id,))

    def _send(self, context: CallContext, kind: str, payload: Record, evidence: tuple[bytes, ...]) -> None:
        send(context, role="business", receiver="flow", kind=kind, payload=payload, evidence=evidence)


def request_in(state: object, prefix: bytes, flow: bytes, stage: str) -> StageRequest | None:
    """The last request of a stage that was taken."""
    data = state.get(prefix + b"q" + flow + stage.encode())  # type: ignore[attr-defined]
    return None if data is None else messages.request_codec.decode(data)
