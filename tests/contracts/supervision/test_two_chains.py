"""The real contracts of both chains, joined by real proofs: what is asked on one is decided on the other."""

import pytest

from contracts import decisions
from contracts import messages as m
from contracts.registry import participants as people
from contracts.supervision import answers as a
from contracts.supervision import codes
from contracts.supervision.calls import GrantBatch
from ledger.encoding import encode
from ledger.envelope import EnvelopeContext, envelope_codec
from ledger.errors import InvalidInput
from ledger.genesis import AssetDoc, SupplyDoc
from ledger.keys import SigningKey, key_text
from ledger.sealing import open_document
from ledger.state import contract_prefix
from ledger.transaction import Transaction
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import Chain, call, lock_of
from tests.contracts.flow import world as flow_world
from tests.contracts.flow.world import AUTHORITY, CNY, HOSPITAL, OFFICERS, PATIENT, PAYER, PHARMACY, PLATFORM, REVIEWER
from tests.contracts.supervision.world import DAY_MS, SUBJECT, attested

SUPERVISION = "supervision"
REGISTERED = {
    HOSPITAL: people.HOSPITAL,
    PLATFORM: people.PLATFORM,
    REVIEWER: people.REVIEWER,
    PHARMACY: people.PHARMACY,
}


class TwoChains(flow_world.World):
    """The parties of a flow, and a regulator that uses its own chain's contracts."""

    def __init__(self) -> None:
        owners = (PATIENT, PAYER, flow_world.OTHER_PATIENT)
        supply = tuple(
            SupplyDoc(amount=flow_world.COIN, lock=lock_of(owner)) for owner in owners for _ in range(flow_world.COINS)
        )
        count = flow_world.COINS
        self.coins = {owner.public: list(range(i * count, (i + 1) * count)) for i, owner in enumerate(owners)}
        locks = {"officers": flow_world.OFFICERS_LOCK, "authorities": flow_world.AUTHORITIES_LOCK}
        self.business = Chain(
            "business",
            people=flow_world.PEOPLE,
            kinds=("keyring", "flow"),
            policies={f"supervision.{name}": lock for name, lock in locks.items()},
            assets=(AssetDoc(asset=CNY, issuers=(key_text(PAYER.public),), supply=supply),),
        )
        self.supervision = Chain(
            "supervision",
            people=flow_world.REGULATORS,
            kinds=("keyring", "registry", "rules", SUPERVISION),
            policies=locks,
        )
        kit.pair(business=self.business, supervision=self.supervision)
        for key, kind in REGISTERED.items():
            organisation = flow_world.PEOPLE[key][0]
            self._write(
                people.participant_key(key.public),
                people.Participant(
                    key.public, organisation, kind, people.ACTIVE, bytes(32), bytes(32), key.public, 0, b"", 0, ""
                ),
            )
        self.classify("hospital", people.FULL)
        self.boxes = {}
        for owner in (*flow_world.PEOPLE, AUTHORITY):
            self.publish(owner)
        self.flow = self.authorisation = b""
        self.fresh()

    def _write(self, key: bytes, value) -> None:
        self.supervision.state.apply({contract_prefix("registry") + key: encode(value)})

    def classify(self, organisation: str, control_class: str) -> None:
        self._write(people.class_key(organisation), people.ControlClass(organisation, control_class, 1, 0))

    def asked_for(self, stage: str) -> a.RequestView:
        return self.supervision.view(SUPERVISION, "request", a.RequestQuery(self.flow, stage, 0))

    def opening(self, stage: str, code: str = "ok", outcome: str = m.AUTHORISED, reason: str = "") -> Transaction:
        """An authority opens what was sealed and decides, as its service does."""
        self.carry()
        asked = self.asked_for(stage)
        record = self.supervision.view(SUPERVISION, "record", a.RequestQuery(self.flow, stage, asked.request.attempt))
        request = asked.request
        where = EnvelopeContext(asked.source, request.flow, stage, request.actor, request.commitment)
        open_document(envelope_codec.decode(record.envelope), where, [self.key(AUTHORITY)])
        filed = stage == m.FILE
        decide = decisions.Decide(
            m.Decision(request.flow, stage, request.attempt, request.commitment, outcome, reason),
            SUBJECT if filed else b"",
            attested() if filed else (),
            request.envelope,
        )
        made = self.supervision.tx(AUTHORITY, call(SUPERVISION, "decide", decide))
        self.supervision.run(made, code)
        return made

    def decision_on(self, stage: str) -> m.Decision:
        request = self.asked_for(stage).request
        return m.Decision(request.flow, stage, request.attempt, request.commitment, m.AUTHORISED, "")

    def opened_by_authority(self, stage: str) -> bytes:
        made = self.opening(stage)
        self.carry()
        if stage == m.FILE:
            self.authorisation = bytes(made.tx_id)
        return bytes(made.tx_id)

    def officers(self, method: str, arguments, *signers: SigningKey) -> list[bytes]:
        """One transaction of each officer; what they come to is carried over."""
        made = [self.supervision.tx(officer, call(SUPERVISION, method, arguments)) for officer in signers]
        for transaction in made:
            self.supervision.run(transaction)
        self.carry()
        return [bytes(transaction.tx_id) for transaction in made]

    def up_to_order(self) -> None:
        self.file()
        self.opened_by_authority(m.FILE)
        self.request_review()
        self.carry()
        self.fresh()
        self.release()
        self.opinion()
        self.opened_by_authority(m.OPINION)
        self.fresh()


@pytest.fixture
def chains():
    return TwoChains()


def test_a_prescription_is_supervised_through_its_whole_life(chains):
    chains.up_to_order()
    chains.request_order()
    chains.carry()
    chains.place()
    chains.accept()
    chains.fulfil()
    chains.settle()
    storage = chains.opened_by_authority(m.SETTLE)
    chains.fresh()
    chains.deliver()
    assert chains.show().status == "closed"
    refs = chains.supervision.view(SUPERVISION, "by_subject", a.SubjectQuery(SUBJECT, 0, 10)).records
    assert [(ref.stage, ref.record) for ref in refs] == [
        (stage, chains.stage(stage).hash) for stage in (m.FILE, m.OPINION, m.SETTLE)
    ]
    assert refs[-1].record == storage
    counters = chains.supervision.view(SUPERVISION, "counters", a.Nothing())
    assert (counters.authorised, counters.granted, counters.late, counters.refused) == (3, 2, 0, 0)
    assert counters.disclosures == counters.records == 3
    assert not chains.supervision.view(kit.BRIDGE, "outbox", kit.OutboxQuery(kit.BUSINESS, 0, 10)).items


def test_sealed_records_open_for_the_authority_alone(chains):
    chains.file()
    chains.carry()
    asked = chains.asked_for(m.FILE)
    record = chains.supervision.view(SUPERVISION, "record", a.RequestQuery(chains.flow, m.FILE, 0))
    request = asked.request
    where = EnvelopeContext(asked.source, request.flow, m.FILE, request.actor, request.commitment)
    envelope = envelope_codec.decode(record.envelope)
    assert open_document(envelope, where, [chains.key(AUTHORITY)]).body == b"prescription"
    for other in (HOSPITAL, PLATFORM, PHARMACY):
        with pytest.raises(InvalidInput):
            open_document(envelope, where, [chains.key(other)])


def test_officers_authorise_by_their_own_signatures_when_the_filer_is_controlled(chains):
    chains.classify("hospital", people.CONTROLLED)
    chains.file()
    chains.opening(m.FILE)
    chains.carry()
    assert chains.show().status == "filing"
    decide = decisions.Decide(chains.decision_on(m.FILE), b"", (), b"")
    _, last = chains.officers("decide", decide, *OFFICERS[:2])
    assert (chains.show().status, chains.show().authorisation) == ("open", last)


def test_a_batch_authorises_as_many_filings_as_it_has_quota_for(chains):
    chains.classify("hospital", people.BATCH)
    batch = GrantBatch("hospital", "prescription", 1, 0, chains.supervision.time_ms + DAY_MS)
    chains.officers("grant_batch", batch, *OFFICERS[:2])
    statuses = []
    for text in ("first", "second"):
        chains.fresh()
        chains.file(text=text)
        chains.opened_by_authority(m.FILE)
        statuses.append(chains.show().status)
    assert statuses == ["open", "filing"]


def test_a_flow_stands_still_when_officers_suspend_it_and_goes_on_when_they_resume_it(chains):
    chains.up_to_order()
    suspend = decisions.ControlFlow(m.Control(chains.flow, 1, m.SUSPEND, "inspection"))
    # The order was asked for before the business chain heard of it.
    chains.request_order()
    for officer in OFFICERS[:2]:
        chains.supervision.run(chains.supervision.tx(officer, call(SUPERVISION, "control", suspend)))
    chains.carry()
    chains.fresh()
    stage = chains.stage(m.ORDER)
    assert (stage.status, stage.reason) == ("refused", codes.FLOW_SUSPENDED)
    chains.request_order("flow_suspended")
    resume = decisions.ControlFlow(m.Control(chains.flow, 2, m.RESUME, "inspected"))
    chains.officers("control", resume, *OFFICERS[1:])
    chains.fresh()
    chains.request_order()
    chains.carry()
    assert chains.stage(m.ORDER).status == "granted"


def test_a_review_is_refused_with_its_reason_when_the_reviewer_is_unknown_to_the_regulator(chains):
    chains.file()
    chains.opened_by_authority(m.FILE)
    chains.request_review(by=flow_world.OTHER_REVIEWER)
    chains.carry()
    stage = chains.stage(m.REVIEW)
    assert (stage.status, stage.reason) == ("refused", codes.UNREGISTERED)


def test_an_expiry_is_heard_of_when_no_authority_decides_in_time(chains):
    chains.file()
    chains.carry()
    deadline_ms = chains.asked_for(m.FILE).request.deadline_ms
    chains.supervision.block(step_ms=deadline_ms - chains.supervision.time_ms + 1)
    assert chains.asked_for(m.FILE).status == "expired"
    chains.carry()
    stage = chains.stage(m.FILE)
    assert (stage.status, stage.reason) == ("refused", codes.EXPIRED)


def test_a_decision_counts_for_nothing_when_it_reaches_the_business_chain_too_late(chains):
    chains.file()
    chains.opening(m.FILE)
    deadline_ms = chains.asked_for(m.FILE).request.deadline_ms
    chains.business.block(step_ms=deadline_ms - chains.business.time_ms + 1)
    chains.carry()
    assert chains.stage(m.FILE).status == "expired"
    asked = chains.asked_for(m.FILE)
    assert asked.status == "late"
    flow = chains.supervision.view(SUPERVISION, "flow", a.FlowQuery(chains.flow))
    assert flow.authorisation == b""


def test_a_refusal_of_an_authority_ends_the_filing_on_the_business_chain(chains):
    chains.file()
    chains.opening(m.FILE, "ok", m.REFUSED, "document_invalid")
    chains.carry()
    stage = chains.stage(m.FILE)
    assert (stage.status, stage.reason) == ("refused", "document_invalid")
