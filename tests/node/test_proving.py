"""What a node proves, checked as whoever asked would: from the genesis file, over changing sets, at every height."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import block_id
from ledger.chain_records import history_key
from ledger.errors import InvalidProof, NotFound, StorageFault
from ledger.light_client import ClientState
from ledger.merkle import inclusion_proof, leaf_hash
from ledger.proofs import (
    Step,
    believe,
    check_descends,
    client_of,
    follow,
    verify_block,
    verify_change,
    verify_history,
    verify_state_at,
    verify_transaction,
)
from ledger.state import utxo_key
from ledger.transaction import outpoint
from ledger.types import Height
from node.block_trees import BlockTrees, KeptTree
from node.light import genesis_header
from node.proving import (
    Prover,
    contract_key,
    epoch_headers,
    prove_header,
    prove_state,
    prove_transaction,
)
from tests.node.client.stage import Node, rotating
from tests.node.cluster import Cluster

INTERVAL = 4


async def grown(blocks: int = 14, members: int = 1, *, rotates: bool = False) -> Node:
    cluster = Cluster(members, checkpoint_interval=INTERVAL)
    node = Node(rotating(cluster) if rotates else cluster)
    await node.grow(blocks)
    return node


def beginning(node: Node) -> ClientState:
    return client_of(node.genesis, genesis_header(node.genesis))


def client_at(node: Node, height: int) -> ClientState:
    """A client that followed every change below ``height``, and then believed that header."""
    prover, client, known = Prover(node.chain), beginning(node), 0
    for change in prover.changes(0, height):
        client = believe(client, prover.header(change, known))
        known = change
    return believe(client, prover.header(height, known)) if height else client


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=40))
def test_a_kept_tree_gives_the_same_paths_when_asked_for_any_leaf(leaves: list[bytes]):
    hashes = [leaf_hash(leaf) for leaf in leaves]
    tree = KeptTree(hashes)
    for index in range(len(leaves)):
        assert tree.inclusion(index).path == inclusion_proof(hashes, index)
    with pytest.raises(NotFound):
        tree.inclusion(len(leaves))
    with pytest.raises(NotFound):
        tree.inclusion(-1)


async def test_trees_are_forgotten_when_others_are_asked_for():
    node = await grown(6)
    trees = BlockTrees(node.chain.store, kept=2)
    first = trees.at(1)
    assert trees.at(1) is first
    trees.at(2)
    trees.at(3)
    assert trees.at(1) is not first


async def test_the_genesis_header_is_the_nodes_when_made_from_the_file():
    node = await grown(0)
    assert genesis_header(node.genesis) == node.chain.store.header(0)


async def test_a_genesis_header_is_refused_when_it_is_of_another_file():
    node, other = await grown(0), await grown(0)
    with pytest.raises(InvalidProof) as found:
        client_of(node.genesis, genesis_header(other.genesis))
    assert found.value.code == "client_genesis_wrong"


@pytest.mark.parametrize("rotates", [False, True])
async def test_headers_are_proved_when_known_is_any_height(rotates: bool):
    node = await grown(18, 7, rotates=rotates)
    prover = Prover(node.chain)
    for known in (0, 1, 5, 9, 18):
        client = client_at(node, known)
        for height in range(19):
            proof = prover.header(height, known)
            if prover.changes(known, height):
                with pytest.raises(InvalidProof):
                    believe(client, proof)
            else:
                after = believe(client, proof)
                assert after.latest.height == max(known, height)


async def test_steps_lead_to_every_set_when_committees_rotate():
    node = await grown(30, 9, rotates=True)
    found = Prover(node.chain).steps(0)
    assert found.complete
    assert found.height == 30
    assert len(found.steps) == 7
    client = beginning(node)
    for step in found.steps:
        check_descends(client, step.proof.header, step.back)
        client = follow(client, (step.proof,))
    assert client.latest.next_validators_hash == node.chain.seats_at(31).validators_hash
    assert follow(beginning(node), epoch_headers(node.chain)) == client


async def test_steps_come_in_pages_when_there_are_many():
    node = await grown(30, 9, rotates=True)
    prover, known, found = Prover(node.chain), 0, list[Step]()
    while True:
        page = prover.steps(known, 2)
        found += page.steps
        known = found[-1].proof.header.height
        if page.complete:
            break
        assert len(page.steps) == 2
    assert found == list(prover.steps(0).steps)


async def test_a_node_says_that_it_is_behind_when_more_is_known():
    node = await grown(3)
    prover = Prover(node.chain)
    for work in (lambda: prover.header(2, 9), lambda: prover.steps(9), lambda: prover.block(1, 9)):
        with pytest.raises(NotFound) as found:
            work()
        assert found.value.code == "node_behind"


async def test_transactions_blocks_and_histories_are_proved_when_committed():
    node = await grown(3)
    payments = [await node.pay_soon(number) for number in range(5)]
    await node.grow(3)
    prover = Prover(node.chain)
    for known in (0, 2, 4, 6):
        client = client_at(node, known)
        for payment in payments:
            proof = prover.transaction(payment.tx_id, known)
            transaction, receipt = verify_transaction(proof, client)
            assert transaction.wire == payment.wire
            assert (receipt.tx_id, receipt.code) == (payment.tx_id, "ok")
        refs, receipts = verify_block(prover.block(4, known), client)
        assert sorted(refs) == sorted(payment.ref for payment in payments)
        assert len(receipts) == 6
        assert verify_history(prover.history(2, 5, known), client) == block_id(node.chain.store.header(2))
    assert prove_transaction(node.chain, payments[0].tx_id) == prover.transaction(payments[0].tx_id)
    assert prove_header(node.chain, 4) == prover.header(4)


async def test_a_transaction_is_not_proved_when_it_is_in_no_block():
    node = await grown(2)
    waiting = await node.pay_soon()
    with pytest.raises(NotFound):
        Prover(node.chain).transaction(waiting.tx_id)


async def test_state_is_proved_when_it_has_not_changed_since_the_checkpoint():
    node = await grown(0)
    spent = await node.pay_soon()
    await node.grow(13)
    prover, client = Prover(node.chain), client_at(node, 10)
    held = utxo_key(outpoint(spent.tx_id, 0))
    proof = prover.state(held, 10)
    assert (proof.header.header.height, proof.header.header.checkpoint_height) == (12, 8)
    assert verify_state_at(proof, client) == node.chain.state.get(held)
    assert verify_state_at(prover.state(utxo_key(spent.body.inputs[0]), 10), client) is None
    absent = prove_state(node.chain, "accounts", b"nobody", 10)
    assert absent.key == contract_key("accounts", b"nobody")
    assert verify_state_at(absent, client) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(2 * INTERVAL, 6 * INTERVAL))
async def test_state_is_proved_at_the_newest_checkpoint_when_the_chain_is_of_any_height(height: int):
    node = await grown(height)
    proof = Prover(node.chain).state(b"absent", 0)
    header = proof.header.header
    assert header.height == height // INTERVAL * INTERVAL
    assert verify_state_at(proof, beginning(node)) is None


async def test_a_change_is_named_when_the_record_was_written_after_the_checkpoint():
    node = await grown(13)
    payment = await node.pay_soon()
    await node.grow(1)
    prover, client = Prover(node.chain), client_at(node, 13)
    for key, value in (
        (utxo_key(payment.body.inputs[0]), None),
        (utxo_key(outpoint(payment.tx_id, 1)), node.chain.state.get(utxo_key(outpoint(payment.tx_id, 1)))),
    ):
        with pytest.raises(NotFound) as found:
            prover.state(key, 13)
        assert found.value.code == "state_changed"
        proof = await prover.change(key, 13)
        assert proof.header.header.height == 14
        assert verify_change(proof, client) == value
        assert await prover.change(key, 13, 14) == proof


async def test_a_change_is_found_when_the_checkpoint_work_has_taken_it_in():
    """Between the block that ends an interval and the header that carries its root, only the block itself proves it."""
    node = await grown(9)
    payment = await node.pay_soon()
    await node.grow(4)  # block 10 wrote; header 12 carries the state of 8; that of 12 is being made
    key = utxo_key(outpoint(payment.tx_id, 0))
    prover = Prover(node.chain)
    with pytest.raises(NotFound):
        prover.state(key)
    proof = await prover.change(key)
    assert proof.header.header.height == 10
    assert verify_change(proof, beginning(node)) == node.chain.state.get(key)
    await node.grow(3)
    assert verify_state_at(prover.state(key), beginning(node)) == node.chain.state.get(key)


async def test_a_change_is_refused_when_nothing_wrote_it_or_another_block_did_again():
    node = await grown(2)
    payment = await node.pay_soon()
    await node.grow(1)
    spent = node.cluster.transfer(0, 0, 5, outpoint(payment.tx_id, 0), 5)
    await node.gateway.submit(spent)
    await node.grow(1)
    prover, key = Prover(node.chain), utxo_key(outpoint(payment.tx_id, 0))
    for work, code in (
        (prover.change(b"never"), "change_missing"),
        (prover.change(key, 0, 1), "change_missing"),
        (prover.change(key, 0, 3), "change_overwritten"),
    ):
        with pytest.raises(NotFound) as found:
            await work
        assert found.value.code == code
    assert verify_change(await prover.change(key, 0), beginning(node)) is None


async def test_no_state_is_proved_when_the_chain_is_too_young():
    node = await grown(2 * INTERVAL - 1)
    with pytest.raises(NotFound) as found:
        Prover(node.chain).state(b"x")
    assert (found.value.code, found.value.data["height"]) == ("checkpoint_missing", 2 * INTERVAL)


async def test_a_node_that_joined_late_says_so_when_the_history_before_it_is_needed():
    """It has the peaks of the tree below, and so everything from there on; not the places of earlier blocks."""
    node = await grown(14)
    store, base = node.chain.store, 8
    store.store.write({history_key(level, i): None for level in range(3) for i in range(base >> level)})
    store.base_height = Height(base)
    prover = Prover(node.chain)
    for work in (lambda: prover.step(12, 3), lambda: prover.header(5, 12), lambda: prover.history(5, 12)):
        with pytest.raises(NotFound) as found:
            work()
        assert (found.value.code, found.value.data["retained_height"]) == ("pruned", base)
    client = client_at(node, 9)
    for height in range(base, 15):
        believe(client, prover.header(height, 9))
    check_descends(client, store.header(13), prover.step(13, 9).back)


async def test_damage_is_told_when_a_node_of_the_tree_is_missing_that_should_be_there():
    node = await grown(14)
    node.chain.store.store.write({history_key(0, 2): None})
    with pytest.raises(StorageFault):
        Prover(node.chain).header(3, 12)
