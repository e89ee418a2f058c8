"""``tidegate rpc call|discover``: any method of a node, over its socket."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ledger.errors import InvalidInput
from node.atomic_file import write_atomic
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.client import Client

LONGEST_WAIT_S = 60.0
"""Methods that wait do so for a minute at most."""


@click.command("call")
@click.argument("method")
@click.argument("params", required=False, default="{}")
@target_options
@reporting
async def call_command(report: Report, target: Target, method: str, params: str) -> None:
    """Call METHOD with PARAMS, a JSON object, and print its result."""
    try:
        document = json.loads(params)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"PARAMS is no JSON: {error}", code="json_invalid") from error
    if not isinstance(document, dict):
        raise InvalidInput("PARAMS is a JSON object, such as '{\"height\": 0}'", code="params_invalid")
    async with Client(target.socket) as client:
        result = await client.call(method, document, wait_s=LONGEST_WAIT_S)
    report.line(json.dumps(result, ensure_ascii=False, indent=2))
    report.document(result)


@click.command("discover")
@click.option("-o", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
@target_options
@reporting
async def discover_command(report: Report, target: Target, output: Path | None) -> None:
    """Print the node's OpenRPC document, with examples that it answers."""
    async with Client(target.socket) as client:
        result = await client.call("rpc.discover", {}, wait_s=LONGEST_WAIT_S)
    text = json.dumps(result, ensure_ascii=False, indent=2)
    if output is not None:
        write_atomic(output, text.encode() + b"\n", replace=True)
        report.success(f"{output}: {len(result['methods'])} methods")
    else:
        report.line(text)
    report.document(result)
