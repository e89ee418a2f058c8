"""Exit codes, one table for every command and the daemon. Stable: scripts and service managers rely on them.

Above 64 they are those of sysexits.h where it has a fitting one. docs/operator.md shows the same table.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import (
    DiskFull,
    Fatal,
    HomeLocked,
    InvalidBlock,
    InvalidConfig,
    InvalidGenesis,
    InvalidInput,
    InvalidProof,
    InvalidSignature,
    InvalidTransaction,
    NotFound,
    Overloaded,
    RemoteFault,
    StorageFault,
    TidegateError,
    TransportFailed,
)

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
INVALID_INPUT: Final = 3
UNAVAILABLE: Final = 4
NOT_FOUND: Final = 5
OVERLOADED: Final = 6
INTERNAL: Final = 70
DISK_FULL: Final = 73
STORAGE: Final = 74
LOCKED: Final = 75
TRANSPORT: Final = 76
CONFIG: Final = 78
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "done",
    REFUSED: "a check failed, or the chain refused the transaction",
    USAGE: "the command line is wrong",
    INVALID_INPUT: "something handed in is wrong; nothing has changed",
    UNAVAILABLE: "a node or peer cannot be reached, or did not answer in time",
    NOT_FOUND: "what was asked for is not known there",
    OVERLOADED: "the node is full; try again later",
    INTERNAL: "a bug in Tidegate, or a broken invariant: the node stopped rather than go on",
    DISK_FULL: "too little room on the disk: the node stopped, or did not start, before its store could be stuck",
    STORAGE: "the disk failed, or gave back damaged records",
    LOCKED: "another process uses this home directory",
    TRANSPORT: "the overlay died more often than it may be rebuilt",
    CONFIG: "configuration, genesis file, key file or home directory cannot be used",
    INTERRUPTED: "interrupted by the user",
}

_BY_CLASS: Final[tuple[tuple[type[TidegateError], int], ...]] = (
    # From the special to the general: the first that fits holds.
    (NotFound, NOT_FOUND),
    (Overloaded, OVERLOADED),
    (InvalidConfig, CONFIG),
    (InvalidGenesis, CONFIG),
    (InvalidProof, REFUSED),
    (InvalidBlock, REFUSED),
    (InvalidSignature, REFUSED),
    (InvalidTransaction, REFUSED),
    (InvalidInput, INVALID_INPUT),
    (RemoteFault, UNAVAILABLE),
    (HomeLocked, LOCKED),
    (DiskFull, DISK_FULL),
    (StorageFault, STORAGE),
    (TransportFailed, TRANSPORT),
    (Fatal, INTERNAL),
)
# An error that came over RPC may have lost its class, but not its code.
_BY_CODE: Final = {kind.code: exit_code for kind, exit_code in _BY_CLASS}


class Refused(InvalidInput):
    """A check that a command made failed, or the chain refused its transaction; ``code`` is the reason code."""

    code = "refused"


def exit_code_of(error: BaseException) -> int:
    """The exit code of a process that ends with ``error``."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, Refused):
        return REFUSED
    if not isinstance(error, TidegateError):
        return INTERNAL
    exact = _BY_CODE.get(error.code)
    if exact is not None:
        return exact
    return next((exit_code for kind, exit_code in _BY_CLASS if isinstance(error, kind)), INTERNAL)
