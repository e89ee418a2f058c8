"""Rule files: what a version of the rules is to change, in TOML (docs/regulator.md).

Everything is checked before anything is sent: the form of the file, every entry of every list, names, words and
expressions against the version that is the base; each fault with its path in the file, expressions with line and
column.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from contracts.codes import Refusal
from contracts.rulebook.codes import EXPRESSION_INVALID
from contracts.rulebook.definition import changed
from contracts.rulebook.records import DENY, LIST_KINDS, REFUSE, Definition, ExpressionRule, ListRule
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput, MalformedBytes
from ledger.transaction import MAX_CALL_BYTES
from node.regulator.rule_entries import MAX_PROBLEMS, EntryInvalid, EntryReader, FileEntries
from node.regulator.rulebook import Change, RulePlan

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
FILE_INVALID: Final = "rules_file_invalid"


class RuleFileInvalid(InvalidInput):
    """A rule file that cannot be used; ``problems`` says all that was found, each with its place."""

    code = FILE_INVALID

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str | None = None
    mode: str | None = None
    effect: str | None = None
    reason: str | None = None
    stages: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    entries: Any = ()
    removed: Any = ()

    @property
    def rule_given(self) -> bool:
        fields = (self.kind, self.mode, self.effect, self.reason, self.stages, self.kinds)
        return any(value is not None for value in fields)


class _Expression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    when: str
    stages: tuple[str, ...]
    effect: str = REFUSE
    reason: str = ""
    kinds: tuple[str, ...] = ()


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    description: str = ""
    base: int | None = None
    remove: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    expressions: dict[str, Any] = {}


def base_named_in(path: Path) -> int | None:
    """The base that a rule file names, so that its definition can be looked up; None for the one in force.

    Raises:
        RuleFileInvalid: not such a file.
    """
    return _read(path)[1].base


def load_plan(path: Path, base_number: int, base: Definition, *, pseudonym_key: bytes | None = None) -> RulePlan:
    """The plan in a rule file, checked whole; files of entries are taken relative to it.

    Args:
        path: the TOML file.
        base_number: version that it changes.
        base: what that consists of.
        pseudonym_key: of the authorities, where entries name ID numbers.

    Raises:
        RuleFileInvalid: what is wrong, and where.
    """
    return _Loader(path, base_number, base, pseudonym_key).plan()


class _Loader:
    def __init__(self, path: Path, base_number: int, base: Definition, pseudonym_key: bytes | None) -> None:
        self._path = path
        self._base_number = base_number
        self._base = base
        self._key = pseudonym_key
        self._problems: list[str] = []
        self._text, self._document = _read(path)
        self._known = {numbered.rule.name: numbered.rule for numbered in base.lists}

    def plan(self) -> RulePlan:
        document = self._document
        attributes: dict[str, str] = {}
        for name, kind in document.attributes.items():
            if isinstance(kind, str):
                attributes[name] = kind
            else:
                self._wrong(f"attributes.{name}", "its type is needed, as text")
        lists: list[ListRule] = []
        changes: list[Change] = []
        for name, table in document.lists.items():
            listed, more = self._list(name, table)
            lists += [listed] if listed is not None else []
            changes += more
        expressions = [
            rule for name, table in document.expressions.items() if (rule := self._expression(name, table)) is not None
        ]
        self._raise()
        plan = RulePlan(
            description=document.description,
            base=self._base_number,
            remove=document.remove,
            attributes=attributes,
            lists=tuple(lists),
            expressions=tuple(expressions),
            changes=tuple(changes),
        )
        self._check_whole(plan)
        return plan

    # --- lists ------------------------------------------------------------------------------------------------------

    def _list(self, name: str, table: Any) -> tuple[ListRule | None, list[Change]]:
        where = f"lists.{name}"
        given = self._convert(where, table, _List)
        if given is None:
            return None, []
        known = None if name in self._document.remove else self._known.get(name)
        kind = given.kind or ("" if known is None else known.kind)
        if not kind:
            self._wrong(where, "the base has no such list, so its kind is needed")
            return None, []
        if kind not in LIST_KINDS:
            self._wrong(f"{where}.kind", f"known: {', '.join(LIST_KINDS)}")
            return None, []
        rule = None
        if given.rule_given or known is None:
            rule = known if known is not None else ListRule(name, kind, DENY)
            fields = {
                field: value
                for field in ("kind", "mode", "effect", "reason", "stages", "kinds")
                if (value := getattr(given, field)) is not None
            }
            rule = replace(rule, **fields)
            self._check_record(where, rule, ListRule)
        reader = EntryReader(kind, self._key)
        changes = self._changes(name, False, given.removed, f"{where}.removed", reader)
        return rule, changes + self._changes(name, True, given.entries, f"{where}.entries", reader)

    def _changes(self, name: str, present: bool, given: Any, where: str, reader: EntryReader) -> list[Change]:
        if isinstance(given, str):
            source = FileEntries(self._path.parent / given, reader)
            self._problems += [f"{self._path}: {where}: {problem}" for problem in source.check()]
            return [Change(name, present, source)]
        if not isinstance(given, list | tuple):
            self._wrong(where, "a list of entries is needed, or the name of a CSV file")
            return []
        entries = []
        for index, item in enumerate(given):
            try:
                entries.append(reader.entry(item))
            except EntryInvalid as error:
                self._wrong(f"{where}[{index}]", error.message)
        return [Change(name, present, entries)] if entries else []

    # --- expressions ------------------------------------------------------------------------------------------------

    def _expression(self, name: str, table: Any) -> ExpressionRule | None:
        where = f"expressions.{name}"
        given = self._convert(where, table, _Expression)
        if given is None:
            return None
        rule = ExpressionRule(name, given.when, given.effect, given.reason, given.stages, given.kinds)
        self._check_record(where, rule, ExpressionRule)
        return rule

    # --- all of it --------------------------------------------------------------------------------------------------

    def _check_whole(self, plan: RulePlan) -> None:
        """What the contract will check, with its own code."""
        proposal = plan.proposal(self._base_number)
        try:
            Codec(type(proposal), MAX_CALL_BYTES, "proposal").decode(encode(proposal))
            changed(self._base, proposal, max([0, *(numbered.number for numbered in self._base.lists)]))
        except MalformedBytes as error:
            raise RuleFileInvalid([f"{self._path}: {error.message}"]) from error
        except Refusal as error:
            raise RuleFileInvalid([self._placed(error)]) from error

    def _placed(self, error: Refusal) -> str:
        name = str(error.data.get("expression") or error.data.get("name") or "")
        if error.code == EXPRESSION_INVALID:
            line = _line_of(self._text, name)
            place = f"{self._path}: expressions.{name}" + (f" (line {line})" if line else "")
            return f"{place}: {error.message.removeprefix(f'{name}: ')}"
        document = self._document
        for section, names in (
            ("lists", document.lists),
            ("expressions", document.expressions),
            ("attributes", document.attributes),
        ):
            if name in names:
                return f"{self._path}: {section}.{error.message if error.message.startswith(name) else f'{name}: {error.message}'}"  # noqa: E501 - one path
        return f"{self._path}: {error.message}"

    def _convert(self, where: str, table: Any, kind: type[Any]) -> Any:
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            self._wrong(where, _readable(error))
            return None

    def _check_record(self, where: str, record: Record, kind: type[Any]) -> None:
        try:
            Codec(kind, MAX_CALL_BYTES, "rule").decode(encode(record))
        except MalformedBytes as error:
            fields = kind.__struct_fields__
            found = re.search(r"\$\[(\d+)\]", error.message)
            field = f".{fields[int(found[1])]}" if found and int(found[1]) < len(fields) else ""
            words = re.sub(r" - at `[^`]*`", "", error.message).removeprefix("rule: ")
            self._wrong(f"{where}{field}", words)

    def _wrong(self, where: str, words: str) -> None:
        self._problems.append(f"{self._path}: {where}: {words}")

    def _raise(self) -> None:
        if self._problems:
            raise RuleFileInvalid(self._problems[:MAX_PROBLEMS])


def _read(path: Path) -> tuple[str, _Document]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RuleFileInvalid([f"{path}: over {MAX_FILE_BYTES} bytes; put entries into a CSV file"])
        text = path.read_bytes().decode()
        return text, msgspec.convert(tomllib.loads(text), _Document)
    except OSError as error:
        raise RuleFileInvalid([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise RuleFileInvalid([f"{path}: not UTF-8 at byte {error.start + 1}"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RuleFileInvalid([f"{path}: {error}"]) from error
    except msgspec.ValidationError as error:
        raise RuleFileInvalid([f"{path}: {_readable(error)}"]) from error


def _readable(error: msgspec.ValidationError) -> str:
    """The words of msgspec with the path first, as it stands in the file."""
    words, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    return f"{field}: {words}" if field else words


def _line_of(text: str, name: str) -> int:
    """Line in the file on which an expression begins; 0 where it is written in a way that is not looked for."""
    header = re.compile(rf"""^\s*\[\s*expressions\s*\.\s*["']?{re.escape(name)}["']?\s*\]""")
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if header.match(line):
            inside = True
        elif inside and line.lstrip().startswith("["):
            return 0
        elif inside and re.match(r"\s*when\s*=", line):
            return number + bool(re.search(r"(\"\"\"|''')\s*$", line))
    return 0
