"""``network.toml``: a network for real hosts as people write it; read, checked and made whole here.

One table ``[business]``, one ``[supervision]``, or both, and then ``[[fusion]]`` for the daemons that join them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ledger.admission import ROLES
from ledger.errors import InvalidConfig, InvalidInput
from ledger.genesis import Parameters, check_parameters
from ledger.lock import check_name
from ledger.rotation import RotationDoc
from ledger.types import MAX_AMOUNT
from node.network import BUSINESS_CONTRACTS, CONTRACTS, SUPERVISION_CONTRACTS
from node.networks.addresses import host_and_port, is_loopback

BUSINESS: Final = "business"
SUPERVISION: Final = "supervision"
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_NODES: Final = 128
SERVICES: Final = ("transaction", "bookkeeping", "settlement", "authority")
HOMES: Final = "/var/lib/tidegate"
"""Where homes are on their hosts unless the file says otherwise; what the unit template expects."""

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
_File = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
_Address = Annotated[str, Meta(max_length=280)]
_Texts = Annotated[tuple[_Name, ...], Meta(max_length=32)]


class _Doc(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class NodePlan(_Doc, frozen=True, kw_only=True):
    """``[[business.node]]``: one organisation's node.

    Attributes:
        name: distinct in the file; names the home, the unit and the service.
        organisation: that answers for it; in locks, ``{organisation}`` is its member key.
        address: ``HOST:PORT`` where the others reach it.
        listen: ``HOST:PORT`` it listens on; every address of that port where left out, or loopback's own.
        validator: whether it decides; others follow and submit.
        candidate: an observer that governance may make a validator: its certificate says so.
        services: that run in it.
        bookkeeper: organisation or peer id of the node that books for its transaction service; its own where empty.
        roles: of its organisation's member key.
        home: directory on its host.
        rpc_listen: ``HOST:PORT`` for RPC over TCP; the Unix socket only where empty.
        metrics_listen: ``HOST:PORT`` for metrics and health.
        log_level: least severe that is logged.
        supervision_home: of a fusion node; filled in.
    """

    name: _File
    organisation: _Name
    address: _Address
    listen: _Address = ""
    validator: bool = True
    candidate: bool = False
    services: _Texts = ()
    bookkeeper: Annotated[str, Meta(max_length=128)] = ""
    roles: _Texts = ("member", "service")
    home: Annotated[str, Meta(max_length=1_024)] = ""
    rpc_listen: _Address = ""
    metrics_listen: _Address = ""
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    supervision_home: Annotated[str, Meta(max_length=1_024)] = ""

    @property
    def node_roles(self) -> tuple[str, ...]:
        """Of its node key."""
        if self.validator:
            return ("validator",)
        return ("observer", "validator") if self.candidate else ("observer",)

    @property
    def directory(self) -> str:
        """Its home on its host."""
        return self.home or f"{HOMES}/{self.name}"

    def listening(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        if self.listen:
            return host_and_port(self.listen)
        host, port = host_and_port(self.address)
        return (host if is_loopback(host) else "0.0.0.0"), port  # noqa: S104 - a real host's overlay is for everybody


class HolderPlan(_Doc, frozen=True, kw_only=True):
    """``[[business.holder]]``: a key without a node: a bank, an officer. ``{organisation}`` in locks.

    Attributes:
        name: distinct in the file; names the key file.
        organisation: that answers for it; several of one are ``{organisation#1}``, ``{organisation#2}``, ….
        roles: what the key may do.
    """

    name: _File
    organisation: _Name
    roles: _Texts = ("member",)


class AuthorityPlan(_Doc, frozen=True, kw_only=True):
    """``[business.authority]``: who admits to the chain.

    Attributes:
        organisations: with a node or as holders; each has a key of the authority.
        threshold: how many of them must sign.
    """

    organisations: _Texts
    threshold: Annotated[int, Meta(ge=1, le=16)] = 1


class SupplyPlan(_Doc, frozen=True, kw_only=True):
    """An output that exists from the start, in minor units."""

    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    lock: Annotated[str, Meta(min_length=1, max_length=2_048)]


class AssetPlan(_Doc, frozen=True, kw_only=True):
    """``[[business.asset]]``: a currency; its issuer's member key issues it."""

    asset: _Name
    issuer: _Name
    scale: Annotated[int, Meta(ge=0, le=8)] = 2
    supply: tuple[SupplyPlan, ...] = ()


class AccountPlan(_Doc, frozen=True, kw_only=True):
    """``[[business.account]]``: a named account and its lock."""

    name: _Name
    organisation: _Name
    lock: Annotated[str, Meta(min_length=1, max_length=2_048)]


class PolicyPlan(_Doc, frozen=True, kw_only=True):
    """``[[business.policy]]``: a named policy of keys that governance begins with."""

    name: _Name
    lock: Annotated[str, Meta(min_length=1, max_length=2_048)]


class ChainPlan(_Doc, frozen=True, kw_only=True):
    """``[business]`` or ``[supervision]``.

    Attributes:
        name: what people call the chain.
        authority: who admits to it.
        node: its nodes.
        holder: keys without a node.
        asset: currencies.
        account: named accounts.
        policy: named policies.
        contracts: kinds; what this kind of chain needs where left out.
        certificate_days: how long the first certificates hold.
        parameters: that every node must agree on.
        rotation: rules of rotating committees.
    """

    name: _Name
    authority: AuthorityPlan
    node: Annotated[tuple[NodePlan, ...], Meta(min_length=1, max_length=MAX_NODES)]
    holder: Annotated[tuple[HolderPlan, ...], Meta(max_length=1_024)] = ()
    asset: Annotated[tuple[AssetPlan, ...], Meta(max_length=64)] = ()
    account: Annotated[tuple[AccountPlan, ...], Meta(max_length=1_024)] = ()
    policy: Annotated[tuple[PolicyPlan, ...], Meta(max_length=32)] = ()
    contracts: _Texts = ()
    certificate_days: Annotated[int, Meta(ge=1, le=3_650)] = 365
    parameters: Parameters = Parameters()
    rotation: RotationDoc | None = None

    @property
    def seats(self) -> tuple[NodePlan | HolderPlan, ...]:
        """Everybody with keys: nodes, then holders."""
        found: list[NodePlan | HolderPlan] = [*self.node]
        return (*found, *self.holder)

    def seat(self, name: str) -> NodePlan | HolderPlan:
        """The node or holder of that name, or the first of that organisation.

        Raises:
            InvalidConfig: there is none.
        """
        seats = self.seats
        for field in ("name", "organisation"):
            for seat in seats:
                if getattr(seat, field) == name:
                    return seat
        known = ", ".join(f"{seat.organisation} ({seat.name})" for seat in seats)
        raise InvalidConfig(f"{name!r} is not in this network; in it are {known}", code="member_unknown")


class FusionPlan(_Doc, frozen=True, kw_only=True):
    """``[[fusion]]``: a daemon that follows both chains, with a home of each, and relays.

    Attributes:
        name: distinct; its home of the supervision chain is ``NAME-supervision``.
        organisation: on both chains.
        business_address: ``HOST:PORT`` on the business chain's overlay.
        supervision_address: on the other's; the same host.
        business_listen: where others than all addresses are meant.
        supervision_listen: as above.
        metrics_listen: of the daemon.
        home: of the business chain on its host; the other stands beside it.
    """

    name: _File
    organisation: _Name
    business_address: _Address
    supervision_address: _Address
    business_listen: _Address = ""
    supervision_listen: _Address = ""
    metrics_listen: _Address = ""
    home: Annotated[str, Meta(max_length=1_024)] = ""

    def node_of(self, kind: str) -> NodePlan:
        """Its node on that chain."""
        beside = f"{self.name}-{SUPERVISION}"
        home = self.home or f"{HOMES}/{self.name}"
        on_business = kind == BUSINESS
        return NodePlan(
            name=self.name if on_business else beside,
            organisation=self.organisation,
            address=self.business_address if on_business else self.supervision_address,
            listen=self.business_listen if on_business else self.supervision_listen,
            validator=False,
            roles=("fusion",),
            home=home if on_business else str(Path(home).parent / beside),
            metrics_listen=self.metrics_listen if on_business else "",
            supervision_home=f"../{beside}" if on_business else "",
        )


class Blueprint(_Doc, frozen=True, kw_only=True):
    """The whole file."""

    business: ChainPlan | None = None
    supervision: ChainPlan | None = None
    fusion: Annotated[tuple[FusionPlan, ...], Meta(max_length=16)] = ()

    def chains(self) -> dict[str, ChainPlan]:
        """Each kind of chain in the file, whole: contracts chosen, fusion nodes among its nodes."""
        found = {BUSINESS: self.business, SUPERVISION: self.supervision}
        return {
            kind: msgspec.structs.replace(
                plan,
                node=(*plan.node, *(fusion.node_of(kind) for fusion in self.fusion)),
                contracts=plan.contracts or _contracts(kind, supervised=self.supervision is not None),
            )
            for kind, plan in found.items()
            if plan is not None
        }


def _contracts(kind: str, *, supervised: bool) -> tuple[str, ...]:
    if kind == SUPERVISION:
        return SUPERVISION_CONTRACTS
    return BUSINESS_CONTRACTS if supervised else CONTRACTS


def read_blueprint(path: Path) -> Blueprint:
    """The checked plan in a ``network.toml``.

    Raises:
        InvalidConfig: unreadable, not TOML, an unknown key, or a plan that contradicts itself; the text says where.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidConfig(f"cannot read {path}: {error.strerror}", code="file_unreadable") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidConfig(f"{path}: over {MAX_FILE_BYTES} bytes", code="plan_invalid")
    try:
        return parse_blueprint(data.decode())
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error.message}", code=error.code) from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path}: {error}", code="plan_invalid") from error


def parse_blueprint(text: str) -> Blueprint:
    """As ``read_blueprint``, from text."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
        blueprint = msgspec.convert(document, Blueprint)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise InvalidConfig(str(error), code="plan_invalid") from error
    try:
        check_blueprint(blueprint)
    except InvalidConfig:
        raise
    except InvalidInput as error:
        raise InvalidConfig(error.message, code="plan_invalid") from error
    return blueprint


def check_blueprint(blueprint: Blueprint) -> None:
    """Refuses a plan that contradicts itself.

    Raises:
        InvalidConfig: ``plan_invalid``, with the place in words.
        InvalidInput: a name that no chain takes.
    """
    chains = blueprint.chains()
    if not chains:
        raise refuse("there is neither a [business] nor a [supervision] chain")
    if blueprint.fusion and len(chains) < 2:
        raise refuse("fusion nodes join two chains: both [business] and [supervision] are needed")
    for kind, plan in chains.items():
        check_chain(kind, plan)
    seats = [seat.name for plan in chains.values() for seat in plan.seats]
    _once("name of a node or holder", seats)
    _once("address", [node.address for plan in chains.values() for node in plan.node])
    _once("home", [_place(node) for plan in chains.values() for node in plan.node])
    if len(chains) == 2 and chains[BUSINESS].name == chains[SUPERVISION].name:
        raise refuse("both chains have the same name")


def check_chain(kind: str, plan: ChainPlan) -> None:
    """As ``check_blueprint``, one chain of it."""
    check_name(plan.name, f"{kind}.name")
    try:
        check_parameters(plan.parameters)
    except InvalidInput as error:
        raise refuse(f"{kind}.parameters.{error.message}") from error
    if not any(node.validator for node in plan.node):
        raise refuse(f"{kind} has no validator: one [[{kind}.node]] at least has validator = true")
    organisations = {seat.organisation for seat in plan.seats}
    for name in organisations:
        if set("{}#") & set(check_name(name, "organisation")):
            raise refuse(f"organisation {name!r}: a name has no {{, }} or #")
    for name in (*plan.authority.organisations, *(asset.issuer for asset in plan.asset)):
        if name not in organisations:
            raise refuse(f"{kind}: {name!r} has neither a node nor a holder's key; known: {_list(organisations)}")
    _once("organisation of the authority", plan.authority.organisations)
    if plan.authority.threshold > len(plan.authority.organisations):
        raise refuse(f"{kind}.authority: a threshold of {plan.authority.threshold} is more than it has keys")
    for node in plan.node:
        _check_node(kind, node)
    for holder in plan.holder:
        _check_roles(holder.name, holder.roles)


def _check_node(kind: str, node: NodePlan) -> None:
    for field in ("address", "listen", "rpc_listen", "metrics_listen"):
        text = getattr(node, field)
        if text or field == "address":
            try:
                host_and_port(text)
            except ValueError as error:
                raise refuse(f"{kind}.node {node.name}: {field} = {text!r}: {error}") from error
    host, _ = host_and_port(node.address)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - refused
        raise refuse(f"{kind}.node {node.name}: address is where others reach it; listen may be {host}")
    for service in node.services:
        if service not in SERVICES:
            raise refuse(f"{kind}.node {node.name}: there is no service {service!r}; there are {', '.join(SERVICES)}")
    if "authority" in node.services and kind != SUPERVISION:
        raise refuse(f"{kind}.node {node.name}: authorities are nodes of the supervision chain")
    _check_roles(node.name, node.roles)
    if node.home and not Path(node.home).is_absolute():
        raise refuse(f"{kind}.node {node.name}: home is an absolute path on its host")


def _place(node: NodePlan) -> str:
    """Host and home: two nodes on one host have a home each."""
    return f"{host_and_port(node.address)[0]} {node.directory}"


def _check_roles(name: str, roles: tuple[str, ...]) -> None:
    wrong = [role for role in roles if role not in ROLES]
    if wrong or not roles or len(set(roles)) != len(roles):
        raise refuse(f"{name}: roles are distinct, and among {', '.join(sorted(ROLES))}")


def _once(what: str, values: tuple[str, ...] | list[str]) -> None:
    twice = next((value for value in values if list(values).count(value) > 1), None)
    if twice is not None:
        raise refuse(f"{what} {twice!r} stands twice")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def refuse(words: str) -> InvalidConfig:
    """A plan that cannot be."""
    return InvalidConfig(words, code="plan_invalid")
