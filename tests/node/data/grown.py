"""Chains without overlay that have grown, and peers that serve them: for joining, mending and pruning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ledger.errors import NotFound, PeerRefused, PeerUnavailable, TidegateError
from ledger.store import Store
from node.data.snapshot_serving import SnapshotShelf
from node.wire import RequestKind
from p2p.transport import PeerId
from tests.node.bare import Bare
from tests.node.cluster import Cluster

INTERVAL = 4
Serve = Callable[[RequestKind, bytes, Callable[[RequestKind, bytes], object]], object]


def small(count: int = 1, **parameters: int) -> Cluster:
    """A cluster with a checkpoint every few blocks."""
    return Cluster(count, **{"checkpoint_interval": INTERVAL, **parameters})


class Grown(Bare):
    """A node that serves snapshots of its chain."""

    def __init__(self, cluster: Cluster | None = None, store: Store | None = None) -> None:
        super().__init__(cluster=cluster or small(), store=store)
        self.shelf = SnapshotShelf(self.chain)
        self.spent = 0

    async def grow(self, blocks: int) -> Grown:
        """Blocks with a payment each as long as there are outputs, then empty ones."""
        for _ in range(blocks):
            if self.spent < 10:
                committed = await self.commit(self.pay(self.spent))
                self.spent += 1
            else:
                committed = await self.chain.commit(*await self.build([]))
                self.tell(committed)
            self.shelf.on_committed(committed)
            while not self.chain.checkpoints.run_slice():
                pass
        return self

    async def answer(self, kind: RequestKind, payload: bytes) -> bytes:
        if kind is RequestKind.SNAPSHOT:
            return await self.shelf.serve(payload)
        raise NotFound("unknown kind of request", code="request_kind_unknown")


class Answering:
    """Peers whose answers are functions."""

    def __init__(self) -> None:
        self.serving: dict[PeerId, Callable[[RequestKind, bytes], object]] = {}
        self.penalised: list[tuple[PeerId, str]] = []
        self.asked: list[PeerId] = []

    def add(self, name: str, node: Grown, change: Serve | None = None) -> PeerId:
        peer = PeerId(name)
        self.serving[peer] = node.answer if change is None else lambda k, p: change(k, p, node.answer)
        return peer

    def connected(self) -> Sequence[PeerId]:
        return list(self.serving)

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        del timeout_s
        self.asked.append(peer)
        await asyncio.sleep(0)
        if peer not in self.serving:
            raise PeerUnavailable("gone")
        try:
            return await self.serving[peer](kind, payload)
        except TidegateError as error:
            raise PeerRefused(error.code, peer_code=error.code) from error

    def penalise(self, peer: PeerId, reason: str) -> None:
        self.penalised.append((peer, reason))
        self.serving.pop(peer, None)
