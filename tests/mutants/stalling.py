"""Bugs that stop the chain, or let it stand for long."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

STALLING = (
    Mutant(
        "no_jump",
        "nobody jumps to the round of f + 1 others",
        (
            Edit(
                "consensus.rounds",
                "    target = current.seen.jump_target(current.round, current.validators.weak_quorum, turn.state.key)",
                "    target = None",
            ),
        ),
    ),
    Mutant(
        "jump_after_anybody",
        "one validator that names a higher round makes all jump",
        (Edit("consensus.rounds", "current.validators.weak_quorum, turn", "1, turn"),),
    ),
    Mutant(
        "jump_to_the_highest",
        "f + 1 others ahead make one jump to the highest round among them",
        (Edit("consensus.tally", "return above[weak_quorum - 1] if", "return above[0] if"),),
    ),
    Mutant(
        "no_rebroadcast",
        "nothing is ever said again",
        (Edit("consensus.machine", "        say_again(turn)\n", ""),),
    ),
    Mutant(
        "fetch_not_repeated",
        "a body that did not come is not asked for again",
        (
            Edit(
                "consensus.machine",
                "        say_again(turn)\n        advance_decision(turn)\n        propose_wanted(turn)\n",
                "        say_again(turn)\n",
            ),
        ),
    ),
    Mutant(
        "ungated_timer",
        "the timers of later rounds run without a quorum",
        (
            Edit(
                "consensus.liveness",
                "        and current.seen.at_least(current.round) >= current.validators.quorum\n",
                "",
            ),
        ),
    ),
    Mutant(
        "timer_never_armed_again",
        "the timer of a later round is not armed when its quorum is seen",
        (Edit("consensus.liveness", "        current.round > 0\n", "        current.round > 2**31\n"),),
    ),
    Mutant(
        "timer_not_armed_after_restart",
        "a restarted validator waits for ever in its round",
        (
            Edit(
                "consensus.heights", "    arm_round_timer(turn)\n    propose_again(turn)\n", "    propose_again(turn)\n"
            ),
            Edit(
                "consensus.heights",
                "    arm_first_round_timer(turn)\n",
                "    restored or arm_first_round_timer(turn)\n",
            ),
        ),
    ),
    Mutant(
        "timer_never_doubled",
        "every round is as short as the first",
        (Edit("consensus.timing", "    return min(base << round_, cap)", "    return base"),),
        tests=("tests/consensus/test_timing.py",),
    ),
    Mutant(
        "timer_uncapped",
        "rounds double for ever",
        (
            Edit("consensus.timing", "        return cap\n", "        return base << min(round_, 64)\n"),
            Edit("consensus.timing", "    return min(base << round_, cap)", "    return base << min(round_, 64)"),
        ),
        tests=("tests/consensus/test_timing.py",),
    ),
    Mutant(
        "everybody_is_silent",
        "every proposer gets the short timer",
        (Edit("consensus.liveness", "    if current.proposal is None and is_silent(", "    if True or is_silent("),),
    ),
    Mutant(
        "straggler_never_answered",
        "nobody sends decided blocks to those behind",
        (Edit("consensus.machine", "        turn.order(SendDecided(signer, Height(height)))\n", ""),),
    ),
    Mutant(
        "reproposal_must_be_timely",
        "a block that is proposed again is judged like a fresh one",
        (
            Edit(
                "consensus.accepting",
                "    if highest_prepared(message.justification) is not None:\n        return None",
                "    if message.round < 0:\n        return None",
            ),
        ),
    ),
    Mutant(
        "late_commits_ignored",
        "COMMITs of rounds that were left do not decide",
        (
            Edit(
                "consensus.deciding",
                "    added = current.commits.add(message, current.round)\n",
                "    if message.round < current.round:\n        return\n"
                "    added = current.commits.add(message, current.round)\n",
            ),
        ),
    ),
    Mutant(
        "own_prepare_uncounted",
        "a validator does not count its own PREPARE",
        (
            Edit(
                "consensus.voting",
                "    if isinstance(message, Prepare):\n        current.seen.see(message.signer, message.round)\n"
                "        on_prepare(turn, message)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "early_messages_lost",
        "messages of the next height are not kept until it starts",
        (Edit("consensus.machine", "        state.early.add(event.message, event.wall_ms)\n", ""),),
        tests=("tests/consensus/test_early_messages.py",),
    ),
    Mutant(
        "prepares_before_the_proposal_lost",
        "PREPAREs of a round that we are not in yet are dropped",
        (
            Edit(
                "consensus.voting",
                "    if message.round < current.round:\n        return\n    added",
                "    if message.round != current.round:\n        return\n    added",
            ),
        ),
        tests=("tests/consensus/test_normal_case.py", "tests/consensus/test_round_change.py"),
    ),
    Mutant(
        "locked_for_ever",
        "a locked validator accepts nothing but its own block, as in IBFT 1",
        (
            Edit(
                "consensus.accepting",
                "    if highest_prepared(message.justification) is not None:\n        return None",
                "    if current.prepared is not None and current.prepared.certificate.block_id != block_id(header):\n"
                '        return "locked"\n'
                "    if highest_prepared(message.justification) is not None:\n        return None",
            ),
            Edit(
                "consensus.accepting",
                "from ledger.block import Header\n",
                "from ledger.block import Header, block_id\n",
            ),
        ),
    ),
    Mutant(
        "new_members_unheard",
        "a validator that joined is unknown to those who were there",
        (
            Edit(
                "consensus.heights",
                "    if not same_set:\n        _follow_set(turn)\n",
                "    if before is None:\n        _follow_set(turn)\n",
            ),
        ),
    ),
)
