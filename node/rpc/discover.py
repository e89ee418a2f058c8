"""``rpc.discover``: the OpenRPC document, with examples that this very node answers."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from ledger.errors import TidegateError
from node.rpc.method import Method, Params, Scope
from node.rpc.openrpc import ServedExample, document

DEAR: Final = 200
"""Cost from which a method is not called for the sake of an example."""


class Served(Protocol):
    """What is served; a ``Dispatcher`` is one."""

    methods: dict[str, Method]

    async def call_directly(self, name: str, params: Any) -> Any:
        """A method's result document."""
        ...


class DiscoverParams(Params, frozen=True):
    """How the document is wanted.

    Attributes:
        identifiers: names methods `area_verb` instead of `area.verb`, and ends parameters that are reserved words with
            an underscore, for generators that make identifiers of names as they are; the node answers to both.
    """

    identifiers: bool = False


class DiscoverMethods:
    """``rpc.*``.

    Args:
        served: methods that the document describes, this one included.
    """

    def __init__(self, served: Served) -> None:
        self._served = served

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        return (
            Method(
                name="rpc.discover",
                scope=Scope.READ,
                summary="Gives this document: OpenRPC, with examples that this node answers.",
                params=DiscoverParams,
                result=dict[str, Any],
                call=self._discover,
                cost=200,
            ),
        )

    async def _discover(self, params: DiscoverParams) -> dict[str, Any]:
        methods = self._served.methods
        examples = {name: await self._example(method) for name, method in methods.items()}
        return document(methods.values(), examples, identifiers=params.identifiers)

    async def _example(self, method: Method) -> ServedExample:
        given = None if method.live_example is None else await method.live_example()
        values = method.example if given is None else given
        if method.example_result is not msgspec.UNSET or method.connected or method.cost >= DEAR:
            return values, None
        try:
            return values, await self._served.call_directly(method.name, dict(values))
        except TidegateError:  # an empty chain has no transaction to show
            return values, msgspec.UNSET
