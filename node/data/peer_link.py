"""The overlay before the node runs: requests to peers and nothing else, while data is mended or joined.

Whoever the genesis file admits or the configuration names may be asked; what they answer is verified by whoever asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType

from contracts.builtin import build_rules, genesis_block
from ledger.errors import NotFound
from ledger.genesis import Genesis
from ledger.state import StoredState
from ledger.store import Kind
from ledger.store_memory import MemoryStore
from node.membership import Membership
from node.wire import RequestKind
from p2p.transport import Channel, PeerAddress, PeerId, Transport


class PeerLink:
    """See the module. Use it as an async context manager.

    Args:
        genesis: of the chain.
        transport: not started yet; stopped at the end.
        addresses: whom to connect to.
    """

    def __init__(self, genesis: Genesis, transport: Transport, addresses: Iterable[PeerAddress]) -> None:
        self._transport = transport
        self._addresses = tuple(addresses)
        self._connected = asyncio.Event()
        rules = build_rules(genesis)
        _, result = genesis_block(genesis, rules, StoredState(MemoryStore()))
        store = MemoryStore()
        store.write({Kind.STATE + key: value for key, value in result.writes.items()})
        bootstrap = [address.peer_id for address in self._addresses]
        self._membership = Membership(rules, frozenset(genesis.validator_set().keys), bootstrap)
        self._membership.refresh(StoredState(store), genesis.created_ms)

    async def __aenter__(self) -> PeerLink:
        self._transport.set_allowed(self._membership.allowed)
        self._transport.set_addresses(self._addresses)
        await self._transport.start(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.stop()

    async def wait_connected(self, timeout_s: float) -> bool:
        """True as soon as some peer is connected; False after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            return False
        return True

    def connected(self) -> Sequence[PeerId]:
        """Connected peers."""
        return self._transport.peers()

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        """See ``p2p.transport.Transport.request``."""
        return await self._transport.request(peer, kind, payload, timeout_s)

    def penalise(self, peer: PeerId, reason: str) -> None:
        """Disconnects a peer that sent what no honest peer sends."""
        self._transport.disconnect(peer, reason)

    # --- p2p.transport.Handler: this node has nothing to say yet ------------------------------------------------------

    def on_connected(self, peer: PeerId) -> None:
        """See ``Handler``."""
        del peer
        self._connected.set()

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        """See ``Handler``."""

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        """See ``Handler``; the node hears it again when it runs."""

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        """See ``Handler``."""
        del peer, kind, payload
        raise NotFound("this node is getting its data", code="joining")
