"""``tidegate network new``: a whole network from its plan, keys and all.

It is the ceremony, held by one person who has everybody's keys: for trials, and for networks whose operator is one. The
directory that it makes:

DIR/business/      proposal.json, founding.json, genesis.json of that chain; DIR/supervision/ likewise
DIR/homes/NODE/    each node's home
DIR/holders/       keys without a node, and their keys of the authority
DIR/hosts/HOST/    compose.yaml, unit drop-ins, and which homes go there
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import InvalidConfig
from ledger.genesis import Genesis, format_genesis
from node.atomic_file import write_atomic
from node.keyfile import environment_passphrase, write_key
from node.layout import HomeLayout
from node.networks.blueprint import Blueprint, NodePlan
from node.networks.ceremony import Founding, assemble, finish, make_draft, propose
from node.networks.ceremony_files import founding_document, proposal_document, write_document
from node.networks.homes import AUTHORITY, Place, join_home, make_seat, sign_seat
from node.networks.hosts import compose_file, daemons_by_host, drop_in, unit_name


@dataclass(frozen=True, slots=True)
class Created:
    """What was made.

    Attributes:
        directory: absolute.
        geneses: by kind of chain.
        homes: by name of the node.
        authority: key files of each chain's admission authority, by kind of chain.
        hosts: names, each with the nodes that run there.
    """

    directory: Path
    geneses: dict[str, Genesis]
    homes: dict[str, Path]
    authority: dict[str, list[Path]]
    hosts: dict[str, list[str]]


def create(
    blueprint: Blueprint,
    directory: Path,
    *,
    passphrase: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Created:
    """Makes the network's directory; nothing is left of it when that fails.

    Args:
        blueprint: checked.
        directory: must be empty or not exist.
        passphrase: seals every key file, when given.
        progress: told of each step.

    Raises:
        InvalidConfig: the directory is in use, or a file cannot be written.
        InvalidInput, InvalidGenesis: the plan makes no genesis.
    """
    base = directory.expanduser().absolute()
    if base.exists() and (not base.is_dir() or any(base.iterdir())):
        raise InvalidConfig(f"{base} is not empty; a network needs a directory of its own", code="file_exists")
    made_here = not base.exists()
    try:
        return _create(blueprint, base, passphrase, progress)
    except BaseException:
        if made_here:
            shutil.rmtree(base, ignore_errors=True)
        raise


def _create(blueprint: Blueprint, base: Path, passphrase: str | None, progress: Callable[[str], None]) -> Created:
    created = Created(base, {}, {}, {}, {})
    source = environment_passphrase if passphrase is None else lambda: passphrase
    chains = blueprint.chains()
    for kind, chain in chains.items():
        progress(f"keys of the {kind} chain")
        proposal = propose(kind, chain)
        places = {
            seat.name: Place.of_home(base / "homes" / seat.name)
            if isinstance(seat, NodePlan)
            else Place.of_file(base / "holders" / f"{seat.name}.key")
            for seat in chain.seats
        }
        members = [make_seat(proposal, name, place, passphrase) for name, place in places.items()]
        progress(f"genesis of the {kind} chain")
        founding = make_draft(proposal, members)
        founding = assemble(founding, [sign_seat(founding, name, place, source) for name, place in places.items()])
        created.geneses[kind] = _write_founding(base / kind, founding)
        created.authority[kind] = [place.authority for place in places.values() if place.authority.exists()]
        for node in chain.node:
            layout = HomeLayout(base / "homes" / node.name)
            join_home(founding, node.name, layout, source)
            created.homes[node.name] = layout.path
        authorities = [created.homes[node.name] for node in chain.node if AUTHORITY in node.services]
        _share_pseudonyms(authorities, passphrase)
    for host, daemons in daemons_by_host(chains).items():
        place = base / "hosts" / host
        place.mkdir(parents=True)
        write_atomic(place / "compose.yaml", compose_file(host, daemons).encode())
        for daemon in daemons:
            unit = place / "systemd" / f"{unit_name(daemon)}.d"
            unit.mkdir(parents=True)
            write_atomic(unit / "50-home.conf", drop_in(daemon).encode())
        homes = [Path(home).name for daemon in daemons for home in daemon.homes]
        created.hosts[host] = homes
    return created


def _write_founding(directory: Path, founding: Founding) -> Genesis:
    directory.mkdir(parents=True)
    genesis = finish(founding)
    write_document(directory / "proposal.json", proposal_document(founding.proposal))
    write_document(directory / "founding.json", founding_document(founding))
    write_atomic(directory / "genesis.json", format_genesis(genesis))
    return genesis


def _share_pseudonyms(homes: list[Path], passphrase: str | None) -> None:
    """The pseudonym key is one for all authorities of a network (PROTOCOL.md 2.5)."""
    secret = secrets.token_bytes(32)
    for home in homes:
        write_key(HomeLayout(home).key_file("pseudonym"), "pseudonym", secret, passphrase=passphrase)
