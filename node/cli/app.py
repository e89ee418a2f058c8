"""The root of the ``tidegate`` command. Subcommands are imported when they are chosen, so that help comes at once."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "demo": "Watch commissions and prescriptions on two local networks.",
    "devnet": "Make and run a whole local network.",
    "network": "Plan a network for real hosts; ceremonies.",
    "node": "Make and run one node.",
    "config": "Check a node before it starts: settings and surroundings.",
    "doctor": "Say in words why no block is made, and what to do.",
    "db": "Verify, copy, restore and prune a node's data.",
    "archive": "Export a period of a chain, verify it offline.",
    "key": "Make and show keys.",
    "tx": "Send transactions and see what became of them.",
    "utxo": "List unspent outputs.",
    "block": "Look at blocks.",
    "rpc": "Tokens for clients, and what the RPC can do.",
    "proof": "Ask a node for proofs and check them.",
    "commission": "Agreements, bookings and settlements.",
    "supervision": "What the regulator sees and decides.",
    "rules": "Lists and expressions that decide about stages of flows.",
    "registry": "Who takes part in supervised flows.",
    "fusion": "The nodes that join the two chains.",
    "validators": "Who decides, and how they are.",
    "governance": "Proposals that a chain's governors approve.",
    "evidence": "Evidence of records, flows and misbehaviour: export, verify.",
    "admission": "Who is admitted to a chain.",
    "flow": "Supervised flows: file, review, order, pay, deliver, import.",
}
"""Subcommands in the order of the help; each is ``command`` in the module of its name."""
VERSION: Final = "0.1.0"


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None when there is none."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        try:
            command = importlib.import_module(f"node.cli.{cmd_name}").command
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`tidegate {cmd_name}` needs {error.name}, which is not installed here: it is part of the daemon "
                "(see README.md), not of the SDK"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table above, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command takes --json. Exit codes are listed in docs/operator.md.",
)
@click.version_option(VERSION, prog_name="tidegate")
def root() -> None:
    """Tidegate, a permissioned ledger for companies that settle with each other, and for their regulator.

    \b
    tidegate demo                          see it work
    tidegate devnet init && tidegate devnet up
    tidegate node status --home devnet/node0
    """  # noqa: D301 - click's mark against rewrapping is a backslash
