"""What the commands about validators share: who comes and who goes, by name or key, and whom names mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from contracts.validators.calls import ChangeSet
from ledger.errors import InvalidInput
from ledger.keys import parse_key
from ledger.types import PublicKey
from node.cli.options import Target
from node.client import Client
from node.network_file import FILE, load_network
from node.validator_names import NodeBook, node_book

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Wanted:
    """A change as it was typed: names or keys.

    Attributes:
        add: who comes.
        remove: who goes.
    """

    add: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    def change(self, book: NodeBook) -> ChangeSet:
        """The governed change.

        Raises:
            NotFound, InvalidInput: as ``NodeBook.key``; ``validators_key_repeated``.
        """
        add, remove = [book.key(text) for text in self.add], [book.key(text) for text in self.remove]
        if len({*add, *remove}) != len(add) + len(remove):
            raise InvalidInput("name each validator once", code="validators_key_repeated")
        return ChangeSet(tuple(add), tuple(remove))

    def words(self) -> str:
        """For people who are asked to approve it."""
        parts = [("add", self.add), ("remove", self.remove)]
        return "validators: " + "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)


def change_options(function: F) -> F:
    """Adds ``--add``, ``--remove`` and ``--replace``; the command gets ``wanted: Wanted`` in their place."""

    @functools.wraps(function)
    def with_change(
        *args: Any, add: tuple[str, ...], remove: tuple[str, ...], replace: tuple[str, ...], **kwargs: Any
    ) -> Any:
        pairs = [text.partition("=") for text in replace]
        if not all(old and new for old, _, new in pairs):
            raise click.BadParameter("write OLD=NEW", param_hint="--replace")
        come, go = (*add, *(new for _, _, new in pairs)), (*remove, *(old for old, _, _ in pairs))
        return function(*args, wanted=Wanted(come, go), **kwargs)

    who = "an organisation, a devnet's node, or a key (ed25519:…); repeatable"
    added = click.option("--add", multiple=True, metavar="NAME|KEY", help=f"Who comes into the set: {who}.")
    removed = click.option("--remove", multiple=True, metavar="NAME|KEY", help="Who leaves it; repeatable.")
    replaced = click.option("--replace", multiple=True, metavar="OLD=NEW", help="Both at once; repeatable.")
    wrapped: Any = added(removed(replaced(with_change)))
    return wrapped  # type: ignore[no-any-return]


async def read_book(client: Client, target: Target) -> NodeBook:
    """The nodes that the chain knows; of a local network also by their names."""
    names: dict[str, PublicKey] = {}
    for directory in (target.home, target.home.parent):
        if (directory / FILE).exists():
            names = {node.name: parse_key(node.validator) for node in load_network(directory).nodes}
            break
    return await node_book(client, names)
