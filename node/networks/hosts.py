"""What each host of a network gets beside its homes: drop-ins of the unit template, and a compose file.

The unit is ``deploy/systemd/tidegate@.service``; an instance of it is a home below ``/var/lib/tidegate``, and a drop-in
says what is different. The compose file runs the same homes in containers, with the host's network: an overlay's peers
are addresses of hosts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.networks.addresses import host_and_port
from node.networks.blueprint import HOMES, ChainPlan, NodePlan

PREFIX: Final = "/opt/tidegate"
"""Where the checkout with its environment is on a host."""
IMAGE: Final = "tidegate:0.1.0"
USER: Final = "10001:10001"


@dataclass(frozen=True, slots=True)
class Daemon:
    """One process on a host: a node, or a fusion node with both its homes.

    Attributes:
        node: whose home the process is started with.
        homes: directories on the host that it writes to.
    """

    node: NodePlan
    homes: tuple[str, ...]


def daemons_by_host(chains: Mapping[str, ChainPlan]) -> dict[str, list[Daemon]]:
    """Who runs where: by the host part of the nodes' addresses."""
    found: dict[str, list[Daemon]] = {}
    nodes = [node for plan in chains.values() for node in plan.node]
    directories = {node.name: node.directory for node in nodes}
    hosted = {Path(node.supervision_home).name for node in nodes if node.supervision_home}
    for node in nodes:
        if node.name in hosted:
            continue
        homes = [node.directory]
        if node.supervision_home:
            homes.append(directories[Path(node.supervision_home).name])
        found.setdefault(host_and_port(node.address)[0], []).append(Daemon(node, tuple(homes)))
    return found


def unit_name(daemon: Daemon) -> str:
    """The instance of the template that runs it."""
    return f"tidegate@{daemon.node.name}.service"


def drop_in(daemon: Daemon) -> str:
    """The instance's settings that the template does not know: its home, and where it may write."""
    node = daemon.node
    command = f"{PREFIX}/.venv/bin/tidegate node run --home {node.directory}"
    writable = "\n".join(f"ReadWritePaths={home}" for home in daemon.homes)
    reset = "" if node.directory == f"{HOMES}/{node.name}" else f"ExecStart=\nExecStart={command}\n"
    return f"""\
# {node.organisation}: goes to /etc/systemd/system/{unit_name(daemon)}.d/50-home.conf
[Unit]
Description=Tidegate node {node.name} of {node.organisation}

[Service]
{reset}{writable}
"""


def compose_file(host: str, daemons: list[Daemon]) -> str:
    """The compose file of one host. JSON strings are YAML strings, so names need no further care."""
    return f"""\
# Host {host}. Homes stay on the host, owned by the user below; `docker compose up -d` starts them.
name: "tidegate"

services:
""" + "\n".join(_service(daemon) for daemon in daemons)


def _service(daemon: Daemon) -> str:
    node = daemon.node
    volumes = "".join(
        f"""\
      - type: "bind"
        source: {json.dumps(home)}
        target: {json.dumps(home)}
"""
        for home in daemon.homes
    )
    return f"""\
  {node.name}:
    image: "${{TIDEGATE_IMAGE:-{IMAGE}}}"
    command: ["node", "run"]
    environment:
      TIDEGATE_HOME: {json.dumps(node.directory)}
    network_mode: "host"
    user: "${{TIDEGATE_USER:-{USER}}}"
    read_only: true
    cap_drop: ["ALL"]
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: "30s"
    restart: "on-failure:5"
    labels:
      organisation: {json.dumps(node.organisation, ensure_ascii=False)}
    tmpfs: ["/tmp"]
    volumes:
{volumes}"""
