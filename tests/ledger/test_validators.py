"""Validator sets and the thresholds of QBFT."""

import pytest
from chains import CHAIN_ID

from ledger.errors import InvalidInput
from ledger.validators import MAX_VALIDATORS, ValidatorSet


def keys(count):
    return [b"\x01" + bytes([i]) * 32 for i in range(count)]


# n, largest f with n ≥ 3f + 1, quorum ⌈(n + f + 1) / 2⌉, f + 1 (arXiv 2002.03613, section 3).
TABLE = [
    (1, 0, 1, 1),
    (2, 0, 2, 1),
    (3, 0, 2, 1),
    (4, 1, 3, 2),
    (5, 1, 4, 2),
    (6, 1, 4, 2),
    (7, 2, 5, 3),
    (8, 2, 6, 3),
    (9, 2, 6, 3),
    (10, 3, 7, 4),
]


@pytest.mark.parametrize(("count", "faulty", "quorum", "weak"), TABLE)
def test_thresholds(count, faulty, quorum, weak):
    validators = ValidatorSet(keys(count))
    assert (validators.max_faulty, validators.quorum, validators.weak_quorum) == (faulty, quorum, weak)


@pytest.mark.parametrize("count", range(1, MAX_VALIDATORS + 1))
def test_what_the_thresholds_are_for(count):
    validators = ValidatorSet(keys(count))
    quorum, faulty = validators.quorum, validators.max_faulty
    assert 2 * quorum - count > faulty, "two quorums share an honest validator"
    assert quorum <= count - faulty, "the honest alone are a quorum"
    assert 3 * faulty < count <= 3 * faulty + 3
    assert 2 * (quorum - 1) - count <= faulty, "no smaller quorum would do"


def test_order_of_the_keys_does_not_matter():
    one, two = ValidatorSet(keys(5)), ValidatorSet(reversed(keys(5)))
    assert one == two
    assert hash(one) == hash(two)
    assert one.keys == two.keys == tuple(sorted(keys(5)))
    assert one.hash(CHAIN_ID) == two.hash(CHAIN_ID)
    assert one != ValidatorSet(keys(4))
    assert one != keys(5)


def test_hash_names_the_set_and_the_chain():
    hashes = {ValidatorSet(keys(count)).hash(chain) for count in (1, 2, 3) for chain in (CHAIN_ID, bytes(32))}
    assert len(hashes) == 6


def test_members_and_places():
    validators = ValidatorSet(keys(4))
    assert len(validators) == 4
    for place, key in enumerate(sorted(keys(4))):
        assert key in validators
        assert validators.index(key) == place
    assert keys(5)[4] not in validators
    assert validators.index(keys(5)[4]) is None


@pytest.mark.parametrize(
    "wrong", [[], keys(2) + keys(1), keys(MAX_VALIDATORS + 1)], ids=["none", "doubled", "too many"]
)
def test_empty_doubled_and_oversized_sets_are_refused(wrong):
    with pytest.raises(InvalidInput) as error:
        ValidatorSet(wrong)
    assert error.value.code == "validators_invalid"
