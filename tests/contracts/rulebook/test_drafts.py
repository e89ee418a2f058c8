"""Drafts: nobody changes anything alone, nobody approves what has changed, and nothing shows before its time."""

from __future__ import annotations

import msgspec
import pytest

from contracts import codes as common
from contracts.rulebook import codes
from contracts.rulebook.approvals import APPROVALS, MAX_APPROVAL_AGE, Approval, tally_codec
from contracts.rulebook.calls import Activate, Approve, DraftArguments, Entry, Propose, Rollback, Stage
from contracts.rulebook.drafts import (
    MAX_DRAFTS,
    MAX_DRAFTS_PER_OFFICER,
    definition_digest,
    draft_digest,
    next_running,
    proposal_digest,
)
from ledger.encoding import encode
from ledger.errors import NotFound
from ledger.state import contract_prefix
from ledger.types import ZERO_HASH
from tests.contracts.bench import ALICE, BOB, CAROL, ISSUER
from tests.contracts.rulebook.book import REVIEWER, Book, entry, expression, listed

BARRED = [entry("reviewer", REVIEWER)]
MANY = sorted(entry("value", str(number)) for number in range(2_500))


@pytest.fixture
def book() -> Book:
    return Book()


def barring(book: Book) -> int:
    """A draft that bars the reviewer."""
    draft = book.propose(lists=[listed("barred", "reviewer")])
    book.stage(draft, 0, "barred", BARRED)
    return draft


def _tallies(book: Book) -> list[tuple[Approval, ...]]:
    rows = book.state.iterate(contract_prefix("rules") + APPROVALS)
    return [tally_codec.decode(data).approvals for _, data in rows]


# --- one officer alone ----------------------------------------------------------------------------------------------


def test_nothing_in_force_changes_when_one_officer_does_all_that_he_can(book: Book) -> None:
    version = book.adopt(expressions=[expression("large", "amount > 1000000")])
    before = book.status()
    draft = book.propose(version, lists=[listed("barred", "reviewer")])
    book.stage(draft, 0, "barred", BARRED)
    assert book.ask().outcome == "allow"
    assert book.call("activate", Activate(draft, 0)).code == codes.STATUS_WRONG
    digest = book.seal(draft)
    for _ in range(3):
        said = book.approve(draft, digest, ALICE)
        assert (said.done, said.approvals, len(_tallies(book))) == (False, 1, 1)
    assert book.call("activate", Activate(draft, 0)).code == codes.STATUS_WRONG
    steps = before.steps_made + 1
    for _ in range(3):
        assert book.call("rollback", Rollback(0, 0, steps)).code == "ok"
    assert (book.ask().outcome, book.status().steps) == ("allow", before.steps)
    assert book.try_out(draft).outcome == "refuse"


@pytest.mark.parametrize("method", ["propose", "stage", "seal", "reopen", "abandon", "approve", "activate", "rollback"])
def test_method_is_not_permitted_when_the_sender_is_no_officer(method: str, book: Book) -> None:
    draft = barring(book)
    digest = book.seal(draft)
    arguments = {
        "propose": Propose(0, ""),
        "stage": Stage(draft, 1, "barred", True, (Entry(BARRED[0]),)),
        "approve": Approve(draft, digest),
        "activate": Activate(draft, 0),
    }.get(method, DraftArguments(draft))
    if method == "rollback":
        book.approve(draft, digest, ALICE, BOB)
        book.activate(draft)
        arguments = Rollback(0, 0, 2)
    assert book.call(method, arguments, ISSUER).code == common.NOT_PERMITTED


def test_draft_is_changed_by_its_proposer_alone_when_others_are_officers_too(book: Book) -> None:
    draft = barring(book)
    for method, arguments in [
        ("stage", Stage(draft, 1, "barred", False, (Entry(BARRED[0]),))),
        ("seal", DraftArguments(draft)),
        ("abandon", DraftArguments(draft)),
    ]:
        assert book.call(method, arguments, BOB).code == common.NOT_PERMITTED
    book.seal(draft)
    assert book.call("reopen", DraftArguments(draft), BOB).code == common.NOT_PERMITTED


# --- approvals ------------------------------------------------------------------------------------------------------


def test_approval_of_a_former_digest_does_not_count_when_the_draft_has_changed(book: Book) -> None:
    draft = barring(book)
    former = book.seal(draft)
    assert not book.approve(draft, former, BOB).done
    book.done("reopen", DraftArguments(draft))
    assert book.call("approve", Approve(draft, former), CAROL).code == codes.STATUS_WRONG
    book.stage(draft, 1, "barred", [entry("reviewer", ALICE.public)])
    digest = book.seal(draft)
    assert digest != former
    assert book.call("approve", Approve(draft, former), CAROL).code == codes.DIGEST_DIFFERS
    assert not book.approve(draft, digest, CAROL).done
    assert book.approve(draft, digest, BOB).done


def test_approvals_begin_anew_when_a_draft_was_reopened_and_sealed_as_it_was(book: Book) -> None:
    draft = barring(book)
    former = book.seal(draft)
    book.approve(draft, former, BOB)
    book.done("reopen", DraftArguments(draft))
    assert book.seal(draft) == former
    assert not book.approve(draft, former, CAROL).done


def test_revoked_officer_does_not_count_when_another_approves_later(book: Book) -> None:
    draft = barring(book)
    digest = book.seal(draft)
    assert not book.approve(draft, digest, BOB).done
    book.revoke(BOB)
    assert book.call("approve", Approve(draft, digest), BOB).code == common.SENDER_NOT_ADMITTED
    assert book.call("approve", Approve(draft, digest), ALICE, BOB).code == common.SIGNATURE_SUPERFLUOUS
    assert book.call("approve", Approve(draft, digest), ISSUER, BOB).code == common.NOT_PERMITTED
    said = book.approve(draft, digest, CAROL)
    assert (said.done, said.approvals) == (False, 1)
    assert book.approve(draft, digest, ALICE).done


def test_approved_draft_is_not_activated_when_an_approver_was_revoked(book: Book) -> None:
    draft = barring(book)
    digest = book.seal(draft)
    assert book.approve(draft, digest, BOB, CAROL).done
    book.revoke(CAROL)
    assert book.call("activate", Activate(draft, 0)).code == codes.APPROVALS_LAPSED
    assert not book.approve(draft, digest, BOB).done
    assert book.call("activate", Activate(draft, 0)).code == codes.APPROVALS_LAPSED
    assert book.approve(draft, digest, ALICE).done
    book.activate(draft)
    assert book.ask().outcome == "refuse"


def test_approval_does_not_count_when_it_is_old(book: Book) -> None:
    draft = barring(book)
    digest = book.seal(draft)
    assert not book.approve(draft, digest, BOB).done
    book.height += MAX_APPROVAL_AGE
    said = book.approve(draft, digest, CAROL)
    assert (said.done, said.approvals) == (False, 1)


def test_cosigners_count_when_they_are_officers_and_are_superfluous_when_not(book: Book) -> None:
    draft = barring(book)
    digest = book.seal(draft)
    assert book.call("approve", Approve(draft, digest), ALICE, ISSUER).code == common.SIGNATURE_SUPERFLUOUS
    assert book.approve(draft, digest, ISSUER, ALICE, BOB).done


def test_tally_holds_each_key_once_and_goes_when_it_is_satisfied_or_the_draft_ends(book: Book) -> None:
    for end in ("approve", "abandon", "reopen"):
        draft = barring(book)
        digest = book.seal(draft)
        for _ in range(3):
            book.approve(draft, digest, BOB)
        assert [[approval.key for approval in tally] for tally in _tallies(book)] == [[BOB.public]]
        if end == "approve":
            book.approve(draft, digest, CAROL)
        else:
            book.done(end, DraftArguments(draft))
        assert _tallies(book) == []
        if end != "abandon":
            book.done("abandon", DraftArguments(draft))


# --- chunks and digests ---------------------------------------------------------------------------------------------


def test_digest_is_what_anyone_computes_who_has_the_transactions(book: Book) -> None:
    chain_id = book.genesis.chain_id
    proposal = Propose(0, "words", lists=(listed("values", "value"),))
    book.done("propose", proposal)
    chunks = [
        Stage(1, index, "values", True, tuple(Entry(e) for e in MANY[index * 1_000 :][:1_000])) for index in (0, 1)
    ]
    running = ZERO_HASH
    for chunk in chunks:
        book.done("stage", chunk)
        running = next_running(chain_id, running, chunk)
    digest = book.seal(1)
    shown = book.version(1)
    assert (shown.version.running, shown.version.chunks) == (running, 2)
    assert shown.version.proposal == proposal_digest(chain_id, proposal)
    assert shown.version.definition == definition_digest(chain_id, encode(shown.definition))
    assert digest == draft_digest(chain_id, shown.version)
    assert [chunk.running for chunk in book.view("rules", "chunks", 1, 0, 10).chunks][-1] == running
    changes = [("base", 1), ("proposer", BOB.public), ("proposal", ZERO_HASH), ("definition", ZERO_HASH),
               ("chunks", 3), ("counts", ()), ("running", ZERO_HASH), ("number", 2)]  # fmt: skip
    for field, value in changes:
        assert draft_digest(chain_id, msgspec.structs.replace(shown.version, **{field: value})) != digest


def test_chunk_is_refused_when_it_comes_twice_or_too_early(book: Book) -> None:
    draft = book.propose(lists=[listed("values", "value")])
    first = Stage(draft, 0, "values", True, tuple(Entry(e) for e in MANY[:1_000]))
    book.done("stage", first)
    assert book.call("stage", first).code == codes.CHUNK_OUT_OF_ORDER
    assert book.call("stage", msgspec.structs.replace(first, index=2)).code == codes.CHUNK_OUT_OF_ORDER
    assert [count.entries for count in book.version(draft).version.counts] == [1_000]


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (Stage(1, 0, "nothing", True, (Entry(MANY[0]),)), codes.NAME_UNKNOWN),
        (Stage(1, 0, "values", True, (Entry(MANY[1]), Entry(MANY[0]))), codes.ENTRIES_INVALID),
        (Stage(1, 0, "values", True, (Entry(MANY[0]), Entry(MANY[0]))), codes.ENTRIES_INVALID),
        (Stage(1, 0, "values", False, (Entry(MANY[0], 5),)), codes.ENTRIES_INVALID),
        (Stage(1, 0, "values", True, ()), common.ARGUMENTS_INVALID),
        (Stage(1, 0, "values", True, tuple(Entry(e) for e in MANY[:1_001])), common.ARGUMENTS_INVALID),
        (Stage(1, 0, "values", True, (Entry(b"short"),)), common.ARGUMENTS_INVALID),
        (Stage(2, 0, "values", True, (Entry(MANY[0]),)), codes.DRAFT_UNKNOWN),
    ],
)
def test_chunk_is_refused_when_it_is_wrong(chunk: Stage, code: str, book: Book) -> None:
    book.propose(lists=[listed("values", "value")])
    assert book.call("stage", chunk).code == code


def test_sealed_draft_takes_no_more_entries_when_it_was_not_reopened(book: Book) -> None:
    draft = barring(book)
    book.seal(draft)
    chunk = Stage(draft, 1, "barred", True, (Entry(MANY[0]),))
    assert book.call("stage", chunk).code == codes.STATUS_WRONG
    book.done("reopen", DraftArguments(draft))
    book.done("stage", chunk)


def test_counts_follow_when_entries_are_added_again_and_removed(book: Book) -> None:
    first = book.adopt(lists=[listed("values", "value")], entries={"values": MANY[:10]})
    draft = book.propose(first)
    assert book.stage(draft, 0, "values", MANY[5:15]).entries == 15
    assert book.stage(draft, 1, "values", MANY[:3], present=False).entries == 12
    assert book.stage(draft, 2, "values", MANY[:3], present=False).entries == 12
    assert book.stage(draft, 3, "values", MANY[2:3]).entries == 13
    assert [count.entries for count in book.version(first).version.counts] == [10]
    shown: list[bytes] = []
    after = b""
    while True:
        page = book.view("rules", "entries", draft, "values", after, 4)
        shown += [found.fingerprint for found in page.entries]
        after = page.next
        if not after:
            break
    assert shown == MANY[2:15]


# --- how many, and which --------------------------------------------------------------------------------------------


def test_drafts_are_bounded_when_officers_pile_them_up(book: Book) -> None:
    for _ in range(MAX_DRAFTS_PER_OFFICER):
        book.propose()
    assert book.call("propose", Propose(0, "")).code == codes.DRAFTS_FULL
    draft = book.propose(by=BOB)
    assert len(book.status().drafts) == MAX_DRAFTS_PER_OFFICER + 1 <= MAX_DRAFTS
    book.done("abandon", DraftArguments(1))
    assert book.propose() == draft + 1


def test_draft_is_refused_when_its_base_was_not_approved(book: Book) -> None:
    draft = barring(book)
    for base in (draft, 7):
        assert book.call("propose", Propose(base, "")).code == codes.BASE_UNKNOWN
    book.agree(draft)
    assert book.propose(draft) == draft + 1


def test_abandoned_draft_is_out_of_the_way_when_its_proposer_is_gone_or_it_is_old(book: Book) -> None:
    gone, old = barring(book), book.propose(by=BOB)
    book.revoke(ALICE)
    book.done("abandon", DraftArguments(gone), CAROL)
    assert book.call("abandon", DraftArguments(old), CAROL).code == common.NOT_PERMITTED
    book.height += MAX_APPROVAL_AGE
    book.done("abandon", DraftArguments(old), CAROL)
    assert book.status().drafts == ()
    for number in (gone, old):
        assert book.call("abandon", DraftArguments(number), CAROL).code == codes.STATUS_WRONG
        assert book.call("approve", Approve(number, ZERO_HASH), CAROL).code == codes.STATUS_WRONG


def test_view_says_not_found_when_there_is_no_such_version_or_list(book: Book) -> None:
    with pytest.raises(NotFound):
        book.version(1)
    barring(book)
    with pytest.raises(NotFound):
        book.view("rules", "entries", 1, "other", b"", 10)
    with pytest.raises(NotFound):
        book.view("rules", "entry", 2, "barred", BARRED[0])
    assert book.view("rules", "entry", 1, "barred", BARRED[0]).listed
    assert [version.number for version in book.view("rules", "versions", 0, 10).versions] == [1]
