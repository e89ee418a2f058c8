"""One seeded schedule at level core: a cluster, its faults, the calm after them, and what must be true of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Final

from consensus.timing import Parameters, round_timeout_ms
from tests.sim.core import executing, outage
from tests.sim.core.adversary import SCRIPTS, Adversary, Puppet, Twin
from tests.sim.core.cluster import Cluster, name_of
from tests.sim.core.faults import FAULTS, part_twins
from tests.sim.core.material import KEYS, Seats, SetPlan, seats
from tests.sim.core.process import Process
from tests.sim.core.tracing import trace_cluster
from tests.sim.outcome import Outcome, Violation

SIZES: Final = (4,) * 81 + (1, 2, 2, 3, 3, 3, 5, 5, 5, 5, 6, 6, 6, 7, 7, 7, 7, 8, 8)
MIN_HEIGHTS: Final = 3
MIN_FAULTS: Final = 5
MAX_EVENTS: Final = 100_000
"""Of a calm: more than that is an endless loop."""
SETTLE_MS: Final = 8_000
"""Part of the bound: restarts (4 s down, 2 s greeting), a rebroadcast to meet in a round, one to hear the decision."""


def run(seed: int, *, trace: bool = False) -> Outcome:
    """Runs the schedule that ``seed`` picks.

    Args:
        seed: picks everything: the number of validators, the faults, every delay.
        trace: whether to keep a readable line for each event (slow).
    """
    cluster = build(seed)
    if trace:
        trace_cluster(cluster)
    outcome = Outcome(seed, situations=cluster.situations, trace=[] if cluster.trace is None else cluster.trace)
    try:
        play(cluster)
    except Violation as violation:
        outcome.violation = str(violation)
    except Exception as error:  # whatever the core raises is a violation
        outcome.violation = f"{type(error).__name__}: {error}"
    outcome.heights = len(cluster.oracle.decisions)
    outcome.faults = cluster.faults
    if outcome.violation and trace:
        outcome.trace.append(f"{cluster.now:>8}  VIOLATION: {outcome.violation}")
        outcome.trace.append(f"{'':>8}  {cluster.describe()}")
    cluster.close()
    return outcome


# --- what the seed picks ----------------------------------------------------------------------------------------------


def build(seed: int) -> Cluster:
    """The cluster, not started."""
    rng = Random(int.from_bytes(hashlib.sha256(b"core %d" % seed).digest()[:8], "big"))
    random = rng.random
    count = SIZES[int(random() * len(SIZES))]
    plan = pick_sets(rng, count)
    parameters = Parameters(
        max_timeout_ms=(4_000, 16_000, 60_000)[int(random() * 3)],
        empty_block_ms=(2_000, 10_000)[int(random() * 2)],
        package_wait_ms=0 if random() < 0.85 else 150,
        rebroadcast_ms=(1_000, 1_000, 1_000, 1_000, 1_500, 2_500, 2_500, 400)[int(random() * 8)],
    )
    cluster = Cluster(int(random() * (1 << 60)), plan, parameters)
    cluster.sync_ms = 0 if random() < 0.6 else 1 + int(random() * 6)
    cluster.compact_at = 200 if random() < 0.8 else 4 + int(random() * 10)
    cluster.early_timers = random() < 0.1
    cluster.encoded = random() < 0.06
    cluster.trusting = random() < 0.75 and not cluster.encoded
    people(cluster, rng)
    pick_work(cluster, random() if count > 1 else 0.0)
    return cluster


def pick_sets(rng: Random, count: int) -> SetPlan:
    """Mostly one set; in a fourth of the schedules it changes, now and then twice, also 1 → 4 → 7."""
    members = list(KEYS[:count])
    first = seats(0, 1, 0 if rng.random() < 0.7 else rng.randrange(9), members)
    epochs = [first]
    if rng.random() < 0.25:
        height = 1
        for number in range(1, 2 + (rng.random() < 0.4)):
            height += 1 + int(rng.random() * 2)
            members = change_members(rng, members)
            epochs.append(seats(number, height, rng.randrange(7), members))
    return SetPlan(epochs)


def change_members(rng: Random, members: Sequence[bytes]) -> list[bytes]:
    """Another set: one joins, leaves or is replaced; or it grows or shrinks by three; or only the order changes."""
    way, outside = rng.random(), [key for key in KEYS[:9] if key not in members]
    if len(members) <= 5 and way < 0.25:
        return [*members, *outside[:3]]
    if way < 0.45 and outside and len(members) < 8:
        return [*members, rng.choice(outside)]
    gone = rng.choice(members)
    left = [key for key in members if key != gone] if len(members) > 1 else list(members)
    if way < 0.65:
        return left
    if way < 0.85 and outside:
        return [*left, rng.choice(outside)] if len(members) > 1 else [outside[0]]
    return left[:4] if len(left) > 4 else list(members)


def people(cluster: Cluster, rng: Random) -> None:
    """Honest processes, puppets and twins; everywhere at most f keys are faulty."""
    plan = cluster.plan
    everybody = plan.people
    faulty: list[bytes] = []
    if rng.random() < 0.6:
        for key in rng.sample(everybody, len(everybody)):
            hoped = {*faulty, key}
            if all(len(hoped.intersection(here.validators.keys)) <= here.faulty for here in plan.epochs):
                faulty.append(key)
            if len(faulty) == 2:
                break
    twins = rng.random() < 0.25
    cluster.oracle.faulty.update(faulty)
    for key in everybody:
        if key not in faulty:
            cluster.add(Process(cluster, len(cluster.processes), key, name_of(key)))
        elif twins:
            for copy in range(2):
                cluster.add(Twin(cluster, len(cluster.processes), key, name_of(key, copy)))
        else:
            cluster.add(Puppet(cluster, len(cluster.processes), key, name_of(key)))
    puppets = [one for one in cluster.processes if isinstance(one, Puppet)]
    if puppets:
        some = rng.sample(sorted(SCRIPTS), 1 + int(rng.random() * 6))
        adversary = Adversary(cluster, [one.key for one in puppets], some)
        for one in puppets:
            one.join(adversary)


def pick_work(cluster: Cluster, way: float) -> None:
    """Work is there at once, or comes later to each, or there is none and blocks are empty."""
    if way < 0.75:
        return
    if way > 0.95:
        cluster.work = lambda _process, _height: None
        return
    random = cluster.random

    def late(process: Process, _height: int) -> int | None:
        if random() < 0.5:
            return cluster.now + process.offset_ms
        cluster.after(int(random() * 700), process, Process.on_work, None)
        return None

    cluster.work = late


# --- the schedule -----------------------------------------------------------------------------------------------------


def play(cluster: Cluster) -> None:
    """Starts, disturbs, calms down, and asserts that it goes on."""
    for process in cluster.processes:
        process.start()
    keep_polling(cluster)
    if cluster.random() < 0.002:
        outage.play(cluster)
    else:
        disturb(cluster)
    calm(cluster)
    for process in cluster.processes:
        if not process.faulty and process.alive:
            cluster.oracle.check_bounds(process)


def disturb(cluster: Cluster) -> None:
    """At least five faults, of the kinds that this schedule uses."""
    random = cluster.random
    names = [name for name in FAULTS if random() < 0.4] or ["crash"]
    weights = [FAULTS[name][0] for name in names]
    if any(isinstance(one, Twin) for one in cluster.processes):
        part_twins(cluster)
        cluster.count("twins")
    cluster.run(int(random() * 36))
    for _ in range(MIN_FAULTS + int(random() * random() * 4)):
        name = cluster.rng.choices(names, weights)[0]
        cluster.note(f"--- fault: {name}")
        FAULTS[name][1](cluster)
        cluster.faults += 1
        cluster.count(f"fault_{name}")
        cluster.run(2 + int(random() * 28), cluster.now + 4_000)
        if random() < 0.4:
            cluster.heal()


def calm(cluster: Cluster) -> None:
    """Faults stop; the faulty go on. Everybody must decide within the bound."""
    cluster.note("--- calm")
    settle(cluster)
    bound_ms = bound(cluster)
    goal = max(MIN_HEIGHTS, len(cluster.oracle.decisions) + 1)
    await_height(cluster, goal, cluster.now + bound_ms)


def settle(cluster: Cluster) -> None:
    """The network heals, clocks are right again, nobody crashes any more."""
    cluster.heal()
    cluster.down_ms = 500
    for process in cluster.processes:
        if not process.alive:
            process.life += 1  # not twice
            cluster.after(int(cluster.random() * 100), process, Process.start, None)
        process.fuse = process.next_fuse = -1
        process.wall_skew_ms = 0
        process.withheld = False
        process.stalled_until = 0


def bound(cluster: Cluster) -> int:
    """How long everybody may take from here: to meet in a round, then for each faulty proposer its round's length."""
    parameters = cluster.parameters
    newest = max(one.place[0] for one in cluster.processes)
    round_ = max((one.place[1] for one in cluster.honest() if one.place[0] == newest), default=0)
    wasted = len(cluster.oracle.faulty)
    missing = max(1, MIN_HEIGHTS - len(cluster.oracle.decisions))
    first = sum(round_timeout_ms(parameters, round_ + k) for k in range(wasted + 3))
    later = sum(round_timeout_ms(parameters, k) for k in range(wasted + 2)) + parameters.empty_block_ms
    return SETTLE_MS + first + parameters.empty_block_ms + missing * later


def await_height(cluster: Cluster, goal: int, until_ms: int) -> None:
    """Runs until every honest process has committed ``goal``.

    Raises:
        Violation: it takes longer.
    """
    honest = cluster.honest()
    events = MAX_EVENTS
    while any(len(one.chain) < goal for one in honest):
        if cluster.now >= until_ms or events <= 0:
            raise Violation(f"no decision of height {goal} within the bound: {cluster.describe()}")
        events -= 6 - cluster.run(6, until_ms)


def keep_polling(cluster: Cluster) -> None:
    """Who cannot vote is nobody's straggler: it asks others for blocks every second, as the daemon's sync does."""
    cluster.after(1_000, cluster.world, poll, None)


def poll(world: Process, _argument: object) -> None:
    """One round of questions."""
    cluster = world.cluster
    newest: Seats = cluster.plan.at(len(cluster.oracle.decisions) + 1)
    for process in cluster.processes:
        if process.alive and not process.greeting:
            if process.state.can_sign and process.key in newest.validators:
                continue
            other = cluster.processes[int(cluster.random() * len(cluster.processes))]
            if other is not process:
                question = (process, len(process.chain) + 1)
                cluster.to_process(process, other, executing.on_asked_decided, question)
    cluster.after(1_000, world, poll, None)
