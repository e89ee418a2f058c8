"""``tidegate network``: networks for real hosts."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "example": ("network_plan", "Print a commented network.toml to begin with."),
    "check": ("network_plan", "Check a network.toml; nothing is made."),
    "new": ("network_plan", "Make a whole network: genesis, keys, homes, units, compose files."),
    "add-node": ("network_grow", "Make the home of a node that joins a running network."),
    "propose": ("network_ceremony", "Begin a ceremony in which each member makes its own keys."),
    "member": ("network_member", "Make a member's keys and home; hand in the public halves."),
    "draft": ("network_ceremony", "Put proposal and member files together."),
    "show": ("network_ceremony", "Show what a file of a ceremony, or a genesis file, says."),
    "sign": ("network_member", "Check a draft, and sign it as a member and for the authority."),
    "assemble": ("network_ceremony", "Put the signatures together: genesis and founding file."),
    "join": ("network_member", "Check the founding file, and complete a member's home."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Networks for real hosts: planned in a file, made by one operator or in a ceremony of all members.

    \b
    tidegate network example > network.toml      then edit it
    tidegate network new network.toml -o DIR     one operator has all keys: trials, rehearsals
    tidegate network propose network.toml -o proposal.json
                                                 or each member makes its own (docs/networks.md)
    """  # noqa: D301 - click's mark against rewrapping is a backslash
