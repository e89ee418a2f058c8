"""Rotating committees in the demo: what the supervision chain's epochs were, and whether everybody kept the rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from ledger.keys import parse_key
from node.cli.output import Report
from node.consortium.plan import Consortium
from node.demo.audit import Audit
from node.demo.flow_audit import view

PAGE: Final = 32


@dataclass(frozen=True)
class Epochs:
    """The epochs of a chain with a committee.

    Attributes:
        committee: seats.
        passed: epochs that have ended.
        seats: organisation → in how many epochs it sat, the one in force included.
        group_of: organisation → group of operators.
    """

    committee: int
    passed: int
    seats: dict[str, int]
    group_of: dict[str, str]


def look_at(audit: Audit, consortium: Consortium, height: int) -> Epochs | None:
    """Reads every epoch from a node of the supervision chain, and checks them; None where no committee rotates.

    Args:
        audit: of the supervision chain; gets the checks.
        consortium: whose.
        height: of the chain, as the audit found it.
    """
    node = audit.nodes[0]
    rotation = view(node, "validators", "rotation")
    rules = rotation["rules"]
    if rules is None:
        return None
    epochs: list[dict[str, Any]] = []
    before = 0
    while True:
        page = view(node, "validators", "epochs", before=before, limit=PAGE)["epochs"]
        epochs += page
        if len(page) < PAGE:
            break
        before = page[-1]["start"]
    epochs = [epoch for epoch in epochs[::-1] if epoch["start"] <= height]
    organisation = {parse_key(each.validator).hex(): each.organisation for each in consortium.supervision.nodes}
    group_of = {organisation[each["key"]]: each["group"] for each in rotation["candidates"]}
    caps = {group["name"]: group["seats"] for group in rules["groups"] if not group["exempt"]}
    kept = [_keeps(epoch, rules, caps, organisation, group_of) for epoch in epochs]
    audit.check("epochs whose committee keeps size and caps", sum(kept), len(epochs))
    follows = [
        after["start"] == before["end"] + 1 and len(set(before["keys"]) - set(after["keys"])) <= rules["seats_changed"]
        for before, after in pairwise(epochs)
    ]
    audit.check("epochs that follow the one before and change few seats", sum(follows), len(epochs) - 1)
    seats = Counter(organisation[key] for epoch in epochs for key in epoch["keys"])
    return Epochs(rules["committee"], len(epochs) - 1, dict(seats.most_common()), group_of)


def show_epochs(report: Report, epochs: Epochs, validators: int) -> None:
    """How often the committee changed, and who sat how often."""
    report.line()
    report.line(
        f"On the supervision chain {epochs.committee} of {validators} validators decide at a time: {epochs.passed} "
        "epochs have passed, and at most one seat changed hands with each."
    )
    report.table(
        ["operator", "group", "epochs with a seat"],
        [[name, epochs.group_of[name], epochs.seats.get(name, 0)] for name in sorted(epochs.group_of)],
    )


def _keeps(
    epoch: dict[str, Any],
    rules: dict[str, Any],
    caps: dict[str, int],
    organisation: dict[str, str],
    group_of: dict[str, str],
) -> bool:
    seated = Counter(group_of[organisation[key]] for key in epoch["keys"])
    return len(epoch["keys"]) == rules["committee"] and all(seated[group] <= cap for group, cap in caps.items())
