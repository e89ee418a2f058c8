"""What a node proves to itself about its own chain: at start for the last blocks, on request for all of it.

LevelDB can lose or alter what it was given (DESIGN.md 2), so nothing that the hashes do not confirm is used. The report
says what is wrong and what mends it; what cannot be trusted is refetched from peers or refused, never served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ledger.block import Header, block_id, change_leaf, changes_root, receipts_root, split_refs, transactions_root
from ledger.certificate import verify_certificate
from ledger.chain_proof import history_nodes
from ledger.chain_records import Change
from ledger.checkpoint import leaves_at, read_progress, staged_leaves
from ledger.checkpoint_bucket import NO_LEAF
from ledger.checkpoint_proof import check_checkpoint
from ledger.errors import InvalidInput, StorageFault
from ledger.merkle import leaf_hash
from ledger.transaction import Transaction
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
    """An index or history entry; ``ledger.chain_repair.reindexed`` rebuilds it from the blocks that are here."""
    REFETCH = 2
    """Header, transactions, certificate or receipts of single blocks: fetch them from peers;
    ``ledger.chain_repair.put_back`` and ``put_back_receipts``."""
    RESYNC = 3
    """State, changes or tip: execute the blocks again, or get everything from peers or a snapshot."""


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


class _FoundError(Exception):
    """One check failed; carries what ``Damage`` says."""

    def __init__(self, what: str, detail: str, repair: Repair) -> None:
        super().__init__(what, detail, repair)
        self.what, self.detail, self.repair = what, detail, repair


class _Checker:
    """Checks blocks from the tip down, so that each one's id is known before it is read."""

    def __init__(self, chain: ChainStore, validators_at: Callable[[int], ValidatorSet | None]) -> None:
        self.chain = chain
        self.validators_at = validators_at
        self.damage: list[Damage] = []
        self._seen: set[bytes] = set()
        # Without the changes of one block, what those below it wrote cannot be told from what it overwrote.
        self._blind = False

    def attempt(self, height: int | None, what: str, repair: Repair, check: Callable[[], None]) -> None:
        """Runs one check; whatever it meets becomes damage."""
        if len(self.damage) >= MAX_DAMAGE:
            return
        at = None if height is None else Height(height)
        try:
            check()
        except _FoundError as found:
            self.damage.append(Damage(found.what, at, found.detail, found.repair))
        except (StorageFault, InvalidInput) as error:
            where = "" if height is None else f"block {height}: "
            self.damage.append(Damage(what, at, where + error.message, repair))

    def block(self, height: int, name: bytes | None, *, state: bool) -> bytes | None:
        """Checks one block whose id is ``name`` (None: not known); returns its parent's id, None when not known."""
        header: Header | None = None

        def read_header() -> None:
            nonlocal header
            found = self.chain.header(height)
            if name is not None and block_id(found) != name:
                raise _FoundError("header", f"block {height} is not the one that its successor names", Repair.REFETCH)
            if found.height != height or found.chain_id != self.chain.chain_id:
                raise _FoundError("header", f"the header of block {height} is of another one", Repair.REFETCH)
            header = found

        self.attempt(height, "header", Repair.REFETCH, read_header)
        if header is None:
            self._blind = True
            return None
        sound: Header = header
        if height:
            self.attempt(height, "certificate", Repair.REFETCH, lambda: self._certificate(sound))
        if height >= self.chain.retained_height:
            self.attempt(height, "transactions", Repair.REFETCH, lambda: self._transactions(sound))
            self.attempt(height, "receipts", Repair.REFETCH, lambda: self._receipts(sound))
            self.attempt(height, "changes", Repair.RESYNC, lambda: self._changes(sound, state=state))
        self.attempt(height, "history", Repair.REINDEX, lambda: self._history(sound))
        self.attempt(height, "block_index", Repair.REINDEX, lambda: self._block_index(sound))
        return sound.parent

    def _certificate(self, header: Header) -> None:
        certificate = self.chain.certificate(header.height)
        if (certificate.block_id, certificate.height) != (block_id(header), header.height):
            raise _FoundError("certificate", f"not the certificate of block {header.height}", Repair.REFETCH)
        validators = self.validators_at(header.height)
        if validators is None:
            return
        if validators.hash(self.chain.chain_id) != header.validators_hash:
            raise _FoundError("validators", f"not the validators of block {header.height}", Repair.RESYNC)
        verify_certificate(certificate, self.chain.chain_id, validators)

    def _transactions(self, header: Header) -> None:
        height, chain = header.height, self.chain
        refs = split_refs(chain.block(height).refs)
        if len(refs) != header.transactions_count or transactions_root(refs) != header.transactions_root:
            raise _FoundError("transactions_root", f"the refs of block {height} do not give its root", Repair.REFETCH)
        wires = chain.transactions(height)
        if [Transaction.decode(wire).ref for wire in wires] != refs:
            raise _FoundError("transactions", f"block {height} lists other transactions", Repair.REFETCH)
        for index, ref in enumerate(refs):
            if chain.find_transaction(ref[:32]) != (height, index):
                raise _FoundError(
                    "transaction_index", f"transaction {index} of {height} is not found by id", Repair.REINDEX
                )

    def _receipts(self, header: Header) -> None:
        if receipts_root(self.chain.receipts(header.height)) != header.receipts_root:
            raise _FoundError("receipts_root", f"the receipts of block {header.height} do not fit", Repair.REFETCH)

    def _changes(self, header: Header, *, state: bool) -> None:
        height = header.height
        try:
            changes = self.chain.changes(height)
        except StorageFault:
            self._blind = True
            raise
        if (
            len(changes) != header.changes_count
            or changes_root((key, leaf) for key, leaf, _ in changes) != header.changes_root
            or any(a[0] >= b[0] for a, b in pairwise(changes))
        ):
            self._blind = True
            raise _FoundError("changes_root", f"the changes of block {height} do not give its root", Repair.RESYNC)
        for change in () if self._blind or not state else changes:
            self._state_record(height, change)

    def _state_record(self, height: int, change: Change) -> None:
        key, leaf, deleted = change
        if key in self._seen:
            return
        self._seen.add(key)
        value = self.chain.state.get(key)
        if (value is None) != deleted or leaf_hash(change_leaf(key, value)) != leaf:
            raise _FoundError(
                "state_record", f"state key {key.hex()} is not what block {height} made it", Repair.RESYNC
            )

    def _history(self, header: Header) -> None:
        tree = self.chain.history_at(header.height)
        if header.history_size != header.height or tree.root() != header.history_root:
            raise _FoundError("history", f"the stored history before block {header.height} is wrong", Repair.REINDEX)
        for key, node in history_nodes(tree, leaf_hash(block_id(header))).items():
            if self.chain.store.get(key) != node:
                raise _FoundError("history", f"the stored history lacks block {header.height}", Repair.REINDEX)

    def _block_index(self, header: Header) -> None:
        if self.chain.height_of(block_id(header)) != header.height:
            raise _FoundError("block_index", f"block {header.height} is not found by its id", Repair.REINDEX)

    def bottom(self, parent: bytes | None) -> None:
        """Checks what the lowest block stands on: this genesis file; of a joined node also the headers below it."""
        if self.chain.base_height:
            for height in self.chain.kept_below_base():
                self.attempt(height, "header", Repair.RESYNC, lambda height=height: self._kept_header(height))  # type: ignore[misc]
        elif parent is not None and parent != self.chain.genesis_hash:
            self.damage.append(Damage("genesis", Height(0), "block 0 is of another genesis file", Repair.RESYNC))

    def _kept_header(self, height: int) -> None:
        header = self.chain.header(height)
        if (header.height, header.chain_id) != (height, self.chain.chain_id):
            raise _FoundError("header", f"the header of block {height} is of another one", Repair.RESYNC)
        if height:
            self._certificate(header)
        elif header.parent != self.chain.genesis_hash:
            raise _FoundError("genesis", "block 0 is of another genesis file", Repair.RESYNC)

    def records(self) -> None:
        """Checks every record's checksum."""
        self.chain.store.verify()

    def checkpoint(self, *, buckets: bool) -> None:
        """Checks that the last checkpoint's records give its root, and that the header that carries it agrees."""
        progress = read_progress(self.chain.store)
        if progress is None or progress.finished_height == 0:
            return
        height, root = progress.finished_height, progress.finished_root
        check_checkpoint(self.chain.store, height, root, buckets=buckets)
        carrier = height + progress.interval
        if carrier <= self.chain.height and self.chain.header(carrier).checkpoint_root != root:
            raise _FoundError("checkpoint", f"block {carrier} carries another root of {height}", Repair.RESYNC)

    def whole_state(self) -> None:
        """Compares every state record with the certified checkpoint and the blocks' changes since, as sums."""
        progress = read_progress(self.chain.store)
        if progress is None:
            return
        changed: dict[bytes, bytes] = {}
        for height in range(progress.finished_height + 1 if progress.finished_height else 0, self.chain.height + 1):
            for key, leaf, deleted in self.chain.changes(height):
                changed[sha256(key).digest()] = NO_LEAF if deleted else leaf
        difference = 0
        for key, value in self.chain.state.iterate(b""):
            leaf = sha256(key).digest() + leaf_hash(change_leaf(key, value))
            difference += int.from_bytes(sha256(leaf).digest(), "big")
        for leaf in leaves_at(self.chain.store, progress.finished_height, changed):
            difference -= int.from_bytes(sha256(leaf).digest(), "big")
        if difference:
            raise _FoundError("state", "the state is not what checkpoint and changes make it", Repair.RESYNC)

    def staged(self) -> None:
        """Compares the present state with what the next checkpoint will be made of."""
        if read_progress(self.chain.store) is None:
            return
        difference = 0
        for key, value in self.chain.state.iterate(b""):
            leaf = sha256(key).digest() + leaf_hash(change_leaf(key, value))
            difference += int.from_bytes(sha256(leaf).digest(), "big")
        for leaf in staged_leaves(self.chain.store):
            difference -= int.from_bytes(sha256(leaf).digest(), "big")
        if difference:
            raise _FoundError("checkpoint", "the next checkpoint would not be of this state", Repair.RESYNC)

    def report(self, from_height: int) -> RecheckReport:
        """What was found."""
        return RecheckReport(self.chain.height, Height(from_height), tuple(self.damage[:MAX_DAMAGE]))


def recheck(
    chain: ChainStore, validators_at: Callable[[int], ValidatorSet | None], depth: int = DEFAULT_DEPTH
) -> RecheckReport:
    """See ``ChainStore.recheck``."""
    checker = _Checker(chain, validators_at)
    name: bytes | None = chain.tip.block_id
    lowest = max(chain.base_height, chain.height - depth + 1)
    for height in range(chain.height, lowest - 1, -1):
        name = checker.block(height, name, state=True)
    if lowest == 0:
        checker.bottom(name)
    checker.attempt(None, "checkpoint", Repair.RESYNC, lambda: checker.checkpoint(buckets=False))
    return checker.report(lowest)


def verify_chain(
    chain: ChainStore,
    validators_at: Callable[[int], ValidatorSet | None],
    progress: Callable[[int], None] | None = None,
) -> RecheckReport:
    """See ``ChainStore.verify_all``."""
    checker = _Checker(chain, validators_at)
    name: bytes | None = chain.tip.block_id
    for height in range(chain.height, chain.base_height - 1, -1):
        name = checker.block(height, name, state=height > chain.height - DEFAULT_DEPTH)
        if progress is not None:
            progress(height)
    checker.bottom(name)
    checker.attempt(None, "records", Repair.RESYNC, checker.records)
    checker.attempt(None, "checkpoint", Repair.RESYNC, lambda: checker.checkpoint(buckets=True))
    checker.attempt(None, "state", Repair.RESYNC, checker.whole_state)
    checker.attempt(None, "checkpoint", Repair.RESYNC, checker.staged)
    return checker.report(chain.base_height)
