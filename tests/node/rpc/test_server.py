"""The server itself: peers of the Unix socket, what logs say, what is counted, failing accepts."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from node.rpc import listening
from node.rpc.access import Access
from node.rpc.method import Scope
from node.rpc.settings import RpcSettings, settings_of
from tests.node.rpc.gate import Gate, gate


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Gate]:
    async with gate(tmp_path) as made:
        yield made


# --- peers of the Unix socket -----------------------------------------------------------------------------------------


class Peer:
    """A process at the other end, as the kernel describes it."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        self._credentials = struct.pack("3i", 1, uid, gid)
        self._groups = struct.pack(f"{len(groups)}I", *groups)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, size > 0) == (socket.SOL_SOCKET, True)
        return self._credentials if option == socket.SO_PEERCRED else self._groups


def test_socket_is_for_its_owner_group_and_root_when_a_process_connects(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    path.touch()
    own, group = os.geteuid(), path.lstat().st_gid
    access = Access(RpcSettings())
    stranger, other = own + 4_711, group + 4_711
    for peer, admitted in (
        (Peer(own, other), True),
        (Peer(0, other), True),
        (Peer(stranger, group), True),
        (Peer(stranger, other, (7, group)), True),
        (Peer(stranger, other, (7,)), False),
        (Peer(stranger, other), False),
    ):
        found = access.socket_peer(peer, path)
        assert (found is not None) is admitted
        if found is not None:
            assert (found.client.scope, found.client.address) == (Scope.ADMIN, "unix")


async def test_stranger_is_refused_when_the_sockets_mode_was_loosened(
    door: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Access, "socket_peer", lambda *_: None)
    status, body = await door.client.post('{"jsonrpc":"2.0","id":1,"method":"chain.info"}')
    assert (status, b"user and group" in body) == (403, True)


# --- logs and counts --------------------------------------------------------------------------------------------------


async def test_log_names_the_request_and_the_client_and_no_secret_when_a_method_breaks(door: Gate) -> None:
    seen: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        params = {"service": "broken", "payload": "5ec7e7"}
        _, answer, headers = await door.ask("service.call", params, **{"X-Request-Id": "order-7"})
    finally:
        structlog.configure(processors=before)
    line = next(line for line in seen if line["event"] == "rpc_failed")
    assert (line["request_id"], line["client"], line["method"]) == ("order-7", "token:admin", "service.call")
    assert answer["error"]["data"]["request_id"] == headers["X-Request-Id"] == "order-7"
    everything = repr([{key: value for key, value in line.items() if key != "exc_info"} for line in seen])
    assert "5ec7e7" not in everything
    assert door.tokens[Scope.ADMIN] not in everything


async def test_calls_refusals_and_connections_are_counted_when_they_come(door: Gate) -> None:
    meter = door.client.server._meter
    await door.ask("chain.info")
    await door.ask("no.such.method")
    await door.ask("block.get", {"height": 99})
    await door.ask("chain.info", Host="attacker.example")
    assert meter.requests[("chain.info", "ok")] == 1
    assert meter.requests[("other", "rpc_method_unknown")] == 1
    assert meter.requests[("block.get", "not_found")] == 1
    assert meter.refused == {"host_foreign": 1}
    async with door.websocket() as opened:
        await opened.send_str("{}")
        await opened.receive()
        await door.client.result("chain.info")
        counted = meter.count_connections()
        assert (counted["unix"], counted["websocket"], counted["tcp"] >= 1) == (1, 1, True)


# --- accepting --------------------------------------------------------------------------------------------------------


async def test_server_goes_on_when_the_system_refused_to_accept_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ACCEPT_PAUSE_S", 0.0)
    loop = asyncio.get_running_loop()
    real, failures = loop.sock_accept, [OSError(24, "Too many open files")] * 3

    async def accept(listening_socket: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return await real(listening_socket)

    monkeypatch.setattr(loop, "sock_accept", accept)
    async with gate(tmp_path) as door:
        assert (await door.ask("chain.info"))[0] == 200
    assert failures == []


async def test_nothing_is_left_open_when_the_server_has_stopped(tmp_path: Path) -> None:
    async with gate(tmp_path) as door:
        port = door.port
        await door.ask("chain.info")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert not (tmp_path / "rpc.sock").exists()


def test_files_are_found_from_the_home_when_the_configuration_names_them(tmp_path: Path) -> None:
    section = RpcSettings(listen="127.0.0.1:7400", max_batch=7)
    values = {name: getattr(section, name) for name in section.__slots__}
    configured = type("Section", (), {**values, "tokens": "keys/t.json", "tls_key": "", "tls_certificate": "/a/b.pem"})
    found = settings_of(configured, tmp_path)
    assert (found.tokens, found.tls_key) == (tmp_path / "keys/t.json", None)
    assert (found.tls_certificate, found.max_batch) == (Path("/a/b.pem"), 7)
