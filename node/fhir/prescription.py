"""What the flow needs of one prescription: the facts, the priced items, and the document that is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from node.fhir.masking import DEFAULT_MASK, mask_document

MAX_DOCUMENT_BYTES: Final = 40 * 1024
"""Of a prescription's document, before sealing."""
COVERAGES: Final = ("medicare", "medicaid", "private", "dual_eligible", "no_insurance")
"""The coverages that the table of ratios knows (PROTOCOL.md 2)."""
_HEAD: Final = b'{"entry":['
_TAIL: Final = b'],"resourceType":"Bundle","type":"collection"}'


@dataclass(frozen=True, slots=True)
class Item:
    """A priced item of the order.

    Attributes:
        sequence: as the claim numbers it, from 1.
        description: what is charged for, in words; may be empty.
        drug_code: the prescription's drug: ratios go by it (PROTOCOL.md 2).
        price_minor: minor units of the claim's currency, 1 … 2⁶³−1.
    """

    sequence: int
    description: str
    drug_code: str
    price_minor: int


@dataclass(frozen=True, slots=True)
class Prescription:
    """A ``MedicationRequest`` with its ``Claim``, checked, and everything of theirs that resolved.

    Attributes:
        request_id: id of the ``MedicationRequest``.
        claim_id: id of the ``Claim``.
        patient_id: id of the ``Patient``: an id inside the data, not the ID number.
        id_number: what the subject's pseudonym is made from; empty when read from a masked document. Never logged.
        drug_code: of ``drug_system`` when that is not empty.
        drug_system: URI of the code system, or empty.
        drug_text: name of the drug for people, or empty.
        requester_id: id of the ``Practitioner`` (or ``Organization``) that prescribed.
        requester_npi: its National Provider Identifier, or empty.
        provider_id: id of the ``Organization`` (or ``Practitioner``) of the claim.
        provider_name: its name, or empty.
        coverage: one of ``COVERAGES``.
        items: at least one.
        claim_total_minor: the claim's total, minor units; the items' sum where the claim has none.
        currency: ISO 4217 code.
        authored_on: FHIR dateTime as written, or empty.
        file: name of the file that the request stands in.
        line: its line there, from 1.
        resources: canonical JSON of request, claim, patient, requester and provider, shared between prescriptions.
    """

    request_id: str
    claim_id: str
    patient_id: str
    id_number: str = field(repr=False)
    drug_code: str
    drug_system: str
    drug_text: str
    requester_id: str
    requester_npi: str
    provider_id: str
    provider_name: str
    coverage: str
    items: tuple[Item, ...]
    claim_total_minor: int
    currency: str
    authored_on: str
    file: str
    line: int
    resources: tuple[bytes, ...] = field(repr=False)

    @property
    def document(self) -> bytes:
        """The document for the authorities: canonical JSON of a FHIR ``Bundle`` (``collection``), at most 40 KiB.

        Its entries are the resources, without narratives. It is put together anew at each call.
        """
        return assemble(self.resources)

    def masked(self, paths: Sequence[str] = DEFAULT_MASK) -> bytes:
        """The document for anyone else: the same with direct identifiers masked.

        Args:
            paths: the flow kind's mask list (node/fhir/masking.py).
        """
        return mask_document(self.document, paths)


def assemble(resources: Sequence[bytes]) -> bytes:
    """Canonical JSON of the ``Bundle`` whose entries are ``resources``, each canonical JSON itself."""
    return b"".join((_HEAD, b",".join(b'{"resource":' + each + b"}" for each in resources), _TAIL))


def assembled_size(resources: Sequence[bytes]) -> int:
    """Bytes of what ``assemble`` would give."""
    return len(_HEAD) + len(_TAIL) + sum(len(each) + 14 for each in resources) - 1
