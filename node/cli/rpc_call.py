"""``tidegate rpc call|discover``: any method of a node, over its socket or over TCP."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ledger.errors import InvalidInput
from node.atomic_file import write_atomic
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client, Endpoint

F = TypeVar("F", bound=Callable[..., Any])

LONGEST_WAIT_S: Final = 60.0
"""Methods that wait do so for a minute at most."""
_File = click.Path(path_type=Path, dir_okay=False, exists=True)


def remote_options(function: F) -> F:
    """``--url`` and what goes with it beside ``--home``; the command gets ``client``, not connected yet."""

    @functools.wraps(function)
    def with_client(
        *args: Any,
        target: Target,
        url: str | None,
        token: str | None,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        **kwargs: Any,
    ) -> Any:
        endpoint: Endpoint | Path = target.socket if url is None else Endpoint(url, token, ca, certificate, key)
        return function(*args, client=Client(endpoint), **kwargs)

    options = (
        click.option("--url", help="Of a node elsewhere: http://host:port or https://host:port."),
        click.option("--token", envvar="TIDEGATE_RPC_TOKEN", show_envvar=True, help="For --url."),
        click.option("--ca", type=_File, help="PEM file of the authority of the node's certificate."),
        click.option("--certificate", type=_File, help="PEM file of our own certificate, for --url."),
        click.option("--key", type=_File, help="PEM file of its key."),
    )
    wrapped: Any = with_client
    for option in reversed(options):
        wrapped = option(wrapped)
    return target_options(wrapped)  # type: ignore[no-any-return]


@click.command("call")
@click.argument("method")
@click.argument("params", required=False, default="{}")
@reporting
@remote_options
async def call_command(report: Report, client: Client, method: str, params: str) -> None:
    """Call METHOD with PARAMS, a JSON object, and print its result."""
    try:
        document = json.loads(params)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"PARAMS is no JSON: {error}", code="json_invalid") from error
    if not isinstance(document, dict):
        raise InvalidInput("PARAMS is a JSON object, such as '{\"height\": 0}'", code="params_invalid")
    async with client:
        result = await client.call(method, document, wait_s=LONGEST_WAIT_S)
    report.line(json.dumps(result, ensure_ascii=False, indent=2))
    report.document(result)


@click.command("discover")
@click.option("-o", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
@reporting
@remote_options
async def discover_command(report: Report, client: Client, output: Path | None) -> None:
    """Print the node's OpenRPC document, with examples that it answers."""
    async with client:
        result = await client.call("rpc.discover", {}, wait_s=LONGEST_WAIT_S)
    text = json.dumps(result, ensure_ascii=False, indent=2)
    if output is not None:
        write_atomic(output, text.encode() + b"\n", replace=True)
        report.success(f"{output}: {len(result['methods'])} methods")
    else:
        report.line(text)
    report.document(result)
