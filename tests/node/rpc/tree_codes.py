"""Every stable error code that the source names, found in its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("ledger", "consensus", "p2p", "contracts", "node")
CODE = re.compile(r"[a-z][a-z0-9_]*")
RAISES = re.compile(r"\bcode\b|\bRefus(al|ed)\(")
"""Without any of these a module names no code, and is not walked."""


def modules() -> dict[str, tuple[ast.Module, bool]]:
    """Syntax tree of every module, by dotted name, and whether it may name codes."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found[name] = ast.parse(text), RAISES.search(text) is not None
    return found


def constants(tree: ast.Module) -> dict[str, str]:
    """Texts that a module gives names to."""
    found = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    return found


@cache
def codes_by_place() -> dict[str, set[str]]:
    """Modules that name each code."""
    trees = modules()
    named = {name: constants(tree) for name, (tree, _) in trees.items()}
    found: dict[str, set[str]] = {}
    for name, (tree, raises) in trees.items():
        if not raises and not name.endswith("codes"):
            continue
        known, aliases = dict(named[name]), {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for item in node.names:
                    if f"{node.module}.{item.name}" in named:
                        aliases[item.asname or item.name] = f"{node.module}.{item.name}"
                    elif item.name in named.get(node.module, {}):
                        known[item.asname or item.name] = named[node.module][item.name]
        for value in _raised(tree):
            code = _text(value, known, aliases, named)
            if code and CODE.fullmatch(code):
                found.setdefault(code, set()).add(name)
        if name.startswith("contracts.") and name.endswith("codes"):
            for code in named[name].values():
                found.setdefault(code, set()).add(name)
    return found


def _raised(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases:
            for item in node.body:
                if isinstance(item, ast.Assign | ast.AnnAssign) and item.value is not None:
                    target = item.targets[0] if isinstance(item, ast.Assign) else item.target
                    if isinstance(target, ast.Name) and target.id == "code":
                        yield item.value
        elif isinstance(node, ast.Call):
            yield from (word.value for word in node.keywords if word.arg == "code")
            if isinstance(node.func, ast.Name) and node.func.id in ("Refusal", "Refused") and node.args:
                yield node.args[0 if node.func.id == "Refusal" else min(1, len(node.args) - 1)]


def _text(
    value: ast.expr, known: dict[str, str], aliases: dict[str, str], named: dict[str, dict[str, str]]
) -> str | None:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    if isinstance(value, ast.Name):
        return known.get(value.id)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
        return named.get(aliases.get(value.value.id, ""), {}).get(value.attr)
    return None
