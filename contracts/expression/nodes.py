"""The syntax tree: what the parser makes and the checker reads. ``at`` is an offset into the source.

Chains of operators of one precedence are one flat node, so that a long ``a || b || …`` is not a deep tree.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Literal(msgspec.Struct, frozen=True, gc=False):
    """``true``, ``42``, ``-1``, ``"text"``."""

    value: bool | int | str
    at: int


class Name(msgspec.Struct, frozen=True, gc=False):
    """An attribute, a named list, or the variable of the quantifier."""

    name: str
    at: int


class ListLiteral(msgspec.Struct, frozen=True):
    """``["a", "b"]``: literals of one type, at least one."""

    items: tuple[Literal, ...]
    at: int


class Unary(msgspec.Struct, frozen=True):
    """``!x`` or ``-x``."""

    operator: str
    operand: Node
    at: int


class Logic(msgspec.Struct, frozen=True):
    """``a && b && …`` or ``a || b || …``: at least two operands."""

    operator: str
    operands: tuple[Node, ...]
    at: int


class Operation(msgspec.Struct, frozen=True):
    """One operator of a chain with what stands on its right."""

    operator: str
    right: Node
    at: int


class Chain(msgspec.Struct, frozen=True):
    """Operators of one precedence, from the left: comparisons and ``in``; or ``+`` and ``-``; or ``*``."""

    first: Node
    operations: tuple[Operation, ...]


class Call(msgspec.Struct, frozen=True):
    """``x.size()``, ``size(x)``, ``s.startsWith(p)``."""

    function: str
    subject: Node
    arguments: tuple[Node, ...]
    at: int


class Quantifier(msgspec.Struct, frozen=True):
    """``range.all(variable, body)`` or ``range.exists(variable, body)``."""

    function: str
    over: Node
    variable: str
    body: Node
    at: int


Node: TypeAlias = Literal | Name | ListLiteral | Unary | Logic | Chain | Call | Quantifier
