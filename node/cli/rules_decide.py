"""``tidegate rules approve``, ``activate``, ``rollback`` and ``abandon``."""

from __future__ import annotations

import click

from contracts.rulebook.calls import Approved
from ledger.errors import InvalidInput
from node.cli.exit_codes import Refused
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import Officers, officer_options, open_chain, supervision_options
from node.regulator import rulebook


@click.command("approve")
@click.argument("version", type=click.IntRange(1))
@supervision_options
@officer_options
@click.option("--digest", required=True, help="What is approved: as rules propose and rules show print it.")
@reporting
async def approve_command(report: Report, target: Target, officers: Officers, *, version: int, digest: str) -> None:
    """Approve VERSION as its digest says. It can be activated once as many officers have as the policy says."""
    try:
        name = bytes.fromhex(digest)
    except ValueError:
        name = b""
    if len(name) != 32:
        raise InvalidInput("--digest: 64 hex digits are needed", code="digest_invalid")
    async with open_chain(target) as client:
        signers = officers.callers(client, target)
        known = (await rulebook.version_of(client, version)).version
        if known.digest != name:
            raise Refused(
                f"version {version} has another digest"
                + (f": {known.digest.hex()}; look at it again" if known.digest else ": it is not sealed yet"),
                code="rules_digest_differs",
            )
        done = await rulebook.approve(signers, version, name)
    _tell(report, done, f"version {version} is approved; put it in force with: tidegate rules activate {version}")
    report.document({"version": version, "approved": done.done, "approvals": done.approvals})


@click.command("activate")
@click.argument("version", type=click.IntRange(1))
@supervision_options
@officer_options
@click.option("--height", type=click.IntRange(1), help="In force from this block on; from the next by default.")
@click.option("--after", type=click.IntRange(1), help="In force so many blocks from now.")
@reporting
async def activate_command(
    report: Report, target: Target, officers: Officers, *, version: int, height: int | None, after: int | None
) -> None:
    """Put VERSION, which is approved, in force from a height on."""
    if height is not None and after is not None:
        raise click.UsageError("--height or --after, not both")
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        if after is not None:
            height = (await client.info()).height + after
        step = await rulebook.activate(officer, version, height or 0)
    report.success(f"version {step.version} is in force from block {step.height} on")
    report.document(step)


@click.command("rollback")
@click.argument("version", type=click.IntRange(0))
@supervision_options
@officer_options
@click.option("--height", type=click.IntRange(1), help="From this block on; at once by default.")
@reporting
async def rollback_command(
    report: Report, target: Target, officers: Officers, *, version: int, height: int | None
) -> None:
    """Go back to VERSION, which has been in force; 0 for no rules. As many officers sign as the policy says."""
    async with open_chain(target) as client:
        done = await rulebook.rollback(officers.callers(client, target), version, height or 0)
        status = await rulebook.status(client)
    _tell(report, done, f"version {version} is in force" + (f" from block {height} on" if height else " again"))
    report.document({"version": version, "done": done.done, "approvals": done.approvals, "status": status})


@click.command("abandon")
@click.argument("version", type=click.IntRange(1))
@supervision_options
@officer_options
@reporting
async def abandon_command(report: Report, target: Target, officers: Officers, version: int) -> None:
    """End a draft that is not wanted; only the officer who made it can, until it is old."""
    async with open_chain(target) as client:
        (officer, *_) = officers.callers(client, target)
        await rulebook.abandon(officer, version)
    report.success(f"draft {version} is abandoned")
    report.document({"version": version, "abandoned": True})


def _tell(report: Report, done: Approved, words: str) -> None:
    report.success(words if done.done else f"signed by {done.approvals}; more officers have to sign the same")
