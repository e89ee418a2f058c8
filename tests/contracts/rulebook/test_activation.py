"""Which version is in force when: heights, bases, rollbacks by two officers; no approval outlives a change."""

from __future__ import annotations

import pytest

from contracts.codes import Refusal
from contracts.rulebook import codes, drafts
from contracts.rulebook.activation import MAX_AHEAD, MAX_BLOCKS_AHEAD
from contracts.rulebook.calls import Activate, Approve, DraftArguments, Evaluate, FactsRecord, Rollback, Sealed
from contracts.rulebook.drafts import MAX_KEPT
from contracts.rulebook.records import ACTIVATED
from ledger.encoding import Codec, encode
from ledger.state import contract_prefix
from ledger.transaction import Call
from tests.contracts.bench import ALICE, BOB, CAROL
from tests.contracts.rulebook.book import DRUGS, FLOW, REVIEWER, SUBJECT, Book, entry, expression, facts, listed

BARRED = {"barred": [entry("reviewer", REVIEWER)]}


@pytest.fixture
def book() -> Book:
    return Book()


def limited(book: Book, base: int, limit: int) -> int:
    """An approved draft that refuses amounts above ``limit``, with ``limit`` as reason."""
    draft = book.propose(base, expressions=[expression("large", f"amount > {limit}", reason=f"above_{limit}")])
    book.agree(draft)
    return draft


def test_version_is_in_force_from_its_height_on_when_it_was_activated_for_later(book: Book) -> None:
    draft = limited(book, 0, 1)
    height = book.height + 4
    book.activate(draft, height)
    seen = []
    while book.height < height + 1:
        seen.append((book.height + 1, book.ask().outcome))
        book.block()
    assert seen[-1] == (height + 1, "refuse")
    assert [outcome for at, outcome in seen if at < height] == ["allow"] * len(seen[:-2])
    assert dict(seen)[height] == "refuse"


@pytest.mark.parametrize("ahead", [-1, 0, MAX_BLOCKS_AHEAD + 1])
def test_activation_is_refused_when_its_height_is_past_or_too_far(ahead: int, book: Book) -> None:
    draft = limited(book, 0, 1)
    assert book.call("activate", Activate(draft, book.height + 1 + ahead)).code == codes.HEIGHT_INVALID
    assert book.ask().outcome == "allow"


def test_activation_is_refused_when_the_base_is_not_in_force_any_more(book: Book) -> None:
    first, second = limited(book, 0, 1), limited(book, 0, 2)
    book.activate(first)
    assert book.call("activate", Activate(second, 0)).code == codes.BASE_SUPERSEDED
    third = limited(book, first, 3)
    book.activate(third, book.height + 10)
    fourth = limited(book, first, 4)
    assert book.call("activate", Activate(fourth, book.height + 5)).code == codes.HEIGHT_INVALID
    assert book.call("activate", Activate(fourth, book.height + 20)).code == codes.BASE_SUPERSEDED


def test_activated_version_is_not_activated_again_when_it_was_rolled_back(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    assert book.rollback(0).done
    # Otherwise one officer could undo what two have decided.
    assert book.call("activate", Activate(first, 0), ALICE).code == codes.STATUS_WRONG
    assert book.call("approve", _approval(book, first), ALICE).code == codes.STATUS_WRONG
    assert book.ask().outcome == "allow"
    assert book.rollback(first).done
    assert book.ask().reason == "above_1"


def _approval(book: Book, version: int) -> Approve:
    return Approve(version, book.version(version).version.digest)


def test_rollback_holds_in_its_own_block_when_no_height_is_given(book: Book) -> None:
    first = book.adopt(lists=[listed("barred", "reviewer")])
    second = book.adopt(first, entries=BARRED)
    assert book.ask().outcome == "refuse"
    height = book.height + 1
    assert book.rollback(first).done
    assert book.height == height
    assert book.status().steps[-1].height == height
    assert (book.ask().outcome, book.ask().version) == ("allow", first)
    assert book.try_out(second).outcome == "refuse"


def test_rollback_waits_for_its_height_when_it_names_one(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    height = book.height + 5
    book.rollback(0, height=height)
    while book.height + 1 < height:
        assert book.ask().outcome == "refuse"
        book.block()
    assert book.ask().outcome == "allow"


def test_rollback_cancels_what_was_to_come_when_it_is_at_its_height_or_later(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    second = limited(book, first, 2)
    later = book.height + 10
    book.activate(second, later)
    assert book.rollback(first).done
    for _ in range(12):
        book.block()
    assert book.ask(facts(amount=2)).reason == "above_1"
    third = limited(book, first, 3)
    book.activate(third)
    assert book.ask(facts(amount=4)).reason == "above_3"


def test_rollback_needs_two_officers_who_want_the_same(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    second = limited(book, first, 2)
    book.activate(second)
    assert not book.rollback(first, BOB).done
    assert not book.rollback(first, BOB).done
    assert not book.rollback(0, CAROL).done
    assert not book.rollback(first, CAROL, height=book.height + 50).done
    assert book.ask().version == second
    book.revoke(BOB)
    assert not book.rollback(first, CAROL).done
    assert book.rollback(first, ALICE).done
    assert book.ask().version == first


def test_approval_of_a_rollback_does_not_count_when_another_step_was_made_since(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    steps = book.status().steps_made + 1
    assert not book.rollback(0, BOB).done
    second = limited(book, first, 2)
    book.activate(second)
    assert book.call("rollback", Rollback(0, 0, steps), CAROL).code == codes.COUNTER_WRONG
    assert not book.rollback(0, CAROL).done
    assert book.ask().version == second


def test_rollback_is_refused_when_the_version_never_was_in_force(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    second = limited(book, first, 2)
    steps = book.status().steps_made + 1
    for version in (second, 9):
        assert book.call("rollback", Rollback(version, 0, steps), ALICE, BOB).code == codes.BASE_UNKNOWN
    assert book.call("rollback", Rollback(first, 0, steps), ALICE, BOB).code == codes.UNCHANGED
    past = Rollback(0, book.height, steps)
    assert book.call("rollback", past, ALICE, BOB).code == codes.HEIGHT_INVALID


def test_steps_to_come_are_bounded_when_many_are_made(book: Book) -> None:
    base, height = 0, book.height + 1_000
    for number in range(MAX_AHEAD):
        draft = limited(book, base, number)
        book.activate(draft, height + number)
        base = draft
    one_more = limited(book, base, 99)
    assert book.call("activate", Activate(one_more, height + 100)).code == codes.TOO_MANY
    steps = book.status().steps_made + 1
    assert book.call("rollback", Rollback(1, height + 200, steps), ALICE, BOB).code == codes.TOO_MANY
    assert len(book.status().steps) == MAX_AHEAD
    assert book.rollback(1).done
    assert len(book.status().steps) == 1


def test_every_step_is_kept_with_who_approved_it(book: Book) -> None:
    first = limited(book, 0, 1)
    book.activate(first)
    book.rollback(0)
    made = book.view("rules", "activations", 0, 10).activations
    assert [(step.step.version, step.rollback) for step in made] == [(first, False), (0, True)]
    assert {approval.key for approval in made[0].approvals} == {ALICE.public, BOB.public}
    assert {approval.key for approval in made[1].approvals} == {BOB.public, CAROL.public}
    assert book.version(first).version.status == ACTIVATED


def test_old_versions_go_when_many_came_and_the_one_in_force_stays(book: Book) -> None:
    base = book.adopt(lists=[listed("barred", "reviewer")], entries=BARRED)
    book.adopt(base)
    book.rollback(base)
    for _ in range(MAX_KEPT + 3):
        draft = book.propose(base)
        book.agree(draft)
        book.done("abandon" if draft % 2 else "activate", _end(draft, book), ALICE)
        if not draft % 2:
            book.rollback(base)
    kept = book.status().kept
    assert len(kept) <= MAX_KEPT
    assert base in kept
    assert book.ask().outcome == "refuse"
    with pytest.raises(Refusal, match="not kept"):
        book.try_out(10_000)


def test_version_in_force_is_kept_when_it_is_older_than_all_that_are_kept(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "MAX_KEPT", 2)
    base = limited(book, 0, 1)
    book.activate(base)
    waiting = book.propose(base, by=BOB)
    for _ in range(2):
        draft = book.propose(base)
        book.agree(draft)
        book.done("abandon", DraftArguments(draft))
    others = [limited(book, base, number) for number in (2, 3)]
    assert base in book.status().kept
    digest = Codec(Sealed, 200).decode(book.done("seal", DraftArguments(waiting), BOB)).digest
    # Its number is below those of the approved ones, which are kept by number.
    assert book.approve(waiting, digest, BOB, CAROL).done
    assert {base, waiting} <= set(book.status().kept)
    book.activate(waiting)
    assert {base, waiting} & set(book.status().kept) >= {waiting}
    for number in others:
        book.done("abandon", DraftArguments(number))
    assert book.propose(waiting) > waiting


def _end(draft: int, book: Book) -> DraftArguments | Activate:
    return DraftArguments(draft) if draft % 2 else Activate(draft, book.height + 2)


# --- trying out -------------------------------------------------------------------------------------------------------


def test_draft_answers_to_past_facts_when_it_is_tried_out(book: Book) -> None:
    first = limited(book, 0, 30_000)
    book.activate(first)
    draft = book.propose(first, lists=[listed("barred", "subject_drug")])
    record = FactsRecord(
        "order", "prescription", FLOW, "platform one", SUBJECT, DRUGS, REVIEWER, b"", b"", (), 25_500, ()
    )
    asked = [book.view("rules", "evaluate", version, record) for version in (0, first, draft)]
    assert [said.outcome for said in asked] == ["allow", "allow", "allow"]
    book.stage(draft, 0, "barred", [entry("subject_drug", SUBJECT, DRUGS[0])])
    said = book.view("rules", "evaluate", draft, record)
    assert (said.outcome, said.reason, said.rule, said.version) == (
        "refuse", "rules_subject_drug_listed", "barred", draft
    )  # fmt: skip
    assert book.view("rules", "evaluate", first, record).outcome == "allow"
    assert Evaluate(draft, record).facts.time_ms == 0


def test_rollback_writes_as_much_when_the_lists_are_long() -> None:
    def writes_of_rollback(entries: int) -> int:
        own = Book()
        base = own.adopt(lists=[listed("values", "value")])
        draft = own.propose(base)
        for index in range(0, entries, 1_000):
            own.stage(draft, index // 1_000, "values", [entry("value", str(n)) for n in range(index, index + 1_000)])
        own.agree(draft)
        own.activate(draft)
        transaction = own.make(
            calls=[_call("rollback", Rollback(base, 0, own.status().steps_made + 1))], sender=ALICE, keys=[ALICE, BOB]
        )
        result = own.run([transaction])
        return sum(key.startswith(contract_prefix("rules")) for key in result.writes)

    assert writes_of_rollback(1_000) == writes_of_rollback(4_000) <= 3


def _call(method: str, arguments: Rollback) -> Call:
    return Call("rules", method, encode(arguments))
