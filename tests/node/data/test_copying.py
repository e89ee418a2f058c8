"""Snapshots in directories: whole, tampered with, restored; and what a restored node may sign."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from consensus.records import Forgotten, record_codec
from ledger.errors import InvalidConfig, InvalidGenesis, InvalidInput, LocalMisuse
from ledger.state_root import state_root
from ledger.store_leveldb import LevelStore
from node.chain import Chain
from node.data.copying import MANIFEST, check_snapshot, restore, scratch, write_snapshot
from node.data.verifying import silent, verify_chain_directory
from node.signer_log import FILE_NAME, SignerLog, damaged_logs, read_signer_log
from node.signer_state import recover
from tests.node.cluster import MemorySignerLog
from tests.node.data.grown import INTERVAL, Grown, small


@pytest.fixture
async def node(tmp_path: Path) -> Iterator[Grown]:
    grown = await Grown(small(), LevelStore(str(tmp_path / "chain"))).grow(3 * INTERVAL)
    yield grown
    grown.shelf.close()
    grown.chain.close()


@pytest.fixture
def copy(node: Grown, tmp_path: Path) -> Path:
    view = node.chain.store.store.snapshot()
    write_snapshot(view, node.cluster.genesis, format_of(node), tmp_path / "copy")
    view.close()
    return tmp_path / "copy"


def format_of(node: Grown) -> bytes:
    from ledger.genesis import format_genesis

    return format_genesis(node.cluster.genesis)


def nothing(place: Path) -> None:
    assert place.exists()


def home(tmp_path: Path) -> tuple[Path, Path]:
    data, wal = tmp_path / "home" / "data", tmp_path / "home" / "wal"
    data.mkdir(parents=True)
    wal.mkdir()
    return data, wal


async def test_a_copy_holds_one_block_s_state_when_the_node_goes_on_meanwhile(node: Grown, tmp_path: Path) -> None:
    view = node.chain.store.store.snapshot()
    height, root = node.chain.tip.height, state_root(node.chain.state)
    await node.grow(2)
    manifest = write_snapshot(view, node.cluster.genesis, format_of(node), tmp_path / "copy")
    view.close()
    assert manifest.height == height
    with scratch(tmp_path / "copy") as (genesis, directory):
        chain = Chain(genesis, LevelStore(str(directory), create=False))
        assert (chain.tip.height, state_root(chain.state)) == (height, root)
        chain.close()
    check_snapshot(tmp_path / "copy", node.cluster.genesis)


def test_a_restored_validator_observes_when_it_may_have_signed_more(node: Grown, copy: Path, tmp_path: Path) -> None:
    data, wal = home(tmp_path)
    with_record = SignerLog(wal)
    with_record.append([record_codec.encode(Forgotten(0))])
    with_record.sync()
    with_record.close()
    restore(copy, node.cluster.genesis, data, wal, check=nothing, replace=False)
    records = read_signer_log(wal)
    assert record_codec.decode(records[-1]) == Forgotten(None)
    assert damaged_logs(wal)  # what was there is kept for whoever wants to know
    chain = Chain(node.cluster.genesis, LevelStore(str(data / "chain")))
    key = node.cluster.members[0].validator.public
    found = recover(chain, key, MemorySignerLog(), records)
    assert found[-1] == Forgotten(None)
    chain.close()


def test_data_is_kept_when_there_is_some_already(node: Grown, copy: Path, tmp_path: Path) -> None:
    data, wal = home(tmp_path)
    (data / "chain").mkdir()
    (data / "chain" / "precious").touch()
    with pytest.raises(InvalidConfig) as caught:
        restore(copy, node.cluster.genesis, data, wal, check=nothing, replace=False)
    assert caught.value.code == "file_exists"
    assert (data / "chain" / "precious").exists()
    assert not (wal / FILE_NAME).exists()
    restore(copy, node.cluster.genesis, data, wal, check=nothing, replace=True)
    assert not (data / "chain" / "precious").exists()


@pytest.mark.parametrize("how", ["flip", "cut", "delete", "add", "manifest", "link"])
def test_a_tampered_snapshot_is_refused(node: Grown, copy: Path, tmp_path: Path, how: str) -> None:
    data, wal = home(tmp_path)
    file = max((copy / "chain").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif how == "cut":
        file.write_bytes(content[:-1])
    elif how == "delete":
        file.unlink()
    elif how == "add":
        (copy / "chain" / "more").write_bytes(b"x")
    elif how == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (copy / MANIFEST).write_bytes(b"{}")
    with pytest.raises(InvalidInput) as caught:
        restore(copy, node.cluster.genesis, data, wal, check=nothing, replace=False)
    assert caught.value.code == "snapshot_damaged"
    assert not (data / "chain").exists()


async def test_an_altered_state_is_found_when_the_manifest_was_made_to_fit(
    node: Grown, copy: Path, tmp_path: Path
) -> None:
    """Money out of nothing, with checksums, digests and even the tree of the next checkpoint made to fit."""
    store = LevelStore(str(copy / "chain"), create=False)
    key, value = next((key, value) for key, value in store.iterate(b"su"))
    store.write({key: value[:-1] + bytes((value[-1] ^ 1,))})
    store.close()
    manifest = json.loads((copy / MANIFEST).read_bytes())
    manifest["files"] = [
        {"path": str(p.relative_to(copy)), "size_bytes": p.stat().st_size, "sha256": sha256(p.read_bytes()).hexdigest()}
        for p in sorted(copy.rglob("*"))
        if p.is_file() and p.name != MANIFEST
    ]
    (copy / MANIFEST).write_text(json.dumps(manifest))
    check_snapshot(copy, node.cluster.genesis)
    with scratch(copy) as (genesis, directory):
        assert "state" in {finding.what for finding in verify_chain_directory(genesis, directory, silent).findings}


def test_another_chain_s_snapshot_is_refused(copy: Path) -> None:
    with pytest.raises(InvalidGenesis):
        check_snapshot(copy, small().genesis)


def test_an_interrupted_copy_is_not_taken_for_a_snapshot(node: Grown, tmp_path: Path) -> None:
    view = node.chain.store.store.snapshot()
    view.close()
    with pytest.raises(LocalMisuse):
        write_snapshot(view, node.cluster.genesis, b"", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_everything_is_found_sound_when_nothing_is_damaged(node: Grown, copy: Path) -> None:
    with scratch(copy) as (genesis, directory):
        seen: list[str] = []
        verified = verify_chain_directory(genesis, directory, lambda what, _done, _total: seen.append(what))
    assert verified.ok, verified.findings
    assert verified.height == node.chain.tip.height
    assert {"records", "blocks", "outputs"} <= set(seen)
