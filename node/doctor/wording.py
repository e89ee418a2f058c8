"""How the doctor says times, names and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any


def lasting(ms: float | None) -> str:
    """A duration: ``12 s``, ``3 min``, ``5 h``, ``4 days``."""
    if ms is None:
        return "an unknown time"
    seconds = ms / 1000
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def moment(time_ms: int) -> str:
    """A date and time, UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def name_of(who: Mapping[str, Any]) -> str:
    """An organisation, or the beginning of a key where nobody knows whose it is."""
    return str(who.get("organisation") or str(who.get("key"))[:24])


def listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
