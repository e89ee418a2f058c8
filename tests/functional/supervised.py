"""A supervised consortium of real daemons, and light traffic between its two chains.

async with consortium(tmp_path) as net:
    async with net.traffic(workers=4) as traffic:
        await traffic.more(10)          # ten more flows authorised
    await traffic.finished()            # everything that was filed is decided, nothing is lost
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from contracts.bridge.records import LaneView, RoleQuery
from contracts.flow.calls import DEFINE_KIND, DefineKind
from contracts.flow.kinds import DAY_MS, FlowKind, StageSpec
from contracts.governance.calls import Propose
from contracts.messages import DELIVER, FILE, NEED_DECISION, NEED_GRANT, NEED_NONE, ORDER
from ledger.encoding import encode
from ledger.errors import InvalidInput, RemoteFault
from node.calling import Caller
from node.client import Client
from node.consortium.bootstrap import Bootstrap
from node.consortium.plan import PLATFORM, ConsortiumPlan, create_consortium
from node.consortium.running import ConsortiumNet
from node.devnet import ask_status
from tests.functional.load import until
from tests.node import traffic as notes

VISIT = "visit"
READY_S = 60.0


def visit_kind(max_staleness_ms: int = 30_000) -> FlowKind:
    """File, order by grant, deliver."""
    stages = (
        StageSpec(FILE, NEED_DECISION, "", DAY_MS, 0),
        StageSpec(ORDER, NEED_GRANT, "order", DAY_MS, DAY_MS),
        StageSpec(DELIVER, NEED_NONE, "", 0, 0),
    )
    return FlowKind(VISIT, 1, stages, max_staleness_ms, ())


class Supervised:
    """Attributes: net: the processes. business, supervision: clients of a validator of each chain."""

    def __init__(self, net: ConsortiumNet) -> None:
        self.net = net
        self.consortium = net.consortium
        self.business: Client = net.business_client()
        self.supervision: Client = net.supervision_client()

    def party(self, name: str = "City Hospital"):
        return self.consortium.parties.party(name)

    async def define(self, kind: FlowKind) -> None:
        governors = self.consortium.business.signing_authority()
        proposal = Propose("flow", DEFINE_KIND, encode(DefineKind(kind)), "for a test")
        platform = Caller(self.business, self.party(PLATFORM).signing)
        await platform.call("governance", "propose", proposal, cosigners=governors)

    async def lane(self, client: Client, role: str) -> LaneView:
        return await client.view("bridge", "lane", RoleQuery(role), LaneView)

    async def calm(self, seconds: float = 60.0) -> None:
        """Until nothing is unanswered in either direction."""

        async def answered() -> bool:
            out, back = await self.lane(self.business, "supervision"), await self.lane(self.supervision, "business")
            return out.sent == out.answered and back.sent == back.answered

        await until(answered, "every packet is answered", seconds)

    async def relay(self, name: str) -> dict[str, Any] | None:
        """The relay's part of a fusion daemon's status; None while it does not answer."""
        document = await ask_status(self.consortium.business.node(_node(self, name)).socket)
        return None if document is None else document["relay"]

    def fusion(self, index: int) -> str:
        """Name in the business network of a fusion daemon."""
        return self.consortium.fusion[index]

    @asynccontextmanager
    async def traffic(self, workers: int = 4) -> AsyncIterator[Traffic]:
        """Files notes until the end of the block."""
        made = Traffic(self)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(made.work()) for _ in range(workers)]
            try:
                yield made
            finally:
                for task in tasks:
                    task.cancel()


def _node(net: Supervised, name: str) -> str:
    return net.consortium.business.node(name).name


class Traffic:
    """Attributes: filed: flows, with when; authorised: seconds that the finished ones took."""

    def __init__(self, net: Supervised) -> None:
        self._net = net
        self.filed: dict[bytes, float] = {}
        self.authorised: list[float] = []
        self.failures: list[str] = []

    async def work(self) -> None:
        # On the white list: what others file waits for officers, or needs a batch of this kind.
        key = self._net.party("City Hospital").signing
        while True:
            begun = monotonic()
            try:
                flow = await notes.file_note(self._net.business, key)
            except (InvalidInput, RemoteFault) as error:
                self.failures.append(error.code)
                await asyncio.sleep(0.1)
                continue
            self.filed[flow] = begun
            with contextlib.suppress(RemoteFault):
                while (await notes.flow_view(self._net.business, flow)).status == "filing":
                    await asyncio.sleep(0.02)
                self.authorised.append(monotonic() - begun)

    async def more(self, count: int, seconds: float = 60.0) -> None:
        """Until so many more are authorised."""
        wanted = len(self.authorised) + count

        async def there() -> bool:
            return len(self.authorised) >= wanted

        await until(there, f"{count} more flows authorised ({len(self.authorised)} so far)", seconds)

    async def finished(self, seconds: float = 90.0) -> None:
        """Until every flow that was filed is authorised."""
        await self._net.calm(seconds)

        async def open_() -> bool:
            views = [await notes.flow_view(self._net.business, flow) for flow in self.filed]
            return {view.status for view in views} == {"open"}

        await until(open_, "everything that was filed is authorised", seconds)
        assert self.failures == []


@asynccontextmanager
async def consortium(
    tmp_path: Path, *, kind: FlowKind | None = None, introduce: bool = True, **plan: Any
) -> AsyncIterator[Supervised]:
    """A consortium that runs, with a kind of flows for the traffic; small unless ``plan`` says otherwise."""
    sizes = {"validators": 2, "supervision_validators": 1, "fusion_nodes": 2, **plan}
    made = create_consortium(ConsortiumPlan(directory=tmp_path / "c", **sizes))
    async with ConsortiumNet(made.directory) as processes:
        await processes.start(timeout_s=READY_S)
        net = Supervised(processes)
        async with net.business, net.supervision:
            try:
                if introduce:
                    await Bootstrap(made, net.business, net.supervision).run()
                    await net.define(kind or notes.note_kind())
                yield net
            except BaseException:
                for devnet in (processes.business, processes.supervision):
                    for node in devnet.network.nodes:
                        print(f"--- {node.organisation}; the end of its log:\n{devnet.log_tail(node.name, 8)}")
                raise
