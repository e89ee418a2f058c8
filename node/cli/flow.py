"""``tidegate flow``: supervised flows, step by step as each party, or whole directories at once."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

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
    "report": ("flow_report", "Count flows and sum payments; write every flow to CSV or XLSX."),
    "open": ("flow_show", "Open what is sealed to a party."),
    "patient": ("flow_review", "Make a patient's keys and admit it, as platform."),
    "import": ("flow_import", "Drive every prescription of a directory through all stages."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Supervised flows.

    \b
    tidegate flow file bundle.json --as "City Hospital" --platform "Prescription Platform P" --patient Ann \\
        --parties DIR/parties --home DIR/business
    tidegate flow pool   --home DIR/business
    tidegate flow review AUTHORISATION --as "Reviewer 1" --parties DIR/parties --home DIR/business
    tidegate flow import fhir/ --parties DIR/parties --state import/ --home DIR/business
    """  # noqa: D301 - click's mark against rewrapping is a backslash
