"""Which epoch a height lies in: one record an epoch, found with one look-up however many there were.

State: ``e ‖ u64(2^64 − 1 − start)`` → ``EpochRecord``; the first record from a height's own key on is its epoch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.validators.records import EpochRecord, epoch_codec
from ledger.errors import NotFound
from ledger.state import StateReader, contract_prefix

EPOCH_PREFIX: Final = b"e"
_TOP: Final = 2**64 - 1


def epoch_key(start: int) -> bytes:
    """Key of the epoch that begins at ``start``, below the contract's prefix; later ones sort first."""
    return EPOCH_PREFIX + (_TOP - start).to_bytes(8, "big")


def epochs_down_from(state: StateReader, address: str, height: int) -> Iterator[EpochRecord]:
    """The epoch of ``height`` and those before it, newest first.

    Args:
        state: of the chain.
        address: of its contract ``validators``.
        height: any; one whose epoch is not decided yet is taken to be in the last one.
    """
    prefix = contract_prefix(address)
    for _, data in state.iterate(prefix + EPOCH_PREFIX, start=prefix + epoch_key(height)):
        yield epoch_codec.decode(data)


def epoch_at(state: StateReader, address: str, height: int) -> EpochRecord:
    """The epoch of ``height``; what block h says of heights above h + 2 may still change.

    Raises:
        NotFound: the height is before the first epoch (there is none below height 1).
    """
    for found in epochs_down_from(state, address, height):
        return found
    raise NotFound(f"no epoch has height {height}", height=height)
