from __future__ import annotations

from consensus.future import MAX_PROPOSALS, MAX_VOTES_PER_SIGNER, EarlyMessages
from consensus.verified import VerifiedPrepare, VerifiedProposal
from consensus.verify import verify_block
from tests.consensus.making import block, prepare, proposal

ID = bytes(32)


def early_proposal(by: int, round_: int) -> VerifiedProposal:
    made = block(2)
    return VerifiedProposal(proposal(by, made, height=2, round_=round_), verify_block(made))


def test_the_newest_votes_of_each_signer_are_kept():
    early = EarlyMessages()
    for round_ in range(50):
        early.add(VerifiedPrepare(prepare(1, ID, height=2, round_=round_)), 0)
    early.add(VerifiedPrepare(prepare(2, ID, height=2)), 0)
    assert len(early) == MAX_VOTES_PER_SIGNER + 1
    rounds = [one.message.message.round for one in early.take() if one.message.message.signer[1] == 1]
    assert rounds == list(range(50 - MAX_VOTES_PER_SIGNER, 50))
    assert len(early) == 0


def test_few_proposals_of_low_rounds_are_kept():
    early = EarlyMessages()
    for by in range(9, -1, -1):
        early.add(early_proposal(by, by), by)
        early.add(early_proposal(by, by), 77)
    kept = early.take()
    assert [one.message.message.round for one in kept] == list(range(MAX_PROPOSALS))
    assert [one.wall_ms for one in kept] == list(range(MAX_PROPOSALS))
