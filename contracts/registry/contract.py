"""The registry's methods and views: participants from registration to suspension, organisations' control classes.

Anyone admitted to the supervision chain as ``member`` or ``officer`` registers; an authority that opened the sealed
identity document verifies or refuses; one officer activates, suspends and reinstates; a control class needs officers
as many as policy ``officers`` says. Nobody but an authority reads an identity document.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.codes import NOT_PERMITTED, Refusal
from contracts.governance.policies import policy
from contracts.interface import CallContext, Contract, EndContext, method, view
from contracts.keyring import authority_keys
from contracts.registry import codes
from contracts.registry.calls import (
    ClassOutcome,
    ClassPage,
    ClassPageArguments,
    DocumentOpened,
    IdentityDocument,
    KeyArguments,
    OrganisationArguments,
    PageArguments,
    ParticipantPage,
    Register,
    SetClass,
    Suspend,
    Verify,
)
from contracts.registry.participants import (
    ACTIVE,
    CLASSES,
    KIND,
    PARTICIPANT_KINDS,
    REFUSED,
    REGISTERED,
    SUSPENDED,
    VERIFIED,
    ControlClass,
    Participant,
    class_codec,
    class_key,
    document_key,
    identity_context,
    participant_codec,
    participant_key,
    read_class,
    read_participant,
)
from contracts.rulebook.approvals import approvals_so_far, approve_by_signers, counting, signers_of
from ledger.encoding import digest, encode
from ledger.envelope import check_envelope, check_recipients, envelope_codec, envelope_digest
from ledger.errors import InvalidEnvelope, InvalidLock, InvalidSignature, MalformedBytes, NotFound
from ledger.keys import check_public_key, key_text
from ledger.lock import check_name

REGISTRARS: Final = frozenset({"member", "officer"})
"""Roles on the supervision chain whose keys may register: operations administrators, and the regulator itself."""
OFFICERS: Final = "officers"
AUTHORITIES: Final = "authorities"
"""Names of policies in contract ``governance``."""


class Registry(Contract):
    """See the module."""

    kind = KIND

    @method
    def register(self, context: CallContext, arguments: Register) -> None:
        """Registers a key of the business chain with an identity document sealed to the authorities."""
        if REGISTRARS.isdisjoint(context.sender.roles):
            raise Refusal(NOT_PERMITTED, f"only keys with a role of {', '.join(sorted(REGISTRARS))} register")
        _check_fields(arguments)
        _check_replaceable(context, read_participant(context, arguments.key))
        document = _check_document(context, arguments)
        now = context.block.time_ms
        _write(
            context,
            Participant(
                key=arguments.key,
                organisation=arguments.organisation,
                kind=arguments.kind,
                status=REGISTERED,
                document=document,
                commitment=arguments.commitment,
                registered_by=context.sender.key,
                registered_ms=now,
                verified_by=b"",
                changed_ms=now,
                reason="",
            ),
        )
        context.state.put(document_key(arguments.key), arguments.document)

    @method
    def verify(self, context: CallContext, arguments: Verify) -> None:
        """An authority that opened the identity document verifies the participant, or refuses it."""
        (authority, *_) = signers_of(context, policy(context, AUTHORITIES))
        found = _expect(context, arguments.key, REGISTERED)
        if arguments.document != found.document:
            raise Refusal(codes.DOCUMENT_DIFFERS, "the document on record is another one now; open that one")
        if bool(arguments.reason) == arguments.accepted:
            raise Refusal(codes.FIELD_INVALID, "a refusal has a reason code, an acceptance has none", field="reason")
        context.emit(
            "document_opened",
            DocumentOpened(arguments.key, found.document, authority, arguments.accepted, arguments.reason),
        )
        status = VERIFIED if arguments.accepted else REFUSED
        changed = msgspec.structs.replace(found, verified_by=authority)
        _change(context, changed, status, arguments.reason)

    @method
    def activate(self, context: CallContext, arguments: KeyArguments) -> None:
        """An officer lets a verified participant take part."""
        signers_of(context, policy(context, OFFICERS))
        _change(context, _expect(context, arguments.key, VERIFIED), ACTIVE)

    @method
    def suspend(self, context: CallContext, arguments: Suspend) -> None:
        """An officer suspends an active participant, at once and for every flow."""
        signers_of(context, policy(context, OFFICERS))
        _change(context, _expect(context, arguments.key, ACTIVE), SUSPENDED, arguments.reason)

    @method
    def reinstate(self, context: CallContext, arguments: KeyArguments) -> None:
        """An officer lets a suspended participant take part again."""
        signers_of(context, policy(context, OFFICERS))
        _change(context, _expect(context, arguments.key, SUSPENDED), ACTIVE)

    @method
    def set_class(self, context: CallContext, arguments: SetClass) -> ClassOutcome:
        """Puts an organisation into a control class, once as many officers want the same as the policy says."""
        _check_organisation(arguments.organisation)
        if arguments.control_class not in CLASSES:
            raise Refusal(codes.CLASS_UNKNOWN, f"known classes: {', '.join(CLASSES)}")
        now = read_class(context, arguments.organisation)
        if arguments.counter != now.counter + 1:
            raise Refusal(
                codes.CLASS_UNCHANGED,
                f"the class was changed {now.counter} times, so this change is number {now.counter + 1}",
                counter=now.counter,
            )
        if arguments.control_class == now.control_class and now.counter:
            raise Refusal(codes.CLASS_UNCHANGED, f"the organisation is in class {now.control_class} already")
        subject = digest(b"tidegate/control-class", context.block.chain_id, encode(arguments))
        lock = policy(context, OFFICERS)
        approvals = approve_by_signers(context, subject, lock)
        if approvals is None:
            return ClassOutcome(False, len(counting(context, approvals_so_far(context, subject), lock)))
        changed = ControlClass(
            arguments.organisation, arguments.control_class, arguments.counter, context.block.time_ms
        )
        context.state.put(class_key(arguments.organisation), encode(changed))
        context.emit("class_set", changed)
        return ClassOutcome(True, len(approvals))

    @view
    def participant(self, context: EndContext, arguments: KeyArguments) -> Participant:
        """One participant."""
        found = read_participant(context, arguments.key)
        if found is None:
            raise NotFound(f"no participant with key {key_text(arguments.key)}")
        return found

    @view
    def document(self, context: EndContext, arguments: KeyArguments) -> IdentityDocument:
        """The sealed identity document of a participant."""
        data = context.state.get(document_key(arguments.key))
        if data is None:
            raise NotFound(f"no participant with key {key_text(arguments.key)}")
        return IdentityDocument(data)

    @view
    def participants(self, context: EndContext, arguments: PageArguments) -> ParticipantPage:
        """The participants, page by page."""
        start = participant_key(arguments.after) + b"\x00" if arguments.after else None
        rows = list(context.state.iterate(b"p", start=start, limit=arguments.limit))
        found = [participant_codec.decode(data) for _, data in rows]
        shown = tuple(record for record in found if arguments.status in ("", record.status))
        return ParticipantPage(shown, found[-1].key if len(rows) == arguments.limit else b"")

    @view
    def control_class(self, context: EndContext, arguments: OrganisationArguments) -> ControlClass:
        """The control class of an organisation; ``batch`` with counter 0 where it was never set."""
        return read_class(context, arguments.organisation)

    @view
    def classes(self, context: EndContext, arguments: ClassPageArguments) -> ClassPage:
        """The organisations whose class was set, page by page."""
        start = class_key(arguments.after) + b"\x00" if arguments.after else None
        rows = context.state.iterate(b"c", start=start, limit=arguments.limit)
        return ClassPage(tuple(class_codec.decode(data) for _, data in rows))


def _check_organisation(organisation: str) -> None:
    try:
        check_name(organisation, "organisation")
    except InvalidLock as error:
        raise Refusal(codes.FIELD_INVALID, error.message, field="organisation") from error


def _check_fields(arguments: Register) -> None:
    _check_organisation(arguments.organisation)
    if arguments.kind not in PARTICIPANT_KINDS:
        raise Refusal(codes.FIELD_INVALID, f"known kinds: {', '.join(PARTICIPANT_KINDS)}", field="kind")
    try:
        check_public_key(arguments.key)
    except InvalidSignature as error:
        raise Refusal(codes.FIELD_INVALID, error.message, field="key") from error


def _check_replaceable(context: CallContext, found: Participant | None) -> None:
    # What an authority has looked at is replaced by nobody: a suspended participant does not come back by registering.
    if found is None or found.status == REFUSED:
        return
    if found.status != REGISTERED:
        raise Refusal(codes.KEY_TAKEN, f"this key is {found.status} already", status=found.status)
    registrar = context.directory.member(found.registered_by)
    same = registrar is not None and registrar.organisation == context.sender.organisation
    if registrar is not None and not same and "officer" not in context.sender.roles:
        raise Refusal(codes.KEY_TAKEN, "another organisation has registered this key, and it waits for an authority")


def _check_document(context: CallContext, arguments: Register) -> bytes:
    keys = authority_keys(context)
    if not keys:
        raise Refusal(codes.AUTHORITY_KEYS_MISSING, "no authority has published an encryption key yet")
    sealed_in = identity_context(
        context.block.chain_id,
        arguments.key,
        arguments.organisation,
        arguments.kind,
        context.sender.key,
        arguments.commitment,
    )
    try:
        envelope = envelope_codec.decode(arguments.document)
        check_envelope(envelope, sealed_in)
    except (InvalidEnvelope, MalformedBytes) as error:
        raise Refusal(codes.DOCUMENT_INVALID, error.message, why=error.code) from error
    try:
        check_recipients(envelope, [key for _, key in keys])
    except InvalidEnvelope as error:
        raise Refusal(codes.DOCUMENT_UNSEALED, error.message, why=error.code) from error
    return envelope_digest(envelope)


def _expect(context: CallContext, key: bytes, status: str) -> Participant:
    found = read_participant(context, key)
    if found is None:
        raise Refusal(codes.PARTICIPANT_UNKNOWN, "no participant has this key")
    if found.status != status:
        raise Refusal(codes.STATUS_WRONG, f"the participant is {found.status}, not {status}", status=found.status)
    return found


def _change(context: CallContext, found: Participant, status: str, reason: str = "") -> None:
    _write(context, msgspec.structs.replace(found, status=status, reason=reason, changed_ms=context.block.time_ms))


def _write(context: CallContext, changed: Participant) -> None:
    context.state.put(participant_key(changed.key), encode(changed))
    context.emit(changed.status, changed)
