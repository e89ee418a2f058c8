"""From a base and a proposal to a definition: every name, word and expression is checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from contracts.codes import Refusal
from contracts.expression.expression import Expression, ExpressionInvalid, compile_expression
from contracts.expression.types import ATTRIBUTE_TYPES, INT, LIST, RESERVED, STRING, STRINGS
from contracts.messages import STAGES
from contracts.rulebook import codes
from contracts.rulebook.calls import Propose
from contracts.rulebook.records import (
    DEFAULT_STAGES,
    DENY,
    EFFECTS,
    IN_EXPRESSIONS,
    LIST_KINDS,
    MAX_DECLARED,
    MAX_EXPRESSIONS,
    MAX_LISTS,
    MAX_STEPS,
    MODES,
    VALUE,
    Declared,
    Definition,
    ExpressionRule,
    ListRule,
    NumberedList,
)

FACTS: Final[dict[str, str]] = {
    "amount": INT,
    "drugs": STRINGS,
    "flow": STRING,
    "kind": STRING,
    "order": STRING,
    "organisation": STRING,
    "parties": STRINGS,
    "pharmacy": STRING,
    "reviewer": STRING,
    "stage": STRING,
    "subject": STRING,
}
"""What every expression may read beside declared attributes; hashes and keys in lower-case hex, empty where none is."""

N = TypeVar("N", Declared, ListRule, ExpressionRule)


class Checked(NamedTuple):
    """A definition that can be written.

    Attributes:
        definition: checked whole.
        lists: last number of a list that is given out.
    """

    definition: Definition
    lists: int


def changed(base: Definition, proposal: Propose, last_list: int) -> Checked:
    """The definition that ``proposal`` makes of ``base``.

    Args:
        base: as stored.
        proposal: as decoded; anything may be wrong with it.
        last_list: number given to a list last.

    Raises:
        Refusal: ``rules_name_invalid``, ``rules_name_unknown``, ``rules_field_invalid``, ``rules_too_many``,
            ``rules_expression_invalid`` with ``expression``, ``line`` and ``column``.
    """
    attributes = {declared.name: declared for declared in base.attributes}
    lists = {numbered.rule.name: numbered for numbered in base.lists}
    expressions = {rule.name: rule for rule in base.expressions}
    _check_order(proposal.remove)
    for name in proposal.remove:
        if not (attributes.pop(name, None) or lists.pop(name, None) or expressions.pop(name, None)):
            raise Refusal(codes.NAME_UNKNOWN, f"the base has nothing called {name!r} to remove", name=name)
    for declared in _named(proposal.attributes):
        _check_word(declared.type, ATTRIBUTE_TYPES, declared.name, "type")
        attributes[declared.name] = declared
    for listed in _named(proposal.lists):
        rule = _checked_list(listed)
        known = lists.get(rule.name)
        if known is not None and known.rule.kind != rule.kind:
            raise _wrong(rule.name, "kind", "a list keeps its kind; remove it to make another of that name")
        if known is None:
            last_list += 1
        lists[rule.name] = NumberedList(last_list if known is None else known.number, rule)
    for expression in _named(proposal.expressions):
        expressions[expression.name] = _checked_expression(expression)
    definition = Definition(
        tuple(attributes[name] for name in sorted(attributes)),
        tuple(lists[name] for name in sorted(lists)),
        tuple(expressions[name] for name in sorted(expressions)),
    )
    _check_whole(definition)
    return Checked(definition, last_list)


def schema_of(definition: Definition) -> dict[str, str]:
    """What expressions of a definition may use, name → type: facts, declared attributes, lists."""
    lists = {numbered.rule.name: LIST for numbered in definition.lists if numbered.rule.kind in IN_EXPRESSIONS}
    return FACTS | {declared.name: declared.type for declared in definition.attributes} | lists


def compiled(source: str, schema: dict[str, str]) -> Expression:
    """The expression, compiled once for each source and schema.

    Raises:
        ExpressionInvalid: see ``compile_expression``.
    """
    return _compiled(source, tuple(sorted(schema.items())))


@lru_cache(maxsize=1_024)
def _compiled(source: str, schema: tuple[tuple[str, str], ...]) -> Expression:
    return compile_expression(source, dict(schema))


def _check_whole(definition: Definition) -> None:
    for what, count, most in (
        ("attributes", len(definition.attributes), MAX_DECLARED),
        ("lists", len(definition.lists), MAX_LISTS),
        ("expressions", len(definition.expressions), MAX_EXPRESSIONS),
    ):
        if count > most:
            raise Refusal(codes.TOO_MANY, f"a version has at most {most} {what}", what=what)
    names = [
        *FACTS,
        *(declared.name for declared in definition.attributes),
        *(numbered.rule.name for numbered in definition.lists),
        *(rule.name for rule in definition.expressions),
    ]
    for a, b in pairwise(sorted(names)):
        if a == b:
            raise Refusal(codes.NAME_INVALID, f"{a!r} is a fact, or names two things", name=a)
    schema, steps = schema_of(definition), 0
    for rule in definition.expressions:
        steps += _compiles(rule, schema).steps
        if steps > MAX_STEPS:
            raise Refusal(
                codes.EXPRESSION_INVALID,
                f"{rule.name}: line 1, column 1: the expressions together take more than {MAX_STEPS} steps",
                expression=rule.name,
                line=1,
                column=1,
            )


def _compiles(rule: ExpressionRule, schema: dict[str, str]) -> Expression:
    try:
        return compiled(rule.source, schema)
    except ExpressionInvalid as error:
        raise Refusal(
            codes.EXPRESSION_INVALID,
            f"{rule.name}: {error.message}",
            expression=rule.name,
            line=error.data["line"],
            column=error.data["column"],
        ) from error


def _checked_list(rule: ListRule) -> ListRule:
    _check_word(rule.kind, LIST_KINDS, rule.name, "kind")
    _check_word(rule.mode, MODES, rule.name, "mode")
    if rule.kind == VALUE and (rule.stages or rule.mode != DENY):
        raise _wrong(rule.name, "stages", "a list of values is asked by expressions only: no stages, mode deny")
    stages = rule.stages or DEFAULT_STAGES[rule.kind]
    _check_rule(rule, stages)
    return ListRule(rule.name, rule.kind, rule.mode, rule.effect, rule.reason, stages, rule.kinds)


def _checked_expression(rule: ExpressionRule) -> ExpressionRule:
    if not rule.stages:
        raise _wrong(rule.name, "stages", "an expression names the stages at which it is evaluated")
    _check_rule(rule, rule.stages)
    return rule


def _check_rule(rule: ListRule | ExpressionRule, stages: tuple[str, ...]) -> None:
    _check_word(rule.effect, EFFECTS, rule.name, "effect")
    if any(stage not in STAGES for stage in stages) or len(set(stages)) != len(stages):
        raise _wrong(rule.name, "stages", f"stages are distinct and among {', '.join(STAGES)}")
    if len(set(rule.kinds)) != len(rule.kinds):
        raise _wrong(rule.name, "kinds", "flow kinds are distinct")


def _named(additions: Iterable[N]) -> list[N]:
    found = list(additions)
    _check_order([addition.name for addition in found])
    for addition in found:
        if addition.name in RESERVED:
            raise Refusal(codes.NAME_INVALID, f"{addition.name!r} is a word of the language", name=addition.name)
    return found


def _check_order(names: Iterable[str]) -> None:
    for a, b in pairwise(names):
        if a >= b:
            raise Refusal(codes.NAME_INVALID, "what a proposal names is sorted by name and distinct", name=b)


def _check_word(word: str, known: tuple[str, ...], name: str, field: str) -> None:
    if word not in known:
        raise _wrong(name, field, f"known: {', '.join(known)}")


def _wrong(name: str, field: str, words: str) -> Refusal:
    return Refusal(codes.FIELD_INVALID, f"{name}: {field}: {words}", name=name, field=field)
