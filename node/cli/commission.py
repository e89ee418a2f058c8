"""``tidegate commission``: agreements, bookings, imports, settlements, and the books."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

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


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Agreements, bookings and settlements.

    \b
    tidegate commission propose --home B --agreement b-c --insurer "Insurer C" --rate 3% --trigger-count 100
    tidegate commission sign    --home C --agreement b-c
    tidegate commission import  --home B --agreement b-c sales.csv --premium-column premium --policy-column policy
    tidegate commission report  --home B
    """  # noqa: D301 - click's mark against rewrapping is a backslash
