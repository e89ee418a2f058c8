"""What the registry keeps of participants and organisations, and how other contracts ask for it (PROTOCOL.md 2.2, 2.4).

p ‖ key            Participant
d ‖ key            the identity envelope's bytes
c ‖ organisation   ControlClass
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.interface import EndContext
from contracts.messages import Hash, Key, KeyOrNothing, Time
from ledger.encoding import Codec, Record, digest
from ledger.envelope import EnvelopeContext
from ledger.types import MAX_HEIGHT, Hash32

KIND: Final = "registry"

PLATFORM: Final = "platform"
HOSPITAL: Final = "hospital"
REVIEWER: Final = "reviewer"
PHARMACY: Final = "pharmacy"
PAYER: Final = "payer"
INSURER: Final = "insurer"
OTHER: Final = "other"
PARTICIPANT_KINDS: Final = (PLATFORM, HOSPITAL, REVIEWER, PHARMACY, PAYER, INSURER, OTHER)

REGISTERED: Final = "registered"
VERIFIED: Final = "verified"
REFUSED: Final = "refused"
ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
STATUSES: Final = (REGISTERED, VERIFIED, REFUSED, ACTIVE, SUSPENDED)
"""``registered`` → ``verified`` or ``refused`` by an authority; ``verified`` → ``active`` ⇄ ``suspended`` by officers.
Only an ``active`` participant takes part. ``refused`` may be registered anew."""

FULL: Final = "full"
CONTROLLED: Final = "controlled"
BATCH: Final = "batch"
CLASSES: Final = (FULL, CONTROLLED, BATCH)
DEFAULT_CLASS: Final = BATCH

IDENTITY_STAGE: Final = "identity"
"""Stage in the context of identity envelopes."""

Organisation = Annotated[str, Meta(min_length=1, max_length=128)]
Reason = Annotated[str, Meta(max_length=64)]
_Word = Annotated[str, Meta(min_length=1, max_length=16)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Participant(Record, frozen=True):
    """Who takes part in supervised flows, by its key on the business chain.

    Attributes:
        key: signing key on the business chain.
        organisation: who answers for it.
        kind: from ``PARTICIPANT_KINDS``.
        status: from ``STATUSES``.
        document: ``envelope_digest`` of the sealed identity document.
        commitment: salted commitment of the document inside.
        registered_by: who registered it and sealed the document; a key of the supervision chain.
        registered_ms: block time of that.
        verified_by: authority that opened the document; empty before.
        changed_ms: block time of the last change of status.
        reason: reason code of the last refusal or suspension; empty otherwise.
    """

    key: Key
    organisation: Organisation
    kind: _Word
    status: _Word
    document: Hash
    commitment: Hash
    registered_by: Key
    registered_ms: Time
    verified_by: KeyOrNothing
    changed_ms: Time
    reason: Reason


class ControlClass(Record, frozen=True):
    """How strictly an organisation is supervised (PROTOCOL.md 2.2).

    Attributes:
        organisation: which.
        control_class: from ``CLASSES``.
        counter: counts its changes from 1; 0 where it was never set.
        changed_ms: block time of the last.
    """

    organisation: Organisation
    control_class: _Word
    counter: _Height
    changed_ms: Time


participant_codec = Codec(Participant, 1_024, "participant")
class_codec = Codec(ControlClass, 1_024, "control class")


def participant_key(key: bytes) -> bytes:
    """State key of a participant."""
    return b"p" + key


def document_key(key: bytes) -> bytes:
    """State key of a participant's identity envelope."""
    return b"d" + key


def class_key(organisation: str) -> bytes:
    """State key of an organisation's control class."""
    return b"c" + organisation.encode()


def read_participant(context: EndContext, key: bytes) -> Participant | None:
    """The participant with ``key``, or None; ``context`` is the registry's own."""
    data = context.state.get(participant_key(key))
    return None if data is None else participant_codec.decode(data)


def read_class(context: EndContext, organisation: str) -> ControlClass:
    """The control class of ``organisation``; ``context`` is the registry's own."""
    data = context.state.get(class_key(organisation))
    return ControlClass(organisation, DEFAULT_CLASS, 0, 0) if data is None else class_codec.decode(data)


def participant(context: EndContext, key: bytes) -> Participant | None:
    """The participant whose key on the business chain is ``key``, whatever its status, or None.

    Args:
        context: of any contract of a chain that has a registry.
        key: 33 bytes.

    Raises:
        Refusal: ``contract_unknown``: the chain has none.
    """
    return read_participant(context.enter_kind(KIND), key)


def control_class(context: EndContext, organisation: str) -> str:
    """``full``, ``controlled`` or ``batch``; the last where officers have not said otherwise. As ``participant``."""
    return read_class(context.enter_kind(KIND), organisation).control_class


def identity_context(
    chain_id: bytes, key: bytes, organisation: str, kind: str, sender: bytes, commitment: bytes
) -> EnvelopeContext:
    """The context that an identity document is sealed in: it fits this chain, participant and sender only.

    Args:
        chain_id: of the supervision chain.
        key: the participant's, on the business chain.
        organisation: as registered.
        kind: as registered.
        sender: who seals and registers; a key of the supervision chain.
        commitment: of the document.
    """
    name = digest(b"tidegate/identity", chain_id, key, organisation.encode(), kind.encode())
    return EnvelopeContext(Hash32(chain_id), name, IDENTITY_STAGE, sender, commitment)
