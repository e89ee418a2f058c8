"""Who may take part: registered with a sealed document, verified by who opened it, let in and suspended by officers."""

from __future__ import annotations

import pytest

from contracts import codes as common
from contracts.executor import BlockExecution
from contracts.interface import EndContext
from contracts.registry import codes
from contracts.registry.calls import DocumentOpened, KeyArguments, Verify
from contracts.registry.participants import control_class, identity_context, participant
from contracts.rulebook.approvals import APPROVALS
from ledger.admission import Revocation, sign_revocation
from ledger.encoding import Codec
from ledger.envelope import envelope_codec, envelope_digest
from ledger.errors import NotFound
from ledger.sealing import DecryptionKey, open_envelope
from ledger.state import Overlay, contract_prefix
from tests.contracts.bench import ALICE, AUTHORITY, BOB, CAROL, START_MS
from tests.contracts.registry.people import (
    COURIER,
    EYES,
    OTHER_EYES,
    PASSPORT,
    PHARMACIST,
    PLATFORM,
    RIVAL,
    People,
)


@pytest.fixture
def people() -> People:
    return People()


def context_of(people: People) -> EndContext:
    block = people.next_block()
    execution = BlockExecution(people.rules, people.state, block, sweep=False)
    return EndContext(block, "assets", Overlay(people.state), execution)


# --- registering ----------------------------------------------------------------------------------------------------


def test_participant_is_active_when_authority_and_officer_have_done_their_part(people: People) -> None:
    statuses = []
    for code in (people.register, lambda: people.verify().code, lambda: people.step("activate")):
        assert code() == "ok"
        statuses.append(people.participant().status)
    assert statuses == ["registered", "verified", "active"]
    found = participant(context_of(people), PHARMACIST)
    assert found is not None
    assert (found.organisation, found.kind, found.verified_by) == ("pharmacy one", "reviewer", EYES.public)
    assert participant(context_of(people), EYES.public) is None


def test_authorities_alone_can_open_the_document_when_it_is_on_chain(people: People) -> None:
    people.register()
    found = people.participant()
    envelope = envelope_codec.decode(people.view("registry", "document", PHARMACIST).envelope)
    assert envelope_digest(envelope) == found.document
    sealed_in = identity_context(
        people.genesis.chain_id, PHARMACIST, found.organisation, found.kind, found.registered_by, found.commitment
    )
    for own in people.private.values():
        assert PASSPORT in open_envelope(envelope, sealed_in, own)
    assert PASSPORT not in people.view("registry", "document", PHARMACIST).envelope
    assert len(envelope.stanzas) == 2


def test_registration_is_refused_when_an_authority_is_left_out(people: People) -> None:
    left_out = people.registration(recipients=(people.private[EYES.public],))
    assert people.send("registry", "register", left_out, PLATFORM).code == codes.DOCUMENT_UNSEALED


def test_registration_is_refused_when_it_is_sealed_to_an_old_key_epoch(people: People) -> None:
    old = people.registration()
    people.publish(OTHER_EYES, 2)
    assert people.send("registry", "register", old, PLATFORM).code == codes.DOCUMENT_UNSEALED
    assert people.register() == "ok"


def test_registration_is_refused_when_no_authority_has_a_key() -> None:
    people = People(publish=False)
    own = people.registration(recipients=(DecryptionKey.from_x25519(1, b"x" * 32),))
    assert people.send("registry", "register", own, PLATFORM).code == codes.AUTHORITY_KEYS_MISSING


@pytest.mark.parametrize("field", ["key", "organisation", "kind", "sender", "commitment", "chain"])
def test_registration_is_refused_when_its_document_was_sealed_for_another(field: str, people: People) -> None:
    own = people.registration()
    fields = {
        "chain_id": people.genesis.chain_id,
        "key": PHARMACIST,
        "organisation": "pharmacy one",
        "kind": "reviewer",
        "sender": PLATFORM.public,
        "commitment": own.commitment,
    }
    others = {"key": EYES.public, "organisation": "pharmacy two", "kind": "platform", "commitment": b"c" * 32}
    if field == "sender":
        # The rival sends what the platform sealed.
        assert people.send("registry", "register", own, RIVAL).code == codes.DOCUMENT_INVALID
        return
    fields |= {"chain_id": b"x" * 32} if field == "chain" else {field: others[field]}
    moved = people.registration(sealed_in=identity_context(**fields))  # type: ignore[arg-type]
    assert people.send("registry", "register", moved, PLATFORM).code == codes.DOCUMENT_INVALID


@pytest.mark.parametrize("document", [b"\x00", b"not an envelope", b"\x95\x01"])
def test_registration_is_refused_when_its_document_is_no_envelope(document: bytes, people: People) -> None:
    own = people.registration()
    broken = type(own)(own.key, own.organisation, own.kind, own.commitment, document)
    assert people.send("registry", "register", broken, PLATFORM).code == codes.DOCUMENT_INVALID


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "regulator"}, codes.FIELD_INVALID),
        ({"organisation": " pharmacy"}, codes.FIELD_INVALID),
        ({"organisation": "phar\u202emacy"}, codes.FIELD_INVALID),
        ({"key": b"\x07" + b"k" * 32}, codes.FIELD_INVALID),
    ],
)
def test_registration_is_refused_when_a_field_is_wrong(changes: dict[str, str], code: str, people: People) -> None:
    assert people.register(**changes) == code


def test_registration_is_not_permitted_when_the_sender_only_relays_or_decides(people: People) -> None:
    for sender in (COURIER, EYES):
        assert people.register(sender) == common.NOT_PERMITTED
    assert people.register(ALICE) == "ok"


def test_waiting_registration_is_replaced_by_its_organisation_or_an_officer_only(people: People) -> None:
    people.register(RIVAL)
    assert people.register(PLATFORM) == codes.KEY_TAKEN
    assert people.register(RIVAL) == "ok"
    assert people.register(ALICE) == "ok"
    assert people.participant().registered_by == ALICE.public


def test_key_is_not_registered_again_when_it_is_verified_active_or_suspended(people: People) -> None:
    people.register()
    for method, arguments in (("verify", ()), ("activate", ()), ("suspend", ("fraud",))):
        done = people.verify().code if method == "verify" else people.step(method, ALICE, *arguments)
        assert done == "ok"
        for sender in (PLATFORM, RIVAL, ALICE):
            assert people.register(sender) == codes.KEY_TAKEN
    assert people.participant().status == "suspended"


# --- verifying ------------------------------------------------------------------------------------------------------


def test_opening_a_document_is_told_to_the_disclosure_log_when_an_authority_verifies(people: People) -> None:
    people.register()
    receipt = people.verify(False, "photo_missing", OTHER_EYES)
    (event,) = [event for event in receipt.events if event.name == "document_opened"]
    told = Codec(DocumentOpened, 1_000).decode(event.data)
    assert (told.opened_by, told.document, told.accepted) == (OTHER_EYES.public, people.participant().document, False)
    assert (people.participant().status, people.participant().reason) == ("refused", "photo_missing")
    assert people.step("activate") == codes.STATUS_WRONG
    assert people.register(RIVAL) == "ok"
    assert (people.participant().status, people.participant().reason) == ("registered", "")


def test_verification_does_not_count_when_the_document_was_replaced_meanwhile(people: People) -> None:
    people.register()
    opened = people.participant().document
    people.register()
    assert people.verify(document=opened).code == codes.DOCUMENT_DIFFERS
    assert people.participant().status == "registered"


@pytest.mark.parametrize("sender", [ALICE, PLATFORM, COURIER])
def test_verification_is_not_permitted_when_the_sender_is_no_authority(sender: object, people: People) -> None:
    people.register()
    assert people.verify(by=sender).code == common.NOT_PERMITTED  # type: ignore[arg-type]


def test_verification_is_refused_when_its_words_do_not_fit(people: People) -> None:
    people.register()
    assert people.verify(True, "but").code == codes.FIELD_INVALID
    assert people.verify(False, "").code == codes.FIELD_INVALID
    assert people.verify().code == "ok"
    assert people.verify().code == codes.STATUS_WRONG


# --- officers -------------------------------------------------------------------------------------------------------


def test_officers_alone_activate_suspend_and_reinstate(people: People) -> None:
    people.register()
    people.verify()
    for method, reason in (("activate", ""), ("suspend", "fraud"), ("reinstate", "")):
        for sender in (PLATFORM, EYES):
            assert people.step(method, sender, reason) == common.NOT_PERMITTED
        assert people.step(method, CAROL, reason) == "ok"
        assert people.participant().reason == reason
    assert people.participant().status == "active"


def test_signature_of_a_revoked_officer_or_authority_is_worth_nothing_when_others_send_it(people: People) -> None:
    people.register()
    verification = Verify(PHARMACIST, people.participant().document, True, "")
    for key in (EYES, CAROL):
        signed = sign_revocation(Revocation(people.genesis.chain_id, key.public, 1_000, "key_lost"), [AUTHORITY])
        assert people.send("admission", "revoke", signed, PLATFORM).code == "ok"
    assert people.send("registry", "verify", verification, PLATFORM, EYES).code == common.NOT_PERMITTED
    assert people.send("registry", "verify", verification, OTHER_EYES).code == "ok"
    activation = KeyArguments(PHARMACIST)
    assert people.send("registry", "activate", activation, PLATFORM, CAROL).code == common.NOT_PERMITTED
    assert people.send("registry", "activate", activation, PLATFORM, BOB).code == "ok"


@pytest.mark.parametrize("method", ["activate", "suspend", "reinstate"])
def test_step_is_refused_when_the_status_is_another(method: str, people: People) -> None:
    reason = "fraud" if method == "suspend" else ""
    assert people.step(method, ALICE, reason) == codes.PARTICIPANT_UNKNOWN
    people.register()
    assert people.step(method, ALICE, reason) == codes.STATUS_WRONG


# --- classes --------------------------------------------------------------------------------------------------------


def class_of(people: People, organisation: str = "pharmacy one") -> str:
    return control_class(context_of(people), organisation)


def test_class_changes_when_two_officers_want_the_same(people: People) -> None:
    assert class_of(people) == "batch"
    for _ in range(3):
        one = people.set_class("pharmacy one", "full", 1, ALICE)
        assert (one.done, one.approvals) == (False, 1)  # type: ignore[union-attr]
    assert people.set_class("pharmacy one", "controlled", 1, BOB).done is False  # type: ignore[union-attr]
    assert people.set_class("pharmacy two", "full", 1, BOB).done is False  # type: ignore[union-attr]
    assert class_of(people) == "batch"
    assert people.set_class("pharmacy one", "full", 1, CAROL).done is True  # type: ignore[union-attr]
    assert (class_of(people), class_of(people, "pharmacy two")) == ("full", "batch")
    assert [row.organisation for row in people.view("registry", "classes", "", 10).classes] == ["pharmacy one"]


def test_class_is_not_changed_by_an_approval_of_an_earlier_change(people: People) -> None:
    people.set_class("pharmacy one", "controlled", 1, ALICE)
    people.set_class("pharmacy one", "full", 1, BOB, CAROL)
    assert people.set_class("pharmacy one", "controlled", 1, CAROL) == codes.CLASS_UNCHANGED
    assert people.set_class("pharmacy one", "controlled", 2, CAROL).done is False  # type: ignore[union-attr]
    assert class_of(people) == "full"


def test_approvals_are_forgotten_when_the_policy_was_satisfied(people: People) -> None:
    prefix = contract_prefix("registry") + APPROVALS
    people.set_class("pharmacy one", "full", 1, ALICE)
    assert len(list(people.state.iterate(prefix))) == 1
    people.set_class("pharmacy one", "full", 1, BOB)
    assert not list(people.state.iterate(prefix))


def test_class_is_refused_when_it_is_wrong_or_the_same(people: People) -> None:
    assert people.set_class("pharmacy one", "strict", 1, ALICE) == codes.CLASS_UNKNOWN
    assert people.set_class(" pharmacy", "full", 1, ALICE) == codes.FIELD_INVALID
    assert people.set_class("pharmacy one", "full", 1, PLATFORM) == common.NOT_PERMITTED
    people.set_class("pharmacy one", "full", 1, ALICE, BOB)
    assert people.set_class("pharmacy one", "full", 2, ALICE) == codes.CLASS_UNCHANGED


# --- views ----------------------------------------------------------------------------------------------------------


def test_pages_of_participants_join_when_read_one_by_one(people: People) -> None:
    keys = sorted([PHARMACIST, EYES.public, ALICE.public, BOB.public])
    for key in keys:
        assert people.register(key=key) == "ok"
    people.verify()
    for status, expected in (("", keys), ("verified", [PHARMACIST]), ("active", [])):
        found, after = [], b""
        while True:
            page = people.view("registry", "participants", after, 2, status)
            found += [record.key for record in page.participants]
            after = page.next
            if not after:
                break
        assert found == expected
    assert people.participant().registered_ms > START_MS


def test_view_says_not_found_when_nobody_has_the_key(people: People) -> None:
    for name in ("participant", "document"):
        with pytest.raises(NotFound):
            people.view("registry", name, PHARMACIST)
