"""What officers decide: requests that the rules leave to them, control of flows, batches and limits (PROTOCOL.md 2).

Each officer signs a transaction of its own, and as many as the policy says have to sign the very same thing. Whoever
signs later therefore takes over what the first one said, reason code included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.decisions import ControlFlow, Decide, SetLimit
from contracts.messages import AUTHORISED, REFUSED, Control, Decision, Limit
from contracts.supervision.answers import (
    MAX_PAGE,
    ControlView,
    FlowQuery,
    LimitQuery,
    LimitView,
    PageQuery,
    RequestQuery,
    RequestsPage,
    RequestView,
)
from contracts.supervision.calls import PENDING, Decided, GrantBatch, Signed
from ledger.encoding import Record
from ledger.errors import InvalidInput, LocalMisuse
from node.calling import Caller, result_of
from node.gateway import Gateway

CONTRACT: Final = "supervision"
DEFAULT_REASON: Final = "officer_decision"
"""Reason code of a refusal or control for which no officer gave another."""
NOT_PENDING: Final = "request_not_pending"


async def pending(gateway: Gateway, *, limit: int | None = None) -> list[RequestView]:
    """Requests that wait for officers, oldest first; at most ``limit`` when it is given."""
    found: list[RequestView] = []
    after = 0
    while limit is None or len(found) < limit:
        size = MAX_PAGE if limit is None else min(MAX_PAGE, limit - len(found))
        page = await gateway.view(CONTRACT, PENDING, PageQuery(after, size), RequestsPage)
        found.extend(page.requests)
        after = page.last
        if not page.more:
            break
    return found


async def find_request(gateway: Gateway, flow: bytes, stage: str, attempt: int = 0) -> RequestView:
    """A request as it stands; ``attempt`` 0 is the newest of the stage.

    Raises:
        NotFound: no such request was ever taken.
    """
    return await gateway.view(CONTRACT, "request", RequestQuery(flow, stage, attempt), RequestView)


async def decide(officers: Sequence[Caller], request: RequestView, outcome: str, reason: str = "") -> Decided:
    """Officers decide on a request, one after the other, until enough have signed the same.

    Args:
        officers: at least one.
        request: a pending one, as seen before the decision.
        outcome: ``authorised`` or ``refused``.
        reason: reason code of a refusal; empty takes the one that another officer signed already, or else
            ``officer_decision``.

    Returns:
        What the last signature did: ``status`` stays ``pending`` while more officers have to sign.

    Raises:
        InvalidInput: ``request_not_pending``; or the chain refused, see ``contracts.supervision.codes``.
    """
    asked = request.request
    if request.status != PENDING:
        raise InvalidInput(
            f"stage {asked.stage} of flow {asked.flow.hex()} is {request.status}; only pending requests are decided",
            code=NOT_PENDING,
        )
    if outcome == REFUSED and not reason:
        signed = [approval.reason for approval in request.approvals if approval.outcome == REFUSED]
        reason = signed[0] if signed else DEFAULT_REASON
    decision = Decision(asked.flow, asked.stage, asked.attempt, asked.commitment, outcome, reason)
    arguments = Decide(decision, b"", (), b"")
    decided: Decided | None = None
    for officer in _some(officers):
        decided = result_of(await officer.call(CONTRACT, "decide", arguments), Decided)
        if decided.status != PENDING:
            break
    assert decided is not None
    return decided


async def approve(officers: Sequence[Caller], request: RequestView) -> Decided:
    """``decide`` with outcome ``authorised``."""
    return await decide(officers, request, AUTHORISED)


async def refuse(officers: Sequence[Caller], request: RequestView, reason: str = "") -> Decided:
    """``decide`` with outcome ``refused``."""
    return await decide(officers, request, REFUSED, reason)


async def control(officers: Sequence[Caller], flow: bytes, action: str, reason: str = "") -> Signed:
    """Officers suspend, resume or terminate a flow, one after the other, until enough have signed the same.

    Args:
        officers: at least one.
        flow: id.
        action: ``suspend``, ``resume`` or ``terminate``.
        reason: reason code; empty takes the one that another officer signed already, or else ``officer_decision``.

    Raises:
        NotFound: no request of this flow was ever taken.
        InvalidInput: the chain refused; ``supervision_control_invalid`` where it would change nothing.
    """
    state = await officers[0].gateway.view(CONTRACT, "control_state", FlowQuery(flow), ControlView)
    counter = 1 if state.last is None else state.last.counter + 1
    if not reason:
        begun = [item.control for item in state.proposed if item.control.action == action]
        reason = begun[0].reason if begun else DEFAULT_REASON
    return await _all_sign(officers, "control", ControlFlow(Control(flow, counter, action, reason)))


async def grant_batch(officers: Sequence[Caller], batch: GrantBatch) -> Signed:
    """Officers grant an organisation a quota of automatic decisions; identical arguments are the same batch."""
    return await _all_sign(officers, "grant_batch", batch)


async def set_limit(officers: Sequence[Caller], kind: str, asset: str, amount: int) -> Signed:
    """Officers set the amount (minor units) above which a flow kind needs a decision before it pays."""
    known = await officers[0].gateway.view(CONTRACT, "limit", LimitQuery(kind, asset), LimitView)
    counter = 1 if known.limit is None else known.limit.counter + 1
    return await _all_sign(officers, "set_limit", SetLimit(Limit(kind, asset, counter, amount)))


async def _all_sign(officers: Sequence[Caller], method: str, arguments: Record) -> Signed:
    signed: Signed | None = None
    for officer in _some(officers):
        signed = result_of(await officer.call(CONTRACT, method, arguments), Signed)
        if signed.complete:
            break
    assert signed is not None
    return signed


def _some(officers: Sequence[Caller]) -> Sequence[Caller]:
    if not officers:
        raise LocalMisuse("somebody has to sign")
    return officers
