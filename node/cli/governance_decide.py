"""``tidegate governance approve`` and ``withdraw``."""

from __future__ import annotations

from pathlib import Path

import click

from node.calling import Caller
from node.cli.governance_session import keys_option, read_signing_keys, tell
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.regulator import governing


@click.command("approve")
@click.argument("proposal")
@target_options
@keys_option
@reporting
async def approve_command(report: Report, target: Target, keys: tuple[Path, ...], proposal: str) -> None:
    """Approve PROPOSAL; the last approval needed lets it take effect. Look at it first with governance show."""
    governors = read_signing_keys(keys)
    async with open_chain(target) as client:
        name, found = await governing.find_proposal(client, proposal)
        approval = await governing.approve(Caller(client, target.member_key()), governors, name)
    tell(report, approval, f"proposal {found.number} ({found.content.contract}.{found.content.action})")


@click.command("withdraw")
@click.argument("proposal")
@target_options
@keys_option
@reporting
async def withdraw_command(report: Report, target: Target, keys: tuple[Path, ...], proposal: str) -> None:
    """Take the approvals of the keys that sign back; a proposal that nobody approves any more is withdrawn."""
    governors = read_signing_keys(keys)
    async with open_chain(target) as client:
        name, found = await governing.find_proposal(client, proposal)
        approval = await governing.withdraw(Caller(client, target.member_key()), governors, name)
    tell(report, approval, f"proposal {found.number} ({found.content.contract}.{found.content.action})")
