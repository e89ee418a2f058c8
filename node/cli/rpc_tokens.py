"""``tidegate rpc token``: who may call a node's RPC over TCP, and what."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ledger.errors import InvalidConfig
from node.cli.options import home_option
from node.cli.output import Report, reporting
from node.layout import HomeLayout, read_toml
from node.rpc.method import Scope
from node.rpc.tokens import new_token, read_tokens, revoke_token

DEFAULT_FILE: Final = "keys/rpc-tokens.json"
_DAY_MS: Final = 86_400_000
_WORDS: Final = [scope.word for scope in Scope]


def tokens_file(home: Path) -> Path:
    """Where the node of a home keeps its tokens.

    Raises:
        InvalidConfig: there is no home, or ``rpc.tokens`` is no path.
    """
    layout = HomeLayout(home)
    configured = read_toml(layout.config_file).get("rpc", {}).get("tokens", DEFAULT_FILE)
    if not isinstance(configured, str) or not configured:
        raise InvalidConfig(f"{layout.config_file}: rpc.tokens is a path in quotes", key="rpc.tokens")
    return layout.path / configured


@click.group("token")
def token_command() -> None:
    """Make, list and revoke tokens. A running node sees a change within two seconds."""


@token_command.command("new")
@click.argument("name")
@click.option("--scope", type=click.Choice(_WORDS), default="read", show_default=True, help="What it allows.")
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until it is refused; never when left out.")
@home_option
@reporting
def new(report: Report, name: str, scope: str, days: int | None, home: Path) -> None:
    """Make a token. It is printed once; the node keeps a digest only."""
    expires_ms = None if days is None else int(time.time() * 1000) + days * _DAY_MS
    token = new_token(tokens_file(home), name, Scope[scope.upper()], expires_ms)
    report.line(token)
    report.warning("keep it now: it is not shown again")
    report.document({"name": name, "scope": scope, "token": token, "expires_ms": expires_ms})


@token_command.command("list")
@home_option
@reporting
def show(report: Report, home: Path) -> None:
    """List tokens: names, scopes and dates, never the tokens themselves."""
    found = read_tokens(tokens_file(home))
    report.table(
        ["name", "scope", "made", "until", "id"],
        [[item.name, item.scope, _day(item.created_ms), _day(item.expires_ms), item.id] for item in found],
    )
    report.document(
        [
            {
                "id": item.id,
                "name": item.name,
                "scope": item.scope,
                "created_ms": item.created_ms,
                "expires_ms": item.expires_ms,
            }
            for item in found
        ]
    )


@token_command.command("revoke")
@click.argument("name")
@home_option
@reporting
def revoke(report: Report, name: str, home: Path) -> None:
    """Revoke a token by name or id; its open connections end."""
    gone = revoke_token(tokens_file(home), name)
    report.success(f"{gone.name} ({gone.scope}) may not call any more")
    report.document({"revoked": gone.name, "id": gone.id})


def _day(time_ms: int | None) -> str:
    return "" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")
