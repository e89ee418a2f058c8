"""Envelopes count only where they were sealed for, for all who must open them, with their current keys."""

from msgspec.structs import replace

from contracts.decisions import Publish
from contracts.flow import calls
from contracts.messages import KeyNotice
from ledger.envelope import CHACHA20_POLY1305, commitment_of
from tests.contracts.bridge.kit import MEMBER, call
from tests.contracts.flow.world import (
    AUTHORITY,
    HOSPITAL,
    OTHER_PHARMACY,
    PATIENT,
    PAYER,
    PHARMACY,
    PLATFORM,
    REVIEWER,
    SECOND_AUTHORITY,
    World,
    document,
)

FOREIGN, RECIPIENTS, EPOCH = "flow_envelope_foreign", "flow_envelope_recipients", "flow_envelope_epoch"


def test_a_filing_is_refused_when_its_envelope_is_of_another_flow_stage_sender_or_document():
    world = World()
    good = world.filing()
    made = document("prescription")
    for changes in (
        {"flow": b"f" * 32},
        {"stage": "opinion"},
        {"chain_id": bytes(world.supervision.chain_id)},
        {"commitment": b"c" * 32},
    ):
        moved = world.seal(made, **({"stage": "file", "sender": HOSPITAL} | changes))
        world.call(HOSPITAL, "file", replace(good, envelope=moved), FOREIGN)
    by_another = world.seal(made, "file", PLATFORM)
    world.call(HOSPITAL, "file", replace(good, envelope=by_another), FOREIGN)
    world.call(HOSPITAL, "file", good)


def test_the_envelope_of_one_flow_is_no_envelope_of_another():
    world = World()
    first = world.filing()
    second = world.filing("second")
    world.call(HOSPITAL, "file", replace(second, envelope=first.envelope), FOREIGN)
    world.call(HOSPITAL, "file", replace(second, document=first.document), FOREIGN)


def test_the_copy_for_the_platform_cannot_stand_for_the_envelope_of_the_authorities():
    world = World()
    good = world.filing()
    assert good.document is not None
    world.call(HOSPITAL, "file", replace(good, envelope=good.document), FOREIGN)
    world.call(HOSPITAL, "file", replace(good, document=good.envelope), FOREIGN)


def test_a_filing_is_refused_when_a_recipient_was_stripped_or_left_out():
    world = World()
    world.publish(SECOND_AUTHORITY)
    made = document("prescription")
    world.flow = calls.flow_id(world.business.chain_id, HOSPITAL.public, commitment_of(made))
    both = world.seal(made, "file", HOSPITAL, AUTHORITY, SECOND_AUTHORITY)
    filing = replace(world.filing(), envelope=both)
    stripped = replace(both, stanzas=both.stanzas[:1])
    world.call(HOSPITAL, "file", replace(filing, envelope=stripped), FOREIGN)
    for_one = world.seal(made, "file", HOSPITAL, AUTHORITY)
    world.call(HOSPITAL, "file", replace(filing, envelope=for_one), RECIPIENTS)
    world.call(HOSPITAL, "file", filing)


def test_a_filing_is_refused_when_it_is_sealed_to_a_key_that_was_rotated():
    world = World()
    old = world.filing()
    world.publish(AUTHORITY)
    world.call(HOSPITAL, "file", old, EPOCH)
    world.call(HOSPITAL, "file", world.filing())
    world.carry()
    assert world.request("file").envelope_epoch == 2


def test_a_filing_is_refused_when_the_platforms_key_was_rotated_or_is_missing():
    world = World()
    old = world.filing()
    world.publish(PLATFORM)
    world.call(HOSPITAL, "file", old, EPOCH)
    without_key = replace(world.filing(), platform=MEMBER.public)
    world.call(HOSPITAL, "file", without_key, "flow_key_missing")


def test_a_filing_is_refused_while_no_authority_has_a_key():
    world = World()
    retired = KeyNotice(AUTHORITY.public, 1, 2, b"r", True)
    world.supervision.run(world.supervision.tx(AUTHORITY, call("keyring", "publish", Publish(retired))))
    world.carry()
    world.file("flow_key_missing")


def test_a_document_for_the_platform_is_for_the_platform_alone():
    world = World()
    made = document("prescription")
    good = world.filing()
    shared = world.seal(made, "file_copy", HOSPITAL, PLATFORM, PHARMACY)
    world.call(HOSPITAL, "file", replace(good, document=shared), RECIPIENTS)
    other = world.seal(made, "file_copy", HOSPITAL, PHARMACY)
    world.call(HOSPITAL, "file", replace(good, document=other), RECIPIENTS)


def test_an_envelope_is_refused_when_its_form_is_wrong_or_it_is_too_large():
    world = World()
    good = world.filing()
    assert good.envelope.suite == CHACHA20_POLY1305
    world.call(HOSPITAL, "file", replace(good, envelope=replace(good.envelope, suite=9)), "flow_envelope_invalid")
    stanza = good.envelope.stanzas[0]
    wide = tuple(replace(stanza, recipient=bytes([i]) * 32, suite=2, wrapped=bytes(512)) for i in range(1, 33))
    large = replace(good.envelope, ciphertext=bytes(48 * 1024), stanzas=wide)
    world.call(HOSPITAL, "file", replace(good, envelope=large), "flow_envelope_oversized")


def test_a_release_is_for_exactly_the_reviewer():
    world = World().granted()
    commitment = commitment_of(document("prescription"))
    shared = world.seal("masked", "release", PLATFORM, REVIEWER, OTHER_PHARMACY, commitment=commitment)
    world.release(RECIPIENTS, envelope=shared)
    wrong = world.seal("masked", "release", PLATFORM, REVIEWER)
    world.release(FOREIGN, envelope=wrong)
    old = world.seal("masked", "release", PLATFORM, REVIEWER, commitment=commitment)
    world.publish(REVIEWER)
    world.release(EPOCH, envelope=old)
    world.release()


def test_an_opinion_is_sealed_to_authorities_and_platform():
    world = World().released()
    made = document("opinion")
    commitment = commitment_of(made)
    envelope, copy = world.seal(made, "opinion", REVIEWER), world.seal(made, "opinion_copy", REVIEWER, PLATFORM)
    good = calls.Opinion(world.flow, True, commitment, envelope, copy)
    for_pharmacy = world.seal(made, "opinion", REVIEWER, PHARMACY)
    copy_for_pharmacy = world.seal(made, "opinion_copy", REVIEWER, PHARMACY)
    world.call(REVIEWER, "opinion", replace(good, envelope=None), RECIPIENTS)
    world.call(REVIEWER, "opinion", replace(good, envelope=for_pharmacy), RECIPIENTS)
    world.call(REVIEWER, "opinion", replace(good, copy=copy_for_pharmacy), RECIPIENTS)
    world.call(REVIEWER, "opinion", replace(good, commitment=b"c" * 32), FOREIGN)
    world.call(REVIEWER, "opinion", good)


def test_an_order_is_sealed_to_the_granted_pharmacy_alone():
    world = World().orderable()
    world.place(RECIPIENTS, to=OTHER_PHARMACY)
    world.place(RECIPIENTS, also=(OTHER_PHARMACY,))
    world.place(RECIPIENTS, also=(PATIENT,))
    world.place(FOREIGN, text="another order")
    world.publish(PHARMACY)
    world.place()
    assert b"order" in world.opened("order", PHARMACY)


def test_a_settlement_record_is_sealed_to_authorities_platform_pharmacy_and_payer():
    world = World().priced()
    paid = world.payment(5_100, 20_401)
    signers = {"cosigners": (PATIENT, PAYER)}
    good = world.settlement()
    short = world.settlement("settlement", PATIENT, PLATFORM, PHARMACY)
    world.call(PATIENT, "settle", short, RECIPIENTS, **signers, **paid)
    long = world.settlement("settlement", PATIENT, PLATFORM, PHARMACY, PAYER, OTHER_PHARMACY)
    world.call(PATIENT, "settle", long, RECIPIENTS, **signers, **paid)
    world.call(PATIENT, "settle", replace(good, envelope=None), RECIPIENTS, **signers, **paid)
    world.call(PATIENT, "settle", replace(good, envelope=good.copy), FOREIGN, **signers, **paid)
    assert world.balance(PHARMACY) == 0
    world.call(PATIENT, "settle", good, **signers, **paid)
