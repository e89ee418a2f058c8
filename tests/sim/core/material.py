"""What schedules are made of: keys, signatures that cost nothing, blocks, and the sets of validators by height.

A signature is the key followed by the digest that it signs. Nobody but the adversary could forge one, and it signs with
its own keys only; what it gets wrong on purpose does not verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from consensus.epoch import Epoch
from ledger.block import Block, Header, transactions_root
from ledger.types import ZERO_HASH, Hash32, PublicKey
from ledger.validators import ValidatorSet

CHAIN: Final = bytes(range(32))
GENESIS: Final = Hash32(b"\x47" * 32)
WALL: Final = 1_700_000_000_000
"""Unix time at virtual time 0."""
MAX_PEOPLE: Final = 12
KEYS: Final = tuple(PublicKey(b"\x01" + bytes([i + 1]) * 32) for i in range(MAX_PEOPLE))
NAMES: Final = {bytes(key): "ABCDEFGHIJKL"[i] for i, key in enumerate(KEYS)}
BAD: Final = 0xBD
"""First byte of the receipts root of a block that every check refuses."""
EMPTY_ROOT: Final = transactions_root([])


def signer(key: bytes) -> Callable[[bytes], bytes]:
    """Signs for ``key``: the key, then the digest (1 + 32 + 32 bytes)."""
    return key.__add__


def verify(key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the one of ``key`` over ``digest``."""
    return signature == key + digest


class Seats(NamedTuple):
    """Who decides a height. ``quorum`` and ``faulty`` are computed here, apart from the product."""

    epoch: Epoch
    validators: ValidatorSet
    hash: Hash32
    quorum: int
    faulty: int


def seats(number: int, start: int, offset: int, keys: Iterable[PublicKey]) -> Seats:
    """The seats of one epoch."""
    members = ValidatorSet(keys)
    count = len(members)
    # Not the product's own thresholds: ⌈2n/3⌉ in integers (a quorum), and the most that may lie below a third.
    return Seats(Epoch(number, start, offset), members, members.hash(CHAIN), -(-2 * count // 3), -(-count // 3) - 1)


class SetPlan:
    """The seats of every height: a list of epochs, each from its start on."""

    __slots__ = ("_by_height", "epochs")

    def __init__(self, epochs: list[Seats]) -> None:
        self.epochs = epochs
        self._by_height: list[Seats] = []

    def at(self, height: int) -> Seats:
        """Seats of ``height``; the last epoch has no end."""
        known = self._by_height
        while len(known) <= height:
            known.append(next((one for one in reversed(self.epochs) if one.epoch.start <= len(known)), self.epochs[0]))
        return known[height]

    @property
    def people(self) -> list[PublicKey]:
        """Everybody who is a validator at some height, sorted."""
        return sorted({key for one in self.epochs for key in one.validators.keys})


def proposer(place: Seats, height: int, round_: int) -> PublicKey:
    """Who may propose: DESIGN.md 3, written again."""
    keys = place.validators.keys
    return keys[(height - place.epoch.start + place.epoch.offset + round_) % len(keys)]


def make_block(
    plan: SetPlan, height: int, proposer_: bytes, parent: bytes, time_ms: int, *, serial: int, bad: bool = False
) -> Block:
    """A block with nothing in it (every 16th: one transaction), unlike any of another ``serial``."""
    here = plan.at(height)
    refs = serial.to_bytes(64, "big") if serial % 16 == 0 else b""
    receipts = bytes([BAD if bad else 1]) + serial.to_bytes(31, "big")
    header = Header(
        version=1,
        chain_id=CHAIN,
        height=height,
        time_ms=time_ms,
        parent=parent,
        history_root=ZERO_HASH,
        history_size=height,
        proposer=proposer_,
        epoch=here.epoch.number,
        validators_hash=here.hash,
        next_validators_hash=plan.at(height + 1).hash,
        transactions_root=transactions_root([refs]) if refs else EMPTY_ROOT,
        transactions_count=1 if refs else 0,
        receipts_root=receipts,
        changes_root=ZERO_HASH,
        changes_count=0,
        checkpoint_height=0,
        checkpoint_root=ZERO_HASH,
    )
    return Block(header, refs)
