"""What the regulator's commands share: which chain, which officers sign, and how refusals end a command."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ledger.errors import InvalidConfig, InvalidInput, InvalidSignature
from ledger.keys import key_text, parse_key
from ledger.types import PublicKey
from node.calling import Caller, CallRefused
from node.cli.commission_session import open_session
from node.cli.exit_codes import Refused
from node.cli.options import Target, passphrase_from_person, target_options
from node.client import Client
from node.network_file import FILE as NETWORK_FILE
from node.node_keys import AuthorityKeys, read_authority_keys

F = TypeVar("F", bound=Callable[..., Any])
SUPERVISION: Final = "supervision"
PARTIES_FILE: Final = "parties.json"
SHOWN_HEX: Final = 16


def supervision_options(function: F) -> F:
    """Adds ``--home`` and ``--socket`` of a node of the supervision chain, as ``target: Target``.

    The directory of a whole consortium stands for its supervision network.
    """

    @functools.wraps(function)
    def with_target(*args: Any, target: Target, **kwargs: Any) -> Any:
        return function(*args, target=of_supervision(target), **kwargs)

    return target_options(with_target)  # type: ignore[return-value]


def of_supervision(target: Target) -> Target:
    """The target itself, or the supervision network within a consortium's directory."""
    inner = target.home / SUPERVISION
    return Target(inner, target.given_socket) if (inner / NETWORK_FILE).exists() else target


@dataclass(frozen=True, slots=True)
class Officers:
    """Who signs.

    Attributes:
        names: of parties in the directory, in the order in which they sign.
        directory: where their keys are; None to look for it beside the home.
    """

    names: tuple[str, ...]
    directory: Path | None

    def callers(self, client: Client, target: Target) -> list[Caller]:
        """One caller for each officer.

        Raises:
            UsageError: nobody is named.
            NotFound: the directory has nobody of that name.
            InvalidConfig: there is no such directory, or a key file of it cannot be used.
        """
        if not self.names:
            raise click.UsageError("officers sign this: name them with --officer, once for each")
        from node.consortium.parties import load_parties  # noqa: PLC0415 - brings the sealing library

        book = load_parties(self._directory(target), passphrase_from_person)
        return [Caller(client, book.party(name).signing) for name in dict.fromkeys(self.names)]

    def _directory(self, target: Target) -> Path:
        if self.directory is not None:
            if not (self.directory / PARTIES_FILE).exists():
                raise InvalidConfig(f"{self.directory} has no {PARTIES_FILE}", code="officers_missing")
            return self.directory
        for base in (target.home, *list(target.home.parents)[:2]):
            if (base / "officers" / PARTIES_FILE).exists():
                return base / "officers"
        raise InvalidConfig(
            f"there is no directory of officers' keys near {target.home}: name it with --officers",
            code="officers_missing",
        )


def officer_options(function: F) -> F:
    """Adds ``--officer`` (repeatable) and ``--officers``; the command gets ``officers: Officers``."""

    @functools.wraps(function)
    def with_officers(*args: Any, officer: tuple[str, ...], officers: Path | None, **kwargs: Any) -> Any:
        return function(*args, officers=Officers(officer, officers), **kwargs)

    name = click.option("--officer", multiple=True, metavar="NAME", help="Officer who signs; once for each.")
    directory = click.option(
        "--officers",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="TIDEGATE_OFFICERS",
        help="Directory with the officers' keys; officers/ near the home by default.",
    )
    wrapped: Any = name(directory(with_officers))
    return wrapped  # type: ignore[no-any-return]


authority_home_option = click.option(
    "--authority-home",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Home of an authority's node, whose keys make pseudonyms of ID numbers.",
)


def authority_keys(home: Path) -> AuthorityKeys:
    """The authority's keys in a home. Raises ``InvalidConfig`` where there are none."""
    return read_authority_keys(Target(home).layout, passphrase_from_person)


@asynccontextmanager
async def open_chain(target: Target) -> AsyncIterator[Client]:
    """A client of the node that is meant; what the chain refuses ends the command as refused (exit code 1)."""
    async with open_session(target) as session:
        try:
            yield session.client
        except CallRefused as error:
            raise Refused(error.message, code=error.code, **error.data) from error


def public_key(text: str) -> PublicKey:
    """The key that people write.

    Raises:
        InvalidInput: ``key_invalid``.
    """
    try:
        return parse_key(text)
    except InvalidSignature as error:
        # A key that is written wrong is an input like others, and not a signature that fails.
        raise InvalidInput(error.message, code=error.code) from error


def time_text(time_ms: int) -> str:
    """A time as people read it, UTC, or nothing."""
    if not time_ms:
        return ""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def short(value: bytes) -> str:
    """The beginning of a hash."""
    return value.hex()[:SHOWN_HEX]


def short_key(key: bytes) -> str:
    """The beginning of a key's text."""
    return key_text(key)[: len("ed25519:") + SHOWN_HEX] if key else ""


def time_option(value: datetime | None, default_ms: int) -> int:
    """Milliseconds of what a ``click.DateTime`` option gave, taken as UTC."""
    return default_ms if value is None else round(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000)
