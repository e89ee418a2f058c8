"""Where a node's RPC is, and how a client shows who it is there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ledger.errors import InvalidConfig

SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One node's RPC.

    Attributes:
        place: path of a Unix socket, or ``http://host:port`` or ``https://host:port``.
        token: of ``tidegate rpc token new``; for URLs.
        ca: PEM file of the authority that signed the node's certificate; the system's when left out.
        certificate: PEM file of the client's certificate, with its key or beside ``key``.
        key: PEM file of its private key.

    Raises:
        InvalidConfig: ``endpoint_invalid``: no such URL; a token that would travel in the open.
    """

    place: str
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if "://" not in self.place:
            return
        parts = urlsplit(self.place)
        try:
            port_valid = parts.port != 0
        except ValueError:
            port_valid = False
        if parts.scheme not in SCHEMES or not parts.hostname or not port_valid or parts.query or parts.fragment:
            raise InvalidConfig(
                f"{self.place!r} is no node's address: give a socket's path, http://host:port or https://host:port",
                code="endpoint_invalid",
            )
        if parts.username or parts.password:
            raise InvalidConfig("a token is given by itself, not within the address", code="endpoint_invalid")
        if parts.scheme == "http" and self.token and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise InvalidConfig(
                f"a token for {self.place} would travel where anybody can read it: use https", code="endpoint_invalid"
            )

    @property
    def socket(self) -> str | None:
        """Path of the Unix socket, or None for a URL."""
        return None if "://" in self.place else self.place

    @property
    def url(self) -> str:
        """Beginning of the URLs of requests, without a slash at its end."""
        return "http://localhost" if self.socket is not None else self.place.rstrip("/")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def ssl_context(self) -> ssl.SSLContext | None:
        """For TLS connections; None where there is no TLS.

        Raises:
            InvalidConfig: ``tls_unreadable``: a file is missing, or is not what it should be.
        """
        if not self.place.startswith("https://"):
            return None
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(str(self.certificate), None if self.key is None else str(self.key))
        except (OSError, ssl.SSLError) as error:
            raise InvalidConfig(f"TLS files for {self.place}: {error}", code="tls_unreadable") from error
        return context

    def __str__(self) -> str:
        return self.place
