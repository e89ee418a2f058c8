"""Keeps what only watches from hurting what it watches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

import structlog

log = structlog.get_logger(__name__)

W = TypeVar("W", bound=Callable[..., None])
_said: Final[set[str]] = set()


def harmless(watcher: W) -> W:
    """``watcher``, but whatever it raises is logged, once a process, and goes no further.

    It is called from the middle of a commit or an admission, where an error would stop the node.
    """

    @wraps(watcher)
    def guarded(*arguments: object) -> None:
        try:
            watcher(*arguments)
        except Exception:
            if watcher.__qualname__ not in _said:
                _said.add(watcher.__qualname__)
                log.exception("watcher_failed", watcher=watcher.__qualname__)

    return guarded  # type: ignore[return-value]
