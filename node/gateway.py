"""What services and the SDK need of a node, in one interface.

Two implementations: ``node.client.Client`` speaks to a daemon's RPC socket; ``node.local.LocalGateway`` is the daemon
itself, for the services that run inside it. Services are written against this page only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Protocol, TypeVar

from msgspec import Meta

from ledger.block import Event, Header
from ledger.encoding import Record
from ledger.transaction import Output, Transaction
from ledger.types import Hash32, OutPoint, TxId

R = TypeVar("R", bound=Record)


class ChainInfo(Record, frozen=True):
    """Where a node's chain stands.

    Attributes:
        name: the chain's name.
        chain_id: 32 bytes.
        height: last committed block.
        block_id: its id.
        time_ms: its time.
        expiry_window: blocks that a transaction may live at most.
    """

    name: str
    chain_id: bytes
    height: int
    block_id: bytes
    time_ms: int
    expiry_window: int


class Outcome(Record, frozen=True):
    """What is known of a transaction.

    Attributes:
        tx_id: which.
        status: ``committed`` (in a block, took effect), ``refused`` (in a block, ``code`` says why it did not take
            effect), ``pending`` (in this node's mempool), ``unknown`` (neither; it may still come until its expiry).
        code: ``ok`` or the reason code; empty while not in a block.
        height: of its block, or 0.
        index: its place there.
        events: what contracts emitted.
        results: result bytes of each call.
    """

    tx_id: bytes
    status: str
    code: str
    height: int
    index: int
    events: tuple[Event, ...]
    results: tuple[bytes, ...]


class Unspent(Record, frozen=True):
    """An unspent output and its outpoint (36 bytes)."""

    outpoint: bytes
    output: Output


class BlockEvents(Record, frozen=True):
    """What a committed block means to subscribers: (tx id, event) in order; the id is zeros for the block's end."""

    height: int
    block_id: bytes
    time_ms: Annotated[int, Meta(ge=0)]
    events: tuple[tuple[bytes, Event], ...]


class Gateway(Protocol):
    """Access to one node of one chain. Every method may raise ``RpcUnavailable`` when the node is remote."""

    async def info(self) -> ChainInfo:
        """Where the chain stands on this node."""
        ...

    async def submit(self, transaction: Transaction) -> TxId:
        """Hands a transaction in. Idempotent: one that is known already, or committed, is accepted again.

        Raises:
            InvalidInput: refused; ``code`` says why (contracts/codes.py).
            Overloaded: the mempool is full; nothing was taken, try again after ``data["retry_after_ms"]``.
        """
        ...

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        """``submit``, then the outcome once it is in a block; status ``pending`` or ``unknown`` after ``timeout_s``.

        Raises:
            InvalidInput, Overloaded: as ``submit``.
        """
        ...

    async def outcome(self, tx_id: bytes) -> Outcome:
        """What is known of a transaction now."""
        ...

    async def transaction(self, tx_id: bytes) -> Transaction:
        """A committed or pending transaction. Raises ``NotFound``."""
        ...

    async def unspent(
        self, lock: str, *, asset: str | None = None, after: OutPoint | None = None, limit: int = 200
    ) -> list[Unspent]:
        """Unspent outputs with exactly this lock text, in order of their outpoints, after ``after`` (exclusive).

        ``limit`` is at most 1,000. Outputs that pending transactions spend are still listed.
        """
        ...

    async def view(self, contract: str, name: str, arguments: Record, result: type[R]) -> R:
        """Asks a contract's view over the committed state.

        Raises:
            NotFound: as the view says.
        """
        ...

    async def header(self, height: int) -> tuple[Header, Hash32]:
        """Header and id of a committed block. Raises ``NotFound``."""
        ...

    def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        """Committed blocks from ``from_height`` on, each once and in order, then new ones as they are committed."""
        ...


class ServiceLink(Protocol):
    """Calls between the services of different members' nodes, over the overlay."""

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float = 10.0) -> bytes:
        """Asks service ``service`` of the connected node ``node`` (its peer id, or its organisation's name).

        Raises:
            RemoteFault: not connected, no answer, or refused (``data["peer_code"]``).
        """
        ...

    def serve(self, service: str, handler: ServiceHandler) -> None:
        """Answers requests to ``service``."""
        ...


class ServiceHandler(Protocol):
    """Answers one request; raises ``TidegateError`` to refuse (only its code travels)."""

    async def __call__(self, organisation: str, payload: bytes) -> bytes:
        """Args: the admitted organisation that asks, and its payload."""
        ...
