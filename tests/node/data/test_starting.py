"""When a node's data is looked at, when it runs, and when it gives up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.errors import BrokenInvariant, DiskFull, StorageFault
from node.data import starting
from node.data.starting import MAX_MENDS, run_mended

DAMAGED = StorageFault("a record does not match its checksum", key=b"s1")


class World:
    """A home that is only a name, what preparing it says, and how the node ends each time that it runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, join: bool = False) -> None:
        config = SimpleNamespace(storage=SimpleNamespace(join_from_snapshot=join))
        self.home: Any = SimpleNamespace(config=config, genesis=SimpleNamespace(chain_id=b"c"))
        self.prepared: list[tuple[bool, bool]] = []
        self.mended = True
        self.ends: list[BaseException | None] = []
        self.runs = 0
        self.stop = asyncio.Event()
        monkeypatch.setattr(starting, "place_of", lambda home: home)
        monkeypatch.setattr(starting, "prepare", self._prepare)

    async def _prepare(self, place: object, *, rejoin: bool, scan_all: bool) -> bool:
        self.prepared.append((rejoin, scan_all))
        return self.mended

    async def _run(self) -> None:
        self.runs += 1
        end = self.ends.pop(0)
        if end is not None:
            raise end

    async def go(self) -> None:
        await run_mended([self.home], self.stop, self._run)


def grouped(error: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", [error])])


async def test_the_node_runs_once_when_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.ends = [None]
    await world.go()
    assert (world.runs, world.prepared) == (1, [(False, False)])


@pytest.mark.parametrize("error", [DAMAGED, grouped(DAMAGED), StorageFault("cannot write: Corruption: block")])
async def test_everything_is_read_and_the_node_runs_on_when_damage_ended_it(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    world = World(monkeypatch)
    world.ends = [error, None]
    await world.go()
    assert (world.runs, world.prepared) == (2, [(False, False), (False, True)])


async def test_the_fault_ends_the_process_when_nothing_could_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.mended, world.ends = False, [DAMAGED]
    with pytest.raises(StorageFault):
        await world.go()
    assert world.runs == 1


async def test_the_fault_ends_the_process_when_it_comes_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.ends = [DAMAGED] * 99
    with pytest.raises(StorageFault):
        await world.go()
    assert world.runs == MAX_MENDS + 1


@pytest.mark.parametrize(
    "error",
    [
        DiskFull("no room", key=b"s"),
        StorageFault("cannot write"),
        BrokenInvariant("a bug"),
        BaseExceptionGroup("both", [DAMAGED, BrokenInvariant("a bug")]),
    ],
)
async def test_what_is_no_damage_ends_the_process(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    world = World(monkeypatch)
    world.ends = [error]
    with pytest.raises((type(error), BaseExceptionGroup)):
        await world.go()
    assert (world.runs, len(world.prepared)) == (1, 1)


@pytest.mark.parametrize("join", [True, False])
async def test_a_stranded_node_joins_anew_only_when_it_may(monkeypatch: pytest.MonkeyPatch, join: bool) -> None:
    world = World(monkeypatch, join=join)
    world.ends = [grouped(StorageFault("behind", code="snapshot_needed", chain_id=b"c")), None]
    if join:
        await world.go()
        assert world.prepared == [(False, False), (True, False)]
    else:
        with pytest.raises(BaseExceptionGroup):
            await world.go()


async def test_mending_ends_when_the_node_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    never = asyncio.Event()

    async def endless(place: object, **_: bool) -> bool:
        await never.wait()
        return True

    monkeypatch.setattr(starting, "prepare", endless)
    task = asyncio.create_task(world.go())
    await asyncio.sleep(0)
    world.stop.set()
    await task
    assert world.runs == 0
