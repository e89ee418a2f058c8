"""The faults that a schedule lets loose, one function each; all of them end when the schedule calms down.

A fault begins after a number of events, not at a time: where much happens, much goes wrong.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from consensus.messages import Commit, Prepare, Proposal, RoundChange
from tests.sim.core.cluster import Rule
from tests.sim.core.process import Process

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster

KINDS: Final = (Proposal, Prepare, Commit, RoundChange)


def pick(cluster: Cluster) -> Process | None:
    """An honest process that runs."""
    alive = [one for one in cluster.processes if one.alive and not one.faulty]
    return alive[int(cluster.random() * len(alive))] if alive else None


def budget(cluster: Cluster) -> bool:
    """Whether one validator more may be faulty, in every set."""
    faulty = cluster.oracle.faulty
    return all(sum(key in here.validators for key in faulty) < here.faulty for here in cluster.plan.epochs)


def crash(cluster: Cluster) -> None:
    """Power fails a few effects from now; now and then again while it recovers."""
    process = pick(cluster)
    if process is not None:
        process.fuse = int(cluster.random() * 14)
        if cluster.random() < 0.35:
            process.next_fuse = int(cluster.random() * 8)
        cluster.down_ms = (100, 500, 500, 4_000)[int(cluster.random() * 4)]


def crash_all(cluster: Cluster) -> None:
    """Power fails everywhere, not at quite the same moment."""
    for process in cluster.honest():
        if process.alive:
            process.fuse = int(cluster.random() * 20)


def partition(cluster: Cluster) -> None:
    """Two sides."""
    side = [cluster.random() < 0.5 for _ in cluster.processes]
    indexes = range(len(side))
    cluster.cuts |= {(one, other) for one in indexes for other in indexes if side[one] != side[other]}
    cluster.rough = True


def one_way(cluster: Cluster) -> None:
    """Some hear others who do not hear them."""
    count = len(cluster.processes)
    for one in range(count):
        if cluster.random() < 0.4:
            cluster.cuts |= {(one, other) for other in range(count) if other != one and cluster.random() < 0.7}
    cluster.rough = True


def isolate(cluster: Cluster) -> None:
    """One is alone, or deaf, or dumb."""
    count = len(cluster.processes)
    one, way = int(cluster.random() * count), cluster.random()
    if way < 0.7:
        cluster.cuts |= {(one, other) for other in range(count)}
    if way > 0.3:
        cluster.cuts |= {(other, one) for other in range(count)}
    cluster.rough = True


def lose(cluster: Cluster) -> None:
    """Some messages are lost."""
    cluster.drop = (0.05, 0.15, 0.3, 0.6)[int(cluster.random() * 4)]
    cluster.rough = True


def delay(cluster: Cluster) -> None:
    """Some messages take long, and overtake each other."""
    cluster.delay_ms = (1, (60, 400, 1_500, 3_000)[int(cluster.random() * 4)])


def duplicate(cluster: Cluster) -> None:
    """Some messages come twice."""
    cluster.duplicate = 0.1 + 0.5 * cluster.random()
    cluster.rough = True


def starve(cluster: Cluster) -> None:
    """Some kinds of messages reach a few only: this makes locks, and decisions that one alone knows of."""
    random = cluster.random
    kinds = tuple(kind for kind in KINDS if random() < 0.35) or (KINDS[1 + int(random() * 2)],)
    spared = frozenset(one.index for one in cluster.processes if random() < 0.35)
    rounds = (1, 1, 2, 1 << 40)[int(random() * 4)]
    cluster.rules = [*cluster.rules[-2:], Rule(kinds, rounds, spared)]
    cluster.rough = True


def lock_few(cluster: Cluster) -> None:
    """Round 0: PREPAREs reach few, COMMITs fewer: the situation in which a lock is put to the test."""
    random, indexes = cluster.random, [one.index for one in cluster.processes]
    locked = frozenset(index for index in indexes if random() < 0.5)
    decided = frozenset(index for index in locked if random() < 0.3)
    rounds = 1 + int(random() * 2)
    cluster.rules = [Rule((Prepare,), rounds, locked), Rule((Commit,), rounds, decided)]
    cluster.rough = True


def skew(cluster: Cluster) -> None:
    """Somebody's clock is set wrongly: seconds to an hour, either way."""
    process = pick(cluster)
    if process is not None:
        size = (2_000, 20_000, 90_000, 3_600_000)[int(cluster.random() * 4)]
        process.wall_skew_ms = size if cluster.random() < 0.5 else -size
        cluster.count("clock_jump")


def leap(cluster: Cluster) -> None:
    """Somebody's monotonic clock leaps ahead: the machine was asleep."""
    process = pick(cluster)
    if process is not None:
        process.offset_ms += (500, 3_000, 30_000, 600_000)[int(cluster.random() * 4)]
        for effect in list(process.timers.values()):
            cluster.at(max(cluster.now, effect.at_ms - process.offset_ms), process, Process.on_timer, effect)
        cluster.count("monotonic_leap")


def stall(cluster: Cluster) -> None:
    """Somebody is stopped for a while; what reaches it waits, and comes at once."""
    process = pick(cluster)
    if process is None:
        return
    until = cluster.now + 100 + int(cluster.random() * 6_000)
    process.stalled_until = until
    cluster.queue[:] = [(max(entry[0], until), *entry[1:]) if entry[2] is process else entry for entry in cluster.queue]
    heapq.heapify(cluster.queue)
    cluster.rough = True
    cluster.count("stall")


def withhold_transactions(cluster: Cluster) -> None:
    """Some lack the transactions of what is proposed, for a while."""
    for process in cluster.processes:
        if cluster.random() < 0.4:
            process.withheld = True


def roll_signer_back(cluster: Cluster) -> None:
    """Somebody's signer log is an older copy: within the number of faulty ones, since it may sign twice."""
    process = pick(cluster)
    if process is None or len(process.disk.synced) < 2 or (not process.suspect and not budget(cluster)):
        return
    process.suspect = True
    cluster.oracle.faulty.add(process.key)
    process.crash()
    records = process.disk.synced
    process.disk.replace(records[: int(cluster.random() * len(records))])
    cluster.count("signer_rolled_back")


def lose_signer_log(cluster: Cluster) -> None:
    """Somebody's signer log is gone, and it knows: it observes for good. It counts as one that is missing."""
    process = pick(cluster)
    if process is None or process.lost_log or (not process.suspect and not budget(cluster)):
        return
    process.suspect = process.lost_log = True
    cluster.oracle.faulty.add(process.key)
    process.crash()
    process.disk.replace([])
    cluster.count("signer_lost")


def roll_store_back(cluster: Cluster) -> None:
    """Somebody's store is an older copy, its signer log is not; another honest process still has the blocks."""
    process = pick(cluster)
    if process is None or not process.chain:
        return
    others = [one for one in cluster.honest() if one is not process and len(one.chain) >= len(process.chain)]
    if not others:
        return
    process.crash()
    del process.chain[max(0, len(process.chain) - 1 - int(cluster.random() * 2)) :]
    cluster.count("store_rolled_back")


def reconnect(cluster: Cluster) -> None:
    """Some connections break and come back."""
    pairs = {(one.index, other.index) for one in cluster.processes for other in cluster.processes if one is not other}
    cluster.reconnect({pair for pair in sorted(pairs) if cluster.random() < 0.3})


def part_twins(cluster: Cluster) -> None:
    """Twins see different parts of the others."""
    twins = [one for one in cluster.processes if one.faulty]
    others = [one for one in cluster.processes if not one.faulty]
    for other in others:
        hears = int(cluster.random() * (len(twins) + 1))
        for i, twin in enumerate(twins):
            if i != hears:
                cluster.cuts |= {(twin.index, other.index), (other.index, twin.index)}
    cluster.rough = True


FAULTS: Final[dict[str, tuple[int, Callable[[Cluster], None]]]] = {
    "crash": (6, crash),
    "crash_all": (1, crash_all),
    "partition": (3, partition),
    "one_way": (2, one_way),
    "isolate": (3, isolate),
    "lose": (3, lose),
    "delay": (2, delay),
    "duplicate": (2, duplicate),
    "starve": (4, starve),
    "lock_few": (5, lock_few),
    "skew": (2, skew),
    "leap": (2, leap),
    "stall": (2, stall),
    "withhold_transactions": (1, withhold_transactions),
    "roll_signer_back": (1, roll_signer_back),
    "lose_signer_log": (1, lose_signer_log),
    "roll_store_back": (2, roll_store_back),
    "reconnect": (1, reconnect),
}
"""Name to weight and function."""
