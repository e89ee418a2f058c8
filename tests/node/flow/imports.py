"""An import into a consortium in one process: the sample requests, runs over one state directory, and ways to kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ledger.transaction import Transaction
from node.consortium.parties import PartyBook
from node.fhir.prescription import Prescription
from node.fhir.reading import load_directory
from node.flow.importer.context import ImportOptions
from node.flow.importer.journal import StateDirectory
from node.flow.importer.planning import Steer
from node.flow.importer.report import ImportReport
from node.flow.importer.run import ImportRun
from tests.node.fhir.sample import DATA
from tests.node.two_chains import World

PATIENCE_S = 20.0


@cache
def sample() -> tuple[Prescription, ...]:
    """The twelve requests of the sample."""
    return load_directory(DATA).prescriptions


def book_of(world: World) -> PartyBook:
    """The parties of a world, without their files."""
    return PartyBook(Path("parties"), world.cast.parties)


def all_to(world: World, name: str) -> Callable[..., object]:
    """A choice of one party for everything."""
    return lambda prescription, parties: world.party(name)


class Killed(BaseException):
    """Stands for the end of the process."""


class KillingGateway:
    """Passes everything on, until a transaction with a certain method comes: then the process ends.

    Args:
        inner: the gateway.
        method: whose call kills; ``transfer`` for a transaction without calls.
        after: whether the transaction is handed in before.
    """

    def __init__(self, inner, method: str, *, after: bool) -> None:
        self._inner = inner
        self._method = method
        self._after = after
        self.killed = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def submit(self, transaction: Transaction):
        calls = transaction.body.calls
        if (calls[-1].method if calls else "transfer") == self._method:
            if self._after:
                await self._inner.submit(transaction)
            self.killed.set()
            await asyncio.Event().wait()
        return await self._inner.submit(transaction)


def make_run(world: World, state: StateDirectory, *, gateway=None, patience_s=PATIENCE_S, **options) -> ImportRun:
    """A run over a state directory."""
    chosen = {name: options.pop(name) for name in ("concurrency", "funding", "retry_refused") if name in options}
    return ImportRun(
        gateway=gateway or world.business.gateway,
        book=book_of(world),
        state=state,
        options=ImportOptions(patience_s=patience_s, **chosen),
        **options,
    )


async def import_once(
    world: World, directory: Path, requests, *, steer: Steer | None = None, **options
) -> ImportReport:
    """One run from its beginning to its end."""
    with StateDirectory(directory) as state:
        run = make_run(world, state, steer=steer or Steer(), **options)
        return await asyncio.wait_for(run.run(requests), 60)


async def import_and_kill(world: World, directory: Path, requests, method: str, *, after: bool) -> bool:
    """A run that is killed at a method; False when it never got there."""
    with StateDirectory(directory) as state:
        gateway = KillingGateway(world.business.gateway, method, after=after)
        run = asyncio.create_task(make_run(world, state, gateway=gateway).run(requests))
        dying = asyncio.create_task(gateway.killed.wait())
        await asyncio.wait((run, dying), return_when=asyncio.FIRST_COMPLETED, timeout=60)
        dying.cancel()
        killed = gateway.killed.is_set()
        if not killed:
            await run
            return False
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        return True
