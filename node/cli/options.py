"""Options that several commands share: which home, which node, which passphrase."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ledger.keys import SigningKey
from node.keyfile import PassphraseMissing, environment_passphrase
from node.layout import HomeLayout
from node.network_file import FILE, load_network
from node.node_keys import read_member_key

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_HOME: Final = "~/.tidegate"


def _expanded(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    del context, parameter
    return None if value is None else value.expanduser().absolute()


home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TIDEGATE_HOME",
    default=DEFAULT_HOME,
    show_default=True,
    show_envvar=True,
    callback=_expanded,
    help="Home directory of the node; of a devnet, its first node.",
)


def passphrase_from_person() -> str | None:
    """The passphrase from the environment, or asked for once when a person is there to answer."""
    given = environment_passphrase()
    return _ask() if given is None and sys.stdin.isatty() else given


@functools.cache
def _ask() -> str:
    answer: str = click.prompt("Passphrase", hide_input=True, err=True)
    return answer


@dataclass(frozen=True, slots=True)
class Target:
    """The node that a client command speaks to. Nothing is looked up before it is asked for.

    Attributes:
        home: its home, or a devnet's directory: then its first node is meant.
        given_socket: RPC socket, when it is not the one that the home says.
    """

    home: Path
    given_socket: Path | None = None

    @property
    def layout(self) -> HomeLayout:
        """The node's home.

        Raises:
            InvalidConfig: a devnet's directory whose ``network.json`` is damaged.
        """
        return HomeLayout(load_network(self.home).nodes[0].home if (self.home / FILE).exists() else self.home)

    @property
    def socket(self) -> Path:
        """Its RPC socket.

        Raises:
            InvalidConfig: there is no home, or its ``config.toml`` is not TOML.
        """
        return self.layout.find_socket() if self.given_socket is None else self.given_socket

    def member_key(self) -> SigningKey:
        """The organisation's key from the home.

        Raises:
            InvalidConfig: as ``node.keyfile.read_key``.
        """
        return read_member_key(self.layout, passphrase_from_person)


def target_options(function: F) -> F:
    """Adds ``--home`` and ``--socket``; the command gets ``target: Target`` in their place."""

    @functools.wraps(function)
    def with_target(*args: Any, home: Path, socket: Path | None, **kwargs: Any) -> Any:
        return function(*args, target=Target(home, socket), **kwargs)

    socket_option = click.option(
        "--socket", type=click.Path(path_type=Path), help="RPC socket, when it is not the one of the home."
    )
    wrapped: Any = home_option(socket_option(with_target))
    return wrapped  # type: ignore[no-any-return]


seal_option = click.option(
    "--seal", is_flag=True, help="Seal key files with a passphrase (TIDEGATE_PASSPHRASE, or asked for)."
)


def new_passphrase(*, seal: bool) -> str | None:
    """The passphrase for new key files, or None when they are not to be sealed.

    Raises:
        InvalidConfig: none is set, and nobody is there to be asked.
    """
    if not seal:
        return None
    given = environment_passphrase()
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise PassphraseMissing("--seal needs a passphrase: set TIDEGATE_PASSPHRASE or TIDEGATE_PASSPHRASE_FILE")
    answer: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return answer
