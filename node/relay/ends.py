"""The two ends of a relay: one chain each, as this daemon hosts it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger.encoding import Record, encode
from ledger.keys import SigningKey
from ledger.transaction import Body, Call, Transaction, build
from node.chain import Chain
from node.core import NodeCore

R = TypeVar("R", bound=Record)
BRIDGE: Final = "bridge"
DELIVER: Final = "deliver"
FOLLOW: Final = "follow"
EXPIRY_BLOCKS: Final = 64
FAR_BLOCKS: Final = 16
"""A node further behind than this has nothing to say about what the other chain lacks."""


@dataclass(frozen=True, slots=True)
class RelayEnd:
    """One of the two chains as the relay uses it.

    Attributes:
        name: of the chain.
        role: what the chain is to the other one: ``business`` or ``supervision``.
        core: this daemon's node of it.
        key: admitted on this chain with the role ``fusion``.
    """

    name: str
    role: str
    core: NodeCore
    key: SigningKey

    @property
    def chain(self) -> Chain:
        """What is committed, as this node has it."""
        return self.core.chain

    @property
    def behind(self) -> bool:
        """True while this node is far behind: what it knows of the chain is old."""
        return self.core.synchroniser.target_height > self.chain.tip.height + FAR_BLOCKS

    def view(self, name: str, arguments: Record, kind: type[R]) -> R:
        """Asks a view of this chain's bridge.

        Raises:
            NotFound: as the view says.
        """
        answer = self.core.gateway.run_view(BRIDGE, name, encode(arguments))
        assert isinstance(answer, kind)
        return answer

    def transaction(self, method: str, arguments: Record) -> Transaction:
        """A transaction of the relay's that calls a method of this chain's bridge."""
        body = Body(
            1,
            self.chain.chain_id,
            self.key.public,
            self.chain.tip.height + EXPIRY_BLOCKS,
            secrets.token_bytes(16),
            (),
            (),
            (Call(BRIDGE, method, encode(arguments)),),
            (),
            b"",
        )
        return build(body, [self.key])

    def waiting_deliveries(self) -> Iterator[Transaction]:
        """Deliveries of whomever that wait for a block here."""
        return (transaction for transaction in self.core.mempool.candidates() if is_delivery(transaction))


def is_delivery(transaction: Transaction) -> bool:
    """True for what a relay sends."""
    calls = transaction.body.calls
    return bool(calls) and calls[0].contract == BRIDGE and calls[0].method in (DELIVER, FOLLOW)
