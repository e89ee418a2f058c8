"""Proofs in files: made from a node, checked with the genesis file alone, refused when a byte is another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.errors import InvalidProof, PeerMisbehaved
from ledger.state import utxo_key
from node.evidence_bundle import content_of, read_bundle, write_bundle
from node.proof_file import (
    KIND_CHANGE,
    KIND_HEADER,
    KIND_STATE,
    KIND_TRANSACTION,
    KINDS,
    HeaderFile,
    fetch_proof,
    verify_file,
    verify_proof,
    write_proof,
)
from node.proving import Prover
from tests.node.client.stage import Node, rotating
from tests.node.cluster import Cluster
from tests.node.test_light import Asked


class Files:
    """A node of rotating committees and one file of each kind."""

    def __init__(self, node: Node, files: dict[str, bytes], tx_id: bytes) -> None:
        self.node, self.files, self.tx_id = node, files, tx_id
        self.genesis = node.genesis


async def make(*, rotates: bool = True) -> Files:
    cluster = Cluster(7, checkpoint_interval=4)
    node = Node(rotating(cluster) if rotates else cluster)
    await node.grow(9)
    payment = await node.pay_soon()
    await node.grow(5)
    asked = Asked(node)
    spent = utxo_key(payment.body.inputs[0]).hex()
    files = {
        KIND_HEADER: await fetch_proof(asked, node.genesis, KIND_HEADER, {"height": 9}),
        KIND_TRANSACTION: await fetch_proof(asked, node.genesis, KIND_TRANSACTION, {"tx_id": payment.tx_id.hex()}),
        KIND_STATE: await fetch_proof(asked, node.genesis, KIND_STATE, {"key": b"nothing".hex()}),
        KIND_CHANGE: await fetch_proof(asked, node.genesis, KIND_CHANGE, {"key": spent}),
    }
    return Files(node, files, payment.tx_id)


@pytest.fixture(scope="module")
def made() -> Files:
    return asyncio.run(make())


@pytest.mark.parametrize("rotates", [True, False])
async def test_a_file_proves_what_it_says_when_there_is_no_node(rotates: bool):
    made = await make(rotates=rotates)
    shown = {kind: verify_file(data, made.genesis) for kind, data in made.files.items()}
    assert shown[KIND_HEADER].header == made.node.chain.store.header(9)
    assert shown[KIND_TRANSACTION].facts["tx_id"] == made.tx_id.hex()
    assert shown[KIND_TRANSACTION].facts["code"] == "ok"
    assert "took effect" in shown[KIND_TRANSACTION].words
    assert (shown[KIND_STATE].facts["value"], shown[KIND_STATE].facts["as_of_height"]) == (None, 8)
    assert (shown[KIND_CHANGE].facts["value"], shown[KIND_CHANGE].facts["as_of_height"]) == (None, 10)


@pytest.mark.parametrize("height", range(15))
async def test_every_header_can_be_proved_in_a_file_when_committees_rotate(made: Files, height: int):
    data = await fetch_proof(Asked(made.node), made.genesis, KIND_HEADER, {"height": height})
    assert verify_file(data, made.genesis).header == made.node.chain.store.header(height)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_file_is_refused_when_any_byte_of_it_is_another(made: Files, data: st.DataObject):
    wire = bytearray(made.files[data.draw(st.sampled_from(sorted(made.files)))])
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidProof) as found:
        verify_file(bytes(wire), made.genesis)
    assert found.value.data["field"], found.value


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_is_refused_when_digits_of_its_values_are_others(made: Files, data: st.DataObject):
    """Hexadecimal stays hexadecimal, so that the form is right and only the proof is wrong."""
    wire = bytearray(made.files[data.draw(st.sampled_from(sorted(made.files)))])
    places = [i for i, byte in enumerate(wire) if byte in b"0123456789abcdef" and i > 60]
    place = data.draw(st.sampled_from(places))
    wire[place] = data.draw(st.sampled_from([c for c in b"0123456789abcdef" if c != wire[place]]))
    with pytest.raises(InvalidProof):
        verify_file(bytes(wire), made.genesis)


async def test_a_file_is_refused_when_it_is_of_another_chain(made: Files):
    other = Node(Cluster(4))
    for data in made.files.values():
        with pytest.raises(InvalidProof) as found:
            verify_file(data, other.genesis)
        assert (found.value.code, found.value.data["field"]) == ("bundle_chain_other", "genesis")


async def test_a_file_is_refused_when_it_is_of_no_kind_of_proof(made: Files):
    content = HeaderFile((), Prover(made.node.chain).header(0), bytes(32))
    data = write_bundle("flow", (made.genesis.hash,), content)
    with pytest.raises(InvalidProof) as found:
        verify_file(data, made.genesis)
    assert found.value.code == "bundle_kind_unknown"


async def test_a_file_is_refused_when_a_change_of_the_set_is_left_out(made: Files):
    bundle = read_bundle(made.files[KIND_TRANSACTION])
    content: Any = content_of(bundle, KINDS[KIND_TRANSACTION])
    assert len(content.changes) == 2
    for changes, field in ((content.changes[1:], "changes"), ((), "proof")):
        with pytest.raises(InvalidProof) as found:
            verify_file(write_proof(KIND_TRANSACTION, made.genesis, changes, content.proof), made.genesis)
        assert found.value.data["field"] == field
    bundle.content["changes"].pop(0)
    with pytest.raises(InvalidProof) as found:
        verify_proof(bundle, made.genesis)
    assert found.value.data["field"] == "changes"


async def test_a_file_is_refused_when_it_became_the_proof_of_another_absence(made: Files):
    """Most buckets are empty: the proof of one absent key may be as good for another, which is not what was written."""
    bundle = read_bundle(made.files[KIND_STATE])
    content: Any = content_of(bundle, KINDS[KIND_STATE])
    for number in range(2_000):
        key = b"other %d" % number
        other = write_proof(KIND_STATE, made.genesis, content.changes, replace(content.proof, key=key))
        try:
            assert verify_file(other, made.genesis).facts["key"] == key.hex()
        except InvalidProof:
            continue
        bundle.content["proof"]["key"] = key.hex()
        with pytest.raises(InvalidProof) as found:
            verify_proof(bundle, made.genesis)
        assert found.value.data["field"] == "check"
        return
    raise AssertionError("every proof of absence holds for one key only")


async def test_no_file_is_made_when_the_node_lies():
    node = Node(Cluster(4, checkpoint_interval=4))
    await node.grow(2)
    one, other = await node.pay_soon(0), await node.pay_soon(1)
    await node.grow(1)
    right = await node.answer("proof.transaction", {"tx_id": other.tx_id.hex()})
    wire = bytearray.fromhex(right["proof"])
    wire[len(wire) // 2] ^= 1
    lies: list[Any] = [
        lambda _, answer: {**answer, "proof": bytes(wire).hex()},
        lambda _, answer: {**answer, "proof": "00"},
        lambda _, answer: {**answer, "changes": 1},
        lambda _, answer: {},
    ]
    for lie in lies:
        node.lies["proof.transaction"] = lie
        with pytest.raises(PeerMisbehaved):
            await fetch_proof(Asked(node), node.genesis, KIND_TRANSACTION, {"tx_id": one.tx_id.hex()})


async def test_no_file_is_made_when_the_proof_is_of_something_else():
    """A right proof of another transaction is a lie about the one that was asked for."""
    node = Node(Cluster(4, checkpoint_interval=4))
    await node.grow(2)
    one, other = await node.pay_soon(0), await node.pay_soon(1)
    await node.grow(1)
    swapped = await node.answer("proof.transaction", {"tx_id": other.tx_id.hex()})
    node.lies["proof.transaction"] = lambda _, answer: swapped
    with pytest.raises(PeerMisbehaved) as found:
        await fetch_proof(Asked(node), node.genesis, KIND_TRANSACTION, {"tx_id": one.tx_id.hex()})
    assert found.value.code == "proof_other"
    header = await node.answer("proof.header", {"height": 2})
    node.lies["proof.header"] = lambda _, answer: header
    with pytest.raises(PeerMisbehaved):
        await fetch_proof(Asked(node), node.genesis, KIND_HEADER, {"height": 1})


async def test_a_proof_proves_nothing_when_it_is_forged_and_the_check_made_anew(made: Files):
    """The check is no protection against people; the proof is."""
    for kind, data in made.files.items():
        content: Any = content_of(read_bundle(data), KINDS[kind])
        header = content.proof if kind == KIND_HEADER else content.proof.header
        for change in ({"time_ms": 5}, {"receipts_root": bytes(32)}, {"height": 3}):
            forged = replace(header, header=replace(header.header, **change))
            proof = forged if kind == KIND_HEADER else replace(content.proof, header=forged)
            with pytest.raises(InvalidProof) as found:
                verify_file(write_proof(kind, made.genesis, content.changes, proof), made.genesis)
            assert found.value.data["field"] == "proof"


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_file_is_refused_whichever_byte_is_flipped(made: Files, kind: str):
    data = made.files[kind]
    for place in range(0, len(data), 41):
        with pytest.raises(InvalidProof):
            verify_file(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], made.genesis)
