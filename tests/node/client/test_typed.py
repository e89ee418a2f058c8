"""The wheel that integrators install: its types reach a strict checker, and a program of theirs passes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("ledger", "consensus", "p2p", "contracts", "node")
PROGRAM = '''
"""A program of somebody who uses the SDK."""

import asyncio
from pathlib import Path

from tidegate import Client, NotFound, Outcome, Output, PeerMisbehaved, SigningKey, Transaction, build


async def main(key: SigningKey, outpoint: bytes) -> Outcome:
    async with Client(["a.sock", "https://b:7400"], genesis=Path("genesis.json"), token="t") as client:
        body = await client.prepare(key.public, inputs=[outpoint], outputs=[Output("CNY", 5, "key(x)")])
        transaction: Transaction = build(body, [key])
        try:
            proved = await client.proved_output(outpoint)
            value: bytes | None = proved.value
            height: int = client.light.height
            print(value, height)
        except (NotFound, PeerMisbehaved) as error:
            print(error.code)
        async for note in client.subscribe("blocks", from_height=0):
            print(note.cursor)
        return await client.submit_and_wait(transaction, None)


if __name__ == "__main__":
    asyncio.run(main(SigningKey.generate(), bytes(36)))
'''


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the repository stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tidegate-stubs", source / "tidegate-stubs", symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "tidegate.py"):
        shutil.copy(ROOT / name, source / name)
    build = "import setuptools.build_meta as backend; backend.build_wheel('out')"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next((source / "out").glob("*.whl"))


def test_the_wheel_marks_its_types(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert {f"{package}/py.typed" for package in PACKAGES} <= names
        # A module that is no package has no place for py.typed: its types come as a stub package (PEP 561).
        assert archive.read("tidegate-stubs/__init__.pyi") == archive.read("tidegate.py")


def test_a_strict_checker_passes_when_programs_use_the_sdk(wheel: Path, tmp_path: Path):
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python3*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    work = tmp_path / "work"
    work.mkdir()
    guide = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len(examples) >= 2
    programs = {"right": PROGRAM, "wrong": PROGRAM.replace("height: int", "height: str")}
    programs |= {f"guide{number}": example for number, example in enumerate(examples)}
    for name, text in programs.items():
        (work / f"{name}.py").write_text(text, encoding="utf-8")
    checker = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(home / "bin" / "python"), "."]
    said = subprocess.run(checker, cwd=work, capture_output=True, text=True, check=False, timeout=350).stdout
    errors = [line for line in said.splitlines() if ": error:" in line]
    assert len(errors) == 1, said
    assert errors[0].startswith("wrong.py:")
    assert 'expression has type "int", variable has type "str"' in errors[0]
