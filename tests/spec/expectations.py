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
