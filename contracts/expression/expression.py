"""The rule expression language: what others import.

    expression = compile_expression('amount > 500 && drugs.exists(d, d in watched)', schema)
    expression.evaluate({"amount": 700, "drugs": ("860975",)}, contains)

The language is a subset of CEL, and what it says means what CEL says (github.com/google/cel-spec): ``bool``, ``int`` of
64 bits, ``string`` compared by code points; ``== != < <= > >=`` between equal types; ``&& || !``; ``+ - *`` and unary
minus; ``in`` a literal list, a list of strings, or a named list of the chain; ``size(x)``, ``x.size()``,
``s.startsWith(p)``; one ``list.all(x, …)`` or ``list.exists(x, …)``; parentheses and ``//`` comments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from contracts.expression.attributes import Value
from contracts.expression.errors import EvaluationFailed, ExpressionInvalid
from contracts.expression.types import Schema

__all__ = ["MAX_SOURCE_BYTES", "EvaluationFailed", "Expression", "ExpressionInvalid", "Schema", "compile_expression"]

MAX_SOURCE_BYTES: Final = 1_024


class Expression:
    """A checked expression.

    Attributes:
        source: the text that it was compiled from.
        attributes: names of the attributes that it reads, sorted.
        lists: names of the chain's lists that it asks, sorted.
    """

    __slots__ = ("attributes", "lists", "source")

    source: str
    attributes: tuple[str, ...]
    lists: tuple[str, ...]

    def evaluate(self, values: Mapping[str, Value], contains: Callable[[str, str], bool]) -> bool:
        """Whether the expression holds.

        Args:
            values: name → value; names that the expression does not read are ignored.
            contains: whether the named list has this entry.

        Raises:
            EvaluationFailed: a value is missing or not as declared, or a number is beyond 64 bits.
        """
        raise NotImplementedError


def compile_expression(source: str, schema: Schema) -> Expression:
    """The expression that ``source`` says.

    Args:
        source: at most ``MAX_SOURCE_BYTES`` of UTF-8.
        schema: names that it may use, with their types.

    Raises:
        ExpressionInvalid: with line and column; nothing was kept.
    """
    raise NotImplementedError
