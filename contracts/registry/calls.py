"""Arguments, results and events of the registry."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.messages import Hash, Key
from contracts.registry.participants import ControlClass, Organisation, Participant, Reason
from ledger.encoding import Record
from ledger.types import MAX_HEIGHT

MAX_DOCUMENT_BYTES: Final = 64 * 1024
"""Bytes of an identity envelope."""
MAX_PAGE: Final = 200

_Word = Annotated[str, Meta(min_length=1, max_length=16)]
_Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class Register(Record, frozen=True):
    """Registers a key of the business chain with a sealed identity document.

    Attributes:
        key: signing key on the business chain.
        organisation: who answers for it.
        kind: from ``PARTICIPANT_KINDS``.
        commitment: salted commitment of the document inside.
        document: canonical bytes of an envelope to every current authority key, sealed by the sender of the
            transaction in ``participants.identity_context``.
    """

    key: Key
    organisation: Organisation
    kind: _Word
    commitment: Hash
    document: Annotated[bytes, Meta(min_length=1, max_length=MAX_DOCUMENT_BYTES)]


class Verify(Record, frozen=True):
    """What an authority says that opened the identity document.

    Attributes:
        key: of the participant.
        document: digest of the envelope that was opened.
        accepted: whether the document is what was registered.
        reason: reason code when it is not.
    """

    key: Key
    document: Hash
    accepted: bool
    reason: Reason


class KeyArguments(Record, frozen=True):
    """Names a participant."""

    key: Key


class Suspend(Record, frozen=True):
    """Suspends a participant; ``reason`` is a reason code."""

    key: Key
    reason: Annotated[str, Meta(min_length=1, max_length=64)]


class SetClass(Record, frozen=True):
    """One officer's will to put an organisation into a control class.

    Attributes:
        organisation: which.
        control_class: from ``CLASSES``.
        counter: of the change: one more than the class in force has, so that no approval outlives a change.
    """

    organisation: Organisation
    control_class: _Word
    counter: Annotated[int, Meta(ge=1, le=MAX_HEIGHT)]


class ClassOutcome(Record, frozen=True):
    """Whether the class is changed now, or how many keys have approved so far."""

    done: bool
    approvals: Annotated[int, Meta(ge=0)]


class OrganisationArguments(Record, frozen=True):
    """Names an organisation."""

    organisation: Organisation


class PageArguments(Record, frozen=True):
    """A page of participants in order of their keys.

    Attributes:
        after: key of the last one seen; empty for the first page.
        limit: at most this many are looked at.
        status: only those of this status; empty for all.
    """

    after: Annotated[bytes, Meta(max_length=33)]
    limit: _Limit
    status: Annotated[str, Meta(max_length=16)]


class ParticipantPage(Record, frozen=True):
    """Participants; ``next`` is what the next page comes after, empty at the end."""

    participants: tuple[Participant, ...]
    next: bytes


class ClassPageArguments(Record, frozen=True):
    """A page of organisations whose class was set, after ``after`` in order of their names."""

    after: Annotated[str, Meta(max_length=128)]
    limit: _Limit


class ClassPage(Record, frozen=True):
    """Control classes in order of the organisations' names."""

    classes: tuple[ControlClass, ...]


class IdentityDocument(Record, frozen=True):
    """A sealed identity document: canonical bytes of the envelope; only authorities can open it."""

    envelope: bytes


class DocumentOpened(Record, frozen=True):
    """Event ``document_opened``, for the disclosure log (PROTOCOL.md 2.5).

    Attributes:
        key: whose identity document.
        document: digest of the envelope.
        opened_by: the authority.
        accepted: what it found.
        reason: reason code of a refusal.
    """

    key: Key
    document: Hash
    opened_by: Key
    accepted: bool
    reason: Reason
