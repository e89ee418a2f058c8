"""Until when this chain knows everything that the other one has said to it.

A relay that withholds a packet can still bring new headers, so a new header alone says nothing about suspensions. The
supervision chain's blocks therefore end with how far it has spoken (``ledger.packet.LaneHead``); the time of such a
block counts once every packet up to there was taken.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.bridge.records import Count, Time
from contracts.interface import StateSpace
from ledger.encoding import Codec, Record, encode

MAX_POINTS: Final = 64
SPACING_MS: Final = 500
"""Between two points that wait: so that they reach back far enough while packets keep coming."""


class Point(Record, frozen=True):
    """By the end of a block of that time, so many packets had been sent."""

    time_ms: Time
    sent: Count


class Freshness(Record, frozen=True):
    """Of one lane.

    Attributes:
        known_ms: everything said up to then was taken.
        waiting: later points whose packets are not all taken, by time.
    """

    known_ms: Time
    waiting: Annotated[tuple[Point, ...], Meta(max_length=MAX_POINTS)]


freshness_codec = Codec(Freshness, 4_096, "freshness")


def freshness(state: StateSpace, role: str) -> Freshness:
    """Of the lane from the chain of ``role``; nothing is known where there is none."""
    data = state.get(b"f" + role.encode())
    return Freshness(0, ()) if data is None else freshness_codec.decode(data)


def begin(state: StateSpace, role: str, time_ms: int) -> None:
    """A client begins, or begins anew, from a header of that time.

    Of what was known before nothing later than that header stays: a chain that contradicted itself may have shown
    blocks of any time, and after those nothing would ever be stale again.
    """
    before = freshness(state, role).known_ms
    known_ms = min(before, time_ms) if before else time_ms
    state.put(b"f" + role.encode(), encode(Freshness(known_ms, ())))


def advance(state: StateSpace, role: str, watermark: int, points: list[Point]) -> bool:
    """Notes points that were shown, and what is known now that all packets up to ``watermark`` are taken.

    Returns:
        True when something more is known than before.
    """
    before = freshness(state, role)
    waiting = list(before.waiting)
    for point in points:
        _insert(waiting, point, before.known_ms)
    known_ms = max([before.known_ms, *(point.time_ms for point in waiting if point.sent <= watermark)])
    rest = tuple([point for point in waiting if point.time_ms > known_ms])
    after = Freshness(known_ms, rest)
    if after != before:
        state.put(b"f" + role.encode(), encode(after))
    return known_ms > before.known_ms


def _insert(waiting: list[Point], point: Point, known_ms: int) -> None:
    """Keeps the point where it says something that its neighbours do not, and there is room."""
    if point.time_ms <= known_ms:
        return
    place = next((i for i, other in enumerate(waiting) if other.time_ms >= point.time_ms), len(waiting))
    for index in (place, place - 1):
        if not 0 <= index < len(waiting):
            continue
        neighbour = waiting[index]
        if neighbour.sent == point.sent and abs(neighbour.time_ms - point.time_ms) < SPACING_MS:
            # The later of two that wait for the same packets is the better one.
            waiting[index] = max(neighbour, point, key=lambda each: each.time_ms)
            return
    crowded = place == len(waiting) and waiting and point.time_ms - waiting[-1].time_ms < SPACING_MS
    if not crowded and len(waiting) < MAX_POINTS:
        waiting.insert(place, point)
