"""Binary bulk submission over the RPC socket, and the socket itself: stale, foreign, bounded."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ledger.errors import InvalidConfig
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from node.mempool import MempoolLimits
from node.rpc.bulk import MAX_BULK_TRANSACTIONS
from tests.node.bare import Bare
from tests.node.rpc_client import URL, Client, serve


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async for made in serve(Bare(), tmp_path / "rpc.sock"):
        yield made


# --- bulk submission --------------------------------------------------------------------------------------------------


async def test_bulk_answers_in_order_when_some_are_bad(client: Client) -> None:
    good, rival, late = client.node.pay(0), client.node.pay(0, 6), client.node.pay(1, expiry=0)
    status, answers = await client.bulk([good.wire, b"\xc1", rival.wire, late.wire, good.wire])
    assert status == 200
    assert answers == [
        [good.tx_id, "pending", ""],
        [b"", "rejected", "malformed"],
        [b"", "rejected", "input_conflict"],
        [b"", "rejected", "expired"],
        [good.tx_id, "pending", ""],
    ]
    assert len(client.node.mempool) == 1


@pytest.mark.parametrize("submitted_before", [False, True])
async def test_bulk_waits_for_the_block_when_asked_to(client: Client, submitted_before: bool) -> None:
    sent = [client.node.pay(number) for number in range(3)]
    if submitted_before:
        for transaction in sent:
            await client.node.gateway.submit(transaction)
    waiting = asyncio.create_task(client.bulk([transaction.wire for transaction in sent], 10_000))
    while len(client.node.gateway._waiters) < 3 and not waiting.done():
        await asyncio.sleep(0)
    await client.node.commit()
    status, answers = await waiting
    assert (status, answers) == (200, [[transaction.tx_id, "committed", "ok"] for transaction in sent])
    assert client.node.gateway._waiters == {}


async def test_bulk_says_what_is_known_when_the_time_is_over(client: Client) -> None:
    await client.node.commit(done := client.node.pay(0))
    fresh = client.node.pay(1)
    assert await client.bulk([done.wire, fresh.wire], 1) == (
        200,
        [[done.tx_id, "committed", "ok"], [fresh.tx_id, "pending", ""]],
    )


async def test_bulk_is_taken_whole_when_more_wait_than_can_be_told(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.local.MAX_WAITERS", 1)
    sent = [client.node.pay(number) for number in range(3)]
    status, answers = await client.bulk([transaction.wire for transaction in sent], 1)
    assert (status, answers) == (200, [[transaction.tx_id, "pending", ""] for transaction in sent])


async def test_bulk_is_told_to_come_back_only_when_nothing_was_taken(tmp_path: Path) -> None:
    async for client in serve(Bare(MempoolLimits(max_transactions=1)), tmp_path / "rpc.sock"):
        sent = [client.node.pay(number).wire for number in range(4)]
        status, answers = await client.bulk(sent[:2])
        assert (status, [answer[1] for answer in answers]) == (200, ["pending", "overloaded"])
        async with client.session.post(
            URL + "/v1/transactions", data=b"".join(len(wire).to_bytes(4, "big") + wire for wire in sent[2:])
        ) as reply:
            assert reply.status == 503
            assert int(reply.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "body",
    [
        b"\x00",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x05abc",
        b"\x00\x00\x00\x01a\x00\x00",
        b"\xff\xff\xff\xff",
        (MAX_TRANSACTION_BYTES + 1).to_bytes(4, "big") + bytes(MAX_TRANSACTION_BYTES + 1),
        b"\x00\x00\x00\x01a" * (MAX_BULK_TRANSACTIONS + 1),
    ],
    ids=range(8),
)
async def test_bulk_is_refused_whole_when_its_lengths_are_wrong(client: Client, body: bytes) -> None:
    good = client.node.pay().wire
    status, _ = await client.post(len(good).to_bytes(4, "big") + good + body, "/v1/transactions")
    assert status == 400
    assert len(client.node.mempool) == 0


async def test_bulk_takes_nothing_and_says_so_when_it_is_empty(client: Client) -> None:
    assert await client.bulk([]) == (200, [])


async def test_bulk_is_refused_when_its_wait_is_no_number(client: Client) -> None:
    status, _ = await client.post(b"", "/v1/transactions?wait_ms=soon")
    assert status == 400


async def test_bulk_takes_as_many_as_allowed_when_all_come_at_once(client: Client) -> None:
    status, answers = await client.bulk([b"\xc1"] * MAX_BULK_TRANSACTIONS)
    assert (status, len(answers), {answer[1] for answer in answers}) == (200, MAX_BULK_TRANSACTIONS, {"rejected"})


# --- the socket -------------------------------------------------------------------------------------------------------


async def test_socket_is_for_owner_and_group_when_it_is_served(client: Client) -> None:
    mode = client.path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_stale_socket_is_replaced_when_its_process_died(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async for client in serve(Bare(), path):
        assert (await client.result("chain.info"))["height"] == 0


@pytest.mark.parametrize("what", ["file", "folder", "link"])
async def test_nothing_is_deleted_when_something_else_stands_at_the_sockets_path(tmp_path: Path, what: str) -> None:
    path = tmp_path / "rpc.sock"
    if what == "file":
        path.write_text("precious")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    client = Client(Bare(), path)
    with pytest.raises(InvalidConfig):
        await client.server.start()
    await client.server.stop()
    await client.session.close()
    assert path.is_symlink() or path.exists()


async def test_requests_are_bounded_when_too_many_are_served_at_once(client: Client) -> None:
    client.server.places.total = 2
    name = "00" * 32
    waiting = [asyncio.create_task(client.ask("tx.wait", {"tx_id": name, "timeout_ms": 20_000})) for _ in range(2)]
    while len(client.node.gateway._waiters.get(bytes(32), ())) < 2:
        await asyncio.sleep(0)
    async with client.session.post(URL, data="{}") as reply:
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) > 0
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    while client.server.places.taken:
        await asyncio.sleep(0)
    assert (await client.result("chain.info"))["height"] == 0
    assert client.node.gateway._waiters == {}


@pytest.mark.parametrize("spell", [str.upper, lambda text: f" {text}", lambda text: f"{text[:2]} {text[2:]}"])
async def test_hex_is_refused_when_it_is_not_spelled_the_one_way(client: Client, spell: Callable[[str], str]) -> None:
    transaction = client.node.pay()
    text = spell(transaction.wire.hex())
    assert (await client.error("tx.submit", {"transaction": text}))[1] == "params_invalid"
    assert len(client.node.mempool) == 0
    answer = await client.result("tx.submit", transaction=transaction.wire.hex())
    assert answer["tx_id"] == transaction.tx_id.hex() == Transaction.decode(transaction.wire).tx_id.hex()
