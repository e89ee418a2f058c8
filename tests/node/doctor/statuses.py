"""``node.status`` documents of healthy nodes, for tests to spoil."""

from __future__ import annotations

from typing import Any

WALL_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def key(number: int) -> str:
    return f"ed25519:{number:064x}"


def validator(number: int, *, self: bool = False) -> dict[str, Any]:
    return {
        "key": key(number),
        "organisation": f"Member {number}",
        "self": self,
        "peer_id": f"peer{number}",
        "connected": not self,
        "heard_ms_ago": None if self else 300,
        "lost_ms_ago": None,
        "certificate": {"state": "valid", "expires_ms": WALL_MS + 400 * DAY_MS},
    }


def healthy(count: int = 4) -> dict[str, Any]:
    """Node 0 of ``count`` validators, all well, an idle chain."""
    quorum = (2 * count - 1) // 3 + 1
    return {
        "name": "node0",
        "organisation": "Member 0",
        "key": key(0),
        "validator": True,
        "observing": False,
        "round": 0,
        "coming": None,
        "parameters": {
            "base_timeout_ms": 1_000,
            "max_timeout_ms": 60_000,
            "empty_block_ms": 10_000,
            "package_ms": 0,
            "clock_tolerance_ms": 5_000,
        },
        "peers": [
            {"peer_id": f"peer{number}", "organisation": f"Member {number}", "key": key(number), "height": 100}
            for number in range(1, count)
        ],
        "mempool": {"transactions": 0, "bytes": 0},
        "syncing": False,
        "target_height": 100,
        "evidence": 0,
        "misbehaviour": {"recorded": 0, "waiting": 0, "latest": []},
        "signer": {"observing": None, "through_height": None, "damaged_logs": []},
        "uptime_s": 5_000.0,
        "chain": {"name": "business", "height": 100},
        "clock": {
            "wall_ms": WALL_MS,
            "offset_ms": 60,
            "offsets": {key(number): 60 for number in range(1, count)},
            "jumps": 0,
            "last_jump_ms": None,
            "jumped_ms_ago": None,
        },
        "disk": {"free_bytes": 10**11, "total_bytes": 10**12, "min_free_bytes": 10**8, "scarce": False},
        "liveness": {"stuck_s": 0.0, "probe_s": 0.001},
        "standing": {
            "height": 101,
            "round": 0,
            "proposer": {"key": key(1), "organisation": "Member 1"},
            "tip_ms_ago": 4_000,
            "waiting_ms": None,
            "quorum": quorum,
            "weak_quorum": (count - 1) // 3 + 1,
            "validators": [validator(number, self=number == 0) for number in range(count)],
            "own_certificate": {"state": "valid", "expires_ms": WALL_MS + 400 * DAY_MS},
            "unreachable": {},
            "refused": {"count": 0, "why": "", "ms_ago": None},
            "skipped": [],
        },
    }


def lose(status: dict[str, Any], number: int, why: str = "refused", *, ms_ago: int | None = 30_000) -> None:
    """Validator ``number`` is gone: its connection was lost a moment after it was last heard."""
    one = status["standing"]["validators"][number]
    one.update(connected=False, heard_ms_ago=ms_ago, lost_ms_ago=None if ms_ago is None else ms_ago - 10)
    if why:
        status["standing"]["unreachable"][one["peer_id"]] = why
    status["peers"] = [peer for peer in status["peers"] if peer["peer_id"] != one["peer_id"]]


def direction(source: str, destination: str) -> dict[str, Any]:
    """One direction of a relay that has nothing to carry."""
    return {
        "from": source,
        "to": destination,
        "failures": 0,
        "catching_up": False,
        "connected": True,
        "frozen": False,
        "max_staleness_ms": 30_000,
        "proved_ms_ago": 9_000,
        "unanswered": 0,
        "oldest_ms": None,
    }
