"""The daemon's process: logging, the event loop, signals, the exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import structlog
import uvloop

from ledger.errors import Fatal, TidegateError
from node.cli.exit_codes import exit_code_of
from node.home import Home
from node.keyfile import PassphraseSource, environment_passphrase

log = structlog.get_logger(__name__)


def configure_logging(level: str, style: str, *, name: str, chain: str) -> None:
    """Sets up structlog once a process: constant events, ``node`` and ``chain`` bound to every line.

    Args:
        level: debug, info, warning or error.
        style: ``json`` or ``console``.
        name: the node's.
        chain: the chain's name.
    """
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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    structlog.contextvars.bind_contextvars(node=name, chain=chain)


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
    try:
        with ExitStack() as stack:
            home = stack.enter_context(Home.open(path, flags=flags, passphrase=passphrase))
            other: Home | None = None
            if home.config.fusion.supervision_home:
                # Without the way back in it: a socket's path may not be long.
                place = Path(os.path.normpath(home.path / home.config.fusion.supervision_home))
                other = stack.enter_context(Home.open(place, environment=False, passphrase=passphrase))
            configure_logging(
                home.config.log.level, home.config.log.format, name=home.config.node.name, chain=home.genesis.name
            )
            uvloop.run(_run(home, other))
    except* TidegateError as group:
        failed = _first(group)
    if failed is None:
        return 0
    log.critical("node_failed", code=failed.code, why=failed.message)
    sys.stderr.write(f"error: {failed.message} [{failed.code}]\n")
    return exit_code_of(failed)


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


async def _run(home: Home, other: Home | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    from node.app import App  # noqa: PLC0415 - brings libp2p, which takes half a second: a home is refused before

    await App(home, other).run(stop)
