"""``tidegate network add-node``."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.options import new_passphrase, passphrase_from_person, seal_option
from node.cli.output import Report, reporting

SERVICES = ("transaction", "bookkeeping", "settlement", "authority")


@click.command("add-node")
@click.argument("network", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--organisation", required=True, help="Who answers for the node.")
@click.option("--name", required=True, help="Of the node: small letters, digits, - and _.")
@click.option("--address", required=True, metavar="HOST:PORT", help="Where the others reach it.")
@click.option("--listen", default="", metavar="HOST:PORT", help="Where it listens; every address of that port by default.")  # fmt: skip  # noqa: E501
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True, help="Home to make.")
@click.option("--peer", "peers", multiple=True, metavar="PEERID@HOST:PORT", help="More nodes to connect to; repeatable.")  # fmt: skip  # noqa: E501
@click.option("--service", "services", type=click.Choice(SERVICES), multiple=True, help="Service to run; repeatable.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Request to write; request-NAME.json by default.")  # fmt: skip  # noqa: E501
@seal_option
@reporting
def add_node_command(
    report: Report,
    *,
    network: Path,
    organisation: str,
    name: str,
    address: str,
    listen: str,
    home: Path,
    peers: tuple[str, ...],
    services: tuple[str, ...],
    out: Path | None,
    seal: bool,
) -> None:
    """Make the home of a node that joins a running network, where it will run.

    NETWORK is the network's founding.json, or its genesis.json with --peer. The request that is written goes to the
    admission authority; nobody else's configuration has to change, because the new node dials the others.

    \b
    tidegate network add-node founding.json --organisation "Hospital E" --name hospital-e \\
        --address e.example.org:7300 --home /var/lib/tidegate/hospital-e
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    import msgspec  # noqa: PLC0415 - help does without

    from ledger.errors import InvalidConfig  # noqa: PLC0415
    from node.networks.addresses import host_and_port  # noqa: PLC0415
    from node.networks.blueprint import NodePlan  # noqa: PLC0415
    from node.networks.ceremony_files import member_document, write_document  # noqa: PLC0415
    from node.networks.growing import add_node  # noqa: PLC0415

    document = {
        "name": name, "organisation": organisation, "address": address, "listen": listen, "services": services,
        "validator": False, "candidate": True,
    }  # fmt: skip
    try:
        plan = msgspec.convert(document, NodePlan)
        for text in filter(None, (address, listen)):
            host_and_port(text)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidConfig(f"the node's plan: {error}", code="plan_invalid") from error
    grown = add_node(
        network, home, plan, peers=peers, passphrase=new_passphrase(seal=seal), source=passphrase_from_person
    )
    request = out or Path(f"request-{name}.json")
    write_document(request, member_document(grown.request))
    report.success(f"{grown.home.path} is made; wrote {request}")
    report.fields({"chain": grown.genesis.name, "genesis": grown.genesis.hash.hex(), "peer": grown.peer})
    asked = f"--genesis {network.with_name('genesis.json')} --request {request}"
    steps = [
        f"tidegate admission issue {asked} --days 365 --authority-key FILE… -o certificates.json",
        "tidegate admission admit certificates.json --home HOME_OF_A_MEMBER",
        f"tidegate node run --home {home}",
    ]
    report.line("next, the admission authority, then any member, then here:")
    for step in steps:
        report.line(f"  {step}")
    report.line(f"others may add the peer to their configuration, so that they dial it too: {grown.peer}")
    report.document(
        {
            "home": str(grown.home.path),
            "request": str(request),
            "peer": grown.peer,
            "genesis_hash": grown.genesis.hash,
            "steps": steps,
        }
    )
