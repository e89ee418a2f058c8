"""Registering participants, verifying their identity documents, control classes (PROTOCOL.md 2.2, 2.4)."""

from __future__ import annotations

import json
from typing import Any, Final

from contracts.keyring import KeyPage, Nothing
from contracts.registry.calls import (
    ClassOutcome,
    IdentityDocument,
    KeyArguments,
    OrganisationArguments,
    Register,
    SetClass,
    Suspend,
    Verify,
)
from contracts.registry.participants import ControlClass, Participant, identity_context
from ledger.encoding import encode
from ledger.envelope import envelope_codec, envelope_digest
from ledger.envelope_document import commitment_of
from ledger.envelope_key import EncryptionKey
from ledger.errors import InvalidInput, NotFound
from ledger.keys import SigningKey
from ledger.sealing import new_document, open_document, seal
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller, result_of
from node.gateway import Gateway

CONTRACT: Final = "registry"
DOCUMENT_DIFFERS: Final = "identity_differs"


async def authority_keys(gateway: Gateway) -> list[EncryptionKey]:
    """The authorities' current encryption keys on this chain.

    Raises:
        NotFound: no authority has published one yet.
    """
    page = await gateway.view("keyring", "authorities", Nothing(), KeyPage)
    keys = [
        EncryptionKey(published.notice.suite, published.notice.epoch, published.notice.public)
        for published in page.keys
    ]
    if not keys:
        raise NotFound("no authority has published an encryption key yet")
    return keys


def identity_document(name: str, organisation: str, kind: str, key: bytes, **more: str) -> bytes:
    """An identity document: JSON that says who a key belongs to; ``more`` is what the registrar knows besides."""
    content: dict[str, Any] = {"name": name, "organisation": organisation, "kind": kind, "key": key.hex(), **more}
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


async def find_participant(gateway: Gateway, key: bytes) -> Participant | None:
    """The participant with that key on the business chain, or None."""
    try:
        return await gateway.view(CONTRACT, "participant", KeyArguments(key), Participant)
    except NotFound:
        return None


async def register(
    caller: Caller, chain_id: bytes, *, key: bytes, organisation: str, kind: str, document: bytes
) -> None:
    """Registers a participant with its identity document, sealed to the authorities.

    Args:
        caller: a member or officer of the supervision chain.
        chain_id: of the supervision chain.
        key: the participant's, on the business chain.
        organisation: who answers for it.
        kind: platform, hospital, reviewer, pharmacy, payer, insurer, other.
        document: see ``identity_document``.

    Raises:
        InvalidInput: refused; the code says why.
        NotFound: no authority has a key yet.
    """
    sealed = new_document(document, "application/json")
    commitment = commitment_of(sealed)
    context = identity_context(chain_id, key, organisation, kind, caller.key.public, commitment)
    envelope = seal(sealed, context, await authority_keys(caller.gateway), caller.key)
    await caller.call(CONTRACT, "register", Register(key, organisation, kind, commitment, encode(envelope)))


async def open_identity(
    gateway: Gateway, chain_id: bytes, key: bytes, sealing: list[DecryptionKey]
) -> tuple[Participant, dict[str, Any]]:
    """A participant and what its identity document says.

    Raises:
        NotFound: no such participant.
        InvalidInput: the document cannot be opened or read.
    """
    found = await gateway.view(CONTRACT, "participant", KeyArguments(key), Participant)
    stored = await gateway.view(CONTRACT, "document", KeyArguments(key), IdentityDocument)
    context = identity_context(chain_id, key, found.organisation, found.kind, found.registered_by, found.commitment)
    document = open_document(envelope_codec.decode(stored.envelope), context, sealing)
    content = json.loads(document.body)
    if not isinstance(content, dict):
        raise InvalidInput("the identity document is no JSON object", code="document_invalid")
    return found, content


async def verify(caller: Caller, chain_id: bytes, key: bytes, sealing: list[DecryptionKey]) -> Participant:
    """An authority opens a participant's identity document, compares it, and says on chain what it found.

    Returns:
        The participant before; refused on chain where the document says something else than the registration.
    """
    stored = await caller.gateway.view(CONTRACT, "document", KeyArguments(key), IdentityDocument)
    digest = envelope_digest(envelope_codec.decode(stored.envelope))
    reason = ""
    found = await caller.gateway.view(CONTRACT, "participant", KeyArguments(key), Participant)
    try:
        _, content = await open_identity(caller.gateway, chain_id, key, sealing)
        said = (content.get("organisation"), content.get("kind"), content.get("key"))
        if said != (found.organisation, found.kind, key.hex()):
            reason = DOCUMENT_DIFFERS
    except InvalidInput as error:
        reason = error.code
    await caller.call(CONTRACT, "verify", Verify(key, digest, not reason, reason))
    return found


async def activate(officer: Caller, key: bytes) -> None:
    """An officer lets a verified participant take part."""
    await officer.call(CONTRACT, "activate", KeyArguments(key))


async def suspend(officer: Caller, key: bytes, reason: str) -> None:
    """An officer suspends a participant."""
    await officer.call(CONTRACT, "suspend", Suspend(key, reason))


async def reinstate(officer: Caller, key: bytes) -> None:
    """An officer lets a suspended participant take part again."""
    await officer.call(CONTRACT, "reinstate", KeyArguments(key))


async def set_class(officers: list[Caller], organisation: str, control_class: str) -> bool:
    """Officers put an organisation into a control class, one after the other; True once it holds."""
    gateway = officers[0].gateway
    known = await gateway.view(CONTRACT, "control_class", OrganisationArguments(organisation), ControlClass)
    if known.control_class == control_class and known.counter:
        return True
    for officer in officers:
        outcome = await officer.call(CONTRACT, "set_class", SetClass(organisation, control_class, known.counter + 1))
        if result_of(outcome, ClassOutcome).done:
            return True
    return False


def callers(gateway: Gateway, keys: list[SigningKey]) -> list[Caller]:
    """One caller for each key."""
    return [Caller(gateway, key) for key in keys]
