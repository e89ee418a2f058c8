"""What a version says to facts: lists and expressions that apply to the stage, in the order of their names.

A refusal beats a hold, a hold beats nothing. Lists are asked before expressions. What applies and cannot be decided,
because a fact is missing or too much would have to be looked up, holds the stage: nothing passes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Final, NamedTuple

from contracts.expression.attributes import Value
from contracts.expression.errors import MISSING
from contracts.expression.expression import EvaluationFailed, Expression
from contracts.interface import EndContext
from contracts.messages import STAGES
from contracts.rulebook import codes
from contracts.rulebook.definition import compiled, schema_of
from contracts.rulebook.entries import is_listed
from contracts.rulebook.facts import Facts, Verdict
from contracts.rulebook.fingerprints import FLOW, ORDER, PARTY, hashed, of_text
from contracts.rulebook.records import (
    ALLOW,
    DENY,
    HOLD,
    ORGANISATION,
    PHARMACY_SUBJECT,
    REFUSE,
    REVIEWER,
    SUBJECT,
    SUBJECT_DRUG,
    TRANSACTION,
    ExpressionRule,
    ListRule,
    definition_codec,
)
from contracts.rulebook.state import load_definition, load_lineage
from ledger.types import Hash32

MAX_LOOKUPS: Final = 4_096
"""Entries that one check looks up at most; beyond, it holds."""
ALL_NEEDED: Final = frozenset({SUBJECT_DRUG})
"""Kinds of which an allow list must have every candidate; of the others, one."""


class _AppliedList(NamedTuple):
    rule: ListRule
    number: int
    reason: str


class _AppliedExpression(NamedTuple):
    rule: ExpressionRule
    expression: Expression
    reason: str


class RuleSet:
    """A definition ready to be asked.

    Args:
        data: canonical bytes of a ``Definition`` that was checked when it was proposed.
    """

    __slots__ = ("expressions", "lists", "named")

    def __init__(self, data: bytes) -> None:
        definition = definition_codec.decode(data)
        schema = schema_of(definition)
        lists = [_AppliedList(n.rule, n.number, n.rule.reason or _own_reason(n.rule)) for n in definition.lists]
        expressions = [
            _AppliedExpression(rule, compiled(rule.source, schema), rule.reason or "rules_expression")
            for rule in definition.expressions
        ]
        self.lists = {stage: [entry for entry in lists if stage in entry.rule.stages] for stage in STAGES}
        self.expressions = {stage: [entry for entry in expressions if stage in entry.rule.stages] for stage in STAGES}
        self.named = {numbered.rule.name: (numbered.rule.kind, numbered.number) for numbered in definition.lists}


def _own_reason(rule: ListRule) -> str:
    return f"rules_{rule.kind}_listed" if rule.mode == DENY else f"rules_{rule.kind}_not_listed"


@lru_cache(maxsize=32)
def _rule_set(data: bytes) -> RuleSet:
    return RuleSet(data)


class _Undecided(Exception):
    """A rule that applies cannot be decided; its argument is the reason code of the hold."""


class _Lookups:
    """Asks lists of one version, within the bound of one check."""

    __slots__ = ("_context", "_left", "_lineage", "_named", "_now_ms")

    def __init__(self, context: EndContext, version: int, rules: RuleSet, now_ms: int) -> None:
        self._context = context
        self._lineage = load_lineage(context.state, version)
        self._named = rules.named
        self._now_ms = now_ms
        self._left = MAX_LOOKUPS

    def listed(self, number: int, entry: bytes) -> bool:
        """Whether the list of that number has the entry."""
        self._left -= 1
        if self._left < 0:
            raise _Undecided(codes.LOOKUPS_EXCEEDED)
        return is_listed(self._context.state, number, entry, self._lineage, self._now_ms)

    def contains(self, name: str, text: str) -> bool:
        """Whether ``text in name`` holds."""
        kind, number = self._named[name]
        entry = of_text(kind, text)
        return entry is not None and self.listed(number, entry)


def verdict(context: EndContext, version: int, facts: Facts) -> Verdict:
    """What ``version`` says.

    Args:
        context: of the rule book.
        version: a number that was given out, or 0.
        facts: of the stage; ``time_ms`` 0 stands for the block's time.
    """
    rules = _rule_set(load_definition(context.state, version))
    lookups = _Lookups(context, version, rules, facts.time_ms or context.block.time_ms)
    held: Verdict | None = None
    for rule, decided, reason in _applied(rules, facts, lookups):
        outcome, code = rule.effect, reason
        try:
            if not decided():
                continue
        except _Undecided as undecided:
            outcome, code = HOLD, undecided.args[0]
        if outcome == REFUSE:
            return Verdict(REFUSE, code, rule.name, version)
        if held is None:
            held = Verdict(HOLD, code, rule.name, version)
    return held or Verdict(ALLOW, "", "", version)


def _applied(
    rules: RuleSet, facts: Facts, lookups: _Lookups
) -> Iterator[tuple[ListRule | ExpressionRule, Callable[[], bool], str]]:
    """Each rule that applies, in order, with what tells whether its effect comes about, and its reason."""
    candidates: dict[str, list[Hash32]] = {}
    for rule, number, reason in rules.lists.get(facts.stage, ()):
        if rule.kinds and facts.kind not in rule.kinds:
            continue
        if rule.kind not in candidates:
            candidates[rule.kind] = candidates_of(rule.kind, facts)
        yield rule, partial(_strikes, rule, number, candidates[rule.kind], lookups), reason
    applied = rules.expressions.get(facts.stage, ())
    values = values_of(facts) if applied else {}
    for rule_, expression, reason in applied:
        if not rule_.kinds or facts.kind in rule_.kinds:
            yield rule_, partial(_holds, expression, values, lookups), reason


def _strikes(rule: ListRule, number: int, candidates: list[Hash32], lookups: _Lookups) -> bool:
    if not candidates:
        raise _Undecided(codes.VALUE_MISSING)
    if rule.mode == DENY:
        return any(lookups.listed(number, candidate) for candidate in candidates)
    if rule.kind in ALL_NEEDED:
        return not all(lookups.listed(number, candidate) for candidate in candidates)
    return not any(lookups.listed(number, candidate) for candidate in candidates)


def _holds(expression: Expression, values: Mapping[str, Value], lookups: _Lookups) -> bool:
    try:
        return expression.evaluate(values, lookups.contains)
    except EvaluationFailed as error:
        code = codes.VALUE_MISSING if error.data["reason"] == MISSING else codes.VALUE_INVALID
        raise _Undecided(code) from error


def candidates_of(kind: str, facts: Facts) -> list[Hash32]:
    """The entries that a list of ``kind`` is asked for; none where a fact that it needs is missing."""
    match kind:
        case "reviewer":
            return [hashed(REVIEWER, facts.reviewer)] if facts.reviewer else []
        case "subject":
            return [hashed(SUBJECT, facts.subject)] if facts.subject else []
        case "organisation":
            return [hashed(ORGANISATION, facts.organisation.encode())] if facts.organisation else []
        case "subject_drug":
            if not facts.subject or not facts.drugs or "" in facts.drugs:
                return []
            return [hashed(SUBJECT_DRUG, facts.subject, drug.encode()) for drug in facts.drugs]
        case "pharmacy_subject":
            if not facts.subject or not facts.pharmacy:
                return []
            return [hashed(PHARMACY_SUBJECT, facts.pharmacy, facts.subject)]
        case _:
            found = [hashed(TRANSACTION, FLOW.encode(), facts.flow)]
            if facts.order:
                found.append(hashed(TRANSACTION, ORDER.encode(), facts.order))
            found += [hashed(TRANSACTION, PARTY.encode(), party) for party in facts.parties]
            return found


def values_of(facts: Facts) -> dict[str, Value]:
    """What expressions see: attested attributes, and over them the facts of ``definition.FACTS``."""
    values: dict[str, Value] = dict(facts.values or {})
    values["amount"] = facts.amount
    values["drugs"] = facts.drugs
    values["flow"] = facts.flow.hex()
    values["kind"] = facts.kind
    values["order"] = facts.order.hex()
    values["organisation"] = facts.organisation
    values["parties"] = tuple([party.hex() for party in facts.parties])
    values["pharmacy"] = facts.pharmacy.hex()
    values["reviewer"] = facts.reviewer.hex()
    values["stage"] = facts.stage
    values["subject"] = facts.subject.hex()
    return values
