"""``tidegate commission``: agreements, bookings, imports, settlements, and the books."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "propose": ("commission_agreements", "Draft an agreement, or its next version."),
    "sign": ("commission_agreements", "Sign the other party's draft."),
    "list": ("commission_books", "List agreements, drafts or bookings."),
    "book": ("commission_orders", "Book one sale."),
    "cancel": ("commission_orders", "Cancel bookings."),
    "correct": ("commission_orders", "Replace a booking by a corrected sale."),
    "import": ("commission_import", "Book the sales in a CSV file."),
    "settle": ("commission_settle", "Ask for settlement of what is pending now."),
    "report": ("commission_books", "Show the books of agreements."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


class LazyCommands(click.Group):
    """Imports a subcommand's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name, or None."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"node.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table above, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyCommands)
def command() -> None:
    """Agreements, bookings and settlements.

    \b
    tidegate commission propose --home B --agreement b-c --insurer "Insurer C" --rate 3% --trigger-count 100
    tidegate commission sign    --home C --agreement b-c
    tidegate commission import  --home B --agreement b-c sales.csv --premium-column premium --policy-column policy
    tidegate commission report  --home B
    """  # noqa: D301 - click's mark against rewrapping is a backslash
