"""Gets from peers what this node lacks: transactions of a proposed block, bodies of blocks, decided blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import structlog

from ledger.errors import InvalidInput, MalformedBytes, PeerUnavailable, RemoteFault
from ledger.transaction import Transaction
from ledger.types import PublicKey, TxRef
from node.mempool import Mempool
from node.wire import MAX_FETCH_REFS, RequestKind, byte_list_codec, encode_refs
from p2p.transport import PeerId

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_S: Final = 2.0
MAX_FETCHED: Final = 8_192
"""Fetched transactions kept for the current height: more than two blocks have. The first to come leave first, so that
a proposer of worthless blocks cannot keep later ones out."""
MAX_FETCHED_BYTES: Final = 8 * 1024 * 1024
"""The same in bytes: four blocks of the largest size."""


class RequestSender(Protocol):
    """Sends requests to peers; ``node.peers.Peers`` is one."""

    def peer_of(self, key: PublicKey) -> PeerId | None:
        """The connected peer of a validator, or None."""
        ...

    def connected(self) -> Sequence[PeerId]:
        """All connected peers."""
        ...

    async def request(self, peer: PeerId, kind: RequestKind, payload: bytes, timeout_s: float) -> bytes:
        """See ``p2p.transport.Transport.request``."""
        ...

    def penalise(self, peer: PeerId, reason: str) -> None:
        """Disconnects a peer that sent what no honest peer sends."""
        ...


class Fetcher:
    """See the module."""

    def __init__(self, mempool: Mempool) -> None:
        self._mempool = mempool
        self._fetched: dict[bytes, Transaction] = {}
        self._fetched_bytes = 0
        self._held: dict[bytes, Transaction] = {}
        self._peers: RequestSender | None = None

    def attach(self, peers: RequestSender) -> None:
        """Says whom to ask; called once, before anything else."""
        self._peers = peers

    def forget(self) -> None:
        """A height is over: what was fetched for it is not needed any more."""
        self._fetched.clear()
        self._fetched_bytes = 0
        self._held.clear()

    def hold(self, transactions: Iterable[Transaction]) -> None:
        """Keeps transactions of a block that we are locked on, whatever else is fetched, until the height is over."""
        self._held = {transaction.ref: transaction for transaction in transactions}

    def find(self, ref: bytes) -> Transaction | None:
        """A waiting, fetched or held transaction."""
        return self._mempool.find(TxRef(ref)) or self._fetched.get(ref) or self._held.get(ref)

    def _sources(self, first: Sequence[PublicKey]) -> list[PeerId]:
        peers = self._peers
        if peers is None:
            return []
        preferred = [peer for key in first if (peer := peers.peer_of(key)) is not None]
        return preferred + [peer for peer in peers.connected() if peer not in preferred]

    async def transactions(self, refs: Sequence[TxRef], sources: Sequence[PublicKey]) -> list[Transaction] | None:
        """The transactions of a block, in order; None while some cannot be had.

        Their signatures are verified by whoever executes them: a wrong one condemns the block that names it.

        Args:
            refs: 64 bytes each.
            sources: validators to ask first; then all connected peers.
        """
        missing = [ref for ref in refs if self.find(ref) is None]
        for peer in self._sources(sources) if missing else ():
            await self._ask(peer, missing)
            missing = [ref for ref in missing if self.find(ref) is None]
            if not missing:
                break
        found = [self.find(ref) for ref in refs]
        return None if None in found else [transaction for transaction in found if transaction is not None]

    async def _ask(self, peer: PeerId, missing: Sequence[TxRef]) -> None:
        assert self._peers is not None
        wanted = set(missing)
        for start in range(0, len(missing), MAX_FETCH_REFS):
            payload = encode_refs(missing[start : start + MAX_FETCH_REFS])
            try:
                reply = await self._peers.request(peer, RequestKind.TRANSACTIONS, payload, FETCH_TIMEOUT_S)
                for wire in byte_list_codec.decode(reply):
                    transaction = Transaction.decode(wire)
                    # The pair of id and witness is what was asked for: other bytes condemn the peer that sent them.
                    if transaction.ref not in wanted:
                        raise MalformedBytes("a transaction that nobody asked for")
                    self._keep(transaction)
            except InvalidInput as error:
                self._peers.penalise(peer, f"bad_transactions_{error.code}")
                return
            except RemoteFault as error:
                log.info("transactions_fetch_failed", peer=peer, code=error.code)
                return

    def _keep(self, transaction: Transaction) -> None:
        if transaction.ref in self._fetched:
            return
        self._fetched[transaction.ref] = transaction
        self._fetched_bytes += transaction.size_bytes
        while len(self._fetched) > MAX_FETCHED or self._fetched_bytes > MAX_FETCHED_BYTES:
            first = self._fetched.pop(next(iter(self._fetched)))
            self._fetched_bytes -= first.size_bytes

    async def block(self, source: PublicKey, name: bytes) -> bytes:
        """Header and refs of an undecided block, from the validator ``source``.

        Raises:
            RemoteFault: not connected, no answer, or refused.
        """
        peer = None if self._peers is None else self._peers.peer_of(source)
        if self._peers is None or peer is None:
            raise PeerUnavailable("that validator is not connected")
        return await self._peers.request(peer, RequestKind.BLOCK, name, FETCH_TIMEOUT_S)
