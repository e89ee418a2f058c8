"""Takes what a delivery proves: packets for contracts of this chain, answers to packets of this chain.

What is the relay's fault refuses the transaction, and consumes nothing; what the receiver refuses is an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from contracts.bridge.cargo import Cargo
from contracts.bridge.codes import CONTRACT_FAILED, GAP, NOTHING_NEW, RECEIPT_UNPROVED, RECEIVER_MOVES
from contracts.bridge.freshness import Point, advance
from contracts.bridge.outbox import close
from contracts.bridge.records import Delivered
from contracts.bridge.state import (
    MAX_OUTBOX,
    Incoming,
    find_item,
    incoming,
    store_incoming,
    take,
    took,
)
from contracts.codes import CONTRACT_UNKNOWN, LIMIT_EXCEEDED, Refusal
from contracts.interface import CallContext, Contract
from ledger.block import Event, Header, Receipt, receipt_codec
from ledger.delivery import Carried, items_of, lane_head
from ledger.encoding import encode
from ledger.errors import Fatal, InvalidInput
from ledger.light_client import ClientState
from ledger.packet import (
    ANSWER_EVENT,
    ANSWER_EXPIRED,
    ANSWER_OK,
    MAX_RESULT_BYTES,
    Answer,
    Packet,
    PacketOrigin,
    ReceiptProof,
    packet_digest,
)

log = structlog.get_logger(__name__)
T = TypeVar("T")

MAX_TAKEN_PACKETS: Final = 24
MAX_CLOSED_PACKETS: Final = 128
"""What one delivery does at most; the rest is left, and can come again."""
MAX_EMITTED_BYTES: Final = 64 * 1024
"""A delivery takes nothing more once its receipt has grown to this: the other chain must be shown the receipt whole."""
MAX_EMITTED_EVENTS: Final = 192
"""Likewise; with one more packet's events it stays below ``ledger.block.MAX_RECEIPT_EVENTS``."""
MAX_PACKET_EVENTS: Final = 16
MAX_PACKET_EVENT_BYTES: Final = 24 * 1024
"""What taking one packet, or hearing one answer, may emit."""
MAX_CODE_LENGTH: Final = 64


class Inbox:
    """One delivery from a chain whose header is trusted by now.

    Args:
        context: of the bridge, in the relay's transaction.
        role: of the chain that it comes from.
        client: light client of that chain.
        cargo: attachments and transactions that the delivery carries.
    """

    def __init__(self, context: CallContext, role: str, client: ClientState, cargo: Cargo) -> None:
        self._context = context
        self._state = context.state
        self._role = role
        self._client = client
        self._cargo = cargo
        self._lane = incoming(self._state, role)
        self._emitted_bytes = 0
        self._taken = self._refused = self._answered = self._skipped = self._left = 0
        self._lacking: Refusal | None = None

    def deliver(self, header: Header, receipts: tuple[ReceiptProof, ...], *, renewed: bool) -> Delivered:
        """Takes what is new in the receipts, in their order.

        Args:
            header: trusted.
            receipts: of its block.
            renewed: True when the header alone is something new.

        A packet without its cargo is left, for a delivery that has it: not all that one receipt says fits into one.

        Refuses with ``bridge_receipt_unproved``, ``bridge_gap``, ``bridge_evidence_wrong``, ``bridge_superfluous``;
        when it takes nothing, with ``bridge_attachment_missing`` or ``bridge_evidence_missing`` if that is why; and
        with ``bridge_nothing_new`` when the header is not new either.
        """
        points: list[Point] = []
        for proof in receipts:
            receipt = _proved(header, proof)
            head = lane_head(receipt, bridge=self._client.bridge, here=self._context.block.chain_id)
            if head is not None:
                points.append(Point(header.time_ms, head.sent))
            for item in items_of(
                receipt, bridge=self._client.bridge, there=self._client.chain_id, here=self._context.block.chain_id
            ):
                if isinstance(item.item, Packet):
                    self._packet(header, receipt, item, item.item)
                else:
                    self._answer(item.item)
        renewed = advance(self._state, self._role, self._lane.watermark, points) or renewed
        if not (self._taken or self._refused or self._answered):
            if self._lacking is not None:
                raise self._lacking
            if not renewed:
                raise Refusal(NOTHING_NEW, "everything that this delivery proves is known already")
        self._cargo.refuse_superfluous()
        store_incoming(self._state, self._role, self._lane)
        return Delivered(self._taken, self._refused, self._answered, self._skipped, self._left, frozen=False)

    # --- packets ------------------------------------------------------------------------------------------------

    def _packet(self, header: Header, receipt: Receipt, place: Carried, packet: Packet) -> None:
        self._cargo.name(packet)
        sequence, watermark = packet.sequence, self._lane.watermark
        if sequence <= watermark or took(self._state, self._role, sequence) is not None:
            self._skipped += 1
            return
        if sequence > watermark + MAX_OUTBOX:
            raise Refusal(GAP, f"packet {sequence} is more than {MAX_OUTBOX} above {watermark}")
        if self._taken + self._refused >= MAX_TAKEN_PACKETS or self._is_full():
            self._left += 1
            return
        try:
            attachments, evidence = self._cargo.of(packet)
        except Refusal as lacking:
            if lacking.code not in Cargo.LACKING:
                raise
            self._lacking = self._lacking or lacking
            self._left += 1
            return
        origin = PacketOrigin(header.height, header.time_ms, receipt.tx_id, place.event_index, attachments, evidence)
        self._note_taken(sequence)
        code, result = self._ask(packet, origin)
        answer = Answer(packet.source, packet.destination, sequence, packet_digest(packet), code, result)
        self._emit((Event(self._context.address, ANSWER_EVENT, encode(answer)),))
        if code == ANSWER_OK:
            self._taken += 1
        else:
            self._refused += 1

    def _note_taken(self, sequence: int) -> None:
        state, role = self._state, self._role
        take(state, role, sequence, self._context.block.height)
        watermark = self._lane.watermark
        if sequence == watermark + 1:
            # At most MAX_OUTBOX steps in a delivery: beyond that there is nothing above the watermark.
            watermark += 1
            while took(state, role, watermark + 1) is not None:
                watermark += 1
        self._lane = Incoming(watermark, self._lane.delivered + 1)

    def _ask(self, packet: Packet, origin: PacketOrigin) -> tuple[str, bytes]:
        """The code and the result of the answer."""
        context = self._context
        if packet.deadline_ms and context.block.time_ms > packet.deadline_ms:
            return ANSWER_EXPIRED, b""
        receiver = context.directory.contract(packet.receiver)
        if receiver is None:
            return CONTRACT_UNKNOWN, b""

        def work(inner: CallContext) -> bytes:
            result = receiver.on_packet(inner, packet, origin)
            encoded = b"" if result is None else encode(result)
            if len(encoded) > MAX_RESULT_BYTES:
                raise Refusal(LIMIT_EXCEEDED, f"the result of a packet has at most {MAX_RESULT_BYTES} bytes")
            return encoded

        result = self._contained(packet.receiver, "on_packet", work)
        if isinstance(result, Refusal):
            return result.code if 0 < len(result.code) <= MAX_CODE_LENGTH else CONTRACT_FAILED, b""
        return ANSWER_OK, result

    # --- answers ------------------------------------------------------------------------------------------------

    def _answer(self, answer: Answer) -> None:
        item = find_item(self._state, self._role, answer.sequence)
        if item is None or packet_digest(item.packet) != answer.packet:
            self._skipped += 1
            return
        if self._answered >= MAX_CLOSED_PACKETS or self._is_full():
            self._left += 1
            return
        close(self._state, self._role, item)
        self._answered += 1
        sender: Contract | None = self._context.directory.contract(item.packet.sender)
        if sender is not None:
            hearing = sender.on_answer
            outcome = self._contained(
                item.packet.sender, "on_answer", lambda inner: hearing(inner, item.packet, answer)
            )
            if isinstance(outcome, Refusal):
                log.error("answer_refused", contract=item.packet.sender, code=outcome.code)

    # --- what other contracts do --------------------------------------------------------------------------------

    def _contained(self, address: str, what: str, work: Callable[[CallContext], T]) -> T | Refusal:
        """Does ``work`` with another contract's context; all that goes wrong in it is undone and becomes a refusal.

        Nobody signed for a packet and there is nothing to spend, whatever else the relay's transaction has in it; and
        what one packet emits counts for itself, so that its outcome does not depend on what it travels with.
        """
        inner = self._context.enter(address)
        inner.events = []
        inner.signers, inner.inputs = frozenset(), ()
        inner.issued, inner.destroyed, inner.approvals = {}, {}, {}

        def guarded() -> T:
            try:
                result = work(inner)
            except (Refusal, Fatal):
                raise
            except Exception as error:
                # As in the executor: the same bug strikes every validator alike.
                log.exception("contract_failed", contract=address, method=what)
                raise Refusal(CONTRACT_FAILED, f"{address}.{what} failed; this is a bug of the contract") from error
            if inner.issued or inner.destroyed or inner.approvals:
                raise Refusal(RECEIVER_MOVES, "a packet moves no assets")
            if len(inner.events) > MAX_PACKET_EVENTS or _size_bytes(inner.events) > MAX_PACKET_EVENT_BYTES:
                raise Refusal(LIMIT_EXCEEDED, "it emits too much for one packet")
            return result

        outcome = inner.attempt(guarded)
        if not isinstance(outcome, Refusal):
            self._emit(tuple(inner.events))
        return outcome

    def _emit(self, events: tuple[Event, ...]) -> None:
        self._context.events.extend(events)
        self._emitted_bytes += _size_bytes(events)

    def _is_full(self) -> bool:
        return self._emitted_bytes >= MAX_EMITTED_BYTES or len(self._context.events) >= MAX_EMITTED_EVENTS


def _proved(header: Header, proof: ReceiptProof) -> Receipt:
    inclusion = proof.inclusion
    if inclusion.size != header.transactions_count + 1:
        raise Refusal(RECEIPT_UNPROVED, "the proof is not of a tree with the block's receipts")
    try:
        inclusion.check(proof.receipt, header.receipts_root)
        return receipt_codec.decode(proof.receipt)
    except InvalidInput as error:
        raise Refusal(RECEIPT_UNPROVED, error.message) from error


def _size_bytes(events: list[Event] | tuple[Event, ...]) -> int:
    return sum([len(event.contract) + len(event.name) + len(event.data) + 8 for event in events])
