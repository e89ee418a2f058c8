"""``tidegate rules propose``: a rule file becomes a sealed draft; interrupted, it is taken up where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from node.cli.options import Target
from node.cli.output import Report, reporting
from node.cli.supervision_session import (
    Officers,
    authority_home_option,
    authority_keys,
    officer_options,
    open_chain,
    supervision_options,
)
from node.client import Client
from node.regulator import rulebook
from node.regulator.rule_entries import FileEntries
from node.regulator.rulebook import RulePlan
from node.regulator.rulefile import RuleFileInvalid, base_named_in, load_plan

MAX_SHOWN: Final = 20


@click.command("propose")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@supervision_options
@officer_options
@authority_home_option
@click.option("--check", "only_check", is_flag=True, help="Only check the file; nothing is sent.")
@reporting
async def propose_command(
    report: Report, target: Target, officers: Officers, *, file: Path, authority_home: Path | None, only_check: bool
) -> None:
    """Propose the version that FILE describes, and print the digest that officers approve.

    Everything is checked before anything is sent. Interrupt it as you like: run again, it goes on. FILE is TOML:

    \b
    description = "week 7"            # words for people
    base = 3                          # version that it changes; the one in force by default
    remove = ["old_list"]             # attributes, lists and expressions to take out

    \b
    [attributes]                      # what expressions may read beside the facts
    age = "int"                       # bool, int, string, strings

    \b
    [lists.suspended_reviewers]
    kind = "reviewer"                 # subject, subject_drug, pharmacy_subject, organisation, transaction, value
    mode = "deny"                     # allow: who is not on it triggers the effect
    effect = "refuse"                 # hold: officers decide
    entries = ["ed25519:…"]           # or tables {pharmacy = "…", subject = "…", expires = 2027-01-31}
                                      # or the name of a CSV file whose header names these fields
    removed = "gone.csv"              # entries to take out of the list that the base has

    \b
    [expressions.too_many]
    when = "items > 10 && !(organisation in trusted)"
    stages = ["file"]                 # file, review, opinion, order, fulfil, settle, deliver
    effect = "hold"
    reason = "too_many_items"
    kinds = ["prescription"]          # flow kinds; all by default

    An ID number (id_number = "…" in place of subject = PSEUDONYM) needs --authority-home, whose key hides it.
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    key = None if authority_home is None else authority_keys(authority_home).pseudonym
    async with open_chain(target) as client:
        plan = await _checked(client, file, key)
        entries = sum(_count(change.entries) for change in plan.changes)
        if only_check:
            report.success(f"{file} is good: {_summary(plan, entries)} on version {plan.base}")
            report.document({"base": plan.base, "entries": entries})
            return
        (officer, *_) = officers.callers(client, target)
        with report.progress(f"staging {file.name}", entries) as advance:
            try:
                version, digest = await rulebook.propose(officer, plan, progress=advance)
            except BaseException:
                report.warning("stopped; run the same command again to go on")
                raise
    report.success(f"version {version} is proposed: {_summary(plan, entries)} on version {plan.base}")
    report.fields({"version": version, "digest": digest.hex()})
    report.line(f"next: tidegate rules dry-run {version}")
    report.line(f"      tidegate rules approve {version} --digest {digest.hex()}")
    report.document({"version": version, "digest": digest, "base": plan.base, "entries": entries})


async def _checked(client: Client, file: Path, key: bytes | None) -> RulePlan:
    try:
        base = base_named_in(file)
        if base is None:
            base = await rulebook.next_base(client)
        return load_plan(file, base, await rulebook.definition_of(client, base), pseudonym_key=key)
    except RuleFileInvalid as error:
        for problem in error.problems[1:MAX_SHOWN]:
            click.echo(f"  {problem}", err=True)
        raise


def _count(entries: object) -> int:
    return entries.count if isinstance(entries, FileEntries) else len(entries)  # type: ignore[arg-type]


def _summary(plan: RulePlan, entries: int) -> str:
    return (
        f"{len(plan.attributes)} attributes, {len(plan.lists)} lists, {len(plan.expressions)} expressions, "
        f"{entries} entries, {len(plan.remove)} removed"
    )
