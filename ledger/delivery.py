"""Finds packets and answers in receipts, and packs them into deliveries with their proofs (DESIGN.md 6).

Pure: whoever relays reads the blocks, and gives what was read to these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger.block import Receipt, receipt_codec
from ledger.chain_proof import Inclusion
from ledger.encoding import encode
from ledger.errors import InvalidInput, LocalMisuse
from ledger.merkle import leaf_hash, node_hash
from ledger.packet import (
    ANSWER_EVENT,
    LANE_EVENT,
    MAX_DELIVERED_ATTACHMENTS,
    MAX_DELIVERED_RECEIPTS,
    MAX_DELIVERED_TRANSACTIONS,
    PACKET_EVENT,
    Answer,
    AttachmentRef,
    Delivery,
    HeaderProof,
    LaneHead,
    Packet,
    ReceiptProof,
    answer_codec,
    lane_codec,
    packet_codec,
)
from ledger.transaction import MAX_CALL_BYTES
from ledger.types import ZERO_HASH

MAX_PACKETS: Final = 24
"""Packets that a delivery is filled with; ``contracts.bridge`` takes no more from one."""
_OVERHEAD_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Carried:
    """A packet or an answer, and where it stands.

    Attributes:
        receipt_index: of the receipt in its block.
        event_index: among the receipt's events.
        item: itself.
    """

    receipt_index: int
    event_index: int
    item: Packet | Answer


def items_of(receipt: Receipt, *, bridge: str, there: bytes, here: bytes, receipt_index: int = 0) -> Iterator[Carried]:
    """Packets and answers in a receipt that are for a chain, in order; events that only look like it are passed over.

    Args:
        receipt: of a block of the other chain.
        bridge: address of the bridge contract there; events of other contracts count for nothing.
        there: the other chain.
        here: the chain that they are for.
        receipt_index: of the receipt.
    """
    for index, event in enumerate(receipt.events):
        if event.contract != bridge:
            continue
        try:
            if event.name == PACKET_EVENT:
                packet = packet_codec.decode(event.data)
                if packet.source == there and packet.destination == here:
                    yield Carried(receipt_index, index, packet)
            elif event.name == ANSWER_EVENT:
                answer = answer_codec.decode(event.data)
                if answer.source == here and answer.destination == there:
                    yield Carried(receipt_index, index, answer)
        except InvalidInput:
            continue


def items_in(receipts: Sequence[bytes], *, bridge: str, there: bytes, here: bytes) -> list[Carried]:
    """``items_of`` all receipts of a block, given as their canonical bytes in order, the end of the block's last."""
    name = bridge.encode()
    return [
        item
        for index, data in enumerate(receipts)
        # Decoding thousands of receipts takes long; one that does not hold the address has no event of it.
        if name in data
        for item in items_of(receipt_codec.decode(data), bridge=bridge, there=there, here=here, receipt_index=index)
    ]


def lane_head(receipt: Receipt, *, bridge: str, here: bytes) -> LaneHead | None:
    """How far the other chain has spoken to this one, when ``receipt`` is the end of a block that says so."""
    if receipt.tx_id != ZERO_HASH:
        return None
    for event in receipt.events:
        if event.contract == bridge and event.name == LANE_EVENT:
            try:
                head = lane_codec.decode(event.data)
            except InvalidInput:
                continue
            if head.destination == here:
                return head
    return None


def tells_lane(receipts: Sequence[bytes], *, bridge: str, here: bytes) -> bool:
    """Whether the last of a block's receipts says how far its chain has spoken to the chain ``here``."""
    return lane_head(receipt_codec.decode(receipts[-1]), bridge=bridge, here=here) is not None


@dataclass(slots=True)
class _Load:
    """A delivery being filled."""

    size_bytes: int
    receipts: dict[int, ReceiptProof] = field(default_factory=dict)
    attachments: dict[bytes, bytes] = field(default_factory=dict)
    transactions: dict[bytes, bytes] = field(default_factory=dict)
    packets: int = 0


def build_deliveries(
    proof: HeaderProof,
    receipts: Sequence[bytes],
    items: Sequence[Carried],
    *,
    attachment: Callable[[Packet, AttachmentRef], bytes],
    transaction: Callable[[bytes], bytes],
    end: bool = False,
    max_bytes: int = MAX_CALL_BYTES,
) -> list[Delivery]:
    """Deliveries that bring ``items`` of one block, each small enough for one transaction.

    Args:
        proof: the block's header, as the receiving chain's client can check it now.
        receipts: all receipts of the block: canonical bytes, the end of the block's last.
        items: from ``items_in``; those that are in already are better left out.
        attachment: bytes of an attachment of a packet.
        transaction: wire bytes of a transaction of the block's chain, by id.
        end: whether the last delivery also shows the end of the block, because it ``tells_lane``.
        max_bytes: of one delivery.

    Returns:
        At least one; the first only renews the client when there are no items. All but the first come after it, when
        the client has taken their header: they prove the same one.

    Raises:
        LocalMisuse: a single packet does not fit; its chain's bridge does not send such ones.
    """
    levels = _levels([leaf_hash(receipt) for receipt in receipts]) if items or end else []
    known: dict[int, ReceiptProof] = {}
    empty_bytes = len(encode(proof)) + _OVERHEAD_BYTES
    loads = [_Load(empty_bytes)]
    for item in items:
        index = item.receipt_index
        shown = known.setdefault(index, ReceiptProof(receipts[index], _inclusion(levels, index)))
        packet = item.item if isinstance(item.item, Packet) else None
        cargo = {ref.digest: attachment(packet, ref) for ref in packet.attachments} if packet else {}
        evidence = {tx_id: transaction(tx_id) for tx_id in packet.evidence} if packet else {}
        if not _add(loads[-1], index, shown, cargo, evidence, packet is not None, max_bytes):
            loads.append(_Load(empty_bytes))
            if not _add(loads[-1], index, shown, cargo, evidence, packet is not None, max_bytes):
                raise LocalMisuse(f"no delivery of {max_bytes} bytes has room for what receipt {index} says")
    if end:
        index = len(receipts) - 1
        shown = known.get(index) or ReceiptProof(receipts[index], _inclusion(levels, index))
        if not _add(loads[-1], index, shown, {}, {}, False, max_bytes):
            loads.append(_Load(empty_bytes, {index: shown}))
    return [
        Delivery(
            proof,
            tuple(load.receipts.values()),
            tuple(load.attachments.values()),
            tuple(load.transactions.values()),
        )
        for load in loads
    ]


def _levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The tree over leaf hashes, level by level from the leaves to the root; an odd last node moves up unchanged."""
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above: list[bytes] = [node_hash(left, right) for left, right in zip(below[::2], below[1::2], strict=False)]
        levels.append(above + below[len(above) * 2 :])
    return levels


def _inclusion(levels: Sequence[Sequence[bytes]], index: int) -> Inclusion:
    """``ledger.chain_proof.inclusion_of``, with a tree that many proofs share."""
    path, position = [], index
    for level in levels[:-1]:
        if position ^ 1 < len(level):
            path.append(level[position ^ 1])
        position >>= 1
    return Inclusion(index, len(levels[0]), tuple(path))


def _add(
    load: _Load,
    index: int,
    shown: ReceiptProof,
    cargo: dict[bytes, bytes],
    evidence: dict[bytes, bytes],
    is_packet: bool,
    max_bytes: int,
) -> bool:
    """Puts an item into a load, unless it does not fit."""
    receipts = {**load.receipts, index: shown}
    attachments, transactions = {**load.attachments, **cargo}, {**load.transactions, **evidence}
    size_bytes = load.size_bytes
    if index not in load.receipts:
        size_bytes += len(encode(shown)) + 8
    size_bytes += sum(len(data) + 8 for key, data in cargo.items() if key not in load.attachments)
    size_bytes += sum(len(data) + 8 for key, data in evidence.items() if key not in load.transactions)
    packets = load.packets + is_packet
    if (
        size_bytes > max_bytes
        or packets > MAX_PACKETS
        or len(receipts) > MAX_DELIVERED_RECEIPTS
        or len(attachments) > MAX_DELIVERED_ATTACHMENTS
        or len(transactions) > MAX_DELIVERED_TRANSACTIONS
    ):
        return False
    load.size_bytes, load.packets = size_bytes, packets
    load.receipts, load.attachments, load.transactions = receipts, attachments, transactions
    return True
