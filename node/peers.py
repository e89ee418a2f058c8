"""The overlay's events, handed to whom they concern; and what this node says to its peers.

Implements ``p2p.transport.Handler``. Each inbound kind has one place here; nothing else of the daemon sees the
transport.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from ledger.encoding import encode
from ledger.errors import InvalidInput, NotFound, PeerUnavailable, StorageFault
from ledger.types import Height, PublicKey, TxRef
from node.chain import Chain, Committed
from node.clock import monotonic_ms, wall_ms
from node.data.snapshot_serving import SnapshotShelf
from node.driver import Driver
from node.fetch import Fetcher
from node.intake import Intake
from node.membership import Membership
from node.sync import Synchroniser
from node.wire import (
    MAX_SYNC_REPLY_BYTES,
    Announcement,
    BulkKind,
    RequestKind,
    ServiceRequest,
    Status,
    TimeTold,
    Topic,
    VoteKindOnWire,
    announcement_codec,
    blocks_wanted_codec,
    decode_refs,
    encode_batch,
    receipts_wanted_codec,
    service_request_codec,
    status_codec,
)
from p2p.gossip import Gossip, Verdict
from p2p.transport import Channel, PeerId, Transport

log = structlog.get_logger(__name__)

MAX_REPEATS_PER_S: Final = 64
"""Repeated votes of others that are sent on in a second."""
ServiceCall = Callable[[str, str, bytes], Awaitable[bytes]]
"""(service, organisation that asks, payload) → answer."""


class Peers:
    """See the module."""

    def __init__(
        self,
        transport: Transport,
        gossip: Gossip,
        *,
        chain: Chain,
        membership: Membership,
        intake: Intake,
        fetcher: Fetcher,
        synchroniser: Synchroniser,
    ) -> None:
        self._transport = transport
        self._gossip = gossip
        self._chain = chain
        self._membership = membership
        self._intake = intake
        self._fetcher = fetcher
        self._synchroniser = synchroniser
        self._driver: Driver | None = None
        self._service: ServiceCall | None = None
        self._snapshots: SnapshotShelf | None = None
        self._repeat_second = 0
        self._repeated: set[bytes] = set()
        gossip.subscribe(Topic.TRANSACTIONS, Channel.BULK, intake.on_batch)
        gossip.subscribe(Topic.VOTES, Channel.VOTE, self._on_vote)
        gossip.subscribe(Topic.BLOCKS, Channel.BULK, self._on_announcement)

    def attach(self, driver: Driver, service: ServiceCall, snapshots: SnapshotShelf | None = None) -> None:
        """Says where votes, service calls and joining nodes' requests go; called once, before the transport starts."""
        self._driver = driver
        self._service = service
        self._snapshots = snapshots

    # --- what we say ------------------------------------------------------------------------------------------------

    def broadcast_vote(self, payload: bytes, *, repeat: bool) -> None:
        """A consensus message to everybody, over gossip; a repeat goes past gossip's memory to all peers."""
        if repeat:
            self._repeat(payload, None)
        else:
            self._gossip.publish(Topic.VOTES, payload)

    def _repeat(self, payload: bytes, source: PeerId | None) -> None:
        for peer in self._transport.peers():
            if peer != source:
                self._transport.send(peer, Channel.VOTE, VoteKindOnWire.DIRECT, payload)

    def _on_direct_vote(self, peer: PeerId, payload: bytes) -> None:
        """A repeated vote: sent on where validators are not all connected to each other, within a budget a second."""
        assert self._driver is not None
        if self._driver.votes.on_vote(payload) is not Verdict.ACCEPT:
            return
        if not self._gossip.knows(Topic.VOTES, payload):
            self._gossip.publish(Topic.VOTES, payload)
        elif len(self._transport.peers()) + 1 < len(self._chain.validators) and self._may_repeat(payload):
            self._repeat(payload, peer)

    def _may_repeat(self, payload: bytes) -> bool:
        second = monotonic_ms() // 1000
        if second != self._repeat_second:
            self._repeat_second = second
            self._repeated.clear()
        if payload in self._repeated or len(self._repeated) >= MAX_REPEATS_PER_S:
            return False
        self._repeated.add(payload)
        return True

    def send_vote(self, to: PublicKey, payload: bytes) -> None:
        """A consensus message to one validator; over gossip when there is no direct connection."""
        peer = self.peer_of(to)
        if peer is None:
            self._gossip.publish(Topic.VOTES, payload)
        else:
            self._transport.send(peer, Channel.VOTE, VoteKindOnWire.DIRECT, payload)

    def send_latest(self, to: PublicKey, payload: bytes) -> None:
        """Our memory of a validator's latest message, to that validator."""
        peer = self.peer_of(to)
        if peer is not None:
            self._transport.send(peer, Channel.VOTE, VoteKindOnWire.LATEST, payload)

    def send_decided(self, to: PublicKey, height: Height) -> None:
        """A decided block to a straggler; one without direct connection hears our status and asks."""
        peer = self.peer_of(to)
        if peer is None:
            return
        try:
            decided = self._chain.store.decided_block(height)
        except (NotFound, StorageFault) as error:
            # Pruned, or damaged and being mended: the straggler asks those who have it.
            log.info("decided_block_not_sent", height=height, code=error.code)
            self.send_status(peer)
        else:
            self._transport.send(peer, Channel.BULK, BulkKind.DECIDED, decided)

    def announce(self, committed: Committed, *, made_here: bool) -> None:
        """Tells peers of a new block: its proposer sends it out for those who do not vote, everybody its new height."""
        if made_here:
            announcement = Announcement(committed.candidate.block, committed.certificate)
            self._gossip.publish(Topic.BLOCKS, encode(announcement))
        self.send_status()

    def send_status(self, to: PeerId | None = None) -> None:
        """Our tip, to one peer or to all."""
        tip = self._chain.tip
        payload = encode(Status(tip.height, tip.block_id))
        for peer in self._transport.peers() if to is None else (to,):
            self._transport.send(peer, Channel.BULK, BulkKind.STATUS, payload)

    # --- what the fetcher and the synchroniser need -----------------------------------------------------------------

    def peer_of(self, key: PublicKey) -> PeerId | None:
        """The connected peer of a validator, or None."""
        peer = self._membership.peer_of(key)
        return peer if peer is not None and peer in self._transport.peers() else None

    def connected(self) -> Sequence[PeerId]:
        """All connected peers."""
        return self._transport.peers()

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        """See ``p2p.transport.Transport.request``."""
        return await self._transport.request(peer, kind, payload, timeout_s)

    def penalise(self, peer: PeerId, reason: str) -> None:
        """Disconnects a peer that sent what no honest peer sends."""
        log.warning("peer_penalised", peer=peer, reason=reason)
        self._transport.disconnect(peer, reason)

    # --- p2p.transport.Handler --------------------------------------------------------------------------------------

    def on_connected(self, peer: PeerId) -> None:
        """See ``Handler``."""
        log.info("peer_connected", peer=peer)
        self._gossip.on_connected(peer)
        self.send_status(peer)
        node = self._membership.node(peer)
        if node is not None and self._driver is not None and node.key in self._chain.validators:
            self._driver.votes.on_validator_connected(node.key)

    def on_disconnected(self, peer: PeerId, reason: str) -> None:
        """See ``Handler``."""
        log.info("peer_disconnected", peer=peer, reason=reason)
        self._gossip.on_disconnected(peer)
        self._synchroniser.on_disconnected(peer)

    def on_message(self, peer: PeerId, channel: Channel, kind: int, payload: bytes) -> None:
        """See ``Handler``."""
        if self._gossip.handle(peer, channel, kind, payload):
            return
        driver = self._driver
        if driver is None:
            return
        try:
            if channel is Channel.VOTE and kind == VoteKindOnWire.DIRECT:
                self._on_direct_vote(peer, payload)
            elif channel is Channel.VOTE and kind == VoteKindOnWire.LATEST:
                node = self._membership.node(peer)
                if node is not None and node.key in self._chain.validators:
                    driver.votes.on_latest(node.key, payload)
            elif channel is Channel.BULK and kind == BulkKind.STATUS:
                self._on_status(peer, status_codec.decode(payload))
            elif channel is Channel.BULK and kind == BulkKind.DECIDED:
                self._synchroniser.on_decided(peer, payload)
            else:
                self.penalise(peer, "message_kind_unknown")
        except InvalidInput as error:
            self.penalise(peer, error.code)

    def _on_status(self, peer: PeerId, status: Status) -> None:
        self._synchroniser.on_status(peer, status)
        node = self._membership.node(peer)
        if node is not None and self._driver is not None and node.key in self._chain.validators:
            self._driver.votes.on_claim(node.key, status.height)

    def _on_vote(self, peer: PeerId, payload: bytes) -> Verdict:
        assert self._driver is not None
        try:
            return self._driver.votes.on_vote(payload)
        except InvalidInput as error:
            log.warning("vote_rejected", peer=peer, code=error.code, why=error.message)
            return Verdict.REJECT

    def _on_announcement(self, peer: PeerId, payload: bytes) -> Verdict:
        try:
            return self._synchroniser.on_announcement(peer, announcement_codec.decode(payload))
        except InvalidInput as error:
            log.warning("announcement_rejected", peer=peer, code=error.code, why=error.message)
            return Verdict.REJECT

    async def on_request(self, peer: PeerId, kind: int, payload: bytes) -> bytes:
        """See ``Handler``."""
        if kind == RequestKind.BLOCKS:
            return self._serve_blocks(payload)
        if kind == RequestKind.TRANSACTIONS:
            return self._serve_transactions(payload)
        if kind == RequestKind.RECEIPTS:
            return encode_batch(self._chain.store.receipts(receipts_wanted_codec.decode(payload).height))
        if kind == RequestKind.SNAPSHOT and self._snapshots is not None:
            return await self._snapshots.serve(payload)
        if kind == RequestKind.BLOCK and self._driver is not None:
            return self._driver.votes.undecided_block(payload)
        if kind == RequestKind.SERVICE and self._service is not None:
            request = service_request_codec.decode(payload)
            node = self._membership.node(peer)
            if node is None:
                raise NotFound("no certificate names that peer")
            return await self._service(request.service, node.organisation, request.payload)
        if kind == RequestKind.TIME:
            return encode(TimeTold(wall_ms()))
        raise NotFound("unknown kind of request", code="request_kind_unknown")

    def _serve_blocks(self, payload: bytes) -> bytes:
        wanted = blocks_wanted_codec.decode(payload)
        found: list[bytes] = []
        size_bytes = 0
        last = min(wanted.from_height + wanted.count - 1, self._chain.tip.height)
        for height in range(wanted.from_height, last + 1):
            found.append(self._chain.store.decided_block(height))
            size_bytes += len(found[-1])
            if size_bytes >= MAX_SYNC_REPLY_BYTES:
                break
        return encode_batch(found)

    def _serve_transactions(self, payload: bytes) -> bytes:
        found: list[bytes] = []
        size_bytes = 0
        for ref in decode_refs(payload):
            transaction = self._fetcher.find(TxRef(ref))
            if transaction is not None:
                size_bytes += transaction.size_bytes
                if size_bytes > 2 * MAX_SYNC_REPLY_BYTES:
                    break
                found.append(transaction.wire)
        return encode_batch(found)

    # --- node.gateway.ServiceLink's way out -------------------------------------------------------------------------

    async def call_service(self, node: str, service: str, payload: bytes, timeout_s: float) -> bytes:
        """Asks a service of a connected node, named by peer id or organisation.

        Raises:
            RemoteFault: not connected, no answer in time, or refused.
        """
        names = [PeerId(node), *self._membership.peers_of_organisation(node)]
        peer = next((name for name in names if name in self._transport.peers()), None)
        if peer is None:
            raise PeerUnavailable(f"no node {node!r} is connected")
        request = encode(ServiceRequest(service, payload))
        return await self._transport.request(peer, RequestKind.SERVICE, request, timeout_s)
