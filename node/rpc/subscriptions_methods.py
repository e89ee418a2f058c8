"""The RPC methods ``subscribe`` and ``unsubscribe``."""

from __future__ import annotations

from typing import Any

from node.rpc.connection import Connection
from node.rpc.method import Method, Scope
from node.rpc.subscriptions_records import Subscribe, Subscribed, Unsubscribe, Unsubscribed


class SubscriptionMethods:
    """See the module.

    Args:
        hub: a ``node.rpc.subscriptions.SubscriptionHub``; untouched until a method is called.
    """

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def table(self) -> tuple[Method, ...]:
        """Both methods."""
        return (
            Method(
                name="subscribe",
                scope=Scope.READ,
                summary="Follows a topic from a height or a cursor on; notifications ``subscription`` tell it.",
                params=Subscribe,
                result=Subscribed,
                call=self.subscribe,
                errors=("filter_invalid", "lock_invalid", "pruned", "overloaded"),
                cost=10,
                connected=True,
                example={"topic": "blocks", "from_height": 0},
                example_result={"subscription": "1", "height": 0, "cursor": None},
            ),
            Method(
                name="unsubscribe",
                scope=Scope.READ,
                summary="Ends a subscription of this connection.",
                params=Unsubscribe,
                result=Unsubscribed,
                call=self.unsubscribe,
                connected=True,
                example={"subscription": "0"},
                example_result={"ended": False},
            ),
        )

    async def subscribe(self, asked: Subscribe, connection: Connection) -> Subscribed:
        """See ``SubscriptionHub.subscribe``."""
        answer: Subscribed = await self._hub.subscribe(asked, connection)
        return answer

    async def unsubscribe(self, asked: Unsubscribe, connection: Connection) -> Unsubscribed:
        """See ``SubscriptionHub.unsubscribe``."""
        answer: Unsubscribed = await self._hub.unsubscribe(asked, connection)
        return answer
