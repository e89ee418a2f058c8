"""What executing a block comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ledger.errors import TidegateError
from ledger.types import Hash32


class BlockFull(TidegateError):
    """The block's bounds are reached; the transaction fits in the next one. A validator refuses a block beyond them."""

    code = "block_full"


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What executing a block came to.

    Attributes:
        receipts: canonical bytes: one for each transaction, then the end of the block's.
        writes: state changes.
        change_hashes: (state key, leaf hash), sorted by key.
        receipts_root: root over ``receipts``.
        changes_root: root over ``change_hashes``.
        created: (outpoint, lock text) of outputs that are unspent after the block.
        spent: (outpoint, lock text) of outputs that existed before the block and are spent in it.
        calls_made: True when a transaction called a contract or an end of block did something.
    """

    receipts: list[bytes]
    writes: Mapping[bytes, bytes | None]
    change_hashes: list[tuple[bytes, Hash32]]
    receipts_root: Hash32
    changes_root: Hash32
    created: dict[bytes, str]
    spent: dict[bytes, str]
    calls_made: bool
