"""The other end of a subscription: a connection that a test reads, leaves or breaks, and a chain that it grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

from node.chain import Chain
from node.rpc.connection import Client, ConnectionGone
from node.rpc.method import Scope
from node.rpc.subscriptions import SubscriptionHub, SubscriptionLimits
from node.rpc.subscriptions_records import Kind, Subscribe, Subscribed
from tests.node.rpc_subscriptions.recorded import spent_in

_ids = count(1)


class Growing:
    """A recorded chain of which only the blocks up to ``tip`` are committed yet."""

    def __init__(self, chain: Chain, height: int) -> None:
        self.store = chain.store
        self.genesis, self.rules, self.state = chain.genesis, chain.rules, chain.state
        self.end = chain.tip.height
        self.tip = SimpleNamespace(height=height)
        self.hub = SubscriptionHub(self)  # type: ignore[arg-type]

    def limit(self, **limits: Any) -> None:
        self.hub.limits = SubscriptionLimits(**limits)

    def grow(self, blocks: int = 1) -> None:
        for _ in range(min(blocks, self.end - self.tip.height)):
            self.tip.height += 1
            result = SimpleNamespace(spent=spent_in(self.tip.height))
            committed = SimpleNamespace(height=self.tip.height, candidate=SimpleNamespace(result=result))
            self.hub.on_committed(committed)  # type: ignore[arg-type]


class Reader:
    """A connection whose buffer has room for ``room`` notifications beyond those that were read."""

    def __init__(self, room: int = 8) -> None:
        self.client = Client("uid:0", Scope.READ, "unix")
        self.id = f"c{next(_ids)}"
        self.room = room
        self.buffer: list[dict[str, Any]] = []
        self.gone = False
        self.closed: tuple[int, str] | None = None
        self._changed = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []

    # --- as the server sees it --------------------------------------------------------------------------------------

    async def notify(self, method: str, params: Any) -> None:
        assert method == "subscription"
        if self.gone:
            raise ConnectionGone("gone")
        self.buffer.append(json.loads(bytes(params)))
        self._change()
        while len(self.buffer) > self.room and not self.gone:
            await self._changed.wait()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.hang_up()

    # --- as the client sees it --------------------------------------------------------------------------------------

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def read(self, seconds: float = 20.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while not self.buffer:
                await self._changed.wait()
        found = self.buffer.pop(0)
        self._change()
        return found

    async def read_until(self, *kinds: Kind) -> list[dict[str, Any]]:
        """Everything up to the first notification of one of the kinds, and that one."""
        found = [await self.read()]
        while found[-1]["kind"] not in kinds:
            assert found[-1]["kind"] != Kind.CLOSED, found[-1]
            found.append(await self.read())
        return found

    def hang_up(self) -> None:
        """What was not read is lost."""
        self.gone = True
        self._change()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


async def subscribe(chain: Growing, reader: Reader, topic: str, **asked: Any) -> Subscribed:
    return await chain.hub.subscribe(Subscribe(topic=topic, **asked), reader)  # type: ignore[arg-type]


def items(notes: list[dict[str, Any]]) -> list[tuple[int, int, Any]]:
    """(height, index, document) of the items among notifications."""
    return [(n["cursor"]["height"], n["cursor"]["index"], n["item"]) for n in notes if n["kind"] == Kind.ITEM]


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(50):
        await asyncio.sleep(0)
