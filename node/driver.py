"""Drives consensus: feeds the state machine with what happened, performs what it orders.

One task takes inputs in order, steps, makes all Persist effects of the turn durable with one sync in a worker thread,
then performs the rest in order (DESIGN.md 3). Building, checking and fetching run as tasks of their own and answer with
inputs; they end with their height.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from time import perf_counter
from typing import Any, Final, Protocol

import structlog

from consensus import effects as fx
from consensus import inputs as on
from consensus.evidence import contradicted_seals
from consensus.machine import step
from consensus.messages import encode_message
from consensus.records import PreparedBlock, SignerRecord, record_codec
from consensus.state import Observing, State, live_records
from consensus.timing import Parameters
from consensus.verified import VerifiedBlock
from ledger.block import split_refs
from ledger.certificate import CommitCertificate
from ledger.errors import BrokenInvariant, InvalidBlock
from ledger.genesis import Parameters as GenesisParameters
from ledger.keys import key_text
from ledger.transaction import Transaction
from ledger.types import Height, PublicKey
from node.block_work import BlockWork
from node.chain import Candidate, Chain, Committed
from node.clock import monotonic_ms, wall_ms
from node.fetch import Fetcher
from node.locked_body import LockedBodies
from node.mempool import Mempool
from node.observability.histogram import DISK_S, Histogram
from node.observability.step_times import StepTimes
from node.votes import VoteDesk

log = structlog.get_logger(__name__)

GREETING_S: Final = 2.0
"""How long the first height waits for validators to return our latest messages, when they are not all there."""


class DurableLog(Protocol):
    """What the driver needs of ``node.signer_log.SignerLog``."""

    def append(self, records: list[bytes]) -> None:
        """Adds records to the file."""
        ...

    def sync(self) -> None:
        """Returns when they are on the disk."""
        ...

    def compact(self, records: list[bytes]) -> None:
        """Replaces the whole content."""
        ...

    @property
    def needs_compaction(self) -> bool:
        """True when the file has reached its bound."""
        ...


class VoteSender(Protocol):
    """Where messages go; ``node.peers.Peers`` is one."""

    def broadcast_vote(self, payload: bytes, *, repeat: bool) -> None:
        """To all other validators, over gossip; a repeat must reach them although gossip knows it."""
        ...

    def send_vote(self, to: PublicKey, payload: bytes) -> None:
        """To one validator."""
        ...

    def send_latest(self, to: PublicKey, payload: bytes) -> None:
        """Tells a validator our memory of its latest message; empty: none."""
        ...

    def send_decided(self, to: PublicKey, height: Height) -> None:
        """A whole decided block to one validator."""
        ...


class Driver:
    """See the module.

    Args:
        chain: the committed chain.
        mempool: waiting transactions.
        state: consensus state, restored from the signer log.
        signer_log: durable log, or None for a node that never signs.
        fetcher: gets what we lack from peers.
        sender: where messages go.
        on_committed: awaited after each commit, before the next height starts.

    Attributes:
        times: how long the steps of consensus take.
        sync_seconds: of the signer log.
        syncing_since_s: when the write to it that is under way began (``perf_counter``), or None.
        refused_count: transactions in blocks whose receipt was a refusal, since the start.
    """

    def __init__(
        self,
        chain: Chain,
        mempool: Mempool,
        state: State,
        signer_log: DurableLog | None,
        fetcher: Fetcher,
        sender: VoteSender,
        on_committed: Callable[[Committed], Awaitable[None]],
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._state = state
        self._signer_log = signer_log
        self._fetcher = fetcher
        self._sender = sender
        self._on_committed = on_committed
        self._inputs: deque[on.Input] = deque()
        self._wake = asyncio.Event()
        self._timers: dict[on.TimerKind, asyncio.TimerHandle] = {}
        self._due_timer: asyncio.TimerHandle | None = None
        self._work = BlockWork(chain, mempool, fetcher, feed=self.feed, fail=self.fail)
        self._syncer = ThreadPoolExecutor(1, thread_name_prefix="signer-log")
        self._failure: BaseException | None = None
        self._importing = asyncio.Lock()
        self.locked = LockedBodies(chain, fetcher)
        self.votes = VoteDesk(chain, state, feed=self.feed, backlog=self._inputs.__len__, report=self._report)
        self._started = False
        self.evidence_count = 0
        self.times = StepTimes()
        self.sync_seconds = Histogram(DISK_S)
        self.syncing_since_s: float | None = None
        self.refused_count = 0
        self.on_evidence: Callable[[fx.ReportEvidence], None] = lambda _effect: None
        self.on_refused: Callable[[fx.RefuseBlock], None] = lambda _effect: None

    # --- inputs ---------------------------------------------------------------------------------------------------

    @property
    def height(self) -> Height:
        """The height being decided."""
        return Height(self._chain.tip.height + 1)

    @property
    def round(self) -> int:
        """The current round of it."""
        return 0 if self._state.current is None else self._state.current.round

    @property
    def observing_why(self) -> Observing | None:
        """Why this node follows without signing although it has a key; None: it does not."""
        return self._state.observing

    @property
    def observing(self) -> bool:
        """Whether this node follows without signing although it has a key."""
        return self._state.observing is not None

    @property
    def deciding(self) -> bool:
        """Whether a block of the current height has been proposed."""
        current = self._state.current
        return current is not None and (current.proposal is not None or current.prepared is not None)

    async def between_blocks(self) -> None:
        """Returns when no block is being committed."""
        async with self._importing:
            return

    def feed(self, event: on.Input) -> None:
        """Hands in something that happened."""
        self._inputs.append(event)
        self._wake.set()

    def on_waiting(self) -> None:
        """Transactions were admitted."""
        oldest = self._mempool.oldest_ms
        if oldest is not None:
            current = self._state.current
            if current is not None and current.work_since_ms is None:
                self.feed(on.WorkAvailable(oldest))
            if self._package_ready():
                self.feed(on.PackageReady())

    def _package_ready(self) -> bool:
        wanted = self._chain.parameters.package_transactions
        return self._mempool.nearly_full or len(self._mempool) >= wanted > 1

    # --- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Steps until cancelled; raises what must stop the node."""
        greeting = asyncio.create_task(self._start_after_greeting())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._failure is not None:
                    raise self._failure
                await self._turn()
        finally:
            greeting.cancel()
            self._work.cancel()
            for timer in self._timers.values():
                timer.cancel()
            if self._due_timer is not None:
                self._due_timer.cancel()
            self._syncer.shutdown(wait=True)

    async def _start_after_greeting(self) -> None:
        """Starts the first height once enough validators have said what they last heard from us.

        A node restored from a backup would otherwise sign again what it has signed before (DESIGN.md 3).
        """
        if self._state.key in self._chain.validators and len(self._chain.validators) > 1:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GREETING_S):
                    await self.votes.greeted.wait()
        async with self._importing:
            self._started = True
            self._start_height()

    async def _turn(self) -> None:
        while self._inputs:
            ordered: list[fx.Effect] = []
            while self._inputs:
                event = self._inputs.popleft()
                ordered.extend(step(self._state, event, monotonic_ms()))
                self.times.saw_round(event, self.round)
                if ordered and isinstance(ordered[-1], fx.CommitBlock):
                    break
            records = [effect.record for effect in ordered if isinstance(effect, fx.Persist)]
            if records:
                await self._persist(records)
            for effect in ordered:
                if not isinstance(effect, fx.Persist):
                    await self._perform(effect)

    async def _persist(self, records: list[SignerRecord]) -> None:
        signer_log = self._signer_log
        if signer_log is None:
            raise BrokenInvariant("a node without signer log was asked to sign")
        data: list[bytes] = []
        for record in records:
            if isinstance(record, PreparedBlock):
                data += self.locked.of(record)
            data.append(record_codec.encode(record))
        live = (
            [*self.locked.live(self._state), *(record_codec.encode(record) for record in live_records(self._state))]
            if signer_log.needs_compaction
            else None
        )

        def write() -> None:
            begun = perf_counter()
            if live is not None:
                signer_log.compact(live)
            signer_log.append(data)
            signer_log.sync()
            self.sync_seconds.observe(perf_counter() - begun)

        self.syncing_since_s = perf_counter()
        await asyncio.get_running_loop().run_in_executor(self._syncer, write)
        self.syncing_since_s = None

    async def _perform(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Broadcast(message, repeat):
                self.votes.remember(message)
                if not repeat:
                    self.times.said(message)
                self._sender.broadcast_vote(encode_message(message), repeat=repeat)
            case fx.SendTo(to, message):
                self._sender.send_vote(to, encode_message(message))
            case fx.ReturnLatest(to, latest):
                self._sender.send_latest(to, b"" if latest is None else encode_message(latest))
            case fx.SetTimer(kind, height, round_, at_ms):
                self._set_timer(kind, height, round_, at_ms)
            case fx.CancelTimer(kind):
                timer = self._timers.pop(kind, None)
                if timer is not None:
                    timer.cancel()
            case fx.BuildBlock():
                self.times.begin_proposal()
                self._work.build(effect, self._state.key)
            case fx.CheckBlock():
                self.times.begin_proposal()
                self._work.check(effect)
            case fx.FetchBlock():
                self._work.fetch(effect)
            case fx.CommitBlock(block, certificate):
                await self._commit(block, certificate)
            case fx.SendDecided(to, height):
                self._sender.send_decided(to, height)
            case _:
                self._report(effect)

    def _report(self, effect: fx.Effect) -> None:
        match effect:
            case fx.ReportEvidence(kind, signer):
                self.evidence_count += 1
                log.error("validator_misbehaved", kind=str(kind), validator=key_text(signer))
                self.on_evidence(effect)
            case fx.RefuseBlock(proposal, reason):
                log.warning("proposal_refused", height=proposal.height, round=proposal.round, reason=reason)
                self.on_refused(effect)
            case fx.ReportSigningRefused(kind, height, round_):
                log.error("signing_refused", kind=kind.name, height=height, round=round_)
            case fx.EnterObserve(reason, through):
                log.error("observing", reason=str(reason), through_height=through)
            case fx.LeaveObserve(height):
                log.warning("signing_again", height=height)
            case fx.Halt(height, name, reason):
                raise BrokenInvariant(
                    f"a quorum decided block {name.hex()} of height {height}, which our execution refuses: {reason}"
                )

    def _set_timer(self, kind: on.TimerKind, height: Height, round_: Any, at_ms: int) -> None:
        old = self._timers.pop(kind, None)
        if old is not None:
            old.cancel()
        delay_s = max(0, at_ms - monotonic_ms()) / 1000
        self._timers[kind] = asyncio.get_running_loop().call_later(
            delay_s, self.feed, on.TimerFired(kind, height, round_)
        )

    def fail(self, error: BaseException) -> None:
        """Makes ``run`` raise ``error``."""
        self._failure = error
        self._wake.set()

    # --- committing and importing -----------------------------------------------------------------------------------

    async def _commit(self, block: VerifiedBlock, certificate: CommitCertificate) -> None:
        async with self._importing:
            if block.block.header.height != self.height:
                return
            candidate = self._chain.candidate(block.id)
            if candidate is None:
                transactions = await self._fetcher.transactions(split_refs(block.block.refs), ())
                if transactions is None:
                    # Checked many rounds ago and forgotten since: peers have it, and their status makes us ask.
                    log.warning("decided_block_forgotten", height=self.height)
                    return
                candidate = await self._chain.check(block.id, block.block, transactions)
            await self._apply(candidate, certificate)

    async def import_block(
        self, block: VerifiedBlock, transactions: Sequence[Transaction], certificate: CommitCertificate
    ) -> None:
        """Executes and commits a block that was decided elsewhere and whose certificate is verified.

        Nothing happens when that height is committed meanwhile.

        Raises:
            BrokenInvariant: a quorum decided what our execution refuses: the node must stop.
        """
        async with self._importing:
            if block.block.header.height != self.height:
                return
            try:
                candidate = await self._chain.check(block.id, block.block, transactions)
            except InvalidBlock as error:
                raise BrokenInvariant(f"a quorum decided a block that we refuse: {error.message}") from error
            await self._apply(candidate, certificate)

    async def _apply(self, candidate: Candidate, certificate: CommitCertificate) -> None:
        # What still executes on the old tip must not see the new state come in under it.
        self._work.cancel()
        for fault in contradicted_seals(self._state.current, certificate):
            self._report(fault)
        self.times.decided()
        committed = await self._chain.commit(candidate, certificate)
        self.times.stored()
        self.votes.forget()
        refused = frozenset(
            transaction.tx_id
            for transaction, receipt in zip(candidate.transactions, candidate.result.receipts, strict=False)
            if not is_ok(receipt)
        )
        self.refused_count += len(refused)
        self._mempool.on_block(candidate.transactions, refused, committed.height)
        self._mempool.start_height(self._chain.next_block())
        await self._on_committed(committed)
        if self._started:
            self._start_height()

    def _start_height(self) -> None:
        self.times.begin_height()
        tip = self._chain.tip
        self.feed(
            on.HeightStarted(
                self.height,
                self._chain.epoch,
                self._chain.validators,
                tip.block_id,
                tip.header.time_ms,
                self._work_since(),
                self._package_ready(),
                consensus_parameters(self._chain.parameters),
            )
        )

    def _work_since(self) -> int | None:
        if self._due_timer is not None:
            self._due_timer.cancel()
            self._due_timer = None
        due_ms = self._chain.next_due_ms()
        waiting = self._mempool.oldest_ms
        if due_ms is None:
            return waiting
        now = monotonic_ms()
        wait_ms = due_ms - wall_ms()
        if wait_ms <= 0:
            return now if waiting is None else min(now, waiting)
        self._due_timer = asyncio.get_running_loop().call_later(
            wait_ms / 1000 + 0.001, lambda: self.feed(on.WorkAvailable(monotonic_ms()))
        )
        return waiting


@lru_cache(maxsize=4)
def consensus_parameters(parameters: GenesisParameters) -> Parameters:
    """The durations of consensus that a chain's parameters give."""
    return Parameters(
        base_timeout_ms=parameters.base_timeout_ms,
        max_timeout_ms=parameters.max_timeout_ms,
        empty_block_ms=parameters.empty_block_ms,
        package_wait_ms=parameters.package_ms,
        max_ahead_ms=parameters.clock_tolerance_ms,
    )


def is_ok(receipt: bytes) -> bool:
    """True when a receipt's canonical bytes say ``ok``."""
    # [bin8 32 id][fixstr "ok"]…: array header, two bytes of bin header, the id, then the code.
    return receipt[35:38] == b"\xa2ok"
