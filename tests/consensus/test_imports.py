"""The consensus package stays pure: what it may import is a short list."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import consensus

FORBIDDEN = {
    "asyncio", "socket", "time", "random", "threading", "os", "io", "pathlib", "secrets", "datetime", "subprocess",
    "selectors", "multiprocessing", "concurrent", "logging", "tempfile", "shutil", "uuid",
}  # fmt: skip
ALLOWED = {"msgspec", "ledger", "consensus"}
FILES = sorted(Path(consensus.__file__).parent.glob("**/*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_pure_modules_are_imported(path):
    modules = imported(path)
    assert not modules & FORBIDDEN
    assert all(module in ALLOWED or module in sys.stdlib_module_names for module in modules)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_is_opened_and_nothing_printed(path):
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec", "__import__", "id", "hash"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
