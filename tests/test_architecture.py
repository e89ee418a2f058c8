"""The house keeps its shape: import directions, what is pure, what is forbidden, how large and how named files are."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "consensus", "p2p", "contracts", "node")
MAY_IMPORT = {
    "ledger": {"ledger"},
    "consensus": {"consensus", "ledger"},
    "p2p": {"p2p", "ledger"},
    "contracts": {"contracts", "ledger"},
    "node": set(PACKAGES),
}
IMPURE = {"asyncio", "os", "pathlib", "random", "secrets", "select", "socket", "subprocess", "threading", "time"}
OVERLAY = {"libp2p", "multiaddr", "trio"}
FORBIDDEN = {"cPickle", "dill", "gmssl", "jsonrpcserver", "marshal", "pickle", "shelve"}
# libp2p installs top-level packages with these names.
STRAY = {"docs", "examples", "interop", "newsfragments"}
MAX_LINES = 450
VAGUE = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
SDK_LEAVES_OUT = ("libp2p", "trio", "plyvel", "pydantic", "pydantic_settings", "pjrpc", "uvloop", "multiaddr")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def imported(path: Path) -> frozenset[tuple[str, int]]:
    """(dotted module, line) of every import in the file, at any depth, and of constant ``import_module`` calls."""
    found: set[tuple[str, int]] = set()
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found.update((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            found.add((module, node.lineno))
            found.update((f"{module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__"):
                argument = node.args[0]
                text = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
                found.add((str(getattr(text, "value", "")), node.lineno))
    return frozenset(found)


def tops(path: Path) -> Iterator[tuple[str, int]]:
    yield from ((module.split(".")[0], line) for module, line in imported(path))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    allowed = MAY_IMPORT[package]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {top}"
        for path in sources(package)
        for top, line in tops(path)
        if (top in PACKAGES or top == "tidegate") and top not in allowed
    ]
    assert wrong == []


def test_consensus_is_pure():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {top}"
        for path in sources("consensus")
        for top, line in tops(path)
        if top in IMPURE | OVERLAY | {"aiohttp", "structlog", "logging", "plyvel"}
    ]
    assert wrong == []


def test_contracts_have_no_clock_randomness_or_io():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {top}"
        for path in sources("contracts")
        for top, line in tops(path)
        if top in IMPURE | OVERLAY | {"aiohttp", "plyvel"}
    ]
    assert wrong == []


def test_only_p2p_knows_libp2p_and_trio():
    others = [package for package in PACKAGES if package != "p2p"]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {top}"
        for path in [*sources(*others), ROOT / "tidegate.py"]
        for top, line in tops(path)
        if top in OVERLAY
    ]
    assert wrong == []


def test_forbidden_dependencies_are_not_used():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {top}"
        for path in [*sources(*PACKAGES, "tests"), ROOT / "tidegate.py"]
        for top, line in tops(path)
        if top in FORBIDDEN | STRAY
    ]
    assert wrong == []
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not [name for name in FORBIDDEN if re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE)]


def test_files_are_small_and_say_what_they_are_about():
    files = sources(*PACKAGES, "tests")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
    assert [name for name in lengths if Path(name).name in VAGUE] == []


def test_every_module_begins_with_its_idea():
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*PACKAGES)
        if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_no_paths_of_a_machine():
    machine = re.compile(rb"(?<![\w.])/(?:home/\w|root/|Users/\w|work/|mnt/)")
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in tracked()
        if path != Path(__file__).resolve()
        for match in [machine.search(path.read_bytes())]
        if match
    ]
    assert found == []


def test_lock_file_names_no_index():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links", lock)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_public_surface_imports_without_the_daemons_dependencies():
    done = run_python(
        f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {SDK_LEAVES_OUT!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Absent())
import tidegate
missing = [name for name in tidegate.__all__ if not hasattr(tidegate, name)]
assert not missing, missing
"""
    )
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy():
    done = run_python(
        """
import sys
from click.testing import CliRunner
from node.cli.app import root
result = CliRunner().invoke(root, ["--help"])
assert result.exit_code == 0, result.output
heavy = {"aiohttp", "asyncio", "libp2p", "msgspec", "nacl", "pydantic", "rich", "structlog", "trio"} & set(sys.modules)
print(sorted(heavy))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_socket_commands_do_not_import_the_configuration():
    done = run_python(
        """
import sys
from click.testing import CliRunner
from node.cli.app import root
result = CliRunner().invoke(root, ["node", "status", "--socket", "nowhere.sock"])
assert result.exit_code == 4, (result.exit_code, result.output)
print(sorted({"pydantic", "libp2p", "trio", "plyvel"} & set(sys.modules)))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
