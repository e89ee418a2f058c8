"""``tidegate governance simulate``: what a change of the validators would do, before anybody approves it."""

from __future__ import annotations

from typing import Any

import click

from contracts.validators.calls import CHANGE_SET, ChangeSet, change_set_codec
from contracts.validators.rotation_calls import Rotation, RotationQuery
from ledger.errors import InvalidInput
from ledger.keys import key_text
from ledger.types import PublicKey
from ledger.validators import ValidatorSet
from node.cli.exit_codes import REFUSED
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.cli.validator_options import Wanted, change_options, read_book
from node.client import Client
from node.regulator import governing
from node.seat_forecast import Forecast, change_between, forecast
from node.validator_names import CONTRACT, newest_set


@click.command("simulate")
@click.argument("proposal", required=False)
@change_options
@target_options
@click.pass_context
@reporting
async def simulate_command(
    report: Report, context: click.Context, target: Target, *, proposal: str | None, wanted: Wanted
) -> None:
    """What PROPOSAL, or a change that nobody has proposed yet, would do to the set; nothing is sent.

    The node of --home says whom it hears now. Ends with 1 when there is a warning: somebody who comes is offline or not
    synced, too few live ones would be left, or the chain would refuse the change.

    \b
    tidegate governance simulate PROPOSAL
    tidegate governance simulate --add "Hospital D" --remove "Insurer C"
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    if bool(proposal) == bool(wanted):
        raise click.UsageError("say either PROPOSAL or who comes and goes: --add, --remove, --replace")
    async with open_chain(target) as client:
        book = await read_book(client, target)
        change = wanted.change(book) if proposal is None else await _proposed(client, proposal)
        rotation = await client.view(CONTRACT, "rotation", RotationQuery(), Rotation)
        before = await newest_set(client) if rotation.rules is None else _register(rotation)
        _check_known(before, change)
        found = forecast(
            await client.status(),
            before,
            change_between(before, change),
            book.organisations(),
            [key for key in change.add if book.may_validate(key)],
            0 if rotation.rules is None else rotation.rules.committee,
        )
    _tell(report, found, rotating=rotation.rules is not None)
    report.document(_document(found))
    if found.warnings:
        context.exit(REFUSED)


async def _proposed(client: Client, text: str) -> ChangeSet:
    _, found = await governing.find_proposal(client, text)
    content = found.content
    if (content.contract, content.action) != (CONTRACT, CHANGE_SET):
        raise InvalidInput(
            f"proposal {found.number} is {content.contract}.{content.action}: only changes of validators are simulated",
            code="proposal_other",
        )
    return change_set_codec.decode(content.data)


def _register(rotation: Rotation) -> ValidatorSet:
    return ValidatorSet(PublicKey(each.key) for each in rotation.candidates if not each.leaving)


def _check_known(before: ValidatorSet, change: ChangeSet) -> None:
    for key in change.add:
        if key in before:
            raise InvalidInput(f"{key_text(key)} is a validator already", code="validators_already_in")
    for key in change.remove:
        if key not in before:
            raise InvalidInput(f"{key_text(key)} is no validator", code="validators_not_in")


def _tell(report: Report, found: Forecast, *, rotating: bool) -> None:
    report.table(
        ["validator", "organisation", "change", "now"],
        [
            [
                key_text(seat.key)[:24],
                seat.organisation or "-",
                seat.change,
                f"{seat.condition}: {seat.why}" if seat.why else str(seat.condition),
            ]
            for seat in found.seats
        ],
    )
    report.line()
    who = "candidates" if rotating else "validators"
    report.fields(
        {
            who: f"{len(found.before)} now, {len(found.after)} then",
            "quorum": found.quorum,
            "may be faulty": found.max_faulty,
            "live": f"{found.live} of {len(found.after)}",
            "left": _left(found),
        }
    )
    for warned in found.warnings:
        report.warning(f"[{warned.code}] {warned.words}")


def _left(found: Forecast) -> str:
    if found.spare < 0:
        return f"{-found.spare} short of a quorum"
    return f"{found.spare} more may fail while those that are offline stay so"


def _document(found: Forecast) -> dict[str, Any]:
    return {
        "before": [key_text(key) for key in found.before.keys],
        "after": [key_text(key) for key in found.after.keys],
        "quorum": found.quorum,
        "max_faulty": found.max_faulty,
        "live": found.live,
        "spare": found.spare,
        "seats": [
            {
                "key": key_text(seat.key),
                "organisation": seat.organisation,
                "change": seat.change,
                "condition": str(seat.condition),
                "why": seat.why,
            }
            for seat in found.seats
        ],
        "warnings": [{"code": warned.code, "message": warned.words} for warned in found.warnings],
    }
