"""Looks at the signer log of a home whose node does not run, without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ledger.errors import StorageFault
from node.doctor.catalogue import found
from node.signer_log import FILE_NAME, read_signer_log
from node.surroundings.finding import Finding


def examine_signer_log(wal_dir: Path, *, height: int | None, validator: bool) -> Iterator[Finding]:
    """What a start would say of the log.

    Args:
        wal_dir: a home's ``wal``.
        height: of the store's tip, where it is known.
        validator: whether the home's key may have signed.
    """
    if not (wal_dir / FILE_NAME).exists():
        if validator and height:
            yield found(
                "signer.lost",
                f"wal/{FILE_NAME} is missing, and this validator may have signed up to height {height + 1}",
                height=height,
            )
        return
    try:
        records = read_signer_log(wal_dir)
    except StorageFault as error:
        yield found("signer.damaged", f"{error.message}", place=error.data.get("place"))
        return
    except OSError as error:
        yield found("signer.damaged", f"wal/{FILE_NAME} cannot be read: {error.strerror}")
        return
    if not records and validator and height:
        yield found("signer.lost", f"wal/{FILE_NAME} is empty, and this validator may have signed up to {height + 1}")
