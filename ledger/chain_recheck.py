"""What a node proves to itself about its own chain: at start for the last blocks, on request for all of it.

LevelDB can lose or alter what it was given (DESIGN.md 2), so nothing that the hashes do not confirm is used. The report
says what is wrong and what mends it; what cannot be trusted is refetched from peers or refused, never served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from ledger.errors import StorageFault
from ledger.types import Height
from ledger.validators import ValidatorSet

if TYPE_CHECKING:
    from ledger.chain_store import ChainStore

DEFAULT_DEPTH: Final = 16
"""Blocks that are rechecked at each start."""


class Repair(IntEnum):
    """What mends damage, from the cheapest to the dearest."""

    NONE = 0
    """Nothing is wrong."""
    REINDEX = 1
    """An index entry; it can be rebuilt from the blocks that are here."""
    REFETCH = 2
    """Header, transactions or certificate of single blocks: fetch those blocks from peers and put them back."""
    RESYNC = 3
    """State, results or tip: drop this chain's data and sync again from peers or a snapshot."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing found wrong.

    Attributes:
        what: constant snake_case name, e.g. ``transactions_root``, ``state_record``, ``certificate``.
        height: block that shows it, or None.
        detail: a sentence for a person.
        repair: what mends it.
    """

    what: str
    height: Height | None
    detail: str
    repair: Repair


@dataclass(frozen=True, slots=True)
class RecheckReport:
    """What a recheck found.

    Attributes:
        tip_height: of the chain.
        from_height: lowest block looked at.
        damage: everything wrong, at most ``MAX_DAMAGE`` entries; empty when all is well.
    """

    tip_height: Height
    from_height: Height
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.damage

    @property
    def repair(self) -> Repair:
        """The dearest repair needed."""
        return max((damage.repair for damage in self.damage), default=Repair.NONE)

    @property
    def refetch_heights(self) -> tuple[Height, ...]:
        """Blocks to fetch again, ascending, when ``repair`` is ``REFETCH``."""
        found = {d.height for d in self.damage if d.repair is Repair.REFETCH and d.height is not None}
        return tuple(sorted(found))

    def raise_for_damage(self) -> None:
        """Raises what is wrong, when anything is.

        Raises:
            StorageFault: names the first damage; ``data["damage"]`` has all of it, ``data["repair"]`` the repair.
        """
        if self.damage:
            first = self.damage[0]
            raise StorageFault(
                f"{first.what}: {first.detail}",
                damage=self.damage,
                repair=self.repair.name.lower(),
                height=first.height,
            )


MAX_DAMAGE: Final = 64
"""Findings after which a check stops looking."""


def recheck(
    chain: ChainStore, validators_at: Callable[[int], ValidatorSet | None], depth: int = DEFAULT_DEPTH
) -> RecheckReport:
    """See ``ChainStore.recheck``."""
    raise NotImplementedError


def verify_chain(
    chain: ChainStore,
    validators_at: Callable[[int], ValidatorSet | None],
    progress: Callable[[int], None] | None = None,
) -> RecheckReport:
    """See ``ChainStore.verify_all``."""
    raise NotImplementedError
