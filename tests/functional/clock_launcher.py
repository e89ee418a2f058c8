"""A launcher of a real daemon whose wall clock is off. For tests only; the product has no such switch.

``python -P -m tests.functional.clock_launcher HOME SECONDS [FILE]``: as ``tidegate node run --home HOME``, with a wall
clock that is ``SECONDS`` ahead; once ``FILE`` exists, so many more as stand in it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from node import clock
from node.cli import main


def shifted(seconds: float, more: Path | None) -> int:
    """Nanoseconds since 1970 of a clock that is off."""
    if more is not None and more.exists():
        seconds += float(more.read_text(encoding="ascii") or 0)
    return time.time_ns() + int(seconds * 1e9)


if __name__ == "__main__":
    offset = float(sys.argv[2])
    file = Path(sys.argv[3]) if len(sys.argv) > 3 and not sys.argv[3].startswith("--") else None
    clock.replace_sources(wall_ns=lambda: shifted(offset, file))
    sys.argv = ["tidegate", "node", "run", "--home", sys.argv[1], "--with-parent"]
    main()
