"""Tree to closures, every part with its type: what does not fit is refused here and not at run time."""

from __future__ import annotations

from typing import Final

from contracts.expression import evaluate
from contracts.expression.attributes import MAX_ITEMS
from contracts.expression.errors import ExpressionInvalid, invalid
from contracts.expression.evaluate import Run, Step
from contracts.expression.nodes import (
    Call,
    Chain,
    ListLiteral,
    Literal,
    Logic,
    Name,
    Node,
    Operation,
    Quantifier,
    Unary,
)
from contracts.expression.parser import SIZE
from contracts.expression.types import ATTRIBUTE_TYPES, BOOL, ELEMENT, INT, INTS, LIST, STRING, STRINGS, Schema

_SHOWN_NAMES: Final = 20
"""Known names that an error lists at most."""


class Checker:
    """Checks one tree against a schema and builds what runs.

    Attributes:
        slots: name of each attribute that is read → its slot, in the order of first use.
        lists: names of the chain's lists that are asked, in the order of first use.
        steps: parts that one evaluation runs at most; each runs in bounded time.
    """

    __slots__ = ("_repeated", "_schema", "_source", "_variable", "lists", "slots", "steps")

    def __init__(self, source: str, schema: Schema) -> None:
        self._source = source
        self._schema = schema
        self._variable: tuple[str, str] | None = None
        self._repeated = 1
        self.slots: dict[str, int] = {}
        self.lists: dict[str, None] = {}
        self.steps = 0

    def boolean(self, tree: Node) -> Run:
        """What runs the whole expression.

        Raises:
            ExpressionInvalid: a name that is not declared, or a type that does not fit.
        """
        kind, run = self._build(tree)
        if kind != BOOL:
            raise self._wrong(_start(tree), f"an expression is true or false, this one is {_a(kind)}")
        return run

    def _wrong(self, at: int, words: str) -> ExpressionInvalid:
        return invalid(self._source, at, words)

    def _build(self, node: Node) -> tuple[str, Run]:
        """Type and closure of a part."""
        self.steps += self._repeated
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Literal):
            return _literal_type(node), evaluate.constant(node.value)
        if isinstance(node, Chain):
            return self._chain(node)
        if isinstance(node, Logic):
            operands = tuple([self._typed(operand, BOOL, node.operator, node.at) for operand in node.operands])
            return BOOL, evaluate.logic(operands, node.operator == "||")
        if isinstance(node, Unary):
            if node.operator == "!":
                return BOOL, evaluate.negation(self._typed(node.operand, BOOL, "!", node.at))
            return INT, evaluate.minus(self._typed(node.operand, INT, "-", node.at), node.at)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Quantifier):
            return self._quantifier(node)
        return _list_type(node), evaluate.constant(tuple([item.value for item in node.items]))

    def _typed(self, node: Node, wanted: str, operator: str, at: int) -> Run:
        kind, run = self._build(node)
        if kind != wanted:
            # Where there are many operands, the operand is the place; of a sign, the sign.
            raise self._wrong(
                _start(node) if operator in ("&&", "||") else at, f"{operator} takes {wanted}, not {kind}"
            )
        return run

    # --- names ---

    def _name(self, node: Name) -> tuple[str, Run]:
        name = node.name
        if self._variable and name == self._variable[0]:
            return self._variable[1], evaluate.item
        kind = self._schema.get(name)
        if kind is None:
            raise self._unknown(node)
        if kind == LIST:
            raise self._wrong(node.at, f"{name} is a list of the chain: it stands only on the right of 'in'")
        if kind not in ATTRIBUTE_TYPES:
            raise self._wrong(node.at, f"{name} is declared as {kind!a}; known types: {', '.join(ATTRIBUTE_TYPES)}")
        return kind, evaluate.attribute(self._slot(name), node.at)

    def _slot(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots))

    def _unknown(self, node: Name) -> ExpressionInvalid:
        attributes = _names([name for name, kind in self._schema.items() if kind != LIST])
        lists = _names([name for name, kind in self._schema.items() if kind == LIST])
        shown = node.name if len(node.name) <= 64 else f"{node.name[:64]}…"
        return self._wrong(node.at, f"unknown name {shown}; attributes: {attributes}; lists: {lists}")

    # --- operators ---

    def _chain(self, node: Chain) -> tuple[str, Run]:
        kind, first = self._build(node.first)
        steps: list[Step] = []
        for operation in node.operations:
            self.steps += self._repeated
            if operation.operator == "in":
                steps.append(self._membership(operation, kind))
                kind = BOOL
            elif operation.operator in evaluate.COMPARISONS:
                steps.append(self._comparison(operation, kind))
                kind = BOOL
            else:
                if kind != INT:
                    raise self._wrong(operation.at, f"{operation.operator} takes int, not {kind}")
                right = self._typed(operation.right, INT, operation.operator, operation.at)
                function = evaluate.ARITHMETIC[operation.operator]
                steps.append(evaluate.arithmetic(function, right, operation.at))
        return kind, evaluate.chain(first, tuple(steps))

    def _comparison(self, operation: Operation, left: str) -> Step:
        right, run = self._build(operation.right)
        if left != right:
            raise self._wrong(operation.at, f"{operation.operator} compares values of one type, not {left} and {right}")
        if left in ELEMENT:
            raise self._wrong(operation.at, "lists are not compared; use in, size, all or exists")
        return evaluate.compare(evaluate.COMPARISONS[operation.operator], run)

    def _membership(self, operation: Operation, left: str) -> Step:
        right = operation.right
        self.steps += self._repeated
        shadowed = isinstance(right, Name) and self._variable is not None and right.name == self._variable[0]
        if isinstance(right, Name) and not shadowed and self._schema.get(right.name) == LIST:
            self._element(operation, left, STRING, right.name)
            self.lists[right.name] = None
            return evaluate.among_listed(right.name)
        if isinstance(right, ListLiteral):
            self._element(operation, left, ELEMENT[_list_type(right)], "this list")
            return evaluate.among(frozenset([item.value for item in right.items]))
        if isinstance(right, Name):
            kind, strings = self._name(right)
            if kind == STRINGS:
                self._element(operation, left, STRING, right.name)
                return evaluate.among_strings(self._slot(right.name), strings)
            raise self._wrong(_start(right), f"'in' looks into a list; {right.name} is {_a(kind)}")
        raise self._wrong(_start(right), "'in' looks into a list, and this is none")

    def _element(self, operation: Operation, left: str, wanted: str, shown: str) -> None:
        if left != wanted:
            raise self._wrong(operation.at, f"{shown} holds {wanted}, and on the left of 'in' is {_a(left)}")

    # --- functions ---

    def _call(self, node: Call) -> tuple[str, Run]:
        kind, subject = self._build(node.subject)
        if node.function == SIZE:
            if kind != STRING and kind not in ELEMENT:
                raise self._wrong(node.at, f"size takes a string or a list, not {kind}")
            return INT, evaluate.size(subject)
        if kind != STRING:
            raise self._wrong(node.at, f"startsWith is of string, not of {kind}")
        prefix = self._typed(node.arguments[0], STRING, node.function, node.at)
        return BOOL, evaluate.starts_with(subject, prefix)

    def _quantifier(self, node: Quantifier) -> tuple[str, Run]:
        kind, over = self._build(node.over)
        element = ELEMENT.get(kind)
        if element is None:
            raise self._wrong(node.at, f"{node.function} goes over a list, not {_a(kind)}")
        # The variable hides an attribute of its name, as in CEL: so that a new attribute spoils no old rule.
        self._variable, self._repeated = (node.variable, element), MAX_ITEMS
        body = self._typed(node.body, BOOL, f"the condition of {node.function}", _start(node.body))
        self._variable, self._repeated = None, 1
        return BOOL, evaluate.quantifier(over, body, node.function == "exists")


def _literal_type(node: Literal) -> str:
    # bool first: to Python, a bool is an int.
    if isinstance(node.value, bool):
        return BOOL
    return STRING if isinstance(node.value, str) else INT


def _list_type(node: ListLiteral) -> str:
    return STRINGS if isinstance(node.items[0].value, str) else INTS


def _start(node: Node) -> int:
    """Offset of the first code point of a part, parentheses aside."""
    if isinstance(node, Chain):
        return _start(node.first)
    if isinstance(node, Logic):
        return _start(node.operands[0])
    if isinstance(node, Quantifier):
        return _start(node.over)
    # size(x) begins with its name, x.size() does not.
    return min(node.at, _start(node.subject)) if isinstance(node, Call) else node.at


def _a(kind: str) -> str:
    """A type with its article."""
    return f"an {kind}" if kind in (INT, INTS) else f"a {kind}"


def _names(names: list[str]) -> str:
    """Names for an error: sorted, so that every node says the same; not a page of them."""
    shown = ", ".join(sorted(names)[:_SHOWN_NAMES]) or "none"
    return f"{shown}, … ({len(names)} in all)" if len(names) > _SHOWN_NAMES else shown
