"""``tidegate devnet`` on a supervised consortium: both networks, fusion daemons, parties."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.genesis import Parameters
from node.cli.output import Report

if TYPE_CHECKING:
    from node.consortium.plan import Consortium
    from node.devnet import NodeState


def is_supervised(home: Path) -> bool:
    """Whether a directory holds a supervised consortium."""
    return (home / "supervision" / "network.json").exists()


def init(
    report: Report,
    home: Path,
    *,
    validators: int,
    supervision_validators: int,
    committee: int,
    epoch_blocks: int,
    passphrase: str | None,
) -> None:
    """Makes a consortium."""
    from node.consortium.plan import ConsortiumPlan, create_consortium  # noqa: PLC0415 - brings pydantic

    # All daemons share one machine, and each block costs every one of them: blocks wait a moment for company.
    parameters = Parameters(package_transactions=64, package_ms=25)
    consortium = create_consortium(
        ConsortiumPlan(
            directory=home,
            validators=validators,
            supervision_validators=supervision_validators,
            committee=committee,
            epoch_blocks=epoch_blocks,
            parameters=parameters,
            supervision_parameters=parameters,
            passphrase=passphrase,
        )
    )
    report.success(f"made chains {consortium.business.name} and {consortium.supervision.name} in {home}")
    report.table(["chain", "node", "organisation", "role", "port"], [list(row) for row in _nodes(consortium)])
    report.table(
        ["party", "kind", "organisation"],
        [[party.name, party.kind, party.organisation] for party in consortium.parties],
    )
    if committee:
        report.line(
            f"{committee} of {supervision_validators} supervisors decide; a seat changes each {epoch_blocks} blocks"
        )
    report.line(f"next: tidegate devnet up --home {home}")
    report.document(
        {
            "directory": str(consortium.directory),
            "business": consortium.business.chain_id,
            "supervision": consortium.supervision.chain_id,
            "committee": committee or supervision_validators,
            "fusion": consortium.fusion,
            "parties": [party.name for party in consortium.parties],
            "officers": [party.name for party in consortium.officers],
        }
    )


async def up(report: Report, home: Path, timeout_s: float) -> None:
    """Starts both networks, and introduces chains and parties where that is not done yet."""
    from node.consortium.bootstrap import Bootstrap  # noqa: PLC0415 - brings the sealing library
    from node.consortium.running import ConsortiumNet  # noqa: PLC0415

    async with ConsortiumNet(home, detach=True) as net:
        with report.progress("starting nodes"):
            try:
                started = await net.start(timeout_s=timeout_s)
            except BaseException:
                await net.stop()
                raise
        async with net.business_client() as business, net.supervision_client() as supervision:
            with report.progress("introducing chains and parties"):
                await Bootstrap(net.consortium, business, supervision).run()
        states = {"business": await net.business.status(), "supervision": await net.supervision.status()}
    report.success(f"{len(started)} nodes started" if started else "the nodes were running already")
    show(report, states)
    report.line(f"next: tidegate fusion status --home {home / 'business' / net.consortium.fusion[0]}")
    report.line(f"      tidegate flow import DIR --devnet {home}; stop with: tidegate devnet down --home {home}")
    report.document({"started": started, **_documents(states)})


async def status(report: Report, home: Path) -> bool:
    """Shows how every node is; False when one does not answer."""
    from node.consortium.running import ConsortiumNet  # noqa: PLC0415

    net = ConsortiumNet(home, detach=True)
    states = {"business": await net.business.status(), "supervision": await net.supervision.status()}
    show(report, states)
    report.document(_documents(states))
    return all(state.status is not None for chain in states.values() for state in chain)


async def down(report: Report, home: Path) -> None:
    """Stops everything."""
    from node.consortium.running import ConsortiumNet  # noqa: PLC0415

    net = ConsortiumNet(home, detach=True)
    with report.progress("stopping nodes"):
        await net.stop()
    report.success("stopped")
    report.document({"stopped": True})


def show(report: Report, states: dict[str, list[NodeState]]) -> None:
    """A table of the nodes of both chains."""
    rows: list[list[object]] = []
    for chain, found in states.items():
        for state in found:
            document = state.status or {}
            height = (document.get("chain") or {}).get("height", "-")
            where = "in the fusion daemon" if state.node.hosted else state.pid or "-"
            how = "running" if state.status is not None else "not answering" if state.pid else "stopped"
            services = ", ".join(_services(document))
            rows.append([chain, state.node.name, state.node.organisation, how, where, height, services])
    report.table(["chain", "node", "organisation", "state", "pid", "height", "services"], rows)


def _services(document: dict[str, Any]) -> list[str]:
    named = [name for name in ("relay", "authority") if name in document]
    return [*(document.get("services") or []), *named]


def _nodes(consortium: Consortium) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for chain, network in (("business", consortium.business), ("supervision", consortium.supervision)):
        for node in network.nodes:
            role = "validator" if node.validates else "fusion"
            rows.append((chain, node.name, node.organisation, role, node.port))
    return rows


def _documents(states: dict[str, list[NodeState]]) -> dict[str, Any]:
    return {
        chain: [
            {"name": state.node.name, "pid": state.pid, "answers": state.status is not None, "status": state.status}
            for state in found
        ]
        for chain, found in states.items()
    }
