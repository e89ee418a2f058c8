"""``tidegate rpc``: tokens for clients, any call, the interface as a document."""

from __future__ import annotations

from typing import Final

import click

from node.cli.lazy_group import LazyCommands

COMMANDS: Final = {
    "token": ("rpc_tokens", "Make, list and revoke tokens for clients over TCP."),
    "call": ("rpc_call", "Call any method and print its result."),
    "discover": ("rpc_call", "Print the node's OpenRPC document."),
    "docs": ("rpc_docs", "Write rpc.md and openrpc.json; needs no node."),
}
"""Subcommands in the order of the help: the module of each, which has a ``NAME_command``, and what it does."""


@click.group(cls=LazyCommands, table=COMMANDS)
def command() -> None:
    """Tokens for clients, and what the RPC can do.

    \b
    tidegate rpc token new "Platform A" --scope submit --home DIR
    tidegate rpc token list --home DIR
    tidegate rpc token revoke "Platform A" --home DIR
    tidegate rpc call block.get '{"height": 0}' --home DIR
    tidegate rpc discover --home DIR
    """  # noqa: D301 - click's mark against rewrapping is a backslash
