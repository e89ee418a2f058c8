"""One subscription for all flows of a client: events are broadcast, so nobody polls, and nobody subscribes twice.

Who waits registers first and acts then, so that no event can be missed. Only events of flows that somebody waits for
are decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from types import TracebackType
from typing import Any, Final

import structlog

from contracts.bridge.records import SUPERVISION, ClientView, RoleQuery
from contracts.flow import calls
from contracts.flow.answers import FlowQuery, FlowView
from contracts.flow.calls import moved_codec, payment_codec
from ledger.block import Event
from ledger.errors import Fatal, InvalidInput, NotFound, RemoteFault
from node.flow.progress import CONTROLS, STEPS, FlowProgress
from node.gateway import BlockEvents, Gateway

log = structlog.get_logger(__name__)

FLOW: Final = "flow"
BRIDGE: Final = "bridge"
FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
ASK_S: Final = 5.0
QUIET_S: Final = 30.0
"""Nothing from the supervision chain for longer than that: it, or the way to it, is not working."""
_DECODED: Final = frozenset((*STEPS, *CONTROLS))
_FLOW_AT: Final = {calls.PAYMENT_REQUESTED: 3}
"""Where a record's first field, the flow's id, begins; ``Moved`` has more than 15 fields and so a longer head."""
_MOVED_FLOW_AT: Final = 5


class FlowWatcher:
    """Follows the chain's events once, for everybody who waits for a flow or a transaction.

    Args:
        gateway: a node of the business chain; one that fails over is followed wherever it goes.
        contract: address of the flow contract.

    Attributes:
        height: last block that was seen; -1 before the first.
        time_ms: its time.
        chain_id: of the chain.
        expiry_window: blocks that a transaction may live at most.
        heard_at: monotonic seconds of the last block with something from the supervision chain.
        lively_since: since when that has not been missing for longer than ``QUIET_S``.
    """

    def __init__(self, gateway: Gateway, contract: str = FLOW) -> None:
        self._gateway = gateway
        self._contract = contract
        self._flows: dict[bytes, tuple[FlowProgress, list[asyncio.Future[None]]]] = {}
        self._expected: dict[bytes, asyncio.Future[tuple[int, tuple[Event, ...]]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._failed: BaseException | None = None
        self.height = -1
        self.time_ms = 0
        self.chain_id = b""
        self.expiry_window = 0
        self.heard_at = self.lively_since = monotonic()
        self._asked_at = 0.0

    async def __aenter__(self) -> FlowWatcher:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def running(self) -> bool:
        """True while it follows."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Begins to follow after the block that is the last one now. Raises ``RpcUnavailable``."""
        if self._task is not None:
            return
        info = await self._gateway.info()
        self.chain_id, self.expiry_window = info.chain_id, info.expiry_window
        self.height, self.time_ms = info.height, info.time_ms
        self.heard_at = self.lively_since = monotonic()
        self._task = asyncio.create_task(self._run(), name="flow-watcher")

    async def close(self) -> None:
        """Stops; who still waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for future in self._waiting():
            future.cancel()

    # --- flows ------------------------------------------------------------------------------------------------------

    def track(self, flow: bytes) -> FlowProgress:
        """The progress of a flow, kept up to date from now on until ``untrack``."""
        found = self._flows.get(flow)
        if found is None:
            found = self._flows[flow] = (FlowProgress(flow), [])
        return found[0]

    def known(self, flow: bytes) -> FlowProgress | None:
        """The progress of a flow that is tracked, or None."""
        found = self._flows.get(flow)
        return None if found is None else found[0]

    def untrack(self, flow: bytes) -> None:
        """Forgets a flow."""
        self._flows.pop(flow, None)

    async def load(self, flow: bytes) -> FlowProgress:
        """The progress of a flow, brought up to what the chain shows now; its status is empty when it is not there."""
        progress = self.track(flow)
        with contextlib.suppress(NotFound):
            progress.load(await self._gateway.view(self._contract, "flow", FlowQuery(flow), FlowView))
        return progress

    async def changed(self, flow: bytes, moves: int, timeout_s: float) -> bool:
        """Waits until a tracked flow has moved on from ``moves``; False after ``timeout_s``."""
        progress, waiting = self._flows[flow]
        if progress.moves != moves:
            return True
        self._check()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            if future in waiting:
                waiting.remove(future)
        return True

    # --- transactions -----------------------------------------------------------------------------------------------

    def expect(self, tx_id: bytes) -> asyncio.Future[tuple[int, tuple[Event, ...]]]:
        """Height and events of a transaction, once it is in a block and has emitted any; end it with ``forget``."""
        self._check()
        future: asyncio.Future[tuple[int, tuple[Event, ...]]] = asyncio.get_running_loop().create_future()
        self._expected[tx_id] = future
        return future

    def forget(self, tx_id: bytes) -> None:
        """Nobody waits for that transaction any more."""
        self._expected.pop(tx_id, None)

    # --- following --------------------------------------------------------------------------------------------------

    async def lively(self) -> bool:
        """True while the supervision chain can be heard: its packets or answers came of late, or else its headers.

        An idle relay brings headers alone, which emit no event; they are asked for at most every ``ASK_S`` seconds.
        """
        now = monotonic()
        if now - self.heard_at > ASK_S and now - self._asked_at > ASK_S:
            self._asked_at = now
            with contextlib.suppress(RemoteFault, InvalidInput):
                view = await self._gateway.view(BRIDGE, "client", RoleQuery(SUPERVISION), ClientView)
                if self.time_ms - view.state.latest.time_ms <= QUIET_S * 1000:
                    self._hear()
        return monotonic() - self.heard_at <= QUIET_S

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                async for block in self._gateway.events(self.height + 1):
                    self._take(block)
                    pause = FIRST_PAUSE_S
            except (RemoteFault, InvalidInput) as error:
                log.warning("flow_watcher_lost_chain", height=self.height, code=error.code)
            except Fatal as error:
                self._fail(error)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)

    def _fail(self, error: Fatal) -> None:
        self._failed = error
        for future in self._waiting():
            if not future.done():
                future.set_exception(error)

    def _waiting(self) -> list[asyncio.Future[Any]]:
        return [*self._expected.values(), *(future for _, waiting in self._flows.values() for future in waiting)]

    def _take(self, block: BlockEvents) -> None:
        emitted: dict[bytes, list[Event]] = {}
        expected, contract = self._expected, self._contract
        heard = False
        for tx_id, event in block.events:
            if tx_id in expected:
                emitted.setdefault(tx_id, []).append(event)
            if event.contract == contract:
                self._note(event)
            elif event.contract == BRIDGE:
                heard = heard or event.name != "packet"
        self.height, self.time_ms = block.height, block.time_ms
        if heard:
            self._hear()
        for tx_id, events in emitted.items():
            future = expected.pop(tx_id)
            if not future.done():
                future.set_result((block.height, tuple(events)))

    def _hear(self) -> None:
        now = monotonic()
        if now - self.heard_at > QUIET_S:
            self.lively_since = now
        self.heard_at = now

    def _note(self, event: Event) -> None:
        at = _FLOW_AT.get(event.name) or (_MOVED_FLOW_AT if event.name in _DECODED else 0)
        found = self._flows.get(event.data[at : at + 32]) if at else None
        if found is None:
            return
        progress, waiting = found
        if event.name == calls.PAYMENT_REQUESTED:
            news = progress.apply_payment(payment_codec.decode(event.data))
        else:
            news = progress.apply(event.name, moved_codec.decode(event.data))
        if news:
            for future in waiting:
                if not future.done():
                    future.set_result(None)
            waiting.clear()
