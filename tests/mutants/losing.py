"""Bugs of a validator that forgets what it said or promised."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

LOSING = (
    Mutant(
        "certificate_lost_on_restart",
        "the prepared certificate does not come back after a restart",
        (
            Edit(
                "consensus.state",
                "        prepared if prepared is not None and prepared.height == height else None,\n        tuple(",
                "        None,\n        tuple(",
            ),
        ),
    ),
    Mutant(
        "older_certificate_restored",
        "after a restart the first prepared certificate of the log counts, not the highest",
        (
            Edit(
                "consensus.state",
                "        elif prepared is None or _prepared_place(prepared) <= _prepared_place(record):",
                "        elif prepared is None or prepared.height < record.height:",
            ),
        ),
    ),
    Mutant(
        "round_lost_on_restart",
        "a restart begins in round 0 again",
        (Edit("consensus.state", "        Round(round_),\n", "        Round(0),\n"),),
    ),
    Mutant(
        "lock_released_on_round_change",
        "changing rounds forgets the lock",
        (
            Edit(
                "consensus.rounds",
                "    current.round = round_\n",
                "    current.round = round_\n    current.prepared = None\n",
            ),
        ),
    ),
    Mutant(
        "lowest_prepared_proposed",
        "the lowest prepared block is proposed again, not the highest",
        (Edit("consensus.justification", "    highest = max(certificates", "    highest = min(certificates"),),
    ),
    Mutant(
        "fresh_block_proposed_despite_lock",
        "a fresh block is proposed although a ROUND-CHANGE names a prepared one",
        (Edit("consensus.proposing", "    if highest is None:\n", "    if highest is None or highest.round == 0:\n"),),
    ),
    Mutant(
        "commit_before_lock_is_durable",
        "COMMIT is ordered before the certificate is made durable",
        (
            Edit(
                "consensus.voting",
                "    turn.order(Persist(current.prepared))\n    say_commit(turn, name)",
                "    say_commit(turn, name)\n    turn.order(Persist(current.prepared))",
            ),
        ),
    ),
    Mutant(
        "lock_not_persisted",
        "the certificate is never made durable",
        (Edit("consensus.voting", "    turn.order(Persist(current.prepared))\n", ""),),
    ),
    Mutant(
        "vote_before_record",
        "a vote leaves before its record is durable",
        (
            Edit("consensus.turn", "            self.effects.append(Persist(record))\n", ""),
            Edit(
                "consensus.turn",
                "        self.effects.append(Broadcast(message, repeat=not is_new))\n",
                "        self.effects.append(Broadcast(message, repeat=not is_new))\n"
                "        if is_new:\n            self.effects.append(Persist(record))\n",
            ),
        ),
    ),
    Mutant(
        "guard_off",
        "the double-sign guard lets everything pass",
        (Edit("consensus.guard", "        if record is not None or (height, round_) <=", "        if (height, 0) <"),),
    ),
    Mutant(
        "guard_not_restored",
        "the guard is empty after a restart",
        (Edit("consensus.state", "guard = Guard(votes)", "guard = Guard(())"),),
    ),
    Mutant(
        "round_change_without_certificate",
        "a ROUND-CHANGE never says what was prepared",
        (
            Edit(
                "consensus.rounds",
                "    certificate = None if current.prepared is None else current.prepared.certificate\n",
                "    certificate = None\n",
            ),
        ),
    ),
    Mutant(
        "first_lock_kept",
        "a later prepared certificate does not replace an earlier one",
        (
            Edit(
                "consensus.voting",
                "    if current.prepared is not None and current.prepared.certificate.round == current.round:",
                "    if current.prepared is not None:",
            ),
        ),
    ),
    Mutant(
        "votes_in_passed_rounds",
        "proposals of rounds that were left are still accepted",
        (Edit("consensus.accepting", "    if message.round < current.round:\n        return\n", ""),),
    ),
    Mutant(
        "observing_ends_early",
        "a rolled-back validator signs again at the height that it signed before",
        (Edit("consensus.heights", "height > observing.through_height:", "height >= observing.through_height:"),),
    ),
    Mutant(
        "rollback_unnoticed",
        "own messages that we do not remember are no reason to observe",
        (
            Edit(
                "consensus.machine",
                "    observe(turn, ObserveReason.SIGNER_STATE_ROLLED_BACK, Height(own.height))\n",
                "",
            ),
        ),
    ),
    Mutant(
        "lost_state_signs",
        "a validator whose signer state is lost signs",
        (Edit("consensus.state", "and self.observing is None and self.key", "and self.key"),),
    ),
)
