"""Several nodes of one chain behind one client: the next is asked when one is away, behind, or caught lying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from ledger.errors import LocalMisuse, NotFound, PeerMisbehaved, RpcUnavailable, TidegateError
from node.client.endpoint import Endpoint
from node.client.http import NodeHttp

T = TypeVar("T")

BEHIND: Final = "node_behind"
"""Code of a node that knows less than this client."""
BEHIND_CODES: Final = frozenset({BEHIND, "pruned"})
"""Codes of what another node may well have."""


class Nodes:
    """See the module.

    Args:
        endpoints: at least one, in the order of preference.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        if not endpoints:
            raise LocalMisuse("a client needs at least one node")
        self._nodes = [NodeHttp(endpoint) for endpoint in endpoints]
        self._current = 0

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where the nodes are, the one that is asked first in front; those caught lying are left out."""
        return [node.endpoint for node in self._order()]

    @property
    def current(self) -> NodeHttp:
        """The node that is asked first."""
        return self._nodes[self._current]

    @property
    def liars(self) -> dict[str, PeerMisbehaved]:
        """What nodes were caught at, by address. They are not asked any more while others are there."""
        return {str(node.endpoint): node.lie for node in self._nodes if node.lie is not None}

    def rotate(self) -> None:
        """Asks another node first from now on."""
        self._current = (self._current + 1) % len(self._nodes)

    async def close(self) -> None:
        """Closes all connections."""
        for node in self._nodes:
            await node.close()

    async def run(self, work: Callable[[NodeHttp], Awaitable[T]], *, repeatable: bool = True) -> T:
        """What ``work`` makes of the first node that answers.

        Args:
            work: asks one node, several times if need be, and checks what it says.
            repeatable: whether it may be done at another node when the connection broke on the way.

        Raises:
            TidegateError: what ``work`` raised; where every node failed, what it raised of the last one.
        """
        failure: TidegateError | None = None
        for node in self._order():
            try:
                result = await work(node)
            except PeerMisbehaved as error:
                node.lie = error
                error.data.setdefault("node", str(node.endpoint))
                failure = error
            except RpcUnavailable as error:
                if not repeatable and error.data.get("sent") is not False:
                    raise
                failure = _worse(failure, error)
            except NotFound as error:
                if error.code not in BEHIND_CODES:
                    raise
                failure = _worse(failure, error)
            else:
                self._current = self._nodes.index(node)
                return result
        assert failure is not None
        raise failure

    def _order(self) -> list[NodeHttp]:
        turned = self._nodes[self._current :] + self._nodes[: self._current]
        return [node for node in turned if node.lie is None] or turned

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, wait_s: float = 0.0, repeatable: bool = True
    ) -> Any:
        """Result of an RPC method at the first node that answers. Raises as ``run``."""
        return await self.run(lambda node: node.call(method, params, wait_s=wait_s), repeatable=repeatable)

    async def post(
        self, path: str, body: bytes, content_type: str, wait_s: float = 0.0
    ) -> tuple[int, bytes, dict[str, str]]:
        """See ``NodeHttp.post``. Raises as ``run``."""
        return await self.run(lambda node: node.post(path, body, content_type, wait_s))


def _worse(before: TidegateError | None, now: TidegateError) -> TidegateError:
    """Which of two failures the caller hears of: a request that may have been carried out, else the later one."""
    if isinstance(before, PeerMisbehaved) or (before is not None and before.data.get("sent") is True):
        return before
    return now


def endpoints_of(
    nodes: str | Path | Endpoint | Sequence[str | Path | Endpoint],
    *,
    token: str | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> list[Endpoint]:
    """Endpoints of what a caller names: paths and URLs get the credentials, an ``Endpoint`` has its own.

    Raises:
        InvalidConfig: as ``Endpoint``.
    """
    found: list[Endpoint] = []
    for node in [nodes] if isinstance(nodes, str | Path | Endpoint) else nodes:
        if isinstance(node, Endpoint):
            found.append(node)
        else:
            place = str(node)
            found.append(Endpoint(place, token, ca, certificate, key) if "://" in place else Endpoint(place))
    return found
