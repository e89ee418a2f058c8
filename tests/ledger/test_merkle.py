"""Merkle trees: the published test tree, every size by exhaustion, and every way to spoil a proof."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidProof, LocalMisuse
from ledger.merkle import (
    EMPTY_ROOT,
    GrowingTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    root_of_hashes,
    verify_consistency,
    verify_inclusion,
)

# The tree that Certificate Transparency's own implementations are tested with.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MAX = 66
HASHES = [leaf_hash(b"%d" % i) for i in range(MAX)]


def slow_root(hashes):
    """RFC 6962, 2.1, word for word."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(slow_root(hashes[:split]), slow_root(hashes[split:]))


SLOW = [slow_root(HASHES[:size]) for size in range(MAX + 1)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    assert root(LEAVES[:size]).hex() == ROOTS[size]


def test_published_proofs():
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [step.hex() for step in inclusion_proof(hashes, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [step.hex() for step in consistency_proof(hashes, 1)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [step.hex() for step in consistency_proof(hashes, 6)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@pytest.mark.parametrize("size", range(MAX + 1))
def test_root_is_that_of_the_definition(size):
    assert root_of_hashes(HASHES[:size]) == SLOW[size]


def test_root_leaves_its_argument_alone():
    hashes = list(HASHES)
    root_of_hashes(hashes)
    inclusion_proof(hashes, 3)
    consistency_proof(hashes, 3)
    assert hashes == HASHES


@pytest.mark.parametrize("size", range(1, MAX + 1))
def test_inclusion_of_every_leaf_in_every_size(size):
    for index in range(size):
        path = inclusion_proof(HASHES[:size], index)
        assert len(path) <= (size - 1).bit_length()
        verify_inclusion(HASHES[index], index, size, path, SLOW[size])


@pytest.mark.parametrize("new", range(1, MAX + 1))
def test_consistency_of_every_pair_of_sizes(new):
    for old in range(1, new + 1):
        verify_consistency(old, new, SLOW[old], SLOW[new], consistency_proof(HASHES[:new], old))


def refused_inclusion(*arguments):
    with pytest.raises(InvalidProof):
        verify_inclusion(*arguments)


def flip(data, position=0):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 13, 16, 33, 65])
def test_spoiled_inclusion_proofs_are_refused(size):
    good_root = SLOW[size]
    for index in range(size):
        leaf, path = HASHES[index], inclusion_proof(HASHES[:size], index)
        refused_inclusion(flip(leaf), index, size, path, good_root)
        refused_inclusion(leaf, index, size, path, flip(good_root))
        refused_inclusion(leaf, index, size, [*path, EMPTY_ROOT], good_root)
        for position in range(len(path)):
            spoiled = [*path[:position], flip(path[position], position % 32), *path[position + 1 :]]
            refused_inclusion(leaf, index, size, spoiled, good_root)
            refused_inclusion(leaf, index, size, [*path[:position], *path[position + 1 :]], good_root)
        for other in {index - 1, index + 1, size - 1, 0} - {index}:
            refused_inclusion(leaf, other, size, path, good_root)
        refused_inclusion(leaf, index, index, path, good_root)
        refused_inclusion(leaf, size, size, path, good_root)
        refused_inclusion(leaf, -1, size, path, good_root)


@pytest.mark.parametrize(("old", "new"), [(o, n) for n in (2, 3, 7, 8, 9, 16, 21, 65) for o in range(1, n)])
def test_spoiled_consistency_proofs_are_refused(old, new):
    path = consistency_proof(HASHES[:new], old)

    def refused(*arguments):
        with pytest.raises(InvalidProof):
            verify_consistency(*arguments)

    refused(old, new, flip(SLOW[old]), SLOW[new], path)
    refused(old, new, SLOW[old], flip(SLOW[new]), path)
    refused(old, new, SLOW[old], SLOW[new], [*path, EMPTY_ROOT])
    refused(new, old, SLOW[new], SLOW[old], path)
    for position in range(len(path)):
        refused(old, new, SLOW[old], SLOW[new], [*path[:position], flip(path[position]), *path[position + 1 :]])
        refused(old, new, SLOW[old], SLOW[new], [*path[:position], *path[position + 1 :]])


def test_consistency_at_the_edges():
    verify_consistency(5, 5, SLOW[5], SLOW[5], [])
    for arguments in (
        (5, 5, SLOW[5], SLOW[6], []),
        (5, 5, SLOW[5], SLOW[5], [SLOW[5]]),
        (0, 5, EMPTY_ROOT, SLOW[5], []),
        (6, 5, SLOW[6], SLOW[5], []),
        (3, 5, SLOW[3], SLOW[5], []),
    ):
        with pytest.raises(InvalidProof):
            verify_consistency(*arguments)


def test_proofs_of_what_is_not_there_are_local_misuse():
    for size, index in ((0, 0), (3, 3), (3, -1)):
        with pytest.raises(LocalMisuse):
            inclusion_proof(HASHES[:size], index)
    for size, old in ((0, 0), (3, 0), (3, 4)):
        with pytest.raises(LocalMisuse):
            consistency_proof(HASHES[:size], old)


def test_a_node_can_never_pass_as_a_leaf():
    both = root(LEAVES[:2])
    assert leaf_hash(leaf_hash(LEAVES[0]) + leaf_hash(LEAVES[1])) != both
    assert root([leaf_hash(LEAVES[0]), leaf_hash(LEAVES[1])]) != both


def test_growing_tree_has_the_root_at_every_size_and_can_be_taken_up_again():
    tree = GrowingTree()
    for size in range(MAX + 1):
        assert tree.size == size
        assert tree.root() == root([b"%d" % i for i in range(size)])
        assert len(tree.peaks) == size.bit_count()
        tree = GrowingTree(tree.size, tuple(tree.peaks))
        tree.append(b"%d" % size)


def test_copy_of_a_growing_tree_is_independent():
    tree = GrowingTree()
    tree.append(b"a")
    copy = tree.copy()
    copy.append(b"b")
    assert (tree.size, tree.root()) == (1, root([b"a"]))
    assert copy.root() == root([b"a", b"b"])


def test_growing_tree_with_the_wrong_peaks_is_local_misuse():
    with pytest.raises(LocalMisuse):
        GrowingTree(3, (EMPTY_ROOT,))


@given(st.lists(st.binary(max_size=8), max_size=40), st.lists(st.binary(max_size=8), max_size=40))
def test_different_leaves_have_different_roots(one, two):
    assert (root(one) == root(two)) == (one == two)


@given(st.integers(1, 60), st.integers(0, 59), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_made_up_proofs_are_refused(size, index, path):
    with pytest.raises(InvalidProof):
        verify_inclusion(bytes(32), index, size, path, SLOW[size])
    if index:
        with pytest.raises(InvalidProof):
            verify_consistency(index, size + index, bytes(32), SLOW[size], path)
