"""What an import remembers between its runs, in a directory of its own: a secret, and a journal.

``import.key``       32 secret bytes: salts and patients' keys are derived from it, so that the same request gives the
                     same flow in every run. Whoever reads it can act as every patient that the import made.
``journal.ndjson``   appended only: which request is which flow (written before anything is sent), whom the chain has
                     admitted, and how requests ended. It says what need not be looked at again; how far a flow is that
                     it does not call ended, the chain says.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ledger.errors import HomeLocked, InvalidConfig
from node.atomic_file import write_atomic
from node.keyfile import check_private

VERSION: Final = 1
SECRET_FILE: Final = "import.key"  # noqa: S105 - a file's name
JOURNAL_FILE: Final = "journal.ndjson"
LOCK_FILE: Final = "lock"
SECRET_BYTES: Final = 32
FLUSH_LINES: Final = 64
FLUSH_S: Final = 0.5
MAX_JOURNAL_BYTES: Final = 2 * 1024**3


@dataclass(slots=True)
class Remembered:
    """What the journal says.

    Attributes:
        chain_id: of the chain that it is about, hex; empty for a new one.
        flows: request → (flow in hex, hospital).
        admitted: patients that the chain has admitted.
        ended: request → fields of its ``RequestResult``.
    """

    chain_id: str = ""
    flows: dict[str, tuple[str, str]] = field(default_factory=dict)
    admitted: set[str] = field(default_factory=set)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)


class StateDirectory:
    """See the module. Use it as a context manager: one process at a time.

    Args:
        directory: made when it is not there.

    Attributes:
        secret: 32 bytes.
        remembered: what earlier runs wrote.

    Raises:
        InvalidConfig: ``import_state_invalid``: damaged, or of another version; or others may read the secret.
        HomeLocked: another process uses it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidConfig(f"cannot use {directory}: {error.strerror}", code="import_state_invalid") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise HomeLocked(f"another import uses {directory}") from error
        self._file: int | None = None
        self._lines: list[bytes] = []
        self._full = asyncio.Event()
        try:
            self.secret = self._secret()
            self.remembered = self._load()
            self._file = os.open(directory / JOURNAL_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StateDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writes what is left, and lets others use the directory."""
        if self._file is not None:
            self.flush()
            os.close(self._file)
            self._file = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # --- writing ----------------------------------------------------------------------------------------------------

    def begin(self, chain_id: bytes) -> None:
        """Ties the directory to a chain.

        Raises:
            InvalidConfig: ``import_state_foreign``: it is about another chain.
        """
        if self.remembered.chain_id not in ("", chain_id.hex()):
            raise InvalidConfig(
                f"{self.directory} is about another chain; an import into this one needs a directory of its own",
                code="import_state_foreign",
            )
        if not self.remembered.chain_id:
            self.append({"journal": VERSION, "chain": chain_id.hex()})
            self.remembered.chain_id = chain_id.hex()

    def plan(self, flows: Iterable[tuple[str, bytes, str]]) -> None:
        """Notes, before anything is sent, which (request, flow, hospital) there will be; on the disk on return."""
        for request, flow, hospital in flows:
            self.append({"plan": request, "flow": flow.hex(), "hospital": hospital})
        self.flush()

    def admitted(self, patients: Iterable[str]) -> None:
        """Notes patients that the chain has admitted."""
        self.append({"admitted": list(patients)})

    def ended(self, request: str, result: dict[str, Any]) -> None:
        """Notes how a request ended."""
        self.append({"end": request, "result": result})

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line; it is on the disk after the next flush."""
        self._lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        if len(self._lines) >= FLUSH_LINES:
            self._full.set()

    def flush(self) -> None:
        """Brings all lines to the disk.

        Raises:
            InvalidConfig: ``import_state_invalid``: the disk is full or gone.
        """
        lines, self._lines = self._lines, []
        self._full.clear()
        if not lines or self._file is None:
            return
        try:
            data = b"".join(lines)
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise InvalidConfig(
                f"cannot write {self.directory / JOURNAL_FILE}: {error.strerror}", code="import_state_invalid"
            ) from error

    async def keep_flushing(self) -> None:
        """Flushes in batches until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._full.wait()
            except TimeoutError:
                pass
            if self._lines:
                await asyncio.to_thread(self.flush)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _secret(self) -> bytes:
        path = self.directory / SECRET_FILE
        if not path.exists():
            if (self.directory / JOURNAL_FILE).exists():
                raise InvalidConfig(f"{path} is gone: without it the journal is of no use", code="import_state_invalid")
            write_atomic(path, secrets.token_bytes(SECRET_BYTES).hex().encode() + b"\n", mode=0o600)
        check_private(path, 0o600)
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"{path} is damaged", code="import_state_invalid") from error
        if len(secret) != SECRET_BYTES:
            raise InvalidConfig(f"{path} is damaged", code="import_state_invalid")
        return secret

    def _load(self) -> Remembered:
        path = self.directory / JOURNAL_FILE
        found = Remembered()
        if not path.exists():
            return found
        try:
            if path.stat().st_size > MAX_JOURNAL_BYTES:
                raise InvalidConfig(f"{path} is too large", code="import_state_invalid")
            good = self._read(path, found)
            if good < path.stat().st_size:
                # A crash in the middle of a line: what was torn had not been acted on.
                os.truncate(path, good)
        except OSError as error:
            raise InvalidConfig(f"cannot read {path}: {error.strerror}", code="import_state_invalid") from error
        return found

    def _read(self, path: Path, found: Remembered) -> int:
        good = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    _take(json.loads(line), found)
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise InvalidConfig(f"{path}, line {number}: not a journal", code="import_state_invalid") from error
                good += len(line)
        return good


def _take(line: dict[str, Any], found: Remembered) -> None:
    if "plan" in line:
        found.flows[line["plan"]] = (line["flow"], line["hospital"])
    elif "end" in line:
        found.ended[line["end"]] = dict(line["result"])
    elif "admitted" in line:
        found.admitted.update(line["admitted"])
    elif line["journal"] == VERSION:
        found.chain_id = line["chain"]
    else:
        raise ValueError
