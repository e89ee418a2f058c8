"""Blocks of another chain that its validators never made, for tests of what the bridge refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ledger.block import OK, Event, Header, Receipt, block_id, receipts_root
from ledger.chain_proof import inclusion_of
from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.merkle import leaf_hash
from ledger.packet import ANSWER_EVENT, PACKET_EVENT, Answer, Delivery, HeaderProof, Packet, ReceiptProof
from ledger.types import ZERO_HASH
from tests.contracts.bridge.kit import BRIDGE, PROBE, Chain, certify
from tests.contracts.bridge.probe import Data


def next_header(chain: Chain, **changes) -> Header:
    """A header that could follow the chain's last one; ``changes`` is what is wrong with it."""
    tip = chain.tip
    usual = replace(
        tip,
        height=tip.height + 1,
        time_ms=tip.time_ms + 1_000,
        parent=block_id(tip),
        history_size=tip.height + 1,
        validators_hash=tip.next_validators_hash,
        transactions_count=0,
    )
    return replace(usual, **changes)


def proof(header: Header, keys: Iterable[SigningKey], **changes) -> HeaderProof:
    """The header with a certificate of exactly these signers."""
    return replace(HeaderProof(header, certify(header, keys), (), 0, None), **changes)


def show(receipts: Sequence[bytes], index: int) -> ReceiptProof:
    """A receipt with its inclusion among ``receipts``."""
    return ReceiptProof(receipts[index], inclusion_of([leaf_hash(data) for data in receipts], index))


def saying(
    chain: Chain, *events: Event, keys: Iterable[SigningKey] | None = None, attachments=(), transactions=(), **changes
) -> Delivery:
    """A delivery of a next block of ``chain`` in which these events stand, signed by the validators or ``keys``."""
    receipt = encode(Receipt(ZERO_HASH, OK, events, ()))
    header = next_header(chain, receipts_root=receipts_root([receipt]), **changes)
    signers = chain.deciders[-1] if keys is None else keys
    return Delivery(proof(header, signers), (show([receipt], 0),), tuple(attachments), tuple(transactions))


def packet(source: Chain, destination: Chain, sequence: int = 1, **changes) -> Packet:
    """A packet that the bridge of ``source`` could send."""
    usual = Packet(
        source.chain_id, destination.chain_id, sequence, PROBE, PROBE, "note", encode(Data(b"forged")), (), 0, ()
    )
    return replace(usual, **changes)


def packet_event(item: Packet, contract: str = BRIDGE) -> Event:
    return Event(contract, PACKET_EVENT, encode(item))


def answer_event(item: Answer, contract: str = BRIDGE) -> Event:
    return Event(contract, ANSWER_EVENT, encode(item))
