"""A node for a network that runs already: its home, and the request that the admission authority answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ledger.errors import InvalidConfig
from ledger.genesis import Genesis, format_genesis, parse_genesis
from node.config_text import NodeSettings
from node.home import Home
from node.keyfile import PassphraseSource, environment_passphrase
from node.layout import HomeLayout
from node.networks.blueprint import NodePlan
from node.networks.ceremony import finish
from node.networks.ceremony_files import FOUNDING, read_document, read_founding
from node.networks.homes import peers_of, settings_of
from node.networks.member_file import MemberFile, state_keys
from node.node_keys import read_keys


@dataclass(frozen=True, slots=True)
class Grown:
    """A home for a running network.

    Attributes:
        home: complete but for its certificates.
        genesis: of the network.
        request: keys with proofs, bound to the chain.
        peer: how others reach it: ``PEERID@HOST:PORT``.
    """

    home: HomeLayout
    genesis: Genesis
    request: MemberFile
    peer: str


def network_of(path: Path) -> tuple[Genesis, tuple[str, ...]]:
    """Genesis and peers that a founding file says, or the genesis that a genesis file says, without peers.

    Raises:
        InvalidInput, InvalidGenesis: neither, or not in order.
    """
    if FOUNDING in read_document(path):
        founding = read_founding(path)
        return finish(founding), peers_of(founding)
    return parse_genesis(path.read_bytes()), ()


def add_node(
    network: Path,
    home: Path,
    plan: NodePlan,
    *,
    peers: tuple[str, ...] = (),
    passphrase: str | None = None,
    source: PassphraseSource = environment_passphrase,
) -> Grown:
    """Makes the home of a node that joins a running network.

    Args:
        network: founding file, or genesis file with ``peers``.
        home: to make; keys that are there already are kept.
        plan: of the node.
        peers: more peers, ``PEERID@HOST:PORT``.
        passphrase: seals key files, when given.
        source: opens key files that are sealed already.

    Raises:
        InvalidConfig: ``peers_missing``: nobody to connect to; a home of another organisation or chain.
        InvalidInput, InvalidGenesis: as ``network_of``.
    """
    genesis, known = network_of(network)
    found = tuple(dict.fromkeys((*known, *peers)))
    if not found:
        raise InvalidConfig(
            f"{network} names no peers: give the network's founding.json, or --peer PEERID@HOST:PORT",
            code="peers_missing",
        )
    settings: NodeSettings = settings_of(plan, found)
    layout = Home.create(home, settings, genesis=format_genesis(genesis), passphrase=passphrase)
    keys = read_keys(layout, source if passphrase is None else lambda: passphrase)
    request = state_keys(
        genesis.chain_id,
        plan.organisation,
        plan.name,
        member=keys.member,
        validator=keys.validator,
        transport_seed=keys.transport_seed,
    )
    return Grown(layout, genesis, request, f"{keys.transport.peer_id}@{plan.address}")
