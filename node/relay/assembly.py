"""Builds the deliveries that carry a block's packets and answers to the other chain, with their proofs.

A relay adds nothing of its own: everything here is read from the two chains, and the receiving chain checks it all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from contracts.bridge.records import (
    AttachmentQuery,
    AttachmentView,
    ClientView,
    DeliveredQuery,
    DeliveredView,
    OutboxPage,
    OutboxQuery,
    RoleQuery,
)
from ledger.block import Receipt, receipt_codec
from ledger.chain_proof import inclusion_of
from ledger.errors import NotFound
from ledger.merkle import leaf_hash
from ledger.packet import (
    ANSWER_EVENT,
    MAX_DELIVERED_RECEIPTS,
    PACKET_EVENT,
    Answer,
    Delivery,
    HeaderProof,
    Packet,
    ReceiptProof,
    answer_codec,
    packet_codec,
)
from node.relay.ends import BRIDGE, RelayEnd

MAX_DELIVERY_BYTES: Final = 150 * 1024
"""Of one delivery's parts, so that it stays below what a call takes."""
MAX_DELIVERY_PACKETS: Final = 24
"""Packets of one delivery: the receiving bridge takes no more of them at once."""
_SMALLEST_EVENT: Final = 40


class Cargo:
    """A receipt with something for the other chain in it.

    Attributes:
        index: place of the receipt in its block.
        receipt: canonical bytes.
        packets: for the other chain.
        answers: to packets of the other chain.
    """

    __slots__ = ("answers", "index", "packets", "receipt")

    def __init__(self, index: int, receipt: bytes, packets: list[Packet], answers: list[Answer]) -> None:
        self.index = index
        self.receipt = receipt
        self.packets = packets
        self.answers = answers


def cargo_of(receipts: Sequence[bytes], destination: bytes) -> list[Cargo]:
    """What a block's receipts hold for the chain with id ``destination``, in block order."""
    found: list[Cargo] = []
    for index, data in enumerate(receipts):
        # Most receipts have nothing to do with the bridge: look before decoding.
        if len(data) < _SMALLEST_EVENT or BRIDGE.encode() not in data:
            continue
        cargo = _cargo(index, data, receipt_codec.decode(data), destination)
        if cargo.packets or cargo.answers:
            found.append(cargo)
    return found


def _cargo(index: int, data: bytes, receipt: Receipt, destination: bytes) -> Cargo:
    packets: list[Packet] = []
    answers: list[Answer] = []
    for event in receipt.events:
        if event.contract != BRIDGE:
            continue
        if event.name == PACKET_EVENT:
            packet = packet_codec.decode(event.data)
            if packet.destination == destination:
                packets.append(packet)
        elif event.name == ANSWER_EVENT:
            answer = answer_codec.decode(event.data)
            if answer.source == destination:
                answers.append(answer)
    return Cargo(index, data, packets, answers)


def open_cargo(cargo: Sequence[Cargo], source: RelayEnd, destination: RelayEnd) -> list[Cargo]:
    """Those of ``cargo`` that the destination still wants: a packet not taken, or an answer to an open packet."""
    sequences = sorted({packet.sequence for item in cargo for packet in item.packets})
    taken = set(taken_sequences(destination, source.role, sequences))
    wanted: list[Cargo] = []
    for item in cargo:
        packets = [packet for packet in item.packets if packet.sequence not in taken]
        answers = [answer for answer in item.answers if is_unanswered(destination, source.role, answer.sequence)]
        if packets or answers:
            wanted.append(Cargo(item.index, item.receipt, packets, answers))
    return wanted


def taken_sequences(end: RelayEnd, role: str, sequences: Sequence[int]) -> Iterator[int]:
    """Those of ``sequences`` that ``end`` has taken from the chain of ``role``."""
    for start in range(0, len(sequences), 100):
        page = tuple(sequences[start : start + 100])
        view = end.view("delivered", DeliveredQuery(role, page), DeliveredView)
        yield from (sequence for sequence, taken in zip(page, view.taken, strict=True) if taken)


def is_unanswered(end: RelayEnd, role: str, sequence: int) -> bool:
    """Whether ``end`` waits for the answer to its packet ``sequence`` to the chain of ``role``."""
    page = end.view("outbox", OutboxQuery(role, sequence - 1, 1), OutboxPage)
    return bool(page.items) and page.items[0].packet.sequence == sequence


def prove_header(source: RelayEnd, destination: RelayEnd, height: int) -> HeaderProof:
    """A header of the source, provable to the destination's client as it stands now.

    Raises:
        NotFound: the destination has no client of the source yet, or the block is not there.
    """
    client = destination.view("client", RoleQuery(source.role), ClientView)
    store, latest = source.chain.store, client.state.latest.height
    header = store.header(height)
    if height > latest:
        return HeaderProof(header, store.certificate(height), (), 0, None)
    if height == latest:
        return HeaderProof(header, None, (), 0, None)
    return HeaderProof(header, None, (), latest, store.history_inclusion(height, latest))


def build_deliveries(
    source: RelayEnd, destination: RelayEnd, height: int, cargo: Sequence[Cargo]
) -> Iterator[tuple[Delivery, list[Cargo]]]:
    """Deliveries of ``cargo`` of block ``height``, each small enough for a transaction, with what each carries."""
    proof = prove_header(source, destination, height)
    hashes = [leaf_hash(receipt) for receipt in source.chain.store.receipts(height)]
    for part in _parts(cargo):
        attachments: dict[bytes, bytes] = {}
        evidence: dict[bytes, bytes] = {}
        for item in part:
            for packet in item.packets:
                _collect(source, destination, packet, attachments, evidence)
        receipts = tuple(ReceiptProof(item.receipt, inclusion_of(hashes, item.index)) for item in part)
        yield Delivery(proof, receipts, tuple(attachments.values()), tuple(evidence.values())), part


def _parts(cargo: Sequence[Cargo]) -> Iterator[list[Cargo]]:
    part: list[Cargo] = []
    size_bytes = packets = 0
    for item in cargo:
        item_bytes = len(item.receipt) + 1_024 + sum(_packet_bytes(packet) for packet in item.packets)
        full = len(part) == MAX_DELIVERED_RECEIPTS or packets + len(item.packets) > MAX_DELIVERY_PACKETS
        if part and (full or size_bytes + item_bytes > MAX_DELIVERY_BYTES):
            yield part
            part, size_bytes, packets = [], 0, 0
        part.append(item)
        size_bytes += item_bytes
        packets += len(item.packets)
    if part:
        yield part


def _packet_bytes(packet: Packet) -> int:
    return sum(ref.size_bytes for ref in packet.attachments) + 2_048 * len(packet.evidence)


def _collect(
    source: RelayEnd,
    destination: RelayEnd,
    packet: Packet,
    attachments: dict[bytes, bytes],
    evidence: dict[bytes, bytes],
) -> None:
    for ref in packet.attachments:
        query = AttachmentQuery(destination.role, packet.sequence, ref.digest)
        try:
            attachments[ref.digest] = source.view("attachment", query, AttachmentView).data
        except NotFound:
            return  # answered meanwhile: the bridge leaves a packet alone whose bytes are not there
    for tx_id in packet.evidence:
        place = source.chain.store.find_transaction(tx_id)
        if place is not None:
            evidence[tx_id] = source.chain.store.transactions(place[0])[place[1]]
