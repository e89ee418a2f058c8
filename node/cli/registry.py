"""``tidegate registry``: who takes part in supervised flows."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("registry_look", "List participants, or control classes."),
    "show": ("registry_look", "Show a participant, or open its identity document."),
    "register": ("registry_change", "Register a participant with its identity document."),
    "verify": ("registry_change", "Open an identity document and say on chain whether it is right."),
    "activate": ("registry_change", "Let a verified participant take part."),
    "suspend": ("registry_change", "Suspend a participant."),
    "reinstate": ("registry_change", "Let a suspended participant take part again."),
    "class": ("registry_change", "Put an organisation into a control class."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Who takes part in supervised flows, and how strictly an organisation is supervised.

    PARTICIPANT is a key (ed25519:…), its beginning, or an organisation that has only one.

    \b
    tidegate registry register --home DIR --officer "Officer 1" --key ed25519:… --organisation "Pharmacy 9" --kind pharmacy
    tidegate registry verify   "Pharmacy 9" --home DIR/supervision/node0
    tidegate registry activate "Pharmacy 9" --home DIR --officer "Officer 1"
    tidegate registry class "City Hospital" full --home DIR --officer "Officer 1" --officer "Officer 2"
    """  # noqa: D301, E501 - click's mark against rewrapping is a backslash
