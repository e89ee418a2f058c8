"""``tidegate supervision suspend``, ``resume`` and ``terminate``."""

from __future__ import annotations

import click

from contracts.messages import RESUME, SUSPEND, TERMINATE
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import Officers, officer_options, open_chain, supervision_options
from node.regulator import decisions, flows

_PAST = {SUSPEND: "suspended", RESUME: "open again", TERMINATE: "terminated"}


async def _control(report: Report, target: Target, officers: Officers, flow: str, action: str, reason: str) -> None:
    async with open_chain(target) as client:
        signers = officers.callers(client, target)
        found = await flows.find_flow(client, flow)
        signed = await decisions.control(signers, found.flow, action, reason)
        now = await flows.find_flow(client, found.flow.hex())
    if signed.complete:
        report.success(f"flow {found.flow.hex()} is {_PAST[action]}")
    else:
        report.success(f"signed by {signed.signatures}; more officers have to sign the same")
    report.document({"flow": found.flow, "action": action, "signed": signed, "control": now.control})


_reason_option = click.option("--reason", default="", help="Reason code; by default what another officer signed.")


@click.command("suspend")
@click.argument("flow")
@supervision_options
@officer_options
@_reason_option
@reporting
async def suspend_command(report: Report, target: Target, officers: Officers, *, flow: str, reason: str) -> None:
    """Suspend FLOW: no stage of it passes on either chain until it is resumed."""
    await _control(report, target, officers, flow, SUSPEND, reason)


@click.command("resume")
@click.argument("flow")
@supervision_options
@officer_options
@_reason_option
@reporting
async def resume_command(report: Report, target: Target, officers: Officers, *, flow: str, reason: str) -> None:
    """Let FLOW, which is suspended, go on."""
    await _control(report, target, officers, flow, RESUME, reason)


@click.command("terminate")
@click.argument("flow")
@supervision_options
@officer_options
@_reason_option
@click.confirmation_option("--yes", prompt="A terminated flow never goes on. Terminate it?", help="Do not ask.")
@reporting
async def terminate_command(report: Report, target: Target, officers: Officers, *, flow: str, reason: str) -> None:
    """End FLOW for good."""
    await _control(report, target, officers, flow, TERMINATE, reason)
