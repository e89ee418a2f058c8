"""``tidegate tx``: hand transactions in, and see what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from ledger.document import to_document
from ledger.errors import InvalidInput
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from node.cli.commission_session import require_committed
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client
from node.gateway import Outcome

_timeout = click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to wait.")
_tx_id = click.argument("tx_id")


@click.group()
def command() -> None:
    """Hand transactions in, and see what became of them.

    \b
    tidegate tx submit signed.tx           a file with the transaction's bytes, or their hex
    tidegate tx get  TX_ID
    tidegate tx wait TX_ID --timeout 10
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command("submit")
@click.argument("file", type=click.File("rb"))
@target_options
@_timeout
@reporting
async def submit(report: Report, target: Target, file: IO[bytes], timeout: float) -> None:
    """Hand in a signed transaction (bytes or hex; - reads stdin) and wait for its block. Repeating it is harmless."""
    transaction = Transaction.decode(_wire(file.read(2 * MAX_TRANSACTION_BYTES + 2)))
    async with Client(target.socket, overload_retries=20) as client:
        outcome = await client.submit_and_wait(transaction, timeout)
    _show(report, outcome)
    require_committed(outcome)


@command.command("get")
@_tx_id
@target_options
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write its bytes to a file.")
@reporting
async def get(report: Report, target: Target, tx_id: str, output: Path | None) -> None:
    """Show a transaction and what is known of it."""
    name = _id(tx_id)
    async with Client(target.socket) as client:
        transaction = await client.transaction(name)
        outcome = await client.outcome(name)
    body = transaction.body
    if output is not None:
        _write(output, transaction.wire)
    _fields(report, outcome)
    report.fields(
        {
            "sender": body.sender[1:].hex(),
            "inputs": len(body.inputs),
            "outputs": len(body.outputs),
            "calls": ", ".join(f"{call.contract}.{call.method}" for call in body.calls) or "none",
            "signatures": len(transaction.witness.signatures),
            "expires": f"after height {body.expiry_height}",
        }
    )
    report.document({"outcome": outcome, "body": body, "signers": [key for key, _ in transaction.witness.signatures]})


@command.command("wait")
@_tx_id
@target_options
@_timeout
@reporting
async def wait(report: Report, target: Target, tx_id: str, timeout: float) -> None:
    """Wait until a transaction is in a block. The exit code is 1 when it was refused or is not in one yet."""
    async with Client(target.socket) as client:
        outcome = await client.wait(_id(tx_id), timeout)
    _show(report, outcome)
    require_committed(outcome)


def _show(report: Report, outcome: Outcome) -> None:
    _fields(report, outcome)
    if outcome.status == "committed":
        report.document(to_document(outcome))


def _fields(report: Report, outcome: Outcome) -> None:
    place = f"height {outcome.height}, place {outcome.index}" if outcome.height else "in no block yet"
    report.fields(
        {
            "transaction": outcome.tx_id.hex(),
            "status": f"{outcome.status} ({outcome.code})" if outcome.code else outcome.status,
            "block": place,
            "events": ", ".join(f"{event.contract}.{event.name}" for event in outcome.events) or "none",
        }
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}", code="file_unwritable") from error


def _wire(data: bytes) -> bytes:
    text = data.strip()
    try:
        return bytes.fromhex(text.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return data


def _id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput("a transaction id is 64 hex digits", code="tx_id_invalid")
    return found
