"""The daemon's process: logging, the event loop, signals, the exit code."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
import uvloop

from ledger.errors import DiskFull, Fatal, StorageFault, TidegateError
from node.cli.exit_codes import INTERNAL, INTERRUPTED, OK, exit_code_of
from node.home import Home
from node.keyfile import PassphraseSource, environment_passphrase
from node.layout import HOME_MODE
from node.log_files import LogFile
from node.observability.library_logs import take_library_logs
from node.run_state import RunStateFile
from node.sd_notify import Notifier
from node.upkeep import Upkeep

log = structlog.get_logger(__name__)

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def configure_logging(level: str, style: str, *, name: str, chain: str, out: TextIO | LogFile | None = None) -> None:
    """Sets up structlog once a process: constant events, ``node`` and ``chain`` bound to every line.

    Args:
        level: debug, info, warning or error.
        style: ``json`` or ``console``.
        name: the node's.
        chain: the chain's name.
        out: where lines go; standard error by default.
    """
    stream: Any = sys.stderr if out is None else out
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=name, chain=chain)
    take_library_logs()


def run(
    path: Path, flags: Mapping[str, object] | None = None, passphrase: PassphraseSource = environment_passphrase
) -> int:
    """Runs the daemon on the home at ``path`` until TERM or INT; returns the process' exit code.

    Args:
        path: the home.
        flags: configuration values by dotted key, which win over environment and file.
        passphrase: opens sealed key files.
    """
    failed: TidegateError | None = None
    process = _Process()
    try:
        with ExitStack() as stack:
            home = stack.enter_context(Home.open(path, flags=flags, passphrase=passphrase))
            process.lives(home)
            other: Home | None = None
            if home.config.fusion.supervision_home:
                # Without the way back in it: a socket's path may not be long.
                place = Path(os.path.normpath(home.path / home.config.fusion.supervision_home))
                other = stack.enter_context(Home.open(place, environment=False, passphrase=passphrase))
                process.lives(other)
            process.log_to(home)
            uvloop.run(process.serve(home, other))
    except* TidegateError as group:
        failed = _full_disk(_first(group))
    except* OSError as group:
        failed = _no_room(group)
        if failed is None:
            process.ended(INTERNAL, "internal", repr(group.exceptions[0]))
            raise
    except* Exception as group:
        process.ended(INTERNAL, "internal", repr(group.exceptions[0]))
        raise
    if failed is None:
        process.ended(OK)
        return OK
    log.critical("node_failed", code=failed.code, why=failed.message)
    sys.stderr.write(f"error: {failed.message} [{failed.code}]\n")
    code = exit_code_of(failed)
    process.ended(code, failed.code, failed.message)
    return code


class _Process:
    """What the process has beside the node: its log file, its signals, and what it says of itself."""

    def __init__(self) -> None:
        self._notifier = Notifier()
        self._life: list[RunStateFile] = []
        self._logs: LogFile | None = None
        self._asked_to_stop = False
        self._stop: asyncio.Event | None = None

    def lives(self, home: Home) -> None:
        """This home's daemon has begun."""
        self._life.append(RunStateFile(home.layout.run_dir))
        self._life[-1].enter("starting")

    def ended(self, exit_code: int, code: str = "", why: str = "") -> None:
        """The process is about to end so. The log file stays open: a last line may be to come."""
        for life in self._life:
            life.enter("ended", exit_code=exit_code, code=code, why=why)

    def log_to(self, home: Home) -> None:
        """Sets up logging as the configuration says."""
        wanted = home.config.log
        if wanted.file:
            file = home.path / wanted.file
            file.parent.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
            self._logs = LogFile(file, max_bytes=wanted.max_bytes, keep=wanted.keep)
        configure_logging(
            wanted.level, wanted.format, name=home.config.node.name, chain=home.genesis.name, out=self._logs
        )

    async def serve(self, home: Home, other: Home | None) -> None:
        """Runs the node until a signal ends it."""
        self._stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        from node.app import App  # noqa: PLC0415 - brings libp2p, which takes half a second: a home is refused before
        from node.data.starting import run_mended  # noqa: PLC0415 - as above

        stop, homes = self._stop, [home] if other is None else [home, other]
        upkeep = Upkeep(homes, self._notifier, self._life)
        upkeep.disk.check()  # before anything looks at the data, and writes

        async def run_app() -> None:
            try:
                await App(home, other, upkeep=upkeep).run(stop)
            finally:
                upkeep.summary = lambda: "preparing"
                upkeep.enter("stopping" if stop.is_set() else "starting")

        beside = asyncio.create_task(upkeep.run(), name="upkeep")
        try:
            await run_mended(homes, stop, run_app, self._notifier)
        finally:
            beside.cancel()
            await asyncio.wait((beside,))

    def _on_stop(self, number: signal.Signals) -> None:
        if self._asked_to_stop:
            # Whoever asks twice does not want to wait. Everything that counts is on the disk at any moment.
            log.warning("node_ended_at_once", signal=number.name)
            self.ended(INTERRUPTED, "ended_at_once", "told to stop a second time while it was stopping")
            os._exit(INTERRUPTED)
        self._asked_to_stop = True
        assert self._stop is not None
        self._stop.set()

    def _on_hangup(self) -> None:
        if self._logs is None and not self._notifier.enabled and sys.stderr.isatty():
            self._on_stop(signal.SIGHUP)  # the person's terminal is gone
            return
        self._notifier.reloading()
        if self._logs is not None:
            self._logs.reopen()
        log.info("log_reopened")
        if self._life and self._life[0].stage == "serving":
            self._notifier.ready()


def _first(group: BaseExceptionGroup[TidegateError]) -> TidegateError:
    errors: list[TidegateError] = []

    def collect(part: BaseExceptionGroup[TidegateError]) -> None:
        for error in part.exceptions:
            if isinstance(error, BaseExceptionGroup):
                collect(error)
            else:
                errors.append(error)

    collect(group)
    return next((error for error in errors if isinstance(error, Fatal)), errors[0])


def _full_disk(error: TidegateError) -> TidegateError:
    """``error``, or what is behind it when the disk had no room for a write."""
    if not isinstance(error, StorageFault) or isinstance(error, DiskFull):
        return error
    if error.data.get("errno") in _NO_ROOM or os.strerror(errno.ENOSPC) in error.message:
        return DiskFull(f"{error.message}: make room, then start the node again")
    return error


def _no_room(group: BaseExceptionGroup[OSError]) -> DiskFull | None:
    for error in group.exceptions:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            where = f" ({error.filename})" if error.filename else ""
            return DiskFull(f"the disk has no room left{where}: make room, then start the node again")
    return None
