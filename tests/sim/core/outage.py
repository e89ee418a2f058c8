"""More than f validators are gone for ten minutes, and come back (issue 4, item 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.sim.outcome import Violation

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster

OUTAGE_MS: Final = 600_000
BASES: Final = 3
"""Base timeouts from reconnection within which a decision is due."""


def play(cluster: Cluster) -> None:
    """Cuts so many off that no quorum is left, or stops them, and asserts that all is well soon after their return."""
    random = cluster.random
    cluster.faults += 5
    here = cluster.plan.epochs[-1]
    while min(len(one.chain) for one in cluster.honest()) < here.epoch.start:
        cluster.run(20)
    cluster.run(int(random() * 150), cluster.now + 5_000)
    least = len(here.validators) - here.quorum + 1
    most = max(least, here.quorum - 1)
    keys = cluster.rng.sample(here.validators.keys, least + int(random() * (most - least + 1)))
    # The second of twins repents for good.
    chosen = [one for one in cluster.processes if one.key in keys and not one.name.endswith("'")]
    for one in cluster.processes:
        # Whoever lies goes on to make rounds fail, and each of them may cost its timeout: that is another bound.
        one.repent()
    # Cut off from nobody, a single validator would go on deciding, for ten minutes.
    stopped = random() < 0.5 or len(here.validators) == 1
    cluster.note(f"--- outage of {', '.join(one.name for one in chosen)}: {'stopped' if stopped else 'cut off'}")
    if stopped:
        for one in chosen:
            one.stop()
    else:
        gone = {one.index for one in chosen}
        everybody = range(len(cluster.processes))
        alone = len(keys) >= here.quorum or random() < 0.5
        cluster.cuts = {
            (a, b)
            for a in everybody
            for b in everybody
            if a != b and ((a in gone) != (b in gone) or (alone and a in gone))
        }
        cluster.rough = True
    cluster.run(1_000_000, cluster.now + OUTAGE_MS - 60_000 + int(random() * 120_000))
    cluster.count("long_outage")
    cluster.note("--- everybody is back")
    cluster.heal()
    if stopped:
        for one in chosen:
            one.start()
    await_decision(cluster)


def await_decision(cluster: Cluster) -> None:
    """The next height is decided by somebody within three base timeouts, when everybody who decides may vote.

    Whoever finds that its signer state was rolled back observes, and may waste rounds like any faulty one: then the
    general bound holds, which the calm after this asserts.

    Raises:
        Violation: it takes longer.
    """
    count = len(cluster.oracle.decisions)
    until_ms = cluster.now + BASES * cluster.parameters.base_timeout_ms
    while len(cluster.oracle.decisions) == count:
        over = cluster.run(8, until_ms) == 8 or cluster.now >= until_ms
        if over and len(cluster.oracle.decisions) == count:
            if any(one.alive and one.state.observing is not None for one in cluster.processes):
                cluster.count("outage_with_an_observer")
                return
            raise Violation(f"no decision within {BASES} base timeouts of an outage's end: {cluster.describe()}")
