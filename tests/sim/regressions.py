"""Seeds that failed once: they are run for ever."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("regressions.txt")


def seeds_of(level: str) -> list[int]:
    """The seeds of one level; a line is ``level seed``, and ``#`` begins a comment."""
    lines = (line.split("#")[0].split() for line in FILE.read_text(encoding="utf-8").splitlines())
    return [int(words[1]) for words in lines if words and words[0] == level]
