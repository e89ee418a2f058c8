"""``tidegate devnet``: a whole local network, every organisation with a home, keys and a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from node.cli import devnet_supervised
from node.cli.exit_codes import UNAVAILABLE
from node.cli.options import new_passphrase, seal_option
from node.cli.output import Report, reporting

if TYPE_CHECKING:
    from node.devnet import NodeState
    from node.network_file import NetworkNode

F = TypeVar("F", bound=Callable[..., Any])

_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("devnet"),
    show_default=True,
    help="Directory of the network.",
)
_nodes = click.option("--node", "nodes", multiple=True, help="Only this node, by name or organisation; repeatable.")


@click.group()
def command() -> None:
    """Make and run a whole local network.

    \b
    tidegate devnet init --validators 4    make homes, keys, certificates and genesis in ./devnet
    tidegate devnet init --supervised      two chains, fusion nodes, the regulator and parties
    tidegate devnet up                     start the nodes in the background
    tidegate devnet status
    tidegate devnet down
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command()
@_home
@click.option("--validators", type=click.IntRange(1, 128), default=4, show_default=True, help="Nodes that decide.")
@click.option("--observers", type=click.IntRange(0, 127), default=0, show_default=True, help="Nodes that follow; governance can make them decide.")  # fmt: skip  # noqa: E501
@click.option("--organisation", "organisations", multiple=True, help="Name of a node's organisation; repeatable.")
@click.option("--topology", type=click.Choice(["mesh", "line"]), default="mesh", show_default=True, help="Who dials.")
@click.option("--name", default="business", show_default=True, help="Name of the chain.")
@click.option("--supervised", is_flag=True, help="A business chain, a supervision chain, and fusion nodes.")
@click.option(
    "--supervision-validators",
    type=click.IntRange(1, 128),
    default=4,
    show_default=True,
    help="With --supervised: nodes that decide on the supervision chain.",
)
@click.option("--committee", type=click.IntRange(4, 128), help="With --supervised: so many of those decide at a time.")
@click.option(
    "--epoch-blocks",
    type=click.IntRange(4, 10_000_000),
    default=50,
    show_default=True,
    help="With --committee: blocks until a seat changes hands.",
)
@seal_option
@reporting
def init(
    report: Report,
    home: Path,
    *,
    validators: int,
    observers: int,
    organisations: tuple[str, ...],
    topology: Any,
    name: str,
    supervised: bool,
    supervision_validators: int,
    committee: int | None,
    epoch_blocks: int,
    seal: bool,
) -> None:
    """Make a network: an admission authority, a currency issuer, and one home for each organisation."""
    if supervised:
        if observers or organisations or topology != "mesh" or name != "business":
            raise click.UsageError("--supervised makes its own cast: it goes with --validators and --seal only")
        devnet_supervised.init(
            report,
            home,
            validators=validators,
            supervision_validators=supervision_validators,
            committee=committee or 0,
            epoch_blocks=epoch_blocks,
            passphrase=new_passphrase(seal=seal),
        )
        return
    if committee is not None:
        raise click.UsageError("--committee rotates the supervision chain's validators: it goes with --supervised")
    from node.network import NetworkPlan, create_network  # noqa: PLC0415 - brings pydantic, which status does without

    network = create_network(
        NetworkPlan(
            directory=home,
            name=name,
            validators=validators,
            observers=observers,
            candidates=True,
            organisations=organisations,
            topology=topology,
            passphrase=new_passphrase(seal=seal),
        )
    )
    report.success(f"made chain {network.name} in {home}")
    report.table(
        ["node", "organisation", "role", "port", "home"],
        [[node.name, node.organisation, _role(node), node.port, str(home / node.name)] for node in network.nodes],
    )
    report.line(f"next: tidegate devnet up --home {home}")
    report.document(
        {
            "directory": str(network.directory),
            "chain_id": network.chain_id,
            "nodes": [_node_document(node) for node in network.nodes],
        }
    )


@command.command()
@_home
@_nodes
@click.option("--timeout", type=click.FloatRange(1), default=30, show_default=True, help="Seconds to wait.")
@reporting
async def up(report: Report, home: Path, nodes: tuple[str, ...], timeout: float) -> None:
    """Start the nodes in the background and wait until they answer. When one fails, none is left running."""
    if devnet_supervised.is_supervised(home):
        _whole(nodes)
        await devnet_supervised.up(report, home, timeout)
        return
    from node.devnet import Devnet  # noqa: PLC0415 - brings aiohttp, which help does without

    async with Devnet(home, detach=True) as devnet:
        with report.progress("starting nodes"):
            started = await devnet.start(nodes or None)
            try:
                await devnet.wait_ready(nodes or None, timeout_s=timeout)
            except BaseException:
                await devnet.stop(started)
                raise
        states = await devnet.status()
    report.success(f"{len(started)} nodes started" if started else "the nodes were running already")
    _show(report, states)
    report.line(f"next: tidegate node status --home {home / 'node0'}; stop with: tidegate devnet down --home {home}")
    report.document({"started": started, "nodes": [_state_document(state) for state in states]})


@command.command()
@_home
@click.pass_context
@reporting
async def status(report: Report, context: click.Context, home: Path) -> None:
    """Show how every node is. The exit code is 4 when one does not answer."""
    if devnet_supervised.is_supervised(home):
        if not await devnet_supervised.status(report, home):
            context.exit(UNAVAILABLE)
        return
    from node.devnet import Devnet  # noqa: PLC0415

    states = await Devnet(home, detach=True).status()
    _show(report, states)
    report.document({"nodes": [_state_document(state) for state in states]})
    if any(state.status is None for state in states):
        context.exit(UNAVAILABLE)


@command.command()
@_home
@_nodes
@reporting
async def down(report: Report, home: Path, nodes: tuple[str, ...]) -> None:
    """Stop the nodes; one that has not stopped after 10 seconds is killed."""
    if devnet_supervised.is_supervised(home):
        _whole(nodes)
        await devnet_supervised.down(report, home)
        return
    from node.devnet import Devnet  # noqa: PLC0415

    devnet = Devnet(home, detach=True)
    chosen = [devnet.network.node(name) for name in nodes] or list(devnet.network.nodes)
    running = [node.name for node in chosen if devnet.pid(node.name) is not None]
    with report.progress("stopping nodes"):
        await devnet.stop(running)
    report.success(f"stopped {', '.join(running)}" if running else "no node was running")
    report.document({"stopped": running})


def _whole(nodes: tuple[str, ...]) -> None:
    if nodes:
        raise click.UsageError("--node is for a network of one chain: name DIR/business or DIR/supervision as --home")


def _role(node: NetworkNode) -> str:
    return "validator" if node.validates else "observer"


def _show(report: Report, states: list[NodeState]) -> None:
    rows: list[list[object]] = []
    for state in states:
        document = state.status or {}
        chain = document.get("chain") or {}
        how = "running" if state.status is not None else "stopped" if state.pid is None else "not answering"
        rows.append(
            [
                state.node.name,
                state.node.organisation,
                _role(state.node),
                how,
                state.pid or "-",
                chain.get("height", "-"),
                len(document["peers"]) if "peers" in document else "-",
            ]
        )
    report.table(["node", "organisation", "role", "state", "pid", "height", "peers"], rows)


def _node_document(node: NetworkNode) -> dict[str, object]:
    return {
        "name": node.name,
        "organisation": node.organisation,
        "role": _role(node),
        "home": str(node.home),
        "socket": str(node.socket),
        "port": node.port,
        "peer_id": node.peer_id,
        "validator": node.validator,
        "member": node.member,
    }


def _state_document(state: NodeState) -> dict[str, object]:
    return {"name": state.node.name, "pid": state.pid, "answers": state.status is not None, "status": state.status}
