"""What is learned by dialling peers: who is there, who refuses, how far their clocks are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ledger.encoding import encode
from ledger.errors import PeerRefused
from node.clock import wall_ms
from node.surroundings.peer_checks import check_clock_told, check_peers, check_peers_told
from node.surroundings.peer_probe import PeerSeen, ask_all, clock_offset
from node.wire import RequestKind, TimeTold, time_codec
from p2p.transport import PeerAddress, PeerId
from tests.node.cluster import Cluster, running


class Told:
    """An overlay whose peers answer questions for the time."""

    def __init__(self, offsets: dict[str, int | None]) -> None:
        self.offsets = offsets

    def peers(self) -> tuple[str, ...]:
        return tuple(sorted(self.offsets))

    async def request(self, peer: str, kind: int, payload: bytes, timeout_s: float) -> bytes:
        del payload, timeout_s
        assert kind == RequestKind.TIME
        offset = self.offsets[peer]
        if offset is None:
            raise PeerRefused("an older program", peer_code="request_kind_unknown")
        return encode(TimeTold(wall_ms() + offset))


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_peers_are_told_apart_when_they_answer_refuse_or_are_not_there():
    async with listening() as port:
        addresses = [
            PeerAddress(PeerId("there"), "127.0.0.1", port),
            PeerAddress(PeerId("refuses"), "127.0.0.1", port),
            PeerAddress(PeerId("gone"), "127.0.0.1", closed_port()),
        ]
        seen = await ask_all(Told({"there": 0}), asyncio.Condition(), addresses, 0.5)
    assert [(peer.open, peer.admitted) for peer in seen] == [(True, True), (True, False), (False, False)]
    codes = [finding.code for finding in check_peers(seen, needed=True)]
    assert codes == ["peer.reachable", "peer.refuses", "peer.unreachable"]


async def test_clock_is_compared_with_the_median_of_the_peers():
    offsets = {"a": 2_000, "b": 2_100, "liar": -3_600_000, "old": None}
    async with listening() as port:
        addresses = [PeerAddress(PeerId(name), "127.0.0.1", port) for name in offsets]
        seen = await ask_all(Told(offsets), asyncio.Condition(), addresses, 5)
    found = clock_offset(seen)
    assert found is not None
    assert found[1] == 3
    # The peers are ahead, so that our own clock is behind them; one liar among three does not move the median.
    assert abs(found[0] + 2_000) < 1_000


async def test_node_says_what_time_it_is_when_a_peer_asks():
    cluster = Cluster()
    async with running(cluster):
        asking, asked = cluster.core(0), cluster.core(1)
        before = wall_ms()
        answer = await asking.transport.request(asked.transport.peer_id, RequestKind.TIME, b"", 10)
        assert before <= time_codec.decode(answer).time_ms <= wall_ms()


@pytest.mark.parametrize(("needed", "severity"), [(True, "error"), (False, "warning")])
def test_nobody_there_is_an_error_only_when_the_node_can_do_nothing_without(needed, severity):
    seen = [PeerSeen(PeerAddress(PeerId("x"), "127.0.0.1", 1), open=False, admitted=False)]
    assert [finding.severity for finding in check_peers(seen, needed=needed)][-1] == severity


@pytest.mark.parametrize(
    ("offset", "severity"), [(0, "ok"), (499, "ok"), (-500, "warning"), (9_999, "warning"), (-10_000, "error")]
)
def test_clock_is_judged_by_the_chains_tolerance_when_the_node_runs(offset, severity):
    status = {"clock": {"offset_ms": offset}, "parameters": {"clock_tolerance_ms": 10_000}}
    assert [finding.severity for finding in check_clock_told(status)] == [severity]


def test_peers_that_are_configured_and_not_connected_are_named_when_the_node_runs():
    class P2p:
        addresses = (PeerAddress(PeerId("a"), "h", 1), PeerAddress(PeerId("b"), "h", 2))

    class Config:
        p2p = P2p()

    findings = list(check_peers_told({"peers": [{"peer_id": "a"}], "validators": [1, 2]}, Config()))
    assert [(finding.code, finding.data.get("peer")) for finding in findings] == [
        ("peer.unconnected", "b"), ("peers.connected", None),
    ]  # fmt: skip
    alone = list(check_peers_told({"peers": [], "validators": [1, 2]}, Config()))
    assert alone[-1].severity == "error"
