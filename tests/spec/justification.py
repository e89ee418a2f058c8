"""QBFT's messages, and when they are justified: Algorithm 4 of the paper. Read ``tests/spec/qbft.py`` first.

Nothing is imported from the program, and the program imports nothing from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# --- Sizes ------------------------------------------------------------------------------------------------------------


def f(n: int) -> int:
    """How many of ``n`` validators may be faulty: n ≥ 3f + 1 (paper, section 2; Dafny ``f``).

    >>> [f(n) for n in (1, 3, 4, 6, 7, 10)]
    [0, 0, 1, 1, 2, 3]
    """
    return (n - 1) // 3


def quorum(n: int) -> int:
    """The fewest validators of which any two sets share an honest one (Dafny ``quorum``).

    The paper's ⌊(n + f)/2⌋ + 1. It is 2f + 1 only when n = 3f + 1: of 5 validators 4 are needed, not 3; and of 6, too.

    >>> [quorum(n) for n in (1, 2, 3, 4, 5, 6, 7, 8)]
    [1, 2, 2, 3, 4, 4, 5, 6]
    """
    return (2 * n - 1) // 3 + 1


def weak_quorum(n: int) -> int:
    """The fewest validators of which one is honest: f + 1, the size of the paper's Frc (3:5)."""
    return f(n) + 1


def leader(n: int, height: int, round_: int, epoch_start: int = 1, epoch_offset: int = 0) -> int:
    """The paper's leader(λ, r): any rule that gives each validator its turn.

    Tidegate: counted from the start of the epoch. Dafny ``proposer`` begins beside the last block's proposer instead.

    >>> [leader(4, 6, r) for r in range(4)]
    [1, 2, 3, 0]
    """
    return (height - epoch_start + epoch_offset + round_) % n


# --- Values and messages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """What is decided: the paper's value. ``name`` stands for it in votes, as a digest does.

    ``fits``: height, parent, epoch and validator set are those of the height. ``timely``: its time is plausible now.
    Whether it executes well is not written on it: see ``Executed``.
    """

    name: str
    proposer: int
    fits: bool = True
    timely: bool = True


@dataclass(frozen=True)
class Prepare:
    """⟨PREPARE, λ, r, value⟩"""

    height: int
    round: int
    value: str
    signer: int


@dataclass(frozen=True)
class Commit:
    """⟨COMMIT, λ, r, value⟩"""

    height: int
    round: int
    value: str
    signer: int


@dataclass(frozen=True)
class RoundChange:
    """⟨ROUND-CHANGE, λ, r, pr, pv⟩, with the PREPAREs that prove (pr, pv); the signature does not cover the proof."""

    height: int
    round: int
    pr: int | None
    pv: str | None
    signer: int
    prepares: tuple[Prepare, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """⟨PRE-PREPARE, λ, r, value⟩ with what justifies it: Dafny ``Proposal``, its payload's name in QBFT.

    ``round_changes`` come without their own proofs; ``prepares`` prove the highest of them.
    """

    height: int
    round: int
    block: Block
    signer: int
    round_changes: tuple[RoundChange, ...] = ()
    prepares: tuple[Prepare, ...] = ()


@dataclass(frozen=True)
class Decide:
    """Decide(λ, value, Qcommit) of 2:10: not a message but the outcome. ``signers`` are those of Qcommit."""

    height: int
    round: int
    value: str
    signers: tuple[int, ...]


@dataclass(frozen=True)
class Halt:
    """Tidegate: a quorum decided a block that does not execute well here: we stop, for going on would fork or lie."""

    height: int
    value: str


Message = Prepare | Commit | RoundChange | Proposal


# --- Justification: Algorithm 4 ---------------------------------------------------------------------------------------


def is_quorum(signers: Iterable[int], n: int) -> bool:
    """Whether these are the signers of a quorum. Signers are counted, never messages or signatures.

    Tidegate: a set that travels has one form only, sorted and without repetition, for its hash is signed.

    >>> is_quorum([0, 1, 3], 4), is_quorum([0, 1], 4), is_quorum([0, 1, 1], 4), is_quorum([1, 0, 3], 4)
    (True, False, False, False)
    """
    listed = list(signers)
    return len(listed) >= quorum(n) and listed == sorted(set(listed)) and all(0 <= signer < n for signer in listed)


def HighestPrepared(qrc: Iterable[RoundChange]) -> frozenset[tuple[int, str]]:
    """4:5-6: (pr, pv) of the ROUND-CHANGE with the highest prepared round; the empty set is the paper's ⊥.

    The paper speaks of one pair. A liar may name the same round with another value: then there are several, and the
    PREPAREs tell which is true (Dafny ``isHighestPrepared``: "one of").
    """
    claims = {(m.pr, m.pv) for m in qrc if m.pr is not None and m.pv is not None}
    return frozenset((pr, pv) for pr, pv in claims if all(pr >= pr_j for pr_j, _ in claims))


def are_prepares_of(prepares: Iterable[Prepare], height: int, round_: int, value: str, n: int) -> bool:
    """Whether this is "a quorum of valid ⟨PREPARE, λ, round, value⟩ messages", and nothing else is among them."""
    listed = list(prepares)
    return is_quorum((m.signer for m in listed), n) and all(
        (m.height, m.round, m.value) == (height, round_, value) for m in listed
    )


def is_valid_round_change(m: RoundChange, height: int, round_: int, n: int) -> bool:
    """Dafny ``validRoundChange``: pr and pv both there or both not, and pr below the round."""
    return (
        (m.height, m.round) == (height, round_)
        and 0 <= m.signer < n
        and (m.pr is None) == (m.pv is None)
        and (m.pr is None or m.pr < round_)
    )


def JustifyRoundChange(qrc: Iterable[RoundChange], prepares: tuple[Prepare, ...], height: int, n: int) -> bool:
    """4:1-2: nobody has prepared, or there is a quorum of PREPAREs for the highest that was prepared."""
    highest = HighestPrepared(qrc)
    if not highest:
        return not prepares  # Tidegate: proof of nothing is refused; it would make two messages of one.
    return any(are_prepares_of(prepares, height, pr, pv, n) for pr, pv in highest)


def JustifyPrePrepare(m: Proposal, n: int) -> bool:
    """4:3-4 and Dafny ``isProposalJustification``, but for the block itself: ``is_acceptable``."""
    if m.round == 0:
        # "round = 1". Tidegate: what needs no justification has none.
        return not m.round_changes and not m.prepares
    # "received a quorum Qrc of valid ⟨ROUND-CHANGE, λ, round, prj, pvj⟩ messages such that:" of exactly this round
    qrc = m.round_changes
    if not is_quorum((rc.signer for rc in qrc), n):
        return False
    if not all(is_valid_round_change(rc, m.height, m.round, n) for rc in qrc):
        return False
    # "∀ prj = ⊥ ∧ pvj = ⊥ ∨ received a quorum of valid ⟨PREPARE, λ, pr, value⟩ such that (pr, value) =
    # HighestPrepared(Qrc)". Claims below the highest need no proof and need not agree.
    highest = HighestPrepared(qrc)
    if not highest:
        return not m.prepares
    return any(value == m.block.name and are_prepares_of(m.prepares, m.height, pr, value, n) for pr, value in highest)
