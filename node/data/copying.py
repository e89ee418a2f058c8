"""Snapshots as directories: a consistent copy of a node's data with a manifest of digests, and the way back.

What a node has signed is not in it: a copy is always older than the signatures that were made since. A restored node
observes until it is safe to sign again (ADR 20).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from consensus.records import Forgotten, record_codec
from ledger.chain_records import TIP_KEY, read_tip
from ledger.errors import InvalidConfig, InvalidGenesis, InvalidInput, StorageFault
from ledger.genesis import Genesis, parse_genesis
from ledger.store import Snapshot
from node.atomic_file import sync_directory, write_atomic
from node.data.bulk_store import BulkStore
from node.signer_log import FILE_NAME, SignerLog, set_aside

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
CHUNK_BYTES: Final = 128 * 1024
READ_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 1_000_000
_Hex = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class CopiedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a snapshot: path below its directory, bytes, SHA-256 in hex."""

    path: Annotated[str, Meta(min_length=1, max_length=512)]
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: _Hex


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot holds.

    Attributes:
        format: of the snapshot's layout.
        chain: name.
        chain_id: hex.
        genesis_hash: hex.
        height: of the last block in it.
        block_id: of that block, hex.
        created: when, UTC.
        files: every file but this one.
    """

    format: Annotated[int, Meta(ge=1)]
    chain: str
    chain_id: _Hex
    genesis_hash: _Hex
    height: Annotated[int, Meta(ge=0)]
    block_id: _Hex
    created: str
    files: Annotated[tuple[CopiedFile, ...], Meta(min_length=1, max_length=MAX_FILES)]


def copy_view(view: Snapshot, directory: Path, *, rest: float = 0.0) -> int:
    """Writes every record of a view into a new store; bytes of keys and values. Blocks: run it in a thread.

    Args:
        view: stable; each record's checksum is checked.
        directory: new.
        rest: after each chunk it pauses for so many times as long as the chunk took, so that a node beside it goes on.

    Raises:
        StorageFault: a record is damaged, or the copy cannot be written.
    """
    store = BulkStore(str(directory))
    total = size_bytes = 0
    chunk: dict[bytes, bytes | None] = {}
    begun = time.perf_counter()
    try:
        for key, value in view.iterate(b""):
            chunk[key] = value
            size_bytes += len(key) + len(value)
            if size_bytes >= CHUNK_BYTES:
                store.write(chunk)
                total += size_bytes
                chunk, size_bytes = {}, 0
                if rest:
                    time.sleep(rest * (time.perf_counter() - begun))
                begun = time.perf_counter()
        store.write(chunk)
        store.finish()
    finally:
        store.close()
    return total + size_bytes


def write_snapshot(
    view: Snapshot, genesis: Genesis, genesis_bytes: bytes, directory: Path, *, rest: float = 0
) -> Manifest:
    """A whole snapshot in ``directory``, which appears when it is complete.

    Raises:
        InvalidConfig: ``file_exists``: the directory is there.
        StorageFault: as ``copy_view``.
    """
    if directory.exists():
        raise InvalidConfig(f"{directory} exists already and is not overwritten", code="file_exists")
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    record = view.get(TIP_KEY)
    if record is None:
        raise StorageFault("the store does not say which block is its last", key=TIP_KEY)
    height, name = read_tip(record)
    try:
        partial.mkdir(mode=0o750, parents=True)
        copy_view(view, partial / "chain", rest=rest)
        (partial / "genesis.json").write_bytes(genesis_bytes)
        (partial / "chain" / "LOCK").unlink(missing_ok=True)
        manifest = Manifest(
            FORMAT,
            genesis.name,
            genesis.chain_id.hex(),
            genesis.hash.hex(),
            height,
            name.hex(),
            datetime.now(UTC).isoformat(timespec="seconds"),
            tuple(_files(partial)),
        )
        write_atomic(partial / MANIFEST, json.dumps(msgspec.to_builtins(manifest), indent=1).encode())
        partial.rename(directory)
        sync_directory(directory.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageFault(f"cannot write a snapshot into {directory}: {error}", errno=error.errno) from error
    return manifest


def _files(directory: Path) -> list[CopiedFile]:
    found: list[CopiedFile] = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        size_bytes, digest = _digest(path)
        found.append(CopiedFile(str(path.relative_to(directory)), size_bytes, digest))
    return found


def _digest(path: Path) -> tuple[int, str]:
    hasher, size_bytes = sha256(), 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            hasher.update(data)
            size_bytes += len(data)
    return size_bytes, hasher.hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a snapshot.

    Raises:
        InvalidInput: ``snapshot_damaged``: there is none, or it does not decode.
    """
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput(f"{directory} is no snapshot: {error}", code="snapshot_damaged") from error
    if manifest.format != FORMAT:
        raise InvalidInput(
            f"the snapshot has format {manifest.format}, this program knows {FORMAT}", code="format_unknown"
        )
    return manifest


def check_snapshot(directory: Path, genesis: Genesis) -> Manifest:
    """Compares every file of a snapshot with its manifest, and the manifest with the chain.

    Raises:
        InvalidGenesis: ``genesis_mismatch``: it is another chain's.
        InvalidInput: ``snapshot_damaged``: a file is missing, changed, or not in the manifest.
    """
    manifest = read_manifest(directory)
    if manifest.genesis_hash != genesis.hash.hex():
        raise InvalidGenesis(f"the snapshot is of chain {manifest.chain!r}, the home is not", code="genesis_mismatch")
    known = {file.path: file for file in manifest.files}
    for path in sorted(path for path in directory.rglob("*") if not path.is_dir()):
        name = str(path.relative_to(directory))
        if name == MANIFEST:
            continue
        file = known.pop(name, None)
        if file is None or path.is_symlink():
            raise InvalidInput(f"{name} does not belong to the snapshot", code="snapshot_damaged", file=name)
        if _digest(path) != (file.size_bytes, file.sha256):
            raise InvalidInput(f"{name} is not what was copied", code="snapshot_damaged", file=name)
    if known:
        raise InvalidInput(f"{min(known)} is missing", code="snapshot_damaged", file=min(known))
    return manifest


def restore(
    directory: Path, genesis: Genesis, data_dir: Path, wal_dir: Path, *, check: Callable[[Path], None], replace: bool
) -> Manifest:
    """Puts a snapshot's data into a home that nobody uses.

    Args:
        directory: of the snapshot.
        genesis: of the home.
        data_dir: of the home.
        wal_dir: of the home.
        check: looks at the copied store before it is put in place, and raises where it must not be.
        replace: whether data that is there already may be removed.

    Raises:
        InvalidConfig: ``file_exists``: there is data, and ``replace`` is False.
        InvalidInput, InvalidGenesis: as ``check_snapshot``, or as ``check`` says.
        StorageFault: it cannot be written.
    """
    chain, coming = data_dir / "chain", data_dir / "chain.restoring"
    if chain.exists() and not replace:
        raise InvalidConfig(f"{chain} exists: --replace removes it once the snapshot is found good", code="file_exists")
    manifest = check_snapshot(directory, genesis)
    try:
        shutil.rmtree(coming, ignore_errors=True)
        shutil.copytree(directory / "chain", coming)
        for path in coming.iterdir():
            _sync_file(path)
        sync_directory(coming)
        check(coming)
        forget_signatures(wal_dir)
        old = data_dir / "chain.damaged"
        shutil.rmtree(old, ignore_errors=True)
        if chain.exists():
            chain.rename(old)
        coming.rename(chain)
        sync_directory(data_dir)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageFault(f"cannot restore into {data_dir}: {error}", errno=error.errno) from error
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return manifest


def forget_signatures(wal_dir: Path) -> None:
    """A new signer log that says: anything may have been signed. One that is there is kept under a dated name.

    Durable before the restored data is in place, so that there is no moment at which the node would sign.
    """
    if (wal_dir / FILE_NAME).exists():
        set_aside(wal_dir, datetime.now(UTC))
    log = SignerLog(wal_dir)
    try:
        log.append([record_codec.encode(Forgotten(None))])
        log.sync()
    finally:
        log.close()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch(directory: Path) -> Iterator[tuple[Genesis, Path]]:
    """The genesis of a snapshot, and a copy of its store that may be opened: LevelDB writes into what it opens.

    Raises:
        InvalidInput: as ``check_snapshot``.
    """
    read_manifest(directory)
    try:
        genesis = parse_genesis((directory / "genesis.json").read_bytes())
    except OSError as error:
        raise InvalidInput(f"{directory} has no genesis file: {error}", code="snapshot_damaged") from error
    check_snapshot(directory, genesis)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as place:
        shutil.copytree(directory / "chain", Path(place) / "chain")
        yield genesis, Path(place) / "chain"
