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
from typing import Any, Final

from contracts.expression.attributes import Value
from contracts.expression.check import Checker
from contracts.expression.errors import OVERFLOW, EvaluationFailed, ExpressionInvalid, invalid, position
from contracts.expression.evaluate import Failure, Frame, Run, admitted
from contracts.expression.parser import parse
from contracts.expression.types import Schema

__all__ = ["MAX_SOURCE_BYTES", "EvaluationFailed", "Expression", "ExpressionInvalid", "Schema", "compile_expression"]

MAX_SOURCE_BYTES: Final = 1_024


class Expression:
    """A checked expression; made by ``compile_expression``. It has no state: evaluations do not see one another.

    Attributes:
        source: the text that it was compiled from.
        attributes: names of the attributes that it reads, sorted.
        lists: names of the chain's lists that it asks, sorted.
        steps: parts that one evaluation runs at most: the parts of the tree, those of a quantifier's condition 256
            times. Each takes bounded time.
    """

    __slots__ = ("_reads", "_run", "attributes", "lists", "source", "steps")

    def __init__(
        self, source: str, run: Run, reads: tuple[tuple[str, str], ...], lists: tuple[str, ...], steps: int
    ) -> None:
        self.source = source
        self.attributes = tuple(sorted([name for name, _ in reads]))
        self.lists = lists
        self.steps = steps
        self._run = run
        self._reads = reads

    def evaluate(self, values: Mapping[str, Value], contains: Callable[[str, str], bool]) -> bool:
        """Whether the expression holds.

        Args:
            values: name → value; names that the expression does not read are ignored. Numbers may have 64 bits.
            contains: whether the named list has this entry. It is asked from the left and no further than needed, once
                for each list and entry. What it raises comes through: it is not an error inside the expression.

        Raises:
            EvaluationFailed: a value is missing or not as declared, or a number is beyond 64 bits, and what is left
                does not decide.
        """
        frame = Frame([admitted(values, name, kind) for name, kind in self._reads], contains)
        try:
            holds: bool = self._run(frame)
        except Failure as failure:
            raise self._failed(*failure.args) from None
        return holds

    def _failed(self, *failure: Any) -> EvaluationFailed:
        reason, name, offset = failure
        line, column = position(self.source, offset)
        words = "a number beyond 64 bits" if reason == OVERFLOW else f"the value of {name}: {reason.replace('_', ' ')}"
        return EvaluationFailed(
            f"line {line}, column {column}: {words}", reason=reason, name=name, line=line, column=column
        )


def compile_expression(source: str, schema: Schema) -> Expression:
    """The expression that ``source`` says.

    Args:
        source: at most ``MAX_SOURCE_BYTES`` of UTF-8.
        schema: names that it may use, with their types.

    Raises:
        ExpressionInvalid: with line and column; nothing was kept.
    """
    # Counted first: no work on a source that is too long.
    kept = source[: MAX_SOURCE_BYTES + 1]
    try:
        size_bytes = len(kept.encode())
    except UnicodeEncodeError as error:
        raise invalid(kept, error.start, "half of a surrogate pair is no character") from error
    if size_bytes > MAX_SOURCE_BYTES:
        fitting = len(kept.encode()[:MAX_SOURCE_BYTES].decode(errors="ignore"))
        raise invalid(kept, fitting, f"a source has at most {MAX_SOURCE_BYTES} bytes")
    tree = parse(source)
    checker = Checker(source, schema)
    run = checker.boolean(tree)
    reads = tuple([(name, schema[name]) for name in checker.slots])
    return Expression(source, run, reads, tuple(sorted(checker.lists)), checker.steps)
