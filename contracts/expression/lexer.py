"""Source to tokens. Linear in the source: each alternative of the pattern begins with other characters."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from contracts.expression.errors import invalid
from contracts.expression.types import RESERVED

NAME: Final = "name"
NUMBER: Final = "number"
TEXT: Final = "text"
END: Final = "end"
KEYWORDS: Final = frozenset(["true", "false", "in"])

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\n\r]+|//[^\n]*)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+)"
    r"""|(?P<text>"(?:[^"\\\n\r]|\\[^\n\r])*"|'(?:[^'\\\n\r]|\\[^\n\r])*')"""
    r"|(?P<symbol>&&|\|\||[=!<>]=|[<>!+*()\[\].,-])"
)
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\?\"'`])|[xX](?P<two>[0-9A-Fa-f]{2})|u(?P<four>[0-9A-Fa-f]{4})"
    r"|U(?P<eight>[0-9A-Fa-f]{8})|(?P<octal>[0-3][0-7]{2})|(?P<wrong>.))"
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# What makes a source read as another one: control characters, marks that reorder a line, a line that ends for the
# reader (carriage return, form feed) but not for a comment. Ranges and not categories, for those change with the
# Unicode version of the interpreter.
_HIDDEN: Final = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
_HINTS: Final = {
    "=": "write == to compare",
    "&": "write && for and",
    "|": "write || for or",
    "?": "write a condition with && and ||",
    "/": "there is no division",
    "%": "there is no remainder",
    "{": "there are no maps",
    '"': "this string is not closed on its line",
    "'": "this string is not closed on its line",
}


class Token(NamedTuple):
    """A piece of source.

    Attributes:
        kind: ``NAME``, ``NUMBER``, ``TEXT``, ``END``; keywords and symbols are their own kind.
        value: the name, the number, the text that a string literal stands for; else empty.
        offset: of its first code point.
    """

    kind: str
    value: str | int
    offset: int


def tokens(source: str) -> list[Token]:
    """The tokens of ``source``, with an ``END`` at the end.

    Raises:
        ExpressionInvalid: a character, number or string that is not of the language.
    """
    hidden = _HIDDEN.search(source)
    if hidden:
        raise invalid(source, hidden.start(), f"the hidden character {hidden[0]!a}; in a string, write it as an escape")
    found: list[Token] = []
    offset, length, match_at = 0, len(source), _TOKEN.match
    while offset < length:
        match = match_at(source, offset)
        if match is None:
            raise _unexpected(source, offset)
        group, piece = match.lastgroup, match[0]
        if group == "symbol":
            found.append(Token(piece, "", offset))
        elif group == "name":
            found.append(_word(source, piece, offset))
        elif group == "text":
            found.append(Token(TEXT, _unescaped(source, piece, offset), offset))
        elif group == "number":
            found.append(_number(source, piece, offset))
        offset = match.end()
    found.append(Token(END, "", length))
    return found


def _word(source: str, word: str, offset: int) -> Token:
    if word in KEYWORDS:
        return Token(word, "", offset)
    if word in RESERVED:
        raise invalid(source, offset, f"{word!r} is a reserved word of CEL")
    if source[offset + len(word) : offset + len(word) + 1] in ('"', "'"):
        raise invalid(source, offset, "strings have no prefix: there are no raw strings and no bytes")
    return Token(NAME, word, offset)


def _number(source: str, digits: str, offset: int) -> Token:
    if len(digits) > 1 and digits[0] == "0":
        raise invalid(source, offset, "a number has no leading zeros")
    following = source[offset + len(digits) : offset + len(digits) + 1]
    if following in (".", "_") or (following.isascii() and following.isalpha()):
        raise invalid(source, offset, "numbers are whole, and written in decimal digits alone")
    # 2⁶³ itself is allowed after a minus; the parser knows.
    if len(digits) > 19 or int(digits) > 2**63:
        raise invalid(source, offset, "a number is between -9223372036854775808 and 9223372036854775807")
    return Token(NUMBER, int(digits), offset)


def _unescaped(source: str, literal: str, offset: int) -> str:
    if literal in ('""', "''") and source[offset + 2 : offset + 3] == literal[0]:
        raise invalid(source, offset, "there are no triple-quoted strings")
    if "\\" not in literal:
        return literal[1:-1]

    def replaced(match: re.Match[str]) -> str:
        simple = match["simple"]
        if simple:
            return _SIMPLE.get(simple, simple)
        at = offset + 1 + match.start()
        if match["wrong"]:
            raise invalid(source, at, f"unknown escape {match[0]!a}; known: \\\\ \\\" \\' \\n \\t \\x41 \\u00e9 …")
        octal = match["octal"]
        code = int(octal, 8) if octal else int(match["two"] or match["four"] or match["eight"], 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise invalid(source, at, f"{match[0]} is no Unicode character")
        return chr(code)

    return _ESCAPE.sub(replaced, literal[1:-1])


def _unexpected(source: str, offset: int) -> Exception:
    character = source[offset]
    hint = _HINTS.get(character, "only strings hold such characters")
    if character in "\"'":
        return invalid(source, offset, hint)
    return invalid(source, offset, f"{character!a} is not of this language; {hint}")
