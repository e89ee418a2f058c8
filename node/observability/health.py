"""Whether the daemon lives, and whether it may be sent work: ``/livez`` and ``/readyz``.

Alive is what a restart could not improve on: the loop turns (or nobody would answer) and writes to the disk end. Ready
is what clients need: caught up, in touch with enough others, signing where it should, not on its way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Final

from node.draining import hears_quorum
from node.observability.sources import ChainSource, Sources

STUCK_S: Final = 30.0
"""A synced write that takes longer is one that does not end."""
BEHIND_BLOCKS: Final = 2
"""Votes travel: a peer that is one block ahead is normal."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a daemon is not alive, or not ready.

    Attributes:
        code: stable, snake_case.
        words: what that means, with numbers.
        chain: of which hosted chain; empty for the daemon's own.
    """

    code: str
    words: str
    chain: str = ""


class Health:
    """See the module.

    Args:
        sources: of the daemon.

    Attributes:
        started: set once all nodes are up.
        draining: set when the daemon was asked to stop.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.started = False
        self.draining = False

    def why_dead(self) -> list[Reason]:
        """Nothing while the daemon is alive; asked on the event loop, which shows that it turns."""
        found: list[Reason] = []
        writes = self._sources.writes
        if writes is not None and not writes.writes:
            found.append(Reason("disk_stuck", f"a write to the disk has not ended for {writes.stuck_s:.0f} s"))
        for source in self._sources.chains:
            core = source.core
            for what, since in (("block", core.chain.writing_since_s), ("signer log", core.driver.syncing_since_s)):
                if since is not None and perf_counter() - since > STUCK_S:
                    seconds = perf_counter() - since
                    words = f"the write of a {what} has not ended for {seconds:.0f} s"
                    found.append(Reason("write_stuck", words, source.name))
        return found

    def why_not_ready(self) -> list[Reason]:
        """Nothing while the daemon can be sent work."""
        found: list[Reason] = []
        if self.draining:
            found.append(Reason("draining", "the daemon is stopping; it finishes what it has and takes nothing new"))
        if not self.started:
            return [*found, Reason("starting", "the daemon is starting")]
        for source in self._sources.chains:
            found += _chain_reasons(source)
        return found


def _chain_reasons(source: ChainSource) -> list[Reason]:
    name, core = source.name, source.core
    found: list[Reason] = []
    tip, target = core.chain.tip.height, core.synchroniser.target_height
    if target >= tip + BEHIND_BLOCKS:
        found.append(Reason("behind", f"at height {tip}; peers have {target}", name))
    validators = core.chain.validators
    if core.key.public in validators:
        if not hears_quorum(core):
            words = f"fewer than {validators.quorum} of {len(validators)} validators are heard"
            found.append(Reason("no_quorum", words, name))
        if core.driver.observing:
            why = core.driver.observing_why
            words = f"it follows without signing: {'' if why is None else why.reason}"
            found.append(Reason("observing", words, name))
    elif not any(core.synchroniser.last_status(peer) is not None for peer in core.transport.peers()):
        found.append(Reason("no_peers", "no peer is connected that has said where it stands", name))
    return found
