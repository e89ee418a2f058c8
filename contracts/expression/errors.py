"""What can be wrong with a rule expression: its source, or the values that it meets."""

from __future__ import annotations

from ledger.errors import InvalidInput


class ExpressionInvalid(InvalidInput):
    """A source that is not an expression of this language, or refers to what is not declared.

    ``data["line"]`` and ``data["column"]`` say where, both from 1, columns in code points. The words begin with both.
    """

    code = "expression_invalid"


class EvaluationFailed(InvalidInput):
    """An expression has no value for these values; it is neither true nor false.

    ``data["reason"]`` is ``missing`` (no such value), ``wrong_type`` or ``out_of_bounds`` (a value that its declaration
    does not allow), each with ``data["name"]``; or ``overflow`` (beyond 64 bits). ``line`` and ``column`` as in
    ``ExpressionInvalid``.
    """

    code = "expression_failed"


MISSING = "missing"
WRONG_TYPE = "wrong_type"
OUT_OF_BOUNDS = "out_of_bounds"
OVERFLOW = "overflow"


def position(source: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the code point at ``offset``; lines end with a line feed."""
    return source.count("\n", 0, offset) + 1, offset - source.rfind("\n", 0, offset)


def invalid(source: str, offset: int, words: str) -> ExpressionInvalid:
    """The error for the code point at ``offset``."""
    line, column = position(source, offset)
    return ExpressionInvalid(f"line {line}, column {column}: {words}", line=line, column=column)
