"""Makes a whole local network: authority, issuer, and a home with keys of its own for every organisation.

For development, the demo, the benchmark and tests. A real network is made by its members, each with
``tidegate node init``: nobody holds another's keys.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ledger.errors import InvalidConfig
from ledger.genesis import (
    AccountDoc,
    AssetDoc,
    Genesis,
    Parameters,
    PolicyDoc,
    SupplyDoc,
    format_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.lock import check_name
from ledger.rotation import RotationDoc
from ledger.types import PublicKey
from node.atomic_file import write_atomic
from node.config_text import NodeSettings
from node.home import Home, NodeKeys
from node.keyfile import write_key
from node.layout import KEYS_MODE, HomeLayout
from node.network_file import Network, NetworkNode, load_network, save_network
from node.networks.founding import (
    DAY_MS,
    Admitted,
    Charter,
    authority_lock,
    authority_signatures,
    unsigned_genesis,
    with_signatures,
)

__all__ = ["AccountPlan", "AssetPlan", "Network", "NetworkNode", "NetworkPlan", "create_network", "load_network"]

HOST: Final = "127.0.0.1"
CONTRACTS: Final = ("admission", "governance", "validators", "accounts", "assets", "commission")
BUSINESS_CONTRACTS: Final = (
    "admission", "governance", "validators", "accounts", "assets", "keyring", "bridge", "flow", "commission",
)  # fmt: skip
"""Contracts of a business chain that is supervised."""
SUPERVISION_CONTRACTS: Final = (
    "admission", "governance", "validators", "accounts", "assets", "keyring", "bridge", "registry", "rules",
    "supervision", "rewraps",
)  # fmt: skip
"""Contracts of a supervision chain."""
VALIDITY_MS: Final = 3_650 * DAY_MS
MAX_NODES: Final = 128
# Below the range from which systems take the ports of outgoing connections: those could take one before its node does.
_PORTS: Final = range(15_000, 32_000)
_OBSERVING: Final = {False: ("observer",), True: ("observer", "validator")}


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account; in ``lock``, ``{NAME}`` stands for the member key of organisation NAME.

    ``AccountPlan("B pending", "Platform B", "any(key({Platform B}),key({Insurer C}))")``
    """

    name: str
    organisation: str
    lock: str


@dataclass(frozen=True, slots=True)
class AssetPlan:
    """A currency of the issuer; ``supply`` is (minor units, lock) of each first output, locks as in ``AccountPlan``."""

    asset: str
    supply: tuple[tuple[int, str], ...] = ()
    scale: int = 2


@dataclass(frozen=True, slots=True)
class KeyholderPlan:
    """A key of a party without a node, admitted from the start.

    In locks, ``{NAME}`` stands for the key of organisation NAME; several keys of one are ``{NAME#1}``, ``{NAME#2}``, ….
    """

    organisation: str
    key: PublicKey
    roles: tuple[str, ...] = ("member",)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What ``create_network`` makes.

    Attributes:
        directory: where; it must be empty or not exist.
        name: the chain's name.
        validators: nodes in the first validator set.
        observers: more nodes, of organisations of their own, that follow and submit.
        candidates: observers may become validators by governance: their certificates say so.
        organisations: names in order of the nodes; default names take the rest.
        issuer: who issues the currencies; an organisation with a key and no node.
        assets: currencies; None: CNY, with 10,000,000.00 in the hands of the second organisation (or the only one).
        accounts: named accounts.
        parameters: of the genesis file.
        topology: ``mesh`` lists every node as a peer of every other; ``line`` only neighbours.
        contracts: addresses, each the kind of its contract.
        policies: named policies that governance begins with; locks as in ``AccountPlan``.
        roles: of an organisation's member key, where they are not ``member`` and ``service``.
        keyholders: further keys that are admitted, of parties without a node.
        hosted: organisations of observers whose node runs inside a fusion daemon of another network.
        supervision_homes: by organisation: home of its node of the supervision chain, as its daemon's setting says.
        avoid_ports: loopback ports that are spoken for.
        services: by organisation; None: the first one runs transaction and bookkeeping, the second settlement.
        bookkeepers: by organisation, the node that books for its transaction service; default its own.
        authority_keys: keys of the admission authority.
        authority_threshold: how many of them must sign.
        log_level: of every node.
        passphrase: seals every key file, when given.
        created_ms: time of the genesis block; None: now.
        rotation: rules of a rotating committee of the validators; groups name organisations.
    """

    directory: Path
    name: str = "business"
    validators: int = 4
    observers: int = 0
    candidates: bool = False
    organisations: tuple[str, ...] = ()
    issuer: str = "Issuer"
    assets: tuple[AssetPlan, ...] | None = None
    accounts: tuple[AccountPlan, ...] = ()
    parameters: Parameters = field(default_factory=Parameters)
    topology: Literal["mesh", "line"] = "mesh"
    contracts: tuple[str, ...] = CONTRACTS
    policies: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keyholders: tuple[KeyholderPlan, ...] = ()
    hosted: frozenset[str] = frozenset()
    supervision_homes: Mapping[str, str] = field(default_factory=dict)
    avoid_ports: frozenset[int] = frozenset()
    services: Mapping[str, Iterable[str]] | None = None
    bookkeepers: Mapping[str, str] = field(default_factory=dict)
    authority_keys: int = 1
    authority_threshold: int = 1
    log_level: str = "info"
    passphrase: str | None = None
    created_ms: int | None = None
    rotation: RotationDoc | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    organisation: str
    keys: NodeKeys
    port: int
    validates: bool


@dataclass(frozen=True, slots=True)
class _Keyholders:
    issuer: SigningKey
    authority: tuple[SigningKey, ...]
    authority_lock: str


def default_organisation(index: int) -> str:
    """Name of the organisation of node ``index`` when nobody names it: Platform B, Insurer C, Member D, and so on."""
    letters = ""
    number = index + 1
    while number >= 0:
        letters = chr(ord("A") + number % 26) + letters
        number = number // 26 - 1
    return f"{('Platform', 'Insurer')[index] if index < 2 else 'Member'} {letters}"


def create_network(plan: NetworkPlan) -> Network:
    """Makes the network's directory: ``network.json``, ``genesis.json``, ``authority/``, ``issuer/``, ``node0/``, ….

    Raises:
        InvalidConfig: the plan contradicts itself, the directory is in use, or a socket path would be too long.
        InvalidGenesis, InvalidLock: a name, lock or parameter that no genesis may have.
    """
    directory = Path(plan.directory).expanduser().absolute()
    organisations = _organisations(plan)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidConfig(f"{directory} is not empty; a network needs a directory of its own", code="file_exists")
    ports = free_ports(len(organisations), plan.avoid_ports)
    members = tuple(
        _Member(f"node{index}", organisation, NodeKeys.generate(), ports[index], index < plan.validators)
        for index, organisation in enumerate(organisations)
    )
    keyholders = _keyholders(plan)
    genesis = _genesis(plan, members, keyholders)
    made_here = not directory.exists()
    try:
        network = _write(plan, directory, genesis, members, keyholders)
    except BaseException:
        if made_here:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return network


def free_ports(count: int, avoid: Collection[int] = ()) -> list[int]:
    """``count`` distinct loopback TCP ports that nobody listens on now, none of ``avoid``.

    Raises:
        InvalidConfig: none found in many tries.
    """
    found: list[int] = []
    for _ in range(200 + 20 * count):
        if len(found) == count:
            return found
        port = secrets.choice(_PORTS)
        if port in avoid:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    raise InvalidConfig(f"no {count} free ports on {HOST}", code="ports_exhausted")


def _organisations(plan: NetworkPlan) -> tuple[str, ...]:
    count = plan.validators + plan.observers
    if plan.validators < 1 or plan.observers < 0 or count > MAX_NODES:
        raise InvalidConfig(f"a network has at least one validator and at most {MAX_NODES} nodes", code="plan_invalid")
    if len(plan.organisations) > count:
        raise InvalidConfig(f"{len(plan.organisations)} organisations for {count} nodes", code="plan_invalid")
    rest = range(len(plan.organisations), count)
    names = (*plan.organisations, *(default_organisation(index) for index in rest))
    everybody = (*names, plan.issuer)
    for name in everybody:
        if "{" in check_name(name, "organisation") or "}" in name or everybody.count(name) > 1:
            raise InvalidConfig(f"organisation {name!r}: names are distinct and without braces", code="plan_invalid")
    for name in (*(plan.services or ()), *plan.bookkeepers, *plan.roles, *plan.hosted, *plan.supervision_homes):
        if name not in names:
            raise InvalidConfig(f"services of {name!r}, which has no node", code="plan_invalid")
    return names


def _keyholders(plan: NetworkPlan) -> _Keyholders:
    if not 1 <= plan.authority_threshold <= plan.authority_keys <= 16:
        raise InvalidConfig("an authority has 1 to 16 keys, and a threshold of at most as many", code="plan_invalid")
    keys = tuple(SigningKey.generate() for _ in range(plan.authority_keys))
    lock = authority_lock((key.public for key in keys), plan.authority_threshold)
    return _Keyholders(SigningKey.generate(), keys, lock)


def _genesis(plan: NetworkPlan, members: tuple[_Member, ...], keyholders: _Keyholders) -> Genesis:
    key_of = {member.organisation: key_text(member.keys.member.public) for member in members}
    key_of[plan.issuer] = key_text(keyholders.issuer.public)
    for number, holder in enumerate(plan.keyholders):
        same = sum(1 for other in plan.keyholders[: number + 1] if other.organisation == holder.organisation)
        key_of.setdefault(holder.organisation, key_text(holder.key))
        key_of[f"{holder.organisation}#{same}"] = key_text(holder.key)
    admitted: list[Admitted] = []
    for member in members:
        node_roles = ("validator",) if member.validates else _OBSERVING[plan.candidates]
        keys = member.keys
        admitted.append(Admitted(member.organisation, keys.validator.public, keys.transport.public_key, node_roles))
        roles = plan.roles.get(member.organisation, ("member", "service"))
        admitted.append(Admitted(member.organisation, keys.member.public, b"", roles))
    admitted.append(Admitted(plan.issuer, keyholders.issuer.public, b"", ("member",)))
    admitted.extend(Admitted(holder.organisation, holder.key, b"", holder.roles) for holder in plan.keyholders)
    draft = unsigned_genesis(
        Charter(
            name=plan.name,
            created_ms=int(time.time() * 1000) if plan.created_ms is None else plan.created_ms,
            salt=secrets.token_hex(16),
            authority=keyholders.authority_lock,
            validators=tuple(member.keys.validator.public for member in members if member.validates),
            admitted=tuple(admitted),
            validity_ms=VALIDITY_MS,
            names=key_of,
            assets=tuple(
                AssetDoc(
                    asset=asset.asset,
                    issuers=(key_of[plan.issuer],),
                    scale=asset.scale,
                    supply=tuple(SupplyDoc(amount=amount, lock=text) for amount, text in asset.supply),
                )
                for asset in _assets(plan, members)
            ),
            accounts=tuple(
                AccountDoc(name=account.name, organisation=account.organisation, lock=account.lock)
                for account in plan.accounts
            ),
            contracts=plan.contracts,
            policies=tuple(PolicyDoc(name=name, lock=text) for name, text in plan.policies.items()),
            parameters=plan.parameters,
            rotation=plan.rotation,
        )
    )
    return with_signatures(draft, authority_signatures(draft, keyholders.authority))


def _assets(plan: NetworkPlan, members: tuple[_Member, ...]) -> tuple[AssetPlan, ...]:
    if plan.assets is not None:
        return plan.assets
    payer = members[min(1, len(members) - 1)].organisation
    return (AssetPlan("CNY", ((10_000_000_00, f"key({{{payer}}})"),)),)


def _services(plan: NetworkPlan, member: _Member, index: int) -> frozenset[str]:
    if plan.services is not None:
        return frozenset(plan.services.get(member.organisation, ()))
    return (frozenset({"transaction", "bookkeeping"}), frozenset({"settlement"}))[index] if index < 2 else frozenset()


def _peers(plan: NetworkPlan, members: tuple[_Member, ...], index: int) -> tuple[str, ...]:
    return tuple(
        f"{member.keys.transport.peer_id}@{HOST}:{member.port}"
        for other, member in enumerate(members)
        if other != index and (plan.topology == "mesh" or abs(other - index) == 1)
    )


def _write(
    plan: NetworkPlan,
    directory: Path,
    genesis: Genesis,
    members: tuple[_Member, ...],
    keyholders: _Keyholders,
) -> Network:
    data = format_genesis(genesis)
    nodes: list[NetworkNode] = []
    for index, member in enumerate(members):
        settings = NodeSettings(
            name=member.name,
            organisation=member.organisation,
            listen_host=HOST,
            listen_port=member.port,
            peers=_peers(plan, members, index),
            services=_services(plan, member, index),
            bookkeeper=plan.bookkeepers.get(member.organisation),
            log_level=plan.log_level,
            supervision_home=plan.supervision_homes.get(member.organisation, ""),
        )
        layout = Home.create(
            directory / member.name, settings, genesis=data, keys=member.keys, passphrase=plan.passphrase
        )
        nodes.append(_described(member, layout, hosted=member.organisation in plan.hosted))
    suffixes = (
        [""] if len(keyholders.authority) == 1 else [f"-{number}" for number in range(1, len(keyholders.authority) + 1)]
    )
    for suffix, key in zip(suffixes, keyholders.authority, strict=True):
        _write_own_key(directory / "authority", f"authority{suffix}", "authority", key, plan.passphrase)
    _write_own_key(directory / "issuer", "issuer", "issuer", keyholders.issuer, plan.passphrase)
    write_atomic(directory / "genesis.json", data)
    network = Network(
        directory=directory,
        name=genesis.name,
        chain_id=genesis.chain_id,
        nodes=tuple(nodes),
        issuer=plan.issuer,
        issuer_key=key_text(keyholders.issuer.public),
        authority=keyholders.authority_lock,
    )
    save_network(network)
    return network


def _described(member: _Member, layout: HomeLayout, *, hosted: bool) -> NetworkNode:
    return NetworkNode(
        name=member.name,
        organisation=member.organisation,
        home=layout.path,
        socket=layout.socket(),
        host=HOST,
        port=member.port,
        peer_id=member.keys.transport.peer_id,
        validator=key_text(member.keys.validator.public),
        member=key_text(member.keys.member.public),
        validates=member.validates,
        hosted=hosted,
    )


def _write_own_key(directory: Path, name: str, kind: str, key: SigningKey, passphrase: str | None) -> None:
    keys = directory / "keys"
    keys.mkdir(mode=KEYS_MODE, parents=True, exist_ok=True)
    write_key(keys / f"{name}.key", kind, key.seed, passphrase=passphrase)
