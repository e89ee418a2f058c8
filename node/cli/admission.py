"""``tidegate admission``: who is admitted to a chain."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("admission_look", "List certificates, or those that end soon."),
    "show": ("admission_look", "Show the certificate of a key, and its revocation."),
    "issue": ("admission_issue", "Make signed certificates, offline, as the admission authority."),
    "sign": ("admission_issue", "Add signatures of the admission authority to a file of certificates."),
    "admit": ("admission_bring", "Bring signed certificates onto the chain."),
    "renew": ("admission_renew", "Make certificates hold longer."),
    "revoke": ("admission_bring", "Revoke a key."),
    "rotate": ("admission_rotate", "Give a node new keys while the network goes on."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Who is admitted to a chain: certificates that its admission authority signs.

    \b
    tidegate admission issue --genesis genesis.json --authority-key authority.key --serial 100 \\
        --key ed25519:… --organisation "Insurer E" --role member --role service --until 2030-01-01 -o cert.json
    tidegate admission issue --genesis genesis.json --authority-key authority.key --request request.json \\
        --days 365 -o cert.json
    tidegate admission admit cert.json --home DIR/business
    """  # noqa: D301 - click's mark against rewrapping is a backslash
