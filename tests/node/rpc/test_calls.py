"""The RPC over a real Unix socket: every method, bad parameters, hostile bodies."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.block import block_id, header_codec
from ledger.encoding import encode
from ledger.keys import key_text
from ledger.state_root import state_root
from ledger.transaction import MAX_TRANSACTION_BYTES
from node.mempool import MempoolLimits
from node.rpc.codes import number_of
from node.rpc.settings import RpcSettings
from tests.node.bare import Bare
from tests.node.cluster import SUPPLY
from tests.node.rpc_client import URL, Client, serve


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async for made in serve(Bare(), tmp_path / "rpc.sock"):
        yield made


# --- every method -----------------------------------------------------------------------------------------------------


async def test_chain_and_node_say_where_they_stand_when_asked(client: Client) -> None:
    await client.node.commit(client.node.pay())
    chain = client.node.chain
    info = await client.result("chain.info")
    assert (info["height"], info["block_id"]) == (1, chain.tip.block_id.hex())
    assert await client.result("node.status") == {"ready": True, "chain": info}
    assert await client.result("chain.state_hash") == {"height": 1, "hash": state_root(chain.store.state).hex()}
    assert (await client.result("chain.genesis"))["name"] == "test"
    contracts = await client.result("contract.list")
    assert {"issue", "destroy", "define"} <= set(next(c["methods"] for c in contracts if c["kind"] == "assets"))


async def test_block_is_the_same_by_height_and_by_id_when_asked_for(client: Client) -> None:
    transaction = client.node.pay()
    await client.node.commit(transaction)
    name = client.node.chain.tip.block_id.hex()
    block = await client.result("block.get", height=1)
    assert block == await client.result("block.get", block_id=name)
    assert (block["block_id"], block["transactions"]) == (name, [transaction.tx_id.hex()])
    assert [receipt["code"] for receipt in block["receipts"]] == ["ok", "ok"]
    assert block["certificate"]["height"] == 1
    assert (await client.result("block.get", height=0))["certificate"] is None
    header = await client.result("block.header", height=1)
    assert block_id(header_codec.decode(bytes.fromhex(header["header"]))).hex() == header["block_id"] == name


async def test_transaction_is_followed_from_submission_to_commit_when_asked(client: Client) -> None:
    transaction = client.node.pay()
    name = transaction.tx_id.hex()
    assert await client.result("tx.submit", transaction=transaction.wire.hex()) == {"tx_id": name}
    assert (await client.result("tx.outcome", tx_id=name))["status"] == "pending"
    waiting = asyncio.create_task(client.result("tx.wait", tx_id=name, timeout_ms=10_000))
    while not client.node.gateway._waiters:
        await asyncio.sleep(0)
    await client.node.commit()
    assert (await waiting)["status"] == "committed"
    found = await client.result("tx.get", tx_id=name)
    assert (found["transaction"], found["outcome"]["height"]) == (transaction.wire.hex(), 1)
    again = await client.result("tx.submit_and_wait", transaction=transaction.wire.hex(), timeout_ms=0)
    assert (again["status"], again["code"], again["height"]) == ("committed", "ok", 1)


async def test_who_waits_is_told_why_when_the_transaction_is_dropped(client: Client) -> None:
    transaction = client.node.pay(expiry=1)
    call = client.result("tx.submit_and_wait", transaction=transaction.wire.hex(), timeout_ms=60_000)
    waiting = asyncio.create_task(call)
    while transaction.tx_id not in client.node.mempool:
        await asyncio.sleep(0)
    await client.node.commit(client.node.pay(1))
    outcome = await asyncio.wait_for(waiting, 5)
    assert (outcome["status"], outcome["code"]) == ("unknown", "expired")


async def test_unspent_outputs_views_and_events_are_told_when_asked(client: Client) -> None:
    lock = f"key({key_text(client.node.cluster.members[0].member.public)})"
    unspent = (await client.result("utxo.list", lock=lock, asset="CNY", limit=3))["unspent"]
    assert [item["output"]["amount"] for item in unspent] == [SUPPLY // 10] * 3
    more = (await client.result("utxo.list", lock=lock, after=unspent[-1]["outpoint"]))["unspent"]
    assert len(more) == 7
    by_hex = await client.result("contract.view", contract="assets", view="asset", arguments=encode(("CNY",)).hex())
    by_name = await client.result("contract.view", contract="assets", view="asset", arguments={"asset": "CNY"})
    assert by_hex == by_name
    assert by_hex["document"]["supply"] == SUPPLY
    await client.node.commit(client.node.pay())
    events = await client.result("events.next", from_height=0, timeout_ms=0, limit=2)
    assert ([block["height"] for block in events["blocks"]], events["height"]) == ([0, 1], 1)
    assert await client.result("events.next", from_height=2, timeout_ms=1) == {
        "blocks": [],
        "height": 1,
        "next_height": 2,
    }
    assert await client.result("service.call", service="echo", payload="6869") == {"payload": b"echohi".hex()}


async def test_long_poll_answers_when_the_block_comes(client: Client) -> None:
    waiting = asyncio.create_task(client.result("events.next", from_height=1, timeout_ms=10_000))
    while not client.node.gateway._next_block._waiters:
        await asyncio.sleep(0)
    await client.node.commit(client.node.pay())
    assert [block["height"] for block in (await waiting)["blocks"]] == [1]


# --- bad parameters ---------------------------------------------------------------------------------------------------

INVALID_PARAMS, METHOD_NOT_FOUND, INVALID_REQUEST, PARSE_ERROR = -32_602, -32_601, -32_600, -32_700
BAD = [
    ("block.get", {}, "params_invalid"),
    ("block.get", {"height": 0, "block_id": "00" * 32}, "params_invalid"),
    ("block.get", {"height": -1}, "params_invalid"),
    ("block.get", {"height": True}, "params_invalid"),
    ("block.get", {"height": 1.0}, "params_invalid"),
    ("block.get", {"height": "1"}, "params_invalid"),
    ("block.get", {"height": 2**53 + 1}, "params_invalid"),
    ("block.get", {"height": 2**53}, "not_found"),
    ("block.get", {"height": 10**300}, "params_invalid"),
    ("block.get", {"block_id": "00" * 31}, "params_invalid"),
    ("block.get", {"block_id": "zz" * 32}, "params_invalid"),
    ("block.get", {"block_id": "００" * 32}, "params_invalid"),
    ("block.get", {"block_id": "00" * 32}, "not_found"),
    ("block.get", {"block_id": 5}, "params_invalid"),
    ("block.header", {"height": 5}, "not_found"),
    ("block.header", {"height": None}, "params_invalid"),
    ("tx.submit", {"transaction": ""}, "malformed"),
    ("tx.submit", {"transaction": "c1"}, "malformed"),
    ("tx.submit", {"transaction": [1]}, "params_invalid"),
    ("tx.submit", {"transaction": "0" * 3}, "params_invalid"),
    ("tx.submit", {"transaction": "00" * (MAX_TRANSACTION_BYTES + 1)}, "params_invalid"),
    ("tx.submit_and_wait", {"transaction": "c1", "timeout_ms": 0}, "malformed"),
    ("tx.outcome", {"tx_id": "00"}, "params_invalid"),
    ("tx.outcome", {"tx_id": {}}, "params_invalid"),
    ("tx.get", {"tx_id": "00" * 32}, "not_found"),
    ("tx.wait", {"tx_id": "00" * 32, "timeout_ms": 60_001}, "params_invalid"),
    ("tx.wait", {"tx_id": "00" * 32, "timeout_ms": -1}, "params_invalid"),
    ("utxo.list", {"lock": ""}, "params_invalid"),
    ("utxo.list", {"lock": "nonsense"}, "lock_invalid"),
    ("utxo.list", {"lock": "after(1)", "limit": 0}, "params_invalid"),
    ("utxo.list", {"lock": "after(1)", "limit": 1_001}, "params_invalid"),
    ("utxo.list", {"lock": "after(1)", "after": "00"}, "params_invalid"),
    ("utxo.list", {"lock": "after(1)", "asset": 5}, "params_invalid"),
    ("utxo.list", {"lock": "(" * 3_000}, "lock_invalid"),
    ("utxo.list", {"lock": "account(\ud800)"}, "name_invalid"),
    ("contract.view", {"contract": "nothing", "view": "x", "arguments": ""}, "not_found"),
    ("contract.view", {"contract": "assets", "view": "x", "arguments": {}}, "not_found"),
    ("contract.view", {"contract": "assets", "view": "issue", "arguments": ""}, "not_found"),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": ""}, "malformed"),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": {}}, "document_invalid"),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": {"asset": 5}}, "document_invalid"),
    (
        "contract.view",
        {"contract": "assets", "view": "asset", "arguments": {"asset": "CNY", "x": 1}},
        "document_invalid",
    ),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": None}, "params_invalid"),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": {"asset": "USD"}}, "not_found"),
    ("contract.view", {"contract": "assets", "view": "asset", "arguments": {"asset": "\ud800"}}, "document_invalid"),
    ("contract.view", {"contract": [], "view": "asset", "arguments": ""}, "params_invalid"),
    ("events.next", {"from_height": 0, "limit": 257}, "params_invalid"),
    ("events.next", {"from_height": -1}, "params_invalid"),
    ("service.call", {"service": "x", "payload": 5}, "params_invalid"),
]


@pytest.mark.parametrize(("method", "params", "code"), BAD, ids=lambda value: str(value)[:40])
async def test_call_is_refused_with_a_stable_code_when_its_parameters_are_bad(
    client: Client, method: str, params: dict[str, object], code: str
) -> None:
    assert await client.error(method, params) == (number_of(code), code)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nothing", {}, METHOD_NOT_FOUND),
        ("tx.submit", {}, INVALID_PARAMS),
        ("tx.submit", {"transaction": "00", "more": 1}, INVALID_PARAMS),
        ("chain.info", {"more": 1}, INVALID_PARAMS),
        ("block.header", [1, 2, 3], INVALID_PARAMS),
        ("__init__", {}, METHOD_NOT_FOUND),
    ],
)
async def test_call_is_refused_by_the_standard_when_it_does_not_fit_the_method(
    client: Client, method: str, params: object, code: int
) -> None:
    assert (await client.error(method, params))[0] == code


async def test_refusal_tells_code_family_and_facts_when_the_chain_refuses(client: Client) -> None:
    bad = client.node.pay(expiry=0)
    error = (await client.ask("tx.submit", {"transaction": bad.wire.hex()}))["error"]
    assert (error["data"]["code"], error["data"]["family"]) == ("expired", "invalid_input")
    await client.node.commit(client.node.pay())
    rival = client.node.pay(0, 6)
    error = (await client.ask("tx.submit", {"transaction": rival.wire.hex()}))["error"]
    assert error["data"]["outpoint"] == rival.body.inputs[0].hex()


async def test_overload_says_when_to_come_back_when_the_mempool_is_full(tmp_path: Path) -> None:
    async for client in serve(Bare(MempoolLimits(max_transactions=1)), tmp_path / "rpc.sock"):
        first, second = client.node.pay(0), client.node.pay(1)
        await client.result("tx.submit", transaction=first.wire.hex())
        error = (await client.ask("tx.submit", {"transaction": second.wire.hex()}))["error"]
        assert (error["data"]["code"], error["data"]["family"]) == ("overloaded", "overloaded")
        assert error["data"]["retry_after_ms"] > 0


async def test_internal_error_leaks_nothing_when_a_service_breaks(client: Client) -> None:
    status, body = await client.post(
        json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "service.call", "params": {"service": "broken", "payload": ""}}
        )
    )
    assert status == 200
    assert b"secret" not in body
    assert b"KeyError" not in body
    error = json.loads(body)["error"]
    assert (error["code"], error["data"]["code"]) == (-32_603, "internal_error")


# --- hostile bodies ---------------------------------------------------------------------------------------------------

_PREFIX = '{"jsonrpc":"2.0","id":1,"method":"chain.info"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        _PREFIX + ',"params":{"a":\xff}}',
        _PREFIX,
        _PREFIX + "} trailing",
        _PREFIX + ',"id":2}',
        _PREFIX + ',"params":{"a":1,"a":2}}',
        _PREFIX + ',"params":{"a":NaN}}',
        _PREFIX + ',"params":{"a":-Infinity}}',
        _PREFIX + ',"params":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}",
        _PREFIX + ',"params":{"a":' + "9" * 5_000 + "}}",
    ],
    ids=range(12),
)
async def test_body_is_a_parse_error_when_it_is_no_strict_json(client: Client, body: bytes | str) -> None:
    status, reply = await client.post(body if isinstance(body, bytes) else body.encode("latin-1"))
    assert status == 200
    assert json.loads(reply)["error"]["code"] == PARSE_ERROR
    assert (await client.result("chain.info"))["height"] == 0


@pytest.mark.parametrize(
    "body",
    ["1", '"x"', "null", "[]", "{}", '{"jsonrpc":"1.0","id":1,"method":"chain.info"}', '{"jsonrpc":"2.0","id":1}'],
)
async def test_body_is_an_invalid_request_when_it_is_no_call(client: Client, body: str) -> None:
    status, reply = await client.post(body)
    assert status == 200
    assert json.loads(reply)["error"]["code"] == INVALID_REQUEST


async def test_batch_answers_each_and_is_refused_when_it_is_too_long(client: Client) -> None:
    one = {"jsonrpc": "2.0", "method": "chain.info"}
    allowed = [{**one, "id": number} for number in range(RpcSettings().max_batch)]
    status, body = await client.post(json.dumps(allowed))
    assert status == 200
    assert [reply["id"] for reply in json.loads(body)] == list(range(RpcSettings().max_batch))
    status, body = await client.post(json.dumps([*allowed, {**one, "id": "more"}]))
    assert json.loads(body)["error"]["data"]["code"] == "batch_too_large"
    mixed = [{**one, "id": 1}, {"jsonrpc": "2.0", "id": 2, "method": "nothing"}]
    replies = json.loads((await client.post(json.dumps(mixed)))[1])
    assert ["error" in reply for reply in replies] == [False, True]


async def test_notification_gets_no_answer_when_it_has_no_id(client: Client) -> None:
    assert await client.post('{"jsonrpc":"2.0","method":"chain.info"}') == (204, b"")


async def test_body_is_refused_when_it_is_too_large(client: Client) -> None:
    body = b" " * (RpcSettings().max_body_bytes + 1)
    assert (await client.post(io.BytesIO(body)))[0] == 413
    assert (await client.post(io.BytesIO(body), "/v1/transactions"))[0] == 413
    assert (await client.result("chain.info"))["height"] == 0


async def test_other_paths_and_verbs_are_refused_when_tried(client: Client) -> None:
    assert (await client.post(b"{}", "/v2"))[0] == 404
    assert (await client.post(b"{}", "/../etc"))[0] == 404
    async with client.session.get(URL + "/") as reply:
        assert reply.status == 405
