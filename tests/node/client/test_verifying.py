"""A client with a genesis file against nodes that lie: each lie is refused, and the error says what was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.block import block_id
from ledger.encoding import encode
from ledger.errors import LocalMisuse, NotFound, PeerMisbehaved
from ledger.proofs import block_codec, change_codec, state_codec, transaction_codec
from ledger.state import utxo_key
from ledger.transaction import Transaction, outpoint
from node.client import Client
from node.proving import Prover
from tests.node.client.conftest import Serve
from tests.node.client.stage import Node, rotating
from tests.node.cluster import Cluster

INTERVAL = 4


async def grown(blocks: int = 10, cluster: Cluster | None = None) -> Node:
    node = Node(cluster or Cluster(4, checkpoint_interval=INTERVAL))
    await node.grow(blocks)
    return node


async def caught(work: Any, code: str | None = None) -> PeerMisbehaved:
    with pytest.raises(PeerMisbehaved) as found:
        await work
    assert code is None or found.value.code == code, found.value
    assert found.value.data["node"]
    return found.value


def rewritten(codec: Any, change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A lie: another proof than the right one."""

    def lie(params: Any, answer: Any) -> Any:
        del params
        return {**answer, "proof": encode(change(codec.decode(bytes.fromhex(answer["proof"])))).hex()}

    return lie


# --- what is so -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotates", [False, True])
async def test_finality_is_proved_when_a_transaction_is_submitted(serve: Serve, rotates: bool):
    cluster = Cluster(9 if rotates else 4, checkpoint_interval=INTERVAL)
    node = await grown(14, rotating(cluster) if rotates else cluster)
    async with node.working(), Client(await serve(node), genesis=node.genesis) as client:
        for number in range(8):
            payment = node.pay(number)
            outcome = await client.submit_and_wait(payment)
            assert (outcome.status, outcome.code) == ("committed", "ok")
            assert client.light.height == outcome.height == node.chain.tip.height
            proved = await client.proved_transaction(payment.tx_id)
            assert proved.transaction.wire == payment.wire
            assert proved.outcome == outcome == await client.outcome(payment.tx_id) == await client.wait(payment.tx_id)


async def test_everything_provable_is_answered_when_the_node_is_honest(serve: Serve):
    node = await grown(9)
    payment = await node.pay_soon()
    await node.grow(2)
    async with Client(await serve(node), genesis=node.genesis) as client:
        info = await client.info()
        assert (info.height, info.block_id) == (11, node.chain.tip.block_id)
        assert (await client.genesis()).hash == node.genesis.hash
        for height in range(12):
            header, name = await client.header(height)
            assert (header, name) == (node.chain.store.header(height), block_id(node.chain.store.header(height)))
        block = await client.block(height=10)
        assert block["transactions"] == [payment.tx_id.hex()]
        assert await client.block(block_id=bytes.fromhex(block["block_id"])) == block
        assert (await client.follow()).height == 11
        assert client.liars == {}
        seen = []
        async for found in client.events(8):
            seen.append(found)
            if found.height == 11:
                break
        assert seen == [node.gateway.block_events(height) for height in range(8, 12)]


async def test_state_is_proved_when_it_is_there_absent_or_written_just_now(serve: Serve):
    node = await grown(13)
    payment = await node.pay_soon()
    await node.grow(1)
    async with Client(await serve(node), genesis=node.genesis) as client:
        old = await client.proved_output(node.cluster.genesis_output(1))
        assert (old.value, old.height, old.header.height) == (node.chain.state.get(old.key), 8, 12)
        fresh = await client.proved_output(outpoint(payment.tx_id, 0))
        assert (fresh.value, fresh.height) == (node.chain.state.get(fresh.key), 14)
        spent = await client.proved_output(payment.body.inputs[0])
        assert (spent.value, spent.height) == (None, 14)
        absent = await client.state("accounts", b"nobody")
        assert (absent.value, absent.height) == (None, 8)
    young = await grown(3)
    async with Client(await serve(young), genesis=young.genesis) as client:
        with pytest.raises(NotFound) as found:
            await client.state("accounts", b"nobody")
        assert found.value.code == "change_missing"
        genesis_output = await client.proved_output(young.cluster.genesis_output(1))
        assert (genesis_output.value is not None, genesis_output.height) == (True, 0)


async def test_nothing_is_verified_when_there_is_no_genesis(serve: Serve):
    node = await grown(3)
    path = await serve(node)
    with pytest.raises(LocalMisuse):
        Client(path, light_file=path)
    async with Client(path) as client:
        assert (await client.info()).height == 3
        assert not [method for method in node.calls if method.startswith("proof.")]
        for work in (client.follow(), client.state("accounts", b"x"), client.proved_transaction(bytes(32))):
            with pytest.raises(LocalMisuse):
                await work


# --- lies about transactions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": "input_missing", "status": "refused"}, "status"),
        ({"height": 3}, "height"),
        ({"index": 1}, "index"),
        ({"events": [{"contract": "assets", "name": "forged", "data": ""}]}, "events"),
        ({"results": ["00"]}, "results"),
    ],
)
async def test_an_outcome_is_refused_when_it_is_not_the_proved_one(serve: Serve, changes: Any, field: str):
    node = await grown()
    for method in ("tx.submit_and_wait", "tx.outcome", "tx.wait"):
        node.lies[method] = lambda _, answer: {**answer, **changes}
    payment = node.pay()
    async with node.working(), Client(await serve(node), genesis=node.genesis) as client:
        for work in (client.submit_and_wait(payment), client.outcome(payment.tx_id), client.wait(payment.tx_id)):
            error = await caught(work, "outcome_false")
            assert error.data["field"] == field


async def test_finality_is_refused_when_the_transaction_is_in_no_block(serve: Serve):
    """The node says that it is committed, and keeps it in its mempool."""
    node = await grown()
    node.lies["tx.submit_and_wait"] = lambda _, answer: {**answer, "status": "committed", "code": "ok", "height": 10}
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.submit_and_wait(node.pay(), 0.1), "proof_withheld")


async def test_a_proof_is_refused_when_it_is_of_another_transaction(serve: Serve):
    node = await grown()
    one, other = await node.pay_soon(0), await node.pay_soon(1)
    await node.grow(1)
    swapped = encode(Prover(node.chain).transaction(other.tx_id)).hex()
    node.lies["proof.transaction"] = lambda _, answer: {**answer, "proof": swapped}
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.outcome(one.tx_id), "proof_transaction_wrong")


async def test_a_proof_is_refused_when_receipts_are_swapped(serve: Serve):
    node = await grown()
    one, other = await node.pay_soon(0), await node.pay_soon(1)
    await node.grow(1)
    right = Prover(node.chain).transaction(other.tx_id)
    node.lies["proof.transaction"] = rewritten(
        transaction_codec,
        lambda proof: replace(proof, receipt=right.receipt, receipt_inclusion=right.receipt_inclusion),
    )
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.proved_transaction(one.tx_id), "proof_receipt_wrong")


async def test_a_proof_is_refused_when_its_certificate_is_below_quorum(serve: Serve):
    node = await grown()
    payment = await node.pay_soon()
    await node.grow(1)

    def fewer(proof: Any) -> Any:
        certificate = proof.header.certificate
        weak = replace(certificate, seals=certificate.seals[:2])
        return replace(proof, header=replace(proof.header, certificate=weak))

    node.lies["proof.transaction"] = rewritten(transaction_codec, fewer)
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.outcome(payment.tx_id), "certificate_invalid")
        assert client.light.height == 0


@pytest.mark.parametrize("claimed", [0, 1_000])
async def test_a_proof_is_refused_when_the_set_is_not_in_force(serve: Serve, claimed: int):
    """The node hides that the set has changed, or says for ever that it changes."""
    node = await grown(14, rotating(Cluster(9, checkpoint_interval=INTERVAL)))
    payment = await node.pay_soon()
    await node.grow(1)
    node.lies["proof.transaction"] = lambda _, answer: {**answer, "changes": claimed}
    async with Client(await serve(node), genesis=node.genesis) as client:
        error = await caught(client.outcome(payment.tx_id))
        assert error.code == ("follow_stalled" if claimed else "client_set_wrong")
        assert len(node.calls) < 20


async def test_a_whole_chain_is_refused_when_it_is_not_of_the_genesis_file(serve: Serve):
    """Everything the node says is consistent, but of another chain."""
    node, other = await grown(), await grown()
    payment = await other.pay_soon()
    await other.grow(1)
    async with Client(await serve(other), genesis=node.genesis) as client:
        await caught(client.info(), "chain_other")
        await caught(client.genesis(), "chain_other")
        for work in (client.header(3), client.outcome(payment.tx_id), client.follow(), client.block(height=2)):
            await caught(work)
        assert client.light.height == 0


async def test_bytes_are_refused_when_they_are_another_transactions(serve: Serve):
    node = await grown()
    one, other = await node.pay_soon(0), await node.pay_soon(1)
    node.lies["tx.get"] = lambda _, answer: {**answer, "transaction": other.wire.hex()}
    node.lies["tx.outcome"] = lambda _, answer: {**answer, "tx_id": other.tx_id.hex()}
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.transaction(one.tx_id), "answer_malformed")
        await caught(client.outcome(one.tx_id), "answer_malformed")


# --- lies about blocks ------------------------------------------------------------------------------------------------


async def test_the_tip_is_refused_when_it_is_none(serve: Serve):
    node = await grown()
    async with Client(await serve(node), genesis=node.genesis) as client:
        for change in ({"block_id": "00" * 32}, {"time_ms": 5}, {"height": 9}, {"name": "other"}):
            node.lies["chain.info"] = lambda _, answer, change=change: {**answer, **change}
            await caught(client.info())


async def test_a_header_is_refused_when_it_is_of_another_height(serve: Serve):
    node = await grown()
    older = await node.answer("proof.header", {"height": 4, "known_height": 0})
    node.lies["proof.header"] = lambda params, answer: older
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.header(7), "proof_height_wrong")


@pytest.mark.parametrize(
    "change",
    [
        lambda block: {**block, "transactions": []},
        lambda block: {**block, "transactions": block["transactions"][::-1]},
        lambda block: {**block, "receipts": block["receipts"][:-1]},
        lambda block: {**block, "receipts": [{**block["receipts"][0], "code": "x"}, *block["receipts"][1:]]},
        lambda block: {**block, "header": {**block["header"], "time_ms": 1}},
        lambda block: {**block, "header": {**block["header"], "height": 10}},
        lambda block: {**block, "header": None},
        lambda block: {**block, "block_id": "11" * 32},
    ],
)
async def test_a_block_is_refused_when_its_document_says_otherwise(serve: Serve, change: Any):
    node = await grown()
    for number in range(2):
        await node.pay_soon(number)
    await node.grow(1)
    node.lies["block.get"] = lambda _, answer: change(answer)
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.block(height=11))
        await caught(client.block(block_id=node.chain.tip.block_id))


async def test_a_block_is_refused_when_receipts_are_left_out_of_its_proof(serve: Serve):
    node = await grown()
    node.lies["proof.block"] = rewritten(block_codec, lambda proof: replace(proof, receipts=proof.receipts[:-1]))
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.block(height=4), "proof_block_wrong")


async def test_events_are_refused_when_they_are_not_the_blocks(serve: Serve):
    node = await grown()
    await node.pay_soon()
    await node.grow(1)

    def silence(_: Any, answer: Any) -> Any:
        return {**answer, "blocks": [{**block, "events": [*block["events"], *FORGED]} for block in answer["blocks"]]}

    node.lies["events.next"] = silence
    async with Client(await serve(node), genesis=node.genesis) as client:
        with pytest.raises(PeerMisbehaved) as found:
            await anext(client.events(11))
        assert found.value.code == "claim_false"


FORGED = [["00" * 32, {"contract": "assets", "name": "forged", "data": ""}]]


# --- lies about state -------------------------------------------------------------------------------------------------


async def test_state_is_refused_when_absence_is_claimed_for_presence(serve: Serve):
    node = await grown(13)
    node.lies["proof.state"] = rewritten(state_codec, lambda proof: replace(proof, value=None))
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.proved_output(node.cluster.genesis_output(1)), "proof_invalid")
        assert (await client.proved_output(bytes(36))).value is None


async def test_state_is_refused_when_it_is_another_records(serve: Serve):
    node = await grown(13)
    other = encode(Prover(node.chain).state(utxo_key(node.cluster.genesis_output(2)))).hex()
    node.lies["proof.state"] = lambda _, answer: {**answer, "proof": other}
    async with Client(await serve(node), genesis=node.genesis) as client:
        await caught(client.proved_output(node.cluster.genesis_output(1)), "proof_key_wrong")


async def test_state_is_refused_when_it_is_older_than_is_due(serve: Serve):
    """The node proves what an output was at a checkpoint long ago, before it was spent."""
    node = await grown(9)
    output = node.cluster.genesis_output(0, 0)
    stale = await node.answer("proof.state", {"key": utxo_key(output).hex()})
    await node.pay_soon(0)
    await node.grow(16)
    async with Client(await serve(node), genesis=node.genesis) as client:
        await client.follow()
        history = Prover(node.chain).header(8, client.light.height)
        proof = replace(state_codec.decode(bytes.fromhex(stale["proof"])), header=history)
        assert proof.value is not None
        node.lies["proof.state"] = lambda _, answer: {**answer, "proof": encode(proof).hex(), "back": None}
        await caught(client.proved_output(output), "proof_stale")


async def test_a_change_is_refused_when_it_is_older_than_the_checkpoint(serve: Serve):
    node = await grown(2)
    payment = await node.pay_soon(0)
    await node.grow(1)
    key = utxo_key(outpoint(payment.tx_id, 0))
    old = change_codec.decode(bytes.fromhex((await node.answer("proof.change", {"key": key.hex()}))["proof"]))
    await node.gateway.submit(node.cluster.transfer(0, 0, 5, outpoint(payment.tx_id, 0), 5))
    await node.grow(14)
    async with Client(await serve(node), genesis=node.genesis) as client:
        await client.follow()
        assert (await client.proved_key(key)).value is None
        proof = replace(old, header=Prover(node.chain).header(3, client.light.height))
        assert proof.value is not None
        node.faults["proof.state"] = [NotFound("written since", code="state_changed")]
        node.lies["proof.change"] = lambda _, answer: {**answer, "proof": encode(proof).hex(), "back": None}
        node.methods = {**node.methods, "proof.change": node.methods["proof.state"]}
        await caught(client.proved_key(key), "proof_stale")


# --- together ---------------------------------------------------------------------------------------------------------


async def test_many_are_proved_at_once_when_blocks_go_on(serve: Serve):
    node = await grown(2)
    async with node.working(), Client(await serve(node), genesis=node.genesis) as client:
        payments: list[Transaction] = [node.pay(number) for number in range(10)]
        outcomes = await asyncio.gather(*(client.submit_and_wait(payment) for payment in payments))
        assert {outcome.status for outcome in outcomes} == {"committed"}
        assert client.light.height == max(outcome.height for outcome in outcomes)


async def test_the_light_client_goes_on_when_its_file_is_there(serve: Serve, tmp_path: Any):
    node, file = await grown(9), tmp_path / "light"
    path = await serve(node)
    async with Client(path, genesis=node.genesis, light_file=file) as client:
        await client.follow()
    async with Client(path, genesis=node.genesis, light_file=file) as client:
        assert client.light.height == 9
        await client.header(3)
        assert client.light.height == 9
