"""``tx.prepare`` and ``tx.assemble``: all that a client needs is Ed25519, SHA-256 and JSON."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.keys import SigningKey, key_text
from ledger.transaction import Transaction
from node.rpc.methods_prepare import EXAMPLE_KEY, PrepareMethods, PrepareParams
from tests.node.bare import Bare
from tests.node.rpc_client import Client, serve


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async for made in serve(Bare(), tmp_path / "rpc.sock"):
        yield made


def member(client: Client) -> SigningKey:
    return client.node.cluster.members[0].member


def recomputed(prepared: dict[str, Any]) -> str:
    """The transaction id, as docs/rpc.md says."""
    tag, chain, body = b"tidegate/tx", bytes.fromhex(prepared["chain_id"]), bytes.fromhex(prepared["body"])
    parts = (bytes([len(tag)]), tag, bytes([len(chain)]), chain, len(body).to_bytes(4, "big"), body)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def sign(prepared: dict[str, Any], *keys: SigningKey) -> list[dict[str, str]]:
    name = bytes.fromhex(prepared["tx_id"])
    return [{"key": key_text(key.public), "signature": key.sign(name)[1:].hex()} for key in keys]


async def prepare(client: Client, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = await client.result("tx.prepare", sender=key_text(member(client).public), **more)
    return found


def payment(client: Client, number: int = 0) -> dict[str, Any]:
    """Spends an output of the genesis file to itself."""
    outpoint = client.node.cluster.genesis_output(0, number)
    lock = client.node.chain.genesis.assets[0].supply[0].lock
    amount = client.node.chain.genesis.assets[0].supply[0].amount
    return {"inputs": [outpoint.hex()], "outputs": [{"asset": "CNY", "amount": amount, "lock": lock}]}


async def test_transaction_is_committed_when_it_was_prepared_signed_and_assembled(client: Client) -> None:
    prepared = await prepare(client, **payment(client))
    assert recomputed(prepared) == prepared["tx_id"]
    assert prepared["signers"] == [key_text(member(client).public)]
    whole = await client.result("tx.assemble", body=prepared["body"], signatures=sign(prepared, member(client)))
    assert whole["tx_id"] == prepared["tx_id"]
    assert await client.result("tx.submit", transaction=whole["transaction"]) == {"tx_id": prepared["tx_id"]}
    await client.node.commit()
    assert (await client.result("tx.outcome", tx_id=prepared["tx_id"]))["code"] == "ok"


async def test_what_was_left_out_is_filled_in_when_prepared(client: Client) -> None:
    first, second = await prepare(client), await prepare(client)
    assert first["nonce"] != second["nonce"]
    window = client.node.chain.parameters.expiry_window
    assert first["expiry_height"] == window // 2
    assert first["document"]["memo"] == ""
    same = {"nonce": first["nonce"], "expiry_height": first["expiry_height"]}
    assert (await prepare(client, **same))["body"] == first["body"]


async def test_call_is_encoded_from_a_document_or_from_hex_when_prepared(client: Client) -> None:
    fixed = {"nonce": "01" * 16, "expiry_height": 9}
    arguments = {"asset": "CNY", "amount": 5}
    call = {"contract": "assets", "method": "issue", "arguments": arguments}
    described = await client.result("contract.describe", contract="assets")
    schema = next(method for method in described["methods"] if method["name"] == "issue")["arguments"]
    fields = described["schemas"][schema["$ref"].rpartition("/")[2]]["required"]
    assert set(fields) == set(arguments)
    by_name = await prepare(client, calls=[call], **fixed)
    data = by_name["document"]["calls"][0]["arguments"]
    by_hex = await prepare(client, calls=[{**call, "arguments": data}], **fixed)
    assert by_hex["body"] == by_name["body"]


async def test_all_signers_are_named_in_order_when_others_sign_too(client: Client) -> None:
    others = [SigningKey.generate() for _ in range(3)]
    keys = [key_text(key.public) for key in others]
    prepared = await prepare(client, cosigners=[*keys, keys[0], key_text(member(client).public)])
    assert prepared["signers"] == [key_text(member(client).public), *sorted(keys)]
    signatures = sign(prepared, *others, member(client))
    whole = await client.result("tx.assemble", body=prepared["body"], signatures=signatures)
    assert len(Transaction.decode(bytes.fromhex(whole["transaction"])).witness.signatures) == 4


async def test_preimages_are_put_in_when_the_body_names_them(client: Client) -> None:
    secret = b"open sesame"
    prepared = await prepare(client, preimage_hashes=[hashlib.sha256(secret).hexdigest()])
    given_ = {"body": prepared["body"], "signatures": sign(prepared, member(client))}
    assert "transaction" in await client.result("tx.assemble", preimages=[secret.hex()], **given_)
    assert (await client.error("tx.assemble", given_))[1] == "preimage_wrong"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"sender": "ed25519:00"}, "params_invalid"),
        ({"outputs": [{"asset": "CNY", "amount": 0, "lock": "after(1)"}]}, "params_invalid"),
        ({"outputs": [{"asset": "CNY", "amount": 1, "lock": "after( 1 )"}]}, "lock_invalid"),
        ({"outputs": [{"asset": "CNY", "amount": 1, "lock": "after(1)", "more": 1}]}, "params_invalid"),
        ({"calls": [{"contract": "nothing", "method": "issue"}]}, "contract_unknown"),
        ({"calls": [{"contract": "assets", "method": "nothing"}]}, "method_unknown"),
        ({"calls": [{"contract": "assets", "method": "issue", "arguments": {}}]}, "document_invalid"),
        ({"calls": [{"contract": "assets", "method": "issue", "arguments": {"asset": "\ud800"}}]}, "document_invalid"),
        ({"calls": [{"contract": "assets", "method": "issue", "arguments": "c0"}]}, "malformed"),
        ({"inputs": ["00" * 36, "00" * 36]}, "input_duplicate"),
        ({"memo": "00" * 257}, "params_invalid"),
        ({"nonce": "00" * 15}, "params_invalid"),
        ({"expiry_height": 2**53}, "malformed"),
        ({"cosigners": ["ed25519:" + "0" * 63 + "\n"]}, "params_invalid"),
    ],
    ids=range(14),
)
async def test_transaction_is_refused_with_a_reason_when_it_cannot_be(
    client: Client, more: dict[str, Any], code: str
) -> None:
    params = {"sender": key_text(member(client).public), **more}
    assert (await client.error("tx.prepare", params))[1] == code


async def test_parts_are_refused_when_they_do_not_belong_together(client: Client) -> None:
    prepared = await prepare(client)
    other = SigningKey.generate()
    good = sign(prepared, member(client))
    wrong = [{**good[0], "signature": "00" * 64}]
    for signatures, code in (
        (sign(prepared, other), "signature_superfluous"),
        (wrong, "signature_invalid"),
        ([*good, *wrong], "signature_duplicate"),
        ([*good, *sign(prepared, other)], "signature_superfluous"),
        ([], "params_invalid"),
    ):
        answer = await client.error("tx.assemble", {"body": prepared["body"], "signatures": signatures})
        assert answer[1] == code
    foreign = prepared["body"].replace(prepared["chain_id"], "11" * 32)
    assert (await client.error("tx.assemble", {"body": foreign, "signatures": good}))[1] == "chain_wrong"
    assert (await client.error("tx.assemble", {"body": "c1", "signatures": good}))[1] == "malformed"
    assert len(client.node.mempool) == 0


@settings(max_examples=40, deadline=None)
@given(
    memo=st.binary(max_size=256),
    nonce=st.binary(min_size=16, max_size=16),
    amounts=st.lists(st.integers(1, 2**63 - 1), max_size=4),
    attachments=st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 2**32 - 1)), max_size=3),
)
def test_id_is_recomputed_from_the_bytes_when_anything_is_prepared(
    memo: bytes, nonce: bytes, amounts: list[int], attachments: list[tuple[bytes, int]]
) -> None:
    body = _prepared_offline(memo, nonce, amounts, attachments)
    assert recomputed(body) == body["tx_id"]
    assert body["document"]["memo"] == memo.hex()
    assert [output["amount"] for output in body["document"]["outputs"]] == amounts


_BARE: list[Bare] = []


def _prepared_offline(
    memo: bytes, nonce: bytes, amounts: list[int], attachments: list[tuple[bytes, int]]
) -> dict[str, Any]:
    if not _BARE:
        _BARE.append(Bare())
    document = {
        "sender": EXAMPLE_KEY,
        "memo": memo.hex(),
        "nonce": nonce.hex(),
        "outputs": [{"asset": "CNY", "amount": amount, "lock": "after(1)"} for amount in amounts],
        "attachments": [{"digest": digest.hex(), "size_bytes": size} for digest, size in attachments],
    }
    methods = PrepareMethods(_BARE[0].chain)
    found = asyncio.run(methods._prepare(msgspec.convert(document, PrepareParams)))
    return {name: getattr(found, name) for name in found.__struct_fields__}
