"""Proofs against a light client: they show what is so, and nothing else passes, whichever byte is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.block import change_leaf, receipt_codec
from ledger.chain_proof import Inclusion, inclusion_of
from ledger.checkpoint_proof import prove_state
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput
from ledger.keys import SignatureCache
from ledger.light_client import ClientState, begin
from ledger.merkle import leaf_hash
from ledger.packet import HeaderProof
from ledger.proofs import (
    BlockProof,
    ChangeProof,
    HistoryProof,
    StateProofAt,
    Step,
    TransactionProof,
    believe,
    block_codec,
    change_codec,
    check_descends,
    follow,
    header_proof_codec,
    history_codec,
    state_codec,
    transaction_codec,
    verify_block,
    verify_change,
    verify_history,
    verify_state_at,
    verify_transaction,
)
from ledger.store_memory import MemoryStore
from ledger.transaction import Transaction
from tests.ledger.chains import KEYS, VALIDATORS, Builder, certificate_for

KNOWN, TIP = 6, 13
SIGNATURES = SignatureCache()
"""Thousands of changed proofs share few good signatures."""


def build() -> tuple[Builder, list[dict[bytes, bytes | None]]]:
    builder = Builder(MemoryStore()).initialise()
    made = builder.grow(TIP)
    return builder, [dict(each[3]) for each in made]


BUILDER, WRITES = build()
CHAIN = BUILDER.chain


def client_at(height: int) -> ClientState:
    return begin("test", "bridge", CHAIN.header(height), VALIDATORS)


def header_proof(height: int, known: int = KNOWN) -> HeaderProof:
    header = CHAIN.header(height)
    if height > known:
        return HeaderProof(header, CHAIN.certificate(height), (), 0, None)
    if height < known:
        return HeaderProof(header, None, (), known, CHAIN.history_inclusion(height, known))
    return HeaderProof(header, None, (), 0, None)


def transaction_proof(height: int, index: int, known: int = KNOWN) -> TransactionProof:
    return TransactionProof(
        header_proof(height, known),
        CHAIN.transactions(height)[index],
        CHAIN.transaction_inclusion(height, index),
        CHAIN.receipts(height)[index],
        CHAIN.receipt_inclusion(height, index),
    )


def values_at(height: int) -> dict[bytes, bytes | None]:
    state: dict[bytes, bytes | None] = dict(BUILDER.genesis_writes)
    for writes in WRITES[:height]:
        state.update(writes)
    return state


def state_proof(key: bytes, known: int = KNOWN) -> StateProofAt:
    header = CHAIN.header(12)
    value = values_at(header.checkpoint_height).get(key)
    return StateProofAt(header_proof(12, known), prove_state(CHAIN.store, key, header.checkpoint_height), key, value)


def change_proof(height: int, place: int = 0, known: int = KNOWN) -> ChangeProof:
    key, value = sorted(WRITES[height - 1].items())[place]
    return ChangeProof(header_proof(height, known), CHAIN.change_inclusion(height, key), key, value)


def history_proof(height: int, later: int, known: int = KNOWN) -> HistoryProof:
    return HistoryProof(CHAIN.header(height), CHAIN.history_inclusion(height, later), header_proof(later, known))


def block_proof(height: int, known: int = KNOWN) -> BlockProof:
    return BlockProof(header_proof(height, known), CHAIN.block(height).refs, tuple(CHAIN.receipts(height)))


HEIGHTS = st.sampled_from([1, KNOWN - 1, KNOWN, KNOWN + 1, TIP])
Case = tuple[Codec[Any], Any, Callable[[Any, ClientState], object]]


def header_case(height: int) -> Case:
    return header_proof_codec, header_proof(height), lambda proof, client: believe(client, proof, SIGNATURES.verify)


def cases(height: int) -> dict[str, Case]:
    """Every kind of proof that leads to a header of that height, or to header 12 for state."""

    def verified(verify: Callable[..., object]) -> Callable[[Any, ClientState], object]:
        return lambda proof, client: verify(proof, client, SIGNATURES.verify)

    present = next(key for key, value in sorted(values_at(8).items()) if value is not None)
    return {
        "header": header_case(height),
        "transaction": (transaction_codec, transaction_proof(height, 1), verified(verify_transaction)),
        "change": (change_codec, change_proof(height, 2), verified(verify_change)),
        "block": (block_codec, block_proof(height), verified(verify_block)),
        "history": (history_codec, history_proof(height - 1, height), verified(verify_history)),
        "state": (state_codec, state_proof(present), verified(verify_state_at)),
        "absence": (state_codec, state_proof(b"never written"), verified(verify_state_at)),
    }


def refused(work: Callable[[], object], code: str | None = None) -> None:
    with pytest.raises(InvalidInput) as found:
        work()
    assert code is None or found.value.code == code


# --- what is so -------------------------------------------------------------------------------------------------------


@given(HEIGHTS)
@settings(deadline=None)
def test_every_kind_of_proof_holds_when_it_is_below_at_or_above_what_is_known(height: int):
    for codec, proof, verify in cases(height).values():
        verify(codec.decode(encode(proof)), client_at(KNOWN))


@given(HEIGHTS, st.integers(0, 2))
@settings(deadline=None)
def test_a_proof_gives_the_transaction_and_its_receipt_when_it_holds(height: int, index: int):
    transaction, receipt = verify_transaction(transaction_proof(height, index), client_at(KNOWN))
    assert transaction.wire == CHAIN.transactions(height)[index]
    assert receipt == receipt_codec.decode(CHAIN.receipts(height)[index])
    assert receipt.tx_id == transaction.tx_id


def test_state_is_proved_present_and_absent_when_a_checkpoint_says_so():
    state = values_at(8)
    seen = set()
    for key in [*BUILDER.key_pool, b"absent"]:
        value = verify_state_at(state_proof(key), client_at(KNOWN))
        assert value == state.get(key)
        seen.add(value is None)
    assert seen == {True, False}


@given(st.integers(1, TIP), st.integers(0, 4))
@settings(deadline=None)
def test_changes_are_proved_when_a_block_made_them(height: int, place: int):
    proof = change_proof(height, place)
    assert verify_change(proof, client_at(KNOWN)) == WRITES[height - 1][proof.key]


def test_a_client_goes_on_when_it_believes_a_newer_header_and_stays_when_it_is_older():
    client = client_at(KNOWN)
    assert believe(client, header_proof(TIP)).latest.height == TIP
    assert believe(client, header_proof(2)) == client
    assert believe(client, header_proof(KNOWN)) == client


@pytest.mark.parametrize("height", [KNOWN + 1, KNOWN + 2, TIP])
def test_descent_is_shown_when_the_known_header_is_in_the_history(height: int):
    back = None if height == KNOWN + 1 else CHAIN.history_inclusion(KNOWN, height)
    check_descends(client_at(KNOWN), CHAIN.header(height), back)


# --- what is not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [KNOWN - 1, KNOWN, TIP])
@pytest.mark.parametrize("kind", sorted(cases(TIP)))
def test_a_proof_is_refused_whichever_byte_is_flipped(kind: str, height: int):
    codec, proof, verify = cases(height)[kind]
    client, wire = client_at(KNOWN), encode(proof)
    for place in range(len(wire)):
        changed = wire[:place] + bytes([wire[place] ^ 1]) + wire[place + 1 :]
        if not says_the_truth(codec, changed):
            refused(lambda changed=changed: verify(codec.decode(changed), client))


def says_the_truth(codec: Codec[Any], wire: bytes) -> bool:
    """Whether it is the proof that another key is absent: most buckets are empty, and share their place's proof."""
    try:
        proof = codec.decode(wire)
    except InvalidInput:
        return False
    if not isinstance(proof, StateProofAt) or replace(proof, key=b"never written") != state_proof(b"never written"):
        return False
    return values_at(8).get(proof.key) is None


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_proof_is_refused_when_any_byte_of_it_is_another(data: st.DataObject):
    kinds = cases(data.draw(HEIGHTS))
    codec, proof, verify = kinds[data.draw(st.sampled_from(sorted(kinds)))]
    wire = bytearray(encode(proof))
    place = data.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= data.draw(st.integers(1, 255))
    if not says_the_truth(codec, bytes(wire)):
        refused(lambda: verify(codec.decode(bytes(wire)), client_at(KNOWN)))


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_proof_is_refused_when_bytes_are_missing_or_too_many(data: st.DataObject):
    kinds = cases(data.draw(HEIGHTS))
    codec, proof, verify = kinds[data.draw(st.sampled_from(sorted(kinds)))]
    wire = encode(proof)
    cut = data.draw(st.integers(0, len(wire) - 1))
    refused(lambda: codec.decode(wire[:cut]))
    refused(lambda: verify(codec.decode(wire + wire[:1]), client_at(KNOWN)))


@given(st.integers(1, TIP), st.integers(0, 2), st.integers(1, TIP), st.integers(0, 2))
@settings(deadline=None)
def test_parts_of_two_proofs_are_refused_when_they_are_put_together(one: int, first: int, other: int, second: int):
    if (one, first) == (other, second):
        return
    left, right = transaction_proof(one, first), transaction_proof(other, second)
    for name in TransactionProof.__struct_fields__:
        mixed = replace(left, **{name: getattr(right, name)})
        if mixed != left:
            refused(lambda mixed=mixed: verify_transaction(mixed, client_at(KNOWN), SIGNATURES.verify))


def test_a_receipt_is_refused_when_it_is_of_the_end_of_the_block():
    last = len(CHAIN.receipts(3)) - 1
    proof = transaction_proof(3, 1)
    swapped = replace(proof, receipt=CHAIN.receipts(3)[last], receipt_inclusion=CHAIN.receipt_inclusion(3, last))
    refused(lambda: verify_transaction(swapped, client_at(KNOWN)), "proof_receipt_wrong")


def test_absence_is_refused_when_the_record_is_there_and_presence_when_it_is_not():
    state = values_at(8)
    present = next(key for key, value in sorted(state.items()) if value is not None)
    absent = next(key for key in BUILDER.key_pool if state.get(key) is None)
    client = client_at(KNOWN)
    refused(lambda: verify_state_at(replace(state_proof(present), value=None), client), "proof_invalid")
    refused(lambda: verify_state_at(replace(state_proof(present), value=b"other"), client), "proof_invalid")
    refused(lambda: verify_state_at(replace(state_proof(absent), value=b"x"), client), "proof_invalid")
    refused(lambda: verify_state_at(replace(state_proof(absent), key=present), client), "proof_invalid")


def test_state_is_refused_when_the_header_carries_no_root():
    proof = replace(state_proof(b"never written"), header=header_proof(11))
    refused(lambda: verify_state_at(proof, client_at(KNOWN)), "proof_checkpoint_missing")


def test_state_is_refused_when_the_root_is_of_another_checkpoint():
    proof = replace(state_proof(b"never written"), header=header_proof(8))
    refused(lambda: verify_state_at(proof, client_at(KNOWN)), "proof_invalid")


def test_a_change_is_refused_when_the_tree_is_said_to_be_larger():
    proof = change_proof(3)
    size = proof.inclusion.size + 1
    longer = replace(proof, inclusion=replace(proof.inclusion, size=size))
    refused(lambda: verify_change(longer, client_at(KNOWN)), "proof_change_wrong")


def test_a_change_is_refused_when_it_is_shown_as_a_deletion():
    height, place = next(
        (h, i) for h in range(1, TIP) for i, (_, v) in enumerate(sorted(WRITES[h - 1].items())) if v is not None
    )
    refused(lambda: verify_change(replace(change_proof(height, place), value=None), client_at(KNOWN)))


def test_a_forged_tree_is_refused_when_a_leaf_is_passed_off_as_a_node():
    key = b"forged"
    leaf = change_leaf(key, b"v")
    forged = ChangeProof(header_proof(3), inclusion_of([leaf_hash(leaf)], 0), key, b"v")
    refused(lambda: verify_change(forged, client_at(KNOWN)))


@pytest.mark.parametrize("signers", [KEYS[:1], KEYS[:2]])
def test_a_newer_header_is_refused_when_no_quorum_sealed_it(signers: list[Any]):
    proof = header_proof(TIP)
    weak = replace(proof, certificate=certificate_for(proof.header, signers))
    refused(lambda: believe(client_at(KNOWN), weak), "certificate_invalid")


def test_an_older_header_is_refused_when_only_a_certificate_speaks_for_it():
    """Keys that retired long ago could make another past."""
    sealed = HeaderProof(CHAIN.header(3), CHAIN.certificate(3), (), 0, None)
    refused(lambda: believe(client_at(KNOWN), sealed), "client_header_old")
    refused(lambda: believe(client_at(KNOWN), replace(header_proof(3), certificate=CHAIN.certificate(3))))


def test_the_known_header_is_refused_when_it_is_another():
    other = replace(header_proof(KNOWN), header=replace(CHAIN.header(KNOWN), time_ms=5))
    refused(lambda: believe(client_at(KNOWN), other), "client_header_other")


def test_a_header_is_refused_when_nothing_speaks_for_it():
    bare = HeaderProof(CHAIN.header(TIP), None, (), 0, None)
    refused(lambda: believe(client_at(KNOWN), bare), "client_certificate_missing")
    refused(lambda: believe(client_at(KNOWN), replace(bare, anchor_height=3)), "client_header_wrong")
    refused(lambda: believe(client_at(KNOWN), replace(bare, validators=VALIDATORS.keys)), "client_header_wrong")


def test_a_header_is_refused_when_its_history_leads_to_another_header():
    refused(lambda: believe(client_at(KNOWN), header_proof(3, TIP)), "client_history_missing")


def test_headers_are_refused_when_they_are_of_another_chain():
    for proof in (header_proof(3), header_proof(KNOWN), header_proof(TIP)):
        foreign = replace(proof, header=replace(proof.header, chain_id=b"\x77" * 32))
        refused(lambda foreign=foreign: believe(client_at(KNOWN), foreign), "client_chain_wrong")


def test_everything_is_refused_when_the_client_is_frozen():
    frozen = replace(client_at(KNOWN), frozen=True)
    for height in (3, KNOWN, TIP):
        refused(lambda height=height: believe(frozen, header_proof(height)), "client_frozen")


def test_following_is_refused_when_a_header_changes_nothing():
    refused(lambda: follow(client_at(KNOWN), (header_proof(TIP),)), "client_step_idle")


def test_descent_is_refused_when_the_known_header_is_not_in_the_history():
    client, header = client_at(KNOWN), CHAIN.header(TIP)
    wrong = replace(client, latest=replace(client.latest, block_id=bytes(32)))
    back = CHAIN.history_inclusion(KNOWN, TIP)
    refused(lambda: check_descends(wrong, header, back), "proof_invalid")
    refused(lambda: check_descends(wrong, CHAIN.header(KNOWN + 1), None), "client_parent_wrong")
    refused(lambda: check_descends(client, header, None), "client_history_missing")
    refused(lambda: check_descends(client, header, CHAIN.history_inclusion(KNOWN - 1, TIP)), "client_history_missing")
    shorter = Inclusion(back.index, back.size, back.path[:-1])
    refused(lambda: check_descends(client, header, shorter), "proof_invalid")


def test_a_block_is_refused_when_entries_are_left_out_or_moved():
    proof, client = block_proof(3), client_at(KNOWN)
    refused(lambda: verify_block(replace(proof, refs=proof.refs[64:]), client), "proof_block_wrong")
    refused(lambda: verify_block(replace(proof, refs=proof.refs[64:] + proof.refs[:64]), client), "proof_block_wrong")
    refused(lambda: verify_block(replace(proof, receipts=proof.receipts[:-1]), client), "proof_block_wrong")
    refused(lambda: verify_block(replace(proof, receipts=proof.receipts[::-1]), client), "proof_block_wrong")


def test_a_transaction_is_refused_when_its_witness_is_another():
    """The block names transaction id and witness hash: other signatures are no part of it."""
    proof = transaction_proof(3, 0)
    transaction = Transaction.decode(proof.transaction)
    key, signature = transaction.witness.signatures[0]
    other = replace(transaction.witness, signatures=((key, signature[:-1] + bytes([signature[-1] ^ 1])),))
    wire = encode((encode(transaction.body), encode(other)))
    assert Transaction.decode(wire).tx_id == transaction.tx_id
    refused(lambda: verify_transaction(replace(proof, transaction=wire), client_at(KNOWN)), "proof_invalid")


def test_steps_round_trip_when_encoded():
    step = Step(header_proof(TIP), CHAIN.history_inclusion(KNOWN, TIP))
    assert Codec(Step, 128 * 1024).decode(encode(step)) == step
