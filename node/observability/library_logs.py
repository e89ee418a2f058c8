"""What libraries log, in the daemon's own form: one event name, the text beside it, node and chain as in every line."""

from __future__ import annotations

import logging
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EVENT: Final = "library_message"
MAX_TEXT: Final = 2_000
_METHODS: Final = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"))


class LibraryLogs(logging.Handler):
    """Hands records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logs one record."""
        method = next((name for level, name in _METHODS if record.levelno >= level), "info")
        try:
            text = record.getMessage()[:MAX_TEXT]
        except (TypeError, ValueError):  # arguments that do not fit their text
            text = str(record.msg)[:MAX_TEXT]
        getattr(log, method)(EVENT, library=record.name, text=text, exc_info=record.exc_info or None)


def take_library_logs(level: int = logging.WARNING) -> None:
    """From now on every library's records of ``level`` and above, and Python's warnings, are logged so."""
    root = logging.getLogger()
    root.handlers[:] = [LibraryLogs()]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
