"""Tokens to a tree, by precedence climbing. What nests is counted, so that no source can exhaust the stack."""

from __future__ import annotations

from typing import Final

from contracts.expression.errors import ExpressionInvalid, invalid
from contracts.expression.lexer import END, NAME, NUMBER, TEXT, Token, tokens
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
from contracts.expression.types import MAX_INT

MAX_DEPTH: Final = 24
"""Parentheses, arguments and unary operators inside one another."""
MAX_LIST_ITEMS: Final = 256

SIZE: Final = "size"
STARTS_WITH: Final = "startsWith"
QUANTIFIERS: Final = ("all", "exists")
_ARGUMENTS: Final = {SIZE: 0, STARTS_WITH: 1}
_KNOWN_FUNCTIONS: Final = "known: size, startsWith, all, exists"

_OR: Final = 1
_AND: Final = 2
_PRECEDENCE: Final = {
    "||": _OR,
    "&&": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    "+": 4,
    "-": 4,
    "*": 5,
}


def parse(source: str) -> Node:
    """The tree of ``source``.

    Raises:
        ExpressionInvalid: not of the language, or nested more than ``MAX_DEPTH`` deep.
    """
    return _Parser(source).whole()


class _Parser:
    __slots__ = ("_depth", "_index", "_next", "_quantified", "_source", "_tokens")

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokens(source)
        self._index = 0
        self._next = self._tokens[0]
        self._depth = 0
        self._quantified = False

    def whole(self) -> Node:
        if self._next.kind == END:
            raise self._wrong(self._next, "an empty expression")
        tree = self._binary(_OR)
        if self._next.kind != END:
            raise self._wrong(self._next, f"expected an operator or the end, not {_shown(self._next)}")
        return tree

    # --- tokens ---

    def _advance(self) -> Token:
        token = self._next
        self._index += 1
        self._next = self._tokens[self._index]
        return token

    def _expect(self, kind: str, after: str) -> Token:
        if self._next.kind != kind:
            raise self._wrong(self._next, f"expected {kind!r} {after}, not {_shown(self._next)}")
        return self._advance()

    def _wrong(self, token: Token, words: str) -> ExpressionInvalid:
        return invalid(self._source, token.offset, words)

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(token, f"nested more than {MAX_DEPTH} deep")

    # --- grammar ---

    def _binary(self, minimum: int) -> Node:
        left = self._unary()
        while True:
            level = _PRECEDENCE.get(self._next.kind, 0)
            if level < minimum:
                return left
            at = self._next.offset
            operations: list[Operation] = []
            while _PRECEDENCE.get(self._next.kind, 0) == level:
                operator = self._advance()
                operations.append(Operation(operator.kind, self._binary(level + 1), operator.offset))
            if level <= _AND:
                operands = (left, *[operation.right for operation in operations])
                left = Logic("||" if level == _OR else "&&", operands, at)
            else:
                left = Chain(left, tuple(operations))

    def _unary(self) -> Node:
        if self._next.kind not in ("!", "-"):
            return self._member()
        operator = self._advance()
        if operator.kind == "-" and self._next.kind == NUMBER:
            # CEL reads the sign as part of the number: so -9223372036854775808 can be written.
            number = self._advance()
            assert isinstance(number.value, int)
            return Literal(-number.value, operator.offset)
        self._enter(operator)
        run = self._next
        operand = self._unary()
        # … but of several signs, as in CEL, none.
        if operator.kind == run.kind == "-" and isinstance(operand, Literal) and operand.value == -MAX_INT - 1:
            raise self._wrong(run, f"a number is at most {MAX_INT}")
        self._depth -= 1
        return Unary(operator.kind, operand, operator.offset)

    def _member(self) -> Node:
        subject = self._primary()
        if self._next.kind != ".":
            return subject
        self._advance()
        name = self._next
        if name.kind != NAME:
            raise self._wrong(name, f"expected a function after '.', not {_shown(name)}")
        self._advance()
        if self._next.kind != "(":
            raise self._wrong(name, "there are no fields: after '.' stands a function")
        member = self._quantifier(subject, name) if name.value in QUANTIFIERS else self._method(subject, name)
        if self._next.kind == ".":
            raise self._wrong(self._next, f"the result of {name.value} has no functions")
        return member

    def _primary(self) -> Node:
        token = self._next
        kind = token.kind
        if kind == NAME:
            self._advance()
            assert isinstance(token.value, str)
            return self._function(token) if self._next.kind == "(" else Name(token.value, token.offset)
        if kind == TEXT:
            self._advance()
            return Literal(token.value, token.offset)
        if kind == NUMBER:
            self._advance()
            if token.value == MAX_INT + 1:
                raise self._wrong(token, f"a number is at most {MAX_INT}")
            return Literal(token.value, token.offset)
        if kind in ("true", "false"):
            self._advance()
            return Literal(kind == "true", token.offset)
        if kind == "(":
            self._enter(token)
            self._advance()
            inner = self._binary(_OR)
            self._expect(")", "to close the parenthesis")
            self._depth -= 1
            return inner
        if kind == "[":
            return self._list()
        raise self._wrong(token, f"expected a value, not {_shown(token)}")

    def _list(self) -> Node:
        opening = self._advance()
        items: list[Literal] = []
        while True:
            token = self._next
            if token.kind == "]" and not items:
                raise self._wrong(token, "a list has at least one item")
            if token.kind not in (TEXT, NUMBER, "-"):
                raise self._wrong(token, f"a list holds strings or numbers, not {_shown(token)}")
            item = self._unary()
            if not isinstance(item, Literal):
                raise self._wrong(token, "a list holds strings or numbers, nothing computed")
            if items and type(item.value) is not type(items[0].value):
                raise self._wrong(token, "the items of a list are all strings or all numbers")
            items.append(item)
            if len(items) > MAX_LIST_ITEMS:
                raise self._wrong(token, f"a list has at most {MAX_LIST_ITEMS} items")
            if self._next.kind != ",":
                break
            self._advance()
            if self._next.kind == "]":
                break
        self._expect("]", "to close the list")
        return ListLiteral(tuple(items), opening.offset)

    # --- functions ---

    def _function(self, name: Token) -> Node:
        if name.value != SIZE:
            if name.value in (STARTS_WITH, *QUANTIFIERS):
                raise self._wrong(name, f"{name.value} is written after a dot: x.{name.value}(…)")
            raise self._wrong(name, f"unknown function {_shown(name)}; {_KNOWN_FUNCTIONS}")
        arguments = self._arguments(name)
        if len(arguments) != 1:
            raise self._wrong(name, f"size(…) takes 1 argument, not {len(arguments)}")
        return Call(SIZE, arguments[0], (), name.offset)

    def _method(self, subject: Node, name: Token) -> Node:
        assert isinstance(name.value, str)
        needed = _ARGUMENTS.get(name.value)
        if needed is None:
            raise self._wrong(name, f"unknown function {_shown(name)}; {_KNOWN_FUNCTIONS}")
        arguments = self._arguments(name)
        if len(arguments) != needed:
            raise self._wrong(name, f".{name.value}(…) takes {needed} arguments, not {len(arguments)}")
        return Call(name.value, subject, arguments, name.offset)

    def _arguments(self, name: Token) -> tuple[Node, ...]:
        self._enter(name)
        self._expect("(", "before the arguments")
        arguments: list[Node] = []
        if self._next.kind != ")":
            arguments.append(self._binary(_OR))
            while self._next.kind == ",":
                self._advance()
                arguments.append(self._binary(_OR))
        self._expect(")", f"after the arguments of {name.value}")
        self._depth -= 1
        return tuple(arguments)

    def _quantifier(self, over: Node, name: Token) -> Node:
        if self._quantified:
            raise self._wrong(name, "an expression has at most one all(…) or exists(…)")
        self._quantified = True
        self._enter(name)
        self._expect("(", "before the variable")
        variable = self._next
        if variable.kind != NAME:
            raise self._wrong(variable, f"{name.value}(x, …) begins with a name for the item, not {_shown(variable)}")
        self._advance()
        self._expect(",", f"after the variable of {name.value}")
        body = self._binary(_OR)
        self._expect(")", f"after the condition of {name.value}")
        self._depth -= 1
        assert isinstance(name.value, str)
        assert isinstance(variable.value, str)
        return Quantifier(name.value, over, variable.value, body, name.offset)


def _shown(token: Token) -> str:
    """The token in words for a person; never more than a few characters of a stranger's text."""
    if token.kind == END:
        return "the end"
    if token.kind in (NAME, TEXT, NUMBER):
        shown = ascii(token.value)
        return shown if len(shown) <= 40 else f"{shown[:40]}…"
    return repr(token.kind)
