"""Reporting faults of validators: what is recorded, and every way to report what is not so."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.validators.evidence import (
    MAX_RECORDED_PER_SIGNER,
    EvidencePage,
    EvidenceRecord,
    EvidenceSummary,
    recorded,
)
from contracts.validators.records import EpochRecord
from contracts.validators.schedule import epoch_key
from ledger.block import Receipt
from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import Codec, encode
from ledger.errors import NotFound
from ledger.genesis import ContractDoc
from ledger.keys import SigningKey
from ledger.misbehaviour import Fault, Misbehaviour, Statement, misbehaviour_id
from ledger.state import contract_prefix
from ledger.store import Kind
from ledger.transaction import Call
from tests.contracts.bench import ALICE, BOB, STRANGER, VALIDATOR, Bench, key_of, make_genesis

KINDS = ("admission", "accounts", "assets", "validators")
SEATED = [VALIDATOR, *(key_of(f"validator {i}") for i in range(3))]
NEWCOMER = key_of("validator from height 5 on")
summary_codec = Codec(EvidenceSummary, 4_096)


def make_bench() -> Bench:
    """Four validators; from height 5 on another one in place of the first, in epoch 1."""
    bench = Bench(genesis=make_genesis(contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS)))
    prefix = Kind.STATE + contract_prefix("validators")
    for number, start, seated in ((0, 1, SEATED), (1, 5, [*SEATED[1:], NEWCOMER])):
        record = EpochRecord(number, start, 0, 0, tuple(sorted(key.public for key in seated)))
        bench.store.write({prefix + epoch_key(start): encode(record)})
    return bench


def vote(
    bench: Bench, key: SigningKey, block: int, *, height: int = 1, epoch: int = 0, chain: bytes | None = None,
    kind: VoteKind = VoteKind.PREPARE,
) -> Statement:  # fmt: skip
    payload = block.to_bytes(32, "big")
    signed = vote_digest(bench.genesis.chain_id if chain is None else chain, epoch, kind, height, 0, payload)
    return Statement(int(kind), epoch, height, 0, key.public, key.sign(signed), payload)


def twice(bench: Bench, key: SigningKey = VALIDATOR, *blocks: int, **where: object) -> Misbehaviour:
    """Two PREPAREs of one place."""
    first, second = (vote(bench, key, block, **where) for block in blocks or (1, 2))  # type: ignore[arg-type]
    return Misbehaviour(Fault.CONFLICTING_MESSAGES.value, first, second, None)


def report(bench: Bench, evidence: Misbehaviour, sender: SigningKey = ALICE) -> Receipt:
    call = Call("validators", "report", encode(evidence))
    return bench.block(bench.make(calls=[call], sender=sender))[0]


def page(bench: Bench, after: int = 0, limit: int = 100) -> tuple[EvidenceSummary, ...]:
    found = bench.view("validators", "evidence_page", after, limit)
    assert isinstance(found, EvidencePage)
    return found.evidence


def test_a_fault_is_recorded_and_shown_when_it_is_proved() -> None:
    bench = make_bench()
    evidence = twice(bench)
    receipt = report(bench, evidence)
    assert receipt.code == "ok"
    (event,) = receipt.events
    summary = summary_codec.decode(receipt.results[0])
    assert (event.contract, event.name, summary_codec.decode(event.data)) == (
        "validators",
        "misbehaviour_recorded",
        summary,
    )
    name = misbehaviour_id(bench.genesis.chain_id, evidence)
    assert summary == EvidenceSummary(1, name, "conflicting_messages", VALIDATOR.public, 1, 0, ALICE.public, 1)
    assert bench.view("validators", "evidence", name) == EvidenceRecord(summary, evidence)
    assert page(bench) == (summary,)
    assert recorded(bench.state, "validators", evidence)


def test_a_fault_is_recorded_once_whoever_reports_it_again() -> None:
    bench = make_bench()
    assert report(bench, twice(bench)).code == "ok"
    assert report(bench, twice(bench), BOB).code == "validators_evidence_known"
    # Other messages of the same height prove the same fault.
    assert report(bench, twice(bench, VALIDATOR, 3, 4), BOB).code == "validators_evidence_known"
    assert report(bench, twice(bench, SEATED[1]), BOB).code == "ok"
    assert report(bench, twice(bench, height=2), BOB).code == "ok"
    commit, change = vote(bench, VALIDATOR, 1, kind=VoteKind.COMMIT), encode((None, None))
    signed = vote_digest(bench.genesis.chain_id, 0, VoteKind.ROUND_CHANGE, 1, 2, change)
    later = Statement(3, 0, 1, 2, VALIDATOR.public, VALIDATOR.sign(signed), change)
    assert report(bench, Misbehaviour(Fault.FORGOTTEN_LOCK.value, commit, later, None)).code == "ok"
    assert [summary.number for summary in page(bench)] == [1, 2, 3, 4]
    assert [summary.number for summary in page(bench, 1, 2)] == [2, 3]


def test_false_evidence_is_refused_and_leaves_nothing() -> None:
    bench = make_bench()
    good = twice(bench)
    assert good.second is not None
    for evidence in (
        replace(good, second=good.first),
        replace(good, second=replace(good.second, payload=bytes(32))),
        replace(good, first=replace(good.first, signature=good.second.signature)),
        replace(good, fault="being_slow"),
        replace(good, fault=Fault.FORGOTTEN_LOCK.value),
        twice(bench, STRANGER),
        # An honest validator's message, with another one made up by the reporter.
        replace(good, second=replace(vote(bench, ALICE, 2), signer=VALIDATOR.public)),
    ):
        assert report(bench, evidence).code == "validators_evidence_refused"
        assert not recorded(bench.state, "validators", evidence)
    assert page(bench) == ()


def test_evidence_is_refused_when_it_is_of_another_chain() -> None:
    bench = make_bench()
    assert report(bench, twice(bench, chain=bytes(32))).code == "validators_evidence_refused"


def test_evidence_is_refused_when_its_epoch_is_not_that_of_its_height() -> None:
    bench = make_bench()
    assert report(bench, twice(bench, epoch=1)).code == "validators_evidence_refused"
    while bench.height < 5:
        bench.block()
    assert report(bench, twice(bench, SEATED[1], height=5, epoch=0)).code == "validators_evidence_refused"
    assert report(bench, twice(bench, SEATED[1], height=5, epoch=1)).code == "ok"


def test_the_set_in_force_at_its_height_judges_evidence() -> None:
    bench = make_bench()
    while bench.height < 6:
        bench.block()
    assert report(bench, twice(bench, NEWCOMER, height=4)).code == "validators_evidence_refused"
    assert report(bench, twice(bench, NEWCOMER, height=5, epoch=1)).code == "ok"
    # Who has left answers for what it did before, and for nothing that came after.
    assert report(bench, twice(bench, VALIDATOR, height=5, epoch=1)).code == "validators_evidence_refused"
    assert report(bench, twice(bench, VALIDATOR, height=4)).code == "ok"


def test_evidence_of_a_height_to_come_waits_for_it() -> None:
    bench = make_bench()
    assert report(bench, twice(bench, height=2)).code == "validators_evidence_early"
    assert report(bench, twice(bench, height=2)).code == "ok"
    assert report(bench, twice(bench, height=0)).code == "validators_evidence_refused"


def test_who_is_not_admitted_reports_nothing() -> None:
    bench = make_bench()
    assert report(bench, twice(bench), STRANGER).code == "sender_not_admitted"


def test_a_flood_against_oneself_is_bounded() -> None:
    bench = make_bench()
    while bench.height < 4:
        bench.block()
    # As if it had equivocated at many heights.
    count = Kind.STATE + contract_prefix("validators") + b"xk" + VALIDATOR.public
    bench.store.write({count: (MAX_RECORDED_PER_SIGNER - 1).to_bytes(2, "big")})
    assert not recorded(bench.state, "validators", twice(bench))
    assert report(bench, twice(bench)).code == "ok"
    assert report(bench, twice(bench, height=2)).code == "validators_evidence_enough"
    assert recorded(bench.state, "validators", twice(bench, height=3))
    assert report(bench, twice(bench, SEATED[1])).code == "ok"


def test_evidence_that_is_not_recorded_is_not_found() -> None:
    with pytest.raises(NotFound):
        make_bench().view("validators", "evidence", bytes(32))
