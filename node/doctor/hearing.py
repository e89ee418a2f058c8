"""Whom a node hears: judged from ``standing`` in its ``node.status``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.doctor.catalogue import found
from node.doctor.wording import lasting, listed, name_of
from node.surroundings.finding import Finding

SILENT_MS: Final = 8_000
"""A connected node says how far it is each second."""
WAYS: Final = {
    "refused": "nobody listens on its port: its daemon does not run",
    "no_answer": "nothing answers at its address: host or network are down, or its daemon hangs",
    "unreachable": "there is no way to its host",
    "other_network": "it is a node of another chain",
    "peer_not_admitted": "its certificate does not admit it",
    "handshake_timeout": "it accepts connections and does not go on",
    "connection_failed": "it ends connections at once",
    "unwanted": "it does not want the connection",
}
"""What the overlay found when it tried to connect, in words."""


@dataclass(frozen=True, slots=True)
class Validator:
    """One validator as this node sees it.

    Attributes:
        name: its organisation.
        key: as text.
        heard: whether it counts as there.
        silent_ms: since when not; None: never heard, or it is heard.
        why: what the overlay found when it tried to reach it; empty: not known.
    """

    name: str
    key: str
    heard: bool
    silent_ms: int | None
    why: str

    @property
    def story(self) -> str:
        """Who it is, since when it is gone, and why, as far as is known."""
        since = (
            "not heard since this node started" if self.silent_ms is None else f"silent for {lasting(self.silent_ms)}"
        )
        way = WAYS.get(self.why)
        return f"{self.name} ({since}; {way})" if way else f"{self.name} ({since})"


@dataclass(frozen=True, slots=True)
class Hearing:
    """Everybody.

    Attributes:
        validators: of the next height.
        quorum: so many decide.
        weak_quorum: at least one honest among so many.
        peers: connected nodes.
        reasons: why connections fail, for every peer that is wanted and not there.
    """

    validators: tuple[Validator, ...]
    quorum: int
    weak_quorum: int
    peers: int
    reasons: tuple[str, ...]

    @property
    def missing(self) -> tuple[Validator, ...]:
        """Who is not heard."""
        return tuple(one for one in self.validators if not one.heard)

    @property
    def heard(self) -> int:
        """How many are, oneself included."""
        return len(self.validators) - len(self.missing)

    @property
    def decides(self) -> bool:
        """Whether those that are heard can decide."""
        return self.heard >= self.quorum

    def findings(self) -> Iterator[Finding]:
        """What is wrong with whom this node hears."""
        missing = self.missing
        other = sum(reason == "other_network" for reason in self.reasons)
        facts: dict[str, Any] = {
            "validators": len(self.validators),
            "quorum": self.quorum,
            "heard": self.heard,
            "missing": [one.name for one in missing],
        }
        if other and (not self.decides or not self.peers):
            yield found(
                "peers.other_chain",
                f"{other} of the peers that this node is to reach are of another chain: their genesis file is not this"
                " home's",
                peers=other,
            )
        if not missing:
            return
        who = listed(one.story for one in missing)
        if self.decides:
            spare = self.heard - self.quorum
            yield found(
                "validator.missing",
                f"{self.heard} of {len(self.validators)} validators are heard, {self.quorum} are needed: {who}; "
                + (f"{spare} more may fail" if spare else "no other one may fail"),
                **facts,
            )
            return
        words = f"{self.quorum} of {len(self.validators)} validators are needed, {self.heard} heard: missing {who}"
        dead = all(one.why == "refused" for one in missing)
        if not self.peers and len(self.validators) > 1 and not dead:
            yield found("node.alone", f"no other node is connected; {words}", **facts)
        elif self.heard >= self.weak_quorum and not dead:
            yield found("quorum.partition", words, **facts)
        else:
            yield found("quorum.lost", words, **facts)


def read_hearing(status: Mapping[str, Any]) -> Hearing:
    """Whom the node behind a ``node.status`` document hears."""
    standing = status["standing"]
    empty_ms = (status.get("parameters") or {}).get("empty_block_ms", 10_000)
    patience_ms = max(SILENT_MS, int(2.5 * empty_ms))
    unreachable: Mapping[str, str] = standing["unreachable"]
    return Hearing(
        tuple(_validator(one, unreachable, patience_ms) for one in standing["validators"]),
        standing["quorum"],
        standing["weak_quorum"],
        len(status.get("peers") or ()),
        tuple(unreachable.values()),
    )


def _validator(one: Mapping[str, Any], unreachable: Mapping[str, str], patience_ms: int) -> Validator:
    heard, lost = one["heard_ms_ago"], one["lost_ms_ago"]
    if one["self"]:
        there = True
    elif heard is None:
        there = False
    elif one["connected"]:
        there = heard <= SILENT_MS
    else:
        # Heard through others: votes come with blocks, and not at all in the seconds between them.
        there = heard <= patience_ms and (lost is None or lost > heard)
    known = [ago for ago in (heard, lost) if ago is not None]
    silent = None if there else min(known, default=None)
    why = "" if there else unreachable.get(str(one["peer_id"]), "")
    return Validator(name_of(one), one["key"], there, silent, why)
