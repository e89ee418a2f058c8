"""A store under construction, which nobody relies on before it is finished."""

from __future__ import annotations

from ledger.store import Batch
from ledger.store_leveldb import LevelStore


class BulkStore(LevelStore):
    """One sync at the end instead of one a batch: what a crash leaves is removed at the next start."""

    __slots__ = ()

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        """See ``Store``; not on the disk before ``finish``."""
        del sync
        super().write(batch, sync=False)

    def finish(self) -> None:
        """Everything written is on the disk when this returns."""
        super().write({}, sync=True)
