"""``tidegate supervision``: what the regulator sees and decides."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "pending": ("supervision_decisions", "List requests that wait for officers."),
    "approve": ("supervision_decisions", "Approve a pending request."),
    "reject": ("supervision_decisions", "Refuse a pending request."),
    "suspend": ("supervision_control", "Suspend a flow: nothing happens in it."),
    "resume": ("supervision_control", "Let a suspended flow go on."),
    "terminate": ("supervision_control", "End a flow for good."),
    "batch": ("supervision_quota", "Grant and list batches of automatic decisions."),
    "limit": ("supervision_quota", "Set and show limits of settlements."),
    "show": ("supervision_look", "Show a flow and its requests."),
    "subject": ("supervision_look", "List a subject's sealed records."),
    "log": ("supervision_look", "Show the disclosure log."),
    "stats": ("supervision_look", "Show statistics."),
    "record": ("supervision_record", "Show a sealed record, or open it with an authority's keys."),
    "rewrap": ("supervision_rewrap", "Let an authority's newest key open stored records."),
    "watch": ("supervision_watch", "Watch what goes on."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """What the regulator sees and decides.

    FLOW is a flow's id, its authorisation hash, or the beginning of either while a request of it is pending.

    \b
    tidegate supervision pending --home DIR
    tidegate supervision approve FLOW --home DIR --officer "Officer 1" --officer "Officer 2"
    tidegate supervision suspend FLOW --home DIR --officer "Officer 1" --reason complaint
    tidegate supervision watch   --home DIR
    """  # noqa: D301 - click's mark against rewrapping is a backslash
