"""What one RPC method is: its name, who may call it, what goes in, what comes out, what it costs.

Everything about a method is said once, here: the server reads the table to check and to dispatch, the OpenRPC document
and docs/rpc.md are written from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

import msgspec


class Scope(IntEnum):
    """What a client may do; each scope includes the ones below it."""

    READ = 1
    SUBMIT = 2
    OFFICER = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        """As tokens and configuration write it: ``read``, ``submit``, ``officer``, ``admin``."""
        return self.name.lower()


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every method's parameters: named, each with a type, bounds and a description by ``msgspec.Meta``."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Base of results that are made for the RPC; records of the ledger may be results too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method.

    Attributes:
        name: ``area.verb``.
        scope: the least that a client needs.
        summary: one sentence in the present tense.
        params: type of the parameters; ``Params`` itself where there are none. Fields are described by
            ``msgspec.Meta(description=…)`` or by the ``Attributes:`` of the docstring.
        result: type of the result, from which its JSON schema is made (a Struct, a list of one, a dict, …).
        call: does it; gets an instance of ``params``, and the ``Connection`` after it where ``connected``. Returns
            structs, records and plain values: structs become objects by field name, bytes lower-case hex.
        errors: stable codes that it answers with, beside those that every method may (``params_invalid``, …).
        cost: units of the client's budget; 1 is a lookup.
        connected: the method needs a connection that stays (a WebSocket); over plain HTTP it is refused.
        example: parameters for the documents, in JSON form.
        live_example: parameters that this node answers without an error, in JSON form, for ``rpc.discover``; None, or
            an answer of None, leaves ``example`` in place.
        steady: the example's result is the same whenever it is asked.
        example_result: the example's result in JSON form, where it cannot be had by calling the method.
    """

    name: str
    scope: Scope
    summary: str
    params: type[Params]
    result: Any
    call: Callable[..., Awaitable[Any]]
    errors: tuple[str, ...] = ()
    cost: int = 1
    connected: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    live_example: Callable[[], Awaitable[Mapping[str, Any] | None]] | None = None
    steady: bool = False
    example_result: Any = msgspec.UNSET


class Area(Protocol):
    """Some methods that belong together."""

    def table(self) -> tuple[Method, ...]:
        """The methods. Must not touch the chain: the documents are written from tables without a node behind them."""
        ...
