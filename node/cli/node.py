"""``tidegate node``: make one organisation's home, run its node, ask how it is."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from ledger.errors import InvalidConfig
from node.cli.options import Target, home_option, new_passphrase, passphrase_from_person, seal_option, target_options
from node.cli.output import Report, reporting
from node.config_text import NodeSettings
from node.keyfile import PassphraseSource, environment_passphrase, read_public
from node.layout import HomeLayout
from node.node_keys import NODE_KINDS
from p2p.identity import public_key_of_peer_id

SERVICES = ("transaction", "bookkeeping", "settlement")


@click.group()
def command() -> None:
    """Make and run one node.

    \b
    tidegate node init --home h --organisation "Insurer C"   keys, to be certified by the authority
    tidegate node init --home h --genesis genesis.json       then the chain's genesis file
    tidegate node run --home h
    tidegate node status --home h
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command()
@home_option
@click.option("--organisation", help="Who answers for the node; needed for a new home.")
@click.option("--name", default="node", show_default=True, help="Name of the node, in logs and status.")
@click.option("--genesis", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The chain's file.")
@click.option("--listen", default="127.0.0.1:7300", show_default=True, metavar="HOST:PORT", help="Overlay address.")
@click.option("--peer", "peers", multiple=True, metavar="PEERID@HOST:PORT", help="Node to connect to; repeatable.")
@click.option("--service", "services", type=click.Choice(SERVICES), multiple=True, help="Service to run; repeatable.")
@seal_option
@reporting
def init(
    report: Report,
    home: Path,
    *,
    organisation: str | None,
    name: str,
    genesis: Path | None,
    listen: str,
    peers: tuple[str, ...],
    services: tuple[str, ...],
    seal: bool,
) -> None:
    """Make the home of one organisation's node, or add the genesis file to one. What is there already is kept.

    Prints the public keys and the peer id: the admission authority certifies them, and they then stand in the genesis
    file or come onto the chain.
    """
    from node.config import load_config  # noqa: PLC0415 - brings pydantic, which status does without
    from node.home import Home  # noqa: PLC0415

    layout = HomeLayout(home)
    if organisation is None and not layout.config_file.exists():
        raise click.UsageError("a new home needs --organisation")
    settings = NodeSettings(
        name=name,
        organisation=organisation or "",
        peers=peers,
        services=frozenset(services),
        **_listening(listen),
    )
    Home.create(
        home,
        settings,
        genesis=None if genesis is None else genesis.read_bytes(),
        passphrase=new_passphrase(seal=seal),
    )
    config = load_config(layout.config_file)
    keys = {kind: read_public(layout.key_file(kind))[1] for kind in NODE_KINDS}
    shown = {
        "home": str(layout.path),
        "organisation": config.node.organisation,
        "validator_key": keys["validator"],
        "member_key": keys["member"],
        "peer_id": keys["transport"],
        "transport_key": public_key_of_peer_id(keys["transport"]).hex(),
    }
    ready = layout.genesis_file.exists()
    report.success(f"{layout.path} is {'ready to run' if ready else 'made'}")
    report.fields(shown)
    if not ready:
        report.line("next: have the admission authority certify these keys, then add the chain's genesis file:")
        report.line(f"      tidegate node init --home {layout.path} --genesis FILE")
    report.document({**shown, "genesis": ready})


def _listening(listen: str) -> dict[str, Any]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    return {"listen_host": host.strip("[]"), "listen_port": int(port)}


@command.command()
@home_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key, as in log.level=debug.")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input closes.")
@reporting
def run(report: Report, home: Path, *, settings: tuple[str, ...], with_parent: bool) -> None:
    """Run the node in the foreground until it is told to stop (INT or TERM).

    \b
    tidegate node run --home devnet/node0
    tidegate node run --home devnet/node0 --set log.level=debug --set log.format=console
    """  # noqa: D301
    del report
    flags: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise click.BadParameter("write KEY=VALUE", param_hint="--set")
        flags[key] = value
    passphrase = _passphrase(HomeLayout(home))
    if with_parent:
        threading.Thread(target=_stop_with_parent, name="with-parent", daemon=True).start()
    # Imported now: the daemon brings libp2p, which takes half a second.
    sys.exit(importlib.import_module("node.daemon").run(home, flags, passphrase))


def _passphrase(layout: HomeLayout) -> PassphraseSource:
    """Asks before the daemon starts, when its keys are sealed, nothing says the passphrase, and a person is there."""
    files = [layout.key_file(kind) for kind in NODE_KINDS]
    if sys.stdin.isatty() and any(file.exists() and read_public(file)[2] for file in files):
        said = passphrase_from_person()
        return lambda: said
    return environment_passphrase


def _stop_with_parent() -> None:
    """Ends this node when whoever started it is gone, however it went: the system then closes the pipe."""
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@command.command()
@target_options
@reporting
async def status(report: Report, target: Target) -> None:
    """Ask the running node how it is: chain, peers, mempool, services."""
    from node.client import Client  # noqa: PLC0415 - brings aiohttp, which help does without

    async with Client(target.socket) as client:
        document = await client.call("node.status")
    if not isinstance(document, dict):
        raise InvalidConfig("the node's answer is not understood", code="answer_malformed")
    report.fields(_summary(document))
    peers = document.get("peers") or []
    if peers:
        report.line()
        report.table(
            ["peer", "organisation"], [[peer.get("peer_id", ""), peer.get("organisation", "")] for peer in peers]
        )
    report.document(document)


def _set(document: dict[str, Any]) -> str:
    epoch, coming = document.get("epoch") or {}, document.get("coming")
    text = str(len(document.get("validators") or []))
    if epoch.get("number"):
        text += f" since block {epoch['from_height']} (epoch {epoch['number']})"
    if coming is not None:
        text += f"; {len(coming['validators'])} from block {coming['epoch']['from_height']} on"
    return text


def _summary(document: dict[str, Any]) -> dict[str, object]:
    chain, mempool = document.get("chain") or {}, document.get("mempool") or {}
    height = chain.get("height", "?")
    behind = f", catching up to {document.get('target_height')}" if document.get("syncing") else ""
    role = "validator" if document.get("validator") else "observer"
    return {
        "node": f"{document.get('name')} of {document.get('organisation')} ({role})",
        "version": document.get("version"),
        "peer id": document.get("peer_id"),
        "chain": f"{chain.get('name')} ({str(chain.get('chain_id'))[:16]})",
        "height": f"{height}{behind}",
        "signing": _signing(document),
        "validators": _set(document),
        "peers": len(document.get("peers") or []),
        "certificates": _certificates(document.get("certificates") or []),
        "mempool": f"{mempool.get('transactions', 0)} transactions, {mempool.get('bytes', 0)} bytes",
        "evidence": _evidence(document.get("misbehaviour") or {}),
        "services": ", ".join(document.get("services") or []) or "none",
        "uptime": f"{document.get('uptime_s', 0):.0f} s",
    }


def _certificates(told: list[dict[str, Any]]) -> str:
    """What ends soon, this node's own first; all certificates are in the JSON document."""
    ending = []
    for item in told:
        if item.get("warning") == "not_admitted":
            ending.append(f"{item['subject']} is not admitted")
        elif item.get("warning"):
            ending.append(f"{item['subject']}: {item['days_left']} days left")
    return "; ".join(ending) or "none ends within 30 days"


def _signing(document: dict[str, Any]) -> str:
    signer = document.get("signer") or {}
    reason = signer.get("observing")
    if not document.get("validator"):
        said = "no"
    elif reason is None:
        said = "yes"
    else:
        through = signer.get("through_height")
        until = "the other validators have answered" if through is None else f"height {through} is decided"
        said = f"not until {until} ({str(reason).replace('_', ' ')})"
    damaged = signer.get("damaged_logs") or []
    return f"{said}; damaged signer logs kept: {', '.join(damaged)}" if damaged else said


def _evidence(misbehaviour: dict[str, Any]) -> str:
    latest = misbehaviour.get("latest") or []
    if not latest:
        return "none against any validator"
    named = dict.fromkeys(
        f"{item.get('organisation') or str(item.get('validator'))[:24]} ({str(item.get('fault')).replace('_', ' ')})"
        for item in latest
    )
    return f"{misbehaviour.get('recorded')} recorded, {misbehaviour.get('waiting')} waiting: {', '.join(named)}"
