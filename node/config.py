"""The daemon's configuration: parsed once, checked section by section, passed in (DESIGN.md 8).

Flags win over the environment (``TIDEGATE_SECTION__KEY``), the environment over ``config.toml``. Unknown keys are
errors. Only the daemon and ``tidegate node`` import this module: pydantic-settings takes 0.2 s. The sections themselves
are in ``node.config_sections``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ledger.errors import InvalidConfig
from node.config_sections import (
    ChainSection,
    FusionSection,
    LogSection,
    MempoolSection,
    MetricsSection,
    NodeSection,
    P2pSection,
    RpcSection,
    ServicesSection,
    StorageSection,
    TelemetrySection,
)
from node.layout import read_toml

PREFIX: Final = "TIDEGATE_"


class Config(BaseSettings):
    """The whole configuration; immutable. ``load_config`` makes it."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    node: NodeSection
    chain: ChainSection = ChainSection()
    p2p: P2pSection = P2pSection()
    rpc: RpcSection = RpcSection()
    mempool: MempoolSection = MempoolSection()
    storage: StorageSection = StorageSection()
    services: ServicesSection = ServicesSection()
    fusion: FusionSection = FusionSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()
    telemetry: TelemetrySection = TelemetrySection()

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
