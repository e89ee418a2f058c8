"""Files that are either whole or not there: written aside, synced, renamed, and the directory synced."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ledger.errors import InvalidConfig


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = False) -> None:
    """Writes ``data`` to ``path`` so that a crash leaves the old file or the new one, never a part.

    Args:
        path: where; its directory exists.
        data: the whole content.
        mode: permission bits, whatever the umask says.
        replace: whether a file that is there already may be replaced.

    Raises:
        InvalidConfig: ``file_exists``, or ``file_unwritable`` with the system's reason.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                aside.replace(path)
            else:
                # A link fails where a rename would silently replace.
                path.hardlink_to(aside)
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError as error:
        raise InvalidConfig(f"{path} exists already and is not overwritten", code="file_exists") from error
    except OSError as error:
        raise InvalidConfig(f"cannot write {path}: {error.strerror}", code="file_unwritable") from error


def sync_directory(path: Path) -> None:
    """Makes names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
