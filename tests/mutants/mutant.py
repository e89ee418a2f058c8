"""A seeded bug: a few words of the product's source, replaced in memory by an import hook."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class PatchError(Exception):
    """A patch that no longer fits the product: it has to be written anew, or its mutant means nothing."""


class Edit(NamedTuple):
    """``old`` occurs in the source of ``module`` exactly once, and becomes ``new``."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A seeded bug.

    Attributes:
        name: in snake case.
        what: the bug, in a sentence.
        edits: that make it.
        tests: pytest arguments that kill it where neither simulator nor scenario does.
        core: whether the core simulator can see it at all: False for what lies in node/.
        node: as ``core``, for the node simulator.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()
    core: bool = True
    node: bool = True


def source_path(module: str) -> Path:
    """The file of a module of the product."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def patched_source(module: str, edits: Sequence[Edit]) -> str:
    """The module's source with its edits.

    Raises:
        PatchError: an old text is not there exactly once, or nothing changes.
    """
    source = source_path(module).read_text(encoding="utf-8")
    for edit in edits:
        if edit.module == module:
            found = source.count(edit.old)
            if found != 1 or edit.old == edit.new:
                raise PatchError(f"{module}: {found} times in the source, not once: {edit.old!r}")
            source = source.replace(edit.old, edit.new)
    return source


def misfits_of(mutant: Mutant) -> list[str]:
    """Which of its patches do not fit the product as it is."""
    found = []
    for module in sorted({edit.module for edit in mutant.edits}):
        try:
            compile(patched_source(module, mutant.edits), module, "exec", dont_inherit=True)
        except (PatchError, SyntaxError) as error:
            found.append(f"{mutant.name}: {error}")
    return found


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the patched source; nothing of it is cached on the disk."""

    def __init__(self, module: str, edits: Sequence[Edit]) -> None:
        super().__init__(module, str(source_path(module)))
        self.edits = edits

    def get_code(self, fullname: str) -> CodeType:
        return compile(patched_source(fullname, self.edits), self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self.edits = edits
        self.modules = {edit.module for edit in edits}

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.modules:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, self.edits))


def install(mutant: Mutant) -> None:
    """From now on the mutant's modules are imported with the bug in them.

    Raises:
        PatchError: a patch does not fit, or one of the modules is imported already.
    """
    for module in {edit.module for edit in mutant.edits}:
        if module in sys.modules:
            raise PatchError(f"{module} was imported before the patch")
        patched_source(module, mutant.edits)
    sys.meta_path.insert(0, _Finder(mutant.edits))
