"""``tidegate flow``: supervised flows, step by step as each party, or whole directories at once."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "file": ("flow_review", "File a document, as hospital."),
    "pool": ("flow_show", "List the documents that wait for review."),
    "review": ("flow_review", "Ask to review a document, as reviewer; read it once it is released."),
    "release": ("flow_review", "Release a document to its reviewer, as platform."),
    "opinion": ("flow_review", "Give an opinion, as reviewer."),
    "order": ("flow_order", "Order from a pharmacy, as patient."),
    "place": ("flow_order", "Place an order that was granted, as patient."),
    "accept": ("flow_order", "Accept an order, as pharmacy."),
    "fulfil": ("flow_order", "Price an order and ask for payment, as pharmacy."),
    "pay": ("flow_order", "Pay, as patient together with the payer."),
    "deliver": ("flow_order", "Say that it was picked up or delivered."),
    "show": ("flow_show", "Show a flow."),
    "list": ("flow_show", "List flows."),
    "open": ("flow_show", "Open what is sealed to a party."),
    "patient": ("flow_review", "Make a patient's keys and admit it, as platform."),
    "import": ("flow_import", "Drive every prescription of a directory through all stages."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


class LazyCommands(click.Group):
    """Imports a subcommand's module only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of that name, or None."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"node.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table above, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyCommands)
def command() -> None:
    """Supervised flows.

    \b
    tidegate flow file bundle.json --as "City Hospital" --platform "Prescription Platform P" --patient Ann \\
        --parties DIR/parties --home DIR/business
    tidegate flow pool   --home DIR/business
    tidegate flow review AUTHORISATION --as "Reviewer 1" --parties DIR/parties --home DIR/business
    tidegate flow import fhir/ --parties DIR/parties --state import/ --home DIR/business
    """  # noqa: D301 - click's mark against rewrapping is a backslash
