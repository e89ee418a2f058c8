"""Both sides as they really are: contract ``flow`` and contract ``supervision``, with a relay between them."""

from __future__ import annotations

import pytest

from contracts import decisions
from contracts.decisions import Decide
from contracts.expression.attributes import from_mapping
from contracts.flow import kinds
from contracts.messages import Control
from contracts.registry import participants as people
from contracts.supervision.state import load_request
from ledger.encoding import encode
from ledger.state import contract_prefix
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import Chain, call
from tests.contracts.flow import world as w
from tests.contracts.flow.world import AUTHORITY, OFFICERS, OTHER_REVIEWER, SUPERVISION, World

SUBJECT = b"p" * 32
PARTICIPANTS = {
    w.HOSPITAL: people.HOSPITAL,
    w.PLATFORM: people.PLATFORM,
    w.REVIEWER: people.REVIEWER,
    w.PHARMACY: people.PHARMACY,
    w.OTHER_PHARMACY: people.PHARMACY,
    w.PAYER: people.PAYER,
}


class Supervised(World):
    """The same parties under the real supervision chain."""

    def regulator(self) -> Chain:
        chain = Chain(
            "supervision",
            people=w.REGULATORS,
            kinds=("keyring", "registry", "rules", SUPERVISION),
            policies={"officers": w.OFFICERS_LOCK, "authorities": w.AUTHORITIES_LOCK},
        )
        for key, kind in PARTICIPANTS.items():
            organisation = w.PEOPLE[key][0]
            active = people.Participant(
                key.public, organisation, kind, people.ACTIVE, bytes(32), bytes(32), key.public, 0, b"", 0, ""
            )
            write(chain, people.participant_key(key.public), active)
            write(chain, people.class_key(organisation), people.ControlClass(organisation, people.FULL, 1, 0))
        return chain

    def request(self, stage: str, flow: bytes = b""):
        context = self.supervision.context(SUPERVISION)
        view = self.stage(stage)
        record = load_request(context.state, flow or self.flow, stage, view.attempt)
        assert record is not None, f"{stage} was not asked for"
        return record.request

    def decide(self, stage: str, code: str = "ok", /, *, by=(AUTHORITY,), **changes) -> bytes:
        """An authority opens and attests; officers only sign."""
        self.carry()
        attests = by == (AUTHORITY,)
        opened = self.request(stage).envelope if attests else b""
        filed = attests and stage == "file"
        attributes = from_mapping({"drugs": ("860975",)}) if filed else ()
        subject = SUBJECT if filed else b""
        decided = Decide(self.decision(stage, **changes), subject, attributes, opened)
        made = self.supervision.tx(by[0], call(SUPERVISION, "decide", decided), cosigners=by[1:])
        self.supervision.run(made)
        self.carry()
        assert code == "ok"
        if stage == "file":
            self.authorisation = self.show().authorisation
        return bytes(made.tx_id)

    def grant(self, stage: str, code: str = "ok", /, **changes) -> None:
        self.carry()


def write(chain: Chain, key: bytes, record) -> None:
    chain.state.apply({contract_prefix("registry") + key: encode(record)})


@pytest.fixture
def world():
    return Supervised()


def test_a_prescription_goes_through_both_chains(world):
    world.file()
    assert world.decide("file") == world.authorisation
    world.request_review()
    world.grant("review")
    assert world.stage("review").status == "granted"
    world.release()
    world.opinion()
    assert world.decide("opinion") == world.stage("opinion").hash
    world.request_order()
    world.grant("order")
    world.place()
    world.accept()
    world.fulfil()
    world.settle()
    assert world.decide("settle") == world.stage("settle").hash
    world.deliver()
    assert world.show().status == "closed"
    assert world.balance(w.PHARMACY) == w.PRICE


def test_an_unregistered_reviewer_is_refused_with_a_reason(world):
    world.authorised()
    world.request_review(by=OTHER_REVIEWER)
    world.carry()
    assert world.stage("review").status == "refused"
    assert world.stage("review").reason.startswith("supervision_")
    world.request_review()
    world.grant("review")
    world.release()


def test_a_controlled_organisations_filing_waits_for_officers(world):
    write(
        world.supervision,
        people.class_key("hospital"),
        people.ControlClass("hospital", people.CONTROLLED, 2, 0),
    )
    world.file()
    world.decide("file")
    assert world.show().status == "filing"
    # Two officers, one after the other: the second one's transaction is the authorising one.
    world.decide("file", by=OFFICERS[:1])
    assert world.show().status == "filing"
    authorisation = world.decide("file", by=OFFICERS[1:2])
    assert (world.show().status, world.authorisation) == ("open", authorisation)


def test_officers_suspend_and_resume(world):
    world.authorised()
    for counter, action in ((1, "suspend"), (2, "resume")):
        said = decisions.ControlFlow(Control(world.flow, counter, action, "under_inspection"))
        for officer in OFFICERS[:2]:
            world.supervision.run(world.supervision.tx(officer, call(SUPERVISION, "control", said)))
        world.carry()
        assert world.show().suspended == (action == "suspend")
    world.request_review()


def test_a_refused_document_is_refused_for_good(world):
    world.file()
    world.carry()
    world.decide("file", outcome="refused", reason="commitment_mismatch")
    assert (world.show().status, world.stage("file").reason) == ("refused", "commitment_mismatch")
    world.file("flow_filed_already")


def test_a_request_that_came_too_late_is_made_again():
    world = Supervised()
    world.define(kinds.prescription(deadline_ms=60_000), version=2)
    world.file()
    world.supervision.block(step_ms=120_000)
    kit.settle(world.business, world.supervision)
    assert world.show().status == "expired"
    world.wait(180_000)
    world.file()
    world.decide("file")
    assert world.show().status == "open"
