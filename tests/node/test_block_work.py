"""Looking for a body: once, however often consensus orders it, and at the sources that it named last."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from consensus import effects as do
from consensus import inputs as on
from ledger.block import block_codec
from ledger.errors import NotFound, RemoteFault
from node import block_work
from node.block_work import BlockWork
from tests.consensus.making import block, key, name


class Peers:
    """Only one source has the body."""

    def __init__(self, holder: bytes, data: bytes) -> None:
        self.holder, self.data, self.asked = holder, data, list[bytes]()

    async def block(self, source: bytes, wanted: bytes) -> bytes:
        self.asked.append(source)
        await asyncio.sleep(0)
        if source != self.holder:
            raise RemoteFault("not here", code=NotFound.code)
        return self.data


async def test_body_is_looked_for_once_when_it_is_ordered_again_and_again(monkeypatch) -> None:
    monkeypatch.setattr(block_work, "RETRY_S", 0)
    made = block()
    peers, fed = Peers(key(2), block_codec.encode(made)), list[object]()
    chain = SimpleNamespace(tip=SimpleNamespace(height=made.header.height - 1))
    work = BlockWork(chain, None, peers, feed=fed.append, fail=fed.append)
    for _ in range(50):
        work.fetch(do.FetchBlock(made.header.height, name(made), (key(1),)))
        await asyncio.sleep(0)
        assert len(work._tasks) == 1
    # The newest order names the one that has it.
    work.fetch(do.FetchBlock(made.header.height, name(made), (key(1), key(2))))
    while not fed:
        await asyncio.sleep(0)
    (answer,) = fed
    assert isinstance(answer, on.BlockFetched)
    assert answer.block.id == name(made)
    await asyncio.sleep(0)
    assert not work._tasks
    assert not work._wanted


async def test_body_is_looked_for_anew_when_the_search_was_cancelled_before_it_began() -> None:
    made = block()
    peers, fed = Peers(key(2), block_codec.encode(made)), list[object]()
    chain = SimpleNamespace(tip=SimpleNamespace(height=made.header.height - 1))
    work = BlockWork(chain, None, peers, feed=fed.append, fail=fed.append)
    order = do.FetchBlock(made.header.height, name(made), (key(2),))
    work.fetch(order)
    work.cancel()
    while work._tasks:
        await asyncio.sleep(0)
    work.fetch(order)
    while not fed:
        await asyncio.sleep(0)
    assert [type(one) for one in fed] == [on.BlockFetched]
