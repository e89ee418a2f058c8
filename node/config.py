"""The daemon's configuration: parsed once, checked section by section, passed in (DESIGN.md 8).

Flags win over the environment (``TIDEGATE_SECTION__KEY``), the environment over ``config.toml``. Unknown keys are
errors. Only the daemon and ``tidegate node`` import this module: pydantic-settings takes 0.2 s.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ledger.errors import InvalidConfig, InvalidInput
from ledger.lock import check_name
from node.layout import DEFAULT_SOCKET, read_toml
from p2p.identity import public_key_of_peer_id
from p2p.transport import PeerAddress, PeerId

PREFIX: Final = "TIDEGATE_"
MAX_PEERS: Final = 256
_MIB: Final = 1024 * 1024


def parse_peer(text: str) -> PeerAddress:
    """The address that ``PEERID@HOST:PORT`` says; an IPv6 host stands in brackets.

    Raises:
        InvalidConfig: another form, or not the id of an Ed25519 key.
    """
    peer_id, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else "" if ":" in host else host
    if not (at and colon and host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise InvalidConfig(f"a peer is written PEERID@HOST:PORT, not {text[:120]!r}", key="p2p.peers")
    try:
        public_key_of_peer_id(peer_id)
    except InvalidInput as error:
        raise InvalidConfig(f"peer {text[:120]!r}: {error.message}", key="p2p.peers") from error
    return PeerAddress(PeerId(peer_id), host, int(port))


def _name(value: str) -> str:
    try:
        return check_name(value)
    except InvalidInput as error:
        raise ValueError(error.message) from error


def _peer(value: str) -> str:
    try:
        parse_peer(value)
    except InvalidConfig as error:
        raise ValueError(error.message) from error
    return value


def _commas(value: object) -> object:
    """Lets the environment write a list with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


_Name = Annotated[str, AfterValidator(_name)]
_Peers = Annotated[
    tuple[Annotated[str, AfterValidator(_peer)], ...], BeforeValidator(_commas), NoDecode, Field(max_length=MAX_PEERS)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChainSection(_Section):
    """``[chain]``: which chain this home was made for.

    Attributes:
        genesis_hash: hash of the genesis file's content in hex; empty where it is not pinned.
    """

    genesis_hash: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class NodeSection(_Section):
    """``[node]``: who runs this node.

    Attributes:
        name: of the node, in logs and status.
        organisation: the member that answers for it, as its certificates say.
    """

    name: _Name
    organisation: _Name


class P2pSection(_Section):
    """``[p2p]``: the overlay.

    Attributes:
        listen_host: address to listen on.
        listen_port: TCP port.
        peers: whom to keep connected, ``PEERID@HOST:PORT`` each.
    """

    listen_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=1, le=65_535)] = 7300
    peers: _Peers = ()

    @property
    def addresses(self) -> tuple[PeerAddress, ...]:
        """``peers``, parsed."""
        return tuple(parse_peer(peer) for peer in self.peers)


class RpcSection(_Section):
    """``[rpc]``: how clients reach the node.

    Attributes:
        socket: Unix socket, relative to the home or absolute.
    """

    socket: Annotated[str, Field(min_length=1, max_length=255)] = DEFAULT_SOCKET


class MempoolSection(_Section):
    """``[mempool]``: bounds of what waits for a block.

    Attributes:
        max_transactions: most transactions.
        max_bytes: most wire bytes.
        organisation_bytes: most wire bytes of one organisation.
    """

    max_transactions: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    max_bytes: Annotated[int, Field(ge=_MIB, le=16 * 1024 * _MIB)] = 64 * _MIB
    organisation_bytes: Annotated[int, Field(ge=_MIB, le=16 * 1024 * _MIB)] = 48 * _MIB


class ServiceSection(_Section):
    """A service that this node runs or not.

    Attributes:
        enabled: whether it runs.
    """

    enabled: bool = False


class TransactionServiceSection(ServiceSection):
    """``[services.transaction]``: standardises raw sales and asks for their booking.

    Attributes:
        bookkeeper: peer id or organisation of the node that books; None is this node.
    """

    bookkeeper: _Name | None = None


class ServicesSection(_Section):
    """``[services]``: what this node does for its organisation (PROTOCOL.md 1.3)."""

    transaction: TransactionServiceSection = TransactionServiceSection()
    bookkeeping: ServiceSection = ServiceSection()
    settlement: ServiceSection = ServiceSection()
    authority: ServiceSection = ServiceSection()


class FusionSection(_Section):
    """``[fusion]``: a daemon that hosts a second chain and relays between the two (DESIGN.md 6).

    Attributes:
        supervision_home: home of the node of the other chain, relative to this one; empty: one chain only.
    """

    supervision_home: Annotated[str, Field(max_length=1_024)] = ""


class LogSection(_Section):
    """``[log]``: what is logged and how.

    Attributes:
        level: the least severe that is written.
        format: ``json`` for machines, ``console`` for people.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(BaseSettings):
    """The whole configuration; immutable. ``load_config`` makes it."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    node: NodeSection
    chain: ChainSection = ChainSection()
    p2p: P2pSection = P2pSection()
    rpc: RpcSection = RpcSection()
    mempool: MempoolSection = MempoolSection()
    services: ServicesSection = ServicesSection()
    fusion: FusionSection = FusionSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: ``load_config`` merges the sources, so that it can say where a bad value stands."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_config(path: Path, flags: Mapping[str, object] | None = None, *, environment: bool = True) -> Config:
    """The configuration in ``path``, under the environment, under ``flags``.

    Args:
        path: a ``config.toml``.
        environment: whether ``TIDEGATE_*`` is looked at.
        flags: values by dotted key, such as ``{"log.level": "debug"}``; None values are left out.

    Raises:
        InvalidConfig: unreadable, unknown key, or a value that is not allowed; the text names file, variable or flag,
            the key, and what is allowed. ``data["key"]`` is the dotted key.
    """
    return _validated(
        {
            "flag": _nest({key: value for key, value in (flags or {}).items() if value is not None}),
            "environment": _environment() if environment else {},
            str(path): read_toml(path),
        }
    )


def check_config_text(text: str) -> None:
    """Refuses the text of a ``config.toml`` that could not be loaded, before it is written.

    Raises:
        InvalidConfig: as ``load_config``.
    """
    try:
        _validated({"config.toml": tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"config.toml: {error}") from error


def _validated(sources: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration of ``sources`` by name, the strongest first."""
    merged: dict[str, Any] = {}
    for document in reversed([*sources.values()]):
        _merge(merged, document)
    try:
        return Config(**merged)
    except ValidationError as error:
        raise _explain(error, sources) from error


def _environment() -> dict[str, Any]:
    """What ``TIDEGATE_*`` says; other variables of that prefix (such as the passphrase) name no section."""
    for variable in os.environ:
        if variable.upper().startswith(PREFIX):
            _check_variable(variable)
    return EnvSettingsSource(Config, env_prefix=PREFIX, env_nested_delimiter="__")()


def _check_variable(variable: str) -> None:
    names = variable.upper().removeprefix(PREFIX).lower().split("__")
    section, _, rest = names[0].partition("_")
    if len(names) == 1 and section in Config.model_fields:
        hint = f"{PREFIX}{section.upper()}__{rest.upper() or 'KEY'}"
        raise InvalidConfig(f"{variable}: write two underscores after the section: {hint}", key=section)
    if len(names) == 1:
        return
    for depth, name in enumerate(names):
        known = _known(names[:depth])
        if name not in known:
            key = ".".join(names[: depth + 1])
            raise InvalidConfig(f"{variable}: {key} is not a known key; known here: {', '.join(known)}", key=key)
    if _known(names):
        key = ".".join(names)
        raise InvalidConfig(f"{variable}: {key} is a section; its keys: {', '.join(_known(names))}", key=key)


def _nest(flat: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *sections, key = dotted.split(".")
        table = nested
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    return nested


def _merge(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if isinstance(value, Mapping) and isinstance(into.setdefault(key, {}), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _explain(error: ValidationError, sources: Mapping[str, Mapping[str, Any]]) -> InvalidConfig:
    """The first complaint, in words: where it stands, which key, what is allowed."""
    found = error.errors()[0]
    names = [str(part) for part in found["loc"]]
    key = ".".join(name for name in names if not name.isdigit())
    where = next((name for name, document in sources.items() if _has(document, names)), [*sources][-1])
    if where == "environment":
        where = PREFIX + "__".join(name for name in names if not name.isdigit()).upper()
    if found["type"] == "extra_forbidden":
        words = f"is not a known key; known here: {', '.join(_known(names[:-1]))}"
    elif found["type"] == "missing":
        words = "is missing"
    else:
        reason = found["msg"].removeprefix("Value error, ")
        words = f"{reason[0].lower()}{reason[1:]} (it is {found['input']!r:.120})"
    return InvalidConfig(f"{where}: {key}: {words}", key=key)


def _has(document: Any, names: list[str]) -> bool:
    for name in names:
        if not isinstance(document, Mapping):
            return True  # the complaint is about a member of a list that stands here
        if name not in document:
            return False
        document = document[name]
    return True


def _known(path: list[str]) -> list[str]:
    """The keys below ``path``; none when it is a value, or not known itself."""
    model: Any = Config
    for name in path:
        found = model.model_fields.get(name)
        if found is None or not isinstance(found.annotation, type) or not issubclass(found.annotation, BaseModel):
            return []
        model = found.annotation
    return sorted(model.model_fields)
