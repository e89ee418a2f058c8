"""The client against a small server on a real Unix socket: answers, errors, retries, and event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.accounts import OpenArguments
from contracts.assets import AssetArguments, AssetRecord
from ledger.encoding import encode
from ledger.errors import (
    InvalidInput,
    LocalMisuse,
    NotFound,
    Overloaded,
    PeerMisbehaved,
    RemoteFault,
    RpcUnavailable,
    StorageFault,
    TidegateError,
)
from ledger.transaction import MAX_TRANSACTION_BYTES, VERSION, Body, Call, Transaction, build
from node.client import Client, bulk, lookups, retry_after_s
from node.client_errors import rebuild_error
from tests.node.services.fake_rpc import DROP, FakeRpc
from tests.node.services.members import B, C, Members, members


class Stage:
    """A world, its server, and a client of it."""

    def __init__(self, world: Members, rpc: FakeRpc, path: Path) -> None:
        self.world, self.rpc, self.path = world, rpc, path

    def client(self, **options: int) -> Client:
        return Client(self.path, **options)

    def open_account(self, name: str, organisation: str = B) -> Transaction:
        key = self.world.keys[organisation]
        info = self.world.chain
        call = Call("accounts", "open", encode(OpenArguments(name, f"key(ed25519:{key.public[1:].hex()})")))
        nonce = name.encode().ljust(16, b"\x00")[:16]
        body = Body(VERSION, info.rules.chain_id, key.public, info.height + 50, nonce, (), (), (call,), (), b"")
        return build(body, (key,))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    world = members()
    rpc = FakeRpc(world.chain)
    path = tmp_path / "rpc.sock"
    runner = await rpc.start(path)
    yield Stage(world, rpc, path)
    await runner.cleanup()


async def test_info_and_genesis_are_the_chains_when_asked(stage: Stage):
    async with stage.client() as client:
        assert await client.info() == await stage.rpc.gateway.info()
        assert (await client.genesis()).hash == stage.world.chain.genesis.hash
        assert (await client.status())["name"] == "fake"


async def test_outcome_is_committed_when_submitted_and_waited_for(stage: Stage):
    transaction = stage.open_account("new")
    async with stage.client() as client:
        outcome = await client.submit_and_wait(transaction)
        assert (outcome.status, outcome.code, outcome.height) == ("committed", "ok", 1)
        assert await client.outcome(transaction.tx_id) == outcome
        assert await client.wait(transaction.tx_id, 1) == outcome
        assert (await client.transaction(transaction.tx_id)).wire == transaction.wire
        assert await client.submit(transaction) == transaction.tx_id


async def test_refusal_is_an_outcome_when_the_block_refuses(stage: Stage):
    async with stage.client() as client:
        await client.submit_and_wait(stage.open_account("twice"))
        again = stage.open_account("twice", C)
        outcome = await client.submit_and_wait(again)
    assert (outcome.status, outcome.code) == ("refused", "account_exists")


async def test_views_and_unspent_outputs_decode_when_read(stage: Stage):
    async with stage.client() as client:
        asset = await client.view("assets", "asset", AssetArguments("CNY"), AssetRecord)
        assert (asset.asset, asset.scale) == ("CNY", 2)
        found = await client.unspent("account(C cash)", asset="CNY")
        assert [item.output.amount for item in found] == [asset.supply]
        assert await client.unspent("account(C cash)", after=found[0].outpoint) == []  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            await client.view("assets", "asset", AssetArguments("XXX"), AssetRecord)


async def test_headers_are_checked_when_given(stage: Stage):
    async with stage.client() as client:
        header, name = await client.header(0)
        assert header.height == 0
        stage.rpc.plan("block.header", {"block_id": "00" * 32, "header": encode(header).hex()})
        with pytest.raises(PeerMisbehaved):
            await client.header(0)
        stage.rpc.plan("block.header", {"block_id": name.hex(), "header": encode(header).hex()})
        with pytest.raises(PeerMisbehaved):
            await client.header(3)


async def test_another_transaction_is_refused_when_it_hashes_differently(stage: Stage):
    one, other = stage.open_account("one"), stage.open_account("other")
    stage.rpc.plan("tx.get", {"transaction": other.wire.hex()})
    async with stage.client() as client:
        with pytest.raises(PeerMisbehaved):
            await client.transaction(one.tx_id)


async def test_block_takes_one_of_height_and_id(stage: Stage):
    async with stage.client() as client:
        by_height = await client.block(height=0)
        assert await client.block(block_id=bytes.fromhex(by_height["block_id"])) == by_height
        with pytest.raises(LocalMisuse):
            await client.block()
        with pytest.raises(LocalMisuse):
            await client.block(height=0, block_id=bytes(32))


async def test_unavailable_when_there_is_no_socket(tmp_path: Path):
    async with Client(tmp_path / "none.sock") as client:
        with pytest.raises(RpcUnavailable) as caught:
            await client.info()
        assert caught.value.data["sent"] is False
        transaction = Stage(members(), None, tmp_path).open_account("x")  # type: ignore[arg-type]
        with pytest.raises(RpcUnavailable):
            await client.submit_and_wait(transaction, 5)


async def test_services_answer_when_called(stage: Stage):
    stage.rpc.services["sales"] = lambda payload: payload[::-1]
    async with stage.client() as client:
        assert await client.service("sales", b"abc") == b"cba"
        with pytest.raises(NotFound) as caught:
            await client.service("nothing", b"")
    assert caught.value.code == "service_unknown"


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"code": "overloaded", "family": "overloaded", "retry_after_ms": 5}, Overloaded),
        ({"code": "organisation_quota", "family": "overloaded"}, Overloaded),
        ({"code": "not_found", "family": "not_found"}, NotFound),
        ({"code": "commission_zero", "family": "invalid_input"}, InvalidInput),
        ({"code": "storage_fault", "family": "fatal"}, StorageFault),
        ({"code": "peer_gone_somehow", "family": "remote_fault"}, RemoteFault),
        ({"code": "new_thing", "family": "family of the future"}, TidegateError),
        ({"code": "storage_fault", "family": "invalid_input"}, InvalidInput),
    ],
)
def test_error_has_its_class_when_rebuilt(data: dict[str, object], kind: type[TidegateError]):
    error = rebuild_error({"code": -32000, "message": "words", "data": data})
    assert type(error) is kind
    assert (error.code, error.message) == (data["code"], "words")
    assert error.data.get("retry_after_ms") == data.get("retry_after_ms")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"code": -32601, "message": "no such method"}, "request_invalid"),
        ({"code": -32603}, "rpc_failed"),
        ({"code": -32000, "data": "text"}, "rpc_failed"),
        ({"code": -32000, "data": {"code": 7}}, "rpc_failed"),
        ({}, "rpc_failed"),
    ],
)
def test_error_is_understood_when_it_is_not_ours(document: dict[str, object], code: str):
    assert rebuild_error(document).code == code


async def test_typed_error_is_caught_when_raised_remotely(stage: Stage):
    stage.rpc.plan("tx.submit", Overloaded("full", retry_after_ms=123))
    async with stage.client() as client:
        with pytest.raises(Overloaded) as caught:
            await client.submit(stage.open_account("x"))
    assert caught.value.data["retry_after_ms"] == 123
    assert retry_after_s(caught.value) == 0.123


@pytest.mark.parametrize("answer", [[], {"tx_id": 5}, {"tx_id": "zz"}, "text", {"tx_id": "00" * 32, "status": "x"}])
async def test_remote_fault_when_the_answer_is_malformed(stage: Stage, answer: object):
    stage.rpc.plan("tx.outcome", answer)
    async with stage.client() as client:
        with pytest.raises(RemoteFault):
            await client.outcome(bytes(32))


# --- retries ---------------------------------------------------------------------------------------------------------


async def test_submission_is_repeated_when_overloaded_and_asked_to(stage: Stage):
    full = Overloaded("full", retry_after_ms=10)
    stage.rpc.plan("tx.submit", full, full, None)
    async with stage.client(overload_retries=2) as client:
        await client.submit(stage.open_account("x"))
        stage.rpc.plan("tx.submit_and_wait", full, full, None)
        assert (await client.submit_and_wait(stage.open_account("y"))).status == "committed"
        stage.rpc.plan("tx.submit_and_wait", full, full, full)
        with pytest.raises(Overloaded):
            await client.submit_and_wait(stage.open_account("z"))


async def test_same_transaction_is_handed_in_again_when_the_answer_was_lost(stage: Stage):
    stage.rpc.plan("tx.submit_and_wait", DROP, None)
    transaction = stage.open_account("lost answer")
    async with stage.client() as client:
        outcome = await client.submit_and_wait(transaction)
    assert (outcome.status, outcome.height) == ("committed", 1)
    sent = [params["transaction"] for method, params in stage.rpc.calls if method == "tx.submit_and_wait"]
    assert sent == [transaction.wire.hex()] * 2
    assert stage.world.chain.height == 1


async def test_third_answer_when_the_deadline_passes(stage: Stage):
    stage.world.chain.hold = True
    async with stage.client() as client:
        outcome = await client.submit_and_wait(stage.open_account("slow"), 0.2)
    assert (outcome.status, outcome.height) == ("pending", 0)


async def test_third_answer_when_the_daemon_goes_away_meanwhile(stage: Stage):
    stage.rpc.plan("tx.submit_and_wait", *[DROP] * 50)
    async with stage.client() as client:
        outcome = await client.submit_and_wait(stage.open_account("gone"), 0.3)
    assert outcome.status == "unknown"


async def test_refusal_is_raised_when_the_node_refuses(stage: Stage):
    stage.rpc.plan("tx.submit_and_wait", InvalidInput("expired", code="expired"))
    async with stage.client() as client:
        with pytest.raises(InvalidInput) as caught:
            await client.submit_and_wait(stage.open_account("x"))
    assert caught.value.code == "expired"


# --- bulk ------------------------------------------------------------------------------------------------------------


async def test_many_are_submitted_when_split_into_requests(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk, "MAX_BULK_TRANSACTIONS", 3)
    transactions = [stage.open_account(f"account {i}") for i in range(7)]
    async with stage.client() as client:
        answers = await client.submit_many([t.wire for t in transactions], 1_000)
    assert [a.tx_id for a in answers] == [t.tx_id for t in transactions]
    assert {(a.status, a.code) for a in answers} == {("committed", "ok")}
    assert [params["count"] for method, params in stage.rpc.calls if method == "bulk"] == [3, 3, 1]


async def test_nothing_was_taken_when_the_first_request_is_overloaded(stage: Stage):
    stage.rpc.plan("bulk", "503")
    async with stage.client() as client:
        with pytest.raises(Overloaded) as caught:
            await client.submit_many([stage.open_account("x").wire])
        assert caught.value.data["retry_after_ms"] == 10


async def test_rest_is_overloaded_when_a_later_request_is(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk, "MAX_BULK_TRANSACTIONS", 1)
    stage.rpc.plan("bulk", None, "503")
    async with stage.client() as client:
        answers = await client.submit_many([stage.open_account(name).wire for name in "xy"])
    assert [a.status for a in answers] == ["committed", "overloaded"]


async def test_misuse_when_a_transaction_is_too_long(stage: Stage):
    async with stage.client() as client:
        assert await client.submit_many([]) == []
        with pytest.raises(LocalMisuse):
            await client.submit_many([bytes(MAX_TRANSACTION_BYTES + 1)])


# --- events ----------------------------------------------------------------------------------------------------------


async def test_events_come_once_and_in_order_when_polls_break(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lookups, "EVENTS_PAGE", 2)
    stage.rpc.plan("events.next", None, DROP, None, DROP, DROP, None)
    for _ in range(5):
        await stage.world.chain.make_block()
    heights = []
    async with stage.client() as client, asyncio.timeout(10):
        async for block in client.events(1):
            heights.append(block.height)
            if block.height == 5:
                await stage.world.chain.make_block()
            if block.height == 6:
                break
    assert heights == [1, 2, 3, 4, 5, 6]


async def test_events_do_not_repeat_when_the_node_does(stage: Stage):
    for _ in range(3):
        await stage.world.chain.make_block()
    repeated = await stage.rpc.events_next(0, 0)
    stage.rpc.plan("events.next", None, repeated)
    heights = []
    async with stage.client() as client, asyncio.timeout(10):
        async for block in client.events(1):
            heights.append(block.height)
            if block.height == 3 and len(stage.rpc.calls) < 2:
                await stage.world.chain.make_block()
            if block.height == 4:
                break
    assert heights == [1, 2, 3, 4]


async def test_fault_when_the_node_leaves_a_block_out(stage: Stage):
    for _ in range(3):
        await stage.world.chain.make_block()
    page = await stage.rpc.events_next(1, 0)
    stage.rpc.plan("events.next", {"blocks": [page["blocks"][0], page["blocks"][2]], "height": 3})
    async with stage.client() as client:
        with pytest.raises(PeerMisbehaved):
            async for _ in client.events(1):
                pass


async def test_unavailable_when_the_daemon_stays_away(tmp_path: Path):
    async with Client(tmp_path / "none.sock", reconnect_s=0.2) as client:
        with pytest.raises(RpcUnavailable):
            async for _ in client.events(0):
                pass


def test_client_imports_neither_daemon_nor_store():
    import subprocess
    import sys

    script = (
        "import sys, node.client; "
        "bad = [m for m in ('libp2p', 'plyvel', 'pydantic', 'trio', 'uvloop', 'pjrpc') if m in sys.modules]; "
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
