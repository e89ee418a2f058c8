"""``tidegate config``: check a node before it starts, and while it runs."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "check": ("config_check", "Check a home: settings, keys, certificates, disk, ports, peers, clock."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Check a node's settings and what it stands on.

    \b
    tidegate config check --home /var/lib/tidegate/node0
    """  # noqa: D301 - click's mark against rewrapping is a backslash
