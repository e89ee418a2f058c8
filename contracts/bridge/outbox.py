"""Sends packets to another chain, and closes them on their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.bridge.codes import EVIDENCE_TOO_LARGE, FROZEN, OUTBOX_FULL, PACKET_INVALID
from contracts.bridge.records import OutboxItem
from contracts.bridge.state import (
    MAX_OUTBOX,
    Outgoing,
    attachment_key,
    find_item,
    item_key,
    need_client,
    outgoing,
    store_outgoing,
)
from contracts.codes import Refusal
from contracts.interface import CallContext, EndContext, StateSpace
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput
from ledger.packet import PACKET_EVENT, Packet, attachment_ref, packet_codec

MAX_EVIDENCE_BYTES: Final = 8 * 1024
"""A transaction that is named as evidence; a delivery must have room for it."""
MAX_CARGO_BYTES: Final = 72 * 1024
"""What one packet's attachments, and its evidence counted at ``MAX_EVIDENCE_BYTES`` each, come to."""
MAX_HELD_BYTES: Final = 256 * 1024 * 1024
"""Attachments of unanswered packets of a lane, which are state."""


def send(
    context: EndContext,
    *,
    role: str,
    receiver: str,
    kind: str,
    payload: Record,
    attachments: Sequence[bytes] = (),
    deadline_ms: int = 0,
    evidence: Sequence[bytes] = (),
) -> int:
    """Sends a packet to a contract of another chain; ``on_answer`` of the sending contract hears what became of it.

    Args:
        context: of the sending contract; its address is the packet's sender.
        role: which chain, from ``records.ROLES``.
        receiver: address of the contract there.
        kind: what the payload is; constant snake_case.
        payload: a record of at most 8 KiB.
        attachments: bytes that travel beside it, distinct, at most 64 KiB each; kept until the answer.
        deadline_ms: latest time of the block there that takes it; 0: none.
        evidence: ids of transactions of this chain that travel whole, distinct; see ``check_evidence``.

    Returns:
        The packet's sequence on its lane.

    Refuses with ``bridge_no_client``, ``bridge_frozen``, ``bridge_outbox_full``, or ``bridge_packet_invalid`` for what
    no delivery could carry.
    """
    bridge = context.enter_kind("bridge")
    state = bridge.state
    client = need_client(state, role)
    if client.state.frozen:
        raise Refusal(FROZEN, f"the {role} chain contradicted itself; governance must replace its client")
    lane = outgoing(state, role)
    size_bytes = sum(map(len, attachments))
    if lane.sent - lane.closed >= MAX_OUTBOX or lane.held_bytes + size_bytes > MAX_HELD_BYTES:
        raise Refusal(OUTBOX_FULL, f"too many packets to the {role} chain wait for their answer; try again later")
    sequence = lane.sent + 1
    refs = tuple(attachment_ref(data) for data in attachments)
    packet = Packet(
        bytes(context.block.chain_id),
        client.state.chain_id,
        sequence,
        context.address,
        receiver,
        kind,
        encode(payload),
        refs,
        deadline_ms,
        tuple(evidence),
    )
    _check(packet, size_bytes)
    state.put(item_key(role, sequence), encode(OutboxItem(context.block.height, context.block.time_ms, packet)))
    for ref, data in zip(refs, attachments, strict=True):
        state.put(attachment_key(role, sequence, ref.digest), data)
    store_outgoing(state, role, Outgoing(sequence, lane.answered, lane.closed, lane.held_bytes + size_bytes))
    bridge.emit(PACKET_EVENT, packet)
    return sequence


def check_evidence(context: CallContext) -> None:
    """Refuses with ``bridge_evidence_too_large`` a transaction that no delivery could carry as evidence.

    For contracts that will name the present transaction as evidence, in this block or later.
    """
    size_bytes = context.transaction.size_bytes
    if size_bytes > MAX_EVIDENCE_BYTES:
        raise Refusal(
            EVIDENCE_TOO_LARGE,
            f"the other chain is shown this transaction: at most {MAX_EVIDENCE_BYTES} bytes, it has {size_bytes}",
        )


def _check(packet: Packet, size_bytes: int) -> None:
    try:
        packet_codec.decode(encode(packet))
    except InvalidInput as error:
        raise Refusal(PACKET_INVALID, error.message) from error
    digests = [ref.digest for ref in packet.attachments]
    if len(set(digests)) != len(digests) or len(set(packet.evidence)) != len(packet.evidence):
        raise Refusal(PACKET_INVALID, "a packet names each attachment and each transaction once")
    if size_bytes + len(packet.evidence) * MAX_EVIDENCE_BYTES > MAX_CARGO_BYTES:
        raise Refusal(PACKET_INVALID, f"attachments and evidence of a packet are at most {MAX_CARGO_BYTES} bytes")


def close(state: StateSpace, role: str, item: OutboxItem) -> None:
    """Removes an answered packet and its attachments, and lets the lane go on behind it.

    Args:
        state: the bridge's records.
        role: of the lane.
        item: a packet in the outbox.
    """
    packet = item.packet
    state.delete(item_key(role, packet.sequence))
    for ref in packet.attachments:
        state.delete(attachment_key(role, packet.sequence, ref.digest))
    lane = outgoing(state, role)
    closed = lane.closed
    if packet.sequence == closed + 1:
        # At most MAX_OUTBOX steps, and each sequence is stepped over once in its life.
        closed += 1
        while closed < lane.sent and find_item(state, role, closed + 1) is None:
            closed += 1
    held_bytes = lane.held_bytes - sum(ref.size_bytes for ref in packet.attachments)
    store_outgoing(state, role, Outgoing(lane.sent, lane.answered + 1, closed, held_bytes))
