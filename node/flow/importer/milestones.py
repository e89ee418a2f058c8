"""What a driver goes by: which step begins which stage, what is told when it is reached, how a flow's way ends."""

from __future__ import annotations

from typing import Final

from contracts.flow import answers as a
from contracts.flow import codes
from contracts.messages import DELIVER, FILE, FULFIL, OPINION, ORDER, REVIEW, SETTLE
from node.flow.progress import StageProgress

WAIT_LONGER: Final = frozenset(
    {codes.SUPERVISION_STALE, codes.SUPERVISION_FROZEN, codes.SUSPENDED, "bridge_outbox_full", "bridge_frozen"}
)
"""Refusals that pass by themselves."""

STAGE_OF: Final = {
    "_file": FILE,
    "_request_review": REVIEW,
    "_opinion": OPINION,
    "_request_order": ORDER,
    "_pay": SETTLE,
    "_deliver": DELIVER,
}
"""Steps that begin a stage: from when its latency counts."""
MILESTONES: Final = (
    (FILE, (a.DONE,)),
    (REVIEW, (a.GRANTED, a.DONE)),
    (OPINION, (a.DONE,)),
    (ORDER, (a.GRANTED, a.DONE)),
    (FULFIL, (a.PRICED, a.DONE)),
    (SETTLE, (a.DONE,)),
    (DELIVER, (a.DONE,)),
)
"""What is told, and from which status on; of ``review`` and ``order`` the grant."""


class Stopped(Exception):
    """The flow goes no further in this run."""

    def __init__(self, outcome: str, stage: str = "", code: str = "", found: StageProgress | None = None) -> None:
        super().__init__(outcome)
        self.outcome, self.stage, self.code, self.found = outcome, stage, code, found
