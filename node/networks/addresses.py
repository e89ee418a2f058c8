"""Addresses as people write them: ``HOST:PORT``, an IPv6 host in brackets."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_HOST: Final = re.compile(r"[A-Za-z0-9_:%.-]{1,255}")


def host_and_port(text: str) -> tuple[str, int]:
    """Host, without brackets, and port of ``HOST:PORT``.

    Raises:
        ValueError: another form.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else "" if ":" in host else host
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not (colon and host) or not digits or not 0 < int(port) < 65_536 or not _HOST.fullmatch(host):
        raise ValueError("write HOST:PORT, an IPv6 host in brackets")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
