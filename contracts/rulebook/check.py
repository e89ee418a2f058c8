"""What other contracts ask of the rules: may this stage happen, by lists and expressions (PROTOCOL.md 2.3)."""

from __future__ import annotations

from typing import Final

from contracts.codes import Refusal
from contracts.interface import EndContext
from contracts.rulebook.codes import LOOKUPS_EXCEEDED, VALUE_INVALID, VALUE_MISSING
from contracts.rulebook.evaluation import verdict
from contracts.rulebook.facts import Facts, Verdict
from contracts.rulebook.records import ALLOW, HOLD, REFUSE
from contracts.rulebook.state import load_counters, load_schedule

__all__ = [
    "ALLOW",
    "HOLD",
    "KIND",
    "LOOKUPS_EXCEEDED",
    "REFUSE",
    "VALUE_INVALID",
    "VALUE_MISSING",
    "Facts",
    "Verdict",
    "check",
    "dry_run",
]

KIND: Final = "rules"
VERSION_NOT_KEPT: Final = "rules_version_not_kept"


def check(context: EndContext, facts: Facts) -> Verdict:
    """Asks the rules in force at the block's height.

    Args:
        context: of any contract of a chain that has a contract ``rules``.
        facts: of the stage.

    Returns:
        ``allow``, ``refuse`` or ``hold``; ``hold`` with ``rules_value_missing`` and the like where a rule that applies
        cannot be decided.

    Raises:
        Refusal: ``contract_unknown``: the chain has no rules.
    """
    own = context.enter_kind(KIND)
    return verdict(own, load_schedule(own.state).in_force(context.block.height), facts)


def dry_run(context: EndContext, version: int, facts: Facts) -> Verdict:
    """Asks a version that need not be in force: a draft with what is staged so far, or an earlier one.

    Args:
        context: as for ``check``.
        version: a draft or kept version; 0 for no rules.
        facts: of a stage, a past one too; entries expire by ``facts.time_ms``.

    Raises:
        Refusal: ``contract_unknown``; ``rules_version_not_kept``: there is no such version, or it is too old.
    """
    own = context.enter_kind(KIND)
    counters = load_counters(own.state)
    if version and version not in counters.kept and version not in counters.drafts:
        raise Refusal(VERSION_NOT_KEPT, f"version {version} of the rules is not kept", version=version)
    return verdict(own, version, facts)
