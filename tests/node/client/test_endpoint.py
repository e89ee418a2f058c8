"""Addresses, tokens and TLS: a client shows who it is only where it should, and knows whom it speaks to."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ledger.errors import InvalidConfig, Overloaded, PeerMisbehaved, PeerRefused, RpcUnavailable
from node.client import Client, Endpoint

TOKEN = "secret-token"


class Issuer:
    """A certificate authority of a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.subject, self.key, authority=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject: x509.Name, key: Any, *, authority: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        key_id = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier(key_id.digest, None, None), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str) -> Path:
        """PEM file with a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, authority=False)
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file


class Desk:
    """A server that answers everything with what it was shown."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.status = 200
        self.headers: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self.status == 307:
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})
        if self.status != 200:
            return web.Response(status=self.status, text="no", headers={"Retry-After": "2"})
        reply = {"jsonrpc": "2.0", "id": 1, "result": {"seen": True}} if self.answer is None else self.answer
        return web.json_response(reply)


Served = tuple[Desk, str, Issuer]


async def _serve(tmp_path: Path, *, tls: bool, client_ca: Path | None = None) -> tuple[web.AppRunner, Served]:
    issuer, desk = Issuer(tmp_path, "authority"), Desk()
    app = web.Application()
    app.router.add_post("/", desk.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    context = None
    if tls:
        file = issuer.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(file))
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(str(client_ca))
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    return runner, (desk, f"{'https' if tls else 'http'}://127.0.0.1:{port}", issuer)


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Served]:
    runner, served = await _serve(tmp_path, tls=False)
    yield served
    await runner.cleanup()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Served]:
    runner, served = await _serve(tmp_path, tls=True)
    yield served
    await runner.cleanup()


async def test_a_token_is_shown_when_it_is_given(plain: Served):
    desk, url, _ = plain
    async with Client(url, token=TOKEN) as client:
        assert await client.call("node.status") == {"seen": True}
    async with Client(url) as client:
        await client.call("node.status")
    assert [headers.get("Authorization") for headers in desk.headers] == [f"Bearer {TOKEN}", None]


async def test_a_node_is_known_when_its_authority_is_given(secure: Served):
    desk, url, issuer = secure
    async with Client(url, token=TOKEN, ca=issuer.file) as client:
        assert await client.call("node.status") == {"seen": True}
    assert desk.headers[0]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("known", ["another", "the system's"])
async def test_nothing_is_told_when_the_node_has_another_authority(secure: Served, tmp_path: Path, known: str):
    desk, url, _ = secure
    ca = Issuer(tmp_path, "stranger").file if known == "another" else None
    async with Client(url, token=TOKEN, ca=ca) as client:
        with pytest.raises(PeerRefused) as found:
            await client.call("node.status")
    assert found.value.code == "tls_refused"
    assert desk.headers == []
    assert TOKEN not in str(found.value)


async def test_a_client_is_let_in_when_it_has_a_certificate(tmp_path: Path):
    members = Issuer(tmp_path, "members")
    runner, (_, url, issuer) = await _serve(tmp_path, tls=True, client_ca=members.file)
    try:
        async with Client(url, ca=issuer.file, certificate=members.issue("someone")) as client:
            assert await client.call("node.status") == {"seen": True}
        async with Client(url, ca=issuer.file) as client:
            with pytest.raises((RpcUnavailable, PeerRefused)):
                await client.call("node.status")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, PeerRefused, "access_refused"),
        (403, PeerRefused, "access_refused"),
        (404, InvalidConfig, "endpoint_invalid"),
        (307, InvalidConfig, "endpoint_invalid"),
        (503, Overloaded, "overloaded"),
        (429, Overloaded, "overloaded"),
        (500, PeerMisbehaved, "answer_malformed"),
    ],
)
async def test_an_http_status_says_what_to_do_when_it_is_no_answer(plain: Served, status: int, kind: Any, code: str):
    desk, url, _ = plain
    desk.status = status
    async with Client(url) as client:
        with pytest.raises(kind) as found:
            await client.call("node.status")
    assert found.value.code == code
    if kind is Overloaded:
        assert found.value.data["retry_after_ms"] == 2_000


@pytest.mark.parametrize("answer", [[], "x", {"jsonrpc": "2.0", "id": 1}, {"result": None, "error": 5, "x": 1}])
async def test_an_answer_is_refused_when_it_is_no_json_rpc(plain: Served, answer: Any):
    desk, url, _ = plain
    desk.answer = answer
    async with Client(url) as client:
        if isinstance(answer, dict) and "result" in answer:
            assert await client.call("node.status") is None
        else:
            with pytest.raises(PeerMisbehaved):
                await client.call("node.status")


@pytest.mark.parametrize(
    "place",
    [
        "ftp://host:1",
        "https://",
        "http://host:0",
        "http://host:99999",
        "https://user:secret@host:1",
        "https://host:1/?token=x",
        "https://host:1/#x",
    ],
)
def test_an_address_is_refused_when_it_is_none(place: str):
    with pytest.raises(InvalidConfig) as found:
        Endpoint(place)
    assert found.value.code == "endpoint_invalid"


def test_a_token_is_refused_when_it_would_travel_in_the_open():
    with pytest.raises(InvalidConfig):
        Endpoint("http://ledger.example:7400", token=TOKEN)
    for place in ("http://127.0.0.1:7400", "http://localhost:7400", "http://[::1]:7400", "https://ledger.example:7400"):
        assert Endpoint(place, token=TOKEN).headers == {"Authorization": f"Bearer {TOKEN}"}


def test_a_token_is_not_shown_when_an_endpoint_is_printed():
    assert TOKEN not in repr(Endpoint("https://ledger.example:7400", token=TOKEN))
    assert str(Endpoint("https://ledger.example:7400", token=TOKEN)) == "https://ledger.example:7400"


@pytest.mark.parametrize("field", ["ca", "certificate"])
def test_tls_files_are_refused_when_they_are_none(tmp_path: Path, field: str):
    file = tmp_path / "x.pem"
    for content in (None, b"no certificate"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InvalidConfig) as found:
            Endpoint("https://ledger.example:7400", **{field: file}).ssl_context()
        assert found.value.code == "tls_unreadable"


def test_a_socket_has_no_url_of_its_own():
    endpoint = Endpoint("run/rpc.sock")
    assert (endpoint.socket, endpoint.url, endpoint.ssl_context()) == ("run/rpc.sock", "http://localhost", None)
    assert Endpoint("https://ledger.example:7400/").url == "https://ledger.example:7400"
