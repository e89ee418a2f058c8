"""The named points at which a test may end a node: every boundary between two effects on disk, network or chain.

The product has no switch for this. ``install`` wraps the function of a point in the process that calls it, so that the
``count``-th passing ends with what ``crash`` does: in a simulated node an exception after which its unsynced data is
gone, in a real daemon SIGKILL of itself.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, NoReturn

from node.signer_log import MAGIC

When = Literal["before", "after", "half"]
Matches = Callable[[tuple[Any, ...]], bool]


@dataclass(frozen=True)
class Point:
    """A moment in the life of a node.

    Attributes:
        module: dotted name of the module in which the function is looked up.
        qualified_name: of the function there, ``Class.method`` for a method.
        when: before it is called, after it has returned, or ``half``: half of the bytes that it writes are written.
        matches: which calls count, from their positional arguments.
        rare: reached only in situations that a healthy network does not get into by itself.
    """

    module: str
    qualified_name: str
    when: When
    matches: Matches = lambda _: True
    rare: bool = False

    def owner(self) -> tuple[Any, str]:
        """The object that holds the function, and the function's name in it."""
        holder: Any = importlib.import_module(self.module)
        *outer, name = self.qualified_name.split(".")
        for part in outer:
            holder = getattr(holder, part)
        return holder, name


def _effect(name: str) -> Matches:
    return lambda arguments: type(arguments[1]).__name__ == name


def _report(arguments: tuple[Any, ...]) -> bool:
    return type(arguments[1]).__name__ in REPORTS


def _whole_log(arguments: tuple[Any, ...]) -> bool:
    return bytes(arguments[1][: len(MAGIC)]) == MAGIC


def _batch(arguments: tuple[Any, ...]) -> bool:
    return not _whole_log(arguments)


ACTS = (
    "Broadcast", "SendTo", "ReturnLatest", "SetTimer", "CancelTimer", "BuildBlock", "CheckBlock", "FetchBlock",
    "CommitBlock", "SendDecided",
)  # fmt: skip
"""Effects that do something, beside ``Persist``, which the driver performs by ``Driver._persist``."""
REPORTS = ("ReportEvidence", "RefuseBlock", "ReportSigningRefused", "EnterObserve", "LeaveObserve", "Halt")
"""Effects that only tell the operator (``Halt`` ends the process by itself)."""
_RARE = ("FetchBlock", "SendDecided", "SendTo")
_DRIVER, _LOG, _CHAIN = "node.driver", "node.signer_log", "node.chain"

POINTS: dict[str, Point] = {
    # --- the signer log: Persist ---
    "persist.before": Point(_DRIVER, "Driver._persist", "before"),
    "persist.after": Point(_DRIVER, "Driver._persist", "after"),
    "log.append.before": Point(_LOG, "SignerLog.append", "before"),
    "log.append.half": Point(_LOG, "_write_all", "half", _batch),
    "log.append.after": Point(_LOG, "SignerLog.append", "after"),
    "log.sync.before": Point(_LOG, "SignerLog.sync", "before"),
    "log.sync.after": Point(_LOG, "SignerLog.sync", "after"),
    "log.compact.before": Point(_LOG, "SignerLog.compact", "before"),
    "log.compact.after": Point(_LOG, "SignerLog.compact", "after"),
    # A new file: at the first start, and at each compaction.
    "log.new.half": Point(_LOG, "_write_all", "half", _whole_log),
    "log.new.written": Point(_LOG, "_write_all", "after", _whole_log),
    "log.new.synced": Point(_LOG, "_rename", "before"),
    "log.new.renamed": Point(_LOG, "_rename", "after"),
    "log.new.directory_synced": Point(_LOG, "_sync_directory", "after"),
    # --- everything else that the state machine orders ---
    **{
        f"effect.{name}.{when}": Point(_DRIVER, "Driver._perform", when, _effect(name), name in _RARE)
        for name in ACTS
        for when in ("before", "after")
    },  # type: ignore[dict-item]
    "effect.report.after": Point(_DRIVER, "Driver._perform", "after", _report, rare=True),
    # --- blocks ---
    "block.built": Point(_CHAIN, "Chain.build", "after"),
    "block.checked": Point(_CHAIN, "Chain.check", "after"),
    "block.import.before": Point(_DRIVER, "Driver.import_block", "before"),
    "block.import.after": Point(_DRIVER, "Driver.import_block", "after"),
    "chain.commit.before": Point(_CHAIN, "Chain.commit", "before"),
    "store.write.before": Point("ledger.store_leveldb", "LevelStore.write", "before"),
    "store.write.after": Point("ledger.store_leveldb", "LevelStore.write", "after"),
    "chain.commit.after": Point(_CHAIN, "Chain.commit", "after"),
    "chain.told": Point("node.core", "NodeCore._on_committed", "after"),
    "height.before": Point(_DRIVER, "Driver._start_height", "before"),
    "height.after": Point(_DRIVER, "Driver._start_height", "after"),
    # --- inside recovery, in order ---
    "recovery.store_opened": Point("ledger.store_leveldb", "LevelStore.__init__", "after"),
    "recovery.chain_loaded": Point(_CHAIN, "Chain.__init__", "after"),
    "recovery.log_opening": Point(_LOG, "SignerLog.__init__", "before"),
    "recovery.log_scanned": Point(_LOG, "_scan", "after"),
    "recovery.log_cut.before": Point(_LOG, "_cut", "before", rare=True),
    "recovery.log_cut.after": Point(_LOG, "_cut", "after", rare=True),
    "recovery.log_synced": Point(_LOG, "SignerLog.__init__", "after"),
    "recovery.state_restored": Point("node.core", "restore", "after"),
    "recovery.recheck.before": Point("node.host", "recheck", "before"),
    "recovery.recheck.after": Point("node.host", "recheck", "after"),
    "recovery.overlay_up": Point("node.core", "NodeCore.start", "after"),
    "recovery.greeting": Point(_DRIVER, "Driver._start_after_greeting", "before"),
    "recovery.first_height": Point(_DRIVER, "Driver._start_after_greeting", "after"),
}


class Installed:
    """A point that is being watched; a context manager that takes the wrapper away again.

    ``crash`` may return where the point is no longer wanted; the call then goes on.

    Attributes:
        passed: how often the point was passed.
    """

    def __init__(self, point: Point, count: int, crash: Callable[[], None], counts: Matches) -> None:
        self._owner, self._name = point.owner()
        self._original = inspect.getattr_static(self._owner, self._name)
        self._point, self._count, self._crash, self._counts = point, count, crash, counts
        self.passed = 0
        setattr(self._owner, self._name, self._wrapped(self._original))

    def remove(self) -> None:
        """Puts the function back; the wrappers of one function are removed in reverse order."""
        setattr(self._owner, self._name, self._original)

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _pass(self, arguments: tuple[Any, ...]) -> bool:
        """Whether this call is the one; every call that counts is counted."""
        if not self._point.matches(arguments) or not self._counts(arguments):
            return False
        self.passed += 1
        return self.passed == self._count

    def _wrapped(self, original: Any) -> Any:
        before, after = self._point.when == "before", self._point.when == "after"

        @wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            hit = self._pass(arguments)
            if hit and self._point.when == "half":
                descriptor, data = arguments
                os.write(descriptor, data[: max(1, len(data) // 2)])
                self._crash()
            if hit and before:
                self._crash()
            result = original(*arguments, **named)
            if hit and after:
                self._crash()
            return result

        @wraps(original)
        async def call_async(*arguments: Any, **named: Any) -> Any:
            hit = self._pass(arguments)
            if hit and before:
                self._crash()
            result = await original(*arguments, **named)
            if hit and after:
                self._crash()
            return result

        return call_async if inspect.iscoroutinefunction(original) else call


def install(name: str, count: int, crash: Callable[[], NoReturn], *, counts: Matches = lambda _: True) -> Installed:
    """Makes the ``count``-th passing of a point end in ``crash``.

    Args:
        name: of the point.
        count: 1 for the first passing after this.
        crash: ends the node: raises, or ends the process.
        counts: which calls count, from their positional arguments, where one process holds several nodes
            (``lambda arguments: arguments[0] is driver``).
    """
    return Installed(POINTS[name], count, crash, counts)
