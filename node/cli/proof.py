"""``tidegate proof``: proofs of single facts, made by a node and checked without it."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "header": ("proof_fetch", "Write the proof of a block's header to a file."),
    "transaction": ("proof_fetch", "Write the proof of a transaction and of what became of it."),
    "state": ("proof_fetch", "Write the proof of a state record, or that there is none."),
    "verify": ("proof_verify", "Check such a file against the chain's genesis file."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Ask a node for the proof of one fact; check it anywhere with the genesis file, without any node.

    \b
    tidegate proof transaction TX_ID --home devnet -o paid.json
    tidegate proof state --output OUTPOINT --url https://ledger.example:7400 --genesis genesis.json -o unspent.json
    tidegate proof verify paid.json --genesis devnet/genesis.json
    """  # noqa: D301 - click's mark against rewrapping is a backslash
