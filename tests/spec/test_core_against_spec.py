"""The real core, held to the specification: hand-written tables and stories, then vectors by the thousand."""

from __future__ import annotations

from collections import Counter

import pytest

from consensus.epoch import Epoch, proposer
from consensus.justification import highest_prepared, justification_flaw
from consensus.tally import SeenRounds
from tests.consensus.making import key, validators
from tests.spec import vectors
from tests.spec.core import CoreTeller, justification, made, members, received
from tests.spec.expectations import HIGHEST, JUMPS, JUSTIFIED, LEADERS, SIZES
from tests.spec.justification import Decide, Halt, Proposal, RoundChange
from tests.spec.notation import proposal, show, show_event
from tests.spec.qbft import Restarted
from tests.spec.stories import STORIES
from tests.spec.storytelling import tell

CHUNK = 500


@pytest.mark.parametrize("name", STORIES)
def test_core_tells_the_hand_written_stories(name):
    n, me, script = STORIES[name]
    tell(script, CoreTeller(n, me), n)


def sizes_of_core(n: int) -> tuple[int, int, int]:
    members = validators(n)
    return members.max_faulty, members.quorum, members.weak_quorum


def test_sizes_are_the_papers():
    assert {n: sizes_of_core(n) for n in SIZES} == SIZES
    assert [(n, *sizes_of_core(n)) for n in range(1, 129)] == list(vectors.sizes())


def test_leaders_are_the_papers():
    for (n, height, round_, start, offset), turn in [*LEADERS, *vectors.leaders()]:
        found = proposer(Epoch(7, start, offset), validators(n), height, round_)
        assert validators(n).index(found) == turn, (n, height, round_, start, offset)


def test_jumps_go_where_they_should():
    for (n, round_, others), target in [*JUMPS, *vectors.jumps(seed=1, count=3_000)]:
        rounds = SeenRounds()
        rounds.see(key(0), 1_000)
        for i, other in enumerate(others, start=1):
            rounds.see(key(i), other)
            rounds.see(key(i), 0)
        assert rounds.jump_target(round_, validators(n).weak_quorum, key(0)) == target, (n, round_, others)


@pytest.mark.parametrize(("claims", "highest"), HIGHEST)
def test_highest_prepared_is_the_papers(claims, highest):
    changes = tuple(RoundChange(1, 9, *(claim or (None, None)), signer) for signer, claim in enumerate(claims))
    why = justification(Proposal(1, 9, made_by(0), 0, changes), 10)
    assert highest_prepared(why) == max((pr for pr, _ in highest), default=None)


def made_by(index: int):
    return proposal(f"0 a{index}", 128).block


def core_takes(m: Proposal, n: int) -> bool:
    """Whether the core would PREPARE it in the end: the rule, and the signatures of what the rule relies on."""
    flaw = justification_flaw(justification(m, n), m.round, made(m.block, n, m.height).id, members(n))
    return flaw is None and received(m, n) is not None


@pytest.mark.parametrize(("n", "text"), JUSTIFIED)
def test_justification_is_as_expected_by_hand(n, text):
    assert core_takes(proposal(text, n), n) is JUSTIFIED[n, text]


@pytest.mark.parametrize("seed", range(4))
def test_justification_agrees_with_the_specification(seed):
    verdicts: Counter[bool] = Counter()
    for n, m, is_justified in vectors.proposals(seed, 1_000):
        assert core_takes(m, n) is is_justified, (n, show(m), m)
        verdicts[is_justified] += 1
    assert min(verdicts[True], verdicts[False]) > 200


def test_prepared_claims_are_believed_only_with_proof():
    verdicts: Counter[bool] = Counter()
    for n, m, is_valid in vectors.claims(seed=1, count=2_000):
        assert (received(m, n) is not None) is is_valid, (n, m)
        verdicts[is_valid] += 1
    assert min(verdicts[True], verdicts[False]) > 400


def readable(journey: vectors.Journey, upto: int) -> str:
    """The journey as far as that stop, an event a line, with what is right after it."""
    lines = [f"journey {journey.seed}: validator {journey.me} of {journey.n} at height {journey.height}"]
    for stop in journey.stops[: upto + 1]:
        event = "begin" if stop.event is None else show_event(stop.event)
        said = ", ".join(map(show, stop.said)) or "nothing"
        wanted = " ".join(f"[{kind} {what}]" for kind, what in sorted(stop.wants))
        lines.append(f"  {event} -> {said} {wanted} timer {'on' if stop.timer_runs else 'off'}")
    return "\n".join(lines)


def travel(journey: vectors.Journey) -> None:
    """Takes the core through the journey; it must say, want and time the same at each stop."""
    core = CoreTeller(journey.n, journey.me, journey.height)
    for at, stop in enumerate(journey.stops):
        outstanding = frozenset() if isinstance(stop.event, Restarted) else core.wants()
        said = core.begin() if stop.event is None else core.take(stop.event)
        assert list(map(show, said)) == list(map(show, stop.said)), readable(journey, at)
        assert said == stop.said, readable(journey, at)
        if any(isinstance(m, Decide) for m in said):
            return  # The next height begins.
        assert core.timer_runs() is stop.timer_runs, readable(journey, at)
        assert stop.wants <= core.wants(), readable(journey, at)
        assert core.wants() - outstanding <= stop.wants, readable(journey, at)
        assert core.said_again() == stop.said_again, readable(journey, at)


@pytest.mark.parametrize("first", range(0, 6 * CHUNK, CHUNK))
def test_core_makes_the_same_journeys(first):
    for seed in range(first, first + CHUNK):
        travel(vectors.journey(seed))


def situations(journey: vectors.Journey) -> Counter[str]:
    """What a journey has come through."""
    found: Counter[str] = Counter()
    locked = False
    for stop in journey.stops:
        for m in stop.said:
            match m:
                case RoundChange(pr=None):
                    found["round change"] += 1
                case RoundChange():
                    found["round change with a lock"] += 1
                case Proposal(round=0):
                    found["proposal"] += 1
                case Proposal(prepares=()):
                    found["fresh proposal after a round change"] += 1
                case Proposal():
                    found["locked re-proposal"] += 1
                case Halt():
                    found["halt"] += 1
                case Decide(round=0):
                    found["decision"] += 1
                case Decide():
                    found["decision in a later round"] += 1
            locked = locked or show(m).startswith("commit")
        found["body fetched"] += any(kind == "fetch" for kind, _ in stop.wants)
        found["restart with a lock"] += isinstance(stop.event, Restarted) and locked
        found["timer stopped by the gate"] += not stop.timer_runs
    return found


def test_journeys_come_through_every_situation():
    found: Counter[str] = Counter()
    for seed in range(CHUNK):
        found += situations(vectors.journey(seed))
    names = """round change|round change with a lock|proposal|fresh proposal after a round change|locked re-proposal|
        decision|decision in a later round|body fetched|restart with a lock|timer stopped by the gate"""
    assert {name.strip(): found[name.strip()] for name in names.split("|") if found[name.strip()] < 15} == {}
