"""What to think of the peers and of the clock, from a probe or from a running node's own report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from node.config import Config
from node.home import Home
from node.surroundings.finding import Finding, error, ok, warning
from node.surroundings.peer_probe import PeerSeen

CLOCK_WARN_MS: Final = 500
"""Clocks that are kept in step are well below this."""
SYNCHRONISE: Final = "have this machine keep its clock in step: timedatectl set-ntp true, or chrony"


def check_peers(seen: Sequence[PeerSeen], *, needed: bool) -> Iterator[Finding]:
    """Peers that were dialled while the node does not run.

    Args:
        seen: how each answered.
        needed: whether the node can do nothing without; one that never ran may be the first of its network to start.
    """
    for peer in seen:
        place = f"{peer.address.host}:{peer.address.port}"
        data = {"peer": peer.address.peer_id, "address": place, "offset_ms": peer.offset_ms}
        if peer.admitted:
            yield ok("peer.reachable", f"{place} answers", **data)
        elif peer.open:
            yield warning(
                "peer.refuses",
                f"{place} takes connections, and the handshake fails: it is another node, of another chain, or "
                "does not admit this one yet",
                "compare its peer id and both genesis hashes; has a block with this node's certificate reached it?",
                **data,
            )
        else:
            yield warning(
                "peer.unreachable",
                f"nobody answers at {place}",
                "is that node running, the address right, and the port open in every firewall between?",
                **data,
            )
    if seen and not any(peer.admitted for peer in seen):
        say = error if needed else warning
        yield say("peers.unreachable", "not one of the peers can be reached", "one at least has to be: see each below")


def check_peers_told(status: Mapping[str, Any], config: Config) -> Iterator[Finding]:
    """Configured peers that a running node is not connected to."""
    connected = {peer.get("peer_id") for peer in status.get("peers") or ()}
    missing = [address for address in config.p2p.addresses if address.peer_id not in connected]
    for address in missing:
        yield warning(
            "peer.unconnected",
            f"the node is not connected to {address.host}:{address.port}",
            "is that node running, the address right, and the port open in every firewall between?",
            peer=address.peer_id,
            address=f"{address.host}:{address.port}",
        )
    if connected:
        yield ok("peers.connected", f"the node is connected to {len(connected)} peers", connected=len(connected))
    elif len(status.get("validators") or ()) > 1:
        yield error("peers.unreachable", "the node is connected to nobody", "see each peer below")


def check_clock(offset: tuple[int, int] | None, tolerance_ms: int, home: Home, now_ms: int) -> Iterator[Finding]:
    """This machine's clock against those of the peers that were asked; without any, against the chain's beginning."""
    if now_ms < home.genesis.created_ms - tolerance_ms:
        yield error("clock.offset", "the clock stands before the beginning of the chain", SYNCHRONISE)
    elif offset is None:
        yield warning(
            "clock.unmeasured",
            "no peer said what time it is there: the clock is not checked",
            "check again later",
        )
    else:
        yield _judge(offset[0], f"{offset[1]} peers", tolerance_ms)


def check_clock_told(status: Mapping[str, Any]) -> Iterator[Finding]:
    """As a running node has seen it in the blocks of others."""
    clock = status.get("clock") or {}
    tolerance_ms = int((status.get("parameters") or {}).get("clock_tolerance_ms", 10_000))
    offset = clock.get("offset_ms")
    if offset is not None:
        yield _judge(int(offset), "the other validators' blocks", tolerance_ms)
    if clock.get("jumps"):
        yield warning(
            "clock.jumps",
            f"the clock has jumped {clock['jumps']} times since the node started",
            SYNCHRONISE,
            jumps=clock["jumps"],
        )


def _judge(offset_ms: int, against: str, tolerance_ms: int) -> Finding:
    words = f"the clock is {abs(offset_ms)} ms {'ahead of' if offset_ms > 0 else 'behind'} {against}"
    data = {"offset_ms": offset_ms, "tolerance_ms": tolerance_ms}
    if abs(offset_ms) >= tolerance_ms:
        return error("clock.offset", f"{words}: others refuse its blocks, or it theirs", SYNCHRONISE, **data)
    if abs(offset_ms) >= CLOCK_WARN_MS:
        return warning("clock.offset", words, SYNCHRONISE, **data)
    return ok("clock.offset", words, **data)
