"""A version's life, and proposals that are taken up where they were interrupted."""

from __future__ import annotations

from hashlib import sha256

import pytest
from msgspec.structs import replace

from contracts.rulebook.calls import Entry, EntryArguments, EntryView
from contracts.rulebook.fingerprints import fingerprint
from contracts.rulebook.records import ExpressionRule, ListRule
from ledger.errors import InvalidInput
from node.calling import CallRefused, CallUnresolved
from node.regulator import rulebook
from node.regulator.rulebook import Change, RulePlan
from tests.contracts.supervision.world import SUBJECT
from tests.node.regulator.office import Office


def entries(count: int, first: int = 0) -> list[Entry]:
    return [Entry(sha256(b"%d" % number).digest()) for number in range(first, first + count)]


def plan(count: int = 0, **changes) -> RulePlan:
    """A list of subjects with ``count`` entries."""
    made = (Change("blocked", True, entries(count)),) if count else ()
    return RulePlan(lists=(ListRule("blocked", "subject", "deny", stages=("file",)),), changes=made, **changes)


def refusing(count: int = 0) -> RulePlan:
    """``plan`` with an expression that refuses every filing of the world's drug."""
    rule = ExpressionRule("no_drug", "'860975' in drugs", "refuse", "drug_banned", ("file",))
    made = plan(count)
    return RulePlan(lists=made.lists, changes=made.changes, expressions=(rule,))


async def test_decision_changes_when_a_version_is_in_force_and_back_when_it_is_rolled_back(office: Office) -> None:
    assert office.status(office.filed(0)) == "authorised"
    number, digest = await rulebook.propose(office.officers[0], refusing())
    assert office.status(office.filed(1)) == "authorised"
    assert (await rulebook.approve(office.officers, number, digest)).done
    await rulebook.activate(office.officers[1], number)
    request = office.ask(office.request(number=2))
    office.attest(request)
    shown = office.shown(request)
    assert (shown.status, shown.reason, shown.rule, shown.rule_version) == ("refused", "drug_banned", "no_drug", number)
    assert (await rulebook.rollback(office.officers, 0)).done
    assert office.status(office.filed(3)) == "authorised"


async def test_nothing_is_in_force_when_one_officer_alone_approves(office: Office) -> None:
    number, digest = await rulebook.propose(office.officers[0], refusing())
    for _ in range(2):
        done = await rulebook.approve(office.officers[:1], number, digest)
        assert (done.done, done.approvals) == (False, 1)
    with pytest.raises(CallRefused) as caught:
        await rulebook.activate(office.officers[0], number)
    assert caught.value.code == "rules_status_wrong"
    with pytest.raises(InvalidInput) as missing:
        await rulebook.install(office.officers[:1], refusing())
    assert missing.value.code == "rules_approvals_missing"


async def test_install_does_everything_when_officers_are_enough(office: Office) -> None:
    number = await rulebook.install(office.officers, refusing(3))
    request = office.ask(office.request())
    office.attest(request)
    assert office.shown(request).rule_version == number
    second = await rulebook.install(office.officers, RulePlan(description="gone", remove=("no_drug",)))
    assert (await rulebook.version_of(office.gateway, second)).version.base == number
    assert office.status(office.filed(1)) == "authorised"


async def test_listed_subject_is_refused_when_its_entry_was_staged(office: Office) -> None:
    listed = plan()
    change = Change("blocked", True, [Entry(fingerprint("subject", SUBJECT))])
    await rulebook.install(office.officers, RulePlan(lists=listed.lists, changes=(change,)))
    request = office.ask(office.request())
    office.attest(request)
    assert office.shown(request).reason == "rules_subject_listed"


@pytest.mark.parametrize("taken", [1, 2, 3])
async def test_draft_is_the_same_when_its_staging_was_interrupted(office: Office, monkeypatch, taken: int) -> None:
    monkeypatch.setattr(rulebook, "MAX_STAGED_BYTES", 80_000)
    sent: list[int] = []
    office.gateway.fail_after = office.gateway.submitted + taken
    with pytest.raises(CallUnresolved):
        await rulebook.propose(office.officers[0], plan(6_500), progress=sent.append)
    office.gateway.fail_after = None
    before = sum(sent)
    number, digest = await rulebook.propose(office.officers[0], plan(6_500), progress=sent.append)
    version = (await rulebook.version_of(office.gateway, number)).version
    assert (number, version.chunks, version.counts[0].entries, version.digest) == (1, 7, 6_500, digest)
    assert before == (taken - 1) * 2_000
    assert await rulebook.propose(office.officers[0], plan(6_500)) == (number, digest)


async def test_interrupted_draft_is_not_gone_on_with_when_the_entries_are_others(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(rulebook, "MAX_STAGED_BYTES", 40_000)
    office.gateway.fail_after = office.gateway.submitted + 2
    with pytest.raises(CallUnresolved):
        await rulebook.propose(office.officers[0], plan(3_000))
    office.gateway.fail_after = None
    other = RulePlan(lists=plan().lists, changes=(Change("blocked", True, entries(3_000, first=1)),))
    for wrong in (other, plan()):
        with pytest.raises(InvalidInput) as caught:
            await rulebook.propose(office.officers[0], wrong)
        assert caught.value.code == "rules_draft_differs"


async def test_sealed_draft_is_not_taken_for_a_longer_plan(office: Office) -> None:
    await rulebook.propose(office.officers[0], plan(10))
    longer = RulePlan(lists=plan().lists, changes=(*plan(10).changes, Change("blocked", False, entries(1))))
    with pytest.raises(InvalidInput) as caught:
        await rulebook.propose(office.officers[0], longer)
    assert caught.value.code == "rules_draft_differs"


async def test_another_officers_draft_is_left_alone_when_the_plan_is_the_same(office: Office) -> None:
    first, digest = await rulebook.propose(office.officers[0], plan(5))
    second, other = await rulebook.propose(office.officers[1], plan(5))
    assert first != second
    assert digest != other


async def test_entries_are_sorted_and_distinct_when_a_source_repeats_them(office: Office) -> None:
    doubled = Change("blocked", True, [*entries(5), *entries(5)])
    number, _ = await rulebook.propose(office.officers[0], RulePlan(lists=plan().lists, changes=(doubled,)))
    assert (await rulebook.version_of(office.gateway, number)).version.counts[0].entries == 5


async def test_entries_are_gone_when_a_later_version_removes_them(office: Office) -> None:
    await rulebook.install(office.officers, plan(5))
    number = await rulebook.install(office.officers, RulePlan(changes=(Change("blocked", False, entries(2)),)))
    listed = [
        (
            await office.gateway.view("rules", "entry", EntryArguments(number, "blocked", e.fingerprint), EntryView)
        ).listed
        for e in entries(5)
    ]
    assert listed == [False, False, True, True, True]


async def test_draft_ends_when_its_officer_abandons_it(office: Office) -> None:
    number, digest = await rulebook.propose(office.officers[0], plan(1))
    with pytest.raises(CallRefused):
        await rulebook.abandon(office.officers[1], number)
    await rulebook.abandon(office.officers[0], number)
    with pytest.raises(CallRefused):
        await rulebook.approve(office.officers, number, digest)
    again, _ = await rulebook.propose(office.officers[0], plan(1))
    assert again == number + 1


def test_proposal_is_canonical_when_the_plan_is_in_any_order() -> None:
    lists = (ListRule("b", "value", "deny"), ListRule("a", "value", "deny"))
    one = RulePlan(lists=lists, remove=("z", "y"), attributes={"n": "int", "m": "bool"}).proposal(0)
    assert [rule.name for rule in one.lists] == ["a", "b"]
    assert (one.remove, [item.name for item in one.attributes]) == (("y", "z"), ["m", "n"])
    assert replace(one, base=0) == one
