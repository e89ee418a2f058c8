"""``tidegate governance``: proposals that a chain's governors approve."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "list": ("governance_look", "List proposals, or policies."),
    "show": ("governance_look", "Show a proposal with its content."),
    "simulate": ("governance_simulate", "What a change of the validators would do."),
    "approve": ("governance_decide", "Approve a proposal."),
    "withdraw": ("governance_decide", "Take an approval back."),
    "propose-validators": ("governance_sets", "Propose who comes into the validator set, and who leaves it."),
    "propose-removal": ("governance_rotation", "Propose that a validator loses its seat in a rotating committee now."),
    "propose-salt": ("governance_rotation", "Propose what orders the candidates of a rotating committee."),
    "propose-parameters": ("governance_sets", "Propose timeouts, block sizes and the like."),
    "propose-policy": ("governance_propose", "Propose a named policy, such as the officers."),
    "propose-kind": ("governance_propose", "Propose a flow kind, or a kind's next version."),
    "propose-client": ("governance_propose", "Propose the light client of the other chain."),
    "delegate": ("governance_propose", "Propose that an organisation admits its own patients."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Proposals that a chain's governors approve, k of n, and that then take effect.

    --home is a member's of the chain, who sends the transaction; governors sign with --key, once for each key file.

    \b
    tidegate governance propose-validators --add "Hospital D" --home DIR --key governor1.key
    tidegate governance propose-kind visa.toml --home DIR/business --key governor1.key
    tidegate governance list    --home DIR/business
    tidegate governance approve PROPOSAL --home DIR/business --key governor2.key
    """  # noqa: D301 - click's mark against rewrapping is a backslash
