"""Runs the daemons of a consortium: both networks together, fusion daemons once for both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from node.client import Client
from node.consortium.plan import Consortium, load_consortium
from node.devnet import READY_S, Devnet


class ConsortiumNet:
    """The processes of a consortium; an async context manager like ``node.devnet.Devnet``.

    Args:
        directory: of ``node.consortium.plan.create_consortium``.
        detach: nodes outlive this object and the process.
        environment: variables set for the nodes, beside those of this process.

    Attributes:
        consortium: as it stands in the directory.
        business: processes of the business chain, the fusion daemons among them.
        supervision: processes of the supervision chain.
    """

    def __init__(
        self, directory: Path | str, *, detach: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.consortium: Consortium = load_consortium(directory)
        self.business = Devnet(self.consortium.business.directory, detach=detach, environment=environment)
        self.supervision = Devnet(self.consortium.supervision.directory, detach=detach, environment=environment)

    async def __aenter__(self) -> ConsortiumNet:
        await self.supervision.__aenter__()
        await self.business.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.business.__aexit__(kind, error, trace)
        finally:
            await self.supervision.__aexit__(kind, error, trace)

    async def start(self, *, timeout_s: float = READY_S) -> list[str]:
        """Starts everything that does not run, and waits until every node answers; returns what was started.

        Raises:
            NodeFailed: see ``Devnet.wait_ready``.
        """
        started = [f"supervision/{name}" for name in await self.supervision.start()]
        started += [f"business/{name}" for name in await self.business.start()]
        # Both fail with an error of one kind, and the caller shall see that and no group of it.
        waiting = (self.supervision.wait_ready(timeout_s=timeout_s), self.business.wait_ready(timeout_s=timeout_s))
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return started

    async def stop(self) -> None:
        """Stops everything."""
        await asyncio.gather(self.business.stop(), self.supervision.stop())

    def business_client(self, node: int = 0) -> Client:
        """A client of a node of the business chain."""
        return Client(self.consortium.business.nodes[node].socket)

    def supervision_client(self, node: int = 0) -> Client:
        """A client of a node of the supervision chain."""
        return Client(self.consortium.supervision.nodes[node].socket)
