"""Bounds: connections, slow and silent senders, bodies, batches, budgets, places."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from ledger.errors import Overloaded
from node.rpc import dispatch, listening, server
from node.rpc.limits import MAX_BUDGETS, Budgets, Places
from node.rpc.method import Scope
from node.rpc.settings import RpcSettings
from tests.node.bare import Bare
from tests.node.rpc.gate import JSON, Gate, code_of, gate
from tests.node.rpc.test_tls import secured
from tests.node.rpc_client import serve

CALL = '{"jsonrpc":"2.0","id":1,"method":"chain.info"}'
PATIENCE_S = 60.0


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gate(tmp_path) as made:
        yield made


# --- connections ------------------------------------------------------------------------------------------------------


async def test_connection_is_told_to_come_back_and_the_operator_comes_in_when_there_are_too_many(
    tmp_path: Path,
) -> None:
    async with gate(tmp_path, max_connections=8) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(7)]
        while door.client.server.connections < 7:
            await asyncio.sleep(0)
        answer = await door.raw(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(CALL)}\r\n\r\n".encode())
        assert answer == b"" or (b" 503 " in answer.split(b"\r\n")[0] and b"Retry-After" in answer)
        assert (await door.client.result("chain.info"))["height"] == 0
        for _, writer in held:
            writer.close()
        while door.client.server.connections > 1:
            await asyncio.sleep(0)
        assert (await door.ask("chain.info"))[0] == 200


async def test_connection_is_cut_off_when_it_says_nothing_or_never_ends_its_header(
    door: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "HEADER_S", 0.0)
    for begun in (b"", b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):
        assert await asyncio.wait_for(door.raw(begun), PATIENCE_S) == b""


async def test_connection_is_kept_when_it_has_spoken(door: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await door.ask("chain.info"))[0] == 200
    monkeypatch.setattr(listening, "HEADER_S", 0.0)
    door.client.server._listeners.sweep()  # type: ignore[union-attr]
    assert (await door.ask("chain.info"))[0] == 200


async def test_handshake_counts_as_a_connection_when_a_client_never_begins_it(tmp_path: Path) -> None:
    async with secured(tmp_path, max_connections=2) as (door, _):
        held = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(2)]
        while door.client.server.connections < 2:
            await asyncio.sleep(0)
        assert await asyncio.wait_for(door.raw(b""), PATIENCE_S) == b""
        assert door.client.server.connections == 2
        for _, writer in held:
            writer.close()


async def test_body_is_given_up_when_it_does_not_arrive(door: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.01)
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    token = door.tokens[Scope.READ]
    answer = await asyncio.wait_for(door.raw(f"{head}Authorization: Bearer {token}\r\n\r\n{{".encode()), PATIENCE_S)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"body_slow" in answer
    assert door.client.server.places.taken == 0


# --- bodies -----------------------------------------------------------------------------------------------------------


async def test_body_is_refused_when_it_is_larger_than_configured(tmp_path: Path) -> None:
    async with gate(tmp_path, max_body_bytes=4_096) as door:
        status, answer, _ = await door.post(b" " * 5_000, {**JSON, **door.bearer()})
        assert (status, code_of(answer)) == (413, "body_too_large")


async def test_body_is_not_unpacked_when_it_says_that_it_is_packed(door: Gate) -> None:
    bomb = zlib.compress(b" " * 1_000_000 + CALL.encode())
    headers = {**JSON, **door.bearer(), "Content-Encoding": "deflate"}
    _, answer, _ = await door.post(bomb, headers)
    assert code_of(answer) == "json_invalid"


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_batch_is_cut_short_when_its_answers_grow_too_large(door: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MAX_BATCH_ANSWER_BYTES", 3_000)
    batch = [{"jsonrpc": "2.0", "id": number, "method": "chain.genesis"} for number in range(50)]
    _, answers, _ = await door.post(json.dumps(batch), {**JSON, **door.bearer()})
    codes = ["ok" if "result" in answer else code_of(answer) for answer in answers]
    assert codes[0] == "ok"
    assert codes[-1] == "result_too_large"
    assert [answer["id"] for answer in answers] == list(range(50))


async def test_batch_is_cut_short_when_it_takes_too_long(door: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "BATCH_TIME_S", -1.0)
    batch = [{"jsonrpc": "2.0", "id": number, "method": "chain.info"} for number in range(2)]
    _, answers, _ = await door.post(json.dumps(batch), {**JSON, **door.bearer()})
    assert [code_of(answer) for answer in answers] == ["batch_too_slow"] * 2
    assert answers[0]["error"]["data"]["retry_after_ms"] > 0


async def test_batch_answers_each_by_the_standard_when_some_are_no_requests(door: Gate) -> None:
    call = {"jsonrpc": "2.0", "method": "chain.info"}
    batch = [{**call, "id": 1}, 1, {**call, "id": None}, call, {"id": "x"}, {**call, "id": 1}]
    _, answers, _ = await door.post(json.dumps(batch), {**JSON, **door.bearer()})
    assert [(answer["id"], "result" in answer) for answer in answers] == [
        (1, True),
        (None, False),
        (None, True),
        ("x", False),
        (1, True),
    ]
    status, _, _ = await door.post(json.dumps([call, call]), {**JSON, **door.bearer()})
    assert status == 204


# --- budgets ----------------------------------------------------------------------------------------------------------


async def test_client_is_told_when_to_come_back_and_others_go_on_when_its_budget_is_spent(tmp_path: Path) -> None:
    async with gate(tmp_path, cost_per_second=1, cost_burst=250) as door:
        assert "result" in (await door.ask("chain.state_hash", scope=Scope.READ))[1]
        _, answer, _ = await door.ask("chain.state_hash", scope=Scope.READ)
        assert code_of(answer) == "overloaded"
        assert answer["error"]["data"]["family"] == "overloaded"
        assert 1_000 < answer["error"]["data"]["retry_after_ms"] <= 250_000
        assert "result" in (await door.ask("chain.info", scope=Scope.SUBMIT))[1]


async def test_batch_spends_the_same_when_its_calls_are_sent_together(tmp_path: Path) -> None:
    async with gate(tmp_path, cost_per_second=1, cost_burst=50) as door:
        batch = [{"jsonrpc": "2.0", "id": number, "method": "node.status"} for number in range(20)]
        _, answers, _ = await door.post(json.dumps(batch), {**JSON, **door.bearer()})
        assert sum("result" in answer for answer in answers) == 10


def test_budget_fills_evenly_when_time_goes_by() -> None:
    now = [0.0]
    budgets = Budgets(10, 100, lambda: now[0])
    assert budgets.take("a", 100) == 0
    assert budgets.take("a", 5) == pytest.approx(0.5)
    assert budgets.take("b", 100) == 0
    now[0] = 0.5
    assert budgets.take("a", 5) == 0
    now[0] = 1e6
    assert budgets.take("a", 1_000) == 0
    assert budgets.take("a", 1) > 0
    with pytest.raises(Overloaded) as caught:
        budgets.charge("a", 1)
    assert caught.value.data["retry_after_ms"] > 0


def test_budgets_are_bounded_when_names_never_end() -> None:
    budgets = Budgets(1, 1)
    for number in range(MAX_BUDGETS + 100):
        budgets.take(str(number), 1)
    assert len(budgets._buckets) == MAX_BUDGETS


# --- places -----------------------------------------------------------------------------------------------------------


async def test_one_client_leaves_half_of_the_places_to_others_when_it_waits_for_ever(tmp_path: Path) -> None:
    async with gate(tmp_path, max_in_flight=4) as door:
        wait = {"tx_id": "00" * 32, "timeout_ms": 60_000}
        waiting = [asyncio.create_task(door.ask("tx.wait", wait, scope=Scope.READ)) for _ in range(2)]
        while door.client.server.places.taken < 2:
            await asyncio.sleep(0)
        status, answer, headers = await door.ask("chain.info", scope=Scope.READ)
        assert (status, code_of(answer), headers["Retry-After"]) == (503, "overloaded", "1")
        assert (await door.ask("chain.info", scope=Scope.SUBMIT))[0] == 200
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        while door.client.server.places.taken:
            await asyncio.sleep(0)
        assert (await door.ask("chain.info", scope=Scope.READ))[0] == 200


def test_places_are_given_back_when_clients_leave() -> None:
    places = Places(4)
    assert [places.enter("a", trusted=False) for _ in range(3)] == [True, True, False]
    assert [places.enter("b", trusted=True) for _ in range(3)] == [True, True, False]
    for name in ("a", "a", "b", "b"):
        places.leave(name)
    assert (places.taken, places._by_client) == (0, {})


async def test_one_client_leaves_half_of_the_connections_to_others_when_it_opens_websockets(tmp_path: Path) -> None:
    async with gate(tmp_path, max_connections=8) as door:
        held = [await door.websocket(Scope.READ) for _ in range(4)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await door.websocket(Scope.READ)
        assert caught.value.status == 503
        async with door.websocket(Scope.SUBMIT):
            pass
        for each in held:
            await each.close()


# --- what is said about a request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "kept"), [("order-7.a_b:c", True), ("x" * 65, False), ("two words", False)])
async def test_request_id_comes_back_when_it_has_the_form_of_one(door: Gate, given: str, kept: bool) -> None:
    _, _, headers = await door.ask("chain.info", **{"X-Request-Id": given})
    assert (headers["X-Request-Id"] == given) is kept
    assert headers["X-Request-Id"]


async def test_pages_are_as_short_as_configured_and_say_where_to_go_on_when_more_is_asked(tmp_path: Path) -> None:
    settings = RpcSettings(max_page=2)
    async for client in serve(Bare(), tmp_path / "rpc.sock", settings):
        for number in range(3):
            await client.node.commit(client.node.pay(number))
        page = await client.result("block.list", from_height=0, limit=1_000)
        assert ([block["height"] for block in page["blocks"]], page["next_height"]) == ([0, 1], 2)
        page = await client.result("block.list", from_height=2)
        assert ([block["height"] for block in page["blocks"]], page["next_height"]) == ([2, 3], None)
        lock = client.node.chain.genesis.assets[0].supply[0].lock
        seen: list[str] = []
        after: dict[str, str] = {}
        while True:
            found = await client.result("utxo.list", lock=lock, limit=1_000, **after)
            assert len(found["unspent"]) <= 2
            seen += [item["outpoint"] for item in found["unspent"]]
            if found["next"] is None:
                break
            after = {"after": found["next"]}
        assert len(set(seen)) == len(seen) >= 9
