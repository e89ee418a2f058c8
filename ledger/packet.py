"""What travels between two chains: packets, their answers, and the delivery that proves them (DESIGN.md 6).

A packet is an event of a committed block of its source chain, an answer one of its destination. Whoever carries them is
not believed: the receiving chain checks header, certificate and inclusion (``ledger.light_client``).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from ledger.block import Header
from ledger.certificate import CommitCertificate
from ledger.chain_proof import Inclusion
from ledger.encoding import Codec, Record, digest, encode
from ledger.transaction import MAX_CALL_BYTES
from ledger.types import MAX_HEIGHT, Hash32
from ledger.validators import MAX_VALIDATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.transaction import Transaction

MAX_PAYLOAD_BYTES: Final = 8 * 1024
MAX_ATTACHMENT_BYTES: Final = 64 * 1024
MAX_PACKET_ATTACHMENTS: Final = 4
MAX_EVIDENCE: Final = 8
MAX_RESULT_BYTES: Final = 2 * 1024
MAX_DELIVERED_RECEIPTS: Final = 32
MAX_DELIVERED_ATTACHMENTS: Final = 64
MAX_DELIVERED_TRANSACTIONS: Final = 64
PACKET_EVENT: Final = "packet"
"""Name of the bridge's event that carries a ``Packet``."""
ANSWER_EVENT: Final = "answer"
"""Name of the bridge's event that carries an ``Answer``."""
LANE_EVENT: Final = "lane"
"""Name of the bridge's event at the end of a block that carries a ``LaneHead``."""
ANSWER_OK: Final = "ok"
ANSWER_EXPIRED: Final = "expired"

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class AttachmentRef(Record, frozen=True):
    """Bytes that travel beside a packet: SHA-256 and length."""

    digest: Hash
    size_bytes: Annotated[int, Meta(ge=1, le=MAX_ATTACHMENT_BYTES)]


class Packet(Record, frozen=True):
    """A message from a contract of one chain to a contract of another.

    Attributes:
        source: chain id.
        destination: chain id.
        sequence: number on the lane source → destination, from 1 without gaps.
        sender: address of the contract that sent it.
        receiver: address of the contract that it is for.
        kind: what the payload is; constant snake_case.
        payload: a record's canonical bytes.
        attachments: bytes that the delivery carries beside it.
        deadline_ms: latest time of the destination's block that takes it; 0: none.
        evidence: ids of transactions of the source chain that the delivery carries whole, because the receiver checks
            their signatures itself. The transaction that emitted the packet is named here like any other.
    """

    source: Hash
    destination: Hash
    sequence: Sequence
    sender: Name
    receiver: Name
    kind: Name
    payload: Annotated[bytes, Meta(max_length=MAX_PAYLOAD_BYTES)]
    attachments: Annotated[tuple[AttachmentRef, ...], Meta(max_length=MAX_PACKET_ATTACHMENTS)]
    deadline_ms: Time
    evidence: Annotated[tuple[Hash, ...], Meta(max_length=MAX_EVIDENCE)]


packet_codec = Codec(Packet, 16 * 1024, "packet")


class Answer(Record, frozen=True):
    """What became of a packet at its destination.

    Attributes:
        source: chain that sent the packet, and that the answer is for.
        destination: chain that answers.
        sequence: the packet's.
        packet: ``packet_digest`` of it.
        code: ``ok``, ``expired``, or the reason code of the refusal.
        result: canonical bytes of what the receiver returned; empty when refused.
    """

    source: Hash
    destination: Hash
    sequence: Sequence
    packet: Hash
    code: Name
    result: Annotated[bytes, Meta(max_length=MAX_RESULT_BYTES)]


answer_codec = Codec(Answer, 4 * 1024, "answer")


class LaneHead(Record, frozen=True):
    """How far a chain has spoken to another by the end of a block: whoever lacks one of these packets knows it.

    Attributes:
        destination: chain id.
        sent: sequence of the newest packet to it; 0: none yet.
    """

    destination: Hash
    sent: Annotated[int, Meta(ge=0, le=2**53 - 1)]


lane_codec = Codec(LaneHead, 256, "lane head")


def packet_digest(packet: Packet) -> Hash32:
    """Names a packet: 32 bytes."""
    return digest(b"tidegate/packet", packet.source, encode(packet))


def attachment_ref(data: bytes) -> AttachmentRef:
    """How a packet refers to ``data``."""
    return AttachmentRef(sha256(data).digest(), len(data))


class ReceiptProof(Record, frozen=True):
    """A receipt (canonical bytes) and its inclusion under a header's ``receipts_root``."""

    receipt: Annotated[bytes, Meta(max_length=MAX_CALL_BYTES)]
    inclusion: Inclusion


class HeaderProof(Record, frozen=True):
    """A header of another chain and why to believe it.

    Attributes:
        header: of the block.
        certificate: for a header above the client's latest one: its commit certificate.
        validators: the set that decides the header, when it is not the client's present one; else empty.
        anchor_height: for an older header: a header that the client still keeps; else 0.
        history: for an older header: its block id under the anchor's ``history_root``.
    """

    header: Header
    certificate: CommitCertificate | None
    validators: Annotated[
        tuple[Annotated[bytes, Meta(min_length=33, max_length=33)], ...], Meta(max_length=MAX_VALIDATORS)
    ]
    anchor_height: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
    history: Inclusion | None


class Delivery(Record, frozen=True):
    """Everything of one block of another chain that is for this one: packets and answers, proved.

    Attributes:
        proof: the block's header.
        receipts: those whose bridge events are for this chain, in block order; none only renews the client.
        attachments: bytes of the packets' attachments, in any order, each once.
        transactions: wire bytes of the transactions that packets name as evidence, in any order, each once.
    """

    proof: HeaderProof
    receipts: Annotated[tuple[ReceiptProof, ...], Meta(max_length=MAX_DELIVERED_RECEIPTS)]
    attachments: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_ATTACHMENT_BYTES)], ...], Meta(max_length=MAX_DELIVERED_ATTACHMENTS)
    ]
    transactions: Annotated[tuple[bytes, ...], Meta(max_length=MAX_DELIVERED_TRANSACTIONS)]


@dataclass(frozen=True, slots=True)
class PacketOrigin:
    """What is proved of a delivered packet, beside itself: handed to the receiving contract.

    Attributes:
        height: of the source block.
        time_ms: of the source block.
        tx_id: transaction that emitted it; zeros for the end of a block.
        event_index: place among the receipt's events.
        attachments: bytes by digest, verified; all that the packet names.
        evidence: transactions by id, decoded, their signatures verified, of the source chain; all that it names.
    """

    height: int
    time_ms: int
    tx_id: bytes
    event_index: int
    attachments: Mapping[bytes, bytes]
    evidence: Mapping[bytes, Transaction]
