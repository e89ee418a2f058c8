"""A node behind its TCP door: tokens of every scope, certificates, raw bytes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.rpc.method import Scope
from node.rpc.settings import RpcSettings
from node.rpc.tokens import new_token
from tests.node.bare import Bare
from tests.node.rpc_client import Client, serve

JSON = {"Content-Type": "application/json"}


class Gate:
    """The door, and who knocks.

    Attributes:
        client: the same node over its Unix socket.
        tokens: by scope.
        file: where their digests are.
    """

    def __init__(self, client: Client, tokens: dict[Scope, str], file: Path) -> None:
        self.client = client
        self.tokens = tokens
        self.file = file
        assert client.server.address is not None
        self.host, self.port = client.server.address
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = aiohttp.ClientSession()

    def bearer(self, scope: Scope = Scope.ADMIN) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scope]}"}

    async def ask(
        self, method: str, params: object = None, *, scope: Scope = Scope.ADMIN, **headers: str
    ) -> tuple[int, Any, Any]:
        """(HTTP status, answer, headers)."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}})
        return await self.post(body, {**JSON, **self.bearer(scope), **headers})

    async def post(self, body: Any, headers: dict[str, str], path: str = "/") -> tuple[int, Any, Any]:
        async with self.session.post(self.url + path, data=body, headers=headers) as reply:
            content = await reply.read()
            return reply.status, json.loads(content) if "json" in reply.content_type else content, reply.headers

    async def raw(self, data: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    def websocket(self, scope: Scope = Scope.ADMIN) -> Any:
        return self.session.ws_connect(self.url + "/ws", headers=self.bearer(scope))


def code_of(answer: Any) -> str:
    """Stable code of an error answer."""
    code: str = answer["error"]["data"]["code"]
    return code


@asynccontextmanager
async def gate(directory: Path, **changes: Any) -> AsyncIterator[Gate]:
    """A node that listens on loopback, with a token of each scope."""
    file = directory / "keys" / "rpc-tokens.json"
    tokens = {scope: new_token(file, scope.word, scope) for scope in Scope}
    settings = replace(RpcSettings(listen="127.0.0.1:0", tokens=file), **changes)
    async for client in serve(Bare(), directory / "rpc.sock", settings):
        made = Gate(client, tokens, file)
        try:
            yield made
        finally:
            await made.session.close()


class Issuer:
    """An authority of certificates."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._directory = directory
        self.file = directory / f"{name}.pem"
        certificate = self._sign(self._name, self._key, authority=True)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.DNSName("node.example"), x509.IPAddress(ip_address("127.0.0.1"))]
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key files for a common name."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, authority=False)
        files = self._directory / f"{name}-certificate.pem", self._directory / f"{name}-key.pem"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client of this authority's servers speaks."""
        made = ssl.create_default_context(cafile=str(self.file))
        if certificate is not None:
            made.load_cert_chain(*certificate)
        return made
