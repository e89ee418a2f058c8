"""``tidegate rules``: versions of the lists and expressions that decide about stages of flows."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("rules_look", "List versions, what is in force, and what is to come."),
    "show": ("rules_look", "Show a version."),
    "diff": ("rules_look", "Show what two versions differ in."),
    "propose": ("rules_propose", "Propose a version from a rule file."),
    "approve": ("rules_decide", "Approve a version, named by its digest."),
    "activate": ("rules_decide", "Put an approved version in force from a height on."),
    "rollback": ("rules_decide", "Go back to an earlier version."),
    "abandon": ("rules_decide", "End a draft that is not wanted."),
    "dry-run": ("rules_dry_run", "Ask a version about past requests."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Lists and expressions that decide about stages of flows.

    \b
    tidegate rules propose rules.toml   --home DIR --officer "Officer 1"
    tidegate rules dry-run  VERSION     --home DIR
    tidegate rules approve  VERSION     --home DIR --officer "Officer 2" --digest DIGEST
    tidegate rules activate VERSION     --home DIR --officer "Officer 1" --after 10
    tidegate rules rollback VERSION     --home DIR --officer "Officer 1" --officer "Officer 2"
    """  # noqa: D301 - click's mark against rewrapping is a backslash
