"""Locks of every kind in real transactions, and witnesses that are missing, wrong or superfluous."""

from __future__ import annotations

import pytest

from contracts import codes
from contracts.interface import CallContext, Contract, method
from ledger.encoding import Record
from ledger.errors import InvalidTransaction, MalformedBytes, TidegateError
from ledger.keys import SigningKey
from ledger.transaction import Output, Transaction, assemble, preimage_hash, sign_body
from tests.contracts.bench import ALICE, BOB, CAROL, CNY, ISSUER, STRANGER, SUPPLY, Bench, call, lock, with_witness

SECRET, OTHER_SECRET = b"open sesame", b"another"
HASHED = f"hash({preimage_hash(SECRET)})"


class IndexArguments(Record, frozen=True):
    index: int


class Keeper(Contract):
    """Approves the inputs that it is told to."""

    kind = "keeper"

    @method
    def approve(self, context: CallContext, arguments: IndexArguments) -> None:
        """Approves one input."""
        context.approve_input(arguments.index)


@pytest.fixture
def bench() -> Bench:
    return Bench(Keeper("keeper"), Keeper("rival"))


def locked(bench: Bench, text: str) -> bytes:
    """Outpoint of an output of all of one coin under a lock."""
    transaction = bench.pay(0, to=text)
    assert bench.code(transaction) == "ok"
    return transaction.tx_id + bytes(4)


def spend(bench: Bench, source: bytes, *keys: SigningKey, sender: SigningKey = ALICE, **changes: object) -> Transaction:
    return bench.make([source], [Output(CNY, SUPPLY, lock(CAROL))], sender=sender, keys=[sender, *keys], **changes)


CASES = [
    # lock, keys beside Alice's, preimages, code
    (lock(ALICE), [], [], "ok"),
    (lock(BOB), [], [], codes.LOCK_UNSATISFIED),
    (lock(BOB), [BOB], [], "ok"),
    (lock(ALICE), [BOB], [], codes.SIGNATURE_SUPERFLUOUS),
    (lock(BOB), [BOB, CAROL], [], codes.SIGNATURE_SUPERFLUOUS),
    (lock(BOB), [CAROL], [], codes.LOCK_UNSATISFIED),
    (lock(STRANGER), [STRANGER], [], "ok"),  # only the sender must be admitted
    ("account(shop)", [BOB], [], "ok"),
    ("account(shop)", [], [], codes.LOCK_UNSATISFIED),
    ("account(both)", [BOB], [], "ok"),
    ("account(both)", [], [], codes.LOCK_UNSATISFIED),
    (HASHED, [], [SECRET], "ok"),
    (HASHED, [], [], codes.LOCK_UNSATISFIED),
    (HASHED, [], [OTHER_SECRET], codes.LOCK_UNSATISFIED),
    (HASHED, [], [SECRET, OTHER_SECRET], codes.PREIMAGE_SUPERFLUOUS),
    (lock(ALICE), [], [SECRET], codes.PREIMAGE_SUPERFLUOUS),
    ("contract(keeper)", [], [], codes.LOCK_UNSATISFIED),
    ("after(2)", [], [], "ok"),
    ("after(3)", [], [], codes.LOCK_UNSATISFIED),
    (f"all({lock(BOB)},{HASHED})", [BOB], [SECRET], "ok"),
    (f"all({lock(BOB)},{HASHED})", [BOB], [], codes.LOCK_UNSATISFIED),
    (f"any({lock(BOB)},{HASHED})", [], [SECRET], "ok"),
    (f"any({lock(BOB)},{HASHED})", [BOB], [SECRET], "ok"),
    (f"any({lock(BOB)},after(99))", [], [], codes.LOCK_UNSATISFIED),
    (f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})", [], [], codes.LOCK_UNSATISFIED),
    (f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})", [CAROL], [], "ok"),
    (f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})", [BOB, CAROL], [], "ok"),
    (f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})", [BOB, ISSUER], [], codes.SIGNATURE_SUPERFLUOUS),
    (f"threshold(2,account(shop),after(2),{HASHED})", [BOB], [], "ok"),
]


@pytest.mark.parametrize(("text", "keys", "preimages", "expected"), CASES)
def test_lock_opens_only_with_what_it_asks_for_when_it_is_spent(
    bench: Bench, text: str, keys: list[SigningKey], preimages: list[bytes], expected: str
) -> None:
    source = locked(bench, text)
    before = bench.root()
    transaction = spend(bench, source, *keys, preimages=preimages)
    assert bench.code(transaction) == expected
    if expected == "ok":
        assert bench.output(source) is None
        assert bench.output(transaction.tx_id + bytes(4)) == Output(CNY, SUPPLY, lock(CAROL))
    else:
        assert bench.output(source) == Output(CNY, SUPPLY, text)
        assert bench.output(transaction.tx_id + bytes(4)) is None
        assert bench.root() != before  # its id is consumed
        assert bench.live_ids() == 2


def test_after_lock_opens_when_its_height_is_reached(bench: Bench) -> None:
    source = locked(bench, "after(3)")
    bench.block()
    assert bench.height == 2
    assert bench.code(spend(bench, source)) == "ok"


def test_contract_lock_opens_when_that_contract_approves_the_input(bench: Bench) -> None:
    source = locked(bench, "contract(keeper)")
    assert bench.code(spend(bench, source, calls=[call("keeper", "approve", 0)])) == "ok"


@pytest.mark.parametrize(("address", "index"), [("rival", 0), ("keeper", 1), ("keeper", -1), ("keeper", 7)])
def test_contract_lock_stays_shut_when_another_contract_or_input_is_approved(
    bench: Bench, address: str, index: int
) -> None:
    source = locked(bench, "contract(keeper)")
    assert bench.code(spend(bench, source, calls=[call(address, "approve", index)])) == codes.LOCK_UNSATISFIED


def test_approval_does_not_last_when_the_next_transaction_comes(bench: Bench) -> None:
    first, second = bench.pay(0, to="contract(keeper)"), bench.pay(1, to="contract(keeper)")
    bench.block(first, second)
    good = spend(bench, first.tx_id + bytes(4), calls=[call("keeper", "approve", 0)])
    receipts = bench.block(good, spend(bench, second.tx_id + bytes(4)))
    assert [receipt.code for receipt in receipts[:2]] == ["ok", codes.LOCK_UNSATISFIED]


def test_every_input_needs_its_own_lock_open_when_several_are_spent(bench: Bench) -> None:
    both = [bench.coin(0), bench.coin(6)]
    outputs = [Output(CNY, 2 * SUPPLY, lock(CAROL))]
    assert bench.code(bench.make(both, outputs)) == codes.LOCK_UNSATISFIED
    assert bench.code(bench.make(both, outputs, keys=[ALICE, BOB])) == "ok"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("account(nobody)", codes.ACCOUNT_UNKNOWN),
        ("contract(nothing)", codes.CONTRACT_UNKNOWN),
        (f"any({lock(ALICE)},account(nobody))", codes.ACCOUNT_UNKNOWN),
        (f"all({lock(ALICE)},any(after(1),contract(nothing)))", codes.CONTRACT_UNKNOWN),
        ("key(nonsense)", codes.LOCK_INVALID),
        ("after(01)", codes.LOCK_INVALID),
        (f"any({lock(ALICE)},{lock(ALICE)})", codes.LOCK_INVALID),
        ("any(any(any(any(after(1)))))", codes.LOCK_INVALID),
        ("x", codes.LOCK_INVALID),
    ],
)
def test_output_is_refused_when_nobody_could_ever_open_its_lock(bench: Bench, text: str, code: str) -> None:
    assert bench.code(bench.pay(0, to=text)) == code
    assert bench.output(bench.coin(0)) == Output(CNY, SUPPLY, lock(ALICE))


@pytest.mark.parametrize("keys", [[], [ALICE]])
def test_bytes_are_refused_when_the_sender_did_not_sign(bench: Bench, keys: list[SigningKey]) -> None:
    transaction = bench.pay(6, sender=BOB, keys=[*keys, BOB])
    assert decode_code(with_witness(transaction, sign_body(transaction.body, keys))) == "signature_missing"
    with pytest.raises(InvalidTransaction) as caught:
        bench.pay(6, sender=BOB, keys=keys)
    assert caught.value.code == "signature_missing"
    assert bench.output(bench.coin(6)) == Output(CNY, SUPPLY, lock(BOB))


def decode_code(transaction: Transaction) -> str:
    """The code for which nobody takes the bytes for a transaction."""
    with pytest.raises(TidegateError) as caught:
        Transaction.decode(transaction.wire)
    return caught.value.code


OTHERS_SIGNATURES = [
    # who signs what names Alice and Bob
    ([], "signature_missing"),
    ([ALICE], "signature_missing"),
    ([BOB], "signature_missing"),
    ([CAROL], "signature_superfluous"),
    ([ALICE, CAROL], "signature_superfluous"),
    ([BOB, CAROL], "signature_superfluous"),
    ([ALICE, BOB, CAROL], "signature_superfluous"),
    ([ALICE, BOB, STRANGER], "signature_superfluous"),
]


@pytest.mark.parametrize(("keys", "code"), OTHERS_SIGNATURES)
def test_bytes_are_refused_when_signatures_were_stripped_or_added(
    bench: Bench, keys: list[SigningKey], code: str
) -> None:
    good = spend(bench, locked(bench, lock(BOB)), BOB)
    bad = with_witness(good, sign_body(good.body, keys))
    assert bad.tx_id == good.tx_id
    assert decode_code(bad) == code
    assert bench.code(good) == "ok"


@pytest.mark.parametrize("preimages", [[], [OTHER_SECRET], [OTHER_SECRET, SECRET], [bytes(32)]])
def test_bytes_are_refused_when_preimages_were_stripped_or_added(bench: Bench, preimages: list[bytes]) -> None:
    good = spend(bench, locked(bench, HASHED), preimages=[SECRET])
    bad = with_witness(good, good.witness.signatures, preimages)
    assert bad.tx_id == good.tx_id
    assert decode_code(bad) == "preimage_wrong"
    assert bench.code(good) == "ok"


def test_bytes_are_refused_when_a_preimage_was_added_to_what_names_none(bench: Bench) -> None:
    good = bench.pay()
    assert decode_code(with_witness(good, good.witness.signatures, [SECRET])) == "preimage_wrong"
    assert bench.code(good) == "ok"


def test_bytes_are_refused_when_a_signature_stands_twice_or_out_of_order(bench: Bench) -> None:
    transaction = bench.make([bench.coin(0)], [Output(CNY, SUPPLY, lock(BOB))], keys=[ALICE, BOB])
    one, two = transaction.witness.signatures
    for signatures in ((one, one, two), (two, one)):
        assert decode_code(with_witness(transaction, signatures)) == "signature_duplicate"


def test_bytes_are_refused_when_a_key_gives_two_different_signatures(bench: Bench) -> None:
    body = bench.pay().body
    (key, signature), *_ = sign_body(body, [ALICE])
    with pytest.raises(TidegateError) as caught:
        assemble(body, [(key, signature), (key, signature[:-1] + b"\x00")])
    assert caught.value.code == "signature_duplicate"


@pytest.mark.parametrize("preimages", [(SECRET, SECRET), (SECRET, OTHER_SECRET)])
def test_bytes_are_refused_when_preimages_are_doubled_or_out_of_order(
    bench: Bench, preimages: tuple[bytes, ...]
) -> None:
    transaction = bench.pay(preimages=preimages)
    bad = with_witness(transaction, transaction.witness.signatures, preimages)
    assert decode_code(bad) == "preimage_duplicate"


def test_bytes_are_refused_when_there_are_more_signatures_than_allowed(bench: Bench) -> None:
    keys = [SigningKey(bytes([number]) * 32) for number in range(1, 34)]
    with pytest.raises(MalformedBytes):
        bench.pay(0, keys=[ALICE, *keys])
