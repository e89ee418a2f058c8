"""Archives: a period of a chain in one file that proves itself from the genesis file alone (docs/data.md).

A line of magic, then frames: four bytes of length (little endian) and so many bytes. The first frame is the
``Manifest``, then a ``HeaderProof`` for each certified header that changes the set of validators, from the first one of
the chain on, and one for the period's last block; then one ``ArchivedBlock`` a height, ascending; then an empty frame,
and SHA-256 over everything before it. Attachments travel in the blocks' transactions; what those only commit to by hash
is with whoever sealed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Final

from msgspec import Meta

from contracts.builtin import build_rules, genesis_block
from ledger.block import (
    DecidedBlock,
    Header,
    block_id,
    decided_block_codec,
    receipts_root,
    transactions_root,
)
from ledger.certificate import verify_certificate
from ledger.chain_store import ChainStore
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidConfig, InvalidGenesis, InvalidInput, StorageFault
from ledger.genesis import Genesis
from ledger.light_client import ClientState, advance, begin
from ledger.packet import HeaderProof
from ledger.state import StoredState
from ledger.store_memory import MemoryStore
from ledger.transaction import Transaction
from ledger.types import MAX_HEIGHT, PublicKey
from ledger.validators import ValidatorSet
from node.chain import Chain
from node.relay.following import keys_of, set_changes

MAGIC: Final = b"tidegate archive 1\n"
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
_LENGTH_BYTES: Final = 4
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Manifest(Record, frozen=True):
    """What an archive says that it holds: chain, genesis file, first and last height, epoch headers."""

    chain_id: _Hash
    genesis_hash: _Hash
    from_height: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
    to_height: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]
    epochs: Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class ArchivedBlock(Record, frozen=True):
    """A decided block and its receipts' canonical bytes, the end of the block's last."""

    block: DecidedBlock
    receipts: tuple[bytes, ...]


manifest_codec = Codec(Manifest, 256, "archive manifest")
epoch_codec = Codec(HeaderProof, 64 * 1024, "epoch header")
block_codec = Codec(ArchivedBlock, MAX_FRAME_BYTES, "archived block")


@dataclass(frozen=True, slots=True)
class Archive:
    """A verified archive.

    Attributes:
        chain: name.
        from_height: first block.
        to_height: last block.
        transactions: in them.
        first_ms: time of the first block.
        last_ms: time of the last one.
        sha256: of the file, hex.
        ids: the blocks' ids, in order.
    """

    chain: str
    from_height: int
    to_height: int
    transactions: int
    first_ms: int
    last_ms: int
    sha256: str
    ids: tuple[bytes, ...]


class _Writer:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hasher = sha256()

    def raw(self, data: bytes) -> None:
        self._file.write(data)
        self._hasher.update(data)

    def frame(self, data: bytes) -> None:
        self.raw(len(data).to_bytes(_LENGTH_BYTES, "little") + data)

    def end(self) -> str:
        self.frame(b"")
        digest = self._hasher.digest()
        self._file.write(digest)
        return digest.hex()


def export(chain: Chain, first: int, last: int, file: Path, advance_by: Callable[[int], None] = lambda _: None) -> str:
    """Writes blocks ``first`` … ``last`` to a new file, which appears when it is whole; SHA-256 in hex.

    Raises:
        InvalidConfig: ``file_exists``.
        NotFound: a block is not there yet, or ``pruned``.
        StorageFault: a block is damaged, or the file cannot be written.
    """
    if not 1 <= first <= last:
        raise InvalidInput("an archive holds at least one block, from height 1 on", code="height_invalid")
    if file.exists():
        raise InvalidConfig(f"{file} exists already and is not overwritten", code="file_exists")
    store = chain.store
    store.block(first), store.block(last)
    # The last block's proof brings the keys of the set that the last change handed over to.
    changes = [*set_changes(chain, 0, last), last]
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as out:
            writer = _Writer(out)
            writer.raw(MAGIC)
            writer.frame(encode(Manifest(chain.chain_id, chain.genesis.hash, first, last, len(changes))))
            for height in changes:
                keys = keys_of(chain, height, ())
                writer.frame(encode(HeaderProof(store.header(height), store.certificate(height), keys, 0, None)))
            for height in range(first, last + 1):
                decided = decided_block_codec.decode(store.decided_block(height))
                writer.frame(encode(ArchivedBlock(decided, tuple(store.receipts(height)))))
                advance_by(1)
            digest = writer.end()
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
    except OSError as error:
        raise StorageFault(f"cannot write {file}: {error}", errno=error.errno) from error
    finally:
        partial.unlink(missing_ok=True)
    return digest


def verify(file: Path, genesis: Genesis, advance_by: Callable[[int], None] = lambda _: None) -> Archive:
    """Checks an archive from beginning to end; memory for one block at a time.

    Raises:
        InvalidInput: ``archive_damaged``: the bytes are not what was exported; ``archive_wrong``: they prove something
            else than they say; ``data["field"]`` and ``data["height"]`` name it.
        InvalidGenesis: it is another chain's.
        InvalidConfig: it cannot be read.
    """
    try:
        with file.open("rb") as source:
            digest = _check_bytes(source)
            source.seek(len(MAGIC))
            return _verify(_frames(source), genesis, digest, advance_by)
    except OSError as error:
        raise InvalidConfig(f"cannot read {file}: {error.strerror}", code="file_unreadable") from error


def _check_bytes(source: IO[bytes]) -> str:
    size_bytes = source.seek(0, os.SEEK_END)
    source.seek(0)
    if size_bytes < len(MAGIC) + 32 or source.read(len(MAGIC)) != MAGIC:
        raise _damaged("this is no archive", "magic")
    hasher, left = sha256(MAGIC), size_bytes - len(MAGIC) - 32
    while left:
        data = source.read(min(left, 1024 * 1024))
        hasher.update(data)
        left -= len(data)
    if source.read(32) != hasher.digest():
        raise _damaged("the bytes do not have the digest at their end", "digest")
    return hasher.hexdigest()


def _frames(source: IO[bytes]) -> Iterator[bytes]:
    while True:
        length = int.from_bytes(source.read(_LENGTH_BYTES), "little")
        if length == 0:
            return
        data = source.read(length) if length <= MAX_FRAME_BYTES else b""
        if len(data) != length:
            raise _damaged("a frame is cut off", "frame")
        yield data


def _verify(frames: Iterator[bytes], genesis: Genesis, digest: str, advance_by: Callable[[int], None]) -> Archive:
    manifest = manifest_codec.decode(_next(frames, "manifest"))
    if manifest.genesis_hash != genesis.hash or manifest.chain_id != genesis.chain_id:
        raise InvalidGenesis("the archive is of another chain than the genesis file", code="genesis_mismatch")
    sets = _Sets(genesis)
    for _ in range(manifest.epochs):
        proof = epoch_codec.decode(_next(frames, "epochs"))
        if proof.header.height > manifest.to_height:
            raise _wrong("a header that changes the set is above the period", "epochs", proof.header.height)
        sets.add(proof)
    ids: list[bytes] = []
    times: list[int] = []
    count, parent = 0, b""
    for height in range(manifest.from_height, manifest.to_height + 1):
        archived = block_codec.decode(_next(frames, "blocks", height))
        header = archived.block.header
        _check_block(archived, height, parent, sets)
        parent = block_id(header)
        ids.append(parent)
        times.append(header.time_ms)
        count += header.transactions_count
        advance_by(1)
    if next(frames, None) is not None:
        raise _wrong("there is more than the period", "blocks", manifest.to_height)
    return Archive(
        genesis.name, manifest.from_height, manifest.to_height, count, times[0], times[-1], digest, tuple(ids)
    )


class _Sets:
    """Which set of validators decides a height, as far as the archive's own headers prove it."""

    def __init__(self, genesis: Genesis) -> None:
        header, _ = genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))
        self.client: ClientState = begin(genesis.name, "bridge", header, genesis.validator_set())
        self._hashes: list[tuple[int, bytes]] = [(1, header.next_validators_hash)]
        self._keys: dict[bytes, tuple[bytes, ...]] = {header.next_validators_hash: tuple(genesis.validator_set().keys)}
        self.chain_id = genesis.chain_id

    def add(self, proof: HeaderProof) -> None:
        """The next header that changes the set."""
        self.client = advance(self.client, proof)
        keys = proof.validators or self.client.validators
        self._keys[proof.header.validators_hash] = tuple(keys)
        self._hashes.append((proof.header.height + 1, proof.header.next_validators_hash))

    def check(self, header: Header, block: DecidedBlock) -> None:
        """Checks the certificate of a block."""
        wanted = next(found for start, found in reversed(self._hashes) if start <= header.height)
        if header.validators_hash != wanted:
            raise _wrong("the block is not of the set that is in force", "validators_hash", header.height)
        keys = self._keys.get(wanted)
        if keys is None:
            raise _wrong("the set that decided the block is not in the archive", "epochs", header.height)
        verify_certificate(block.certificate, self.chain_id, ValidatorSet(PublicKey(key) for key in keys))


def _check_block(archived: ArchivedBlock, height: int, parent: bytes, sets: _Sets) -> None:
    block, header = archived.block, archived.block.header
    name = block_id(header)
    if (header.height, header.chain_id) != (height, sets.chain_id):
        raise _wrong("the header is of another block", "header", height)
    if parent and header.parent != parent:
        raise _wrong("the block does not follow the one before it", "parent", height)
    certificate = block.certificate
    if (certificate.block_id, certificate.height, certificate.epoch) != (name, height, header.epoch):
        raise _wrong("the certificate is of another block", "certificate", height)
    sets.check(header, block)
    refs = [Transaction.decode(wire).ref for wire in block.transactions]
    if len(refs) != header.transactions_count or transactions_root(refs) != header.transactions_root:
        raise _wrong("the transactions do not give the header's root", "transactions", height)
    if receipts_root(archived.receipts) != header.receipts_root:
        raise _wrong("the receipts do not give the header's root", "receipts", height)


def held_by(files: Iterable[Path], genesis: Genesis, store: ChainStore) -> set[int]:
    """Heights that verified archives hold, of this very chain.

    Raises:
        InvalidInput: as ``verify``; ``archive_wrong`` also where a block is not the one that the chain has.
    """
    held: set[int] = set()
    for file in files:
        archive = verify(file, genesis)
        for height, name in enumerate(archive.ids, start=archive.from_height):
            if height <= store.height and block_id(store.header(height)) != name:
                raise _wrong(f"{file} holds another block than this chain", "block_id", height)
            held.add(height)
    return held


def _next(frames: Iterator[bytes], field: str, height: int = 0) -> bytes:
    data = next(frames, None)
    if data is None:
        raise _wrong("the archive ends too early", field, height)
    return data


def _damaged(why: str, field: str) -> InvalidInput:
    return InvalidInput(f"{why} ({field})", code="archive_damaged", field=field)


def _wrong(why: str, field: str, height: int) -> InvalidInput:
    return InvalidInput(f"height {height}, {field}: {why}", code="archive_wrong", field=field, height=height)
