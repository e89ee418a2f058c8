"""What a subscription does over its life: begins, catches up, follows, ends, and what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ledger.errors import InvalidInput, NotFound, Overloaded, StorageFault
from node.rpc.subscriptions import PROGRESS_BLOCKS, SLOW_READER, STOPPING, TRY_AGAIN_LATER
from node.rpc.subscriptions_methods import SubscriptionMethods
from node.rpc.subscriptions_records import END, Cursor, Kind, Topic, Unsubscribe
from tests.node.rpc_subscriptions.reader import Growing, Reader, items, settle, subscribe
from tests.node.rpc_subscriptions.recorded import expected, recorded


def growing(height: int) -> Growing:
    return Growing(recorded().chain, height)


def heights(notes: list[dict[str, Any]]) -> list[int]:
    return [height for height, _, _ in items(notes)]


async def test_only_new_blocks_are_told_when_no_place_is_given():
    chain, reader = growing(3), Reader()
    answer = await subscribe(chain, reader, "blocks")
    assert (answer.height, answer.cursor) == (3, Cursor(height=3))
    assert (await reader.read())["kind"] == Kind.CAUGHT_UP
    chain.grow(2)
    assert [(await reader.read())["cursor"]["height"] for _ in range(2)] == [4, 5]
    await chain.hub.stop()


async def test_future_height_is_waited_for_when_a_node_is_behind_the_cursor():
    chain, reader = growing(3), Reader()
    await subscribe(chain, reader, "blocks", after=Cursor(height=5))
    chain.grow(2)
    await settle()
    assert [note["kind"] for note in reader.buffer] == [Kind.CAUGHT_UP]
    chain.grow(1)
    assert heights([await reader.read(), await reader.read()]) == [6]
    await chain.hub.stop()


async def test_two_places_are_refused_when_given_together():
    with pytest.raises(InvalidInput, match="either from_height or after"):
        await subscribe(growing(3), Reader(), "blocks", from_height=1, after=Cursor(height=2))


async def test_rest_of_a_block_is_told_when_resumed_inside_it():
    chain = growing(recorded().height)
    everything = expected(recorded().chain, Topic.EVENTS, 0, recorded().height)
    cuts = [n for n in range(1, len(everything)) if everything[n - 1][0] == everything[n][0]]
    assert cuts, "no block has two events"
    for cut in (cuts[0], cuts[-1]):
        reader = Reader()
        height, index, _ = everything[cut - 1]
        await subscribe(chain, reader, "events", after=Cursor(height=height, index=index))
        assert items(await reader.read_until(Kind.CAUGHT_UP)) == everything[cut:]
    await chain.hub.stop()


async def test_nothing_more_is_told_when_unsubscribed():
    chain, reader = growing(3), Reader()
    answer = await subscribe(chain, reader, "blocks")
    await reader.read_until(Kind.CAUGHT_UP)
    methods = SubscriptionMethods(chain.hub)
    gone = Unsubscribe(subscription=answer.subscription)
    assert not (await methods.unsubscribe(gone, Reader())).ended, "another connection's is out of reach"
    assert (await methods.unsubscribe(gone, reader)).ended
    assert not (await methods.unsubscribe(gone, reader)).ended
    chain.grow(3)
    await settle()
    assert (reader.buffer, chain.hub.open) == ([], 0)


async def test_subscription_ends_when_the_connection_does():
    chain, reader = growing(3), Reader()
    for topic in ("blocks", "events", "account"):
        await subscribe(chain, reader, topic, **({"account": "x"} if topic == "account" else {}))
    assert chain.hub.open == 3
    reader.hang_up()
    await settle()
    assert (chain.hub.open, len(asyncio.all_tasks()), sum(chain.hub.closed.values())) == (0, 1, 0)


async def test_everybody_is_told_when_the_node_stops():
    chain, readers = growing(3), [Reader(), Reader()]
    for reader in readers:
        await subscribe(chain, reader, "blocks", from_height=2)
        await reader.read_until(Kind.CAUGHT_UP)
    await chain.hub.stop()
    for reader in readers:
        told = await reader.read()
        assert (told["kind"], told["code"], told["cursor"]) == ("closed", STOPPING, {"height": 3, "index": END})
    with pytest.raises(Overloaded):
        await subscribe(chain, Reader(), "blocks")


async def test_more_are_refused_when_the_bounds_are_reached():
    chain, reader = growing(3), Reader()
    chain.limit(total=3, per_connection=2)
    await subscribe(chain, reader, "blocks")
    await subscribe(chain, reader, "blocks")
    with pytest.raises(Overloaded, match="at most 2 subscriptions on a connection") as caught:
        await subscribe(chain, reader, "blocks")
    assert caught.value.data["retry_after_ms"] > 0
    await subscribe(chain, Reader(), "blocks")
    with pytest.raises(Overloaded):
        await subscribe(chain, Reader(), "blocks")
    reader.hang_up()
    await subscribe(chain, Reader(), "blocks")
    await chain.hub.stop()


# --- slow readers -----------------------------------------------------------------------------------------------------


async def test_slow_reader_is_told_and_cut_off_when_it_reads_nothing(monkeypatch: pytest.MonkeyPatch):
    chain, reader = growing(recorded().height), Reader(room=3)
    chain.limit(stall_s=0.02)
    monkeypatch.setattr("node.rpc.subscriptions.SLOW_FAREWELL_S", 0.02)
    await subscribe(chain, reader, "events", from_height=0)
    while reader.closed is None:
        await asyncio.sleep(0.005)
    assert reader.closed[0] == TRY_AGAIN_LATER
    assert len(reader.closed[1]) <= 100
    *told, last = reader.buffer
    assert (last["kind"], last["code"]) == (Kind.CLOSED, SLOW_READER)
    assert last["cursor"] == told[-1]["cursor"], "from there on nothing was handed over"
    assert len(told) == 4, "the queue is bounded by the connection's room"
    assert (chain.hub.open, chain.hub.closed) == (0, {SLOW_READER: 1})
    again = Reader(room=1_000)
    chain.limit()
    await subscribe(chain, again, "events", after=Cursor(**last["cursor"]))
    rest = items(await again.read_until(Kind.CAUGHT_UP))
    assert items(told) + rest == expected(recorded().chain, Topic.EVENTS, 0, recorded().height)
    await chain.hub.stop()


async def test_reader_is_cut_off_when_it_falls_behind_the_chain_after_catching_up():
    chain, reader = growing(3), Reader(room=0)
    chain.limit(max_lag_blocks=5, stall_s=60, behind_s=0)
    await subscribe(chain, reader, "blocks")
    await reader.read_until(Kind.CAUGHT_UP)
    chain.grow(3)
    await settle()
    chain.grow(9)
    found = [await reader.read()]
    while found[-1]["kind"] != Kind.CLOSED:
        found.append(await reader.read())
    assert found[-1]["code"] == SLOW_READER
    assert heights(found) == list(range(4, found[-1]["cursor"]["height"] + 1))
    assert len(heights(found)) < 7


async def test_reader_stays_when_the_node_syncs_faster_than_anybody_reads():
    chain, reader = growing(3), Reader(room=0)
    chain.limit(max_lag_blocks=2)
    await subscribe(chain, reader, "blocks")
    await reader.read_until(Kind.CAUGHT_UP)
    chain.grow(1_000)
    assert heights([await reader.read() for _ in range(recorded().height - 3)]) == list(range(4, recorded().height + 1))
    reader.hang_up()
    await chain.hub.stop()


async def test_history_is_read_to_its_end_when_it_is_longer_than_any_lag():
    chain, reader = growing(recorded().height), Reader(room=0)
    chain.limit(max_lag_blocks=1)
    await subscribe(chain, reader, "blocks", from_height=0)
    assert heights(await reader.read_until(Kind.CAUGHT_UP)) == list(range(recorded().height + 1))
    reader.hang_up()
    await chain.hub.stop()


# --- pruned, damaged --------------------------------------------------------------------------------------------------


async def test_pruned_heights_are_refused_with_what_is_kept(monkeypatch: pytest.MonkeyPatch):
    chain = growing(recorded().height)
    monkeypatch.setattr(chain.store, "retained_height", 4)
    for place in ({"from_height": 3}, {"after": Cursor(height=2)}, {"after": Cursor(height=3, index=0)}):
        with pytest.raises(NotFound, match="kept from 4 on") as caught:
            await subscribe(chain, Reader(), "events", **place)
        assert (caught.value.code, caught.value.data["retained_height"]) == ("pruned", 4)
    reader = Reader(room=0)
    await subscribe(chain, reader, "events", after=Cursor(height=3))
    await reader.read()
    monkeypatch.setattr(chain.store, "retained_height", recorded().height)
    found = [await reader.read()]
    while found[-1]["kind"] != Kind.CLOSED:
        found.append(await reader.read())
    assert found[-1]["code"] == "pruned"


@pytest.mark.parametrize(
    ("error", "code"), [(StorageFault("damaged"), "storage_fault"), (KeyError("secret"), "internal_error")]
)
async def test_subscription_is_closed_in_words_when_a_block_cannot_be_read(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
):
    chain, reader = growing(3), Reader()

    def fail(height: int) -> list[bytes]:
        raise error

    monkeypatch.setattr(type(chain.store), "receipts", lambda store, height: fail(height))
    await subscribe(chain, reader, "events", from_height=0)
    told = await reader.read()
    assert (told["kind"], told["code"]) == (Kind.CLOSED, code)
    assert "secret" not in told["message"]
    assert chain.hub.open == 0


# --- cost -------------------------------------------------------------------------------------------------------------


async def test_commit_costs_nothing_when_nobody_follows():
    chain = growing(0)
    before = chain.hub._grown
    chain.grow(10)
    assert chain.hub._grown is before
    assert chain.hub.shelf.decoded == 0


async def test_block_is_decoded_once_when_many_follow():
    chain, readers = growing(3), [Reader(room=1_000) for _ in range(20)]
    for number, reader in enumerate(readers):
        topic = ("blocks", "events", "flow", "transactions", "packet")[number % 5]
        await subscribe(chain, reader, topic)
        await reader.read_until(Kind.CAUGHT_UP)
    receipts = chain.store.receipts
    read: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(chain.store), "receipts", lambda store, height: read.append(height) or receipts(height))
        for _ in range(5):
            chain.grow()
            await settle()
    assert chain.hub.shelf.decoded == 5
    assert read == [4, 5, 6, 7, 8]
    assert [heights(reader.buffer) for reader in readers[::5]] == [[4, 5, 6, 7, 8]] * 4
    await chain.hub.stop()
    assert chain.hub.shelf._blocks == {}


async def test_long_history_leaves_the_loop_to_others_when_read():
    chain, reader = growing(recorded().height), Reader(room=10_000)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    await subscribe(chain, reader, "events", from_height=0)
    await reader.read_until(Kind.CAUGHT_UP)
    assert turns > recorded().height
    other.cancel()
    await chain.hub.stop()


async def test_cursor_moves_on_when_nothing_fits_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("node.rpc.subscriptions.PROGRESS_BLOCKS", 5)
    assert PROGRESS_BLOCKS <= 256
    chain, reader = growing(recorded().height), Reader()
    await subscribe(chain, reader, "flow", from_height=0, flow="00" * 32)
    told = await reader.read_until(Kind.CAUGHT_UP)
    steps = [note["cursor"]["height"] for note in told if note["kind"] == Kind.PROGRESS]
    assert steps == list(range(4, recorded().height + 1, 5))
    await chain.hub.stop()
