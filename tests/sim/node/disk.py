"""A node's disk: what was synced survives a crash, of the rest any part may, torn where a disk may tear it.

``Disk`` is what a machine keeps; each run of a node opens ``store()`` and ``directory`` of it. ``crash`` gives the disk
that the next run finds: the old run's objects go on working, into nothing. The signer log is the product's own code,
over ``FAKE_OS`` in place of the module ``os``.
"""

from __future__ import annotations

import errno
import os
from random import Random
from typing import Any

from ledger.errors import StorageFault
from ledger.store import Batch
from ledger.store_memory import MemoryStore

SECTOR = 512
"""What a disk writes whole."""

Image = tuple[dict[bytes, bytes], list[bytes]]


class SimStore(MemoryStore):
    """A store whose unsynced batches a crash may take away, the later ones first."""

    __slots__ = ("_disk",)

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk
        self._records, self._keys = disk.images[-1]
        self._shared = True

    def write(self, batch: Batch, *, sync: bool = True) -> None:
        self._disk.check_store()
        super().write(batch, sync=sync)
        self._shared = True
        self._disk.wrote((self._open(), self._keys), sync=sync)


class File:
    """Content as programs see it, and how much of it is certain.

    Attributes:
        data: visible content.
        synced: content at the last sync.
    """

    def __init__(self, synced: bytes = b"") -> None:
        self.data = bytearray(synced)
        self.synced = synced

    def torn(self, random: Random) -> bytes:
        """What a crash leaves."""
        data, synced = bytes(self.data), self.synced
        if data == synced:
            return synced
        if not data.startswith(synced):
            return random.choice((data, synced))
        end = random.randint(len(synced), len(data))
        left = bytearray(data[:end])
        first = -(-len(synced) // SECTOR)
        for sector in range(first, end // SECTOR + 1):
            if random.random() < 0.2:
                # The length reached the disk and this sector did not.
                start = max(sector * SECTOR, len(synced))
                stop = min((sector + 1) * SECTOR, end)
                left[start:stop] = bytes(max(0, stop - start))
        return bytes(left)


class Directory:
    """Names as programs see them, and as they are on the disk."""

    def __init__(self, names: dict[str, File] | None = None) -> None:
        self.names = names or {}
        self.synced = dict(self.names)
        self.fail: int | None = None
        """Error number of the next write or sync, or None."""

    def torn(self, random: Random) -> Directory:
        """What a crash leaves."""
        names = self.names if random.random() < 0.5 else self.synced
        return Directory({name: File(file.torn(random)) for name, file in names.items()})

    def copy(self) -> Directory:
        """A backup of what is on the disk."""
        return Directory({name: File(file.synced) for name, file in self.synced.items()})

    def check(self) -> None:
        """Raises the error that was asked for."""
        if self.fail is not None:
            number, self.fail = self.fail, None
            raise OSError(number, os.strerror(number))


class FakePath:
    """As much of ``pathlib.Path`` as the signer log uses."""

    def __init__(self, directory: Directory, name: str = "") -> None:
        self.directory = directory
        self.name = name

    def __truediv__(self, name: str) -> FakePath:
        return FakePath(self.directory, name)

    def __str__(self) -> str:
        return f"/sim/{self.name}"

    @property
    def parent(self) -> FakePath:
        """What the directory is in, which is there and stays."""
        return FakePath(self.directory if self.name else Directory())

    def exists(self) -> bool:
        return self.name in self.directory.names

    def unlink(self, *, missing_ok: bool = False) -> None:
        if self.directory.names.pop(self.name, None) is None and not missing_ok:
            raise FileNotFoundError(errno.ENOENT, self.name)

    def read_bytes(self) -> bytes:
        return bytes(self._file().data)

    def rename(self, target: FakePath) -> FakePath:
        self.directory.names[target.name] = self.directory.names.pop(self.name)
        return target

    replace = rename

    def _file(self) -> File:
        try:
            return self.directory.names[self.name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, self.name) from None


class FakeOs:
    """The module ``os`` for fake paths and their descriptors; the real one for everything else."""

    FIRST = 1 << 20

    def __init__(self) -> None:
        self._open: dict[int, tuple[Directory, File | None]] = {}
        self._next = self.FIRST

    @property
    def real(self) -> Any:
        """The module ``os``."""
        return os

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def forget(self) -> None:
        """Closes everything: a schedule is over."""
        self._open.clear()
        self._next = self.FIRST

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if not isinstance(path, FakePath):
            return os.open(path, flags, mode)
        directory, file = path.directory, None
        if path.name:
            file = directory.names.get(path.name)
            if file is None:
                if not flags & os.O_CREAT:
                    raise FileNotFoundError(errno.ENOENT, path.name)
                directory.check()
                file = directory.names[path.name] = File()
            if flags & os.O_TRUNC:
                del file.data[:]
        self._next += 1
        self._open[self._next] = (directory, file)
        return self._next

    def close(self, descriptor: int) -> None:
        if descriptor < self.FIRST:
            os.close(descriptor)
        else:
            self._open.pop(descriptor, None)

    def write(self, descriptor: int, data: bytes) -> int:
        if descriptor < self.FIRST:
            return os.write(descriptor, data)
        directory, file = self._open[descriptor]
        assert file is not None
        directory.check()
        file.data += data
        return len(data)

    def fsync(self, descriptor: int) -> None:
        if descriptor < self.FIRST:
            os.fsync(descriptor)
            return
        directory, file = self._open[descriptor]
        directory.check()
        if file is None:
            directory.synced = dict(directory.names)
        else:
            file.synced = bytes(file.data)

    fdatasync = fsync

    def ftruncate(self, descriptor: int, size: int) -> None:
        if descriptor < self.FIRST:
            os.ftruncate(descriptor, size)
            return
        file = self._open[descriptor][1]
        assert file is not None
        del file.data[size:]


FAKE_OS = FakeOs()


class Disk:
    """See the module.

    Args:
        image: records and sorted keys that the store begins with.

    Attributes:
        directory: where the signer log is.
        images: the store as it was synced last, then after each batch that is not synced.
        losing: nothing is synced any more; the power fails.
        fail_store: words of the ``StorageFault`` that the next write of the store raises, or empty.
    """

    def __init__(self, image: Image, directory: Directory | None = None) -> None:
        self.images: list[Image] = [image]
        self.directory = directory or Directory()
        self.fail_store = ""
        self.losing = False

    def store(self) -> SimStore:
        """The store, for one run of a node."""
        return SimStore(self)

    def check_store(self) -> None:
        """Raises the error that was asked for."""
        if self.fail_store:
            words, self.fail_store = self.fail_store, ""
            raise StorageFault(words)

    def wrote(self, image: Image, *, sync: bool) -> None:
        """A batch is in the log file of the store; with ``sync`` on the disk, and all before it."""
        if sync and not self.losing:
            self.images.clear()
        self.images.append(image)

    def crash(self, random: Random) -> Disk:
        """The disk that the next run finds."""
        return Disk(random.choice(self.images), self.directory.torn(random))

    def closed(self) -> Disk:
        """The disk after an orderly end: nothing is lost."""
        for file in self.directory.names.values():
            file.synced = bytes(file.data)
        return Disk(self.images[-1], Directory(dict(self.directory.names)))

    def backup(self) -> Disk:
        """A copy of what is certain."""
        return Disk(self.images[0], self.directory.copy())
