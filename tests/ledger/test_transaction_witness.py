"""A body leaves its witness no choice: any other signers or preimages are refused, whoever put or took them."""

from hashlib import sha256
from itertools import chain, combinations

import pytest
from chains import ALICE
from msgspec.structs import replace
from wires import BOB, CAROL, FULL, refused, signed_wire, wire_of, witness_of

from ledger.encoding import encode
from ledger.errors import InvalidTransaction
from ledger.keys import verify
from ledger.transaction import Transaction, assemble, build, naming, sign_body

GOOD = build(FULL, [ALICE, BOB], [b"one", b"two"])


def hashes(*preimages):
    return tuple(sorted(sha256(preimage).digest() for preimage in preimages))


def subsets(things):
    return chain.from_iterable(combinations(things, count) for count in range(len(things) + 1))


# --- naming -------------------------------------------------------------------------------------------------------


def test_naming_names_signers_and_preimages_sorted_and_once():
    signers = [CAROL.public, BOB.public, CAROL.public]
    preimages = [b"two", b"one", b"three", b"two"]
    named = naming(FULL, signers, preimages)
    assert named.cosigners == tuple(sorted({BOB.public, CAROL.public}))
    assert named.preimage_hashes == hashes(b"one", b"two", b"three")
    assert naming(FULL, reversed(signers), iter(preimages[::-1])) == named


def test_naming_changes_nothing_else():
    named = naming(FULL, [BOB.public], [b"one"])
    assert replace(named, cosigners=(), preimage_hashes=()) == FULL


def test_naming_leaves_the_sender_out_of_the_cosigners():
    assert naming(FULL, [ALICE.public]) == naming(FULL, []) == FULL
    assert naming(FULL, [ALICE.public, BOB.public]).cosigners == (BOB.public,)


def test_naming_forgets_whoever_was_named_before():
    assert naming(naming(FULL, [BOB.public], [b"one"]), [CAROL.public]) == naming(FULL, [CAROL.public])


def test_build_names_its_keys_and_preimages():
    assert GOOD.body == naming(FULL, [ALICE.public, BOB.public], [b"one", b"two"])
    assert build(FULL, iter([BOB, ALICE]), iter([b"two", b"one"])).wire == GOOD.wire
    for key, signature in GOOD.witness.signatures:
        assert verify(key, GOOD.tx_id, signature)


def test_named_signers_and_preimages_are_in_the_id():
    ids = {
        build(FULL, keys, preimages).tx_id
        for keys in ([ALICE], [ALICE, BOB], [ALICE, CAROL], [ALICE, BOB, CAROL])
        for preimages in ([], [b"one"], [b"two"], [b"one", b"two"])
    }
    assert len(ids) == 16


@pytest.mark.parametrize("keys", [[], [BOB], [BOB, CAROL]], ids=len)
def test_build_without_the_senders_key_is_refused(keys):
    with pytest.raises(InvalidTransaction) as error:
        build(FULL, keys)
    assert error.value.code == "signature_missing"


# --- signers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cosigners", "keys"),
    [((), ()), ((BOB,), ()), ((BOB,), (ALICE,)), ((BOB,), (BOB,)), ((BOB, CAROL), (ALICE, CAROL))],
    ids=range(5),
)
def test_signature_of_the_sender_or_a_cosigner_is_missing(cosigners, keys):
    named = naming(FULL, [key.public for key in cosigners])
    refused(signed_wire(named, keys), InvalidTransaction, "signature_missing")


@pytest.mark.parametrize(
    ("cosigners", "keys"),
    [((), (ALICE, BOB)), ((), (BOB,)), ((BOB,), (ALICE, CAROL)), ((BOB,), (ALICE, BOB, CAROL))],
    ids=range(4),
)
def test_signature_that_the_body_does_not_name_is_superfluous(cosigners, keys):
    named = naming(FULL, [key.public for key in cosigners])
    refused(signed_wire(named, keys), InvalidTransaction, "signature_superfluous")


def test_cosigners_doubled_out_of_order_or_the_sender_again():
    first, second = sorted([BOB.public, CAROL.public])
    for cosigners, keys in (
        ((second, first), [ALICE, BOB, CAROL]),
        ((first, first), [ALICE, BOB, CAROL]),
        ((BOB.public, BOB.public), [ALICE, BOB]),
        ((ALICE.public,), [ALICE]),
        (tuple(sorted([ALICE.public, BOB.public])), [ALICE, BOB]),
    ):
        refused(signed_wire(replace(FULL, cosigners=cosigners), keys), InvalidTransaction, "signer_duplicate")


# --- preimages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ((), (b"one",)),
        ((b"one",), ()),
        ((b"one",), (b"two",)),
        ((b"one",), (b"one", b"two")),
        ((b"one", b"two"), (b"one",)),
        ((b"one", b"two"), (b"one", b"three")),
        ((b"one",), (sha256(b"one").digest(),)),
    ],
    ids=range(7),
)
def test_preimages_that_are_not_those_of_the_body_are_wrong(named, given):
    said = naming(FULL, [], named)
    refused(signed_wire(said, preimages=sorted(given)), InvalidTransaction, "preimage_wrong")


def test_preimage_hashes_doubled_or_out_of_order():
    first, second = hashes(b"one", b"two")
    for named, preimages in (
        ((second, first), (b"one", b"two")),
        ((first, first), (b"one", b"two")),
        (hashes(b"one", b"one"), (b"one",)),
    ):
        said = replace(FULL, preimage_hashes=named)
        refused(signed_wire(said, preimages=preimages), InvalidTransaction, "preimage_duplicate")


def test_preimages_are_sorted_by_value_whatever_the_order_of_their_hashes():
    orders = set()
    for number in range(20):
        preimages = (b"a%d" % number, b"b%d" % number)
        made = build(FULL, [ALICE], preimages)
        assert made.witness.preimages == preimages
        orders.add(made.body.preimage_hashes == tuple(sha256(preimage).digest() for preimage in preimages))
    assert orders == {True, False}


# --- whoever passes it on -------------------------------------------------------------------------------------------


def test_only_the_whole_witness_is_one_when_parts_are_stripped_or_added_on_the_way():
    """Every choice of three good signatures and three preimages, of which the body names two each."""
    signatures = sign_body(GOOD.body, [ALICE, BOB, CAROL])
    preimages = (b"one", b"three", b"two")
    taken = []
    for some_signatures in subsets(signatures):
        for some_preimages in subsets(preimages):
            wire = wire_of(GOOD.body, witness_of(some_signatures, some_preimages))
            signers = {key for key, _ in some_signatures}
            if CAROL.public in signers:
                refused(wire, InvalidTransaction, "signature_superfluous")
            elif len(signers) < 2:
                refused(wire, InvalidTransaction, "signature_missing")
            elif set(some_preimages) != {b"one", b"two"}:
                refused(wire, InvalidTransaction, "preimage_wrong")
            else:
                taken.append(Transaction.decode(wire).wire)
    assert taken == [GOOD.wire]


def test_witness_of_another_transaction_with_other_signers_does_not_fit():
    other = build(FULL, [ALICE, CAROL], [b"one", b"two"])
    refused(wire_of(GOOD.body, encode(other.witness)), InvalidTransaction, "signature_superfluous")
    refused(wire_of(other.body, encode(GOOD.witness)), InvalidTransaction, "signature_superfluous")


@pytest.mark.parametrize(
    ("signers", "preimages"),
    [([ALICE], [b"one", b"two"]), ([ALICE, BOB], [b"one"]), ([ALICE, BOB], [])],
    ids=["signer", "preimage", "all preimages"],
)
def test_stripping_the_body_too_makes_another_transaction_that_nobody_signed(signers, preimages):
    """An intermediary can only name fewer under another id, and has no signature of that id."""
    stripped = naming(FULL, [key.public for key in signers], preimages)
    publics = {key.public for key in signers}
    kept = [(key, signature) for key, signature in GOOD.witness.signatures if key in publics]
    made = assemble(stripped, kept, preimages)
    assert made.tx_id != GOOD.tx_id
    assert not any(verify(key, made.tx_id, signature) for key, signature in made.witness.signatures)
