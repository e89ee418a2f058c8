"""The small named values that everything else is made of, and their bounds."""

from __future__ import annotations

from typing import NewType

Height = NewType("Height", int)
"""Number of a block; the genesis block is 0."""
Round = NewType("Round", int)
"""Attempt to decide one height; starts at 0."""
Hash32 = NewType("Hash32", bytes)
"""A SHA-256 digest, 32 bytes; written in lower-case hex."""
Amount = NewType("Amount", int)
"""Minor units of an asset, 1 … 2⁶³−1."""
PublicKey = NewType("PublicKey", bytes)
"""Suite byte and key: 33 bytes for Ed25519 (ledger/keys.py)."""
OutPoint = NewType("OutPoint", bytes)
"""Transaction id and output index (u32, big endian): 36 bytes."""
TxId = NewType("TxId", bytes)
"""Hash of a transaction's body, 32 bytes."""
TxRef = NewType("TxRef", bytes)
"""Transaction id and witness hash: 64 bytes. Blocks, caches, gossip and fetch go by it."""

ZERO_HASH = Hash32(bytes(32))
MAX_AMOUNT = 2**63 - 1
MAX_HEIGHT = 2**53 - 1
"""JSON readers must be able to hold it exactly."""


def hex_or_none(value: bytes | None) -> str | None:
    """Lower-case hex of ``value``, or None."""
    return None if value is None else value.hex()
