"""QBFT as a specification that runs: slow, short, and written to be read beside the paper.

Sources, in the order in which they bind:

* "The Istanbul BFT Consensus Algorithm", H. Moniz, arXiv 2002.03613v2. ``3:11`` means Algorithm 3, line 11.
* its formal specification in Dafny, ConsenSys/qbft-formal-spec-and-verification, ``dafny/spec/L1``. ``Dafny`` names a
  predicate or function there. It differs from the paper mainly in that a message brings its own justification.
* DESIGN.md 3. ``Tidegate:`` marks each line where it is more precise than both, or differs from them.

One instance (the paper's λ) decides one height. Rounds count from 0 here and in Dafny, from 1 in the paper. Validators
are numbers, their places in the sorted set. Messages cannot be forged: what stands in a set was signed by its signer,
for exactly the height and round that it names. Everything is a value; nothing here knows of clocks, bytes or queues.

Nothing is imported from the program, and the program imports nothing from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tests.spec.justification import (
    Block,
    Commit,
    Decide,
    Halt,
    HighestPrepared,
    JustifyPrePrepare,
    JustifyRoundChange,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    is_valid_round_change,
    leader,
    quorum,
    weak_quorum,
)

# --- State: Algorithm 1 -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """1:1-10, of process ``me``; Dafny ``NodeState``. ``received`` holds our own messages too.

    What the paper calls broadcast reaches the sender itself at once.
    """

    n: int
    me: int
    height: int
    round: int = 0
    """ri"""
    prepared: RoundChange | None = None
    """(pri, pvi) and the PREPAREs that made it so: the lock, in the form in which 3:4 sends it."""
    received: frozenset[Message] = frozenset()
    proposal: Proposal | None = None
    """Dafny ``proposalAcceptedForCurrentRound``. Tidegate: the first justified one, even when its block is refused."""
    qrc: frozenset[RoundChange] | None = None
    """The quorum of 3:11, once it is there: its value may still have to be made or fetched."""
    input: Block | None = None
    """inputValuei. Tidegate: made when it is our turn, not before; see ``wants``."""
    bodies: frozenset[Block] = frozenset()
    verdicts: frozenset[tuple[str, bool]] = frozenset()
    """Whether blocks executed well here."""
    decided: Decide | None = None
    done: bool = False
    """Nothing is left to be done at this height: the decided block is here and executed well, or we have stopped."""
    signed: frozenset[Message] = frozenset()
    """All that we ever signed: Tidegate's double-sign guard, durable before anything leaves."""
    resumed: bool = False
    """We came into this round by a restart."""


Sent = tuple[Message | Decide | Halt, ...]
Rule = Callable[[State], "tuple[State, Sent] | None"]


def is_leader(s: State) -> bool:
    """leader(λi, ri) = pi"""
    return leader(s.n, s.height, s.round) == s.me


def signers_of(s: State, kind: type, round_: int, value: str) -> set[int]:
    """Who sent this PREPARE or COMMIT."""
    return {m.signer for m in s.received if type(m) is kind and (m.round, m.value) == (round_, value)}  # type: ignore[union-attr]


def round_changes(s: State, round_: int) -> set[RoundChange]:
    """The received ROUND-CHANGEs for exactly ``round_``.

    Tidegate: a validator's later one takes the place of its earlier one, for it has left that round.
    """
    all_ = [m for m in s.received if isinstance(m, RoundChange)]
    return {m for m in all_ if m.round == round_ and not any(o.signer == m.signer and o.round > round_ for o in all_)}


def seen(s: State, signer: int) -> int:
    """The highest round in which ``signer`` was seen, by whatever message; −1 if by none."""
    return max((m.round for m in s.received if m.signer == signer), default=-1)


def jump_target(rounds_of_others: Iterable[int], round_: int, n: int) -> int | None:
    """3:5-7: rmin, when f + 1 others are above ``round_``.

    Of more than f + 1 the paper lets any f + 1 be Frc. Tidegate: those that are highest, so that rmin is the
    (f + 1)-th highest of all: some honest validator is there or above.

    >>> jump_target([3, 0, 0], 0, 4), jump_target([3, 1, 0], 0, 4), jump_target([9, 3, 2], 1, 4)
    (None, 1, 3)
    """
    above = sorted((r for r in rounds_of_others if r > round_), reverse=True)
    return above[weak_quorum(n) - 1] if len(above) >= weak_quorum(n) else None


def is_acceptable(m: Proposal, n: int) -> bool:
    """The paper's external validity β, as far as the block itself shows it (Dafny ``validateNonPreparedBlock``).

    Tidegate: a block that was prepared before is not asked for its proposer and its time again. A quorum found them
    good then, and its proposer may be gone by now.
    """
    if not m.block.fits:
        return False
    return bool(HighestPrepared(m.round_changes)) or (m.block.proposer == m.signer and m.block.timely)


def timer_runs(s: State) -> bool:
    """Whether timeri is running: 1:19, 2:2, 2:9, 3:3, 3:9. How long it runs, t(r), is not specified here.

    Tidegate: above round 0 it is not started by entering the round (3:3, 3:9) but by a quorum seen at this round or
    above, or by a justified proposal. Who cannot be heard would otherwise run ahead of all others, ever more slowly.
    After a restart it runs at once.
    """
    if s.decided is not None:
        return False  # 2:9
    at_this_round = sum(1 for signer in range(s.n) if seen(s, signer) >= s.round)
    return s.round == 0 or s.resumed or s.proposal is not None or at_this_round >= quorum(s.n)


def wants(s: State) -> frozenset[tuple[str, str]]:
    """Tidegate: what has to be made, executed or fetched before a rule can go on. The paper takes these as given."""
    if s.done:
        return frozenset()
    executed, known = {name for name, _ in s.verdicts}, {block.name for block in s.bodies}
    if s.decided is not None:
        value = s.decided.value
        missing = "fetch" if value not in known else "execute"
        return frozenset() if value in executed and value in known else frozenset({(missing, value)})
    found: set[tuple[str, str]] = set()
    if s.proposal is not None and is_acceptable(s.proposal, s.n) and s.proposal.block.name not in executed:
        found.add(("execute", s.proposal.block.name))
    if may_propose(s) and s.input is None and (s.round == 0 or s.qrc is not None):
        wanted = proof_of_highest(s.qrc or ())
        if wanted is None:
            found.add(("build", str(s.round)))
        elif wanted.pv is not None and wanted.pv not in known:
            # A re-proposer that lacks the body fetches it from those who prepared it.
            found.add(("fetch", wanted.pv))
    return frozenset(found)


def may_propose(s: State) -> bool:
    """Whether the round is ours and nothing was proposed in it; before a restart neither (Tidegate)."""
    proposed = any(isinstance(m, Proposal) and m.round == s.round for m in s.signed)
    return is_leader(s) and s.proposal is None and s.decided is None and not proposed


def proof_of_highest(qrc: Iterable[RoundChange]) -> RoundChange | None:
    """One of those that prepared highest; all have proved it. Tidegate: that of the first signer."""
    highest = HighestPrepared(qrc)
    return min((m for m in qrc if (m.pr, m.pv) in highest), key=lambda m: m.signer, default=None)


# --- What happens -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """A message arrived."""

    message: Message


@dataclass(frozen=True)
class TimerExpired:
    """timeri is expired."""


@dataclass(frozen=True)
class Built:
    """The block that we wanted to propose; we made it, so it executes well."""

    round: int
    block: Block


@dataclass(frozen=True)
class Executed:
    """A block was executed, and its result is what it claims, or not."""

    value: str
    good: bool


@dataclass(frozen=True)
class Fetched:
    """A block's body came."""

    block: Block


@dataclass(frozen=True)
class Restarted:
    """The process ended and began again."""


Event = Heard | TimerExpired | Built | Executed | Fetched | Restarted


def step(s: State, event: Event) -> tuple[State, Sent]:
    """Takes the event, then applies rules until none applies (Dafny ``NodeNext``)."""
    sent: Sent = ()
    if s.done:
        return s, ()
    match event:
        case Heard(message):
            s = receive(s, message)
        case TimerExpired() if timer_runs(s):
            s, sent = change_round(s, s.round + 1)  # 3:1-4
        case Built(round_, block) if ("build", str(round_)) in wants(s):
            s = replace(s, input=block, verdicts=s.verdicts | {(block.name, True)})
        case Executed(value, good):
            s = replace(s, verdicts=s.verdicts | {(value, good)})
        case Fetched(block) if ("fetch", block.name) in wants(s):
            s = replace(s, bodies=s.bodies | {block})
        case Restarted():
            s = restart(s)
    return settle(s, sent)


def settle(s: State, sent: Sent = ()) -> tuple[State, Sent]:
    """Applies rules, in their order, until none applies: also how a height begins (1:11-19)."""
    for rule in RULES:
        applied = rule(s)
        if applied is not None:
            return settle(applied[0], sent + applied[1])
    return s, sent


def receive(s: State, m: Message) -> State:
    """Counts a message when it is valid ("upon receiving valid …"), and the first that its signer sent in its place.

    Tidegate: a second, different PREPARE, COMMIT or ROUND-CHANGE of one round is evidence against its signer and does
    not count. An unjustified proposal is evidence too; it still shows in which round its signer is.
    """
    if m.height != s.height or m.signer == s.me or not 0 <= m.signer < s.n:
        return s
    if isinstance(m, Proposal):
        if m.signer != leader(s.n, m.height, m.round):
            return s
        if s.decided is not None and s.decided.value == m.block.name:
            s = replace(s, bodies=s.bodies | {m.block})
    elif any(type(o) is type(m) and (o.signer, o.round) == (m.signer, m.round) for o in s.received):
        return s
    if isinstance(m, RoundChange) and not (
        # Each is checked when it comes (4:1-2 for Qrc = {m}), so that any quorum of them is justified. The proof is not
        # signed, a relay may have put it there: a message with a bad one has not been received at all.
        is_valid_round_change(m, s.height, m.round, s.n) and JustifyRoundChange([m], m.prepares, s.height, s.n)
    ):
        return s
    return replace(s, received=s.received | {m})


def say(s: State, m: Message) -> tuple[State, Sent]:
    """broadcast m"""
    return replace(s, received=s.received | {m}, signed=s.signed | {m}), (m,)


def enter(s: State, round_: int) -> State:
    """ri ← round_; what belonged to the round before is left behind, the lock is not."""
    return replace(s, round=round_, proposal=None, qrc=None, input=None, resumed=False)


def change_round(s: State, round_: int) -> tuple[State, Sent]:
    """3:2-4 and 3:8-10. The timer (3:3, 3:9): see ``timer_runs``."""
    s = enter(s, round_)
    if s.prepared is None:
        return say(s, RoundChange(s.height, round_, None, None, s.me))
    return say(s, replace(s.prepared, round=round_))


def restart(s: State) -> State:
    """Tidegate: durable are our own votes, and the lock with its block. All else is heard, made or fetched again."""
    own = frozenset(m for m in s.signed if not isinstance(m, Proposal))
    lock = None if s.prepared is None else s.prepared.pv
    return State(
        s.n,
        s.me,
        s.height,
        round=max((m.round for m in s.signed), default=0),
        prepared=s.prepared,
        received=own,
        bodies=frozenset(block for block in s.bodies if block.name == lock),
        signed=s.signed,
        resumed=bool(s.signed),
    )


def said_again(s: State) -> frozenset[Message]:
    """Tidegate: what is sent again every second: all that we sent in this round, and our latest COMMIT."""
    own = [m for m in s.received if m.signer == s.me]
    commits = sorted((m for m in own if isinstance(m, Commit)), key=lambda m: m.round)
    return frozenset([m for m in own if m.round == s.round] + commits[-1:]) if not s.done else frozenset()


# --- The upon rules ---------------------------------------------------------------------------------------------------


def upon_weak_quorum_ahead(s: State) -> tuple[State, Sent] | None:
    """3:5-10: upon receiving a set Frc of f + 1 valid ⟨ROUND-CHANGE, λi, rj, −, −⟩ such that ∀ rj > ri.

    Tidegate: any message shows its signer's round, not a ROUND-CHANGE alone; our own do not count.
    """
    target = jump_target((seen(s, other) for other in range(s.n) if other != s.me), s.round, s.n)
    if s.decided is not None or target is None:
        return None
    return change_round(s, target)


def upon_quorum_of_round_changes(s: State) -> tuple[State, Sent] | None:
    """3:11: upon receiving a quorum Qrc of valid ⟨ROUND-CHANGE, λi, ri, −, −⟩ such that leader(λi, ri) = pi.

    JustifyRoundChange(Qrc) holds because each was justified when it came.
    """
    qrc = frozenset(round_changes(s, s.round))
    if s.round == 0 or s.qrc is not None or not may_propose(s) or len({m.signer for m in qrc}) < quorum(s.n):
        return None
    return replace(s, qrc=qrc), ()


def upon_value_at_hand(s: State) -> tuple[State, Sent] | None:
    """1:17-18 in round 0, 3:12-16 above: the highest prepared value if there is one, else our own (inputValuei)."""
    if not may_propose(s) or (s.round > 0 and s.qrc is None):
        return None
    qrc = sorted(s.qrc or (), key=lambda m: m.signer)
    highest = proof_of_highest(qrc)
    block = s.input  # 3:15
    if highest is not None:
        block = next((block for block in s.bodies if block.name == highest.pv), None)  # 3:13
    if block is None:
        return None  # ``wants`` it.
    bare = tuple(replace(m, prepares=()) for m in qrc)
    return say(s, Proposal(s.height, s.round, block, s.me, bare, () if highest is None else highest.prepares))


def upon_proposal(s: State) -> tuple[State, Sent] | None:
    """2:1: upon receiving a valid ⟨PRE-PREPARE, λi, ri, value⟩ message m from leader(λi, ri): JustifyPrePrepare(m).

    Tidegate: also of a later round, which is thereby entered, without a ROUND-CHANGE: a quorum is there already. Dafny
    ``isValidProposal`` allows that only after a proposal of the current round. The timer (2:2): see ``timer_runs``.
    """
    for m in s.received:
        if (
            isinstance(m, Proposal)
            and s.decided is None
            and (m.round > s.round or (m.round == s.round and s.proposal is None))
            and JustifyPrePrepare(m, s.n)
        ):
            s = enter(s, m.round) if m.round > s.round else s
            bodies = s.bodies | {m.block} if is_acceptable(m, s.n) else s.bodies
            return replace(s, proposal=m, bodies=bodies), ()
    return None


def is_good(s: State, m: Proposal | None) -> bool:
    """Whether the accepted proposal's block has passed every check, its execution here included."""
    return m is not None and is_acceptable(m, s.n) and (m.block.name, True) in s.verdicts


def upon_executed(s: State) -> tuple[State, Sent] | None:
    """2:3: broadcast ⟨PREPARE, λi, ri, value⟩, once.

    Tidegate: only after executing the block ourselves; and never a second one in this round, whatever a restart forgot.
    """
    said = any(isinstance(m, Prepare) and m.round == s.round for m in s.signed)
    if s.decided is not None or said or s.proposal is None or not is_good(s, s.proposal):
        return None
    return say(s, Prepare(s.height, s.round, s.proposal.block.name, s.me))


def upon_quorum_of_prepares(s: State) -> tuple[State, Sent] | None:
    """2:4-7: upon receiving a quorum of valid ⟨PREPARE, λi, ri, value⟩: pri ← ri, pvi ← value, broadcast COMMIT.

    Of the accepted proposal's value, and once in a round (Dafny ``UponPrepare``). Tidegate: (pri, pvi), its PREPAREs
    and the block are durable before the COMMIT leaves; and not before we executed the block.
    """
    if s.decided is not None or s.proposal is None or not is_good(s, s.proposal):
        return None
    value = s.proposal.block.name
    signers = signers_of(s, Prepare, s.round, value)
    already = s.prepared is not None and s.prepared.pr == s.round
    if already or len(signers) < quorum(s.n):
        return None
    proof = tuple(Prepare(s.height, s.round, value, signer) for signer in sorted(signers))
    lock = RoundChange(s.height, s.round + 1, s.round, value, s.me, proof)
    return say(replace(s, prepared=lock), Commit(s.height, s.round, value, s.me))


def upon_quorum_of_commits(s: State) -> tuple[State, Sent] | None:
    """2:8-10: upon receiving a quorum Qcommit of valid ⟨COMMIT, λi, round, value⟩: of any single round, not only ri.

    (Dafny ``UponCommit`` takes only those of ri.)
    """
    for m in s.received:
        if isinstance(m, Commit) and s.decided is None:
            signers = signers_of(s, Commit, m.round, m.value)
            if len(signers) >= quorum(s.n):
                return replace(s, decided=Decide(s.height, m.round, m.value, tuple(sorted(signers)))), ()
    return None


def upon_decided_block_executed(s: State) -> tuple[State, Sent] | None:
    """Tidegate: decided is one thing, committed another. A decided block that does not execute well stops the node."""
    if s.decided is None or s.done or not any(block.name == s.decided.value for block in s.bodies):
        return None
    if (s.decided.value, False) in s.verdicts:
        return replace(s, done=True), (Halt(s.height, s.decided.value),)
    return (replace(s, done=True), (s.decided,)) if (s.decided.value, True) in s.verdicts else None


RULES: tuple[Rule, ...] = (
    upon_weak_quorum_ahead,
    upon_quorum_of_round_changes,
    upon_value_at_hand,
    upon_proposal,
    upon_executed,
    upon_quorum_of_prepares,
    upon_quorum_of_commits,
    upon_decided_block_executed,
)
"""In this order. It matters only where one message lets two apply: a jump comes first, a decision last."""
