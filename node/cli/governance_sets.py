"""``tidegate governance propose-validators`` and ``propose-parameters``."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.codes import Refusal
from contracts.governance.calls import EXECUTED
from contracts.governance.parameters import (
    CHANGEABLE,
    SET_PARAMETERS,
    ParametersQuery,
    ParametersRecord,
    ParameterValue,
    SetParameters,
    changed,
)
from contracts.validators.calls import CHANGE_SET
from ledger.errors import InvalidInput
from node.calling import Caller
from node.cli.governance_session import keys_option, read_signing_keys, tell, words_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.cli.validator_options import Wanted, change_options, read_book
from node.regulator import governing
from node.validator_names import CONTRACT


@click.command("propose-validators")
@change_options
@target_options
@keys_option
@words_option
@reporting
async def propose_validators_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, wanted: Wanted, description: str
) -> None:
    """Propose that validators come and go, all in one decision. Try it first: tidegate governance simulate.

    \b
    tidegate governance propose-validators --add "Hospital D" --key governor.key
    tidegate governance propose-validators --replace "Insurer C=ed25519:…" --key governor.key
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    if not wanted:
        raise click.UsageError("say who comes or goes: --add, --remove or --replace")
    governors = read_signing_keys(keys)
    words = description or wanted.words()
    async with open_chain(target) as client:
        change = wanted.change(await read_book(client, target))
        sender = Caller(client, target.member_key())
        approval = await governing.propose(sender, governors, CONTRACT, CHANGE_SET, change, words)
    tell(report, approval, f"proposal {approval.number} ({words})")
    if approval.status == EXECUTED:
        report.line("they decide from the second block after this one on: tidegate validators")
    else:
        report.line("before anybody approves it: tidegate governance simulate " + approval.proposal.hex()[:16])


@click.command("propose-parameters")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE…")
@target_options
@keys_option
@words_option
@reporting
async def propose_parameters_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, changes: tuple[str, ...], description: str
) -> None:
    """Propose other parameters; those that are not named stay. In force two blocks after the last approval.

    \b
    tidegate governance propose-parameters empty_block_ms=5000 max_block_transactions=1024 --key governor.key
    """  # noqa: D301
    order = SetParameters(tuple(_change(text) for text in changes))
    governors = read_signing_keys(keys)
    async with open_chain(target) as client:
        present = await client.view(governing.CONTRACT, "parameters", ParametersQuery(0), ParametersRecord)
        try:
            changed(present, order.changes, present.start)
        except Refusal as error:
            raise InvalidInput(error.message, code=error.code) from error
        words = description or f"parameters: {', '.join(changes)}"
        sender = Caller(client, target.member_key())
        approval = await governing.propose(sender, governors, governing.CONTRACT, SET_PARAMETERS, order, words)
    for change in order.changes:
        report.line(f"{change.name}: {getattr(present, change.name)} to {change.value}")
    tell(report, approval, f"proposal {approval.number} ({words})")
    if approval.status == EXECUTED:
        report.line("in force from the second block after this one on")


def _change(text: str) -> ParameterValue:
    name, equals, value = text.partition("=")
    if not equals or name not in CHANGEABLE or not value.isascii() or not value.isdigit() or len(value) > 15:
        raise InvalidInput(
            f"{text}: write NAME=VALUE, a whole number; NAME is one of {', '.join(CHANGEABLE)}",
            code="parameter_invalid",
        )
    return ParameterValue(name, int(value))
