"""Stable codes."""

from __future__ import annotations

from typing import Final

from node.rpc.codes import Code

CODES: Final[tuple[Code, ...]] = ()
