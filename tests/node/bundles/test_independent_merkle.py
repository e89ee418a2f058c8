"""Our Merkle trees and proofs against a library that is not ours (pymerkle): RFC 6962 roots, inclusion, consistency.

Theirs writes a proof otherwise: with the leaf's hash in front, and saying on which side each hash is joined. That shape
follows from the sizes alone and is taken from a tree of theirs with other leaves; every hash is taken from ours.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof
from pymerkle.proof import InclusionProof, verify_consistency, verify_inclusion

from ledger import merkle
from ledger.block import change_leaf
from ledger.errors import InvalidProof as NotOurs
from node.bundles.records import EvidenceContent
from node.evidence_bundle import content_of, read_bundle
from tests.node.bundles.made import made

pytestmark = pytest.mark.xdist_group("bundles")
LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def theirs(leaves: list[bytes]) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    return tree


def others(size: int) -> list[bytes]:
    return [b"other" + index.to_bytes(4, "big") for index in range(size)]


def inclusion(leaf: bytes, index: int, size: int, path: tuple[bytes, ...]) -> InclusionProof:
    """A proof of ours in their form."""
    rule = theirs(others(size)).prove_inclusion(index + 1, size).rule
    return InclusionProof("sha256", True, size, index + 1, rule, [merkle.leaf_hash(leaf), *path])


@settings(max_examples=60, deadline=None)
@given(LEAVES, st.data())
def test_our_inclusion_proofs_verify_with_theirs(leaves: list[bytes], data: st.DataObject) -> None:
    size, root = len(leaves), merkle.root(leaves)
    assert root == theirs(leaves).get_root()
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof([merkle.leaf_hash(leaf) for leaf in leaves], index)
    proof = inclusion(leaves[index], index, size, path)
    verify_inclusion(merkle.leaf_hash(leaves[index]), root, proof, index=index + 1, size=size)
    with pytest.raises(InvalidProof):
        verify_inclusion(merkle.leaf_hash(leaves[index]), merkle.leaf_hash(root), proof)


@settings(max_examples=60, deadline=None)
@given(LEAVES, st.data())
def test_our_consistency_is_theirs(leaves: list[bytes], data: st.DataObject) -> None:
    """Their consistency proofs have another form than RFC 6962's; what both say of the same two roots is compared."""
    new = len(leaves)
    old = data.draw(st.integers(1, new))
    before, after = merkle.root(leaves[:old]), merkle.root(leaves)
    path = merkle.consistency_proof([merkle.leaf_hash(leaf) for leaf in leaves], old)
    merkle.verify_consistency(old, new, before, after, path)
    proof = theirs(leaves).prove_consistency(old, new)
    verify_consistency(before, after, proof, prior_size=old, later_size=new)
    wrong = merkle.leaf_hash(before)
    with pytest.raises(InvalidProof):
        verify_consistency(wrong, after, proof)
    with pytest.raises(NotOurs):
        merkle.verify_consistency(old, new, wrong, after, path)


@pytest.mark.parametrize("name", ["note", "decided", "reported"])
def test_every_proof_of_a_bundle_verifies_with_theirs(name: str) -> None:
    content = content_of(read_bundle(made().bundles[name]), EvidenceContent)
    checked = 0
    for part in content.chains:
        headers = {step.header.height: step.header for step in part.headers}
        for step in part.steps:
            place = step.receipt_inclusion
            proof = inclusion(step.receipt, place.index, place.size, place.path)
            verify_inclusion(merkle.leaf_hash(step.receipt), headers[step.height].receipts_root, proof)
            checked += 1
        for change in part.changes:
            leaf, place = change_leaf(change.key, change.value), change.inclusion
            proof = inclusion(leaf, place.index, place.size, place.path)
            verify_inclusion(merkle.leaf_hash(leaf), headers[change.height].changes_root, proof)
            checked += 1
    assert checked >= 8
