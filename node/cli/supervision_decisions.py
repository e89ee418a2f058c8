"""``tidegate supervision pending``, ``approve`` and ``reject``: what the rules leave to officers."""

from __future__ import annotations

import click

from contracts.messages import AUTHORISED, REFUSED
from contracts.supervision.answers import RequestView
from contracts.supervision.calls import PENDING, Decided
from ledger.errors import NotFound
from node.cli.exit_codes import Refused
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import (
    Officers,
    officer_options,
    open_chain,
    short,
    short_key,
    supervision_options,
    time_text,
)
from node.client import Client
from node.regulator import decisions, flows

_flow_argument = click.argument("flow")
_stage_option = click.option("--stage", help="Stage, where several requests of the flow are pending.")


@click.command("pending")
@supervision_options
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help="Requests at most.")
@reporting
async def pending_command(report: Report, target: Target, limit: int) -> None:
    """List requests that wait for officers, oldest first, with what holds them and who has signed."""
    async with open_chain(target) as client:
        found = await decisions.pending(client, limit=limit)
    report.table(
        ["flow", "kind", "stage", "held by", "reason", "since", "deadline", "signed"],
        [
            [
                short(view.request.flow),
                view.request.kind,
                view.request.stage,
                view.rule,
                view.reason,
                time_text(view.received_ms),
                time_text(view.request.deadline_ms),
                ", ".join(f"{short_key(item.officer)} {item.outcome}" for item in view.approvals),
            ]
            for view in found
        ],
    )
    report.document({"pending": found})


@click.command("approve")
@_flow_argument
@supervision_options
@officer_options
@_stage_option
@reporting
async def approve_command(report: Report, target: Target, officers: Officers, *, flow: str, stage: str | None) -> None:
    """Approve the pending request of FLOW. It takes effect once as many officers have signed as the policy says."""
    await _decide(report, target, officers, flow, stage, AUTHORISED, "")


@click.command("reject")
@_flow_argument
@supervision_options
@officer_options
@_stage_option
@click.option("--reason", default="", help="Reason code; by default what another officer signed.")
@reporting
async def reject_command(
    report: Report, target: Target, officers: Officers, *, flow: str, stage: str | None, reason: str
) -> None:
    """Refuse the pending request of FLOW, with a reason code that the filer sees."""
    await _decide(report, target, officers, flow, stage, REFUSED, reason)


async def _decide(
    report: Report, target: Target, officers: Officers, flow: str, stage: str | None, outcome: str, reason: str
) -> None:
    async with open_chain(target) as client:
        signers = officers.callers(client, target)
        request = await _pending_request(client, flow, stage)
        decided = await decisions.decide(signers, request, outcome, reason)
    _show(report, decided)


async def _pending_request(client: Client, text: str, stage: str | None) -> RequestView:
    flow = await flows.find_flow(client, text)
    named = [item for item in flow.requests if stage is None or item.request.stage == stage]
    open_ = [item for item in named if item.status == PENDING]
    if not open_:
        last = f"; its last request, {named[-1].request.stage}, is {named[-1].status}" if named else ""
        raise NotFound(f"no request of flow {flow.flow.hex()} is pending{last}")
    if len(open_) > 1:
        stages = ", ".join(item.request.stage for item in open_)
        raise Refused(f"several requests of this flow are pending: {stages}; say --stage", code="flow_ambiguous")
    return open_[0]


def _show(report: Report, decided: Decided) -> None:
    if decided.status == PENDING:
        report.success(f"signed by {decided.signatures}; more officers have to sign the same")
    else:
        report.success(f"stage {decided.stage} of flow {decided.flow.hex()} is {decided.status}")
        report.fields({"transaction": decided.transaction.hex(), "signatures": decided.signatures})
    report.document(decided)
