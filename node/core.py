"""A node without its surroundings: chain, mempool, consensus, gossip and sync over any store and any transport.

``node.app`` puts a home, RPC and services around it; tests put a memory store and the in-memory overlay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from consensus.records import SignerRecord
from consensus.state import State, restore
from ledger.genesis import Genesis
from ledger.keys import SigningKey, key_text
from ledger.store import Store
from ledger.types import PublicKey, TxId
from node.calling import Caller
from node.certificates import CertificateWatch
from node.chain import Chain, Committed
from node.clock import monotonic_ms
from node.data.mender import Mender
from node.data.pruning import Pruner
from node.data.snapshot_serving import SnapshotShelf
from node.driver import Driver, DurableLog, consensus_parameters
from node.evidence import GIVE_UP_S, EvidencePool
from node.fetch import Fetcher
from node.intake import Intake
from node.local import LocalGateway
from node.membership import Membership
from node.mempool import Mempool, MempoolLimits
from node.peers import Peers, ServiceCall
from node.signer_state import recover
from node.sync import Synchroniser
from p2p.gossip import Gossip
from p2p.transport import PeerAddress, Transport

log = structlog.get_logger(__name__)

HOUSEKEEPING_S: Final = 1.0
CHECKPOINT_SLICES: Final = 10_000
"""More slices than a checkpoint can need: 256 groups of 256 buckets, eight to a slice, and a few to open and close."""


class NodeCore:
    """See the module. Build it inside a running loop.

    Args:
        genesis: checked genesis.
        store: of the chain; closed by ``stop``.
        key: this node's validator key.
        transport: the overlay, not started yet.
        addresses: whom to keep connected; they may connect whatever our state says.
        limits: of the mempool.
        open_signer_log: opens the signer log: the log, the records in it, and whether there was none.
        answer_service: answers service calls of other nodes.
        reporter: key admitted to send, with which evidence of misbehaviour is reported; None: it is only gossiped.
        evidence_file: where evidence that is not on chain yet is kept; None: nowhere.
        retain_blocks: blocks below the tip whose contents are kept; 0: all.

    Attributes:
        certificates: how long certificates hold, this node's own and others'.
        evidence: what validators did wrong, until it is on chain.
        snapshots: serves the last checkpoint to nodes that join.
        mender: fetches damaged blocks again.
        pruner: drops the contents of old blocks.
        listeners: functions that hear of every committed block; they must not raise.
        drop_listeners: likewise, of every transaction that leaves the mempool without a block, and why.

    Raises:
        InvalidGenesis, StorageFault: see ``node.chain.Chain``.
    """

    def __init__(
        self,
        genesis: Genesis,
        store: Store,
        key: SigningKey,
        transport: Transport,
        *,
        addresses: Iterable[PeerAddress],
        limits: MempoolLimits,
        open_signer_log: Callable[[], tuple[DurableLog, list[bytes], bool]],
        answer_service: ServiceCall,
        reporter: SigningKey | None = None,
        evidence_file: Path | None = None,
        retain_blocks: int = 0,
    ) -> None:
        self.key = key
        self.transport = transport
        self._addresses = tuple(addresses)
        self.chain = Chain(genesis, store)
        self.mempool = Mempool(
            self.chain.rules,
            self.chain.state,
            limits,
            on_dropped=self._on_dropped,
        )
        self.mempool.start_height(self.chain.next_block())
        bootstrap = [address.peer_id for address in self._addresses]
        self.membership = Membership(self.chain.rules, self._seated(), bootstrap)
        self.membership.refresh(self.chain.state, self.chain.tip.header.time_ms)
        self.intake = Intake(self.chain, self.mempool, monotonic_ms, self._on_waiting)
        self.gateway = LocalGateway(self.chain, self.mempool, self.intake)
        self.fetcher = Fetcher(self.mempool)
        self.synchroniser = Synchroniser(self.chain, self.fetcher)
        self.gossip = Gossip(transport, call_later=asyncio.get_running_loop().call_later)
        self.peers = Peers(
            transport,
            self.gossip,
            chain=self.chain,
            membership=self.membership,
            intake=self.intake,
            fetcher=self.fetcher,
            synchroniser=self.synchroniser,
        )
        self.evidence = EvidencePool(
            self.chain,
            self.mempool,
            self.gossip,
            key.public,
            reporter=None if reporter is None else Caller(self.gateway, reporter, give_up_s=GIVE_UP_S),
            file=evidence_file,
        )
        self._block_committed = asyncio.Event()
        self.drop_listeners: list[Callable[[TxId, str], None]] = []
        self._lapsed: tuple[PublicKey, ...] = ()
        own = (key.public,) if reporter is None else (key.public, reporter.public)
        self.certificates = CertificateWatch(self.chain, own)
        self.snapshots = SnapshotShelf(self.chain)
        self.mender = Mender(self.chain, self.peers)
        self.pruner = Pruner(self.chain, retain_blocks, self.snapshots.being_read)
        # Views of the store first: nothing after the new tip is written yet.
        self.listeners: list[Callable[[Committed], None]] = [
            self.snapshots.on_committed,
            self.pruner.on_committed,
            self.evidence.on_block,
            self.certificates.on_block,
        ]
        self.signer_log: DurableLog | None = None
        state, records = self._consensus_state(open_signer_log)
        self.driver = Driver(
            self.chain, self.mempool, state, self.signer_log, self.fetcher, self.peers, self._on_committed
        )
        self.driver.locked.restore(records)
        self.driver.on_evidence = self.evidence.on_report
        self.intake.attach(self.gossip)
        self.fetcher.attach(self.peers)
        self.synchroniser.attach(self.driver, self.peers)
        self.peers.attach(self.driver, answer_service, self.snapshots)

    def _consensus_state(
        self, open_signer_log: Callable[[], tuple[DurableLog, list[bytes], bool]]
    ) -> tuple[State, list[SignerRecord]]:
        chain_id, sign = self.chain.chain_id, self.key.sign
        parameters = consensus_parameters(self.chain.parameters)
        # Whoever is not a validator may become one while it runs: its log is there from the first day.
        self.signer_log, data, _ = open_signer_log()
        records = recover(self.chain, self.key.public, self.signer_log, data)
        return restore(records, chain_id, self.key.public, sign, parameters), records

    def _seated(self) -> frozenset[PublicKey]:
        """Who decides the next heights, as far as they are known, and the last one: they need to stay connected."""
        tip = self.chain.tip.height
        return frozenset(key for height in range(tip, tip + 3) for key in self.chain.seats_at(height).validators.keys)

    def _on_dropped(self, tx_id: TxId, code: str) -> None:
        self.gateway.on_dropped(tx_id, code)
        for listener in self.drop_listeners:
            listener(tx_id, code)

    def _on_waiting(self) -> None:
        self.driver.on_waiting()

    async def _on_committed(self, committed: Committed) -> None:
        header = committed.candidate.block.header
        self.fetcher.forget()
        self._block_committed.set()
        seated_anew = self.membership.seat(self._seated())
        if self.membership.on_block(committed.candidate.result.change_hashes, header.time_ms) or seated_anew:
            # At once: who was revoked is gone, who was admitted need not wait.
            self.transport.set_allowed(self.membership.allowed)
        self.gateway.on_committed(committed)
        self.intake.on_block()
        for listener in self.listeners:
            listener(committed)
        self.peers.announce(committed, made_here=header.proposer == self.key.public)

    async def start(self) -> None:
        """Opens the overlay to the admitted peers."""
        self.transport.set_allowed(self.membership.allowed)
        self.transport.set_addresses(self._addresses)
        await self.transport.start(self.peers)

    def spawn(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Starts the node's tasks; cancel them to end it, then ``stop``."""
        return [
            group.create_task(self.driver.run(), name="driver"),
            group.create_task(self.intake.run(), name="intake"),
            group.create_task(self.synchroniser.run(), name="sync"),
            group.create_task(self.evidence.run(), name="evidence"),
            group.create_task(self.mender.run(), name="mender"),
            group.create_task(self.pruner.run(), name="pruner"),
            group.create_task(self._housekeeping(), name="housekeeping"),
            group.create_task(self._checkpoints(), name="checkpoints"),
            group.create_task(self.transport.wait_failed(), name="transport"),
        ]

    async def stop(self) -> None:
        """Closes overlay and store; the tasks have ended."""
        self.intake.stop()
        await self.transport.stop()
        self.gossip.stop()
        self.snapshots.close()
        self.chain.close()

    async def _housekeeping(self) -> None:
        """Says again what may have been missed, and lets go of peers whose certificates have expired."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self.intake.republish()
            self.peers.send_status()
            self.transport.set_allowed(self.membership.allowed)
            self._warn_of_lapsed_validators()
            if not self.synchroniser.behind:
                # What an old state says of certificates would only alarm.
                self.certificates.warn()

    def _warn_of_lapsed_validators(self) -> None:
        lapsed = self.membership.lapsed_validators()
        for key in lapsed:
            if key not in self._lapsed:
                # It stays in the set until governance takes it out (PROTOCOL.md 2.4).
                log.warning("validator_certificate_lapsed", validator=key_text(key))
        self._lapsed = lapsed

    async def _checkpoints(self) -> None:
        """Works on the next checkpoint between other things: each block's share, so that it is ready in time."""
        share = max(1, 2 * CHECKPOINT_SLICES // self.chain.genesis.parameters.checkpoint_interval)
        height = self.chain.tip.height
        while True:
            await self._block_committed.wait()
            self._block_committed.clear()
            slices = share * (self.chain.tip.height - height)
            height = self.chain.tip.height
            for _ in range(slices):
                if self.chain.checkpoints.run_slice():
                    break
                await asyncio.sleep(0)
