"""How far a flow is, from what the chain shows and from the events since.

A view and the event stream are read at different heights, so an event may be older than what is known: within one
attempt a stage only goes forward, and an earlier attempt's events say nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from contracts.flow import answers as a
from contracts.flow import calls
from contracts.flow.answers import FlowView
from contracts.flow.calls import Moved, PaymentRequested
from contracts.messages import DELIVER, FILE, FULFIL, OPINION, ORDER, REVIEW, SETTLE

STEPS: Final[Mapping[str, tuple[str, str]]] = {
    calls.FILED: (FILE, a.PENDING),
    calls.AUTHORISED: (FILE, a.DONE),
    calls.REFUSED: ("", a.REFUSED),
    calls.REVIEW_REQUESTED: (REVIEW, a.PENDING),
    calls.REVIEW_GRANTED: (REVIEW, a.GRANTED),
    calls.RELEASED: (REVIEW, a.DONE),
    calls.OPINION_GIVEN: (OPINION, a.PENDING),
    calls.OPINION_CONFIRMED: (OPINION, a.DONE),
    calls.ORDER_REQUESTED: (ORDER, a.PENDING),
    calls.ORDER_GRANTED: (ORDER, a.GRANTED),
    calls.ORDER_PLACED: (ORDER, a.DONE),
    calls.ORDER_ACCEPTED: (FULFIL, a.ACCEPTED),
    calls.SETTLED: (SETTLE, a.PENDING),
    calls.SETTLEMENT_STORED: (SETTLE, a.DONE),
    calls.DELIVERED: (DELIVER, a.DONE),
    calls.STAGE_EXPIRED: ("", a.EXPIRED),
}
"""Event → (stage, its status then); no stage: the event names it. ``payment_requested`` has a record of its own."""
CONTROLS: Final = (calls.SUSPENDED, calls.RESUMED, calls.TERMINATED)
RANKS: Final[Mapping[str, int]] = {
    a.PENDING: 1, a.GRANTED: 2, a.ACCEPTED: 2, a.PRICED: 3, a.DONE: 4, a.REFUSED: 4, a.EXPIRED: 5,
}  # fmt: skip
"""Within one attempt a status gives way only to one of a higher rank, or the same one told once more."""
OVER: Final = (a.REFUSED, a.EXPIRED, a.REJECTED, a.TERMINATED, a.CLOSED)
"""Statuses of flows in which no stage may follow (a filing that nobody decided can be repeated)."""


@dataclass(slots=True)
class StageProgress:
    """One stage, as far as it is known; fields as in ``contracts.flow.answers.StageView``.

    Attributes:
        attempt: requests so far.
        status: from ``contracts.flow.answers.STAGE_STATUSES``.
        actor: who asked last; empty where an event did not say.
        hash: authorisation, confirmation or storage hash, or transaction of the grant.
        token: of the grant.
        deadline_ms: until when it may be answered or used.
        reason: reason code of a refusal.
        rule: that refused.
        rule_version: of the rules that held.
        seen_at: monotonic seconds when this was learnt.
    """

    attempt: int
    status: str
    actor: bytes = b""
    hash: bytes = b""
    token: bytes = b""
    deadline_ms: int = 0
    reason: str = ""
    rule: str = ""
    rule_version: int = 0
    seen_at: float = field(default_factory=monotonic)


@dataclass(slots=True)
class FlowProgress:
    """A flow, as far as it is known.

    Attributes:
        flow: id.
        status: from ``contracts.flow.answers.STATUSES``; empty: nothing is known of it yet.
        suspended: the regulator suspends it.
        reason: reason code of the last control.
        authorisation: what it is known by; empty before.
        platform, patient, reviewer, pharmacy, payer: parties; empty where there is none yet.
        stages: by name.
        payment: the payment request; None before.
        moves: counts what has changed.
    """

    flow: bytes
    status: str = ""
    suspended: bool = False
    reason: str = ""
    authorisation: bytes = b""
    platform: bytes = b""
    patient: bytes = b""
    reviewer: bytes = b""
    pharmacy: bytes = b""
    payer: bytes = b""
    stages: dict[str, StageProgress] = field(default_factory=dict)
    payment: PaymentRequested | None = None
    moves: int = 0

    def stage_status(self, stage: str) -> str:
        """Status of a stage; empty where it was not begun."""
        found = self.stages.get(stage)
        return "" if found is None else found.status

    def done(self, stage: str) -> bool:
        """True once a stage is done."""
        return self.stage_status(stage) == a.DONE

    @property
    def over(self) -> bool:
        """True when no stage follows any more."""
        return self.status in OVER

    def load(self, view: FlowView) -> None:
        """Takes over what the chain shows."""
        self.status, self.suspended, self.reason = view.status, view.suspended, view.control_reason
        self.authorisation, self.platform, self.patient = view.authorisation, view.platform, view.patient
        self.reviewer, self.pharmacy, self.payer = view.reviewer, view.pharmacy, view.payer
        self.payment = view.payment
        tokens = {grant.stage: grant.token for grant in view.grants}
        self.stages = {
            stage.stage: StageProgress(
                stage.attempt,
                stage.status,
                stage.actor,
                stage.hash,
                tokens.get(stage.stage, b""),
                stage.deadline_ms,
                stage.reason,
                stage.rule,
                stage.rule_version,
            )
            for stage in view.stages
        }
        self.moves += 1

    def apply(self, event: str, moved: Moved) -> bool:
        """Takes an event in; False when it says nothing new."""
        if event in CONTROLS:
            self._control(event, moved)
        elif event not in STEPS or not self._step(event, moved):
            return False
        self.authorisation = moved.authorisation or self.authorisation
        self.platform, self.patient = moved.platform or self.platform, moved.patient or self.patient
        self.pharmacy, self.payer = moved.pharmacy or self.pharmacy, moved.payer or self.payer
        self.reviewer = moved.reviewer or self.reviewer
        self.moves += 1
        return True

    def apply_payment(self, payment: PaymentRequested) -> bool:
        """Takes a payment request in; False when it is old."""
        before = self.stages.get(FULFIL)
        if before is not None and RANKS[before.status] > RANKS[a.PRICED]:
            return False
        self.stages[FULFIL] = StageProgress(1, a.PRICED, payment.pharmacy)
        self.payment = payment
        self.payer = payment.payer
        self.moves += 1
        return True

    def _control(self, event: str, moved: Moved) -> None:
        self.reason = moved.reason
        self.suspended = event == calls.SUSPENDED
        if event == calls.TERMINATED:
            self.status = a.TERMINATED

    def _step(self, event: str, moved: Moved) -> bool:
        stage, status = STEPS[event]
        stage = stage or moved.stage
        if status == a.PENDING and not moved.deadline_ms:
            status = a.DONE  # the kind asks nobody for it
        if not self._put(stage, status, moved):
            return False
        if event == calls.SETTLED:
            self._put(FULFIL, a.DONE, moved, attempt=1)
        if stage == FILE:
            self.status = {a.PENDING: a.FILING, a.DONE: a.OPEN}.get(status, status)
        elif event == calls.DELIVERED:
            self.status = a.CLOSED
        elif not self.status:
            self.status = a.OPEN
        return True

    def _put(self, stage: str, status: str, moved: Moved, attempt: int = 0) -> bool:
        attempt = attempt or max(moved.attempt, 1)
        before = self.stages.get(stage)
        if before is not None:
            stale = attempt < before.attempt
            if stale or (attempt == before.attempt and RANKS[status] < RANKS[before.status]):
                return False
        same = before is not None and before.attempt == attempt
        self.stages[stage] = StageProgress(
            attempt,
            status,
            before.actor if before is not None and same else b"",
            moved.hash or (before.hash if before is not None and same else b""),
            moved.token or (before.token if before is not None and same else b""),
            moved.deadline_ms,
            moved.reason,
            moved.rule,
            moved.rule_version,
        )
        return True
