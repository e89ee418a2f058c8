"""What a node holds for those that join: bounded, and never more than somebody reads."""

from __future__ import annotations

import asyncio

import pytest

from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, Overloaded
from ledger.store_memory import MemoryStore
from node.data import snapshot_serving
from node.data.pruning import Pruner
from node.data.snapshot_serving import MAX_READ, MAX_WAITING
from node.data.snapshot_wire import Part, SnapshotWanted, offer_codec, state_codec
from tests.node.data.grown import INTERVAL, Grown


def wanted(part: int, height: int, number: int = 0) -> bytes:
    return encode(SnapshotWanted(part, height, number, b""))


async def test_the_last_certified_checkpoint_is_offered_when_there_is_one() -> None:
    node = await Grown().grow(2 * INTERVAL - 1)
    assert offer_codec.decode(await node.shelf.serve(wanted(Part.OFFER, 0))).height == 0
    await node.grow(1)
    offer = offer_codec.decode(await node.shelf.serve(wanted(Part.OFFER, 0)))
    assert (offer.height, offer.tip_height, offer.retained_height) == (INTERVAL, 2 * INTERVAL, 0)
    await node.grow(INTERVAL)
    assert node.shelf.height == 2 * INTERVAL
    assert len(node.shelf._views) == 2


async def test_a_checkpoint_is_held_as_long_as_somebody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(snapshot_serving, "monotonic_s", lambda: now[0])
    node = await Grown().grow(2 * INTERVAL)
    before = await node.shelf.serve(wanted(Part.STATE, INTERVAL))
    await node.grow(5 * INTERVAL)
    assert await node.shelf.serve(wanted(Part.STATE, INTERVAL)) == before
    assert node.shelf.being_read() == [INTERVAL]
    # Its blocks stay as long, or the one who joins could not go on.
    await node.grow(2 * INTERVAL + 64)
    await Pruner(node.chain, 1, node.shelf.being_read).prune()
    assert node.chain.retained_height <= INTERVAL
    now[0] += snapshot_serving.IDLE_S + 1
    await node.grow(INTERVAL)
    with pytest.raises(NotFound) as caught:
        await node.shelf.serve(wanted(Part.STATE, INTERVAL))
    assert caught.value.code == "snapshot_gone"
    assert len(node.shelf._views) == 2


async def test_held_views_are_bounded_when_many_checkpoints_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    node = await Grown().grow(2 * INTERVAL)
    for _ in range(3 * MAX_READ):
        await node.shelf.serve(wanted(Part.STATE, node.shelf.height))
        await node.grow(INTERVAL)
    assert len(node.shelf._views) <= 2 * MAX_READ + 2


async def test_views_of_a_stopped_node_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    snapshot = MemoryStore.snapshot

    def counting(store: MemoryStore) -> object:
        view = snapshot(store)
        opened.append(view)
        return view

    monkeypatch.setattr(MemoryStore, "snapshot", counting)
    node = await Grown().grow(2 * INTERVAL)
    held = list(node.shelf._views.values())
    node.shelf.close()
    for view in held:
        with pytest.raises(Exception, match="closed"):
            view.get(b"x")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (wanted(Part.STATE, 3), "snapshot_gone"),
        (wanted(Part.LEAVES, INTERVAL, 2**40), None),
        (b"\xc1", "malformed"),
    ],
)
async def test_senseless_requests_are_refused(payload: bytes, code: str | None) -> None:
    node = await Grown().grow(2 * INTERVAL)
    with pytest.raises(InvalidInput) as caught:
        await node.shelf.serve(payload)
    assert code is None or caught.value.code == code


async def test_more_than_a_few_waiting_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_serving, "REST", 0.0)
    node = await Grown().grow(2 * INTERVAL)
    tasks = [asyncio.create_task(node.shelf.serve(wanted(Part.STATE, INTERVAL))) for _ in range(MAX_WAITING + 10)]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 10
    assert all(state_codec.decode(answer) for answer in answers if isinstance(answer, bytes))
