"""Evidence against validators: what proves a fault, and that nothing proves one against who follows the protocol."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import encode
from ledger.errors import InvalidInput, InvalidProof
from ledger.keys import SigningKey
from ledger.misbehaviour import (
    MAX_MISBEHAVIOUR_BYTES,
    Fault,
    Misbehaviour,
    Statement,
    check,
    describe,
    misbehaviour_codec,
    misbehaviour_id,
)
from ledger.validators import MAX_VALIDATORS, ValidatorSet
from ledger.votes import Justification, RoundChangeVote, justification_hash

CHAIN, OTHER_CHAIN = bytes(range(32)), bytes(32)
EPOCH, HEIGHT = 3, 17
KEYS = sorted((SigningKey(bytes([i]) * 32) for i in range(1, 5)), key=lambda key: key.public)
SET = ValidatorSet(key.public for key in KEYS)
STRANGER = SigningKey(bytes([9]) * 32)
ONE, TWO = b"\x01" * 32, b"\x02" * 32


def said(
    key: SigningKey,
    kind: VoteKind,
    payload: bytes,
    round_: int = 0,
    *,
    height: int = HEIGHT,
    epoch: int = EPOCH,
    chain: bytes = CHAIN,
) -> Statement:
    signed = vote_digest(chain, epoch, kind, height, round_, payload)
    return Statement(int(kind), epoch, height, round_, key.public, key.sign(signed), payload)


def claim(round_: int | None = None, block: bytes | None = None) -> bytes:
    return encode((round_, block))


def change_vote(key: SigningKey, round_: int, prepared: tuple[int, bytes] | None = None) -> RoundChangeVote:
    vote = said(key, VoteKind.ROUND_CHANGE, claim(*(prepared or (None, None))), round_)
    return RoundChangeVote(key.public, vote.signature, *(prepared or (None, None)))


def proposed(key: SigningKey, block: bytes, round_: int, justification: Justification) -> Statement:
    return said(key, VoteKind.PROPOSAL, block + justification_hash(CHAIN, justification), round_)


def conflict(kind: VoteKind = VoteKind.PREPARE, **where: object) -> Misbehaviour:
    payloads = {
        VoteKind.PROPOSAL: (ONE + bytes(32), TWO + bytes(32)),
        VoteKind.ROUND_CHANGE: tuple(sorted((claim(), claim(0, ONE)))),
    }.get(kind, (ONE, TWO))
    first, second = (said(KEYS[0], kind, payload, 1, **where) for payload in payloads)  # type: ignore[arg-type]
    return Misbehaviour(Fault.CONFLICTING_MESSAGES.value, first, second, None)


def unjustified() -> Misbehaviour:
    """A fresh block over one that was prepared in round 0."""
    votes = (change_vote(KEYS[0], 1, (0, ONE)), change_vote(KEYS[1], 1), change_vote(KEYS[2], 1))
    seals = tuple((key.public, said(key, VoteKind.PREPARE, ONE).signature) for key in KEYS[:3])
    lie = Justification(votes, seals)
    return Misbehaviour(Fault.UNJUSTIFIED_PROPOSAL.value, proposed(KEYS[1], TWO, 1, lie), None, lie)


def forgotten(prepared: tuple[int, bytes] | None = None) -> Misbehaviour:
    commit = said(KEYS[0], VoteKind.COMMIT, ONE, 2)
    change = said(KEYS[0], VoteKind.ROUND_CHANGE, claim(*(prepared or (None, None))), 5)
    return Misbehaviour(Fault.FORGOTTEN_LOCK.value, commit, change, None)


PROOFS = {
    **{f"two_{kind.name}": conflict(kind) for kind in VoteKind},
    "unjustified": unjustified(),
    "without_justification": Misbehaviour(
        Fault.UNJUSTIFIED_PROPOSAL.value, proposed(KEYS[2], ONE, 2, Justification()), None, Justification()
    ),
    "forgotten": forgotten(),
    "forgotten_for_an_older_lock": forgotten((1, TWO)),
}


def judge(evidence: Misbehaviour, chain: bytes = CHAIN, epoch: int = EPOCH, members: ValidatorSet = SET) -> str:
    """``proved``, or the code of the refusal."""
    try:
        check(evidence, chain, epoch, members)
    except InvalidProof as error:
        return error.code.removeprefix("misbehaviour_") if error.data["field"] else "no field named"
    return "proved"


@pytest.mark.parametrize("name", PROOFS)
def test_a_fault_is_proved_when_the_accused_signed_it(name: str) -> None:
    evidence = PROOFS[name]
    assert judge(evidence) == "proved"
    assert misbehaviour_codec.decode(misbehaviour_codec.encode(evidence)) == evidence
    assert misbehaviour_id(CHAIN, evidence) != misbehaviour_id(OTHER_CHAIN, evidence)
    assert "ed25519:" in describe(evidence)


@pytest.mark.parametrize("name", PROOFS)
def test_evidence_is_refused_when_it_is_of_another_chain_epoch_or_set(name: str) -> None:
    evidence = PROOFS[name]
    wrong_chain = "justification_wrong" if evidence.justification and evidence.justification.round_changes else None
    assert judge(evidence, chain=OTHER_CHAIN) == (wrong_chain or "signature_invalid")
    assert judge(evidence, epoch=EPOCH + 1) == "epoch_wrong"
    others = ValidatorSet(key.public for key in (*KEYS, STRANGER) if key.public != evidence.signer)
    assert judge(evidence, members=others) == "signer_unknown"


@pytest.mark.parametrize("name", PROOFS)
def test_evidence_is_refused_when_any_byte_of_it_is_another(name: str) -> None:
    data = misbehaviour_codec.encode(PROOFS[name])
    pick = random.Random(name)
    for place in range(len(data)):
        for mask in {1, 1 << pick.randrange(1, 8), pick.randrange(1, 256)}:
            changed = data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]
            try:
                evidence = misbehaviour_codec.decode(changed)
            except InvalidInput:
                continue
            assert judge(evidence) != "proved", f"byte {place} ^ {mask:#x}"


def test_what_is_no_fault_is_refused() -> None:
    proof = conflict()
    assert proof.second is not None
    refused = {
        "no_conflict": [
            replace(proof, second=proof.first),
            forgotten((2, ONE)),
            forgotten((4, TWO)),
            replace(forgotten(), second=said(KEYS[0], VoteKind.ROUND_CHANGE, claim(), 2)),
        ],
        "order_wrong": [replace(proof, first=proof.second, second=proof.first)],
        "incomplete": [replace(proof, second=None), replace(unjustified(), justification=None)],
        "superfluous": [
            replace(proof, justification=Justification()),
            replace(unjustified(), second=unjustified().first),
            replace(forgotten(), justification=Justification()),
        ],
        "unrelated": [
            replace(proof, second=said(KEYS[0], VoteKind.PREPARE, TWO, 2)),
            replace(proof, second=said(KEYS[0], VoteKind.COMMIT, TWO, 1)),
            replace(proof, second=said(KEYS[1], VoteKind.PREPARE, TWO, 1)),
            replace(proof, second=said(KEYS[0], VoteKind.PREPARE, TWO, 1, height=HEIGHT + 1)),
            replace(proof, second=said(KEYS[0], VoteKind.PREPARE, TWO, 1, epoch=EPOCH + 1)),
            replace(unjustified(), first=said(KEYS[0], VoteKind.PREPARE, ONE)),
            replace(forgotten(), first=said(KEYS[0], VoteKind.PREPARE, ONE, 2)),
            replace(forgotten(), second=said(KEYS[0], VoteKind.PREPARE, ONE, 5)),
        ],
        "malformed": [replace(forgotten(), second=said(KEYS[0], VoteKind.ROUND_CHANGE, ONE, 5))],
        "height_wrong": [conflict(height=0)],
        "fault_unknown": [replace(proof, fault="being_slow")],
        "signature_invalid": [
            replace(proof, first=replace(said(STRANGER, VoteKind.PREPARE, ONE, 1), signer=KEYS[0].public)),
            conflict(chain=OTHER_CHAIN),
        ],
        "justification_wrong": [replace(unjustified(), justification=Justification())],
    }
    for code, cases in refused.items():
        for number, evidence in enumerate(cases):
            assert judge(evidence) == code, (code, number)


def test_a_justified_proposal_is_no_fault() -> None:
    votes = (change_vote(KEYS[0], 1, (0, ONE)), change_vote(KEYS[1], 1), change_vote(KEYS[2], 1))
    seals = tuple((key.public, said(key, VoteKind.PREPARE, ONE).signature) for key in KEYS[:3])
    good = Justification(votes, seals)
    again = Misbehaviour(Fault.UNJUSTIFIED_PROPOSAL.value, proposed(KEYS[1], ONE, 1, good), None, good)
    first = Misbehaviour(
        Fault.UNJUSTIFIED_PROPOSAL.value, proposed(KEYS[1], ONE, 0, Justification()), None, Justification()
    )
    assert judge(again) == judge(first) == "justified"


def test_a_refusal_before_the_signatures_costs_no_signature() -> None:
    checked: list[bytes] = []

    def verify(_key: bytes, message: bytes, _signature: bytes) -> bool:
        checked.append(message)
        return True

    for evidence in (replace(conflict(), second=None), replace(forgotten(), fault="x"), forgotten((2, ONE))):
        with pytest.raises(InvalidProof):
            check(evidence, CHAIN, EPOCH, SET, verify)
    assert checked == []


def test_the_largest_evidence_fits_its_bound() -> None:
    vote = RoundChangeVote(b"\xff" * 33, b"\xff" * 65, 2**31 - 1, b"\xff" * 32)
    full = Justification((vote,) * MAX_VALIDATORS, ((b"\xff" * 33, b"\xff" * 65),) * MAX_VALIDATORS)
    statement = Statement(3, 2**53 - 1, 2**53 - 1, 2**31 - 1, b"\xff" * 33, b"\xff" * 65, b"\xff" * 64)
    largest = Misbehaviour("x" * 32, statement, statement, full)
    assert len(misbehaviour_codec.encode(largest)) <= MAX_MISBEHAVIOUR_BYTES
    assert misbehaviour_codec.decode(encode(largest)) == largest


# --- honest validators ------------------------------------------------------------------------------------------------


def honest_history(key: SigningKey, draw: Callable[[int], int]) -> tuple[list[Statement], list[Justification]]:
    """All that one validator says at one height, as QBFT lets it: ``draw(n)`` picks from 0 … n−1 what happens."""
    spoken: list[Statement] = []
    justifications = [Justification()]
    lock: tuple[int, bytes] | None = None
    round_ = 0
    for _ in range(4):
        block = ONE if lock is None else lock[1]
        if lock is None and draw(2):
            block = bytes([draw(8) + 3]) * 32
        if draw(2):
            justification = Justification()
            if round_:
                votes = sorted((change_vote(other, round_, lock) for other in KEYS), key=lambda vote: vote.signer)
                seals = ()
                if lock is not None:
                    seals = tuple((o.public, said(o, VoteKind.PREPARE, lock[1], lock[0]).signature) for o in KEYS)
                justification = Justification(tuple(votes), seals)
            justifications.append(justification)
            spoken.append(proposed(key, block, round_, justification))
        if draw(3):
            spoken.append(said(key, VoteKind.PREPARE, block, round_))
            if draw(2):
                lock = (round_, block)
                spoken.append(said(key, VoteKind.COMMIT, block, round_))
        round_ += 1 + draw(3)
        spoken.append(said(key, VoteKind.ROUND_CHANGE, claim(*(lock or (None, None))), round_))
    return spoken, justifications


@given(st.data())
def test_no_evidence_can_be_made_from_what_an_honest_validator_says(data: st.DataObject) -> None:
    spoken, justifications = honest_history(KEYS[0], lambda n: data.draw(st.integers(0, n - 1)))
    for first, second in permutations(spoken, 2):
        for fault in (Fault.CONFLICTING_MESSAGES, Fault.FORGOTTEN_LOCK):
            assert judge(Misbehaviour(fault.value, first, second, None)) != "proved"
    for statement, justification in product(spoken, justifications):
        assert judge(Misbehaviour(Fault.UNJUSTIFIED_PROPOSAL.value, statement, None, justification)) != "proved"


@given(st.data())
def test_no_evidence_can_be_made_by_bending_what_an_honest_validator_says(data: st.DataObject) -> None:
    """Every field of the two messages is replaced by another one that was said, or by anything."""
    spoken, justifications = honest_history(KEYS[0], lambda n: data.draw(st.integers(0, n - 1)))
    fields = Statement.__struct_fields__

    def bent() -> Statement:
        base, other = data.draw(st.sampled_from(spoken)), data.draw(st.sampled_from(spoken))
        field = data.draw(st.sampled_from(fields))
        anything = {
            "kind": st.integers(0, 3), "epoch": st.integers(0, 5), "height": st.integers(0, 20),
            "round": st.integers(0, 20), "signer": st.sampled_from([key.public for key in KEYS]),
            "signature": st.binary(min_size=65, max_size=65), "payload": st.binary(max_size=64),
        }  # fmt: skip
        value = getattr(other, field) if data.draw(st.booleans()) else data.draw(anything[field])
        return replace(base, **{field: value})

    fault = data.draw(st.sampled_from(Fault))
    second = None if fault is Fault.UNJUSTIFIED_PROPOSAL else bent()
    justification = data.draw(st.sampled_from(justifications)) if second is None else None
    evidence = Misbehaviour(fault.value, bent(), second, justification)
    if evidence.signer == KEYS[0].public:
        assert judge(evidence) != "proved"
