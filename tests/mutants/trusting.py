"""Bugs of a validator that believes too much: quorums, justifications, epochs, evidence."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

TRUSTING = (
    Mutant(
        "quorum_of_2f_plus_1",
        "a quorum is 2f + 1, also where n is not 3f + 1",
        (
            Edit(
                "ledger.validators",
                "self.quorum = (2 * count - 1) // 3 + 1",
                "self.quorum = 2 * ((count - 1) // 3) + 1",
            ),
        ),
    ),
    Mutant(
        "quorum_one_too_few",
        "a quorum is one validator less",
        (Edit("ledger.validators", "(2 * count - 1) // 3 + 1", "max(1, (2 * count - 1) // 3)"),),
    ),
    Mutant(
        "signatures_counted",
        "certificates and justifications count signatures, not signers",
        (Edit("ledger.justification", "all(signers[i - 1] < signers[i]", "all(signers[i - 1] <= signers[i]"),),
    ),
    Mutant(
        "seals_counted",
        "commit certificates count seals, not signers",
        (Edit("ledger.certificate", "if any(a[0] >= b[0] for", "if any(a[0] > b[0] for"),),
        tests=("tests/ledger/test_certificate.py",),
    ),
    Mutant(
        "strangers_counted",
        "anybody's signatures fill a certificate or justification",
        (
            Edit(
                "ledger.justification",
                "        and all(signer in validators for signer in signers)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "no_justification",
        "a proposal of a later round needs no justification",
        (
            Edit(
                "consensus.accepting",
                "    if flaw is not None:\n        turn.accuse",
                "    if flaw is not None and message.round == 0:\n        turn.accuse",
            ),
        ),
    ),
    Mutant(
        "prepared_round_unchecked",
        "a ROUND-CHANGE may claim to have prepared in the round that it changes to, or above",
        (
            Edit("ledger.justification", "vote.prepared_round >= round_:", "vote.prepared_round >= 2**40:"),
            Edit("consensus.verify", "certificate.round >= message.round or not is_quorum", "not is_quorum"),
        ),
    ),
    Mutant(
        "claims_unverified",
        "the signatures inside a ROUND-CHANGE's prepared certificate are not verified",
        (
            Edit(
                "consensus.verify",
                "    _check_seals(message, certificate.prepares, signed, verify)",
                "    del signed",
            ),
        ),
    ),
    Mutant(
        "justification_unverified",
        "the PREPAREs of a justification are not verified",
        (
            Edit(
                "consensus.verify",
                "        _check_seals(message, message.justification.prepares, signed, verify)",
                "        del signed",
            ),
        ),
    ),
    Mutant(
        "round_changes_unverified",
        "the ROUND-CHANGEs of a justification are not verified",
        (Edit("consensus.verify", "if not verify(vote.signer, signed, vote.signature):", "if signed == vote.signer:"),),
    ),
    Mutant(
        "any_prepared_block_will_do",
        "a justification's lowest prepared block may be proposed, not only the highest",
        (
            Edit("ledger.justification", "return max(rounds) if rounds else None", "return min(rounds, default=None)"),
            Edit("consensus.verify", "vote.prepared_round > highest)", "vote.prepared_round < highest)"),
        ),
    ),
    Mutant(
        "fresh_block_despite_lock",
        "a fresh block may be proposed although a ROUND-CHANGE names a prepared one",
        (
            Edit(
                "ledger.justification",
                '        return "not_the_highest_prepared"\n',
                "        return None\n",
            ),
            Edit(
                "consensus.verify", "    if highest is not None:\n        signed", "    if not highest:\n        signed"
            ),
        ),
    ),
    Mutant(
        "anybody_proposes",
        "a proposal is taken from any validator",
        (
            Edit(
                "consensus.verify",
                "if message.height < epoch.start or message.signer != proposer(",
                "if message.height < epoch.start or message.signer not in validators or not proposer(",
            ),
        ),
    ),
    Mutant(
        "double_accept",
        "a second proposal of a round replaces the first, and the guard looks away",
        (
            Edit(
                "consensus.accepting",
                "            return\n"
                "        if not current.refused or current.checks.get(proposal.block.id) is not None:\n"
                "            return\n",
                "",
            ),
            Edit("consensus.guard", "        if record is not None or (height, round_) <=", "        if (height, 0) <"),
        ),
    ),
    Mutant(
        "old_epoch_accepted",
        "votes of another epoch count",
        (
            Edit("consensus.verify", "    if message.epoch != epoch.number:", "    if message.epoch > epoch.number:"),
            Edit("consensus.machine", " or message.epoch != current.epoch.number:", ":"),
        ),
    ),
    Mutant(
        "old_set_decides",
        "a height is decided by the set of the height below",
        (
            Edit(
                "consensus.heights",
                "        started.epoch,\n        started.validators,\n        validators_hash",
                "        started.epoch,\n        started.validators if before is None else before.validators,\n"
                "        validators_hash",
            ),
        ),
    ),
    Mutant(
        "decided_by_strangers",
        "members of the old set still count at a height that is not theirs",
        (
            Edit(
                "consensus.verify",
                "    if signer not in validators:",
                "    if signer not in validators and not isinstance(message, Commit):",
            ),
            Edit("consensus.machine", "    if message.signer not in current.validators or ", "    if "),
        ),
    ),
    Mutant(
        "commits_of_rounds_add_up",
        "COMMITs of different rounds count together",
        (
            Edit(
                "consensus.deciding",
                "        seals = current.commits.support(message.round, message.block_id)",
                "        seals = {\n            **current.commits.support(message.round - 1, message.block_id),\n"
                "            **current.commits.support(message.round, message.block_id),\n        }",
            ),
        ),
    ),
    Mutant(
        "evidence_names_the_honest",
        "a COMMIT after a ROUND-CHANGE of the same round is taken for a forgotten lock",
        (Edit("consensus.deciding", "claimed < commit.round < change.round", "claimed < commit.round"),),
    ),
    Mutant(
        "late_round_change_called_a_contradiction",
        "an earlier ROUND-CHANGE that arrives late is taken for a second one of the later round",
        (
            Edit(
                "consensus.tally",
                "            if known.round > message.round or _claim(known) ==",
                "            if _claim(known) ==",
            ),
        ),
    ),
    Mutant(
        "bad_block_prepared",
        "a proposal is prepared before its block is executed",
        (
            Edit(
                "consensus.voting",
                "others(turn, [proposal.message.signer, *preparers]))\n",
                "others(turn, [proposal.message.signer, *preparers]))\n        _say_prepare(turn, proposal.block.id)\n",
            ),
        ),
    ),
    Mutant(
        "lock_before_verdict",
        "a quorum of PREPAREs is enough to COMMIT, whatever we found ourselves",
        (Edit("consensus.voting", " or current.checks.get(name) is not Check.VALID:", ":"),),
    ),
    Mutant(
        "decided_block_unchecked",
        "a decided block is committed before it is checked",
        (
            Edit(
                "consensus.deciding",
                "    if check is None:\n        request_check(turn, block, sources)",
                "    if check is None:\n        current.committed = True\n"
                "        turn.order(CommitBlock(block, certificate))",
            ),
        ),
    ),
)
