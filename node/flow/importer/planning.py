"""From checked prescriptions to what will be done with each: parties, keys, salts and flow ids; nothing is sent yet."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.flow.calls import MAX_ITEMS, Item, flow_id
from ledger.envelope_document import SealedDocument, commitment_of
from ledger.errors import InvalidConfig, InvalidInput
from ledger.keys import SigningKey
from node.consortium.parties import Party, PartyBook
from node.fhir.prescription import Prescription
from node.fhir.problems import MAX_PROBLEMS, TOO_LARGE, InvalidFhir, Problem
from node.flow.documents import FHIR_MEDIA, derived_salt
from node.flow.importer.journal import Remembered
from node.flow.importer.mapping import CLASSES, choose, choose_hospital

MAX_DRUG_CODE: Final = 64
Choose = Callable[[Prescription, Sequence[Party]], Party | None]


def _nobody(prescription: Prescription, parties: Sequence[Party]) -> Party | None:
    del prescription, parties
    return None


def _approve(prescription: Prescription) -> bool:
    del prescription
    return True


@dataclass(frozen=True, slots=True)
class Steer:
    """Chooses where the mapping would do otherwise; None of a callback leaves it to the mapping.

    Attributes:
        hospital: who files.
        reviewer: who reviews.
        pharmacy: who delivers.
        approve: what the reviewer says.
        classes: hospital's name → control class where it is not ``full``; steers how many requests each gets.
    """

    hospital: Choose = _nobody
    reviewer: Choose = _nobody
    pharmacy: Choose = _nobody
    approve: Callable[[Prescription], bool] = _approve
    classes: Mapping[str, str] = field(default_factory=lambda: CLASSES)


@dataclass(frozen=True, slots=True)
class Planned:
    """One request, and who will do what for it.

    Attributes:
        prescription: as read.
        flow: id that its filing will have.
        salt: of the filed document.
        hospital: files.
        platform: gets the copy.
        reviewer: reviews, unless the chain names another one already.
        pharmacy: delivers, likewise.
        payer: reimburses, likewise.
        patient: orders and pays.
        approve: what the reviewer says.
    """

    prescription: Prescription
    flow: bytes
    salt: bytes = field(repr=False)
    hospital: Party
    platform: Party
    reviewer: Party
    pharmacy: Party
    payer: Party
    patient: SigningKey = field(repr=False)
    approve: bool

    @property
    def document(self) -> SealedDocument:
        """What is filed; put together anew at each call."""
        return SealedDocument(self.salt, FHIR_MEDIA, self.prescription.document)

    @property
    def items(self) -> tuple[Item, ...]:
        """What the pharmacy prices."""
        found = self.prescription
        return tuple(Item(item.drug_code, found.coverage, item.price_minor) for item in found.items)


def patient_key(secret: bytes, patient: str) -> SigningKey:
    """The key of a patient of the data: the same in every run of one state directory."""
    return SigningKey(hmac.digest(secret, b"tidegate/import-patient\x00" + patient.encode(), "sha256"))


def check_bounds(prescriptions: Sequence[Prescription]) -> None:
    """Refuses what the flow contract could not take.

    Raises:
        InvalidFhir: too many items in a claim, or too long a drug code, each with its line.
    """
    problems: list[Problem] = []
    for each in prescriptions:
        where = (each.file, each.line)
        if len(each.items) > MAX_ITEMS:
            why = f"its claim {each.claim_id} has {len(each.items)} items, an order has at most {MAX_ITEMS}"
            problems.append(Problem(*where, "Claim.item", why, TOO_LARGE))
        if not 1 <= len(each.drug_code) <= MAX_DRUG_CODE:
            why = f"a drug code has 1 to {MAX_DRUG_CODE} characters"
            problems.append(Problem(*where, "MedicationRequest.medicationCodeableConcept", why, TOO_LARGE))
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise InvalidFhir(*problems[:MAX_PROBLEMS])


def plan_requests(
    prescriptions: Sequence[Prescription],
    book: PartyBook,
    secret: bytes,
    chain_id: bytes,
    remembered: Remembered,
    steer: Steer,
) -> list[Planned]:
    """What will be done with each request.

    Args:
        prescriptions: distinct requests.
        book: somebody is in it for every role.
        secret: of the state directory.
        chain_id: of the business chain.
        remembered: a request that was planned before keeps its hospital, whoever has come since.
        steer: chooses.

    Raises:
        InvalidFhir: see ``check_bounds``.
        InvalidInput: ``import_document_changed``: a request was filed with other contents.
        InvalidConfig: ``parties_missing``: its hospital of an earlier run is gone.
    """
    check_bounds(prescriptions)
    patients: dict[str, SigningKey] = {}
    parties = {role: book.of_kind(role) for role in ("platform", "hospital", "reviewer", "pharmacy", "payer")}
    planned: list[Planned] = []
    for each in prescriptions:
        patient = patients.get(each.patient_id)
        if patient is None:
            patient = patients[each.patient_id] = patient_key(secret, each.patient_id)
        before = remembered.flows.get(each.request_id)
        hospital = _hospital(each, book, parties["hospital"], before, steer)
        salt = derived_salt(secret, b"file", each.request_id.encode())
        commitment = commitment_of(SealedDocument(salt, FHIR_MEDIA, each.document))
        flow = flow_id(chain_id, hospital.key, commitment)
        if before is not None and before[0] != flow.hex():
            raise InvalidInput(
                f"{each.file}, line {each.line}: request {each.request_id} was filed with other contents by an earlier "
                "run; import it as another request, or with another state directory",
                code="import_document_changed",
                file=each.file,
                line=each.line,
            )
        name = each.request_id
        planned.append(
            Planned(
                each,
                flow,
                salt,
                hospital,
                parties["platform"][0],
                steer.reviewer(each, parties["reviewer"]) or choose("reviewer", name, parties["reviewer"]),
                steer.pharmacy(each, parties["pharmacy"]) or choose("pharmacy", name, parties["pharmacy"]),
                choose("payer", name, parties["payer"]),
                patient,
                steer.approve(each),
            )
        )
    return planned


def _hospital(
    each: Prescription, book: PartyBook, hospitals: list[Party], before: tuple[str, str] | None, steer: Steer
) -> Party:
    if before is not None:
        if before[1] not in book:
            raise InvalidConfig(
                f"{book.directory} has no {before[1]!r} any more, which an earlier run filed for",
                code="parties_missing",
            )
        return book.party(before[1])
    return steer.hospital(each, hospitals) or choose_hospital(each.provider_id, hospitals, steer.classes)
