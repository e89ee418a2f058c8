"""``tidegate evidence``: proofs that leave the network, and their check without it."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("evidence_look", "List what validators did wrong."),
    "export": ("evidence_look", "Write the proof of one such fault to a file."),
    "verify": ("evidence_verify", "Check such a file against the chain's genesis file."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """What validators did against the protocol, with proof for anybody who has the genesis file.

    \b
    tidegate evidence list   --home devnet
    tidegate evidence export 1 -o fault.json --home devnet
    tidegate evidence verify fault.json --genesis devnet/genesis.json
    """  # noqa: D301 - click's mark against rewrapping is a backslash
