"""``python -m tests.sim``: the work is in ``tests.sim.many``, which worker processes find by its name."""

from __future__ import annotations

import sys

from tests.sim.many import main

if __name__ == "__main__":
    sys.exit(main())
