"""How the daemon is doing, as ``node.status`` reports it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from ledger.keys import key_text, parse_key
from node.clock import monotonic_ms
from node.core import NodeCore
from node.services import ServiceSwitch


def program_version() -> str:
    """Version of the installed package, or ``0`` in a bare checkout."""
    try:
        return version("tidegate")
    except PackageNotFoundError:
        return "0"


def resident_mb() -> float:
    """Resident memory of this process in MB (10⁶ bytes)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(slots=True)
class StatusReport:
    """Gathers the report from the daemon's parts."""

    name: str
    organisation: str
    core: NodeCore
    services: ServiceSwitch
    started_s: float
    reports: Mapping[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The reply of ``node.status`` without the chain's part."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        traffic = self.core.transport.stats()
        return {
            "name": self.name,
            "organisation": self.organisation,
            "peer_id": self.core.transport.peer_id,
            "key": key_text(self.core.key.public),
            "version": program_version(),
            "ready": True,
            "validator": self.core.key.public in self.core.chain.validators,
            "observing": self.core.driver.observing,
            "round": self.core.driver.round,
            "epoch": self._epoch(),
            "validators": self._validators(),
            "coming": self._coming(),
            "parameters": msgspec.to_builtins(self.core.chain.parameters),
            "peers": [self._peer(peer) for peer in self.core.transport.peers()],
            "mempool": {"transactions": len(self.core.mempool), "bytes": self.core.mempool.size_bytes},
            "syncing": self.core.synchroniser.syncing,
            "target_height": max(self.core.synchroniser.target_height, self.core.chain.tip.height),
            "evidence": self.core.driver.evidence_count,
            "misbehaviour": self._misbehaviour(),
            "certificates": self.core.certificates.document(),
            "services": list(self.services.services),
            "uptime_s": round(time.monotonic() - self.started_s, 3),
            "rss_mb": round(resident_mb(), 1),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "traffic": {
                "bytes_in": sum(traffic.bytes_in.values()) + traffic.request_bytes_in,
                "bytes_out": sum(traffic.bytes_out.values()) + traffic.request_bytes_out,
                "rebuilds": traffic.rebuilds,
                "slow_peer_drops": traffic.slow_peer_drops,
            },
            **{name: report() for name, report in self.reports.items()},
        }

    def _misbehaviour(self) -> dict[str, Any]:
        document = self.core.evidence.document()
        for item in document["latest"]:
            item["organisation"] = self.core.membership.organisation_of(parse_key(item["validator"]))
        return document

    def _validators(self) -> list[dict[str, Any]]:
        now, membership = monotonic_ms(), self.core.membership
        found = []
        for key in self.core.chain.validators.keys:
            heard = now if key == self.core.key.public else self.core.driver.votes.heard_ms.get(key)
            peer = membership.peer_of(key)
            lost = None if peer is None else self.core.synchroniser.lost_ms(peer)
            found.append(
                {
                    "key": key_text(key),
                    "organisation": membership.organisation_of(key),
                    "heard_ms_ago": None if heard is None else now - heard,
                    "lost_ms_ago": None if lost is None else now - lost,
                }
            )
        return found

    def _epoch(self) -> dict[str, Any]:
        epoch = self.core.chain.epoch
        return {"number": epoch.number, "from_height": epoch.start}

    def _coming(self) -> dict[str, Any] | None:
        """The set of the height after the one being decided, where that is another."""
        chain = self.core.chain
        height = chain.tip.height + 1
        now, then = chain.seats_at(height), chain.seats_at(height + 1)
        if now.epoch == then.epoch:
            return None
        return {
            "epoch": {"number": then.epoch.number, "from_height": then.epoch.start},
            "validators": [
                {"key": key_text(key), "organisation": self.core.membership.organisation_of(key)}
                for key in then.validators.keys
            ],
        }

    def _peer(self, peer: Any) -> dict[str, Any]:
        node, said = self.core.membership.node(peer), self.core.synchroniser.last_status(peer)
        return {
            "peer_id": peer,
            "organisation": None if node is None else node.organisation,
            "key": None if node is None else key_text(node.key),
            "height": None if said is None else said[0],
            "heard_ms_ago": None if said is None else monotonic_ms() - said[1],
        }
