"""Who may speak to the RPC: peers of the Unix socket, tokens, client certificates; hosts and origins that are answered.

A web page in somebody's browser can send requests to any address that the browser reaches, loopback included, and can
point its own name there (DNS rebinding). So on TCP only known names in ``Host`` are answered, no page whose ``Origin``
is not listed, and no body of a type that a page may post without being asked first.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.errors import InvalidConfig
from node.rpc.connection import Client
from node.rpc.method import Scope
from node.rpc.settings import RpcSettings
from node.rpc.tokens import Scopes, TokenBook

_CREDENTIALS: Final = struct.Struct("3i")
_SO_PEERGROUPS: Final = 59
_MAX_GROUPS: Final = 65_536
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Credential:
    """Who a client is, and what showed it.

    Attributes:
        client: the identity.
        token: id of the token that was shown; empty for certificates and socket peers.
    """

    client: Client
    token: str = ""


class Access:
    """See the module.

    Args:
        settings: of the server.

    Raises:
        InvalidConfig: ``client_scope_invalid``, ``tokens_invalid``.

    Attributes:
        tokens: that are accepted.
    """

    def __init__(self, settings: RpcSettings) -> None:
        self.tokens = TokenBook(settings.tokens if settings.listen else None)
        self._certificates = _client_scopes(settings.client_scopes)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.allowed_origins)
        self._hosts = {host.lower() for host in settings.allowed_hosts}
        if settings.listen:
            host = settings.listen.rpartition(":")[0].strip("[]").lower()
            self._hosts.add(host)
            if is_loopback(host):
                self._hosts |= _LOOPBACK_NAMES

    def allow_hosts(self, names: frozenset[str]) -> None:
        """Answers to further names: those that the server's own certificate has."""
        self._hosts |= {name.lower() for name in names}

    # --- who ------------------------------------------------------------------------------------------------------

    def socket_peer(self, peer: Any, path: Path) -> Credential | None:
        """The process at the other end of the Unix socket; None when the socket is not for it.

        The kernel checks the file's mode on connecting; this holds also when somebody has loosened it since.

        Args:
            peer: the accepted socket.
            path: of the listening one.
        """
        _, uid, gid = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in (0, os.geteuid()):
            group = path.lstat().st_gid
            if gid != group and group not in _groups(peer):
                return None
        return Credential(Client(f"uid:{uid}", Scope.ADMIN, "unix"))

    def network_peer(self, address: str, certificate: Any, token: str) -> Credential | None:
        """Who a client over TCP is; None when it shows nothing that is known.

        Args:
            address: of the peer.
            certificate: verified peer certificate in the form of ``ssl``, or None.
            token: bearer token, or nothing.
        """
        name = common_name(certificate)
        if name in self._certificates:
            return Credential(Client(f"certificate:{name}", self._certificates[name], address))
        entry = self.tokens.find(token) if token else None
        if entry is None:
            return None
        return Credential(Client(f"token:{entry.name}", Scopes[entry.scope], address), entry.id)

    def still(self, credential: Credential) -> bool:
        """Whether the client may go on: its token has not been revoked and has not expired."""
        return not credential.token or self.tokens.holds(credential.token)

    # --- from where -----------------------------------------------------------------------------------------------

    def host_is_ours(self, header: str | None) -> bool:
        """Whether ``Host`` names this server; the port does not matter."""
        if not header or len(header) > 300:
            return False
        host = header.lower()
        if host.startswith("["):
            return host[1:].partition("]")[0] in self._hosts
        return (host.rpartition(":")[0] if host.count(":") == 1 else host) in self._hosts

    def origin_is_ours(self, header: str | None) -> bool:
        """Whether a web page of this origin may ask; programs send none."""
        return header is None or header.lower() in self._origins


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own and reached from nowhere else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def common_name(certificate: Any) -> str:
    """The one common name of a peer certificate; empty when there is none, or several."""
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    names = [value for relative in subject for kind, value in relative if kind == "commonName"]
    return names[0] if len(names) == 1 else ""


def _groups(peer: Any) -> tuple[int, ...]:
    """Supplementary groups of a socket's peer."""
    try:
        data = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS)
    except OSError:
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)


def _client_scopes(entries: tuple[str, ...]) -> dict[str, Scope]:
    found = {}
    for entry in entries:
        name, equals, word = entry.rpartition("=")
        if not (equals and name) or word not in Scopes:
            raise InvalidConfig(
                f"rpc.client_scopes: write NAME=read, submit, officer or admin, not {entry!r}",
                code="client_scope_invalid",
                key="rpc.client_scopes",
            )
        found[name] = Scopes[word]
    return found


# --- TLS --------------------------------------------------------------------------------------------------------------


def server_tls(settings: RpcSettings) -> ssl.SSLContext | None:
    """What the TCP listener speaks: TLS, or None for plain loopback.

    Raises:
        InvalidConfig: ``rpc_tls_missing``: a network address without TLS; ``rpc_tls_invalid``: a file cannot be used.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        host = settings.listen.rpartition(":")[0].strip("[]")
        if certificate is not None or key is not None or settings.tls_client_ca is not None:
            raise InvalidConfig(
                "TLS needs both rpc.tls_certificate and rpc.tls_key", code="rpc_tls_missing", key="rpc.tls_certificate"
            )
        if not is_loopback(host):
            raise InvalidConfig(
                f"the RPC does not listen on {host or 'every address'} without TLS: set rpc.tls_certificate and "
                "rpc.tls_key, or listen on 127.0.0.1",
                code="rpc_tls_missing",
                key="rpc.listen",
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, settings)
    if settings.tls_client_ca is not None:
        # Optional, because a client may show a token instead; who shows neither is refused by name, not by alert.
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (OSError, ssl.SSLError) as error:
            raise _tls_invalid("rpc.tls_client_ca", settings.tls_client_ca, error) from error
    return context


def load_certificate(context: ssl.SSLContext, settings: RpcSettings) -> None:
    """Reads the server's certificate and key, at start and whenever the files were renewed.

    Raises:
        InvalidConfig: ``rpc_tls_invalid``.
    """
    assert settings.tls_certificate is not None
    try:
        # An empty passphrase: a sealed key must fail, not ask on the daemon's terminal.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise _tls_invalid("rpc.tls_certificate", settings.tls_certificate, error) from error


def _tls_invalid(key: str, path: Path, error: Exception) -> InvalidConfig:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidConfig(f"{key}: {path} cannot be used: {reason}", code="rpc_tls_invalid", key=key)


def certificate_names(path: Path) -> frozenset[str]:
    """DNS names and addresses that the first certificate of a PEM file is for."""
    from cryptography import x509  # noqa: PLC0415 - only servers with TLS need it

    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    found = set(names.get_values_for_type(x509.DNSName))
    found |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return frozenset(name for name in found if "*" not in name)
