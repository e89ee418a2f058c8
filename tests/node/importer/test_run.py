"""Importing: fast, interruptible at any moment, and never anything twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ledger.errors import InvalidTransaction, RemoteFault, RpcUnavailable
from node.importer import run as run_module
from node.importer.plan import Columns, ImportPlan, default_common, plan_import
from node.importer.rows import parse_table, read_table
from node.importer.run import ImportRun
from tests.node.services.members import B, Members, agreement_of, members

CHARGES = Path(__file__).parents[3] / "node" / "demo" / "charges.csv"
NAME = "B-C-health"


def plan_of(world: Members, data: bytes) -> ImportPlan:
    agreement = agreement_of(world.keys)
    common = default_common(agreement, "sales.csv")
    return plan_import(parse_table(data), agreement, "commission", Columns("premium"), common)


def rows(count: int, first: int = 3_000) -> bytes:
    return b"premium\n" + b"".join(b"%d\n" % (first + i) for i in range(count))


def importing(world: Members, gateway: Any = None, **options: Any) -> ImportRun:
    agreement = agreement_of(world.keys)
    return ImportRun(gateway or world.gateway(), "commission", agreement, world.keys[B], **options)


async def ready() -> Members:
    world = members()
    await world.agree(agreement_of(world.keys, triggers=agreement_of(world.keys).triggers))
    return world


async def booked(world: Members) -> int:
    return (await world.books.books(NAME)).booked_count


async def test_everything_is_booked_when_run_and_nothing_when_run_again():
    world = await ready()
    plan, steps, ids = plan_of(world, rows(25)), [], []
    result = await importing(world, progress=steps.append, acknowledged=ids.append, batch=4).run(plan)
    assert (result.booked, result.already, result.refused, result.unknown) == (25, 0, [], [])
    assert result.amount == sum(item.commission for item in plan.sales)
    assert sum(steps) == 25
    assert {world.chain.outcomes[tx_id].code for tx_id in ids} == {"ok"}
    assert len(set(ids)) == 25
    again = await importing(world, progress=steps.append).run(plan)
    assert (again.booked, again.already, again.differing) == (0, 25, [])
    assert sum(steps) == 50
    assert await booked(world) == 25


async def test_rest_is_booked_when_interrupted_and_run_again():
    world = await ready()
    plan = plan_of(world, rows(40))
    first = importing(world, batch=3, in_flight=2)

    def stop(steps: int) -> None:
        if first.result.booked >= 10:
            task.cancel()

    first._progress = stop
    task = asyncio.create_task(first.run(plan))
    with pytest.raises(asyncio.CancelledError):
        await task
    done = await booked(world)
    assert 10 <= done < 40
    result = await importing(world).run(plan)
    assert (result.booked, result.already) == (40 - done, done)
    assert await booked(world) == 40


async def test_nothing_is_booked_twice_when_killed_with_transactions_waiting():
    world = await ready()
    plan = plan_of(world, rows(12))
    world.chain.hold = True
    task = asyncio.create_task(importing(world, batch=6, in_flight=2).run(plan))
    while len(world.chain.held) < 12:
        await asyncio.sleep(0)
    task.cancel()
    waiting, world.chain.held, world.chain.hold = world.chain.held, [], False
    gateway = world.gateway()
    original = gateway.submit_many

    async def late(wires: Any, wait_ms: int = 0) -> Any:
        # What the killed run had handed in comes into blocks after the new run asked what is booked.
        while waiting:
            await world.chain.make_block(waiting.pop())
        return await original(wires, wait_ms)

    gateway.submit_many = late  # type: ignore[method-assign]
    result = await importing(world, gateway).run(plan)
    assert (result.booked, result.already, result.refused) == (0, 12, [])
    assert await booked(world) == 12


async def test_overload_is_waited_out_when_the_node_is_full():
    world = await ready()
    world.chain.overload = 7
    result = await importing(world, batch=3).run(plan_of(world, rows(9)))
    assert result.booked == 9


async def test_answers_may_be_lost_when_a_submission_breaks():
    world = await ready()
    gateway = world.gateway()
    original, broken = gateway.submit_many, []

    async def breaking(wires: Any, wait_ms: int = 0) -> Any:
        answers = await original(wires, wait_ms)
        if len(broken) < 3:
            broken.append(1)
            raise RpcUnavailable("the connection broke", sent=True)
        return answers

    gateway.submit_many = breaking  # type: ignore[method-assign]
    result = await importing(world, gateway, batch=4).run(plan_of(world, rows(10)))
    assert (result.booked, await booked(world)) == (10, 10)


async def test_fault_when_the_node_stays_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_module, "GIVE_UP_S", 0.0)
    world = await ready()
    gateway = world.gateway()

    async def gone(wires: Any, wait_ms: int = 0) -> Any:
        raise RpcUnavailable("gone", sent=False)

    gateway.submit_many = gone  # type: ignore[method-assign]
    run = importing(world, gateway)
    with pytest.raises(ExceptionGroup) as caught:
        await run.run(plan_of(world, rows(3)))
    assert caught.group_contains(RemoteFault)
    assert run.result.booked == 0


async def test_unknown_is_reported_when_no_block_comes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_module, "GIVE_UP_S", 0.0)
    world = await ready()
    world.chain.hold = True
    result = await importing(world).run(plan_of(world, rows(3)))
    assert (result.booked, result.unknown) == (0, [2, 3, 4])


async def test_refusals_are_reported_with_their_lines():
    world = await ready()
    plan = plan_of(world, rows(3))
    stranger, agreed = world.keys["Insurer C"], agreement_of(world.keys)
    pretended = replace(agreed, platform=replace(agreed.platform, key=stranger.public))
    result = await ImportRun(world.gateway(), "commission", pretended, stranger).run(plan)
    assert result.refused == [(2, "not_permitted"), (3, "not_permitted"), (4, "not_permitted")]
    assert await booked(world) == 0


async def test_nothing_is_sent_when_the_key_is_not_the_platforms():
    world = await ready()
    before = len(world.chain.outcomes)
    run = ImportRun(world.gateway(), "commission", agreement_of(world.keys), world.keys["Insurer C"])
    with pytest.raises(ExceptionGroup) as caught:
        await run.run(plan_of(world, rows(3)))
    assert caught.group_contains(InvalidTransaction, match="signature is missing")
    assert len(world.chain.outcomes) == before
    assert (run.result.booked, run.result.refused) == (0, [])


async def test_signed_anew_when_expired():
    world = await ready()
    gateway = world.gateway()
    original, expired = gateway.submit_many, []

    async def late(wires: Any, wait_ms: int = 0) -> Any:
        answers = await original([] if not expired else wires, wait_ms)
        if not expired:
            from node.client import BulkAnswer

            expired.extend(wires)
            return [BulkAnswer(b"", "rejected", "expired") for _ in wires]
        return answers

    gateway.submit_many = late  # type: ignore[method-assign]
    result = await importing(world, gateway, in_flight=1).run(plan_of(world, rows(3)))
    assert (result.booked, await booked(world)) == (3, 3)


async def test_difference_is_reported_when_a_booked_policy_reads_differently_now():
    world = await ready()
    await importing(world).run(plan_of(world, b"premium\n3000\n4000\n"))
    result = await importing(world).run(plan_of(world, b"premium\n3000\n4001\n5000\n"))
    assert (result.booked, result.already, result.differing) == (1, 2, [3])


async def test_all_900_are_policies_of_their_own_when_the_real_file_is_imported():
    world = await ready()
    agreement = agreement_of(world.keys)
    common = default_common(agreement, CHARGES.name)
    plan = plan_import(read_table(CHARGES), agreement, "commission", Columns("charges"), common)
    assert len({item.sale.policy for item in plan.sales}) == 900
    assert (plan.zero, plan.skipped) == (0, ())
    assert sum(item.commission for item in plan.sales) == 35_561_957
