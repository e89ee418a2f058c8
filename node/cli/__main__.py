"""``python -m node.cli``: how supervised daemons are started, without depending on an installed script."""

from __future__ import annotations

from node.cli import main

if __name__ == "__main__":
    main()
