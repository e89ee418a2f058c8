"""``tidegate rules list``, ``show`` and ``diff``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from contracts.rulebook.calls import MAX_PAGE, PageArguments, VersionPage, VersionView
from contracts.rulebook.records import Definition, ExpressionRule, ListRule, Version
from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, short, short_key, supervision_options
from node.client import Client
from node.regulator import rulebook

_SAME: Final = ("mode", "effect", "reason", "stages", "kinds")


@click.command("list")
@supervision_options
@reporting
async def list_command(report: Report, target: Target) -> None:
    """List versions and drafts, which is in force, and what is to come."""
    async with open_chain(target) as client:
        status = await rulebook.status(client)
        found = await _versions(client)
        height = (await client.info()).height
    to_come = {step.version: step.height for step in status.steps if step.height > height}
    report.table(
        ["version", "base", "status", "approvals", "entries", "digest", "description"],
        [
            [
                version.number,
                version.base,
                _state(version, status.in_force, to_come),
                len(version.approvals),
                sum(count.entries for count in version.counts),
                short(version.digest),
                version.description,
            ]
            for version in found
        ],
    )
    if not status.in_force:
        report.line("no rules are in force")
    report.document({"status": status, "versions": found})


def _state(version: Version, in_force: int, to_come: dict[int, int]) -> str:
    if version.number == in_force:
        return "in force"
    if version.number in to_come:
        return f"from block {to_come[version.number]}"
    return version.status


async def _versions(client: Client) -> list[Version]:
    found: list[Version] = []
    while True:
        after = found[-1].number if found else 0
        page = await client.view(rulebook.CONTRACT, "versions", PageArguments(after, MAX_PAGE), VersionPage)
        found.extend(page.versions)
        if len(page.versions) < MAX_PAGE:
            return found


@click.command("show")
@click.argument("version", type=click.IntRange(1), required=False)
@supervision_options
@reporting
async def show_command(report: Report, target: Target, version: int | None) -> None:
    """Show VERSION, by default the one in force: attributes, lists with their sizes, expressions, approvals."""
    async with open_chain(target) as client:
        number = version or (await rulebook.status(client)).in_force
        if not number:
            report.line("no rules are in force")
            report.document({"version": None})
            return
        found = await rulebook.version_of(client, number)
    about, rules = found.version, found.definition
    report.fields(
        {
            "version": f"{about.number} on {about.base}, {about.status}",
            "description": about.description,
            "proposer": short_key(about.proposer),
            "digest": about.digest.hex() or "not sealed yet",
            "approvals": ", ".join(short_key(item.key) for item in about.approvals) or "none",
        }
    )
    counts = {count.list: count.entries for count in about.counts}
    report.line()
    report.table(["attribute", "type"], [[item.name, item.type] for item in rules.attributes])
    report.line()
    report.table(
        ["list", "kind", "mode", "effect", "reason", "stages", "entries"],
        [
            [
                n.rule.name,
                n.rule.kind,
                n.rule.mode,
                n.rule.effect,
                n.rule.reason,
                " ".join(n.rule.stages),
                counts.get(n.number, 0),
            ]
            for n in rules.lists
        ],
    )
    report.line()
    report.table(
        ["expression", "effect", "reason", "stages", "when"],
        [[e.name, e.effect, e.reason, " ".join(e.stages), e.source] for e in rules.expressions],
    )
    report.document(found)


@click.command("diff")
@click.argument("first", type=click.IntRange(0))
@click.argument("second", type=click.IntRange(0))
@supervision_options
@reporting
async def diff_command(report: Report, target: Target, *, first: int, second: int) -> None:
    """Show what version SECOND has otherwise than FIRST; 0 is no rules. Of lists' entries the numbers are compared."""
    async with open_chain(target) as client:
        before, after = await _view(client, first), await _view(client, second)
    rows = [*_changes(before, after)]
    report.table(["what", "name", "change", str(first), str(second)], rows)
    if not rows:
        report.line(f"versions {first} and {second} do not differ in anything but, perhaps, entries of equal number")
    names = ("what", "name", "change", "before", "after")
    report.document({"first": first, "second": second, "changes": [dict(zip(names, r, strict=True)) for r in rows]})


async def _view(client: Client, number: int) -> VersionView | None:
    return await rulebook.version_of(client, number) if number else None


def _changes(before: VersionView | None, after: VersionView | None) -> Iterable[list[Any]]:
    old, new = _definition(before), _definition(after)
    yield from _compared("attribute", old.attributes, new.attributes, lambda item: item.type)
    yield from _compared("list", [n.rule for n in old.lists], [n.rule for n in new.lists], _list_text)
    sizes = _sizes(before), _sizes(after)
    for name in sorted(sizes[0].keys() | sizes[1].keys()):
        counts = sizes[0].get(name, 0), sizes[1].get(name, 0)
        if counts[0] != counts[1]:
            yield ["entries", name, "number", *counts]
    yield from _compared("expression", old.expressions, new.expressions, _expression_text)


def _compared(what: str, old: Iterable[Any], new: Iterable[Any], text: Any) -> Iterable[list[Any]]:
    before, after = {item.name: text(item) for item in old}, {item.name: text(item) for item in new}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            change = "added" if name not in before else "removed" if name not in after else "changed"
            yield [what, name, change, before.get(name, ""), after.get(name, "")]


def _list_text(rule: ListRule) -> str:
    return " ".join([rule.kind, *(_words(getattr(rule, name)) for name in _SAME)]).strip()


def _expression_text(rule: ExpressionRule) -> str:
    return f"{rule.effect} {rule.reason} at {_words(rule.stages)} {_words(rule.kinds)} when {rule.source}"


def _words(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else "+".join(value)


def _definition(view: VersionView | None) -> Definition:
    return Definition((), (), ()) if view is None else view.definition


def _sizes(view: VersionView | None) -> dict[str, int]:
    if view is None:
        return {}
    names = {numbered.number: numbered.rule.name for numbered in view.definition.lists}
    return {names[count.list]: count.entries for count in view.version.counts if count.list in names}
