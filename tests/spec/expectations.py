"""What is expected of QBFT, written by hand from the paper: the specification is held to this, and the core as well.

Nothing here is computed. Where the paper and DESIGN.md 3 differ, DESIGN.md 3 is meant, and the entry says so.
"""

from __future__ import annotations

SIZES = {  # n: (f, quorum, weak quorum)
    1: (0, 1, 1),
    2: (0, 2, 1),
    3: (0, 2, 1),
    4: (1, 3, 2),
    5: (1, 4, 2),
    6: (1, 4, 2),
    7: (2, 5, 3),
    8: (2, 6, 3),
    9: (2, 6, 3),
    10: (3, 7, 4),
    11: (3, 8, 4),
    12: (3, 8, 4),
    13: (4, 9, 5),
    14: (4, 10, 5),
    15: (4, 10, 5),
    16: (5, 11, 6),
    17: (5, 12, 6),
    18: (5, 12, 6),
    19: (6, 13, 7),
    20: (6, 14, 7),
}

LEADERS = (  # n, height, round, first height of the epoch, offset: whose turn it is
    ((4, 1, 0, 1, 0), 0),
    ((4, 1, 1, 1, 0), 1),
    ((4, 1, 4, 1, 0), 0),
    ((4, 2, 0, 1, 0), 1),
    ((4, 9, 3, 1, 0), 3),
    ((4, 101, 0, 101, 0), 0),
    ((4, 101, 0, 101, 3), 3),
    ((4, 103, 2, 101, 3), 3),
    ((7, 52, 6, 51, 5), 5),
    ((1, 17, 9, 1, 0), 0),
)

JUMPS = (  # n, our round, rounds of the others: where to
    ((4, 0, (0, 0, 0)), None),
    ((4, 0, (1, 0, 0)), None),  # One alone may be lying.
    ((4, 0, (1, 1, 0)), 1),
    ((4, 0, (3, 1, 0)), 1),  # The second highest: one of the two is honest.
    ((4, 0, (3, 2, 1)), 2),
    ((4, 1, (3, 1, 1)), None),  # Our own round is not above it.
    ((4, 2, (9, 3, 2)), 3),
    ((4, 0, (900, 900, 900)), 900),
    ((7, 0, (1, 1, 0, 0, 0, 0)), None),  # Two of seven may be lying.
    ((7, 0, (5, 4, 3, 2, 1, 1)), 3),
    ((3, 0, (2, 0)), 2),  # Nobody may be faulty of three: the first is believed.
    ((1, 0, ()), None),
)

HIGHEST = (  # prepared (round, value) of each round change: the highest of them, or several when they contradict
    ((), ()),
    ((None, None, None), ()),
    ((None, (0, "a0"), None), ((0, "a0"),)),
    (((0, "a0"), (2, "b1"), (1, "a0")), ((2, "b1"),)),
    (((2, "b1"), (2, "b1"), None), ((2, "b1"),)),
    (((2, "b1"), (2, "a0"), (1, "c3")), ((2, "a0"), (2, "b1"))),
)

JUSTIFIED = {  # n, proposal: whether it is justified, and why
    # Round 0 (4:4, "round = 1").
    (4, "0 a0"): True,
    (4, "0 a0 because 0 1 2"): False,  # Tidegate: nothing needs to be said, so nothing may be.
    (4, "0 a0 with 0 1 2"): False,
    # A quorum of distinct members, in order.
    (4, "1 a1 because 0 1 2"): True,
    (4, "1 a1 because 0 1 2 3"): True,
    (4, "1 a1 because 1 2 3"): True,
    (4, "1 a1"): False,
    (4, "1 a1 because 0 1"): False,
    (4, "1 a1 because 0 1 1"): False,  # Signers count, not messages.
    (4, "1 a1 because 0 1 1 2"): False,
    (4, "1 a1 because 2 1 0"): False,  # Tidegate: one form only.
    (4, "1 a1 because 0 1 4"): False,  # 4 is no member.
    (4, "1 a1 because 0 1 2 4"): False,
    # Sizes that 2f + 1 gets wrong.
    (5, "1 a1 because 0 1 2"): False,
    (5, "1 a1 because 0 1 2 3"): True,
    (6, "1 a1 because 0 1 2"): False,
    (6, "1 a1 because 0 1 2 3"): True,
    (8, "1 a1 because 0 1 2 3 4"): False,
    (8, "1 a1 because 0 1 2 3 4 5"): True,
    (2, "1 a1 because 1"): False,
    (2, "1 a1 because 0 1"): True,
    (3, "1 a1 because 0 2"): True,
    (1, "1 a0 because 0"): True,
    # None prepared: any block, and no proof of anything.
    (4, "2 b2 because 0 1 2"): True,
    (4, "2 b2 because 0 1 2 with 0 1 2"): False,  # Tidegate.
    # Some prepared: the highest decides, and has to be proved.
    (4, "1 a0 because 0[0 a0] 1 2"): True,
    (4, "1 a1 because 0[0 a0] 1 2"): False,  # The lock of 0 would be lost.
    (4, "1 a0 because 0[0 a0] 1 2 with nobody"): False,
    (4, "1 a0 because 0[0 a0] 1 2 with 0 1"): False,
    (4, "1 a0 because 0[0 a0] 1 2 with 0 1 1"): False,
    (4, "1 a0 because 0[0 a0] 1 2 with 3 2 1"): False,
    (4, "1 a0 because 0[0 a0] 1 2 with 1 2 3"): True,
    (4, "1 a0 because 0[0 a0] 1 2 with 0 1 2 3"): True,
    (4, "1 a0 because 0[0 a0] 1 2 with 0 1 2 4"): False,
    (5, "1 a0 because 0[0 a0] 1 2 3 with 0 1 2"): False,
    (4, "3 a1 because 0[0 a0] 1[2 a1] 2[1 b2]"): True,  # Lower ones need not agree, nor be proved.
    (4, "3 a0 because 0[0 a0] 1[2 a1] 2[0 a0]"): False,  # More hands, but a lower round.
    (4, "3 a0 because 0[2 a0] 1[2 a1] 2"): True,  # Two claims of one round: the PREPAREs are a0's.
    (4, "3 a1 because 0[2 a0] 1[2 a1] 2"): False,  # They are not a1's.
    # pr below the round, and (pr, pv) whole.
    (4, "1 a0 because 0[1 a0] 1 2"): False,
    (4, "1 a0 because 0[2 a0] 1 2"): False,
    (4, "3 a0 because 0[0 a0] 1[3 a1] 2"): False,
    (4, "1 a0 because 0[0 -] 1 2"): False,
    (4, "1 a0 because 0[- a0] 1 2"): False,
    (4, "1 a0 because 0[0 a0] 1[0 -] 2"): False,
}

STORIES = {}
"""name: (n, me, what happens -> what we say). Height 1: round r is validator (r mod n)'s."""

STORIES["a height in round 0 (2:1-10)"] = (
    4,
    3,
    """
    propose 0 a0                 -> wants execute a0
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0            -> nothing
    prepare 0 a0 by 0            -> nothing
    prepare 0 a0 by 1            -> commit 0 a0
    prepare 0 a0 by 2            -> nothing
    commit 0 a0 by 0             -> nothing
    commit 0 a0 by 0             -> nothing
    commit 0 a0 by 2             -> decide 0 a0, timer off
    """,
)
STORIES["the leader's height (1:17-18)"] = (
    4,
    0,
    """
    begin                        -> wants build 0
    built 0 a0                   -> propose 0 a0, prepare 0 a0
    prepare 0 a0 by 1 2          -> commit 0 a0
    commit 0 a0 by 3 1           -> decide 0 a0
    """,
)
STORIES["alone"] = (1, 0, "built 0 a0 -> propose 0 a0, prepare 0 a0, commit 0 a0, decide 0 a0")
STORIES["five need four"] = (
    5,
    4,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0 1          -> nothing
    prepare 0 a0 by 2            -> commit 0 a0
    commit 0 a0 by 0 1           -> nothing
    commit 0 a0 by 3             -> decide 0 a0
    """,
)
STORIES["PREPAREs come before the proposal, the verdict last"] = (
    4,
    3,
    """
    prepare 0 a0 by 0 1 2        -> nothing
    propose 0 a0                 -> wants execute a0
    executed a0                  -> prepare 0 a0, commit 0 a0
    """,
)
STORIES["a block that does not execute well"] = (
    4,
    3,
    """
    propose 0 bad0               -> nothing
    prepare 0 bad0 by 0 1 2      -> nothing
    executed bad0 no             -> nothing
    timeout                      -> round-change 1, timer off
    """,
)
STORIES["untimely, unfit, and another's block are not prepared; the timer runs on"] = (
    4,
    3,
    """
    propose 0 late0              -> wants nothing
    round-change 1 by 0 1        -> round-change 1, timer on
    propose 1 odd1 because 0 1 2 -> wants nothing
    timeout                      -> round-change 2, timer off
    round-change 2 by 1 0        -> timer on
    propose 2 a1 because 0 1 3   -> wants nothing
    propose 2 a2 because 0 1 3   -> wants nothing
    """,
)
STORIES["the first proposal of a round counts"] = (
    4,
    3,
    """
    propose 0 a0                 -> wants execute a0
    propose 0 b0                 -> wants execute a0
    executed a0                  -> prepare 0 a0
    executed b0                  -> nothing
    prepare 0 b0 by 0 1 2        -> nothing
    """,
)
STORIES["a validator's first PREPARE and COMMIT in a round count"] = (
    4,
    3,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 b0 by 0            -> nothing
    prepare 0 a0 by 0 1          -> nothing
    prepare 0 a0 by 2            -> commit 0 a0
    commit 0 b0 by 0             -> nothing
    commit 0 a0 by 0 1           -> nothing
    commit 0 a0 by 2             -> decide 0 a0
    """,
)
STORIES["COMMITs of two rounds are not one quorum, of a later round they are"] = (
    4,
    3,
    """
    commit 0 a0 by 0 1           -> nothing
    commit 1 a0 by 2             -> nothing
    commit 1 a0 by 0             -> round-change 1
    commit 1 a0 by 1             -> wants fetch a0, timer off
    fetched a0                   -> wants execute a0
    executed a0                  -> decide 1 a0
    """,
)
STORIES["a decided block that does not execute well here is not committed"] = (
    4,
    3,
    """
    propose 0 bad0               -> nothing
    executed bad0 no             -> nothing
    commit 0 bad0 by 0 1 2       -> timer off
    timeout                      -> nothing
    """,
)
STORIES["the lock goes with us (2:5-6, 3:4)"] = (
    4,
    3,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0 1          -> commit 0 a0
    timeout                      -> round-change 1 [0 a0]
    timeout                      -> nothing
    round-change 1 by 0 1        -> timer on
    timeout                      -> round-change 2 [0 a0]
    """,
)
STORIES["timeouts alone do not carry us away (Tidegate: gated timers)"] = (
    4,
    3,
    """
    begin                        -> timer on
    timeout                      -> round-change 1, timer off
    round-change 1 by 0          -> timer off
    round-change 1 by 0          -> timer off
    prepare 1 a1 by 1            -> timer on
    timeout                      -> round-change 2, timer off
    """,
)
STORIES["jumping (3:5-10)"] = (
    4,
    3,
    """
    round-change 5 by 0          -> nothing
    round-change 2 by 1          -> round-change 2, timer on
    round-change 3 by 1          -> round-change 3
    round-change 1 by 2          -> nothing
    """,
)
STORIES["the new leader has nothing prepared (3:11-16)"] = (
    4,
    1,
    """
    round-change 1 by 0          -> nothing
    round-change 1 by 2          -> round-change 1, wants build 1
    built 1 a1                   -> propose 1 a1 because 0 1 2, prepare 1 a1
    round-change 1 by 3          -> nothing
    """,
)
STORIES["the new leader proposes the highest prepared block again (3:12-13)"] = (
    4,
    3,
    """
    round-change 3 [1 a1] by 0   -> nothing
    round-change 3 [0 a0] by 1   -> round-change 3, wants fetch a1
    round-change 3 [2 a2] by 2   -> wants fetch a1
    fetched a1                   -> propose 3 a1 because 0[1 a1] 1[0 a0] 3, wants execute a1
    executed a1                  -> prepare 3 a1
    """,
)
STORIES["the new leader's own lock counts"] = (
    4,
    1,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0 2          -> commit 0 a0
    timeout                      -> round-change 1 [0 a0]
    round-change 1 by 0          -> nothing
    round-change 1 by 3          -> propose 1 a0 because 0 1[0 a0] 3, prepare 1 a0
    prepare 1 a0 by 0 3          -> commit 1 a0
    timeout                      -> round-change 2 [1 a0]
    """,
)
STORIES["a ROUND-CHANGE needs the proof of what it claims (4:1-2)"] = (
    4,
    3,
    """
    round-change 1 [1 a1] by 0   -> nothing
    round-change 1 [2 a1] by 1   -> nothing
    round-change 1 by 2          -> nothing
    round-change 1 by 0          -> round-change 1
    """,
)
STORIES["who has left a round does not change into it (Tidegate)"] = (
    4,
    1,
    """
    timeout                      -> round-change 1
    round-change 2 by 0          -> nothing
    round-change 1 by 0          -> nothing
    round-change 1 by 2          -> wants nothing
    round-change 1 by 3          -> wants build 1
    """,
)
STORIES["of seven, five have to be in the round, and stay in it"] = (
    7,
    1,
    """
    timeout                      -> round-change 1
    round-change 2 by 0          -> nothing
    round-change 1 by 0 2 3      -> wants nothing
    round-change 1 by 4          -> wants nothing
    round-change 1 by 5          -> wants build 1
    """,
)
STORIES["a justified proposal of a later round is followed there"] = (
    4,
    3,
    """
    propose 2 a2 because 0 1     -> nothing
    propose 2 a2 because 0 1 2   -> wants execute a2
    executed a2                  -> prepare 2 a2
    propose 0 a0                 -> wants nothing
    prepare 0 a0 by 0 1 2        -> nothing
    prepare 2 a2 by 1 2          -> commit 2 a2
    timeout                      -> round-change 3 [2 a2]
    """,
)
STORIES["locked, but shown a higher lock: we follow it"] = (
    4,
    3,
    """
    propose 0 a0                             -> nothing
    executed a0                              -> prepare 0 a0
    prepare 0 a0 by 0 1                      -> commit 0 a0
    propose 2 a1 because 0[1 a1] 1 3[0 a0]   -> wants execute a1
    executed a1                              -> prepare 2 a1
    prepare 2 a1 by 0 1                      -> commit 2 a1
    timeout                                  -> round-change 3 [2 a1]
    """,
)
STORIES["locked, and a quorum has not seen it: we PREPARE the other block, and the lock stays"] = (
    4,
    3,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0 1          -> commit 0 a0
    propose 1 b1 because 0 1 2   -> wants execute b1
    executed b1                  -> prepare 1 b1
    prepare 1 b1 by 1            -> nothing
    timeout                      -> round-change 2 [0 a0]
    """,
)
STORIES["a block prepared before is not asked for its time and proposer again (Tidegate)"] = (
    4,
    3,
    """
    propose 1 late0 because 0[0 late0] 1 2   -> wants execute late0
    executed late0                           -> prepare 1 late0
    """,
)
STORIES["a restart forgets what others said, and nothing that we said"] = (
    4,
    3,
    """
    propose 0 a0                 -> nothing
    executed a0                  -> prepare 0 a0
    prepare 0 a0 by 0 1          -> commit 0 a0
    commit 0 a0 by 0             -> nothing
    restart                      -> timer on
    commit 0 a0 by 1             -> nothing
    propose 0 b0                 -> wants execute b0
    executed b0                  -> nothing
    timeout                      -> round-change 1 [0 a0], timer off
    restart                      -> timer on
    timeout                      -> round-change 2 [0 a0], timer off
    """,
)
STORIES["a leader that has proposed does not propose again after a restart"] = (
    4,
    0,
    """
    built 0 a0                   -> propose 0 a0, prepare 0 a0
    restart                      -> wants nothing
    prepare 0 a0 by 1 2 3        -> nothing
    commit 0 a0 by 1 2 3         -> wants fetch a0
    fetched a0                   -> wants execute a0
    executed a0                  -> decide 0 a0
    """,
)
