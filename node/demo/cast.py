"""A member of the consortium in the demo: its node's socket, and the key from its own home, used for it alone."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from contracts.commission.orders import Frame
from ledger.errors import InvalidInput
from ledger.keys import SigningKey
from ledger.transaction import Body, build
from node.client import Client
from node.gateway import Outcome
from node.layout import HomeLayout
from node.network_file import NetworkNode
from node.node_keys import read_member_key
from node.services.bodies import new_frame
from node.services.books import CommissionBooks
from node.services.messages import SALES, OrderDone, order_done_codec
from node.services.sales import SaleOrder, sale_order_codec

TIMEOUT_S: Final = 60.0


class NotAsExpected(InvalidInput):
    """A step of the story did not go as it must."""

    code = "demo_failed"


class Member:
    """One organisation. Use it as an async context manager.

    Attributes:
        organisation: its name.
        client: to its own node.
        books: read through its own node.
        acknowledged: ids of transactions that its node said are committed.
    """

    def __init__(self, node: NetworkNode) -> None:
        self.organisation = node.organisation
        self.client = Client(node.socket, overload_retries=50)
        self.books = CommissionBooks(self.client)
        self.acknowledged: list[bytes] = []
        self._home = HomeLayout(node.home)

    async def __aenter__(self) -> Member:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    def key(self) -> SigningKey:
        """The key in this organisation's home."""
        return read_member_key(self._home)

    async def frame(self) -> Frame:
        """Frame of a transaction that this organisation sends."""
        return await new_frame(self.books, self.key().public)

    async def send(self, body: Body) -> Outcome:
        """Signs with the own key alone, submits to the own node, and waits.

        Raises:
            NotAsExpected: it did not take effect.
        """
        outcome = await self.client.submit_and_wait(build(body, (self.key(),)), TIMEOUT_S)
        if outcome.status != "committed":
            raise NotAsExpected(f"{self.organisation}'s transaction: {outcome.status} {outcome.code}")
        self.acknowledged.append(outcome.tx_id)
        return outcome

    async def sell(self, order: SaleOrder) -> OrderDone:
        """Leaves a sale, cancellation or correction to the transaction service of the own node.

        Raises:
            NotAsExpected: it did not take effect.
        """
        answer = await self.client.service(SALES, sale_order_codec.encode(order), TIMEOUT_S)
        done = order_done_codec.decode(answer)
        if done.status != "committed":
            raise NotAsExpected(f"{self.organisation}'s order to {order.action}: {done.status} {done.code}")
        self.acknowledged.append(done.tx_id)
        return done
