"""A launcher of a real daemon with one constant of its changed. For tests only; the product has no such switch.

``python -P -m tests.functional.patched_launcher HOME MODULE NAME VALUE``: as ``tidegate node run --home HOME`` with
``MODULE.NAME`` a number of the test's choice, so that a test need not hurry.
"""

from __future__ import annotations

import importlib
import sys

from node.cli import main

if __name__ == "__main__":
    home, module, name, value = sys.argv[1:5]
    found = importlib.import_module(module)
    assert hasattr(found, name), f"{module} has no {name}"
    setattr(found, name, float(value))
    sys.argv = ["tidegate", "node", "run", "--home", home, "--with-parent"]
    main()
