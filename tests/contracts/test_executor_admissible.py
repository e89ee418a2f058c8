"""What makes a whole block invalid: wrong chain, expiry, replay, signatures, missing inputs."""

from __future__ import annotations

import msgspec
import pytest

from contracts import codes
from contracts.executor import MAX_EXPIRED_IDS_PER_BLOCK
from ledger.errors import InvalidTransaction
from ledger.state import live_id_key
from ledger.store import Kind
from ledger.transaction import Output, Transaction, assemble, naming, sign_body
from tests.contracts.bench import ALICE, BOB, CAROL, CNY, SUPPLY, WINDOW, Bench, fresh, lock


@pytest.fixture
def bench() -> Bench:
    return Bench()


def refused(bench: Bench, *transactions: Transaction) -> str:
    """The code for which the last of the transactions must not be in the block with the others."""
    *good, bad = transactions
    execution = bench.execution()
    for transaction in good:
        assert execution.add(fresh(transaction)) is None
    before = dict(execution.overlay.writes)
    with pytest.raises(InvalidTransaction) as caught:
        execution.add(fresh(bad))
    assert execution.overlay.writes == before, "a transaction that is not in the block left a trace"
    assert caught.value.code in codes.BLOCK_BREAKING
    assert len(execution.finish().receipts) == len(good) + 1
    return caught.value.code


def test_block_is_refused_when_transaction_names_another_chain(bench: Bench) -> None:
    assert refused(bench, bench.pay(chain_id=bytes(32))) == codes.CHAIN_WRONG


def test_block_is_refused_when_transaction_is_expired(bench: Bench) -> None:
    assert refused(bench, bench.pay(expiry_height=0)) == codes.EXPIRED


def test_transaction_is_taken_when_it_expires_with_this_very_block(bench: Bench) -> None:
    assert bench.code(bench.pay(expiry_height=1)) == "ok"


def test_transaction_is_taken_when_it_expires_at_the_end_of_the_window(bench: Bench) -> None:
    assert bench.code(bench.pay(expiry_height=1 + WINDOW)) == "ok"


@pytest.mark.parametrize("expiry", [2 + WINDOW, 2**53 - 1])
def test_block_is_refused_when_transaction_expires_beyond_the_window(bench: Bench, expiry: int) -> None:
    assert refused(bench, bench.pay(expiry_height=expiry)) == codes.EXPIRY_TOO_FAR


def test_block_is_refused_when_it_has_a_transaction_twice(bench: Bench) -> None:
    transaction = bench.make(outputs=[], calls=[], sender=ALICE)  # refused as empty, and still only once
    execution = bench.execution()
    assert execution.add(fresh(transaction)).code == codes.EMPTY
    with pytest.raises(InvalidTransaction) as caught:
        execution.add(fresh(transaction))
    assert caught.value.code == codes.REPLAYED


def test_block_is_refused_when_transaction_was_in_an_earlier_one(bench: Bench) -> None:
    transaction = bench.pay()
    bench.block(transaction)
    assert refused(bench, transaction) == codes.REPLAYED
    bench.block()
    assert refused(bench, transaction) == codes.REPLAYED


def test_refused_transaction_cannot_be_tried_again_when_its_reason_is_gone(bench: Bench) -> None:
    transaction = bench.make([bench.coin(0)], [Output(CNY, SUPPLY, "account(later)")])
    assert bench.code(transaction) == codes.ACCOUNT_UNKNOWN
    assert refused(bench, transaction) == codes.REPLAYED


def test_replay_is_refused_as_expired_when_its_id_has_been_forgotten(bench: Bench) -> None:
    transaction = bench.pay(expiry_height=2)
    bench.block(transaction)
    bench.block()
    assert bench.live_ids() == 1
    assert refused(bench, transaction) == codes.EXPIRED
    bench.block()
    assert bench.live_ids() == 0
    assert refused(bench, transaction) == codes.EXPIRED


def test_id_is_kept_when_its_transaction_could_still_be_in_the_block(bench: Bench) -> None:
    transaction = bench.pay(expiry_height=3)
    bench.block(transaction)
    bench.block()
    assert refused(bench, transaction) == codes.REPLAYED  # in block 3, the last that it may be in
    bench.block()
    assert bench.live_ids() == 1


def test_expired_ids_leave_in_bounded_portions_when_there_are_very_many(bench: Bench) -> None:
    count = MAX_EXPIRED_IDS_PER_BLOCK + 10
    bench.store.write({Kind.STATE + live_id_key(0, number.to_bytes(32, "big")): b"" for number in range(count)})
    bench.store.write({Kind.STATE + live_id_key(7, bytes(32)): b""})
    bench.block()
    assert bench.live_ids() == 10 + 1
    bench.block()
    assert bench.live_ids() == 1


def test_block_is_refused_when_a_signature_is_of_other_bytes(bench: Bench) -> None:
    transaction = bench.pay()
    (key, signature), *_ = transaction.witness.signatures
    forged = signature[:1] + bytes([signature[1] ^ 1]) + signature[2:]
    assert refused(bench, assemble(transaction.body, [(key, forged)])) == codes.SIGNATURE_INVALID


def test_block_is_refused_when_a_signature_was_made_for_another_transaction(bench: Bench) -> None:
    other = bench.pay()
    assert refused(bench, assemble(bench.body(), other.witness.signatures)) == codes.SIGNATURE_INVALID


def test_block_is_refused_when_a_superfluous_signature_does_not_even_verify(bench: Bench) -> None:
    body = naming(bench.pay().body, [ALICE.public, BOB.public])
    signatures = [*sign_body(body, [ALICE]), (BOB.public, b"\x01" + bytes(64))]
    assert refused(bench, assemble(body, signatures)) == codes.SIGNATURE_INVALID


def test_block_is_refused_when_a_cosigner_signed_other_bytes(bench: Bench) -> None:
    good = bench.pay(6, keys=[ALICE, BOB])
    other = bench.pay(6, keys=[ALICE, BOB])
    mixed = {**dict(good.witness.signatures), BOB.public: dict(other.witness.signatures)[BOB.public]}
    assert refused(bench, assemble(good.body, mixed.items())) == codes.SIGNATURE_INVALID
    assert bench.code(good) == "ok"


def test_signatures_do_not_carry_over_when_the_body_names_others(bench: Bench) -> None:
    good = bench.pay(6, keys=[ALICE, BOB])
    fewer = naming(good.body, [ALICE.public])
    signatures = [pair for pair in good.witness.signatures if pair[0] == ALICE.public]
    assert refused(bench, assemble(fewer, signatures)) == codes.SIGNATURE_INVALID
    more = naming(good.body, [ALICE.public, BOB.public, CAROL.public])
    signatures = [*good.witness.signatures, *sign_body(more, [CAROL])]
    assert refused(bench, assemble(more, signatures)) == codes.SIGNATURE_INVALID
    assert bench.code(good) == "ok"


def test_preimages_do_not_carry_over_when_the_body_names_others(bench: Bench) -> None:
    good = bench.pay(0, preimages=[b"one"])
    other = naming(good.body, [], [b"two"])
    assert refused(bench, assemble(other, good.witness.signatures, [b"two"])) == codes.SIGNATURE_INVALID


def test_signature_does_not_carry_over_when_the_body_changes(bench: Bench) -> None:
    body = bench.pay().body
    signatures = sign_body(body, [ALICE])
    changed = msgspec.structs.replace(body, outputs=(Output(CNY, SUPPLY, lock(CAROL)),))
    assert refused(bench, assemble(changed, signatures)) == codes.SIGNATURE_INVALID


def test_block_is_refused_when_an_input_never_existed(bench: Bench) -> None:
    assert refused(bench, bench.make([bytes(36)], [Output(CNY, 1, lock(BOB))])) == codes.INPUT_MISSING


def test_block_is_refused_when_it_spends_an_output_twice(bench: Bench) -> None:
    assert refused(bench, bench.pay(0), bench.pay(0, to=lock(CAROL))) == codes.INPUT_MISSING


def test_block_is_refused_when_an_earlier_block_spent_the_input(bench: Bench) -> None:
    bench.block(bench.pay(0))
    assert refused(bench, bench.pay(0, to=lock(CAROL))) == codes.INPUT_MISSING


def test_input_stays_spendable_when_its_first_spender_was_refused(bench: Bench) -> None:
    bad = bench.make([bench.coin(0)], [Output(CNY, SUPPLY + 1, lock(BOB))])
    receipts = bench.block(bad, bench.pay(0))
    assert [receipt.code for receipt in receipts[:2]] == [codes.UNBALANCED, "ok"]


def test_output_can_be_spent_in_the_same_block_when_its_transaction_comes_first(bench: Bench) -> None:
    parent = bench.pay(0)
    child = bench.make([parent.tx_id + bytes(4)], [Output(CNY, SUPPLY, lock(CAROL))], sender=BOB)
    assert refused(bench, child) == codes.INPUT_MISSING
    assert [receipt.code for receipt in bench.block(parent, child)] == ["ok", "ok", "ok"]
    assert bench.output(parent.tx_id + bytes(4)) is None
    assert bench.output(child.tx_id + bytes(4)) == Output(CNY, SUPPLY, lock(CAROL))


def test_child_cannot_be_in_the_block_when_its_parent_was_refused(bench: Bench) -> None:
    parent = bench.make([bench.coin(0)], [Output(CNY, SUPPLY + 1, lock(BOB))])
    child = bench.make([parent.tx_id + bytes(4)], [Output(CNY, SUPPLY + 1, lock(CAROL))], sender=BOB)
    execution = bench.execution()
    assert execution.add(parent).code == codes.UNBALANCED
    with pytest.raises(InvalidTransaction) as caught:
        execution.add(child)
    assert caught.value.code == codes.INPUT_MISSING
