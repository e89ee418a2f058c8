"""``Transport`` over libp2p (TCP, Noise, Yamux), on trio in guest mode on the running asyncio loop.

Importing this module imports libp2p, which takes more than half a second: only the daemon does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import structlog

from ledger.errors import LocalMisuse, TransportFailed
from p2p.libp2p_host import Overlay
from p2p.libp2p_link import REASON_OVERLAY_DIED, Libp2pLink
from p2p.libp2p_patches import prepare_library
from p2p.peering import REASON_SLOW, REASON_STOPPED, Peering
from p2p.trio_guest import run_in_trio
from p2p.watchdog import RebuildPolicy, keep_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ledger.errors import PeerMisbehaved
    from p2p.bounds import TransportBounds
    from p2p.framing import Lane
    from p2p.identity import TransportKey
    from p2p.transport import Channel, Handler, PeerAddress, PeerId

_log = structlog.get_logger(__name__)


class Libp2pTransport(Peering):
    """The overlay of a real node.

    Args:
        key: our identity.
        network: distinguishes networks, such as the hex of the genesis hash; part of the protocol ids.
        listen_host: IP address to listen on.
        listen_port: port; 0 takes a free one, see ``listen_address``.
        bounds: every limit.
        vote_max_bytes: largest payload on the VOTE channel.
        max_bytes_by_kind: tighter caps of single kinds.
    """

    def __init__(
        self,
        key: TransportKey,
        *,
        network: str,
        listen_host: str,
        listen_port: int,
        bounds: TransportBounds | None = None,
        vote_max_bytes: int = 1 << 20,
        max_bytes_by_kind: Mapping[tuple[Channel, int], int] | None = None,
    ) -> None:
        super().__init__(key.peer_id, bounds=bounds, vote_max_bytes=vote_max_bytes, max_bytes_by_kind=max_bytes_by_kind)
        prepare_library(self._bounds.window_max_bytes)
        self._key = key
        self._network = network
        self._listen = (listen_host, listen_port)
        self._targets: dict[PeerId, tuple[PeerAddress, ...]] = {}
        self._overlay: Overlay | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._listening: asyncio.Future[None] | None = None
        self._stopping = False

    @property
    def listen_address(self) -> tuple[str, int]:
        """Where we listen; the port is the real one after ``start``."""
        return self._listen

    # --- Transport --------------------------------------------------------------------------------------------

    def set_allowed(self, allowed: Callable[[PeerId], bool]) -> None:
        """See ``Transport.set_allowed``."""
        super().set_allowed(allowed)
        if self._overlay is not None:
            self._overlay.wake_all()

    def set_addresses(self, addresses: Iterable[PeerAddress]) -> None:
        """See ``Transport.set_addresses``."""
        by_peer: defaultdict[PeerId, list[PeerAddress]] = defaultdict(list)
        for address in addresses:
            if address.peer_id != self._peer_id:
                by_peer[address.peer_id].append(address)
        self._targets = {peer: tuple(found) for peer, found in by_peer.items()}
        if self._overlay is not None:
            self._overlay.set_targets(self._targets)

    async def start(self, handler: Handler) -> None:
        """See ``Transport.start``."""
        if self._supervisor is not None:
            raise LocalMisuse("a transport is started once")
        self._handler = handler
        loop = asyncio.get_running_loop()
        self._listening = loop.create_future()
        policy = RebuildPolicy(self._bounds, self._clock)
        self._supervisor = loop.create_task(
            keep_alive(self._run_overlay, policy, self._count_rebuild, node=self._peer_id), name="p2p-watchdog"
        )
        try:
            await asyncio.wait((self._listening, self._supervisor), return_when=asyncio.FIRST_COMPLETED)
            self._listening.result()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """See ``Transport.stop``; waits up to ``drain_timeout_s`` for the queues to empty."""
        if self._supervisor is None or self._stopping:
            return
        await self._drain()
        self._stopping = True
        for link in list(self._links.values()):
            link.close(REASON_STOPPED)
        self._supervisor.cancel()
        await asyncio.wait((self._supervisor,))
        if not self._supervisor.cancelled():
            # Looked at, so that asyncio does not complain: ``wait_failed`` is where it is raised.
            self._supervisor.exception()
        await self._requests.stop()

    async def wait_failed(self) -> None:
        """See ``Transport.wait_failed``."""
        if self._supervisor is None:
            raise LocalMisuse("a transport is waited for after its start")
        await asyncio.wait((self._supervisor,))
        if not self._supervisor.cancelled() and (error := self._supervisor.exception()) is not None:
            raise error

    # --- OverlayOwner -----------------------------------------------------------------------------------------

    def is_admissible(self, peer: PeerId) -> bool:
        """Whether a connection with ``peer`` may be made now."""
        return self._is_admissible(peer)

    def link_of(self, peer: PeerId) -> Libp2pLink | None:
        """Give the link that is in use."""
        link = self._links.get(peer)
        assert link is None or isinstance(link, Libp2pLink)
        return link

    def take(self, link: Libp2pLink) -> None:
        """Take a link into use."""
        self._link_up(link)

    def drop(self, link: Libp2pLink) -> None:
        """Take a link out of use, if it is the one in use."""
        self._link_down(link)

    def is_full(self) -> bool:
        """Whether there are as many peers as there may be."""
        return len(self._links) >= self._bounds.peers_max

    def cap(self, lane: Lane, kind: int) -> int:
        """Give the largest payload of a frame."""
        return self._caps[lane][kind]

    def on_frames(self, link: Libp2pLink, lane: Lane, frames: list[tuple[int, bytes]]) -> None:
        """Frames arrived."""
        self._receive(link, lane, frames)

    def on_misbehaved(self, link: Libp2pLink, error: PeerMisbehaved) -> None:
        """A peer misbehaved."""
        self._misbehaved(link, error)

    def on_slow(self, link: Libp2pLink, lane: Lane) -> None:
        """A peer does not take what is written to it."""
        self._counters.slow_peer_drops += 1
        _log.warning("slow_peer_dropped", own_peer=self._peer_id, peer=link.peer, lane=lane.name.lower())
        link.close(REASON_SLOW)

    def on_listening(self, host: str, port: int) -> None:
        """The overlay accepts connections."""
        # A rebuilt overlay must listen where peers look for it.
        self._listen = (host, port)
        _log.info("overlay_listening", own_peer=self._peer_id, host=host, port=port)
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(None)

    # --- inside -----------------------------------------------------------------------------------------------

    async def _run_overlay(self) -> None:
        """Build an overlay and run it to its end, which takes every link with it."""
        try:
            await run_in_trio(self._overlay_main)
        except TransportFailed as error:
            # An address that cannot be used at the first start is a mistake of the operator, not a failure to retry.
            if self._listening is not None and not self._listening.done():
                self._listening.set_exception(error)
                return
            raise
        finally:
            self._overlay = None
            for link in list(self._links.values()):
                link.close(REASON_STOPPED if self._stopping else REASON_OVERLAY_DIED)
                self._link_down(link)

    async def _overlay_main(self) -> None:
        overlay = Overlay(
            self,
            key=self._key,
            network=self._network,
            listen=self._listen,
            bounds=self._bounds,
            counters=self._counters,
        )
        self._overlay = overlay
        await overlay.run(self._targets)

    def _count_rebuild(self) -> None:
        self._counters.rebuilds += 1

    async def _drain(self) -> None:
        deadline = self._clock() + self._bounds.drain_timeout_s
        # Polled: an event would have to be checked for on every write.
        while self._clock() < deadline and any(self.stats().queue_bytes.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
