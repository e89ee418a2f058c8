"""What is wrong with a home whose node does not run: read from its files, none of which is changed."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig, InvalidGenesis, InvalidInput
from ledger.genesis import Genesis, parse_genesis
from ledger.keys import parse_key
from node.cli.exit_codes import CONFIG, DISK_FULL, INTERRUPTED, MEANINGS, OK
from node.config import Config, load_config
from node.disk_watch import megabytes
from node.doctor.catalogue import found
from node.doctor.signed import examine_signer_log
from node.doctor.stored import examine_store
from node.doctor.wording import moment
from node.keyfile import check_private, read_public
from node.layout import KEYS_MODE, HomeLayout
from node.node_keys import NODE_KINDS
from node.run_state import RunState, read_run_state
from node.surroundings.finding import Finding

TAIL_BYTES: Final = 64 * 1024
TAIL_LINES: Final = 12
"""Grave ones; where there are none, the ``LAST_LINES``."""
LAST_LINES: Final = 3
MAX_LINE: Final = 300
DEFAULT_LOG: Final = "log/node.log"
"""Where a local network's nodes log."""
_GRAVE: Final = ("error", "critical")


@dataclass(frozen=True, slots=True)
class StoppedReport:
    """What the files show.

    Attributes:
        findings: in no order.
        height: of the store's tip, where it can be read.
        log_tail: the last lines of the log of a daemon that did not end in order, the grave ones where there are any.
    """

    findings: tuple[Finding, ...]
    height: int | None = None
    log_tail: tuple[str, ...] = ()


def examine_stopped(layout: HomeLayout, *, environment: bool = True) -> StoppedReport:
    """Examines the home. Reads the whole end of the chain, so it takes a second or two.

    Args:
        layout: of the home.
        environment: whether ``TIDEGATE_*`` holds for it.
    """
    if not layout.config_file.exists():
        return StoppedReport((found("home.missing", f"{layout.path} has no {layout.config_file.name}"),))
    try:
        config = load_config(layout.config_file, environment=environment)
        layout.socket(config.rpc.socket)
    except InvalidConfig as error:
        return StoppedReport((found("config.invalid", error.message, key=error.data.get("key")),))
    findings: list[Finding] = []
    genesis = _genesis(layout, config, findings)
    key = _keys(layout, findings)
    findings += _disk(layout, config)
    height, validator = None, False
    if genesis is not None:
        store = examine_store(layout.data_dir, genesis, key)
        findings += store.findings
        height, validator = store.height, store.validator
    findings += examine_signer_log(layout.wal_dir, height=height, validator=validator)
    findings += _port(config)
    end = _end(read_run_state(layout.run_dir), known=[one.code for one in findings])
    tail = () if end.code == "daemon.stopped" else _tail(layout.path / (config.log.file or DEFAULT_LOG))
    return StoppedReport((*findings, end), height, tail)


def _genesis(layout: HomeLayout, config: Config, findings: list[Finding]) -> Genesis | None:
    try:
        genesis = parse_genesis(layout.genesis_file.read_bytes())
    except FileNotFoundError:
        findings.append(found("genesis.missing", f"{layout.path} has no {layout.genesis_file.name}"))
        return None
    except OSError as error:
        findings.append(found("genesis.wrong", f"cannot read {layout.genesis_file}: {error.strerror}"))
        return None
    except InvalidGenesis as error:
        findings.append(found("genesis.wrong", f"{layout.genesis_file.name}: {error.message}"))
        return None
    pinned = config.chain.genesis_hash
    if pinned and genesis.hash.hex() != pinned:
        findings.append(
            found(
                "genesis.wrong",
                f"the hash of {layout.genesis_file.name} is {genesis.hash.hex()}, and this home was made for {pinned}",
                hash=genesis.hash.hex(),
                pinned=pinned,
            )
        )
        return None
    return genesis


def _keys(layout: HomeLayout, findings: list[Finding]) -> bytes | None:
    """The validator's public key; what is wrong with the key files is added to ``findings``."""
    validator: bytes | None = None
    try:
        check_private(layout.keys_dir, KEYS_MODE)
        for kind in NODE_KINDS:
            public = read_public(layout.key_file(kind))[1]
            if kind == "validator":
                validator = parse_key(public)
    except InvalidInput as error:
        findings.append(found("keys.unusable", error.message, cause=error.code))
    return validator


def _disk(layout: HomeLayout, config: Config) -> Iterator[Finding]:
    for directory in (layout.data_dir, layout.wal_dir):
        try:
            room = os.statvfs(directory)
        except OSError:
            continue
        free, reserve = room.f_bavail * room.f_frsize, config.storage.min_free_bytes
        if free < reserve:
            yield found(
                "disk.full",
                f"{megabytes(free)} are free on the disk of {directory}; the node does not start below "
                f"{megabytes(reserve)} (storage.min_free_bytes)",
                free_bytes=free,
                min_free_bytes=reserve,
            )
            return


def _port(config: Config) -> Iterator[Finding]:
    host, port = config.p2p.listen_host, config.p2p.listen_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            yield found("port.taken", f"another process listens on {host}:{port}", host=host, port=port)
        elif error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            yield found(
                "config.invalid", f"p2p.listen_host: {host} is no address of this machine", key="p2p.listen_host"
            )


def _end(state: RunState | None, *, known: list[str]) -> Finding:
    """How the last daemon ended."""
    if state is None:
        return found("daemon.stopped", "no daemon has run on this home yet, as far as it shows")
    when = moment(state.since_ms)
    if state.stage != "ended":
        return found(
            "daemon.killed",
            f"the daemon (pid {state.pid}) was {state.stage} at {when} and ended without a word",
            pid=state.pid,
            stage=state.stage,
        )
    if state.exit_code in (OK, INTERRUPTED):
        return found("daemon.stopped", f"the daemon was stopped at {when}", exit_code=state.exit_code)
    if state.exit_code == DISK_FULL and "disk.full" not in known:
        return found(
            "daemon.stopped",
            f"the daemon stopped at {when} for want of room on the disk, and there is room again",
            exit_code=state.exit_code,
        )
    meaning = MEANINGS.get(state.exit_code or 0, "unknown")
    remedy = "correct what it names, then start it" if state.exit_code == CONFIG else None
    return found(
        "daemon.failed",
        f"the daemon ended at {when} with exit code {state.exit_code} ({meaning}): {state.why} [{state.code}]",
        remedy=remedy,
        exit_code=state.exit_code,
        code=state.code,
    )


def _tail(file: Path) -> tuple[str, ...]:
    """The last lines of a log that say something grave; where none does, the last ones."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = [_shown(line) for line in log.read().decode(errors="replace").splitlines()]
    except OSError:
        return ()
    grave = [words for words, is_grave in lines if is_grave]
    return tuple(grave[-TAIL_LINES:] or [words for words, _ in lines[-LAST_LINES:]])


def _shown(line: str) -> tuple[str, bool]:
    """A log line for a person, and whether it says something grave."""
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return line, line.startswith(("error:", "internal error"))
    said = {name: document.pop(name, "") for name in ("timestamp", "level", "event")}
    rest = " ".join(f"{name}={value}" for name, value in document.items() if name not in ("node", "chain"))
    return f"{said['timestamp']} {said['level']} {said['event']} {rest}"[:MAX_LINE], said["level"] in _GRAVE
