"""``tidegate db``: verify, copy, restore and prune a node's data."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "verify": ("db_verify", "Check every record, block, certificate and root."),
    "snapshot": ("db_copy", "Copy a node's data, while it runs or not."),
    "restore": ("db_copy", "Put such a copy into a home."),
    "prune": ("db_prune", "Drop the contents of old blocks."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Verify, copy, restore and prune a node's data (docs/data.md).

    \b
    tidegate db verify   --home H                    node stopped, or --snapshot DIR
    tidegate db snapshot --home H -o DIR             node running or stopped
    tidegate db restore  DIR --home H                node stopped
    tidegate db prune    --retain 100000 --home H    node stopped
    """  # noqa: D301 - click's mark against rewrapping is a backslash
