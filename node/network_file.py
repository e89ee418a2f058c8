"""``network.json``: what a directory with a whole local network holds. Paths in it are relative to the directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.errors import InvalidConfig, NotFound
from ledger.genesis import Genesis, parse_genesis
from ledger.keys import SigningKey
from node.atomic_file import write_atomic
from node.keyfile import PassphraseSource, environment_passphrase, read_key
from node.layout import HomeLayout
from node.node_keys import NodeKeys, read_keys

FILE: Final = "network.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkNode:
    """One node of a network.

    Attributes:
        name: ``node0``, ``node1``, …
        organisation: that runs it.
        home: its home directory, absolute.
        socket: its RPC socket, absolute.
        host: overlay address.
        port: overlay port.
        peer_id: libp2p identity.
        validator: its node key as text.
        member: its organisation's key as text.
        validates: whether it is in the first validator set; others only follow.
        hosted: whether it runs inside a fusion daemon of another network, and has no process of its own here.
    """

    name: str
    organisation: str
    home: Path
    socket: Path
    host: str
    port: int
    peer_id: str
    validator: str
    member: str
    validates: bool
    hosted: bool = False

    def keys(self, passphrase: PassphraseSource = environment_passphrase) -> NodeKeys:
        """Its secret keys, from its home. Raises as ``read_keys``."""
        return read_keys(HomeLayout(self.home), passphrase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as it stands in a directory.

    Attributes:
        directory: absolute.
        name: the chain's name.
        chain_id: 32 bytes.
        nodes: in order; validators first.
        issuer: organisation that issues the currency, with a key and no node.
        issuer_key: its key as text.
        authority: text of the admission authority's policy.
    """

    directory: Path
    name: str
    chain_id: bytes
    nodes: tuple[NetworkNode, ...]
    issuer: str
    issuer_key: str
    authority: str

    def node(self, name: str) -> NetworkNode:
        """The node with that name, or of that organisation.

        Raises:
            NotFound: there is none; the text lists those that there are.
        """
        for node in self.nodes:
            if name in (node.name, node.organisation):
                return node
        known = ", ".join(f"{node.name} ({node.organisation})" for node in self.nodes)
        raise NotFound(f"there is no node {name!r}; there are {known}")

    @property
    def genesis_file(self) -> Path:
        """The genesis file that all homes have a copy of."""
        return self.directory / "genesis.json"

    def genesis(self) -> Genesis:
        """The checked genesis."""
        return parse_genesis(self.genesis_file.read_bytes())

    def signing_issuer(self, passphrase: PassphraseSource = environment_passphrase) -> SigningKey:
        """The issuer's secret key. Raises as ``read_key``."""
        return SigningKey(read_key(self.directory / "issuer" / "keys" / "issuer.key", "issuer", passphrase))

    def signing_authority(self, passphrase: PassphraseSource = environment_passphrase) -> tuple[SigningKey, ...]:
        """The admission authority's secret keys. Raises as ``read_key``."""
        files = sorted((self.directory / "authority" / "keys").glob("authority*.key"))
        return tuple(SigningKey(read_key(file, "authority", passphrase)) for file in files)


class _NodeDoc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    organisation: str
    home: str
    socket: str
    host: str
    port: int
    peer_id: str
    validator: str
    member: str
    validates: bool
    hosted: bool = False


class _NetworkDoc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    chain_id: str
    nodes: tuple[_NodeDoc, ...]
    issuer: str
    issuer_key: str
    authority: str


def save_network(network: Network) -> None:
    """Writes ``network.json``; last of all files, so that where it is, the network is whole."""
    directory = network.directory
    document: dict[str, Any] = {
        "name": network.name,
        "chain_id": network.chain_id.hex(),
        "issuer": network.issuer,
        "issuer_key": network.issuer_key,
        "authority": network.authority,
        "nodes": [
            {
                "name": node.name,
                "organisation": node.organisation,
                "home": str(node.home.relative_to(directory)),
                "socket": str(node.socket.relative_to(directory)),
                "host": node.host,
                "port": node.port,
                "peer_id": node.peer_id,
                "validator": node.validator,
                "member": node.member,
                "validates": node.validates,
                "hosted": node.hosted,
            }
            for node in network.nodes
        ],
    }
    write_atomic(directory / FILE, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def load_network(directory: Path | str) -> Network:
    """The network in ``directory``.

    Raises:
        InvalidConfig: ``network_missing``, or ``network_invalid`` with what is wrong in ``network.json``.
    """
    base = Path(directory).expanduser().absolute()
    try:
        document = msgspec.json.decode((base / FILE).read_bytes(), type=_NetworkDoc)
        chain_id = bytes.fromhex(document.chain_id)
    except FileNotFoundError as error:
        raise InvalidConfig(
            f"there is no network in {base}; `tidegate devnet init --home {base}` makes one", code="network_missing"
        ) from error
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidConfig(f"{base / FILE}: {error}", code="network_invalid") from error
    nodes = tuple(
        NetworkNode(
            name=node.name,
            organisation=node.organisation,
            home=base / node.home,
            socket=base / node.socket,
            host=node.host,
            port=node.port,
            peer_id=node.peer_id,
            validator=node.validator,
            member=node.member,
            validates=node.validates,
            hosted=node.hosted,
        )
        for node in document.nodes
    )
    return Network(
        directory=base,
        name=document.name,
        chain_id=chain_id,
        nodes=nodes,
        issuer=document.issuer,
        issuer_key=document.issuer_key,
        authority=document.authority,
    )
