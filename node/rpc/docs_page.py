"""The documents that are written from the table of methods and the table of codes.

``docs/rpc.md`` is a page by hand with two parts between marks that are written here; ``docs/openrpc.json`` is whole.
``tidegate rpc docs -o docs`` writes both; a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from node.atomic_file import write_atomic
from node.rpc.areas import described_areas
from node.rpc.codes import table
from node.rpc.discover import DiscoverMethods
from node.rpc.method import Method
from node.rpc.openrpc import document

PAGE: Final = "rpc.md"
OPENRPC_FILE: Final = "openrpc.json"
METHODS_MARK: Final = "methods"
CODES_MARK: Final = "codes"


class _Described:
    """All methods, for the documents."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}
        for area in (*described_areas(), DiscoverMethods(self)):
            self.methods.update({method.name: method for method in area.table()})

    async def call_directly(self, name: str, params: Any) -> Any:
        """Never called: nothing stands behind the tables."""
        raise NotImplementedError(name)


def described_methods() -> list[Method]:
    """Every method of a node, in the order of the documents."""
    return list(_Described().methods.values())


def static_document() -> dict[str, Any]:
    """The OpenRPC document with the tables' own examples."""
    return document(described_methods())


def openrpc_text() -> str:
    """Content of ``docs/openrpc.json``."""
    return json.dumps(static_document(), indent=1, ensure_ascii=False) + "\n"


def methods_part() -> str:
    """The methods as tables, one for each area."""
    areas: dict[str, list[str]] = {}
    for method in static_document()["methods"]:
        takes = ", ".join(_parameter(param) for param in method["params"]) or "–"
        does = method["summary"] + (" Over a WebSocket." if method.get("x-connected") else "")
        gives = _kind(method["result"]["schema"])
        areas.setdefault(method["name"].partition(".")[0], []).append(
            f"| `{method['name']}` | {does} | {takes} | {gives} | {method['x-scope']} | {method['x-cost']} |"
        )
    head = "| method | does | takes | gives | scope | cost |\n|---|---|---|---|---|---|"
    return "\n".join(f"### {area}\n\n{head}\n" + "\n".join(rows) + "\n" for area, rows in areas.items())


def _parameter(param: dict[str, Any]) -> str:
    return f"`{param['name']}`" if param["required"] else f"`{param['name']}`?"


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "anything"))


def codes_part() -> str:
    """The table of stable codes, one for each area."""
    lines: list[str] = []
    for area, group in groupby(table().values(), key=lambda row: row.area):
        lines += ["", f"### {area}", "", "| code | number | means | what to do |", "|---|---|---|---|"]
        lines += [f"| `{row.code}` | {row.number} | {row.meaning} | {row.remedy} |" for row in group]
    return "\n".join(lines[1:]) + "\n"


def page_text(page: str) -> str:
    """The page with its written parts renewed.

    Raises:
        ValueError: a mark is missing.
    """
    for mark, part in ((METHODS_MARK, methods_part()), (CODES_MARK, codes_part())):
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        head, found, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no part between {begin.strip()} and {end}")
        page = f"{head}{begin}{part}{end}{tail}"
    return page


def write_documents(directory: Path) -> Iterable[Path]:
    """Writes both documents; the page keeps what was written by hand.

    Raises:
        InvalidConfig: ``file_unwritable``.
    """
    openrpc, page = directory / OPENRPC_FILE, directory / PAGE
    write_atomic(openrpc, openrpc_text().encode(), replace=True)
    text = page.read_text(encoding="utf-8") if page.exists() else _empty_page()
    write_atomic(page, page_text(text).encode(), replace=True)
    return openrpc, page


def _empty_page() -> str:
    marks = "".join(f"## {mark}\n\n<!-- {mark} -->\n<!-- /{mark} -->\n\n" for mark in (METHODS_MARK, CODES_MARK))
    return f"# RPC of the daemon\n\n{marks}"
