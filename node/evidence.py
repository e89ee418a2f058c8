"""Evidence of misbehaving validators, from the moment that this node has it until it is on chain.

Consensus hands it in and goes on. It is kept on disk; gossiped, so that every node has it even where the one that saw
the fault may not send transactions; and reported on chain: by the validators in an order of its own for each piece of
evidence, so that normally one of them does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from consensus.effects import ReportEvidence
from consensus.evidence import misbehaviour_of
from contracts.validators import evidence as on_chain
from contracts.validators.records import AHEAD
from ledger.encoding import Codec, encode
from ledger.errors import Fatal, InvalidConfig, InvalidInput, MalformedBytes, TidegateError
from ledger.keys import key_text
from ledger.misbehaviour import (
    MAX_MISBEHAVIOUR_BYTES,
    Misbehaviour,
    check,
    describe,
    misbehaviour_codec,
    misbehaviour_id,
)
from ledger.transaction import Transaction
from ledger.types import Hash32, PublicKey
from node.atomic_file import write_atomic
from node.calling import Caller, CallRefused
from node.chain import Chain, Committed
from node.clock import monotonic_ms
from node.mempool import Mempool
from node.wire import Topic
from p2p.gossip import Gossip, Verdict
from p2p.transport import Channel, PeerId

log = structlog.get_logger(__name__)

MAX_PER_SIGNER: Final = 8
MAX_KEPT: Final = 256
"""Pieces of evidence that wait; beyond either bound more of it is dropped: what is kept is enough to act on."""
STEP_MS: Final = 4_000
"""How long a validator waits for each one whose turn to report is before its own."""
MAX_COURTESY: Final = 3
"""How often a node waits a step longer because another one's report waits for a block."""
RETRY_MS: Final = 5_000
MAX_RETRY_MS: Final = 60_000
GIVE_UP_S: Final = 30.0
MAX_SHOWN: Final = 16
REPORT: Final = "report"

Place = tuple[bytes, int, str]
"""Who is accused, at which height, of what: one piece of evidence for each is enough."""
_kept_codec: Codec[tuple[bytes, ...]] = Codec(tuple[bytes, ...], 2 * MAX_KEPT * MAX_MISBEHAVIOUR_BYTES, "kept evidence")


class Reporter(Protocol):
    """What the pool needs of ``node.calling.Caller``."""

    async def call(self, contract: str, method: str, arguments: Misbehaviour) -> object:
        """Calls a method and waits until it is in a block."""
        ...


@dataclass(slots=True)
class _Waiting:
    """Evidence that is not on chain yet.

    Attributes:
        evidence: checked.
        name: its id.
        due_ms: when we report it; monotonic.
        attempts: of ours so far.
        courtesy: how often we waited for another one's report.
        busy: True while an attempt is under way.
    """

    evidence: Misbehaviour
    name: Hash32
    due_ms: int
    attempts: int = 0
    courtesy: int = 0
    busy: bool = False


class EvidencePool:
    """See the module.

    Args:
        chain: committed chain.
        mempool: where other nodes' reports wait.
        gossip: carries evidence between nodes.
        key: this node's validator key; tells when it is our turn.
        reporter: sends the report with a key that is admitted to send; None: this node only gossips.
        file: where what waits is kept; None: nowhere.

    Attributes:
        seen: pieces of evidence that this node found itself or was shown, since it started.
        dropped: those that a bound left no room for.
    """

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        gossip: Gossip,
        key: PublicKey,
        *,
        reporter: Caller | Reporter | None = None,
        file: Path | None = None,
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._gossip = gossip
        self._key = key
        self._reporter = reporter
        self._file = file
        self._address = chain.rules.address_of("validators")
        self._waiting: dict[Place, _Waiting] = {}
        self._wake = asyncio.Event()
        self._unsaved = False
        self.seen = 0
        self.dropped = 0
        gossip.subscribe(Topic.EVIDENCE, Channel.BULK, self._on_gossip, max_bytes=MAX_MISBEHAVIOUR_BYTES)
        self._load()

    # --- where evidence comes from ----------------------------------------------------------------------------------

    def on_report(self, effect: ReportEvidence) -> None:
        """Takes what consensus found. Returns at once, whatever the disk and the network do."""
        evidence = misbehaviour_of(effect, self._chain.chain_id)
        if self._keep(evidence):
            self._gossip.publish(Topic.EVIDENCE, misbehaviour_codec.encode(evidence))

    def _on_gossip(self, peer: PeerId, payload: bytes) -> Verdict:
        try:
            evidence = misbehaviour_codec.decode(payload)
            if evidence.height > self._chain.tip.height + AHEAD:
                return Verdict.LATER
            if not self._is_wanted(evidence):
                return Verdict.IGNORE
            self._check(evidence)
        except InvalidInput as error:
            log.warning("evidence_rejected", peer=peer, code=error.code, why=error.message)
            return Verdict.REJECT
        return Verdict.ACCEPT if self._keep(evidence) else Verdict.IGNORE

    def _check(self, evidence: Misbehaviour) -> None:
        seats = self._chain.seats_at(evidence.height)
        check(evidence, self._chain.chain_id, seats.epoch.number, seats.validators)

    def _is_wanted(self, evidence: Misbehaviour) -> bool:
        """Whether it is neither known nor recorded, and there is room; nothing of it needs to be verified for that."""
        if _place(evidence) in self._waiting or self._is_recorded(evidence):
            return False
        accused = sum(1 for signer, _, _ in self._waiting if signer == evidence.signer)
        return accused < MAX_PER_SIGNER and len(self._waiting) < MAX_KEPT

    def _keep(self, evidence: Misbehaviour) -> bool:
        if not self._is_wanted(evidence):
            self.dropped += _place(evidence) not in self._waiting
            return False
        name = misbehaviour_id(self._chain.chain_id, evidence)
        self.seen += 1
        self._waiting[_place(evidence)] = _Waiting(evidence, name, monotonic_ms() + self._turn(evidence, name))
        self._unsaved = True
        self._wake.set()
        log.error("misbehaviour_seen", evidence=name.hex(), what=describe(evidence))
        return True

    def _turn(self, evidence: Misbehaviour, name: bytes) -> int:
        """How long until it is our turn, ms: validators in an order by hash, then everybody else."""
        order = sorted(self._chain.validators.keys, key=lambda key: sha256(name + key).digest())
        others = [key for key in order if key != evidence.signer]
        return STEP_MS * (others.index(self._key) if self._key in others else len(others) + 1)

    def _is_recorded(self, evidence: Misbehaviour) -> bool:
        return bool(self._address) and on_chain.recorded(self._chain.state, self._address, evidence)

    # --- on its way to the chain ------------------------------------------------------------------------------------

    def on_block(self, committed: Committed) -> None:
        """A block is committed: what it recorded need not be kept any more."""
        del committed
        if not self._waiting:
            return
        for place, item in list(self._waiting.items()):
            if self._is_recorded(item.evidence):
                del self._waiting[place]
                self._unsaved = True
                log.warning("misbehaviour_recorded", evidence=item.name.hex(), what=describe(item.evidence))
        if self._unsaved:
            self._wake.set()

    async def run(self) -> None:
        """Keeps what waits on disk, and reports it when it is our turn, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                if self._unsaved:
                    await self._save()
                pause_ms = self._start_due(group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if pause_ms is None else pause_ms / 1000):
                        await self._wake.wait()
                self._wake.clear()

    def _start_due(self, group: asyncio.TaskGroup) -> int | None:
        """Starts what is due; milliseconds until something else is, or None."""
        now, later = monotonic_ms(), None
        for item in list(self._waiting.values()):
            if item.busy:
                continue
            if item.due_ms > now:
                later = item.due_ms - now if later is None else min(later, item.due_ms - now)
            else:
                item.busy = True
                group.create_task(self._attempt(item))
        return later

    async def _attempt(self, item: _Waiting) -> None:
        try:
            if item.courtesy < MAX_COURTESY and self._others_report(item.evidence):
                item.courtesy += 1
                item.due_ms = monotonic_ms() + STEP_MS
                return
            if item.attempts:
                self._gossip.publish(Topic.EVIDENCE, misbehaviour_codec.encode(item.evidence))
            item.attempts += 1
            item.due_ms = monotonic_ms() + min(MAX_RETRY_MS, RETRY_MS << min(item.attempts, 8))
            await self._send(item)
        finally:
            item.busy = False
            self._wake.set()

    async def _send(self, item: _Waiting) -> None:
        if self._reporter is None or not self._address or item.evidence.signer == self._key:
            return
        try:
            await self._reporter.call(self._address, REPORT, item.evidence)
        except CallRefused as error:
            if error.code != on_chain.EVIDENCE_KNOWN:
                log.warning("evidence_not_taken", evidence=item.name.hex(), code=error.code, why=error.message)
        except TidegateError as error:
            if isinstance(error, Fatal):
                raise
            log.warning("evidence_not_sent", evidence=item.name.hex(), code=error.code)

    def _others_report(self, evidence: Misbehaviour) -> bool:
        """Whether another node's report of the same fault waits for a block."""
        return any(_reports(transaction, self._address, evidence) for transaction in self._mempool.candidates())

    # --- on disk ----------------------------------------------------------------------------------------------------

    async def _save(self) -> None:
        self._unsaved = False
        if self._file is None:
            return
        data = encode(tuple(misbehaviour_codec.encode(item.evidence) for item in self._waiting.values()))
        try:
            await asyncio.to_thread(write_atomic, self._file, sha256(data).digest() + data, replace=True)
        except InvalidConfig as error:
            log.error("evidence_not_kept", why=error.message)  # noqa: TRY400 - the disk's words are enough

    def _load(self) -> None:
        """Takes up what waited when this node stopped."""
        if self._file is None or not self._file.exists():
            return
        content = self._file.read_bytes()
        try:
            if sha256(content[32:]).digest() != content[:32]:
                raise MalformedBytes("the checksum is wrong")  # noqa: TRY301 - one way to handle a damaged file
            kept: Iterable[bytes] = _kept_codec.decode(content[32:])
        except MalformedBytes as error:
            log.warning("kept_evidence_damaged", file=str(self._file), why=error.message)
            return
        for data in kept:
            try:
                evidence = misbehaviour_codec.decode(data)
                if evidence.height <= self._chain.tip.height + AHEAD:
                    self._check(evidence)
                    self._keep(evidence)
            except InvalidInput as error:
                log.warning("kept_evidence_refused", code=error.code, why=error.message)

    # --- for people -------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """This node's part of ``node.status``: what waits, and what is on chain, newest first."""
        state, address = self._chain.state, self._address
        recorded = on_chain.latest(state, address, MAX_SHOWN) if address else ()
        return {
            "recorded": on_chain.count(state, address) if address else 0,
            "waiting": len(self._waiting),
            "dropped": self.dropped,
            "latest": [
                *(_shown(item.name, item.evidence, 0) for item in list(self._waiting.values())[:MAX_SHOWN]),
                *(_shown(found.summary.id, found.evidence, found.summary.recorded_at) for found in recorded),
            ],
        }


def _place(evidence: Misbehaviour) -> Place:
    return evidence.signer, evidence.height, evidence.fault


def _reports(transaction: Transaction, address: str, evidence: Misbehaviour) -> bool:
    for call in transaction.body.calls:
        if call.contract == address and call.method == REPORT:
            with suppress(MalformedBytes):
                return _place(misbehaviour_codec.decode(call.arguments)) == _place(evidence)
    return False


def _shown(name: bytes, evidence: Misbehaviour, recorded_at: int) -> dict[str, Any]:
    return {
        "id": name.hex(),
        "fault": evidence.fault,
        "validator": key_text(evidence.signer),
        "height": evidence.height,
        "round": evidence.first.round,
        "words": describe(evidence),
        "recorded_at": recorded_at or None,
    }
