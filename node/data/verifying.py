"""Checks all that a stopped node keeps: records, blocks, certificates, roots, indexes, signer log, evidence file.

Nothing is changed. What is wrong is said in words, with what mends it (docs/data.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from consensus.records import record_codec
from ledger.chain_recheck import MAX_DAMAGE, Repair
from ledger.encoding import Codec
from ledger.errors import InvalidInput, StorageFault
from ledger.genesis import Genesis
from ledger.state import UTXO_PREFIX
from ledger.store import Kind, Store
from ledger.store_leveldb import LevelStore
from ledger.transaction import Output
from node.chain import LOCK_INDEX, Chain, lock_index_prefix
from node.signer_log import FILE_NAME, read_signer_log

Advance = Callable[[str, int, int], None]
"""(what is being checked, how much of it is done, how much there is; 0: not known)."""
REPORT_EVERY: Final = 4_096
REMEDIES: Final = {
    Repair.NONE: "nothing is to be done",
    Repair.REINDEX: "start the node: it rebuilds the index from its blocks",
    Repair.REFETCH: "start the node with its peers up: it fetches the blocks again and verifies them",
    Repair.RESYNC: "start the node with its peers up: it executes its blocks again, or takes the state from a peer's "
    "checkpoint; or restore a snapshot (tidegate db restore)",
}
KINDS: Final = {
    Kind.META: "meta", Kind.STATE: "state", Kind.BLOCK: "blocks", Kind.TRANSACTIONS: "transactions",
    Kind.RECEIPTS: "receipts", Kind.CHANGES: "changes", Kind.TX_INDEX: "transaction index",
    Kind.BLOCK_INDEX: "block index", Kind.BUCKET: "checkpoint tree", Kind.LOCAL: "lock index",
}  # fmt: skip
_output_codec = Codec(Output, 4_096, "output")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: ``what`` is a constant name, ``detail`` a sentence, ``remedy`` what to do."""

    what: str
    height: int | None
    detail: str
    remedy: str


@dataclass(slots=True)
class Verified:
    """What was checked and found.

    Attributes:
        height: of the tip; −1 where the chain could not be opened.
        retained_height: lowest block whose contents are here.
        base_height: lowest header, on a joined node.
        records: counted, by kind.
        signer_records: in the signer log.
        findings: what is wrong.
    """

    height: int = -1
    retained_height: int = 0
    base_height: int = 0
    records: Counter[str] = field(default_factory=Counter)
    signer_records: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.findings

    def add(self, what: str, detail: str, repair: Repair, height: int | None = None) -> None:
        """Something is wrong."""
        self.findings.append(Finding(what, height, detail, REMEDIES[repair]))


def silent(what: str, done: int, total: int) -> None:
    """An ``Advance`` that says nothing."""
    del what, done, total


def verify_chain_directory(genesis: Genesis, directory: Path, advance: Advance) -> Verified:
    """Checks a chain's store; nobody else may have it open.

    Raises:
        HomeLocked: a running node has it open.
        InvalidGenesis: it is another chain's.
    """
    verified = Verified()
    if not directory.exists():
        verified.add("store", f"there is no store at {directory}", Repair.RESYNC)
        return verified
    try:
        store = LevelStore(str(directory), create=False)
    except StorageFault as error:
        verified.add("store", error.message, Repair.RESYNC)
        return verified
    with closing(store):
        _records(store, verified, advance)
        try:
            chain = Chain(genesis, store)
        except StorageFault as error:
            verified.add("tip", error.message, Repair.RESYNC)
            return verified
        _chain(chain, verified, advance)
        if verified.ok:
            _indexes(chain, verified, advance)
    return verified


def _records(store: Store, verified: Verified, advance: Advance) -> None:
    """Every record's checksum, kind by kind, so that one damaged place does not hide the other kinds."""
    done = 0
    for kind, name in KINDS.items():
        try:
            for _ in store.iterate(kind):
                verified.records[name] += 1
                done += 1
                if done % REPORT_EVERY == 0:
                    advance("records", done, 0)
        except StorageFault as error:
            repair = {
                Kind.BLOCK: Repair.REFETCH,
                Kind.TRANSACTIONS: Repair.REFETCH,
                Kind.RECEIPTS: Repair.REFETCH,
                Kind.TX_INDEX: Repair.REINDEX,
                Kind.BLOCK_INDEX: Repair.REINDEX,
            }.get(kind, Repair.RESYNC)
            verified.add("record", f"{name}: {error.message}", repair)
    advance("records", done, done)


def _chain(chain: Chain, verified: Verified, advance: Advance) -> None:
    verified.height = chain.tip.height
    verified.retained_height = chain.store.retained_height
    verified.base_height = chain.store.base_height
    total = chain.tip.height - chain.store.base_height + 1

    def progress(height: int) -> None:
        advance("blocks", chain.tip.height - height + 1, total)

    report = chain.store.verify_all(lambda height: chain.seats_at(height).validators, progress)
    for damage in report.damage:
        verified.add(damage.what, damage.detail, damage.repair, damage.height)
    if len(report.damage) >= MAX_DAMAGE:
        verified.add("more", f"there is more damage than the first {MAX_DAMAGE} findings", report.repair)


def _indexes(chain: Chain, verified: Verified, advance: Advance) -> None:
    """That the indexes hold everything and nothing else; ``verify_all`` has looked the blocks' own entries up."""
    store, base = chain.store, chain.store.base_height
    known = sum(store.header(height).transactions_count for height in range(base + 1 if base else 0, store.height + 1))
    if verified.records["transaction index"] != known:
        verified.add(
            "transaction_index",
            f"the index has {verified.records['transaction index']} transactions, the headers say {known}",
            Repair.REINDEX,
        )
    count = 0
    for key, value in chain.state.iterate(UTXO_PREFIX):
        count += 1
        lock = _output_codec.decode(value).lock
        if store.store.get(lock_index_prefix(lock) + key[1:]) is None:
            verified.add("lock_index", "an unspent output is not listed by its lock", Repair.RESYNC)
            return
        if count % REPORT_EVERY == 0:
            advance("outputs", count, 0)
    listed = sum(1 for _ in store.store.iterate(LOCK_INDEX))
    if listed != count:
        verified.add("lock_index", f"{listed} outputs are listed, and there are {count}", Repair.RESYNC)
    advance("outputs", count, count)


def verify_signer_log(directory: Path, verified: Verified) -> None:
    """Checks the signer log without touching it."""
    path = directory / FILE_NAME
    if not path.exists():
        return  # a node that never ran; one that did observes until it is safe (ADR 20)
    try:
        records = read_signer_log(directory)
        for record in records:
            record_codec.decode(record)
        verified.signer_records = len(records)
    except (StorageFault, InvalidInput) as error:
        verified.findings.append(
            Finding(
                "signer_log",
                None,
                error.message,
                "start the node: it keeps the damaged file under another name and observes until it is safe to sign",
            )
        )


def verify_evidence(file: Path, verified: Verified) -> None:
    """Checks the file of evidence that is not on chain yet."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return
    if sha256(data[32:]).digest() != data[:32]:
        verified.findings.append(
            Finding("evidence", None, f"{file} is damaged", "start the node: other nodes gossip the evidence again")
        )
