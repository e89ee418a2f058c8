"""A node's home directory: configuration, genesis, keys, and the lock that keeps a second process out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from ledger.errors import HomeLocked, InvalidGenesis
from ledger.genesis import Genesis, parse_genesis
from node.atomic_file import write_atomic
from node.config import Config, check_config_text, load_config
from node.config_text import NodeSettings, config_text, pin_genesis
from node.keyfile import PassphraseSource, environment_passphrase, write_key
from node.layout import HomeLayout
from node.node_keys import NODE_KINDS, AuthorityKeys, NodeKeys, read_authority_keys, read_keys

__all__ = ["Home", "NodeKeys", "NodeSettings", "lock_holder", "read_keys"]


class Home:
    """An open home directory. Use it as a context manager, or ``close`` it: that gives the lock back.

    Attributes:
        path: the directory, absolute.
        config: checked configuration.
        genesis: checked genesis.
        genesis_bytes: the genesis file as it is.
        keys: see ``NodeKeys``.
        data_dir: blocks and state.
        wal_dir: what consensus must remember across a crash.
        socket: RPC socket.
        log_dir: log files.
    """

    __slots__ = (
        "_lock", "_passphrase", "config", "data_dir", "genesis", "genesis_bytes", "keys", "layout", "log_dir", "path",
        "socket", "wal_dir",
    )  # fmt: skip

    def __init__(
        self,
        layout: HomeLayout,
        config: Config,
        genesis_bytes: bytes,
        keys: NodeKeys,
        lock: int | None,
        passphrase: PassphraseSource = environment_passphrase,
    ) -> None:
        self.layout = layout
        self.path = layout.path
        self.config = config
        self.genesis_bytes = genesis_bytes
        self.genesis: Genesis = _checked_genesis(layout, config, genesis_bytes)
        self.keys = keys
        self.data_dir = layout.data_dir
        self.wal_dir = layout.wal_dir
        self.log_dir = layout.log_dir
        self.socket = layout.socket(config.rpc.socket)
        self._lock = lock
        self._passphrase = passphrase

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        lock: bool = True,
        flags: Mapping[str, object] | None = None,
        environment: bool = True,
        passphrase: PassphraseSource = environment_passphrase,
    ) -> Home:
        """Opens the home at ``path``.

        Args:
            path: the directory.
            lock: keep other processes out until ``close``; a reader beside a running node passes False.
            flags: configuration values by dotted key that win over environment and file.
            environment: whether ``TIDEGATE_*`` holds for this home; not for the second home of a fusion node.
            passphrase: opens sealed key files.

        Raises:
            HomeLocked: another process uses it; ``data["pid"]``.
            InvalidConfig: no home, bad configuration, unusable key file, loose permissions, too long a socket path.
            InvalidGenesis: the genesis file is missing, damaged, or not the one this home was made for.
        """
        layout = HomeLayout(path)
        config = load_config(layout.config_file, flags, environment=environment)
        layout.make_directories()
        held = _take_lock(layout.lock_file) if lock else None
        try:
            return cls(layout, config, _read_genesis(layout), read_keys(layout, passphrase), held, passphrase)
        except BaseException:
            if held is not None:
                os.close(held)
            raise

    @classmethod
    def create(
        cls,
        path: Path | str,
        settings: NodeSettings,
        *,
        genesis: bytes | None = None,
        keys: NodeKeys | None = None,
        passphrase: str | None = None,
    ) -> HomeLayout:
        """Makes a home, or adds what is missing to one. What is there already is kept.

        Args:
            path: the directory.
            settings: for ``config.toml``.
            genesis: the genesis file's bytes; they can be added later.
            keys: the node's keys; new ones when None.
            passphrase: seals the key files that are written.

        Raises:
            InvalidConfig: a setting is not allowed, or a file cannot be written; ``file_exists`` when ``keys`` are
                given and key files are there.
            InvalidGenesis: ``genesis`` is wrong, or another one is there.
        """
        pinned = None if genesis is None else parse_genesis(genesis).hash.hex()
        layout = HomeLayout(path)
        layout.socket(settings.socket)
        text = layout.config_file.read_text(encoding="utf-8") if layout.config_file.exists() else config_text(settings)
        check_config_text(text)
        layout.make_directories()
        seeds = (keys or NodeKeys.generate()).seeds()
        for kind in NODE_KINDS:
            if keys is not None or not layout.key_file(kind).exists():
                write_key(layout.key_file(kind), kind, seeds[kind], passphrase=passphrase)
        if genesis is not None:
            _put_genesis(layout, genesis)
        if pinned is not None and "\n[chain]" not in text:
            text += pin_genesis(pinned)
        write_atomic(layout.config_file, text.encode(), replace=True)
        return layout

    def authority_keys(self) -> AuthorityKeys:
        """What an authority opens documents with. Raises as ``read_authority_keys``."""
        return read_authority_keys(self.layout, self._passphrase)

    @property
    def locked(self) -> bool:
        """True while this object keeps other processes out."""
        return self._lock is not None

    def close(self) -> None:
        """Gives the lock back. Safe to call twice."""
        held, self._lock = self._lock, None
        if held is not None:
            os.close(held)

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"


def lock_holder(layout: HomeLayout) -> int | None:
    """Process id of who uses the home, 0 when it is locked but not known, or None when it is free."""
    try:
        os.close(_take_lock(layout.lock_file, write_pid=False))
    except HomeLocked as error:
        pid = error.data["pid"]
        return pid if isinstance(pid, int) else 0
    return None


def _take_lock(path: Path, *, write_pid: bool = True) -> int:
    """Descriptor of the locked file. The system drops the lock with the process, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).strip()
        os.close(descriptor)
        pid = int(holder) if holder.isdigit() else 0
        raise HomeLocked(
            f"{path.parent} is used by another process (pid {pid or 'unknown'}); one process a home", pid=pid
        ) from error
    if write_pid:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _read_genesis(layout: HomeLayout) -> bytes:
    try:
        return layout.genesis_file.read_bytes()
    except FileNotFoundError as error:
        raise InvalidGenesis(
            f"{layout.path} has no genesis.json yet: tidegate node init --home '{layout.path}' --genesis FILE",
            code="genesis_missing",
        ) from error
    except OSError as error:
        raise InvalidGenesis(f"cannot read {layout.genesis_file}: {error.strerror}") from error


def _checked_genesis(layout: HomeLayout, config: Config, data: bytes) -> Genesis:
    genesis = parse_genesis(data)
    pinned = config.chain.genesis_hash
    if pinned and genesis.hash.hex() != pinned:
        raise InvalidGenesis(
            f"{layout.genesis_file} is not the one this home was made for: its hash is {genesis.hash.hex()}, "
            f"chain.genesis_hash is {pinned}",
            code="genesis_mismatch",
        )
    return genesis


def _put_genesis(layout: HomeLayout, genesis: bytes) -> None:
    if not layout.genesis_file.exists():
        write_atomic(layout.genesis_file, genesis)
    elif parse_genesis(layout.genesis_file.read_bytes()).hash != parse_genesis(genesis).hash:
        raise InvalidGenesis(
            f"{layout.path} was made for another chain: {layout.genesis_file} says something else",
            code="genesis_mismatch",
        )
