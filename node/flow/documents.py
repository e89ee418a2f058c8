"""The documents of a flow that are made on the way: opinion, order, settlement record; all canonical JSON objects.

Each names its flow, so that an authority refuses one that belongs to another (``node.services.attestation``).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from contracts.flow.calls import PaymentRequested
from ledger.envelope_document import SALT_BYTES, SealedDocument
from ledger.errors import InvalidInput
from ledger.keys import key_text

JSON_MEDIA: Final = "application/json"
FHIR_MEDIA: Final = "application/fhir+json"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
WISHES: Final = "Deliver to the patient's door; leave nothing with neighbours."
"""Delivery wishes of an order that says no others."""


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Sorted, without white space, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def derived_salt(secret: bytes, *parts: bytes) -> bytes:
    """A document's salt that whoever has ``secret`` can make again, and nobody else can guess.

    Args:
        secret: 32 bytes.
        *parts: what tells this document from all others of the same secret.
    """
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in (b"tidegate/document-salt", *parts))
    return hmac.digest(secret, framed, "sha256")[:SALT_BYTES]


def opinion_document(salt: bytes, flow: bytes, *, approve: bool, reviewer: bytes, time_ms: int) -> SealedDocument:
    """A reviewer's opinion: flow, decision, reviewer, time."""
    body = {
        "decision": APPROVED if approve else REJECTED,
        "flow": flow.hex(),
        "reviewer": key_text(reviewer),
        "time_ms": time_ms,
    }
    return SealedDocument(salt, JSON_MEDIA, canonical_json(body))


def order_document(
    salt: bytes, flow: bytes, pharmacy: bytes, document: bytes, *, wishes: str = WISHES
) -> SealedDocument:
    """An order: the masked document, whom it is for, and how it shall be delivered.

    Args:
        salt: 32 bytes.
        flow: id.
        pharmacy: the only one that may open it.
        document: the masked document; embedded as it is when it is JSON, else as hex.
        wishes: for the delivery.
    """
    try:
        content: Any = json.loads(document)
    except (ValueError, RecursionError):
        content = document.hex()
    body = {"document": content, "flow": flow.hex(), "pharmacy": key_text(pharmacy), "wishes": wishes}
    return SealedDocument(salt, JSON_MEDIA, canonical_json(body))


def settlement_document(salt: bytes, payment: PaymentRequested, *, claim: str = "") -> SealedDocument:
    """A settlement record: what was paid by whom, item by item, for which claim. Amounts are minor units."""
    body = {
        "asset": payment.asset,
        "authorisation": payment.authorisation.hex(),
        "claim": claim,
        "flow": payment.flow.hex(),
        "items": [
            {"coverage": item.coverage, "drug_code": item.drug_code, "price_minor": item.price_minor}
            for item in payment.items
        ],
        "patient": key_text(payment.patient),
        "patient_share": payment.patient_share,
        "payer": key_text(payment.payer) if payment.payer else "",
        "pharmacy": key_text(payment.pharmacy),
        "reimbursed": payment.reimbursed,
        "total": payment.total,
    }
    return SealedDocument(salt, JSON_MEDIA, canonical_json(body))


def masked_body(document: SealedDocument, paths: tuple[str, ...]) -> bytes:
    """What anyone but the authorities may see of a document: FHIR without direct identifiers, anything else as it is.

    Args:
        document: as it is sealed to the authorities.
        paths: the flow kind's ``masked``.

    Raises:
        InvalidInput: ``mask_invalid``; ``document_not_maskable``: something is to be masked and it is not JSON.
    """
    if not paths:
        return document.body
    from node.fhir.masking import mask_document  # noqa: PLC0415 - only where something is masked

    try:
        return mask_document(document.body, paths)
    except InvalidInput as error:
        if error.code == "fhir_json_invalid":
            raise InvalidInput(
                "documents of this flow kind are masked, so they are JSON objects", code="document_not_maskable"
            ) from error
        raise
