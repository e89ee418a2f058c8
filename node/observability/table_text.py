"""docs/metrics.md's table, written from the table of metrics: ``python -m node.observability.table_text FILE``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.observability.table import METRICS

BEGIN: Final = "<!-- metrics: written by python -m node.observability.table_text docs/metrics.md -->\n"
END: Final = "<!-- end of metrics -->\n"


def table_text() -> str:
    """The table in Markdown, with its markers."""
    return BEGIN + "".join(_lines()) + END


def _lines() -> Iterator[str]:
    yield "\n| name | kind | labels | says |\n|---|---|---|---|\n"
    for metric in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.words} |\n"
    yield "\n"


def replaced(text: str) -> str:
    """``text`` with the table of now between its markers."""
    begin, end = text.index(BEGIN), text.index(END) + len(END)
    return text[:begin] + table_text() + text[end:]


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(replaced(file.read_text(encoding="utf-8")), encoding="utf-8")
