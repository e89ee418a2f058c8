"""Preparing transactions: what a node gives is compared with what the client made, and nothing else is ever signed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.msgpack import decode
from msgspec.structs import replace

from contracts.accounts import OpenArguments
from ledger.encoding import encode
from ledger.errors import InvalidInput, LocalMisuse, PeerMisbehaved
from ledger.keys import key_text
from ledger.transaction import Body, Output, body_id, build
from node.client import Client, NewCall
from node.client.preparing import check_prepared, new_body
from tests.node.client.conftest import Serve
from tests.node.client.stage import Node
from tests.node.cluster import Cluster


async def grown() -> Node:
    node = Node(Cluster(4, checkpoint_interval=4))
    await node.grow(3)
    return node


def lock(node: Node) -> str:
    return f"key({key_text(node.cluster.members[0].member.public)})"


@pytest.mark.parametrize("form", ["record", "bytes", "document"])
async def test_a_call_is_prepared_signed_and_committed_when_its_arguments_have_any_form(serve: Serve, form: str):
    node = await grown()
    key = node.cluster.members[0].member
    record = OpenArguments("cash", lock(node))
    arguments: Any = {"record": record, "bytes": encode(record), "document": {"name": "cash", "lock": lock(node)}}[form]
    async with node.working(), Client(await serve(node), genesis=node.genesis) as client:
        body = await client.prepare(key.public, calls=[NewCall("accounts", "open", arguments)], memo=b"first")
        assert body.expiry_height == 3 + node.genesis.parameters.expiry_window // 2
        assert body.calls[0].arguments == encode(record)
        outcome = await client.submit_and_wait(build(body, [key]))
        assert (outcome.status, outcome.code) == ("committed", "ok")


async def test_a_payment_is_prepared_when_it_has_inputs_cosigners_and_hashes(serve: Serve):
    node = await grown()
    owner, other = (member.member for member in node.cluster.members[:2])
    async with Client(await serve(node), genesis=node.genesis) as client:
        body = await client.prepare(
            owner.public,
            inputs=[node.cluster.genesis_output(0)],
            outputs=[Output("CNY", 100_000, lock(node))],
            cosigners=[other.public, owner.public],
            preimage_hashes=[b"\x02" * 32, b"\x01" * 32],
            lifetime_blocks=9,
            nonce=b"n" * 16,
        )
    assert body.cosigners == (bytes(other.public),)
    assert body.preimage_hashes == (b"\x01" * 32, b"\x02" * 32)
    assert (body.expiry_height, body.nonce) == (12, b"n" * 16)


CHANGES: dict[str, Any] = {
    "chain_id": b"\x01" * 32,
    "sender": b"\x01" + b"\x07" * 32,
    "expiry_height": 9_999,
    "nonce": b"x" * 16,
    "inputs": (b"\x01" * 36,),
    "outputs": (Output("CNY", 1, "key(ed25519:" + "11" * 32 + ")"),),
    "memo": b"changed",
    "cosigners": (b"\x01" + b"\x09" * 32,),
    "preimage_hashes": (b"\x01" * 32,),
    "calls": (),
}


@pytest.mark.parametrize("field", sorted(CHANGES))
async def test_nothing_is_signed_when_the_node_prepared_something_else(serve: Serve, field: str):
    node = await grown()
    key = node.cluster.members[0].member

    def lie(params: Any, answer: Any) -> Any:
        del params
        body = replace(decode(bytes.fromhex(answer["body"]), type=Body), **{field: CHANGES[field]})
        data = encode(body)
        return {**answer, "body": data.hex(), "tx_id": body_id(body.chain_id, data).hex()}

    node.lies["tx.prepare"] = lie
    async with Client(await serve(node), genesis=node.genesis) as client:
        call = NewCall("accounts", "open", OpenArguments("cash", lock(node)))
        with pytest.raises(PeerMisbehaved) as found:
            await client.prepare(key.public, calls=[call])
    assert (found.value.code, found.value.data["field"]) == ("prepare_differs", field)


async def test_nothing_is_signed_when_only_the_digest_is_another(serve: Serve):
    node = await grown()
    node.lies["tx.prepare"] = lambda _, answer: {**answer, "tx_id": "00" * 32}
    async with Client(await serve(node), genesis=node.genesis) as client:
        with pytest.raises(PeerMisbehaved) as found:
            await client.prepare(node.cluster.members[0].member.public)
    assert found.value.data["field"] == "tx_id"


async def test_nothing_is_signed_when_the_bytes_are_no_transaction(serve: Serve):
    node = await grown()
    node.lies["tx.prepare"] = lambda _, answer: {**answer, "body": "c0"}
    async with Client(await serve(node), genesis=node.genesis) as client:
        with pytest.raises(PeerMisbehaved) as found:
            await client.prepare(node.cluster.members[0].member.public)
    assert found.value.data["field"] == "body"


async def test_a_client_without_genesis_prepares_nothing(serve: Serve):
    node = await grown()
    async with Client(await serve(node)) as client:
        with pytest.raises(LocalMisuse):
            await client.prepare(node.cluster.members[0].member.public)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (NewCall("nowhere", "open", b""), "contract_unknown"),
        (NewCall("accounts", "close", b""), "method_unknown"),
        (NewCall("accounts", "open", {"name": "x"}), "document_invalid"),
        (NewCall("accounts", "open", b"\xc0"), "malformed"),
    ],
)
async def test_a_call_is_refused_before_any_node_is_asked_when_it_is_not_the_chains(call: NewCall, code: str):
    node = await grown()
    with pytest.raises(InvalidInput) as found:
        new_body(node.genesis, b"\x01" * 33, expiry_height=5, nonce=bytes(16), calls=[call])
    assert found.value.code == code


async def test_a_body_is_refused_when_its_nonce_is_short():
    node = await grown()
    with pytest.raises(LocalMisuse):
        new_body(node.genesis, b"\x01" * 33, expiry_height=5, nonce=b"")


async def test_a_prepared_body_passes_when_it_is_the_same():
    node = await grown()
    body = new_body(node.genesis, bytes(node.cluster.members[0].member.public), expiry_height=5, nonce=bytes(16))
    check_prepared(body, encode(body), body_id(body.chain_id, encode(body)))
