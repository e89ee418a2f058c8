"""Imports a real file of premiums, kills a validator with SIGKILL in the middle, and brings it back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.commission.records import Agreement
from ledger.errors import NotFound
from node.client import Client
from node.demo.cast import Member, NotAsExpected
from node.devnet import Devnet
from node.importer.plan import Columns, ImportPlan, default_common, plan_import
from node.importer.rows import read_table
from node.importer.run import ImportResult, ImportRun

AGREEMENT: Final = "B-C-medical"
FILE: Final = Path(__file__).with_name("charges.csv")
COLUMN: Final = "charges"
BATCH: Final = 60
IN_FLIGHT: Final = 3
KILL_AFTER: Final = 300
"""Policies booked before the validator is killed; some hundred are still to come then."""
CATCH_UP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Loss:
    """A validator that was killed while policies were being booked.

    Attributes:
        node: its name.
        booked: policies that were booked by then.
        rest: policies that were not.
        height: of the chain then.
    """

    node: str
    booked: int
    rest: int
    height: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of the import: the validated file, what was booked, and the loss on the way, if there was one."""

    plan: ImportPlan
    result: ImportResult
    loss: Loss | None


async def import_charges(
    platform: Member, terms: Agreement, devnet: Devnet, victim: str | None, progress: Callable[[int], None]
) -> Imported:
    """Books the whole file as the platform; ``victim`` is killed on the way.

    Raises:
        NotAsExpected: a policy was refused or its outcome is not known; or everything was booked before the kill.
    """
    common = default_common(terms, FILE.name)
    plan = plan_import(read_table(FILE), terms, platform.books.contract, Columns(COLUMN), common)
    enough, done = asyncio.Event(), 0

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        progress(steps)
        if done >= KILL_AFTER:
            enough.set()

    async def kill(name: str) -> Loss:
        await enough.wait()
        devnet.signal(name, signal.SIGKILL)
        loss = Loss(name, done, len(plan.sales) - done, (await platform.client.info()).height)
        await devnet.kill(name)
        return loss

    run = ImportRun(
        platform.client,
        platform.books.contract,
        terms,
        platform.key(),
        advance,
        platform.acknowledged.append,
        batch=BATCH,
        in_flight=IN_FLIGHT,
    )
    killing = None if victim is None else asyncio.create_task(kill(victim))
    try:
        result = await run.run(plan)
        loss = None if killing is None else await killing
    finally:
        if killing is not None:
            killing.cancel()
    if result.refused or result.unknown or result.booked != len(plan.sales):
        raise NotAsExpected(f"{result.booked} of {len(plan.sales)} policies were booked: {result.refused[:3]}")
    if loss is not None and loss.rest <= 0:
        raise NotAsExpected("everything was booked before the validator was killed")
    return Imported(plan, result, loss)


async def bring_back(platform: Member, devnet: Devnet, name: str) -> int:
    """Restarts a killed validator and waits until it has the platform's blocks; returns the height it had to reach.

    Raises:
        NotAsExpected: it did not catch up in time, or has another block at that height.
    """
    await devnet.start_one(name)
    wanted = await platform.client.info()
    async with Client(devnet.network.node(name).socket) as client:
        try:
            async with asyncio.timeout(CATCH_UP_S):
                async for block in client.events(wanted.height):
                    if block.height >= wanted.height:
                        break
        except TimeoutError as error:
            raise NotAsExpected(f"{name} did not catch up in {CATCH_UP_S:.0f} s") from error
        try:
            _, block_id = await client.header(wanted.height)
        except NotFound as error:
            raise NotAsExpected(f"{name} lacks block {wanted.height}") from error
    if block_id != wanted.block_id:
        raise NotAsExpected(f"{name} has another block {wanted.height}")
    return wanted.height
