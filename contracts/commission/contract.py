"""The commission contract (PROTOCOL.md 1)."""

from __future__ import annotations

from contracts.interface import Contract


class Commission(Contract):
    """See the package."""

    kind = "commission"
