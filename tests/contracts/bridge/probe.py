"""A contract that sends packets as it is told, and does with those that it takes what their kind says."""

from __future__ import annotations

from contracts.bridge.outbox import check_evidence, send
from contracts.codes import Refusal
from contracts.interface import CallContext, Contract, EndContext, method, view
from ledger.encoding import Codec, Record, encode
from ledger.packet import Answer, Packet, PacketOrigin

KIND = "probe"


class Data(Record, frozen=True):
    """The payload of every packet here, and the result of most."""

    data: bytes


class Send(Record, frozen=True):
    role: str
    kind: str
    data: bytes = b""
    receiver: str = KIND
    attachments: tuple[bytes, ...] = ()
    deadline_ms: int = 0
    evidence: tuple[bytes, ...] = ()
    itself: bool = False
    """Name the sending transaction as evidence too."""
    times: int = 1


class Sent(Record, frozen=True):
    sequence: int


class Query(Record, frozen=True):
    sequence: int


class Seen(Record, frozen=True):
    """How often the packet was taken, how often its answer was heard, and what came with them."""

    taken: int
    answered: int
    sender: str
    data: bytes
    attachments: tuple[bytes, ...]
    evidence: tuple[bytes, ...]
    origin: tuple[int, int, bytes, int]
    code: str
    result: bytes


data_codec = Codec(Data, 16 * 1024)
seen_codec = Codec(Seen, 512 * 1024)
UNSEEN = Seen(0, 0, "", b"", (), (), (0, 0, b"", 0), "", b"")


class Probe(Contract):
    kind = KIND

    @method
    def send(self, context: CallContext, arguments: Send) -> Sent:
        """Sends packets."""
        if arguments.itself:
            check_evidence(context)
        evidence = (*arguments.evidence, *([bytes(context.transaction.tx_id)] if arguments.itself else []))
        sequence = 0
        for _ in range(arguments.times):
            sequence = send(
                context,
                role=arguments.role,
                receiver=arguments.receiver,
                kind=arguments.kind,
                payload=Data(arguments.data),
                attachments=arguments.attachments,
                deadline_ms=arguments.deadline_ms,
                evidence=evidence,
            )
        return Sent(sequence)

    @method
    def shout(self, context: CallContext, arguments: Data) -> None:
        """Emits events that look like the bridge's, and large ones."""
        for name in ("packet", "answer", "noise"):
            context.emit(name, arguments)

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> Record | None:
        data = data_codec.decode(packet.payload).data
        seen = _seen(context, b"p", packet.sequence)
        context.state.put(
            b"p" + packet.sequence.to_bytes(8, "big"),
            encode(
                Seen(
                    seen.taken + 1,
                    0,
                    packet.sender,
                    data,
                    tuple(origin.attachments[ref.digest] for ref in packet.attachments),
                    tuple(bytes(origin.evidence[tx_id].tx_id) for tx_id in packet.evidence),
                    (origin.height, origin.time_ms, origin.tx_id, origin.event_index),
                    "",
                    b"",
                )
            ),
        )
        context.emit("probe_took", Data(data))
        match packet.kind:
            case "refuse":
                raise Refusal("probe_refused", "as asked")
            case "fail":
                raise KeyError("as asked")
            case "long":
                return Data(bytes(4_096))
            case "loud":
                for _ in range(8):
                    context.emit("noise", Data(bytes(8_000)))
            case "chatty":
                for _ in range(16):
                    context.emit("noise", Data(b""))
            case "issue":
                context.issue(f"{self.address}:thing", 1)
            case "signed":
                context.require_signature(context.sender.key, "whoever carried it")
            case "reply":
                send(context, role=data.decode(), receiver=KIND, kind="note", payload=Data(b"reply"))
        return Data(data)

    def on_answer(self, context: CallContext, packet: Packet, answer: Answer) -> None:
        seen = _seen(context, b"a", packet.sequence)
        context.state.put(
            b"a" + packet.sequence.to_bytes(8, "big"),
            encode(
                Seen(
                    0,
                    seen.answered + 1,
                    packet.sender,
                    packet.payload,
                    (),
                    (),
                    (0, 0, b"", 0),
                    answer.code,
                    answer.result,
                )
            ),
        )
        if packet.kind == "deaf":
            raise KeyError("as asked")

    @view
    def took(self, context: EndContext, arguments: Query) -> Seen:
        """What was taken."""
        return _seen(context, b"p", arguments.sequence)

    @view
    def heard(self, context: EndContext, arguments: Query) -> Seen:
        """What was answered."""
        return _seen(context, b"a", arguments.sequence)


def _seen(context: EndContext, prefix: bytes, sequence: int) -> Seen:
    data = context.state.get(prefix + sequence.to_bytes(8, "big"))
    return UNSEEN if data is None else seen_codec.decode(data)
