"""What the flow commands share: a client, a directory's parties, names of flows and keys, refusals as exit codes."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from contracts.flow.answers import FlowView
from ledger.errors import InvalidConfig, InvalidInput, NotFound
from ledger.keys import parse_key
from node.calling import CallRefused
from node.cli.commission_session import OVERLOAD_RETRIES, quiet_services
from node.cli.exit_codes import Refused
from node.cli.options import Target, passphrase_from_person
from node.client import Client
from node.consortium.parties import FILE, Party, PartyBook, load_parties
from node.flow.client import FlowClient
from node.flow.errors import FlowEnded, PurseEmpty, StageExpired, StageRefused

F = TypeVar("F", bound=Callable[..., Any])
MAX_DOCUMENT_BYTES: Final = 40 * 1024
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")


class Hash(click.ParamType[bytes]):
    """A flow's id or authorisation hash: 64 lower-case hex digits."""

    name = "hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """The 32 bytes."""
        if isinstance(value, bytes):
            return value
        if not _HASH.match(value):
            self.fail("64 lower-case hex digits are expected", param, ctx)
        return bytes.fromhex(value)


HASH: Final = Hash()


@dataclass(frozen=True, slots=True)
class Acting:
    """The options that name who acts.

    Attributes:
        parties: directory of the parties; None where none was given.
        name: ``--as``.
    """

    parties: Path | None
    name: str

    def book(self) -> PartyBook:
        """The parties.

        Raises:
            InvalidConfig: ``parties_missing``: no directory was given, or there are none in it.
        """
        if self.parties is None:
            raise InvalidConfig("--parties names the directory with the parties' keys", code="parties_missing")
        directory = self.parties
        if not (directory / FILE).exists() and (directory / "parties" / FILE).exists():
            directory = directory / "parties"
        if not (directory / FILE).exists():
            raise InvalidConfig(f"there is no {FILE} in {directory}", code="parties_missing")
        return load_parties(directory, passphrase_from_person)

    def party(self) -> Party:
        """Who acts. Raises ``InvalidConfig``, ``NotFound``."""
        return self.book().party(self.name)


def key_of(name: str, book: PartyBook | None) -> bytes:
    """A public key: of a party by its name, or as text (``ed25519:…``).

    Raises:
        NotFound: no such party.
        InvalidInput: neither.
    """
    if name.startswith("ed25519:"):
        return bytes(parse_key(name))
    if book is None:
        raise NotFound(f"{name!r} is not a key, and without --parties no name means anything")
    return bytes(book.party(name).key)


def parties_option(function: F) -> F:
    """Adds ``--parties``."""
    return click.option(
        "--parties",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="TIDEGATE_PARTIES",
        show_envvar=True,
        help="Directory with the parties' keys.",
    )(function)


def acting_options(function: F) -> F:
    """Adds ``--as`` and ``--parties``; the command gets ``acting: Acting`` in their place."""

    @functools.wraps(function)
    def with_acting(*args: Any, parties: Path | None, name: str, **kwargs: Any) -> Any:
        return function(*args, acting=Acting(parties, name), **kwargs)

    option = click.option("--as", "name", required=True, help="Who acts: a party of that directory.")
    wrapped: Any = option(parties_option(with_acting))
    return wrapped  # type: ignore[no-any-return]


def waiting_options(function: F) -> F:
    """Adds ``--no-wait`` (as ``wait``) and ``--timeout``."""
    timeout = click.option(
        "--timeout", type=click.FloatRange(0.1), default=60, show_default=True, help="Seconds to wait for an answer."
    )
    return click.option("--wait/--no-wait", default=True, help="Wait for what the supervision chain says.")(
        timeout(function)
    )


@asynccontextmanager
async def open_flows(target: Target) -> AsyncIterator[FlowClient]:
    """A flow client of the node that ``--home`` or ``--socket`` means.

    What a chain refuses comes out as ``Refused``, with the chain's code: exit code 1.
    """
    with quiet_services():
        async with Client(target.socket, overload_retries=OVERLOAD_RETRIES) as client, FlowClient(client) as flows:
            try:
                yield flows
            except (CallRefused, StageRefused, StageExpired, FlowEnded, PurseEmpty) as error:
                raise Refused(error.message, code=error.code, **_facts(error)) from error


def _facts(error: InvalidInput) -> dict[str, object]:
    return {name: value for name, value in error.data.items() if name in ("stage", "rule", "rule_version", "status")}


async def flow_named(flows: FlowClient, name: bytes) -> FlowView:
    """The flow with that id or authorisation hash.

    Raises:
        NotFound: there is none.
    """
    try:
        return await flows.show(name)
    except NotFound as error:
        raise NotFound(f"there is no flow or authorisation {name.hex()}") from error


def read_bytes(path: Path) -> bytes:
    """A document of at most 40 KiB.

    Raises:
        InvalidInput: ``document_unreadable`` or ``document_oversized``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", code="document_unreadable") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidInput(f"{path}: a document has at most {MAX_DOCUMENT_BYTES} bytes", code="document_oversized")
    return data
