"""What an authority reads in an opened document: the subject, and the attributes that rules look at (PROTOCOL.md 2).

An authority attests only what it has read itself: a document that does not pass every check is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from contracts.expression.attributes import Attribute, attributes_codec
from contracts.flow.kinds import PRESCRIPTION
from contracts.messages import FILE, OPINION, SETTLE, StageRequest
from ledger.encoding import encode
from ledger.envelope_document import SealedDocument, pseudonym
from ledger.errors import InvalidInput
from node.flow.documents import APPROVED, REJECTED

DOCUMENT_INVALID: Final = "document_invalid"
DOCUMENT_WRONG: Final = "document_of_another_flow"
DOCUMENT_CONTRADICTS: Final = "document_contradicts"
FHIR_MEDIA: Final = "application/fhir+json"
JSON_MEDIA: Final = "application/json"
DRUGS: Final = "drugs"
"""The attribute with the drug codes; lists of subject–drug pairs and statistics look at it."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """What was read.

    Attributes:
        subject: pseudonym, 32 bytes; empty where the document is about no person.
        attributes: sorted by name.
    """

    subject: bytes
    attributes: tuple[Attribute, ...]


def attest(request: StageRequest, document: SealedDocument, pseudonym_key: bytes) -> Attestation:
    """Reads an opened document.

    Args:
        request: what it came with.
        document: as it was inside; its commitment is checked already.
        pseudonym_key: 32 bytes that only authorities have.

    Raises:
        InvalidInput: ``document_invalid``, ``document_of_another_flow``, or ``document_contradicts`` where an opinion
            or a settlement is another one than the chain says; never quotes the document.
    """
    if request.stage == FILE and request.kind == PRESCRIPTION:
        return _prescription(document, pseudonym_key)
    content = _read_object(document)
    # What stands for something on chain (a settlement request) names that; every other later document names its flow.
    if request.subject and content.get("request") != request.subject.hex():
        raise InvalidInput("the document names another settlement request", code=DOCUMENT_WRONG)
    if request.stage != FILE:
        if not request.subject and content.get("flow") != request.flow.hex():
            raise InvalidInput("the document names another flow", code=DOCUMENT_WRONG)
        if request.stage == OPINION and content.get("decision") != (APPROVED if request.approves else REJECTED):
            raise InvalidInput(
                "the opinion says something else than the business chain was told", code=DOCUMENT_CONTRADICTS
            )
        if request.stage == SETTLE and not request.subject and _paid(content) != (request.asset, request.amount):
            raise InvalidInput("the record says another sum than was paid", code=DOCUMENT_CONTRADICTS)
        return Attestation(b"", ())
    subject = content.get("subject_id", "")
    if not isinstance(subject, str):
        raise InvalidInput("subject_id is text", code=DOCUMENT_INVALID)
    return Attestation(pseudonym(subject, pseudonym_key) if subject else b"", _attributes(content))


def _prescription(document: SealedDocument, pseudonym_key: bytes) -> Attestation:
    from node.fhir.document import read_document  # noqa: PLC0415 - brings the FHIR models: a quarter of a second

    try:
        found = read_document(document.body)
    except InvalidInput as error:
        raise InvalidInput(f"not a prescription: {error.code}", code=DOCUMENT_INVALID) from error
    values: dict[str, Any] = {
        "authored_on": found.authored_on[:32],
        "coverage": found.coverage,
        "currency": found.currency,
        DRUGS: (found.drug_code,),
        "items": len(found.items),
        "prescriber": found.requester_npi or found.requester_id,
        "provider": found.provider_id,
        "total_minor": found.claim_total_minor,
    }
    return Attestation(
        pseudonym(found.id_number, pseudonym_key), tuple(Attribute(name, values[name]) for name in sorted(values))
    )


def _paid(content: dict[str, Any]) -> tuple[Any, Any]:
    total = content.get("total")
    return content.get("asset"), None if isinstance(total, bool) else total


def _read_object(document: SealedDocument) -> dict[str, Any]:
    try:
        content = json.loads(document.body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("not JSON", code=DOCUMENT_INVALID) from error
    if not isinstance(content, dict):
        raise InvalidInput("not a JSON object", code=DOCUMENT_INVALID)
    return content


def _attributes(content: dict[str, Any]) -> tuple[Attribute, ...]:
    given = content.get("attributes", {})
    if not isinstance(given, dict):
        raise InvalidInput("attributes is an object", code=DOCUMENT_INVALID)
    found = tuple(
        Attribute(name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(given.items())
    )
    try:
        return attributes_codec.decode(encode(found))
    except (InvalidInput, TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(
            "an attribute is neither truth value, whole number, text nor texts", code=DOCUMENT_INVALID
        ) from error
