"""``tidegate proof header|transaction|state``: ask a node, verify its answer, write it to a file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ledger.errors import InvalidConfig, InvalidInput, NotFound
from ledger.genesis import Genesis, parse_genesis
from ledger.state import contract_prefix, utxo_key
from node.atomic_file import write_atomic
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client, Endpoint
from node.proof_file import (
    KIND_CHANGE,
    KIND_HEADER,
    KIND_STATE,
    KIND_TRANSACTION,
    fetch_proof,
    verify_file,
)

F = TypeVar("F", bound=Callable[..., Any])
_BLOCK_INSTEAD: Final = frozenset({"state_changed", "checkpoint_missing"})


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask, and what is trusted.

    Attributes:
        node: socket or address.
        genesis: of the chain.
        file: where the proof goes.
    """

    node: Endpoint
    genesis: Genesis
    file: Path


def asking(function: F) -> F:
    """Adds the options of a node (home, socket or URL), the genesis file and the file to write."""

    @functools.wraps(function)
    def with_node(
        *args: Any,
        target: Target,
        url: str | None,
        token: str | None,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        genesis: Path | None,
        file: Path,
        **kwargs: Any,
    ) -> Any:
        if url is not None and genesis is None:
            raise click.UsageError("--url needs --genesis: the chain's genesis file, from a source that you trust")
        found = parse_genesis(read_file(target.layout.genesis_file if genesis is None else genesis))
        place = str(target.socket) if url is None else url
        asked = Asked(Endpoint(place, token, ca, certificate, key), found, file)
        return function(*args, asked=asked, **kwargs)

    options = (
        target_options,
        click.option("--url", help="Address of a node's RPC instead of a home: https://host:port."),
        click.option("--token", envvar="TIDEGATE_TOKEN", show_envvar=True, help="Token for --url."),
        click.option("--ca", type=click.Path(path_type=Path), help="Authority of the node's certificate (PEM)."),
        click.option("--cert", "certificate", type=click.Path(path_type=Path), help="Your certificate (PEM)."),
        click.option("--key", type=click.Path(path_type=Path), help="Your certificate's key (PEM)."),
        click.option("--genesis", type=click.Path(path_type=Path), help="Genesis file; the home's when left out."),
        click.option(
            "-o", "--file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
        ),
    )
    wrapped: Any = with_node
    for option in options:
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


@click.command("header")
@click.argument("height", type=click.IntRange(0))
@reporting
@asking
async def header_command(report: Report, asked: Asked, height: int) -> None:
    """Prove the header of block HEIGHT."""
    await _write(report, asked, KIND_HEADER, {"height": height})


@click.command("transaction")
@click.argument("tx_id")
@reporting
@asking
async def transaction_command(report: Report, asked: Asked, tx_id: str) -> None:
    """Prove that TX_ID is in a block, and what became of it there."""
    await _write(report, asked, KIND_TRANSACTION, {"tx_id": _hex(tx_id, 32, "TX_ID").hex()})


@click.command("state")
@click.option("--contract", help="Address of the contract whose record it is; with --record.")
@click.option("--record", help="Key of the record within the contract's space, in hex.")
@click.option("--output", "outpoint", help="An output instead: its outpoint, 36 bytes of hex.")
@click.option("--state-key", help="Or the whole state key, in hex.")
@reporting
@asking
async def state_command(
    report: Report, asked: Asked, contract: str | None, record: str | None, outpoint: str | None, state_key: str | None
) -> None:
    """Prove what a state record was, or that there was none, at the newest checkpoint, or what a later block wrote."""
    key = _state_key(contract, record, outpoint, state_key).hex()
    try:
        await _write(report, asked, KIND_STATE, {"key": key})
    except NotFound as error:
        if error.code not in _BLOCK_INSTEAD:
            raise
        await _write(report, asked, KIND_CHANGE, {"key": key})


def _state_key(contract: str | None, record: str | None, outpoint: str | None, state_key: str | None) -> bytes:
    ways = ((contract, record) != (None, None), outpoint is not None, state_key is not None)
    if sum(ways) != 1 or (contract is None) != (record is None):
        raise click.UsageError("give --contract with --record, or --output, or --state-key")
    if outpoint is not None:
        return utxo_key(_hex(outpoint, 36, "--output"))
    if contract is not None and record is not None:
        return contract_prefix(contract) + _hex(record, None, "--record")
    assert state_key is not None
    return _hex(state_key, None, "--state-key")


async def _write(report: Report, asked: Asked, kind: str, params: dict[str, Any]) -> None:
    async with Client(asked.node) as client:
        data = await fetch_proof(client, asked.genesis, kind, params)
    write_atomic(asked.file, data, replace=True)
    shown = verify_file(data, asked.genesis)
    report.success(f"proved: {shown.words}")
    report.fields({"file": asked.file, "bytes": len(data)})
    report.document({"kind": kind, "words": shown.words, "file": str(asked.file), "bytes": len(data), **shown.facts})


def _hex(text: str, size: int | None, name: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if not data or (size is not None and len(data) != size):
        wanted = "some bytes" if size is None else f"{size} bytes"
        raise InvalidInput(f"{name} is {wanted} of hex", code="params_invalid", param=name)
    return data


def read_file(file: Path, limit: int = -1) -> bytes:
    """The file's bytes, at most ``limit``.

    Raises:
        InvalidConfig: ``file_unreadable``.
    """
    try:
        with file.open("rb") as source:
            return source.read(limit)
    except OSError as error:
        raise InvalidConfig(f"cannot read {file}: {error.strerror}", code="file_unreadable") from error
