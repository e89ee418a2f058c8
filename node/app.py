"""Builds the daemon from its parts, explicitly, and runs it in one task group (DESIGN.md 8)."""

from __future__ import annotations

import asyncio
import gc
import time

import structlog

from ledger.chain_recheck import Repair
from ledger.errors import StorageFault
from ledger.store_leveldb import LevelStore
from node.chain import Chain
from node.core import NodeCore
from node.driver import DurableLog
from node.home import Home
from node.mempool import MempoolLimits
from node.rpc.methods import Methods
from node.rpc.server import RpcServer
from node.service_link import OverlayLink
from node.services import BookkeepingService, ServiceSwitch, SettlementService, TransactionService
from node.signer_log import SignerLog
from node.status import StatusReport
from p2p.libp2p_transport import Libp2pTransport

log = structlog.get_logger(__name__)

Service = TransactionService | BookkeepingService | SettlementService


class App:
    """One daemon on one home.

    Args:
        home: opened and locked.

    Raises:
        InvalidGenesis, StorageFault: see ``node.chain.Chain``.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._started_s = time.monotonic()
        config = home.config
        limits = config.mempool
        self._signer_log: SignerLog | None = None
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
        )
        recheck(self.core.chain)
        link.attach(self.core.peers)
        self.services = ServiceSwitch(link, config.node.organisation, self.core.transport.peer_id)
        status = StatusReport(config.node.name, config.node.organisation, self.core, self.services, self._started_s)
        methods = Methods(self.core.chain, self.core.gateway, status, self.services.call)
        self._rpc = RpcServer(methods, self.core.gateway, self.core.intake, home.socket)

    def _open_signer_log(self) -> tuple[DurableLog | None, list[bytes], bool]:
        try:
            self._signer_log = SignerLog(self._home.wal_dir)
        except StorageFault as error:
            log.exception("signer_log_damaged", why=error.message)
            return None, [], False
        return self._signer_log, self._signer_log.take_records(), self._signer_log.created

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until ``stop`` is set; raises what must end the process.

        Raises:
            Fatal: storage, invariant, or the overlay failed for good.
        """
        await self.core.start()
        try:
            await self._rpc.start()
            gc.collect()
            gc.freeze()
            seconds = round(time.monotonic() - self._started_s, 3)
            log.info("node_ready", height=self.core.chain.tip.height, seconds=seconds)
            async with asyncio.TaskGroup() as group:
                tasks = self.core.spawn(group)
                for service in self._build_services():
                    tasks.append(group.create_task(service.run(), name=type(service).__name__))
                await stop.wait()
                log.info("node_stopping")
                for task in tasks:
                    task.cancel()
        finally:
            await self._rpc.stop()
            await self.core.stop()
            if self._signer_log is not None:
                self._signer_log.close()
            log.info("node_stopped", height=self.core.chain.tip.height)

    def _build_services(self) -> list[Service]:
        wanted = self._home.config.services
        organisation = self._home.config.node.organisation
        key, gateway = self._home.keys.member, self.core.gateway
        found: list[Service] = []
        if wanted.transaction.enabled:
            bookkeeper = wanted.transaction.bookkeeper or ""
            found.append(TransactionService(gateway, self.services, key, organisation, bookkeeper=bookkeeper))
        if wanted.bookkeeping.enabled:
            found.append(BookkeepingService(gateway, self.services, key, organisation))
        if wanted.settlement.enabled:
            found.append(SettlementService(gateway, self.services, key, organisation))
        return found


def recheck(chain: Chain) -> None:
    """Rechecks the tip at start (DESIGN.md 2).

    Raises:
        StorageFault: something is damaged that this node must not serve.
    """
    report = chain.store.recheck(lambda _height: chain.validators)
    for damage in report.damage:
        log.error("storage_damaged", what=damage.what, height=damage.height, detail=damage.detail)
    if report.repair is not Repair.NONE:
        report.raise_for_damage()
