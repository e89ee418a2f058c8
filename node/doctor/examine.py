"""The doctor: looks at a home, asks its node where one runs, and brings what it found into the order of causes."""

from __future__ import annotations

import asyncio
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ledger.errors import InvalidConfig, TidegateError
from node.client import Client
from node.doctor.catalogue import causes_first, found
from node.doctor.crossing import examine_relay
from node.doctor.live import examine_status
from node.doctor.wording import lasting
from node.layout import HomeLayout, read_toml
from node.run_state import RunState, read_run_state
from node.surroundings.finding import Finding

ASK_S: Final = 5.0
SETTLED_S: Final = 6.0
"""Before that a node that has just started may not have heard everybody: it is asked once more."""

State = Literal["running", "silent", "stopped"]


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found.

    Attributes:
        home: which.
        state: ``running``: it answered; ``silent``: its process is there and does not; ``stopped``.
        findings: causes first; empty when all is well.
        chains: of each chain that the daemon hosts its ``node.status``, as far as it answered.
        height: of the tip, where it is known.
        log_tail: of a home whose node does not run, what its log says last.
    """

    home: Path
    state: State
    findings: tuple[Finding, ...]
    chains: tuple[dict[str, Any], ...] = ()
    height: int | None = None
    log_tail: tuple[str, ...] = field(default=())

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


async def examine(home: Path) -> Examined:
    """Examines a home. Never changes anything in it.

    Raises:
        nothing of its own: what cannot be read is a finding.
    """
    layout = HomeLayout(home)
    process = read_run_state(layout.run_dir)
    status = await _ask(layout)
    if status is None:
        if process is not None and process.alive():
            return Examined(layout.path, "silent", (_silent(process),))
        return await asyncio.to_thread(_stopped, layout)
    findings, documents = await _running(layout, status)
    if findings and status["uptime_s"] < SETTLED_S:
        await asyncio.sleep(SETTLED_S - status["uptime_s"])
        findings, documents = await _running(layout, await _ask(layout) or status)
    return Examined(layout.path, "running", findings, documents, documents[0]["chain"]["height"])


def _stopped(layout: HomeLayout) -> Examined:
    from node.doctor.stopped import examine_stopped  # noqa: PLC0415 - brings pydantic and the store

    report = examine_stopped(layout)
    return Examined(
        layout.path, "stopped", causes_first(report.findings), height=report.height, log_tail=report.log_tail
    )


def _silent(process: RunState) -> Finding:
    if process.stage in ("starting", "stopping"):
        return found(
            "daemon.starting",
            f"the daemon (pid {process.pid}) is {process.stage}",
            pid=process.pid,
            stage=process.stage,
        )
    return found(
        "daemon.hangs",
        f"the daemon's process ({process.pid}) is there, and its socket did not answer within {ASK_S:.0f} s",
        pid=process.pid,
    )


async def _running(
    layout: HomeLayout, status: dict[str, Any]
) -> tuple[tuple[Finding, ...], tuple[dict[str, Any], ...]]:
    findings = _of_chain(status)
    documents = [status]
    relay = status.get("relay")
    if relay is not None:
        standing = [status["chain"]["name"]] if _makes_no_block(findings) else []
        second = _second_home(layout)
        other = None if second is None else await _ask(second)
        if other is not None:
            documents.append(other)
            more = _of_chain(other)
            standing += [other["chain"]["name"]] if _makes_no_block(more) else []
            findings += more
        findings += examine_relay(relay, standing)
    return causes_first(findings), tuple(documents)


def _of_chain(status: dict[str, Any]) -> list[Finding]:
    """What is wrong on one chain; each finding says which."""
    name = status["chain"]["name"]
    return [
        Finding(one.code, one.severity, f"{name}: {one.words}", one.remedy, {"chain": name, **one.data})
        for one in examine_status(status)
    ]


def _makes_no_block(findings: list[Finding]) -> bool:
    standing = ("quorum.lost", "quorum.partition", "node.alone", "chain.stands", "peers.other_chain", "node.revoked")
    return any(one.code in standing for one in findings)


def _second_home(layout: HomeLayout) -> HomeLayout | None:
    """Of a fusion node the home of the other chain; None for that one itself."""
    try:
        named = read_toml(layout.config_file).get("fusion", {}).get("supervision_home", "")
    except (InvalidConfig, tomllib.TOMLDecodeError):
        named = ""
    return HomeLayout(Path(os.path.normpath(layout.path / str(named)))) if named else None


async def _ask(layout: HomeLayout) -> dict[str, Any] | None:
    """The ``node.status`` document of the node of that home; None when it does not answer."""
    try:
        async with asyncio.timeout(ASK_S), Client(layout.find_socket()) as client:
            return await client.status()
    except (TidegateError, TimeoutError, OSError):
        return None


def headline(examined: Examined) -> str:
    """One line about a healthy home."""
    parts = []
    for status in examined.chains:
        standing = status["standing"]
        heard = sum(1 for one in standing["validators"] if one["self"] or one["connected"])
        ago = standing["tip_ms_ago"]
        last = "no block since the start" if ago is None else f"last block {lasting(ago)} ago"
        parts.append(
            f"{status['chain']['name']}: height {status['chain']['height']}, {last}, "
            f"{heard} of {len(standing['validators'])} validators connected, {standing['quorum']} needed"
        )
    return "; ".join(parts)
