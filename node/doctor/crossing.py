"""What is wrong between the two chains of a fusion node, judged from ``relay`` in its ``node.status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from node.doctor.catalogue import found
from node.doctor.wording import lasting
from node.surroundings.finding import Finding

STUCK_MS: Final = 30_000
"""A packet is answered within seconds where both chains go on."""


def examine_relay(relay: Mapping[str, Any], standing_chains: Sequence[str]) -> Iterator[Finding]:
    """What keeps packets from crossing.

    Args:
        relay: ``{"directions": [...]}``.
        standing_chains: names of the chains that make no blocks.
    """
    directions: Sequence[Mapping[str, Any]] = relay["directions"]
    names = {direction["from"] for direction in directions}
    for name in sorted(names & set(standing_chains)):
        yield found(
            "relay.chain_stands", f"chain {name} makes no block: nothing crosses in either direction", chain=name
        )
    for direction in directions:
        yield from _direction(direction, stands=bool(standing_chains))


def _direction(direction: Mapping[str, Any], *, stands: bool) -> Iterator[Finding]:
    way = f"from {direction['from']} to {direction['to']}"
    facts = {"source": direction["from"], "destination": direction["to"]}
    if not direction["connected"]:
        yield found("relay.apart", f"{way}: {direction['to']} does not know {direction['from']} yet", **facts)
        return
    if direction["frozen"]:
        yield found(
            "relay.frozen",
            f"{direction['to']} has frozen its client of {direction['from']}: two certified blocks",
            **facts,
        )
        return
    if direction["catching_up"] or stands:
        return  # What explains it has been said.
    unproved_ms, allowed_ms = direction["proved_ms_ago"], direction["max_staleness_ms"]
    if unproved_ms > allowed_ms:
        yield found(
            "relay.stale",
            f"the newest block of {direction['from']} that {direction['to']} knows is {lasting(unproved_ms)} old, "
            f"{lasting(allowed_ms)} are allowed; {direction['failures']} deliveries of this node failed",
            **facts,
            proved_ms_ago=unproved_ms,
            max_staleness_ms=allowed_ms,
        )
    oldest_ms = direction["oldest_ms"]
    if oldest_ms is not None and oldest_ms > STUCK_MS:
        yield found(
            "relay.stuck",
            f"{way}: {direction['unanswered']} packets are not answered, the oldest for {lasting(oldest_ms)}; "
            f"{direction['failures']} deliveries of this node failed",
            **facts,
            unanswered=direction["unanswered"],
            oldest_ms=oldest_ms,
            failures=direction["failures"],
        )
