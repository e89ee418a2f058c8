"""``tidegate evidence``: proofs that leave the network, their check without it, and pages that people can read."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("evidence_look", "List what validators did wrong."),
    "export": ("evidence_export", "Write the proof of a record, a flow or such a fault to a file."),
    "verify": ("evidence_verify", "Check such a file against genesis files, offline."),
    "report": ("evidence_report", "Write what it proves to a page for people (HTML, PDF)."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Proof for anybody who has the genesis files: of records and flows, and of what validators did wrong.

    \b
    tidegate evidence export --record ID -o record.json --home DIR
    tidegate evidence export --flow ID -o flow.json --home DIR/business --supervision-home DIR/supervision
    tidegate evidence verify flow.json --genesis business-genesis.json --genesis supervision-genesis.json
    tidegate evidence report flow.json --genesis … --genesis … -o page.html
    tidegate evidence list   --home devnet
    tidegate evidence export 1 -o fault.json --home devnet
    """  # noqa: D301 - click's mark against rewrapping is a backslash
