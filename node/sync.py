"""Block sync: a node that is behind fetches decided blocks, and believes nothing but certificates.

Each block is imported only with the right parent, a certificate of that height's validators, and our own execution
giving the same roots (DESIGN.md 3). A claimed height only makes us ask.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from consensus.verified import VerifiedBlock
from consensus.verify import verify_block
from contracts.validators.records import AHEAD
from ledger.block import Block, DecidedBlock, block_id, decided_block_codec, split_refs
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.encoding import encode
from ledger.errors import InvalidBlock, InvalidInput, RemoteFault, StorageFault
from ledger.transaction import Transaction
from ledger.types import Hash32
from node.chain import Chain
from node.clock import monotonic_ms, monotonic_s
from node.data.snapshot_wire import Part, SnapshotWanted, offer_codec
from node.fetch import Fetcher, RequestSender
from node.wire import MAX_SYNC_BLOCKS, Announcement, BlocksWanted, RequestKind, Status, byte_list_codec
from p2p.gossip import Verdict
from p2p.transport import PeerId

log = structlog.get_logger(__name__)

PATIENCE_S: Final = 0.3
"""A peer one block ahead is normal while votes travel: only after this long do we ask for the block."""
REQUEST_TIMEOUT_S: Final = 10.0
STRANDED_S: Final = 10.0
"""So long a node that is behind waits for a peer that keeps the next blocks, before it says that there is none."""
HEDGE_S: Final = 0.5
"""A peer that has not answered after this long does not keep us from asking another."""
MAX_PENDING: Final = 64
"""Pushed blocks and announcements that wait to be looked at."""
FIRST_DISTRUST_S: Final = 1.0
"""For so long the claim of a peer does not count that did not show what it claims to have; doubles each time."""
MAX_DISTRUST_S: Final = 60.0
MAX_DISTRUSTED: Final = 1_024
"""Peers whose unkept claims are remembered; the oldest are forgotten first. Only admitted peers get in at all."""
MAX_LOST: Final = 256
"""Peers of whom it is remembered when they were lost."""


class Importer(Protocol):
    """Commits blocks decided elsewhere; ``node.driver.Driver`` is one."""

    async def import_block(
        self, block: VerifiedBlock, transactions: Sequence[Transaction], certificate: CommitCertificate
    ) -> None:
        """See ``Driver.import_block``."""
        ...


class Synchroniser:
    """See the module.

    Attributes:
        target_height: highest height that a connected peer claims.
        syncing: True while blocks are being fetched.
    """

    def __init__(self, chain: Chain, fetcher: Fetcher) -> None:
        self._chain = chain
        self._fetcher = fetcher
        self._importer: Importer | None = None
        self._peers: RequestSender | None = None
        self._claims: dict[PeerId, int] = {}
        self._heard_ms: dict[PeerId, int] = {}
        self._lost_ms: dict[PeerId, int] = {}
        self._pushed: asyncio.Queue[tuple[PeerId, DecidedBlock | Announcement]] = asyncio.Queue(MAX_PENDING)
        self._distrusted: dict[PeerId, tuple[int, float]] = {}
        # Lowest block that a peer keeps, as it said when it had not kept what we asked for.
        self._retained: dict[PeerId, int] = {}
        self._stranded_s: float | None = None
        self._claimed = asyncio.Event()
        self._arrived = asyncio.Event()
        # Highest announced block that is being imported, or will be: the one after it is taken as well.
        self._coming = 0
        # Highest block that is certainly decided and could not be imported from its announcement.
        self._decided = 0
        self.syncing = False

    def attach(self, importer: Importer, peers: RequestSender) -> None:
        """Says who commits and whom to ask; called once, before ``run``."""
        self._importer = importer
        self._peers = peers

    @property
    def target_height(self) -> int:
        """Highest height that a connected and credible peer claims to have; a hint, not a fact."""
        return max((height for peer, height in self._claims.items() if self._is_credible(peer)), default=0)

    @property
    def behind(self) -> bool:
        """True when some peer claims more than one block above our tip, or one was decided that has to be fetched."""
        tip = self._chain.tip.height
        return self.target_height > (tip if self._decided > tip else tip + 1)

    # --- what peers say ---------------------------------------------------------------------------------------------

    def on_status(self, peer: PeerId, status: Status) -> None:
        """A peer's claim."""
        self._claims[peer] = status.height
        self._heard_ms[peer] = monotonic_ms()
        if status.height > self._chain.tip.height:
            self._claimed.set()

    def on_disconnected(self, peer: PeerId) -> None:
        """A peer is gone, and its claim with it."""
        self._claims.pop(peer, None)
        self._heard_ms.pop(peer, None)
        self._retained.pop(peer, None)
        self._lost_ms.pop(peer, None)
        self._lost_ms[peer] = monotonic_ms()
        if len(self._lost_ms) > MAX_LOST:
            del self._lost_ms[next(iter(self._lost_ms))]

    def lost_ms(self, peer: PeerId) -> int | None:
        """When the connection to ``peer`` was last lost (monotonic ms), as far as that is remembered."""
        return self._lost_ms.get(peer)

    def last_status(self, peer: PeerId) -> tuple[int, int] | None:
        """The height that a connected peer claimed last, and when (monotonic ms); None where it said nothing yet."""
        heard = self._heard_ms.get(peer)
        return None if heard is None else (self._claims.get(peer, 0), heard)

    def on_decided(self, peer: PeerId, payload: bytes) -> None:
        """A whole block was pushed to us as a straggler.

        Raises:
            InvalidInput: it does not decode.
        """
        decided = decided_block_codec.decode(payload)
        if decided.header.height == self._chain.tip.height + 1 and not self._pushed.full():
            self._pushed.put_nowait((peer, decided))
            self._arrived.set()

    def on_announcement(self, peer: PeerId, announcement: Announcement) -> Verdict:
        """A decided block was announced; relayed once its certificate is known to be good.

        Raises:
            InvalidInput: certificate or refs are wrong.
        """
        header = announcement.block.header
        name = block_id(header)
        tip = self._chain.tip
        if header.height <= tip.height:
            known = name == tip.block_id if header.height == tip.height else False
            return Verdict.ACCEPT if known else Verdict.IGNORE
        if header.height > min(max(tip.height, self._coming) + 1, tip.height + AHEAD):  # the set of later ones is open
            self._claims[peer] = max(self._claims.get(peer, 0), header.height)
            self._claimed.set()
            return Verdict.LATER
        self._verify(announcement.certificate, name, header.height)
        self._verified(announcement.block)
        if not self._pushed.full():
            self._coming = max(self._coming, header.height)
            self._pushed.put_nowait((peer, announcement))
            self._arrived.set()
        return Verdict.ACCEPT

    def _verify(self, certificate: CommitCertificate, name: Hash32, height: int) -> None:
        if certificate.block_id != name or certificate.height != height:
            raise InvalidBlock("the certificate is of another block", code="certificate_invalid")
        seats = self._chain.seats_at(height)
        if certificate.epoch != seats.epoch.number:
            raise InvalidBlock("the certificate is of another epoch", code="certificate_invalid")
        verify_certificate(certificate, self._chain.chain_id, seats.validators)

    # --- the work ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Imports what is pushed and fetches what is missing, until cancelled.

        Each in a task of its own: a peer that does not answer delays no block that others push.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._import_pushed(), name="sync-pushed")
            group.create_task(self._fetch_missing(), name="sync-missing")

    async def _import_pushed(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while not self._pushed.empty():
                peer, pushed = self._pushed.get_nowait()
                await self._take_pushed(peer, pushed)
            self._coming = 0

    async def _fetch_missing(self) -> None:
        while True:
            await self._claimed.wait()
            self._claimed.clear()
            if self.behind:
                await self._catch_up()
                self._look_for_way_out()
            elif self.target_height > self._chain.tip.height:
                await self._wait_for_consensus()

    async def _wait_for_consensus(self) -> None:
        tip = self._chain.tip.height
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self.behind:
                    await self._claimed.wait()
                    self._claimed.clear()
        if self.behind or (self._chain.tip.height == tip and self.target_height > tip):
            await self._catch_up()

    async def _take_pushed(self, peer: PeerId, pushed: DecidedBlock | Announcement) -> None:
        try:
            if isinstance(pushed, DecidedBlock):
                await self._import(pushed)
                return
            header = pushed.block.header
            if header.height <= self._chain.tip.height:
                return
            transactions = None
            if header.height == self._chain.tip.height + 1:
                transactions = await self._fetcher.transactions(split_refs(pushed.block.refs), ())
            if transactions is None:
                # Or the block before it came to nothing. Its certificate is good: no vote is worth waiting for.
                self._claims[peer] = max(self._claims.get(peer, 0), header.height)
                self._decided = max(self._decided, header.height)
                self._claimed.set()
                return
            await self._execute(pushed.block, transactions, pushed.certificate)
        except InvalidInput as error:
            self._blame(peer, error)

    async def _catch_up(self) -> None:
        """Fetches page after page until nobody credible claims to be ahead.

        One peer is asked at a time, and another as soon as those do not answer within ``HEDGE_S``.
        """
        self.syncing = self.behind
        asked: dict[asyncio.Task[bytes], tuple[PeerId, int]] = {}
        try:
            while (height := self._chain.tip.height) < self.target_height:
                peer = self._next_to_ask({name for name, _ in asked.values()})
                if peer is not None:
                    asked[asyncio.create_task(self._ask(peer, height))] = (peer, height)
                elif not asked:
                    return  # nobody who is ahead keeps what comes next
                done, _ = await asyncio.wait(asked, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    await self._take_page(*asked.pop(task), task)
        finally:
            self.syncing = False
            for task in asked:
                task.add_done_callback(_forget)
                task.cancel()

    def _next_to_ask(self, asked: set[PeerId]) -> PeerId | None:
        """Of the credible peers that are ahead and not being asked, the one that kept its word, or claims most."""
        height = self._chain.tip.height
        ahead = [
            peer
            for peer, claim in self._claims.items()
            if claim > height
            and peer not in asked
            and self._retained.get(peer, 0) <= height + 1
            and self._is_credible(peer)
        ]
        return min(ahead, key=lambda peer: (self._distrusted.get(peer, (0, 0.0))[0], -self._claims[peer]), default=None)

    async def _ask(self, peer: PeerId, height: int) -> bytes:
        assert self._peers is not None
        wanted = encode(BlocksWanted(height + 1, MAX_SYNC_BLOCKS))
        return await self._peers.request(peer, RequestKind.BLOCKS, wanted, REQUEST_TIMEOUT_S)

    async def _take_page(self, peer: PeerId, before: int, answer: asyncio.Task[bytes]) -> None:
        """Imports what a peer sent when the tip was ``before``."""
        try:
            for data in byte_list_codec.decode(answer.result()):
                await self._import(decided_block_codec.decode(data))
        except RemoteFault as error:
            if error.data.get("peer_code") == "pruned":
                await self._ask_what_is_kept(peer, before)
            else:
                self._distrust(peer, error.code)
        except InvalidInput as error:
            self._blame(peer, error)
        else:
            if self._chain.tip.height > before:
                self._distrusted.pop(peer, None)
            else:
                self._distrust(peer, "nothing_new")

    async def _ask_what_is_kept(self, peer: PeerId, height: int) -> None:
        """A peer has dropped the blocks that come next here: it is asked again when we are where it begins."""
        assert self._peers is not None
        wanted = encode(SnapshotWanted(Part.OFFER, 0, 0, b""))
        try:
            answer = await self._peers.request(peer, RequestKind.SNAPSHOT, wanted, REQUEST_TIMEOUT_S)
            self._retained[peer] = max(offer_codec.decode(answer).retained_height, height + 2)
        except RemoteFault as error:
            self._distrust(peer, error.code)
        except InvalidInput as error:
            self._blame(peer, error)
        else:
            log.info("peer_has_pruned", peer=peer, retained_height=self._retained[peer], wanted=height + 1)

    def _look_for_way_out(self) -> None:
        """Ends the node when every peer that is ahead has dropped the next blocks for ``STRANDED_S``.

        Raises:
            StorageFault: ``snapshot_needed``: it has to join anew from a snapshot.
        """
        height = self._chain.tip.height
        ahead = [peer for peer, claim in self._claims.items() if claim > height + 1 and self._is_credible(peer)]
        if not ahead or any(self._retained.get(peer, 0) <= height + 1 for peer in ahead):
            self._stranded_s = None
            return
        now = monotonic_s()
        if self._stranded_s is None:
            self._stranded_s = now
        if now - self._stranded_s < STRANDED_S:
            return
        lowest = min(self._retained[peer] for peer in ahead)
        raise StorageFault(
            f"this node has blocks up to {height}, and its peers keep them from {lowest} on only: set "
            "storage.join_from_snapshot = true, restore a newer snapshot, or connect a node that keeps every block",
            code="snapshot_needed",
            chain_id=self._chain.chain_id,
            retained_height=lowest,
        )

    def _is_credible(self, peer: PeerId) -> bool:
        return monotonic_s() >= self._distrusted.get(peer, (0, 0.0))[1]

    def _distrust(self, peer: PeerId, code: str) -> None:
        """A peer did not show what it claims to have: for a time its claims do not count."""
        log.info("sync_request_failed", peer=peer, code=code)
        self._claims.pop(peer, None)
        count = self._distrusted.pop(peer, (0, 0.0))[0]
        pause_s = min(FIRST_DISTRUST_S * 2.0 ** min(count, 30), MAX_DISTRUST_S)
        self._distrusted[peer] = (count + 1, monotonic_s() + pause_s)
        if len(self._distrusted) > MAX_DISTRUSTED:
            del self._distrusted[next(iter(self._distrusted))]

    async def _import(self, decided: DecidedBlock) -> None:
        height = decided.header.height
        tip = self._chain.tip
        if height <= tip.height:
            return
        if height != tip.height + 1 or decided.header.parent != tip.block_id:
            raise InvalidBlock(f"block {height} does not follow our tip {tip.height}", code="parent_wrong")
        self._verify(decided.certificate, block_id(decided.header), height)
        transactions = [Transaction.decode(wire) for wire in decided.transactions]
        refs = b"".join([transaction.ref for transaction in transactions])
        await self._execute(Block(decided.header, refs), transactions, decided.certificate)

    async def _execute(self, block: Block, transactions: Sequence[Transaction], certificate: CommitCertificate) -> None:
        assert self._importer is not None
        await self._importer.import_block(self._verified(block), transactions, certificate)

    def _verified(self, block: Block) -> VerifiedBlock:
        """``block`` with its refs checked, which is not done again for one that was executed here."""
        name = block_id(block.header)
        known = self._chain.candidate(name)
        if known is not None and known.block == block:
            return VerifiedBlock(name, known.block)
        return verify_block(block)

    def _blame(self, peer: PeerId, error: InvalidInput) -> None:
        assert self._peers is not None
        log.warning("sync_block_refused", peer=peer, code=error.code, why=error.message)
        self._claims.pop(peer, None)
        self._peers.penalise(peer, f"bad_block_{error.code}")


def _forget(task: asyncio.Task[bytes]) -> None:
    """Looks at how an abandoned request ended, so that the loop does not complain that nobody did."""
    if not task.cancelled():
        task.exception()
