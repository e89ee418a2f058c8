"""What one validator says when this or that happens, written by hand from the paper, in ``tests/spec/notation.py``.

Nothing here is computed. Where the paper and DESIGN.md 3 differ, DESIGN.md 3 is meant, and the story says so. After an
arrow stands all that is said; and, only where it is the point, what the validator lacks (``wants``), whether its timer
runs, and what it would say ``again``.
"""

from __future__ import annotations

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
    timeout                      -> round-change 1
    commit 0 bad0 by 0 1         -> again round-change 1
    commit 0 bad0 by 2           -> halt bad0, timer off, again nothing
    timeout                      -> nothing
    round-change 2 by 0 1 2      -> nothing
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
STORIES["what was said is said again: of this round, and the latest COMMIT (Tidegate)"] = (
    4,
    3,
    """
    begin                        -> again nothing
    propose 0 a0                 -> again nothing
    executed a0                  -> prepare 0 a0, again prepare 0 a0
    prepare 0 a0 by 0 1          -> commit 0 a0, again prepare 0 a0 + commit 0 a0
    timeout                      -> round-change 1 [0 a0], again round-change 1 [0 a0] + commit 0 a0
    propose 1 a0 because 0 1 3[0 a0]         -> prepare 1 a0
    prepare 1 a0 by 0            -> again round-change 1 [0 a0] + prepare 1 a0 + commit 0 a0
    prepare 1 a0 by 1            -> commit 1 a0, again round-change 1 [0 a0] + prepare 1 a0 + commit 1 a0
    restart                      -> again round-change 1 [0 a0] + prepare 1 a0 + commit 1 a0
    """,
)
STORIES["the verdict is waited for in a later round too"] = (
    4,
    3,
    """
    propose 0 a0                 -> wants execute a0
    timeout                      -> round-change 1
    propose 1 a0 because 0[0 a0] 1 2         -> nothing
    prepare 1 a0 by 0 1 2        -> nothing
    executed a0                  -> prepare 1 a0, commit 1 a0
    """,
)
STORIES["a justified proposal starts the timer, even when its block is refused"] = (
    4,
    3,
    """
    timeout                      -> round-change 1, timer off
    propose 1 odd1               -> timer off
    propose 1 odd1 because 0 1 2 -> wants nothing, timer on
    timeout                      -> round-change 2, timer off
    """,
)
STORIES["decided while the verdict is waited for: nothing more is voted"] = (
    4,
    3,
    """
    propose 0 a0                 -> wants execute a0
    prepare 0 a0 by 0 1 2        -> nothing
    commit 0 a0 by 0 1 2         -> wants execute a0, timer off
    executed a0                  -> decide 0 a0
    """,
)
STORIES["PREPAREs of a later round wait for us"] = (
    4,
    3,
    """
    prepare 1 a1 by 1            -> nothing
    propose 1 a1 because 0 1 2   -> wants execute a1
    executed a1                  -> prepare 1 a1
    prepare 1 a1 by 0            -> commit 1 a1
    """,
)
