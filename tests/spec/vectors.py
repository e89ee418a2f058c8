"""Vectors that the specification makes: situations, and what is right in them. A seed gives the same ones for ever.

Sizes, leaders, jumps, highest prepared and justification are single questions. A journey is a validator's life at one
height: what it hears, in an order drawn at random though not aimlessly, and after each event all that it says, what it
lacks, and whether its timer runs. Others may lie as much as they like, more than f of them too: the rules say what to
do in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.spec.justification import (
    Commit,
    HighestPrepared,
    JustifyPrePrepare,
    JustifyRoundChange,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    f,
    is_valid_round_change,
    leader,
    quorum,
    weak_quorum,
)
from tests.spec.notation import block, proof
from tests.spec.qbft import (
    Built,
    Event,
    Executed,
    Fetched,
    Heard,
    Restarted,
    Sent,
    State,
    TimerExpired,
    is_leader,
    jump_target,
    said_again,
    settle,
    signers_of,
    step,
    timer_runs,
    wants,
)

LAST_ROUND = 3
"""Journeys end above it: the core remembers a bounded number of rounds, which is not the specification's matter."""
KINDS = (*"aaaaaaaaabbb", "late", "odd", "bad")
Claim = tuple[int, str]


# --- Single questions -------------------------------------------------------------------------------------------------


def sizes() -> Iterator[tuple[int, int, int, int]]:
    """(n, f, quorum, weak quorum)"""
    return ((n, f(n), quorum(n), weak_quorum(n)) for n in range(1, 129))


def leaders() -> Iterator[tuple[tuple[int, int, int, int, int], int]]:
    """((n, height, round, epoch start, epoch offset), leader)"""
    for n in range(1, 12):
        for start, offset in ((1, 0), (51, 0), (51, 3), (1, 40)):
            for height in range(start, start + 15):
                for round_ in (0, 1, 2, n, 1000):
                    yield (n, height, round_, start, offset), leader(n, height, round_, start, offset)


def jumps(seed: int, count: int) -> Iterator[tuple[tuple[int, int, tuple[int, ...]], int | None]]:
    """((n, own round, rounds of the others), target)"""
    random = Random(seed)
    for _ in range(count):
        n, round_ = random.randint(1, 20), random.randint(0, 4)
        others = tuple(random.randint(0, 6) for _ in range(n - 1))
        yield (n, round_, others), jump_target(others, round_, n)


def proposals(seed: int, count: int) -> Iterator[tuple[int, Proposal, bool]]:
    """(n, proposal, whether it is justified): right ones, and right ones with one or two things made wrong."""
    random = Random(seed)
    for _ in range(count):
        n = random.choice((1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 10))
        round_ = random.choice((0, 1, 1, 2, 2, 3, 5))
        m = justified(random, n, 1, round_)
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            m = spoilt(random, n, m)
        yield n, m, JustifyPrePrepare(m, n)


def claims(seed: int, count: int) -> Iterator[tuple[int, RoundChange, bool]]:
    """(n, a ROUND-CHANGE with its proof, whether it is valid)"""
    random = Random(seed)
    for _ in range(count):
        n, round_ = random.choice((1, 2, 3, 4, 4, 5, 6, 7, 8)), random.randint(1, 4)
        pr, pv = claim(random, n, round_)
        signers = sorted(random.sample(range(n), random.choice((quorum(n), quorum(n), n, quorum(n) - 1))))
        prepares = list(proof(1, pr, pv, signers))
        match random.choice(("right", "right", "high", "twice", "order", "stranger", "other")):
            case "high":
                pr = round_ + random.randint(0, 1)
                prepares = list(proof(1, pr, pv, signers))
            case "twice":
                prepares += prepares[-1:]
            case "order":
                random.shuffle(prepares)
            case "stranger":
                prepares[-1:] = proof(1, pr, pv, [n])
            case "other" if prepares:
                prepares[0] = replace(prepares[0], **random.choice(({"round": pr + 1}, {"value": "b9"}, {"height": 2})))
        m = RoundChange(1, round_, pr, pv, random.randrange(n), tuple(prepares))
        yield n, m, is_valid_round_change(m, 1, round_, n) and JustifyRoundChange([m], m.prepares, 1, n)


def claim(random: Random, n: int, round_: int) -> Claim:
    """A (pr, pv) below ``round_``; the block is of pr's leader, or of an earlier one's."""
    pr = random.randrange(round_)
    return pr, f"{random.choice('aab')}{leader(n, 1, random.randint(0, pr))}"


def justified(random: Random, n: int, height: int, round_: int, known: tuple[RoundChange, ...] = ()) -> Proposal:
    """A justified proposal of the round's leader, made of ``known`` round changes and of others'."""
    maker = leader(n, height, round_)
    if round_ == 0:
        return Proposal(height, 0, block(f"{random.choice(KINDS)}{maker}"), maker)
    changes = {m.signer: replace(m, prepares=()) for m in known}
    claims = [claim(random, n, round_) for _ in range(random.choice((0, 1, 1, 2)))]
    claims += sorted(HighestPrepared(changes.values()))
    rest = [signer for signer in range(n) if signer not in changes]
    random.shuffle(rest)
    size = random.choice((quorum(n), quorum(n), n))
    for signer in rest[: max(0, size - len(changes))]:
        pr, pv = random.choice(claims) if claims and random.random() < 0.5 else (None, None)
        changes[signer] = RoundChange(height, round_, pr, pv, signer)
    listed = tuple(changes[signer] for signer in sorted(changes))
    highest = sorted(HighestPrepared(listed))
    if not highest:
        return Proposal(height, round_, block(f"{random.choice(KINDS)}{maker}"), maker, listed)
    pr, pv = random.choice(highest)
    signers = sorted(random.sample(range(n), random.choice((quorum(n), n))))
    return Proposal(height, round_, block(pv), maker, listed, proof(height, pr, pv, signers))


def spoilt(random: Random, n: int, m: Proposal) -> Proposal:
    """``m`` with one thing changed, mostly for the worse."""
    changes, prepares = list(m.round_changes), list(m.prepares)
    at = random.randrange(len(changes)) if changes else None
    match random.choice(("block", "drop", "twice", "order", "stranger", "claim", "half", "high", "prepare", "proof")):
        case "block":
            return replace(m, block=block(f"{random.choice('ab')}{random.randrange(n)}"))
        case "drop" if at is not None:
            del changes[at]
        case "twice" if at is not None:
            changes.insert(at, changes[at])
        case "order":
            random.shuffle(changes)
        case "stranger":
            changes.append(RoundChange(m.height, m.round, None, None, n))
        case "claim" if at is not None and m.round > 0:
            pr, pv = claim(random, n, m.round)
            changes[at] = replace(changes[at], pr=pr, pv=pv)
        case "half" if at is not None:
            changes[at] = replace(changes[at], **random.choice(({"pr": None, "pv": "a0"}, {"pr": 0, "pv": None})))
        case "high" if at is not None:
            changes[at] = replace(changes[at], pr=m.round + random.choice((-1, 0, 0, 1)), pv=m.block.name)
        case "prepare" if prepares:
            spot = random.randrange(len(prepares))
            other = prepares[spot]
            prepares[spot : spot + 1] = random.choice(
                (
                    [],
                    [other, other],
                    [replace(other, round=other.round + 1)],
                    [replace(other, value="b0")],
                    [replace(other, height=other.height + 1)],
                    [replace(other, signer=n)],
                )
            )
        case "prepare" | "proof":
            prepares = random.choice(([], prepares[::-1], list(proof(m.height, 0, m.block.name, range(quorum(n))))))
    return replace(m, round_changes=tuple(changes), prepares=tuple(prepares))


# --- Journeys ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stop:
    """An event of a journey, and what is right after it."""

    event: Event | None
    """None: the height begins."""
    said: Sent
    wants: frozenset[tuple[str, str]]
    timer_runs: bool
    said_again: frozenset[Message]


@dataclass(frozen=True)
class Journey:
    """What validator ``me`` of ``n`` goes through at ``height``."""

    seed: int
    n: int
    me: int
    height: int
    stops: tuple[Stop, ...]


def journey(seed: int) -> Journey:
    """The journey of that seed."""
    random = Random(seed)
    n = random.choice((4, 4, 4, 4, 4, 4, 1, 2, 3, 5, 6, 7))
    me, height = random.randrange(n), random.randint(1, 4)
    mood = random.choice(("calm", "calm", "hasty", "hasty", "hostile"))
    s, sent = settle(State(n, me, height))
    stops = [_stop(None, s, sent)]
    open_ = dict.fromkeys(wants(s))
    heard: list[Message] = []
    for _ in range(random.randint(14, 36)):
        event = _event(random, mood, s, list(open_), heard)
        match event:
            case Heard(message):
                heard.append(message)
            case Restarted():
                open_.clear()
            case Built(round_, _):
                open_.pop(("build", str(round_)), None)
            case Executed(value, _):
                open_.pop(("execute", value), None)
            case Fetched(made):
                open_.pop(("fetch", made.name), None)
        s, sent = step(s, event)
        stops.append(_stop(event, s, sent))
        open_.update(dict.fromkeys(sorted(wants(s))))
        if s.done or s.round > LAST_ROUND:
            break
    return Journey(seed, n, me, height, tuple(stops))


def _stop(event: Event | None, s: State, sent: Sent) -> Stop:
    return Stop(event, sent, wants(s), timer_runs(s), said_again(s))


def _event(random: Random, mood: str, s: State, open_: list[tuple[str, str]], heard: list[Message]) -> Event:
    chance = random.random()
    if open_ and chance < 0.45:
        return _answer(s, random.choice(open_))
    if chance < (0.46 if mood == "calm" else 0.5):
        return TimerExpired() if random.random() < 0.7 else Restarted()
    if mood == "hasty" and chance < 0.6:
        return TimerExpired()
    if heard and chance > 0.95:
        return Heard(random.choice(heard))
    if s.n == 1:
        return TimerExpired()
    others = [signer for signer in range(s.n) if signer != s.me]
    message = _useful(random, mood, s, random.choice(others))
    if random.random() < {"calm": 0.04, "hasty": 0.1, "hostile": 0.4}[mood]:
        message = _twisted(random, s, message)
    return Heard(message)


def _answer(s: State, want: tuple[str, str]) -> Event:
    kind, what = want
    if kind == "build":
        return Built(int(what), block(f"a{s.me}"))
    return Fetched(block(what)) if kind == "fetch" else Executed(what, not what.startswith("bad"))


def _useful(random: Random, mood: str, s: State, signer: int) -> Message:
    """Something that an honest validator might say now."""
    away = random.random() < {"calm": 0.02, "hasty": 0.25, "hostile": 0.15}[mood]
    round_ = min(s.round + (random.choice((1, 1, 2)) if away else 0), LAST_ROUND)
    if away and round_ > s.round and leader(s.n, s.height, round_) != s.me and random.random() < 0.3:
        return justified(random, s.n, s.height, round_)
    if away or (s.round > 0 and s.proposal is None and (is_leader(s) or random.random() < 0.4)):
        return _round_change(random, s, signer, round_) if round_ > 0 else Prepare(s.height, 0, f"a{signer}", signer)
    if s.proposal is None or random.random() < 0.05:
        if leader(s.n, s.height, round_) != s.me:
            known = [m for m in s.received if isinstance(m, RoundChange) and m.round == round_]
            chosen = sorted(known, key=lambda m: m.signer) if random.random() < 0.5 else []
            return justified(random, s.n, s.height, round_, tuple(chosen))
        return _round_change(random, s, signer, round_) if round_ > 0 else Prepare(s.height, 0, f"a{s.me}", signer)
    value = s.proposal.block.name
    kind = Commit if s.prepared is not None and s.prepared.pr == s.round else Prepare
    if random.random() < 0.7:
        voted = signers_of(s, kind, s.round, value) | {s.me}
        signer = random.choice([other for other in range(s.n) if other not in voted] or [signer])
        return kind(s.height, s.round, value, signer)
    if random.random() < 0.3 + 0.4 * (s.prepared is not None and s.prepared.pr == s.round):
        return Commit(s.height, s.round, value, signer)
    return Prepare(s.height, s.round, value, signer)


def _round_change(random: Random, s: State, signer: int, round_: int) -> RoundChange:
    if random.random() < 0.55:
        return RoundChange(s.height, round_, None, None, signer)
    pr, pv = claim(random, s.n, round_)
    if s.prepared is not None and s.prepared.pr is not None and s.prepared.pr < round_ and random.random() < 0.6:
        pr, pv = s.prepared.pr, str(s.prepared.pv)
    signers = sorted(random.sample(range(s.n), random.choice((quorum(s.n), s.n))))
    return RoundChange(s.height, round_, pr, pv, signer, proof(s.height, pr, pv, signers))


def _twisted(random: Random, s: State, m: Message) -> Message:
    """Something else instead: a lie, a message of another place, nonsense."""
    round_ = random.randint(0, LAST_ROUND)
    if random.random() < 0.15:
        return replace(m, height=s.height + 1) if not getattr(m, "round_changes", ()) else m
    match m:
        case Prepare() | Commit():
            return replace(m, **random.choice(({"round": round_}, {"value": f"b{leader(s.n, 1, round_)}"})))
        case RoundChange():
            return random.choice(
                (
                    replace(m, round=round_),
                    replace(m, prepares=m.prepares[1:]),
                    replace(m, prepares=m.prepares[:1] + m.prepares),
                    replace(m, prepares=m.prepares[::-1]),
                )
            )
        case Proposal():
            if random.random() < 0.2:
                return replace(m, signer=(m.signer + 1) % s.n if (m.signer + 1) % s.n != s.me else m.signer)
            worse = spoilt(random, s.n, m)
            return worse if has_not_been_put_together(worse, s.n) else m


def has_not_been_put_together(m: Proposal, n: int) -> bool:
    """Whether all parts of ``m`` are of its place, or it is unjustified anyway.

    Of one whose only flaw is a part that was signed for another place, the specification does not say whether it has
    been heard at all: to it there are no signatures that could fail.
    """
    highest = max((rc.pr for rc in m.round_changes if rc.pr is not None), default=0)
    fitted = replace(
        m,
        round_changes=tuple(replace(rc, height=m.height, round=m.round) for rc in m.round_changes),
        prepares=tuple(Prepare(m.height, highest, m.block.name, part.signer) for part in m.prepares),
    )
    return fitted == m or not JustifyPrePrepare(fitted, n)
