"""How a relay is doing, from its ``node.status``: for ``tidegate fusion status`` and ``tidegate supervision watch``."""

from __future__ import annotations

from typing import Any, Final

from node.cli.exit_codes import Refused

COLUMNS: Final = (
    "direction",
    "lag",
    "proved ago",
    "unanswered",
    "oldest",
    "delivered",
    "answers",
    "taken over",
    "failures",
    "queued",
)


def directions_of(status: dict[str, Any]) -> list[dict[str, Any]]:
    """The directions in a ``node.status`` document, in order.

    Raises:
        Refused: ``fusion_no_relay``: the node relays nothing.
    """
    relay = status.get("relay")
    found = relay.get("directions") if isinstance(relay, dict) else None
    if not isinstance(found, list):
        raise Refused(
            f"node {status.get('name')} of {status.get('organisation')} follows one chain only, so it relays nothing; "
            "give the home of a fusion node",
            code="fusion_no_relay",
        )
    return [item for item in found if isinstance(item, dict)]


def status_row(item: dict[str, Any]) -> list[object]:
    """A direction under ``COLUMNS``."""
    name = f"{item.get('from')} → {item.get('to')}"
    if not item.get("connected"):
        return [name, "the chains do not know each other yet", *[""] * (len(COLUMNS) - 2)]
    lag = "frozen" if item.get("frozen") else f"{item.get('lag_blocks')} blocks"
    return [
        name,
        lag,
        _ms(item.get("proved_ms_ago")),
        item.get("unanswered"),
        _oldest(item),
        item.get("delivered_packets"),
        item.get("delivered_answers"),
        item.get("taken_over"),
        item.get("failures"),
        item.get("under_way"),
    ]


def lag_row(item: dict[str, Any]) -> list[object]:
    """A direction in four cells: direction, lag, unanswered, oldest."""
    row = status_row(item)
    return [row[0], f"{row[1]}, {row[2]}" if row[2] else row[1], row[3], row[4]]


def _oldest(item: dict[str, Any]) -> str:
    sequence = item.get("oldest_sequence")
    return "none" if sequence is None else f"{sequence}, {_ms(item.get('oldest_ms'))}"


def _ms(value: Any) -> str:
    if not isinstance(value, int | float):
        return "?"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
