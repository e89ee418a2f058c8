"""Finds what a block still has for the other chain, and packs it with its proofs.

A relay adds nothing of its own: everything here is read from the two chains, and the receiving chain checks it all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from contracts.bridge.records import (
    MAX_PAGE,
    AttachmentQuery,
    AttachmentView,
    ClientView,
    DeliveredQuery,
    DeliveredView,
    OutboxPage,
    OutboxQuery,
    RoleQuery,
)
from ledger.delivery import Carried, build_deliveries, items_in, tells_lane
from ledger.errors import NotFound
from ledger.packet import AttachmentRef, Delivery, HeaderProof, Packet
from node.relay.ends import BRIDGE, RelayEnd
from node.relay.following import keys_of

MAX_DELIVERY_BYTES: Final = 150 * 1024
"""Of one delivery, so that a block has room for others beside it."""


def cargo_of(receipts: Sequence[bytes], source: RelayEnd, destination: RelayEnd) -> list[Carried]:
    """What a block of ``source`` says to ``destination``: packets and answers, in block order."""
    return items_in(receipts, bridge=BRIDGE, there=source.chain.chain_id, here=destination.chain.chain_id)


def open_cargo(items: Sequence[Carried], source: RelayEnd, destination: RelayEnd) -> list[Carried]:
    """Those of ``items`` that the destination still wants: a packet not taken, or an answer to an open packet.

    Raises:
        NotFound: the destination has no client of the source.
    """
    packets = sorted({item.item.sequence for item in items if isinstance(item.item, Packet)})
    answers = sorted({item.item.sequence for item in items if not isinstance(item.item, Packet)})
    wanted = set(packets).difference(taken_sequences(destination, source.role, packets))
    unanswered = set(unanswered_sequences(destination, source.role, answers))
    return [item for item in items if item.item.sequence in (wanted if isinstance(item.item, Packet) else unanswered)]


def taken_sequences(end: RelayEnd, role: str, sequences: Sequence[int]) -> Iterator[int]:
    """Those of ``sequences`` that ``end`` has taken from the chain of ``role``."""
    for start in range(0, len(sequences), MAX_PAGE):
        page = tuple(sequences[start : start + MAX_PAGE])
        view = end.view("delivered", DeliveredQuery(role, page), DeliveredView)
        yield from (sequence for sequence, taken in zip(page, view.taken, strict=True) if taken)


def unanswered_sequences(end: RelayEnd, role: str, sequences: Sequence[int]) -> Iterator[int]:
    """Those of ``sequences``, which are sorted, whose answers ``end`` still waits for."""
    rest = list(sequences)
    while rest:
        # The answers of one block are to packets that lie close together.
        limit = min(MAX_PAGE, rest[-1] - rest[0] + 1)
        page = end.view("outbox", OutboxQuery(role, rest[0] - 1, limit), OutboxPage)
        found = {item.packet.sequence for item in page.items}
        last = max(found, default=0) if page.more else rest[-1]
        yield from (sequence for sequence in rest if sequence in found)
        rest = [sequence for sequence in rest if sequence > last]


def prove_header(source: RelayEnd, destination: RelayEnd, height: int) -> HeaderProof:
    """A header of the source, provable to the destination's client as it stands now.

    The client must have been shown every header between its latest one and this that changes the set
    (``node.relay.following``).

    Raises:
        NotFound: the destination has no client of the source yet, or the block is not there.
    """
    client = destination.view("client", RoleQuery(source.role), ClientView)
    store, latest = source.chain.store, client.state.latest.height
    header = store.header(height)
    if height > latest:
        keys = keys_of(source.chain, height, client.state.validators)
        return HeaderProof(header, store.certificate(height), keys, 0, None)
    if height == latest:
        return HeaderProof(header, None, (), 0, None)
    return HeaderProof(header, None, (), latest, store.history_inclusion(height, latest))


def deliveries_of(
    source: RelayEnd, destination: RelayEnd, height: int, receipts: Sequence[bytes], items: Sequence[Carried]
) -> list[Delivery]:
    """Deliveries of ``items`` of block ``height``, each small enough for a transaction; none where nothing is left.

    Args:
        source: the block's chain.
        destination: where it goes.
        height: of the block.
        receipts: all of it.
        items: from ``open_cargo``.

    Raises:
        NotFound: the destination has no client of the source.
    """
    proof = prove_header(source, destination, height)
    attachments: dict[tuple[int, bytes], bytes] = {}
    evidence: dict[bytes, bytes] = {}
    complete = [
        item
        for item in items
        if not isinstance(item.item, Packet) or _collect(source, destination, item.item, attachments, evidence)
    ]
    if not complete:
        return []
    return _built(destination, proof, receipts, complete, attachments, evidence)


def renewal_of(source: RelayEnd, destination: RelayEnd, height: int) -> Delivery:
    """A delivery of nothing but block ``height`` itself: its header, and how far it has spoken where it says so.

    Raises:
        NotFound: the destination has no client of the source.
    """
    proof = prove_header(source, destination, height)
    return _built(destination, proof, source.chain.store.receipts(height), [], {}, {})[0]


def _built(
    destination: RelayEnd,
    proof: HeaderProof,
    receipts: Sequence[bytes],
    items: Sequence[Carried],
    attachments: dict[tuple[int, bytes], bytes],
    evidence: dict[bytes, bytes],
) -> list[Delivery]:
    def attachment(packet: Packet, ref: AttachmentRef) -> bytes:
        return attachments[packet.sequence, ref.digest]

    return build_deliveries(
        proof,
        receipts,
        items,
        attachment=attachment,
        transaction=evidence.__getitem__,
        end=tells_lane(receipts, bridge=BRIDGE, here=destination.chain.chain_id),
        max_bytes=MAX_DELIVERY_BYTES,
    )


def _collect(
    source: RelayEnd,
    destination: RelayEnd,
    packet: Packet,
    attachments: dict[tuple[int, bytes], bytes],
    evidence: dict[bytes, bytes],
) -> bool:
    """Reads what a packet names; False when it is not there any more: then the packet was answered meanwhile."""
    for ref in packet.attachments:
        query = AttachmentQuery(destination.role, packet.sequence, ref.digest)
        try:
            attachments[packet.sequence, ref.digest] = source.view("attachment", query, AttachmentView).data
        except NotFound:
            return False
    for tx_id in packet.evidence:
        place = source.chain.store.find_transaction(tx_id)
        if place is None:
            return False
        evidence[tx_id] = source.chain.store.transactions(place[0])[place[1]]
    return True
