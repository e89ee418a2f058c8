"""The language of the golden scenarios: one sentence a line, each matched by exactly one phrase.

A file begins with ``title:`` and ``source:``; ``#`` begins a comment. Validators are single letters from A, in the
order of their keys (so A proposes round 0 of height 1, B round 1, and so on); ``D'`` is a twin of D: the same key,
another memory. Blocks are capital letters from K on. A message is named by kind, round and block (``PREPARE 0 X``), all
but the kind optional where it is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

NAMES = "ABCDEFGHIJ"
UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
KINDS = ("PROPOSAL", "PREPARE", "COMMIT", "ROUND-CHANGE")

_NAME = r"[A-J]'?"
_LIST = rf"(?:{_NAME}(?:,{_NAME})*|all|nobody)"
_BLOCK = r"[K-Z]\d?"
_MESSAGE = (
    rf"(?:{'|'.join(KINDS)})(?: \d+)?(?: {_BLOCK}(?![\w-]))?"
    rf"(?: (?:prepared nothing|prepared \(\d+, {_BLOCK}\)))?"
)
_PLACES = {
    "who": _LIST,
    "to": _LIST,
    "by": _LIST,
    "one": _NAME,
    "other": _NAME,
    "block": _BLOCK,
    "message": _MESSAGE,
    "n": r"\d+",
    "m": r"\d+",
    "time": r"\d+ (?:ms|s|m|h)",
    "word": r"[a-z_]+",
    "rest": r".+",
}


class ScenarioError(AssertionError):
    """A scenario that is not written in the language, or that the validators do not follow."""


class MessageName(NamedTuple):
    """What a scenario says of a message; None: anything. ``prepared``: (), or (round, block)."""

    kind: str
    round: int | None
    block: str | None
    prepared: tuple[()] | tuple[int, str] | None


class Statement(NamedTuple):
    """A line and what it means."""

    line: int
    text: str
    action: Callable[..., None]
    arguments: dict[str, Any]


class Scenario(NamedTuple):
    """A parsed file."""

    name: str
    title: str
    source: str
    statements: list[Statement]


Phrases = dict[str, tuple[re.Pattern[str], Callable[..., None]]]
PHRASES: Phrases = {}


def phrase(sentence: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers the function that carries out ``sentence``: ``{place}`` is an argument, ``[…]`` may be left out."""
    text = re.escape(sentence).replace(r"\[", "(?:").replace(r"\]", ")?").replace(r"\ ", " ")
    text = re.sub(r"\\\{(\w+)\\\}", lambda found: f"(?P<{found[1]}>{_PLACES[found[1]]})", text)

    def register(function: Callable[..., None]) -> Callable[..., None]:
        assert sentence not in PHRASES, sentence
        PHRASES[sentence] = (re.compile(text), function)
        return function

    return register


def parse(path: Path) -> Scenario:
    """Reads a scenario file.

    Raises:
        ScenarioError: a line that no phrase matches, or more than one; title or source are missing.
    """
    head: dict[str, str] = {}
    statements: list[Statement] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.split("#")[0].strip()
        key, colon, value = text.partition(": ")
        if not text:
            continue
        if colon and key in ("title", "source") and not statements:
            head[key] = f"{head[key]} {value}" if key in head else value
            continue
        statements.append(_statement(path.name, number, text))
    if set(head) != {"title", "source"} or not any(one.text.startswith("expect") for one in statements):
        raise ScenarioError(f"{path.name}: a scenario has a title, a source and an expectation")
    return Scenario(path.stem, head["title"], head["source"], statements)


def _statement(file: str, number: int, text: str) -> Statement:
    found = [(match, action) for pattern, action in PHRASES.values() if (match := pattern.fullmatch(text))]
    if len(found) != 1:
        raise ScenarioError(f"{file}:{number}: {'no phrase matches' if not found else 'ambiguous'}: {text}")
    match, action = found[0]
    return Statement(number, text, action, {name: _value(name, value) for name, value in match.groupdict().items()})


def _value(place: str, text: str | None) -> Any:
    if text is None:
        return None
    match place:
        case "n" | "m":
            return int(text)
        case "time":
            number, unit = text.split()
            return int(number) * UNITS[unit]
        case "who" | "to" | "by":
            return text if text in ("all", "nobody") else text.split(",")
        case "message":
            return message_name(text)
        case _:
            return text


def message_name(text: str) -> MessageName:
    """The message that ``text`` names."""
    found = re.fullmatch(
        rf"(?P<kind>[A-Z-]+)(?: (?P<round>\d+))?(?: (?P<block>{_BLOCK}))?"
        rf"(?: prepared (?:(?P<nothing>nothing)|\((?P<pr>\d+), (?P<pv>{_BLOCK})\)))?",
        text,
    )
    assert found is not None, text
    prepared: tuple[()] | tuple[int, str] | None = None
    if found["nothing"]:
        prepared = ()
    elif found["pr"] is not None:
        prepared = (int(found["pr"]), found["pv"])
    return MessageName(found["kind"], None if found["round"] is None else int(found["round"]), found["block"], prepared)
