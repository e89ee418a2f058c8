"""What nodes say to each other over the overlay: message kinds, gossip topics, request kinds, and their bounds."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Any, Final, cast

from msgspec import Meta

from ledger.block import Block
from ledger.certificate import CommitCertificate
from ledger.encoding import Codec, Record, encode
from ledger.transaction import TX_REF_BYTES

MAX_TX_BATCH_BYTES: Final = 1024 * 1024
MAX_BATCH_TRANSACTIONS: Final = 4_096
MAX_SYNC_REPLY_BYTES: Final = 1024 * 1024
"""Soft bound of one reply to ``REQUEST_BLOCKS``: it ends with the block that reaches it."""
MAX_SYNC_BLOCKS: Final = 256
MAX_FETCH_REFS: Final = 4_096
MAX_SERVICE_BYTES: Final = 1024 * 1024


class Topic(IntEnum):
    """Gossip topics."""

    TRANSACTIONS = 1
    """A batch of transactions."""
    VOTES = 2
    """One consensus message."""
    BLOCKS = 3
    """A decided block: header, refs, certificate."""
    EVIDENCE = 4
    """Proof that a validator broke the protocol."""


class VoteKindOnWire(IntEnum):
    """Kinds on the VOTE channel beside gossip."""

    DIRECT = 1
    """A consensus message for one validator."""
    LATEST = 2
    """The latest consensus message that the sender has from the receiver."""


class BulkKind(IntEnum):
    """Kinds on the BULK channel beside gossip."""

    STATUS = 1
    """Where the sender's chain stands."""
    DECIDED = 2
    """A whole decided block, for a straggler."""


class RequestKind(IntEnum):
    """Requests."""

    BLOCKS = 1
    """Decided blocks from a height on."""
    TRANSACTIONS = 2
    """Transactions by ref."""
    BLOCK = 3
    """Header and refs of an undecided block by id."""
    SERVICE = 4
    """A call of a node's service."""
    RECEIPTS = 5
    """Receipts of one block, to replace damaged ones."""
    SNAPSHOT = 6
    """A part of a checkpoint's state, for a node that joins; see ``node.data.snapshot_wire``."""
    TIME = 7
    """What time it is there; the request has no payload."""


class Status(Record, frozen=True):
    """Height and id of the sender's tip. A bare claim: nobody acts on it but by asking for proof."""

    height: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    block_id: Annotated[bytes, Meta(min_length=32, max_length=32)]


class TimeTold(Record, frozen=True):
    """What time it is at the sender. For comparing clocks only: no rule depends on it."""

    time_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Announcement(Record, frozen=True):
    """A decided block without its transactions' bytes."""

    block: Block
    certificate: CommitCertificate


class BlocksWanted(Record, frozen=True):
    """Blocks from ``from_height`` on, at most ``count``."""

    from_height: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    count: Annotated[int, Meta(ge=1, le=MAX_SYNC_BLOCKS)]


class ReceiptsWanted(Record, frozen=True):
    """Receipts of the block at ``height``: canonical bytes of each, as a list."""

    height: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class ServiceRequest(Record, frozen=True):
    """A call of service ``service``."""

    service: Annotated[str, Meta(min_length=1, max_length=64)]
    payload: Annotated[bytes, Meta(max_length=MAX_SERVICE_BYTES)]


status_codec = Codec(Status, 128, "status")
time_codec = Codec(TimeTold, 32, "time")
announcement_codec = Codec(Announcement, 512 * 1024, "block announcement")
blocks_wanted_codec = Codec(BlocksWanted, 64, "blocks wanted")
receipts_wanted_codec = Codec(ReceiptsWanted, 32, "receipts wanted")
service_request_codec = Codec(ServiceRequest, MAX_SERVICE_BYTES + 256, "service request")

_Batch = Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_BATCH_TRANSACTIONS)]
transaction_batch_codec: Codec[tuple[bytes, ...]] = Codec(
    cast("Any", _Batch), MAX_TX_BATCH_BYTES + 64 * 1024, "transaction batch"
)
byte_list_codec: Codec[tuple[bytes, ...]] = Codec(cast("Any", tuple[bytes, ...]), 4 * 1024 * 1024, "list of bytes")


def encode_refs(refs: Iterable[bytes]) -> bytes:
    """Payload of a request for transactions."""
    return b"".join(refs)


def decode_refs(payload: bytes) -> list[bytes]:
    """Refs in a request for transactions; an odd tail is cut off, too many are not served."""
    whole = min(len(payload) // TX_REF_BYTES, MAX_FETCH_REFS)
    return [payload[i * TX_REF_BYTES : (i + 1) * TX_REF_BYTES] for i in range(whole)]


def encode_batch(wires: Iterable[bytes]) -> bytes:
    """Payload of a transaction batch or of a reply with transactions."""
    return encode(tuple(wires))
