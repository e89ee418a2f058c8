"""Peers that do not behave, and stock libp2p hosts: trio code, run beside the transports under test."""

from __future__ import annotations

import gc
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from multiaddr import Multiaddr

from p2p.framing import Lane
from p2p.libp2p_link import lane_protocol
from p2p.libp2p_stack import Stack, Wire
from p2p.libp2p_transport import Libp2pTransport
from p2p.trio_guest import run_in_trio
from tests.p2p.overlay_kit import NETWORK, QUICK, Node, key

YAMUX_HEADER = struct.Struct("!BBHII")


def listen_address(node: Node) -> tuple[str, int]:
    assert isinstance(node.transport, Libp2pTransport)
    return node.transport.listen_address


async def open_protocol(muxer: Yamux, protocol: str) -> YamuxStream:
    stream = await muxer.open_stream()
    await MultiselectClient().select_one_of([TProtocol(protocol)], MultiselectCommunicator(stream))
    return stream


class HostilePeer:
    """An authenticated connection whose maker may write whatever it likes."""

    def __init__(self, muxer: Yamux) -> None:
        self.muxer = muxer
        self.lanes: dict[Lane, YamuxStream] = {}

    async def open_lanes(self, *lanes: Lane) -> None:
        for lane in lanes or tuple(Lane):
            self.lanes[lane] = await open_protocol(self.muxer, lane_protocol(NETWORK, lane))

    async def write_raw(self, data: bytes) -> None:
        """Write below the multiplexer, inside the encryption."""
        await self.muxer.secured_conn.write(data)

    async def wait_closed(self) -> None:
        """Wait until the other side has closed the connection."""
        with trio.fail_after(8):
            await self.muxer.event_closed.wait()


@asynccontextmanager
async def hostile_connection(node: Node, number: int) -> AsyncIterator[HostilePeer]:
    stream = await trio.open_tcp_stream(*listen_address(node))
    wire = Wire(stream, QUICK)
    try:
        _, muxer = await Stack(key(number), lambda _: True, QUICK).upgrade_outbound(wire, node.peer_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxer.start)
            await muxer.event_started.wait()
            yield HostilePeer(muxer)
            nursery.cancel_scope.cancel()
    finally:
        wire.abort()


async def attack(node: Node, number: int, script: Callable[[HostilePeer], Awaitable[None]]) -> None:
    """Connect to a node as peer ``number`` and run a script; errors that closing the connection causes are expected."""

    async def job() -> None:
        async with hostile_connection(node, number) as peer:
            await script(peer)

    try:
        await run_in_trio(job)
    except Exception as error:
        if not all(_is_of_the_connection(leaf) for leaf in _leaves(error)):
            raise


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _is_of_the_connection(error: BaseException) -> bool:
    return type(error).__module__.startswith("libp2p.") or isinstance(error, (OSError, trio.BrokenResourceError))


async def with_stock_host(
    number: int, script: Callable[..., Awaitable[None]], *, security: str = "noise", muxer: str = "yamux"
) -> None:
    """Run ``script(host)`` with an unmodified libp2p host."""
    pair = create_new_key_pair(key(number).seed)
    security_options = {
        "noise": {NOISE_ID: NoiseTransport(pair, noise_privkey=create_new_x25519_key_pair().private_key)},
        "plaintext": {TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(pair)},
    }[security]
    muxer_options = {
        "yamux": {TProtocol(YAMUX_ID): Yamux},
        "mplex": {TProtocol(MPLEX_PROTOCOL_ID): Mplex},
    }[muxer]

    async def job() -> None:
        host = new_host(key_pair=pair, sec_opt=security_options, muxer_opt=muxer_options)
        async with host.run(listen_addrs=[]):
            await script(host)

    await run_in_trio(job)
    with warnings.catch_warnings():
        # The library forgets sockets of connections that it could not upgrade; they are not ours to report.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def stock_address(node: Node) -> PeerInfo:
    host, port = listen_address(node)
    return PeerInfo(ID.from_base58(node.peer_id), [Multiaddr(f"/ip4/{host}/tcp/{port}")])
