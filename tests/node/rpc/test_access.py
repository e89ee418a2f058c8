"""Who comes in over TCP, and from where: tokens, scopes, web pages, hosts."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.errors import InvalidConfig
from node.rpc.access import Access, is_loopback
from node.rpc.limits import GUESSES_AT_ONCE
from node.rpc.method import Scope
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.rpc.tokens import revoke_token
from tests.node.rpc.gate import JSON, Gate, code_of, gate

CALL = '{"jsonrpc":"2.0","id":1,"method":"chain.info"}'


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gate(tmp_path) as made:
        yield made


# --- tokens and scopes ------------------------------------------------------------------------------------------------


async def test_token_comes_in_when_it_is_known(door: Gate) -> None:
    status, answer, _ = await door.ask("chain.info", scope=Scope.READ)
    assert (status, answer["result"]["height"]) == (200, 0)


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic dXNlcjpwYXNz",
        "Bearer tg1_0000000000000000_x",
        "Bearer " + "9" * 5_000,
    ],
    ids=range(7),
)
async def test_client_is_refused_when_it_shows_no_known_token(door: Gate, shown: str) -> None:
    status, answer, headers = await door.post(CALL, {**JSON, "Authorization": shown})
    assert (status, code_of(answer)) == (401, "unauthenticated")
    assert headers["WWW-Authenticate"] == "Bearer"


async def test_token_is_refused_when_one_letter_is_another(door: Gate) -> None:
    token = door.tokens[Scope.ADMIN]
    for place in (5, len(token) - 1):
        wrong = token[:place] + ("a" if token[place] != "a" else "b") + token[place + 1 :]
        status, _, _ = await door.post(CALL, {**JSON, "Authorization": f"Bearer {wrong}"})
        assert status == 401


async def test_guessing_is_slowed_down_and_the_right_token_still_comes_in_when_somebody_guesses(door: Gate) -> None:
    answers = [await door.post(CALL, {**JSON, "Authorization": "Bearer no"}) for _ in range(GUESSES_AT_ONCE + 5)]
    assert [status for status, _, _ in answers][:GUESSES_AT_ONCE] == [401] * GUESSES_AT_ONCE
    late = [(status, "Retry-After" in headers) for status, _, headers in answers[GUESSES_AT_ONCE:]]
    assert (429, True) in late
    assert (await door.ask("chain.info"))[0] == 200


@pytest.mark.parametrize(
    ("method", "needed"),
    [("chain.info", Scope.READ), ("tx.submit", Scope.SUBMIT), ("service.call", Scope.OFFICER)],
)
@pytest.mark.parametrize("scope", list(Scope))
async def test_scope_decides_when_a_method_is_called(door: Gate, method: str, needed: Scope, scope: Scope) -> None:
    params = {"tx.submit": {"transaction": "00"}, "service.call": {"service": "services", "payload": ""}}
    status, answer, _ = await door.ask(method, params.get(method), scope=scope)
    refused = "error" in answer and code_of(answer) == "scope_insufficient"
    assert (status, refused) == (200, scope < needed)
    if refused:
        data = answer["error"]["data"]
        assert (data["needed"], data["granted"]) == (needed.word, scope.word)


async def test_bulk_submission_needs_its_scope_when_it_comes_over_tcp(door: Gate) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    transaction = door.client.node.pay()
    body = len(transaction.wire).to_bytes(4, "big") + transaction.wire
    status, answer, _ = await door.post(body, {**kind, **door.bearer(Scope.READ)}, "/v1/transactions")
    assert (status, code_of(answer)) == (403, "scope_insufficient")
    assert len(door.client.node.mempool) == 0
    status, _, _ = await door.post(body, {**kind, **door.bearer(Scope.SUBMIT)}, "/v1/transactions")
    assert (status, len(door.client.node.mempool)) == (200, 1)


async def test_token_is_refused_and_its_websocket_ends_when_it_is_revoked(door: Gate) -> None:
    async with door.websocket(Scope.READ) as socket:
        await socket.send_str(CALL)
        assert json.loads(await socket.receive_str())["result"]["height"] == 0
        revoke_token(door.file, Scope.READ.word)
        message = await socket.receive(30)
        assert (socket.closed, message.extra) == (True, "the token is not accepted any more")
    assert (await door.ask("chain.info", scope=Scope.READ))[0] == 401
    assert (await door.ask("chain.info", scope=Scope.SUBMIT))[0] == 200


async def test_nobody_comes_in_when_the_file_of_tokens_is_opened_to_others(door: Gate) -> None:
    door.file.chmod(0o644)
    os.utime(door.file, ns=(1, 1))
    await door.client.server._look_around()
    assert (await door.ask("chain.info"))[0] == 401
    assert (await door.client.result("chain.info"))["height"] == 0


async def test_server_does_not_start_when_its_file_of_tokens_is_open_to_others(tmp_path: Path) -> None:
    async with gate(tmp_path) as door:
        door.file.chmod(0o640)
        with pytest.raises(InvalidConfig, match="chmod 600") as caught:
            Access(door.client.server.settings)
        assert caught.value.code == "tokens_invalid"


# --- web pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:7400", "127.0.0.1.attacker.example", "", "[::2]"]
)
async def test_request_is_refused_when_a_page_points_its_own_name_here(door: Gate, host: str) -> None:
    status, answer, _ = await door.ask("chain.info", Host=host)
    assert (status, code_of(answer)) == (421, "host_foreign")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "LOCALHOST:7400", "[::1]:7400"])
async def test_request_is_answered_when_it_goes_to_loopback_by_name(door: Gate, host: str) -> None:
    assert (await door.ask("chain.info", Host=host))[0] == 200


async def test_further_names_are_answered_when_they_are_configured(tmp_path: Path) -> None:
    async with gate(tmp_path, allowed_hosts=("node.example",)) as door:
        assert (await door.ask("chain.info", Host="node.example:443"))[0] == 200
        assert (await door.ask("chain.info", Host="other.example"))[0] == 421


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://localhost:3000"])
async def test_page_is_refused_when_its_origin_is_foreign(door: Gate, origin: str) -> None:
    status, answer, headers = await door.ask("chain.info", Origin=origin)
    assert (status, code_of(answer)) == (403, "origin_foreign")
    assert "Access-Control-Allow-Origin" not in headers
    async with door.client.session.post("http://node/", data=CALL, headers={"Origin": origin}) as reply:
        assert reply.status == 403
    request = (
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
    )
    assert b" 403 " in (await door.raw(f"{request}Connection: close\r\n\r\n".encode())).split(b"\r\n")[0]


async def test_page_is_answered_and_its_browser_told_so_when_its_origin_is_configured(tmp_path: Path) -> None:
    page = "https://desk.example"
    async with gate(tmp_path, allowed_origins=(page,)) as door:
        status, _, headers = await door.ask("chain.info", Origin=page)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, page)
        async with door.session.options(door.url + "/", headers={"Origin": page}) as reply:
            assert reply.status == 204
            assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
        assert (await door.ask("chain.info", Origin="https://attacker.example"))[0] == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_body_is_refused_when_a_page_could_post_it_unasked(door: Gate, kind: str) -> None:
    status, answer, _ = await door.post(CALL.encode(), {**door.bearer(), "Content-Type": kind})
    assert (status, code_of(answer)) == (415, "content_type_wrong")
    status, _, _ = await door.post(b"", {**door.bearer(), "Content-Type": kind}, "/v1/transactions")
    assert status == 415


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"])
async def test_verb_is_refused_with_words_when_it_is_not_post(door: Gate, verb: str) -> None:
    async with door.session.request(verb, door.url + "/", headers=door.bearer()) as reply:
        assert reply.status == 405
        if verb != "HEAD":
            assert "POST" in (await reply.json())["error"]["message"]


# --- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]", "node.example"])
def test_network_address_is_refused_when_there_is_no_tls(tmp_path: Path, host: str) -> None:
    settings = RpcSettings(listen=f"{host}:7400", tokens=tmp_path / "none.json")
    with pytest.raises(InvalidConfig, match="tls_certificate") as caught:
        RpcServer([], None, None, tmp_path / "rpc.sock", settings)  # type: ignore[arg-type]
    assert caught.value.code == "rpc_tls_missing"


def test_loopback_is_known_when_addresses_are_looked_at() -> None:
    assert all(is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "10.0.0.1", "localhost.example"))


async def test_server_says_which_address_when_it_is_taken(door: Gate, tmp_path: Path) -> None:
    taken = RpcSettings(listen=f"127.0.0.1:{door.port}", tokens=door.file)
    other = RpcServer([], None, None, tmp_path / "other.sock", taken)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match=str(door.port)):
        await other.start()
    await other.stop()
    assert not (tmp_path / "other.sock").exists()


@pytest.mark.parametrize("entry", ["platform", "=read", "platform=", "platform=root"])
def test_scopes_of_certificates_are_refused_when_they_have_another_form(entry: str) -> None:
    with pytest.raises(InvalidConfig, match=r"rpc\.client_scopes"):
        Access(RpcSettings(client_scopes=(entry,)))
