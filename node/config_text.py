"""Writes a ``config.toml`` that a person can read: each key that is usually changed, with a line that explains it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from node.layout import DEFAULT_SOCKET


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What differs from node to node when homes are made; ``node.config`` documents the keys.

    Attributes:
        name: of the node.
        organisation: that answers for it.
        listen_host: overlay address.
        listen_port: overlay TCP port.
        peers: ``PEERID@HOST:PORT`` each.
        socket: RPC socket, relative to the home or absolute.
        services: those that run: ``transaction``, ``bookkeeping``, ``settlement``, ``authority``.
        bookkeeper: organisation or peer id of the node that books for the transaction service; None: this node.
        log_level: least severe that is written.
        log_format: ``json`` or ``console``.
        supervision_home: of a fusion node: home of its node of the supervision chain, relative to this home.
        rpc_listen: ``HOST:PORT`` for RPC over TCP; empty: the socket only.
        metrics_listen: ``HOST:PORT`` for metrics and health; empty: not served.
    """

    name: str
    organisation: str
    listen_host: str = "127.0.0.1"
    listen_port: int = 7300
    peers: tuple[str, ...] = ()
    socket: str = DEFAULT_SOCKET
    services: frozenset[str] = frozenset()
    bookkeeper: str | None = None
    log_level: str = "info"
    log_format: str = "json"
    supervision_home: str = ""
    rpc_listen: str = ""
    metrics_listen: str = ""


def _text(value: str) -> str:
    # A JSON string is a TOML basic string, as long as nothing is escaped as a surrogate pair.
    return json.dumps(value, ensure_ascii=False)


def _list(values: Iterable[str]) -> str:
    lines = "".join(f"    {_text(value)},\n" for value in values)
    return f"[\n{lines}]" if lines else "[]"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def pin_genesis(genesis_hash: str) -> str:
    """The section that pins the genesis file, to be put after the others."""
    return f"""
[chain]
# Hash of what genesis.json says: a node whose file was changed does not start.
genesis_hash = "{genesis_hash}"
"""


def config_text(settings: NodeSettings) -> str:
    """The text of a ``config.toml`` with these settings."""
    bookkeeper = "# bookkeeper = " + _text("Insurer C")
    if settings.bookkeeper is not None:
        bookkeeper = "bookkeeper = " + _text(settings.bookkeeper)
    return f"""\
# Tidegate node. Flags win over the environment, the environment over this file:
# TIDEGATE_LOG__LEVEL=debug is level under [log]. docs/operator.md lists every key.

[node]
name = {_text(settings.name)}
organisation = {_text(settings.organisation)}

[p2p]
listen_host = {_text(settings.listen_host)}
listen_port = {settings.listen_port}
# Whom to keep connected: PEERID@HOST:PORT.
peers = {_list(settings.peers)}

[rpc]
# Unix socket, relative to this directory.
socket = {_text(settings.socket)}
# HOST:PORT to serve the same over TCP; beyond loopback it needs TLS (docs/rpc.md). Empty: the socket only.
listen = {_text(settings.rpc_listen)}

[services.transaction]
# Standardises raw sales and asks the bookkeeper for their booking.
enabled = {_flag("transaction" in settings.services)}
# Organisation or peer id of the node that books; this node when left out.
{bookkeeper}

[services.bookkeeping]
# Executes the commission agreements: books, watches the triggers.
enabled = {_flag("bookkeeping" in settings.services)}

[services.settlement]
# Checks settlement requests, recomputes their sums, and settles.
enabled = {_flag("settlement" in settings.services)}

[services.authority]
# Opens sealed documents with the regulator's keys and decides; for nodes of a supervision chain.
enabled = {_flag("authority" in settings.services)}

[fusion]
# Home of this daemon's node of the supervision chain, relative to this directory; empty: one chain only.
supervision_home = {_text(settings.supervision_home)}

[metrics]
# HOST:PORT for /metrics, /livez and /readyz; empty: not served.
listen = {_text(settings.metrics_listen)}

[log]
# debug, info, warning or error; json or console.
level = {_text(settings.log_level)}
format = {_text(settings.log_format)}
"""
