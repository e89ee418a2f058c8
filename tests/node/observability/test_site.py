"""The site: what it answers, to whom, and how much of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ledger.errors import InvalidConfig
from node.observability import site as module
from node.observability.health import Health
from node.observability.site import Site
from tests.node.cluster import Cluster, running
from tests.node.observability.watched import metrics_of, parse, source_of, sources_of, value

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@contextlib.asynccontextmanager
async def served(*, started: bool = True) -> AsyncIterator[tuple[str, Health, Site]]:
    async with running(Cluster(1)) as cluster:
        sources = sources_of(source_of(cluster.core(0)))
        health = Health(sources)
        health.started = started
        site = Site("127.0.0.1", 0, health, metrics_of(sources).exposition)
        await site.start()
        try:
            host, port = site.address
            yield f"http://{host}:{port}", health, site
        finally:
            await site.stop()


async def get(url: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as reply:
        return reply.status, reply.headers["Content-Type"], await reply.text()


async def test_metrics_come_in_both_formats_when_the_client_says_which() -> None:
    async with served() as (url, _, _):
        status, kind, text = await get(url + "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert value(parse(text), "build_info", node="node0") == 1
        status, kind, text = await get(url + "/metrics", Accept=OPENMETRICS)
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")


async def test_health_answers_200_and_an_empty_list_when_nothing_is_wrong() -> None:
    async with served() as (url, _, _):
        for path in ("/livez", "/readyz"):
            assert await get(url + path) == (200, "application/json; charset=utf-8", "[]\n")


async def test_readyz_answers_503_and_the_reasons_when_it_is_not_ready() -> None:
    async with served(started=False) as (url, health, _):
        health.draining = True
        async with aiohttp.ClientSession() as session, session.get(url + "/readyz") as reply:
            assert reply.status == 503
            assert reply.headers["Cache-Control"] == "no-store"
            found = await reply.json()
        assert [reason["code"] for reason in found] == ["draining", "starting"]
        assert all(set(reason) == {"code", "words", "chain"} for reason in found)
        assert (await get(url + "/livez"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_method_is_refused_when_it_is_not_reading(method: str) -> None:
    async with (
        served() as (url, _, _),
        aiohttp.ClientSession() as session,
        session.request(method, url + "/metrics", data=b"x") as reply,
    ):
        assert reply.status == 405


async def test_other_paths_are_not_there_when_somebody_looks_around() -> None:
    async with served() as (url, _, _), aiohttp.ClientSession() as session:
        for path in ("/", "/metrics/", "/debug", "/../etc/passwd"):
            async with session.get(url + path) as reply:
                assert reply.status == 404


async def test_connections_beyond_the_bound_are_closed_when_somebody_opens_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 4)
    async with served() as (url, _, site):
        held = [await asyncio.open_connection(*site.address) for _ in range(4)]
        async with asyncio.timeout(60):
            while len(site._runner.server.connections) < 4:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*site.address)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.read() == b""
        writer.close()
        for _, other in held:
            other.close()
        async with asyncio.timeout(60):
            while site._runner.server.connections:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        assert (await get(url + "/livez"))[0] == 200


async def test_connection_is_closed_when_it_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_S", 0.1)
    async with served() as (url, _, site):
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(b"GET /metr")  # and then nothing more
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        assert (await get(url + "/livez"))[0] == 200


async def test_error_names_the_key_when_the_address_is_taken() -> None:
    async with served() as (_, health, site):
        with pytest.raises(InvalidConfig) as caught:
            await Site(*site.address, health, lambda _: (b"", "text/plain")).start()
        assert (caught.value.code, caught.value.data["key"]) == ("metrics_listen", "metrics.listen")
