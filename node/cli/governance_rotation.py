"""``tidegate governance propose-salt`` and ``propose-removal``: what governors decide about a rotating committee."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.validators.calls import ChangeSet
from contracts.validators.rotation_calls import REMOVE_NOW, SET_SALT, SetSalt
from ledger.errors import InvalidInput
from ledger.rotation import SALT_BYTES
from node.calling import Caller
from node.cli.governance_session import keys_option, read_signing_keys, tell, words_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.cli.validator_options import read_book
from node.regulator import governing
from node.validator_names import CONTRACT


@click.command("propose-salt")
@click.argument("salt")
@target_options
@keys_option
@words_option
@reporting
async def propose_salt_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, salt: str, description: str
) -> None:
    """Propose the SALT, 64 hex digits, that orders the candidates of a rotating committee from now on.

    Candidates that registered since the last salt take seats only after a new one. Take something that nobody could
    know when they registered, and that every governor can check: the hash of next week's public lottery draw.
    """
    try:
        value = bytes.fromhex(salt)
    except ValueError:
        value = b""
    if len(value) != SALT_BYTES:
        raise InvalidInput(f"a salt is {2 * SALT_BYTES} hex digits", code="salt_invalid")
    governors = read_signing_keys(keys)
    words = description or "a new salt for the order of candidates"
    async with open_chain(target) as client:
        sender = Caller(client, target.member_key())
        approval = await governing.propose(sender, governors, CONTRACT, SET_SALT, SetSalt(value), words)
    tell(report, approval, f"proposal {approval.number} ({words})")


@click.command("propose-removal")
@click.argument("validators", nargs=-1, required=True, metavar="VALIDATOR…")
@target_options
@keys_option
@words_option
@reporting
async def propose_removal_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, validators: tuple[str, ...], description: str
) -> None:
    """Propose that VALIDATOR loses its seat in a rotating committee at once: two blocks after the last approval.

    The next candidate in order takes the seat, and a new epoch begins. Where there is no hurry, propose-validators
    --remove lets it leave with the next epoch.
    """
    governors = read_signing_keys(keys)
    words = description or f"remove {', '.join(validators)} at once"
    async with open_chain(target) as client:
        book = await read_book(client, target)
        order = ChangeSet((), tuple(book.key(text) for text in validators))
        sender = Caller(client, target.member_key())
        approval = await governing.propose(sender, governors, CONTRACT, REMOVE_NOW, order, words)
    tell(report, approval, f"proposal {approval.number} ({words})")
