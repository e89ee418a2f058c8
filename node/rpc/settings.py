"""What the RPC server is told: addresses, files, and its limits, resolved from ``[rpc]`` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """See ``node.config_sections.RpcSection``; files are absolute, None where there is none.

    Attributes:
        listen: ``HOST:PORT``; empty: the Unix socket only.
        tls_certificate: PEM file of the server's chain.
        tls_key: PEM file of its key.
        tls_client_ca: PEM file of the authorities of client certificates.
        client_scopes: ``NAME=scope`` each.
        tokens: file of tokens' digests.
        allowed_hosts: further names in ``Host``.
        allowed_origins: origins of web pages that may ask.
        max_connections: open at once.
        max_in_flight: requests served at once.
        max_body_bytes: of one request.
        max_batch: calls in one batch.
        max_page: entries of one page.
        max_subscriptions: over all connections.
        cost_per_second: units that a client may spend a second.
        cost_burst: units that a client may save up.
    """

    listen: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    client_scopes: tuple[str, ...] = ()
    tokens: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_connections: int = 512
    max_in_flight: int = 1_024
    max_body_bytes: int = 5 * MIB
    max_batch: int = 100
    max_page: int = 1_000
    max_subscriptions: int = 256
    cost_per_second: int = 5_000
    cost_burst: int = 20_000


def settings_of(section: Any, root: Path) -> RpcSettings:
    """The settings of a ``[rpc]`` section; files are relative to ``root``."""
    values: dict[str, Any] = {}
    for field in fields(RpcSettings):
        value = getattr(section, field.name)
        if field.name.startswith("tls_") or field.name == "tokens":
            value = root / value if value else None
        values[field.name] = value
    return RpcSettings(**values)
