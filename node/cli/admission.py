"""``tidegate admission``: who is admitted to a chain."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("admission_look", "List certificates."),
    "show": ("admission_look", "Show the certificate of a key, and its revocation."),
    "issue": ("admission_issue", "Make a signed certificate, offline, as the admission authority."),
    "admit": ("admission_bring", "Bring a signed certificate onto the chain."),
    "revoke": ("admission_bring", "Revoke a key."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Who is admitted to a chain: certificates that its admission authority signs.

    \b
    tidegate admission issue --genesis genesis.json --authority-key authority.key --serial 100 \\
        --key ed25519:… --organisation "Insurer E" --role member --role service --until 2030-01-01 -o cert.json
    tidegate admission admit cert.json --home DIR/business
    """  # noqa: D301 - click's mark against rewrapping is a backslash
