"""One chain as a daemon hosts it: node core, RPC, and the services that work on this chain alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from consensus.effects import RefuseBlock
from ledger.chain_recheck import Repair
from ledger.store_leveldb import LevelStore
from node.chain import Chain, Committed
from node.clock_watch import ClockWatch
from node.core import NodeCore
from node.data.online import DataMethods
from node.driver import DurableLog
from node.home import Home
from node.mempool import MempoolLimits
from node.observability.rpc_meter import RpcMeter
from node.rpc.areas import areas_of
from node.rpc.server import RpcServer
from node.rpc.settings import settings_of
from node.rpc.subscriptions import SubscriptionHub, SubscriptionLimits
from node.service_link import OverlayLink
from node.services import BookkeepingService, ServiceSwitch, SettlementService, TransactionService
from node.signer_log import SignerLog, damaged_logs
from node.signer_state import open_signer_log
from node.standing import Standing
from node.status import StatusReport
from p2p.libp2p_transport import Libp2pTransport

log = structlog.get_logger(__name__)

EVIDENCE_FILE: Final = "evidence.bin"
"""In a home's data directory: evidence of misbehaving validators that is not on chain yet."""


class ChainHost:
    """See the module.

    Args:
        home: opened and locked.

    Raises:
        InvalidGenesis, StorageFault: see ``node.chain.Chain``.

    Attributes:
        home: as given.
        core: the node.
        services: what runs here, and the way to others.
        reports: further parts of ``node.status``, by name.
        rpc_meter: counts requests of clients.
        rpc: answers clients.
        subscriptions: what clients follow.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        config = home.config
        limits = config.mempool
        self._signer_log: SignerLog | None = None
        self.rpc_meter = RpcMeter()
        link = OverlayLink()
        self.core = NodeCore(
            home.genesis,
            LevelStore(str(home.data_dir / "chain")),
            home.keys.validator,
            Libp2pTransport(
                home.keys.transport,
                network=home.genesis.hash.hex(),
                listen_host=config.p2p.listen_host,
                listen_port=config.p2p.listen_port,
            ),
            addresses=config.p2p.addresses,
            limits=MempoolLimits(limits.max_transactions, limits.max_bytes, limits.organisation_bytes),
            open_signer_log=self._open_signer_log,
            answer_service=link.answer,
            reporter=home.keys.member,
            evidence_file=home.data_dir / EVIDENCE_FILE,
            retain_blocks=config.storage.retain_blocks,
        )
        recheck(self.core.chain)
        link.attach(self.core.peers)
        self.services = ServiceSwitch(link, config.node.organisation, self.core.transport.peer_id)
        self._standing = Standing(self.core)
        self.reports: dict[str, Callable[[], dict[str, Any]]] = {
            "signer": self._report_signer,
            "standing": self._standing.document,
            "storage": self._report_storage,
        }
        status = StatusReport(
            config.node.name, config.node.organisation, self.core, self.services, time.monotonic(), self.reports
        )
        settings = settings_of(config.rpc, home.path)
        self.subscriptions = SubscriptionHub(self.core.chain, SubscriptionLimits(total=settings.max_subscriptions))
        self.core.listeners.append(self.subscriptions.on_committed)
        areas = areas_of(
            self.core.chain,
            self.core.gateway,
            status,
            self.services.call,
            hub=self.subscriptions,
            data=DataMethods(self.core.chain, home.genesis, home.genesis_bytes, home.data_dir),
            max_page=settings.max_page,
        )
        self.rpc = RpcServer(areas, self.core.gateway, self.core.intake, home.socket, settings, self.rpc_meter)

    def _open_signer_log(self) -> tuple[DurableLog, list[bytes], bool]:
        self._signer_log, records = open_signer_log(self.home.wal_dir)
        return self._signer_log, records, self._signer_log.created

    def _report_signer(self) -> dict[str, Any]:
        observing = self.core.driver.observing_why
        return {
            "observing": None if observing is None else str(observing.reason),
            "through_height": None if observing is None else observing.through_height,
            "damaged_logs": damaged_logs(self.home.wal_dir),
        }

    def _report_storage(self) -> dict[str, Any]:
        core, store = self.core, self.core.chain.store
        return {
            "retained_height": store.retained_height,
            "base_height": store.base_height,
            "snapshot_height": core.snapshots.height,
            "damaged_blocks": core.mender.waiting,
            "mended_blocks": core.mender.mended,
        }

    def tell_block_times(self, clock: ClockWatch) -> None:
        """Lets ``clock`` compare our time with that of fresh blocks of others."""
        core, own = self.core, self.core.key.public

        def on_block(committed: Committed) -> None:
            header = committed.candidate.block.header
            current = not core.synchroniser.syncing and core.synchroniser.target_height <= header.height
            if header.proposer != own and current:
                before = core.chain.store.header(header.height - 1).time_ms
                clock.on_block_time(header.proposer, header.time_ms, before)

        def on_refused(effect: RefuseBlock) -> None:
            self._standing.on_refused(effect)
            header = effect.proposal.block.header
            if effect.reason == "time_implausible" and header.height == core.chain.tip.height + 1:
                clock.on_block_time(header.proposer, header.time_ms, core.chain.tip.header.time_ms)

        core.listeners.append(on_block)
        core.driver.on_refused = on_refused

    async def start(self) -> None:
        """Opens the overlay and the RPC socket."""
        with structlog.contextvars.bound_contextvars(chain=self.home.genesis.name):
            await self.core.start()
            await self.rpc.start()

    def spawn(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Starts the node's tasks and services; every line that they log names this chain."""
        with structlog.contextvars.bound_contextvars(chain=self.home.genesis.name):
            tasks = self.core.spawn(group)
            tasks += [group.create_task(run(), name=name) for name, run in self._build_services()]
        return tasks

    async def stop(self) -> None:
        """Closes everything; the tasks have ended."""
        await self.subscriptions.stop()
        await self.rpc.stop()
        await self.core.stop()
        if self._signer_log is not None:
            self._signer_log.close()

    def _build_services(self) -> list[tuple[str, Callable[[], Any]]]:
        wanted = self.home.config.services
        organisation = self.home.config.node.organisation
        key, gateway = self.home.keys.member, self.core.gateway
        found: list[tuple[str, Callable[[], Any]]] = []
        if wanted.transaction.enabled:
            bookkeeper = wanted.transaction.bookkeeper or ""
            transaction = TransactionService(gateway, self.services, key, organisation, bookkeeper=bookkeeper)
            found.append(("transaction", transaction.run))
        if wanted.bookkeeping.enabled:
            found.append(("bookkeeping", BookkeepingService(gateway, self.services, key, organisation).run))
        if wanted.settlement.enabled:
            found.append(("settlement", SettlementService(gateway, self.services, key, organisation).run))
        if wanted.authority.enabled:
            from node.services.authority import AuthorityService  # noqa: PLC0415 - brings the sealing library

            keys = self.home.authority_keys()
            authority = AuthorityService(gateway, key, keys.sealing, keys.pseudonym)
            self.reports["authority"] = authority.document
            found.append(("authority", authority.run))
        return found


def recheck(chain: Chain) -> None:
    """Rechecks the tip at start (DESIGN.md 2).

    Raises:
        StorageFault: something is damaged that this node must not serve.
    """
    report = chain.store.recheck(lambda height: chain.seats_at(height).validators)
    for damage in report.damage:
        log.error("storage_damaged", what=damage.what, height=damage.height, detail=damage.detail)
    if report.repair is not Repair.NONE:
        report.raise_for_damage()
