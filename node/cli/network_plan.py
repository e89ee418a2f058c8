"""``tidegate network example``, ``check`` and ``new``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from node.cli.options import new_passphrase, seal_option
from node.cli.output import Report, reporting

PLAN = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("example")
@click.option("--supervised", is_flag=True, help="Both chains, with fusion nodes between them.")
@reporting
def example_command(report: Report, *, supervised: bool) -> None:
    """Print a network.toml that can be used as it is: three members on one machine, to be edited.

    \b
    tidegate network example > network.toml
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    from node.networks.example import BUSINESS_EXAMPLE, SUPERVISED_EXAMPLE  # noqa: PLC0415

    text = SUPERVISED_EXAMPLE if supervised else BUSINESS_EXAMPLE
    if not report.json:
        click.echo(text, nl=False)
    report.document({"network.toml": text})


@click.command("check")
@click.argument("plan", type=PLAN)
@reporting
def check_command(report: Report, plan: Path) -> None:
    """Check PLAN, a network.toml, as new and propose do; nothing is made."""
    from node.networks.blueprint import read_blueprint  # noqa: PLC0415 - brings the whole daemon's records
    from node.networks.rehearsal import rehearse  # noqa: PLC0415

    blueprint = read_blueprint(plan)
    rehearse(blueprint)
    chains = blueprint.chains()
    for kind, chain in chains.items():
        deciding = [node for node in chain.node if node.validator]
        authority = chain.authority
        report.fields(
            {
                "chain": f"{chain.name} ({kind})",
                "nodes": f"{len(chain.node)}, of them {len(deciding)} validators",
                "quorum": f"{(2 * len(deciding) - 1) // 3 + 1} of {len(deciding)}",
                "authority": f"{authority.threshold} of {len(authority.organisations)}: "
                + ", ".join(authority.organisations),
            }
        )
        for words in advice(chain):
            report.warning(words)
        report.line()
    report.success(f"{plan} can be made into a network")
    report.document({kind: {"name": chain.name, "advice": advice(chain)} for kind, chain in chains.items()})


def advice(chain: Any) -> list[str]:
    """What is allowed, and perhaps not meant."""
    validators = sum(1 for node in chain.node if node.validator)
    found = []
    if validators < 4:
        found.append(f"{chain.name}: {validators} validators survive no liar; four do")
    if chain.authority.threshold == 1 and len(chain.node) > 1:
        found.append(f"{chain.name}: one key alone admits whom it likes; raise authority.threshold")
    return found


@click.command("new")
@click.argument("plan", type=PLAN)
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Directory to make.")
@seal_option
@reporting
def new_command(report: Report, plan: Path, out: Path, *, seal: bool) -> None:
    """Make the network that PLAN says, with everybody's keys: for trials, and where one operator runs it all.

    Where members do not give their keys away, use a ceremony: tidegate network propose.
    """
    from node.networks.blueprint import read_blueprint  # noqa: PLC0415 - as above
    from node.networks.creating import create  # noqa: PLC0415

    created = create(read_blueprint(plan), out, passphrase=new_passphrase(seal=seal))
    report.success(f"made {created.directory}")
    for kind, genesis in created.geneses.items():
        report.fields({"chain": f"{genesis.name} ({kind})", "genesis": genesis.hash.hex()})
    report.line()
    report.table(["host", "homes"], [[host, " ".join(homes)] for host, homes in created.hosts.items()])
    report.line()
    report.line("next, on this machine, each in a terminal of its own:")
    for name in [home for homes in created.hosts.values() for home in homes][:3]:
        report.line(f"  tidegate node run --home {_near(created.homes[name])}")
    report.line("docs/networks.md leads from there to a first settled record")
    report.line(
        f"or bring each home to its host; {_near(created.directory / 'hosts')} has compose files and unit drop-ins"
    )
    report.document(
        {
            "directory": str(created.directory),
            "chains": {
                kind: {
                    "name": genesis.name,
                    "chain_id": genesis.chain_id,
                    "genesis_hash": genesis.hash,
                    "authority": [str(path) for path in created.authority[kind]],
                }
                for kind, genesis in created.geneses.items()
            },
            "homes": {name: str(home) for name, home in created.homes.items()},
            "hosts": created.hosts,
        }
    )


def _near(path: Path) -> str:
    """The path as one would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
