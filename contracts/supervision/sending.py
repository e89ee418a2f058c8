"""What the supervision contract tells contract ``flow`` of the business chain: decisions, grants, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.bridge.clients import chain_of
from contracts.bridge.outbox import send
from contracts.interface import EndContext
from contracts.messages import (
    CONTROL,
    DECISION,
    GRANT,
    LIMIT,
    NEED_REPORT,
    REFUSAL,
    Control,
    Decision,
    Grant,
    Limit,
    StageRefusal,
    StageRequest,
)

BUSINESS: Final = "business"
"""Role of the chain that asks."""
FLOW: Final = "flow"
"""Address of the contract there that asks, and that hears the answers."""


def business_chain(context: EndContext) -> bytes:
    """Chain id of the business chain; refuses with ``bridge_no_client`` where none is registered."""
    return chain_of(context, BUSINESS)


def deadline_of(request: StageRequest) -> int:
    """Block time after which nobody may decide any more; 0: none.

    A report tells of something that has happened already: the regulator takes it however late it is opened.
    """
    return 0 if request.need == NEED_REPORT else request.deadline_ms


def send_decision(context: EndContext, request: StageRequest, decision: Decision, evidence: Sequence[bytes]) -> None:
    """Sends a decision with the transactions that made it; refuses as ``bridge.outbox.send`` does."""
    send(
        context,
        role=BUSINESS,
        receiver=FLOW,
        kind=DECISION,
        payload=decision,
        deadline_ms=deadline_of(request),
        evidence=evidence,
    )


def send_grant(context: EndContext, request: StageRequest, grant: Grant) -> None:
    """Sends a grant; refuses as ``bridge.outbox.send`` does."""
    send(context, role=BUSINESS, receiver=FLOW, kind=GRANT, payload=grant, deadline_ms=deadline_of(request))


def send_refusal(context: EndContext, request: StageRequest, reason: str, rule: str, rule_version: int) -> None:
    """Sends the contracts' own refusal of a stage; refuses as ``bridge.outbox.send`` does."""
    refusal = StageRefusal(request.flow, request.stage, request.attempt, reason, rule, rule_version)
    send(context, role=BUSINESS, receiver=FLOW, kind=REFUSAL, payload=refusal)


def send_control(context: EndContext, control: Control, evidence: Sequence[bytes]) -> None:
    """Sends a control with the officers' transactions; refuses as ``bridge.outbox.send`` does."""
    send(context, role=BUSINESS, receiver=FLOW, kind=CONTROL, payload=control, evidence=evidence)


def send_limit(context: EndContext, limit: Limit, evidence: Sequence[bytes]) -> None:
    """Sends a limit with the officers' transactions; refuses as ``bridge.outbox.send`` does."""
    send(context, role=BUSINESS, receiver=FLOW, kind=LIMIT, payload=limit, evidence=evidence)
