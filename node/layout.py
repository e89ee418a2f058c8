"""Where everything is in a home directory (DESIGN.md 8). Light: client commands use it without the configuration."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig

DEFAULT_SOCKET: Final = "run/rpc.sock"
MAX_SOCKET_PATH_BYTES: Final = 100
"""Linux takes 107 bytes, others 103; a round number below both."""
KEYS_MODE: Final = 0o700
HOME_MODE: Final = 0o750


class HomeLayout:
    """The paths inside one home directory.

    Attributes:
        path: the home, absolute.
        config_file: ``config.toml``.
        genesis_file: ``genesis.json``.
        lock_file: locked while a process uses the home; holds its process id.
        keys_dir: secret keys.
        data_dir: blocks and state.
        wal_dir: what consensus must remember across a crash.
        run_dir: socket and process id file.
        log_dir: log files.
    """

    __slots__ = (
        "config_file", "data_dir", "genesis_file", "keys_dir", "lock_file", "log_dir", "path", "run_dir", "wal_dir",
    )  # fmt: skip

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().absolute()
        self.config_file = self.path / "config.toml"
        self.genesis_file = self.path / "genesis.json"
        self.lock_file = self.path / "lock"
        self.keys_dir = self.path / "keys"
        self.data_dir = self.path / "data"
        self.wal_dir = self.path / "wal"
        self.run_dir = self.path / "run"
        self.log_dir = self.path / "log"

    def key_file(self, kind: str) -> Path:
        """The file of the key of that kind."""
        return self.keys_dir / f"{kind}.key"

    def socket(self, configured: str = DEFAULT_SOCKET) -> Path:
        """The RPC socket's absolute path.

        Args:
            configured: the setting ``rpc.socket``, relative to the home or absolute.

        Raises:
            InvalidConfig: ``socket_path_too_long``: the system could not bind it.
        """
        socket = self.path / configured
        length = len(os.fsencode(socket))
        if length > MAX_SOCKET_PATH_BYTES:
            raise InvalidConfig(
                f"the socket path {socket} has {length} bytes, and a Unix socket can have {MAX_SOCKET_PATH_BYTES}: "
                "use a home with a shorter path, or set rpc.socket to a short absolute path",
                code="socket_path_too_long",
                length=length,
            )
        return socket

    def find_socket(self) -> Path:
        """The RPC socket as the environment or ``config.toml`` says, without checking the rest of either.

        Raises:
            InvalidConfig: there is no home here, or its ``config.toml`` is not TOML.
        """
        configured: object = os.environ.get("TIDEGATE_RPC__SOCKET")
        if configured is None:
            configured = read_toml(self.config_file).get("rpc", {}).get("socket", DEFAULT_SOCKET)
        if not isinstance(configured, str):
            raise InvalidConfig(f"{self.config_file}: rpc.socket is a path in quotes", key="rpc.socket")
        return self.socket(configured)

    def make_directories(self) -> None:
        """Makes the home and its directories where they are missing.

        Raises:
            InvalidConfig: ``home_unwritable``.
        """
        try:
            self.path.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
            self.keys_dir.mkdir(mode=KEYS_MODE, exist_ok=True)
            for directory in (self.data_dir, self.wal_dir, self.run_dir, self.log_dir):
                directory.mkdir(mode=HOME_MODE, exist_ok=True)
        except OSError as error:
            raise InvalidConfig(
                f"cannot make the home {self.path}: {error.strerror}", code="home_unwritable"
            ) from error


def read_toml(path: Path) -> dict[str, dict[str, object]]:
    """The tables of a configuration file.

    Raises:
        InvalidConfig: missing, unreadable, not UTF-8 or not TOML (with line and column), or a key outside a table.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidConfig(
            f"{path.parent} is not a Tidegate home: it has no {path.name}; `tidegate node init` makes one",
            code="home_missing",
        ) from error
    except OSError as error:
        raise InvalidConfig(f"cannot read {path}: {error.strerror}", code="file_unreadable") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    for key, value in document.items():
        if not isinstance(value, dict):
            raise InvalidConfig(f"{path}: {key} stands outside a [section]", key=key)
    return document
