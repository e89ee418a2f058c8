"""What a compiled expression does at run time: closures over a frame of values.

Every closure does a bounded amount of work for each of its parts, and none calls itself; the parts of a quantifier's
condition run once an item, at most ``MAX_ITEMS`` times. Errors are as in CEL: ``&&``, ``||``, ``all`` and ``exists``
have a value where one side decides it, whatever happened on the others, before or after; else the first error counts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from contracts.expression.attributes import MAX_ITEMS, MAX_TEXT, Value
from contracts.expression.errors import MISSING, OUT_OF_BOUNDS, OVERFLOW, WRONG_TYPE
from contracts.expression.types import BOOL, INT, MAX_INT, MIN_INT, STRING, STRINGS


class Failure(Exception):
    """An error inside an expression: (reason, name or empty, offset). Cheap, for a condition may meet 256 of it."""


class Unusable:
    """Stands in a frame for a value that is missing or not as declared; whoever reads it fails."""

    __slots__ = ("name", "reason")

    def __init__(self, reason: str, name: str) -> None:
        self.reason = reason
        self.name = name


class Frame:
    """The values of one evaluation.

    Attributes:
        values: by slot.
        item: what the quantifier's variable stands for now.
    """

    __slots__ = ("_asked", "_contains", "_sets", "item", "values")

    def __init__(self, values: list[Any], contains: Callable[[str, str], bool]) -> None:
        self.values = values
        self.item: str | int = 0
        self._contains = contains
        self._asked: dict[tuple[str, str], bool] = {}
        self._sets: dict[int, frozenset[str]] = {}

    def listed(self, name: str, entry: str) -> bool:
        """Whether the chain's list has the entry; asked once an evaluation, for it costs a read of the state."""
        known = self._asked.get((name, entry))
        if known is None:
            known = self._asked[name, entry] = bool(self._contains(name, entry))
        return known

    def members(self, slot: int, strings: tuple[str, ...]) -> frozenset[str]:
        """The strings as a set: ``in`` must not go through 256 strings for each of 256 items."""
        known = self._sets.get(slot)
        if known is None:
            known = self._sets[slot] = frozenset(strings)
        return known


Run: TypeAlias = Callable[[Frame], Any]
"""The value of a part."""
Condition: TypeAlias = Callable[[Frame], bool]
"""A part that the checker knows to be a bool; exactly True or False, never something that counts as one."""
Step: TypeAlias = Callable[[Frame, Any], Any]
"""The value of an operator, given its left side."""

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_PYTHON: Final[Mapping[str, type]] = {BOOL: bool, INT: int, STRING: str, STRINGS: tuple}


# --- values ---------------------------------------------------------------------------------------------------------


def admitted(values: Mapping[str, Value], name: str, kind: str) -> Any:
    """The value of ``name`` if it is as declared, else what says why not.

    Types are compared exactly: to Python, ``True`` is a number.
    """
    value: Any = values.get(name)
    if value is None:
        return Unusable(MISSING, name)
    found: object = type(value)
    if found is not _PYTHON[kind]:
        return Unusable(WRONG_TYPE, name)
    if kind == INT:
        return value if MIN_INT <= value <= MAX_INT else Unusable(OUT_OF_BOUNDS, name)
    if kind == STRING:
        return value if len(value) <= MAX_TEXT else Unusable(OUT_OF_BOUNDS, name)
    if kind == STRINGS:
        if len(value) > MAX_ITEMS:
            return Unusable(OUT_OF_BOUNDS, name)
        for entry in value:
            if type(entry) is not str:
                return Unusable(WRONG_TYPE, name)
            if len(entry) > MAX_TEXT:
                return Unusable(OUT_OF_BOUNDS, name)
    return value


def constant(value: Any) -> Run:
    """A literal."""
    return lambda _frame: value


def attribute(slot: int, at: int) -> Run:
    """The value in a slot."""

    def run(frame: Frame) -> Any:
        value = frame.values[slot]
        if type(value) is Unusable:
            raise Failure(value.reason, value.name, at)
        return value

    return run


def item(frame: Frame) -> str | int:
    """The quantifier's variable."""
    return frame.item


# --- operators ------------------------------------------------------------------------------------------------------


def negation(operand: Condition) -> Condition:
    """``!x``."""
    return lambda frame: not operand(frame)


def minus(operand: Run, at: int) -> Run:
    """``-x``."""

    def run(frame: Frame) -> int:
        value: int = operand(frame)
        if value == MIN_INT:
            raise Failure(OVERFLOW, "", at)
        return -value

    return run


def logic(operands: tuple[Condition, ...], deciding: bool) -> Run:
    """``a || b || …`` for ``deciding`` true, ``a && b && …`` for false; from the left, no further than needed."""

    def run(frame: Frame) -> bool:
        failed: tuple[Any, ...] | None = None
        for operand in operands:
            try:
                if operand(frame) is deciding:
                    return deciding
            except Failure as failure:
                # The arguments and not the error: that one would hold this frame, and this frame it.
                failed = failed or failure.args
        if failed:
            raise Failure(*failed)
        return not deciding

    return run


def quantifier(over: Run, body: Condition, deciding: bool) -> Run:
    """``exists`` for ``deciding`` true, ``all`` for false."""

    def run(frame: Frame) -> bool:
        failed: tuple[Any, ...] | None = None
        for element in over(frame):
            frame.item = element
            try:
                if body(frame) is deciding:
                    return deciding
            except Failure as failure:
                failed = failed or failure.args
        if failed:
            raise Failure(*failed)
        return not deciding

    return run


def compare(function: Callable[[Any, Any], bool], right: Run) -> Step:
    """``== != < <= > >=``; strings by code points, ``false < true``."""
    return lambda frame, left: function(left, right(frame))


def arithmetic(function: Callable[[int, int], int], right: Run, at: int) -> Step:
    """``+ - *`` within 64 bits."""

    def step(frame: Frame, left: int) -> int:
        value = function(left, right(frame))
        if not MIN_INT <= value <= MAX_INT:
            raise Failure(OVERFLOW, "", at)
        return value

    return step


def among(items: frozenset[str | int]) -> Step:
    """``in ["a", "b"]``."""
    return lambda _frame, left: left in items


def among_strings(slot: int, strings: Run) -> Step:
    """``in`` an attribute."""
    return lambda frame, left: left in frame.members(slot, strings(frame))


def among_listed(name: str) -> Step:
    """``in`` a list of the chain."""
    return lambda frame, left: frame.listed(name, left)


def chain(first: Run, steps: tuple[Step, ...]) -> Run:
    """Operators of one precedence, from the left."""
    if len(steps) == 1:
        (step,) = steps
        return lambda frame: step(frame, first(frame))

    def run(frame: Frame) -> Any:
        value = first(frame)
        for step in steps:
            value = step(frame, value)
        return value

    return run


# --- functions ------------------------------------------------------------------------------------------------------


def size(subject: Run) -> Run:
    """Items of a list, code points of a string."""
    return lambda frame: len(subject(frame))


def starts_with(subject: Run, prefix: Run) -> Run:
    """``s.startsWith(p)``."""

    def run(frame: Frame) -> bool:
        text: str = subject(frame)
        return text.startswith(prefix(frame))

    return run
