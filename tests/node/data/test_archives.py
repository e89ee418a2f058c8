"""A period of a chain in a file: it proves itself from the genesis file, and nothing in it can be changed."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidConfig, InvalidGenesis, InvalidInput, NotFound
from node.data.archives import MAGIC, export, held_by, verify
from node.data.pruning import Pruner
from tests.node.data.grown import INTERVAL, Grown, small


@pytest.fixture
async def node() -> Grown:
    return await Grown().grow(12)


def resealed(data: bytes) -> bytes:
    """The bytes with a digest that fits: what somebody does who wants the change to go unnoticed."""
    return data[:-32] + sha256(data[:-32]).digest()


async def test_an_archive_is_proved_when_nothing_was_changed(node: Grown, tmp_path: Path) -> None:
    file = tmp_path / "a.archive"
    digest = export(node.chain, 3, 9, file)
    found = verify(file, node.cluster.genesis)
    assert (found.from_height, found.to_height, found.sha256) == (3, 9, digest)
    assert found.transactions == 7
    assert held_by([file], node.cluster.genesis, node.chain.store) == set(range(3, 10))


async def test_an_archive_of_another_chain_is_refused(node: Grown, tmp_path: Path) -> None:
    export(node.chain, 1, 2, tmp_path / "a")
    with pytest.raises(InvalidGenesis):
        verify(tmp_path / "a", small().genesis)


async def test_an_existing_file_and_missing_blocks_are_refused(node: Grown, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(InvalidConfig):
        export(node.chain, 1, 2, tmp_path / "there")
    with pytest.raises(NotFound):
        export(node.chain, 1, 99, tmp_path / "b")
    with pytest.raises(InvalidInput):
        export(node.chain, 5, 4, tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


async def test_a_pruned_period_cannot_be_exported(tmp_path: Path) -> None:
    node = await Grown().grow(2 * INTERVAL + 64 + 5)
    await Pruner(node.chain, 1).prune()
    with pytest.raises(NotFound) as caught:
        export(node.chain, 1, 20, tmp_path / "a")
    assert caught.value.code == "pruned"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 2**32), bit=st.integers(0, 7), reseal=st.booleans())
async def test_one_changed_bit_anywhere_is_refused(
    node: Grown, tmp_path: Path, place: int, bit: int, *, reseal: bool
) -> None:
    good = tmp_path / "good"
    if not good.exists():
        export(node.chain, 2, 6, good)
    data = bytearray(good.read_bytes())
    where = place % (len(data) - (32 if reseal else 0))
    data[where] ^= 1 << bit
    bad = tmp_path / "bad"
    bad.write_bytes(resealed(bytes(data)) if reseal else bytes(data))
    with pytest.raises(InvalidInput):
        verify(bad, node.cluster.genesis)


async def test_what_is_left_out_or_added_is_refused_when_the_digest_fits(node: Grown, tmp_path: Path) -> None:
    export(node.chain, 2, 6, tmp_path / "good")
    data = (tmp_path / "good").read_bytes()
    frames, place = [], len(MAGIC)
    while length := int.from_bytes(data[place : place + 4], "little"):
        frames.append(data[place : place + 4 + length])
        place += 4 + length
    for number, changed in enumerate(([*frames[:-1]], [*frames, frames[-1]], [*frames[:3], frames[4], frames[3]])):
        file = tmp_path / f"bad{number}"
        file.write_bytes(resealed(MAGIC + b"".join(changed) + bytes(4) + bytes(32)))
        with pytest.raises(InvalidInput) as caught:
            verify(file, node.cluster.genesis)
        assert caught.value.code == "archive_wrong"
        assert caught.value.data["field"]
