"""`tidegate block`: by height, by id, the last one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.cli.commission_kit import Desk, desk


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def test_block_is_the_same_when_asked_by_height_and_id(at: Desk):
    asyncio.run(at.world.chain.make_block())
    last = at.json("block", "get")
    assert last["header"]["height"] == 1
    assert at.json("block", "get", "1") == last
    assert at.json("block", "get", last["block_id"]) == last
    assert last["block_id"] in at.run("block", "get").output


def test_not_found_when_there_is_none(at: Desk):
    at.run("block", "get", "7", code=5)
    at.run("block", "get", "00" * 32, code=5)


@pytest.mark.parametrize("text", ["x", "1.5", "z" * 64, "٣"])
def test_invalid_when_it_names_no_block(at: Desk, text: str):
    at.run("block", "get", text, code=3)
