"""TLS: client certificates and what they may do, tokens over TLS, renewed files."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger.errors import InvalidConfig
from node.rpc.access import common_name, server_tls
from node.rpc.method import Scope
from node.rpc.settings import RpcSettings
from tests.node.rpc.gate import JSON, Gate, Issuer, code_of, gate

CALL = '{"jsonrpc":"2.0","id":1,"method":"chain.info"}'


@asynccontextmanager
async def secured(directory: Path, **changes: Any) -> AsyncIterator[tuple[Gate, Issuer]]:
    issuer = Issuer(directory)
    certificate, key = issuer.issue("server")
    settings = {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": issuer.file,
        "client_scopes": ("platform-a=submit", "auditor=read"),
        **changes,
    }
    async with gate(directory, **settings) as door:
        door.url = f"https://localhost:{door.port}"
        yield door, issuer


async def ask(
    door: Gate, context: ssl.SSLContext, headers: dict[str, str] | None = None, body: str = CALL
) -> tuple[int, Any]:
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(door.url, data=body, headers={**JSON, **(headers or {})}) as reply,
    ):
        return reply.status, await reply.json()


async def test_certificate_comes_in_with_its_scope_when_its_name_is_listed(tmp_path: Path) -> None:
    async with secured(tmp_path) as (door, issuer):
        own = issuer.context(issuer.issue("platform-a"))
        assert (await ask(door, own))[1]["result"]["height"] == 0
        call = '{"jsonrpc":"2.0","id":1,"method":"service.call","params":{"service":"services","payload":""}}'
        assert code_of((await ask(door, own, body=call))[1]) == "scope_insufficient"
        submit = '{"jsonrpc":"2.0","id":1,"method":"tx.submit","params":{"transaction":"c1"}}'
        assert code_of((await ask(door, own, body=submit))[1]) == "malformed"
        auditor = issuer.context(issuer.issue("auditor"))
        assert code_of((await ask(door, auditor, body=submit))[1]) == "scope_insufficient"


async def test_client_is_refused_when_it_shows_no_certificate_or_one_of_a_stranger(tmp_path: Path) -> None:
    async with secured(tmp_path) as (door, issuer):
        assert (await ask(door, issuer.context()))[0] == 401
        assert (await ask(door, issuer.context(issuer.issue("stranger"))))[0] == 401
        assert (await ask(door, issuer.context(), door.bearer(Scope.READ)))[0] == 200


async def test_handshake_fails_when_the_certificate_is_of_another_authority(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with secured(tmp_path) as (door, issuer):
        forged = Issuer(other).issue("platform-a")
        context = issuer.context()
        context.load_cert_chain(*forged)
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await ask(door, context)
        assert (await ask(door, issuer.context(), door.bearer()))[0] == 200


async def test_connection_ends_when_a_client_speaks_without_tls(tmp_path: Path) -> None:
    async with secured(tmp_path) as (door, _):
        assert b"200" not in await door.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def test_name_of_the_servers_certificate_is_answered_when_asked_for(tmp_path: Path) -> None:
    async with secured(tmp_path) as (door, issuer):
        bearer = door.bearer()
        assert (await ask(door, issuer.context(), {**bearer, "Host": "node.example"}))[0] == 200
        assert (await ask(door, issuer.context(), {**bearer, "Host": "attacker.example"}))[0] == 421


async def test_renewed_certificate_is_shown_when_its_files_have_changed(tmp_path: Path) -> None:
    async with secured(tmp_path) as (door, issuer):
        before = await _shown(door, issuer)
        certificate, _ = issuer.issue("server")
        os.utime(certificate, ns=(7, 7))
        await door.client.server._look_around()
        assert await _shown(door, issuer) != before


async def _shown(door: Gate, issuer: Issuer) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=issuer.context(), server_hostname="localhost")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key"])
def test_settings_are_refused_when_half_of_a_certificate_is_missing(tmp_path: Path, missing: str) -> None:
    certificate, key = Issuer(tmp_path).issue("server")
    files = {"tls_certificate": certificate, "tls_key": key}
    del files[missing]
    with pytest.raises(InvalidConfig, match="both") as caught:
        server_tls(RpcSettings(listen="127.0.0.1:0", **files))
    assert caught.value.code == "rpc_tls_missing"


@pytest.mark.parametrize("broken", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_settings_are_refused_when_a_file_is_no_certificate(tmp_path: Path, broken: str) -> None:
    issuer = Issuer(tmp_path)
    certificate, key = issuer.issue("server")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": issuer.file}
    files[broken].write_text("nothing")
    with pytest.raises(InvalidConfig, match=r"rpc\.tls_") as caught:
        server_tls(RpcSettings(listen="127.0.0.1:0", **files))
    assert caught.value.code == "rpc_tls_invalid"


def test_certificate_is_nobodys_when_it_has_several_names() -> None:
    assert common_name({"subject": ((("commonName", "a"),),)}) == "a"
    assert common_name({"subject": ((("commonName", "a"),), (("commonName", "b"),))}) == ""
    assert common_name(None) == ""
