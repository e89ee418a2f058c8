"""Who decides which height: the chain's epochs, from contract ``validators``, as consensus needs them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from consensus.epoch import Epoch
from contracts.rules import Rules
from contracts.validators.records import AHEAD, EpochRecord
from contracts.validators.schedule import EPOCH_PREFIX, epoch_at, epochs_down_from
from ledger.errors import LocalMisuse
from ledger.genesis import Genesis
from ledger.state import StateReader, contract_prefix
from ledger.types import Hash32, PublicKey
from ledger.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class Seats:
    """Who decides a height.

    Attributes:
        epoch: that the height lies in.
        validators: its set.
        validators_hash: as headers name it.
    """

    epoch: Epoch
    validators: ValidatorSet
    validators_hash: Hash32


class SeatBook:
    """The seats of every height up to two above the tip.

    A chain without contract ``validators`` keeps the set of its genesis file.

    Args:
        genesis: of the chain.
        rules: of the chain.
        state: the committed state; one that follows the chain.
        height: of the tip.
    """

    def __init__(self, genesis: Genesis, rules: Rules, state: StateReader, height: int) -> None:
        self._chain_id = genesis.chain_id
        self._address = rules.address_of("validators")
        self._prefix = contract_prefix(self._address) + EPOCH_PREFIX
        self._state = state
        self._first = self._seats(EpochRecord(0, 1, 0, 0, genesis.validator_set().keys))
        self._near: tuple[Seats, ...] = ()
        self._tip = height
        self._read()

    def at(self, height: int) -> Seats:
        """The seats of ``height``.

        Raises:
            LocalMisuse: the height is more than two above the tip, where block ``height − 2`` may still change them.
        """
        place = height - self._tip
        if 0 <= place <= AHEAD:
            return self._near[place]
        if place > AHEAD:
            raise LocalMisuse(f"the validators of {height} are not known at {self._tip}", height=height)
        return self._look_up(height)

    def was_seated(self, key: bytes) -> bool:
        """Whether ``key`` was a validator of any height up to the tip."""
        if not self._address:
            return self._tip > 0 and key in self._first.validators
        return any(key in record.keys for record in epochs_down_from(self._state, self._address, self._tip))

    def on_block(self, height: int, changes: Sequence[tuple[bytes, bytes]]) -> bool:
        """Block ``height`` is committed.

        Args:
            height: the new tip.
            changes: (state key, any) of all that the block changed, sorted.

        Returns:
            True when another set decides the height after the next than decides the next.
        """
        self._tip = height
        if self._address and touched(changes, self._prefix):
            self._read()
        else:
            # An epoch ends where another begins, and that one's record is written two blocks before.
            self._near = (*self._near[1:], self._near[-1])
        return self._near[AHEAD] is not self._near[AHEAD - 1]

    def _read(self) -> None:
        found: list[Seats] = []
        for height in range(self._tip, self._tip + AHEAD + 1):
            seats = self._look_up(height)
            found.append(found[-1] if found and found[-1] == seats else seats)
        self._near = tuple(found)

    def _look_up(self, height: int) -> Seats:
        if not self._address or height < self._first.epoch.start:
            return self._first
        return self._seats(epoch_at(self._state, self._address, height))

    def _seats(self, record: EpochRecord) -> Seats:
        validators = ValidatorSet(PublicKey(key) for key in record.keys)
        epoch = Epoch(record.number, record.start, record.offset)
        return Seats(epoch, validators, validators.hash(self._chain_id))


def touched(changes: Sequence[tuple[bytes, bytes]], prefix: bytes) -> bool:
    """Whether a state key that begins with ``prefix`` is among ``changes``, which are sorted."""
    place = bisect_left(changes, (prefix, b""))
    return place < len(changes) and changes[place][0].startswith(prefix)
