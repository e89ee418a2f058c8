"""What a bundle of kind ``record`` or ``flow`` holds: proved receipts, transactions and state of one chain or two.

Each block's header stands once, with the certificate that a quorum made over it; everything else leads to a header by
an RFC 6962 path. Whoever verifies needs the genesis files and nothing more.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.block import Header
from ledger.certificate import CommitCertificate
from ledger.chain_proof import Inclusion
from ledger.checkpoint_proof import StateProof
from ledger.encoding import Record, digest, encode
from ledger.transaction import MAX_TRANSACTION_BYTES
from ledger.types import MAX_HEIGHT, Hash32
from ledger.validators import MAX_VALIDATORS

KIND_FLOW: Final = "flow"
KIND_RECORD: Final = "record"
SUBJECT_FLOW: Final = "flow"
SUBJECT_BOOKING: Final = "booking"
SUBJECT_SEALED: Final = "sealed_record"
MAX_HEADERS: Final = 65_536
MAX_STEPS: Final = 16_384
MAX_CHANGES: Final = 4_096
MAX_RECEIPT_BYTES: Final = 4 * 1024 * 1024
_MAX_KEY_BYTES: Final = 1_024

Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Index = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Keys = Annotated[
    tuple[Annotated[bytes, Meta(min_length=33, max_length=33)], ...], Meta(min_length=1, max_length=MAX_VALIDATORS)
]


class CertifiedHeader(Record, frozen=True):
    """A header, the keys of the set that decided it (sorted), and the certificate that a quorum of them made."""

    header: Header
    validators: _Keys
    certificate: CommitCertificate


class Step(Record, frozen=True):
    """A receipt of a block, and the transaction that it is of.

    Attributes:
        height: of the block.
        index: of the receipt in the block; the one after the last transaction's is the end of the block's.
        transaction: wire bytes; empty at the end of a block, and where the transaction is left out.
        witness: where it is left out: the canonical bytes of its signatures; else empty.
        reference: where it is left out: transaction id and witness hash, 64 bytes; else empty.
        reference_inclusion: under ``transactions_root``; None at the end of a block.
        receipt: canonical bytes.
        receipt_inclusion: under ``receipts_root``.
    """

    height: Height
    index: Index
    transaction: Annotated[bytes, Meta(max_length=MAX_TRANSACTION_BYTES)]
    witness: Annotated[bytes, Meta(max_length=MAX_TRANSACTION_BYTES)]
    reference: Annotated[bytes, Meta(max_length=64)]
    reference_inclusion: Inclusion | None
    receipt: Annotated[bytes, Meta(max_length=MAX_RECEIPT_BYTES)]
    receipt_inclusion: Inclusion


class Change(Record, frozen=True):
    """A change of the state that a block made: state key, new value (None: deleted), place under ``changes_root``."""

    height: Height
    key: Annotated[bytes, Meta(min_length=1, max_length=_MAX_KEY_BYTES)]
    value: Annotated[bytes, Meta(max_length=MAX_RECEIPT_BYTES)] | None
    inclusion: Inclusion


class Standing(Record, frozen=True):
    """What the whole state held under a key at a checkpoint; None: nothing.

    Attributes:
        height: of the header that carries the checkpoint's root.
        key: state key.
        value: or None.
        proof: of it.
    """

    height: Height
    key: Annotated[bytes, Meta(min_length=1, max_length=_MAX_KEY_BYTES)]
    value: Annotated[bytes, Meta(max_length=MAX_RECEIPT_BYTES)] | None
    proof: StateProof


class Digests(Record, frozen=True):
    """SHA-256 over each section of a chain's part, so that what was altered is named even where nothing is proved."""

    headers: Hash
    steps: Hash
    changes: Hash
    standings: Hash


class ChainPart(Record, frozen=True):
    """Everything of one chain.

    Attributes:
        chain_id: of the chain.
        headers: by height: those that hand over to another set, from genesis on, and those of all that follows here.
        steps: by height and index.
        changes: by height and key.
        standings: by height and key.
        digests: of the four.
    """

    chain_id: Hash
    headers: Annotated[tuple[CertifiedHeader, ...], Meta(min_length=1, max_length=MAX_HEADERS)]
    steps: Annotated[tuple[Step, ...], Meta(max_length=MAX_STEPS)]
    changes: Annotated[tuple[Change, ...], Meta(max_length=MAX_CHANGES)]
    standings: Annotated[tuple[Standing, ...], Meta(max_length=MAX_CHANGES)]
    digests: Digests


class Subject(Record, frozen=True):
    """What the bundle is about.

    Attributes:
        kind: ``flow``, ``booking`` (of a commission) or ``sealed_record`` (on the supervision chain).
        id: of the flow, or of the booking: its transaction.
        stage: of a sealed record; else empty.
        attempt: of a sealed record; else 0.
    """

    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    id: Hash
    stage: Annotated[str, Meta(max_length=32)]
    attempt: Index


class EvidenceContent(Record, frozen=True):
    """The content: what it is about, and the chains: business first, then supervision where it belongs to it."""

    subject: Subject
    chains: Annotated[tuple[ChainPart, ...], Meta(min_length=1, max_length=2)]


def digests_of(
    chain_id: bytes,
    headers: tuple[CertifiedHeader, ...],
    steps: tuple[Step, ...],
    changes: tuple[Change, ...],
    standings: tuple[Standing, ...],
) -> Digests:
    """The digests of a part's sections."""
    sections = (("headers", headers), ("steps", steps), ("changes", changes), ("standings", standings))
    return Digests(*(section_digest(name, chain_id, section) for name, section in sections))


def section_digest(name: str, chain_id: bytes, section: tuple[Record, ...]) -> Hash32:
    """SHA-256 over one section's canonical bytes."""
    return digest(b"tidegate/evidence/" + name.encode(), chain_id, encode(section))


def part_of(
    chain_id: bytes,
    headers: tuple[CertifiedHeader, ...],
    steps: tuple[Step, ...],
    changes: tuple[Change, ...],
    standings: tuple[Standing, ...],
) -> ChainPart:
    """A part with its digests."""
    return ChainPart(
        chain_id, headers, steps, changes, standings, digests_of(chain_id, headers, steps, changes, standings)
    )
