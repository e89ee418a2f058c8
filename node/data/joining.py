"""A new node joins from a snapshot: which peer is asked, and what happens when one lies or goes away (docs/data.md).

The state is built in a store of its own beside the chain's and takes its place by one rename when it is whole. A crash
before leaves a directory that the next start removes; after it the node simply starts.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

import structlog

from ledger.encoding import encode
from ledger.errors import InvalidInput, RemoteFault, StorageFault
from ledger.genesis import Genesis
from ledger.store import Store
from ledger.types import Height
from node.clock import monotonic_s
from node.data.snapshot_fetching import Progress, SnapshotFetcher
from node.data.snapshot_wire import Part, SnapshotOffer, SnapshotWanted, offer_codec
from node.wire import RequestKind
from p2p.transport import PeerId

log = structlog.get_logger(__name__)

OFFER_TIMEOUT_S: Final = 5.0
PART_TIMEOUT_S: Final = 30.0
RETRY_S: Final = 1.0
PATIENCE_S: Final = 20.0
"""So long peers are waited for before the node starts without a snapshot, where that can work."""
WARN_S: Final = 60.0
OLD_INTERVALS: Final = 3
"""An offer whose checkpoint is more intervals below the tip that its sender names is one that nobody should take."""
REPORT_S: Final = 5.0


class Asked(Protocol):
    """The overlay, as far as joining needs it; ``node.data.peer_link.PeerLink`` is one."""

    def connected(self) -> Sequence[PeerId]:
        """Connected peers."""
        ...

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        """See ``p2p.transport.Transport.request``."""
        ...

    def penalise(self, peer: PeerId, reason: str) -> None:
        """Disconnects a peer that sent what no honest peer sends."""
        ...


class Joined(Enum):
    """How joining ended."""

    SNAPSHOT = "snapshot"
    """The store holds a checkpoint's state."""
    FROM_GENESIS = "from_genesis"
    """No peer has a snapshot and some peer has every block: synchronise as usual."""


class Joiner:
    """See the module.

    Args:
        genesis: of the chain.
        peers: whom to ask.
        open_store: makes an empty store; called anew for each attempt, which closes it.
        patience_s: see ``PATIENCE_S``.
        prefer_genesis: take no snapshot as long as some peer has every block.

    Attributes:
        progress: of the attempt under way.
        refused: peers that sent what is not proved, and the code.
    """

    def __init__(
        self,
        genesis: Genesis,
        peers: Asked,
        open_store: Callable[[], Store],
        *,
        patience_s: float = PATIENCE_S,
        prefer_genesis: bool = False,
    ) -> None:
        self._genesis = genesis
        self._peers = peers
        self._open_store = open_store
        self._patience_s = patience_s
        self._prefer_genesis = prefer_genesis
        self.progress = Progress()
        self.refused: dict[PeerId, str] = {}

    async def run(self) -> tuple[Joined, Height]:
        """Tries peers until one attempt succeeds, or no snapshot is needed.

        Waits without end where peers have dropped the first blocks and nobody has a snapshot: only the operator can
        decide otherwise.

        Raises:
            StorageFault: our own store cannot be written.
        """
        begun = warned = monotonic_s()
        while True:
            offers = await self._offers()
            if self._prefer_genesis and _complete(offers):
                return Joined.FROM_GENESIS, Height(0)
            for peer, offer in _best_first(offers):
                height = await self._attempt(peer, offer)
                if height is not None:
                    return Joined.SNAPSHOT, height
            if monotonic_s() - begun >= self._patience_s or (offers and _young(offers, self._genesis)):
                if _complete(offers):
                    return Joined.FROM_GENESIS, Height(0)
                if monotonic_s() - warned >= WARN_S:
                    warned = monotonic_s()
                    log.warning("snapshot_not_offered", peers=len(offers))
            await asyncio.sleep(RETRY_S)

    async def _offers(self) -> dict[PeerId, SnapshotOffer]:
        peers = [peer for peer in self._peers.connected() if peer not in self.refused]
        answers = await asyncio.gather(*(self._offer(peer) for peer in peers))
        return {peer: offer for peer, offer in zip(peers, answers, strict=True) if offer is not None}

    async def _offer(self, peer: PeerId) -> SnapshotOffer | None:
        try:
            answer = await self._peers.request(
                peer, RequestKind.SNAPSHOT, encode(SnapshotWanted(Part.OFFER, 0, 0, b"")), OFFER_TIMEOUT_S
            )
            return offer_codec.decode(answer)
        except RemoteFault as error:
            log.info("snapshot_offer_failed", peer=peer, code=error.code)
        except InvalidInput as error:
            self._refuse(peer, error)
        return None

    async def _attempt(self, peer: PeerId, offer: SnapshotOffer) -> Height | None:
        """The height reached, or None when this peer did not do."""
        interval = self._genesis.parameters.checkpoint_interval
        if offer.height + OLD_INTERVALS * interval < offer.tip_height:
            log.warning("snapshot_too_old", peer=peer, height=offer.height, tip=offer.tip_height)
            return None

        async def ask(payload: bytes) -> bytes:
            return await self._peers.request(peer, RequestKind.SNAPSHOT, payload, PART_TIMEOUT_S)

        store = self._open_store()
        reporter = asyncio.create_task(self._report(peer))
        begun = monotonic_s()
        try:
            fetcher = SnapshotFetcher(self._genesis, store, ask, offer.height)
            self.progress = fetcher.progress
            log.info("snapshot_join_begun", peer=peer, height=offer.height)
            height = await fetcher.run()
        except RemoteFault as error:
            # Also a peer that restarts, or whose snapshot is replaced by the next one: it may be asked again.
            log.warning("snapshot_join_failed", peer=peer, code=error.code, why=error.message)
            if error.code == "snapshot_wrong":
                self._refuse(peer, error)
            return None
        except InvalidInput as error:
            self._refuse(peer, error)
            return None
        finally:
            reporter.cancel()
            store.close()
        seconds = round(monotonic_s() - begun, 3)
        log.info("snapshot_joined", height=height, records=self.progress.installed, seconds=seconds)
        return height

    def _refuse(self, peer: PeerId, error: InvalidInput | RemoteFault) -> None:
        log.warning("snapshot_refused", peer=peer, code=error.code, why=error.message)
        self.refused[peer] = error.code
        self._peers.penalise(peer, f"snapshot_{error.code}"[:64])

    async def _report(self, peer: PeerId) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            now = self.progress
            log.info("snapshot_join", peer=peer, height=now.height, records=now.records, installed=now.installed)


def _best_first(offers: dict[PeerId, SnapshotOffer]) -> list[tuple[PeerId, SnapshotOffer]]:
    """Newest checkpoint first: who names one that it cannot prove is found out, and the next is asked."""
    found = [(peer, offer) for peer, offer in offers.items() if offer.height]
    return sorted(found, key=lambda pair: (-pair[1].height, -pair[1].tip_height, pair[0]))


def _complete(offers: dict[PeerId, SnapshotOffer]) -> bool:
    """Whether some peer has every block."""
    return any(offer.retained_height <= 1 and offer.tip_height for offer in offers.values())


def _young(offers: dict[PeerId, SnapshotOffer], genesis: Genesis) -> bool:
    """True when every peer's chain is so short that nobody can have a snapshot yet."""
    interval = genesis.parameters.checkpoint_interval
    return all(0 < offer.tip_height < 2 * interval for offer in offers.values())


def discard(directory: Path) -> None:
    """Removes what an interrupted attempt left.

    Raises:
        StorageFault: it cannot be removed.
    """
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageFault(f"cannot remove {directory}: {error}", path=str(directory)) from error
