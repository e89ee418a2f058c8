"""The types of the language, and what a source may refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

BOOL: Final = "bool"
INT: Final = "int"
STRING: Final = "string"
STRINGS: Final = "strings"
"""A list of strings: an attribute, or ``["a", "b"]``."""
INTS: Final = "ints"
"""A list of numbers: only ``[1, 2]``."""
LIST: Final = "list"
"""A named list of the chain: only the right side of ``in``. Its entries are asked for, never gone through."""

ATTRIBUTE_TYPES: Final = (BOOL, INT, STRING, STRINGS)
DECLARABLE: Final = (*ATTRIBUTE_TYPES, LIST)
ELEMENT: Final = {STRINGS: STRING, INTS: INT}

Schema: TypeAlias = Mapping[str, str]
"""Name → one of ``DECLARABLE``: the attributes and the named lists that a source may use."""

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1

RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
"""Words that CEL keeps from being names."""
