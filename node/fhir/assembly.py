"""From single resources to prescriptions: ids, references, one claim for each request. The order of types matters.

Every resource is checked as it is taken and then kept as canonical JSON only, a tenth of what its objects would hold.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.fhir import strict_json
from node.fhir.facts import (
    id_number_fault,
    is_pharmacy_claim,
    note_id_number,
    read_coverage,
    read_drug,
    read_name,
    read_npi,
)
from node.fhir.models import KINDS, validate
from node.fhir.money import CURRENCY_SCALES, Prices, read_prices
from node.fhir.prescription import MAX_DOCUMENT_BYTES, Prescription, assembled_size
from node.fhir.problems import (
    CLAIM_DUPLICATE,
    CLAIM_MISSING,
    DUPLICATE_ID,
    INVALID,
    SUBJECT_DIFFERS,
    TOO_LARGE,
    TYPE_WRONG,
    Place,
    Problems,
)
from node.fhir.references import Index
from node.fhir.text import check_text, drop_narratives

_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_PRESCRIBERS: Final = ("Practitioner", "Organization")
_PROVIDERS: Final = ("Organization", "Practitioner")


@dataclass(frozen=True, slots=True)
class _Patient:
    place: Place
    id_number: str
    fault: str
    json: bytes


@dataclass(frozen=True, slots=True)
class _Party:
    id: str
    npi: str
    name: str
    json: bytes


@dataclass(slots=True)
class _Request:
    place: Place
    patient_id: str | None
    requester: _Party | None
    drug: tuple[str, str, str] | None
    authored_on: str
    json: bytes
    claim_id: str | None = None
    prescription: Prescription | None = None


class Assembly:
    """Takes the resources of one batch, types in the order of ``KINDS``, and gives its prescriptions.

    Args:
        problems: where faults are collected.
        scales: currencies that there is an asset for, with the decimal places of its minor unit.
        masked: whether patients come without ID number, as in a masked document.
    """

    def __init__(
        self, problems: Problems, scales: Mapping[str, int] = CURRENCY_SCALES, *, masked: bool = False
    ) -> None:
        self.problems = problems
        self.scales = scales
        self.masked = masked
        self.index = Index(KINDS)
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.claims_ignored = 0
        self._patients: dict[str, _Patient] = {}
        self._parties: dict[tuple[str, str], _Party] = {}
        self._requests: dict[str, _Request] = {}
        self._blamed: set[str] = set()

    def take(self, kind: str, resource: Any, place: Place) -> None:
        """Checks one resource and keeps what is needed of it; every fault is noted.

        Args:
            kind: the type that it must be of.
            resource: JSON as ``strict_json.decode`` gives it; belongs to the assembly from now on.
            place: where it stands.
        """
        self.counts[kind] += 1
        if not isinstance(resource, dict):
            self.index.blind.add(kind)
            place.add("", "not a JSON object", INVALID)
            return
        written = resource.get("resourceType")
        if written != kind:
            self.index.blind.add(kind)
            why = f"{written[:64]!r}, {kind!r} is expected here" if isinstance(written, str) else f"not {kind!r}"
            place.add("resourceType", why, TYPE_WRONG)
            return
        name = self._take_id(kind, resource, place)
        if name is None or not self._check(kind, resource, place):
            if kind == "Claim":
                self.index.blind.add(kind)  # some request will miss it, which is no fault of its own
            return
        drop_narratives(resource)
        if kind == "Patient":
            number, fault = id_number_fault(resource)
            self._patients[name] = _Patient(place, number or "", fault, strict_json.encode(resource))
        elif kind == "MedicationRequest":
            self._requests[name] = self._take_request(resource, place)
        elif kind == "Claim":
            self._take_claim(name, resource, place)
        else:
            party = _Party(name, read_npi(resource), read_name(resource), strict_json.encode(resource))
            self._parties[kind, name] = party

    def finish(self) -> list[Prescription]:
        """The prescriptions in the order of the requests, once everything was taken; requests without claim are noted.

        Raises:
            InvalidFhir: anything was noted.
        """
        if "Claim" not in self.index.blind:
            for request in self._requests.values():
                if request.claim_id is None:
                    request.place.add("", "no Claim names this MedicationRequest: there is no price", CLAIM_MISSING)
        self.problems.raise_found()
        return [request.prescription for request in self._requests.values() if request.prescription is not None]

    def _check(self, kind: str, resource: dict[str, Any], place: Place) -> bool:
        if not check_text(resource, kind, place):
            return False
        faults = validate(kind, resource)
        for path, why in faults:
            place.add(path, why)
        return not faults

    def _take_id(self, kind: str, resource: dict[str, Any], place: Place) -> str | None:
        name = resource.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            self.index.blind.add(kind)
            place.add(f"{kind}.id", "no id, or not one of 1 to 64 letters, digits, points and dashes", INVALID)
            return None
        ids = self.index.ids[kind]
        if name in ids:
            file, line = ids[name]
            place.add(f"{kind}.id", f"{name[:64]!r} is the id of {file} line {line} already", DUPLICATE_ID)
            return None
        ids[name] = (place.file, place.line)
        return name

    def _take_request(self, request: dict[str, Any], place: Place) -> _Request:
        index = self.index
        subject = index.resolve(request.get("subject"), "MedicationRequest.subject", ("Patient",), place)
        requester = index.resolve(request.get("requester"), "MedicationRequest.requester", _PRESCRIBERS, place)
        drug = read_drug(request, place)
        patient = self._patients.get(subject[1]) if subject else None
        if patient and patient.fault and not self.masked and subject and subject[1] not in self._blamed:
            self._blamed.add(subject[1])
            note_id_number(patient.fault, patient.place)
        return _Request(
            place,
            subject[1] if subject else None,
            self._parties.get(requester) if requester else None,
            (sys.intern(drug[0]), sys.intern(drug[1]), sys.intern(drug[2])) if drug else None,
            request.get("authoredOn", ""),
            strict_json.encode(request),
        )

    def _take_claim(self, name: str, claim: dict[str, Any], place: Place) -> None:
        if "prescription" not in claim and not is_pharmacy_claim(claim):
            # Claims for visits stand in the same file as those for drugs in a whole export.
            self.claims_ignored += 1
            return
        index = self.index
        patient = index.resolve(claim.get("patient"), "Claim.patient", ("Patient",), place)
        provider = index.resolve(claim.get("provider"), "Claim.provider", _PROVIDERS, place)
        named = index.resolve(claim.get("prescription"), "Claim.prescription", ("MedicationRequest",), place)
        coverage = read_coverage(claim, place)
        request = self._requests.get(named[1]) if named else None
        drug = request.drug if request else None
        prices = read_prices(claim, drug[0] if drug else "", self.scales, place)
        if request is None:
            if named is None:
                index.blind.add("Claim")
            return
        if request.claim_id is not None:
            why = f"the request has the claim {request.claim_id!r} already"
            place.add("Claim.prescription.reference", why, CLAIM_DUPLICATE)
            return
        request.claim_id = name
        if patient and request.patient_id not in (None, patient[1]):
            place.add("Claim.patient.reference", "not the subject of the prescription", SUBJECT_DIFFERS)
        party = self._parties.get(provider) if provider else None
        if named and patient and party and coverage and prices:
            self._prescribe(named[1], request, strict_json.encode(claim), party, coverage, prices)

    def _prescribe(
        self, name: str, request: _Request, claim: bytes, party: _Party, coverage: str, prices: Prices
    ) -> None:
        subject = self._patients.get(request.patient_id or "")
        if subject is None or request.patient_id is None or request.requester is None or request.drug is None:
            return
        drug = request.drug
        resources: tuple[bytes, ...] = (request.json, claim, subject.json, request.requester.json)
        if party is not request.requester:
            resources = (*resources, party.json)
        if (size := assembled_size(resources)) > MAX_DOCUMENT_BYTES:
            why = f"the document with its claim, patient and parties has {size} bytes, at most {MAX_DOCUMENT_BYTES}"
            request.place.add("MedicationRequest", why, TOO_LARGE)
            return
        assert request.claim_id is not None
        request.prescription = Prescription(
            request_id=name,
            claim_id=request.claim_id,
            patient_id=request.patient_id,
            id_number=subject.id_number,
            drug_code=drug[0],
            drug_system=drug[1],
            drug_text=drug[2],
            requester_id=request.requester.id,
            requester_npi=request.requester.npi,
            provider_id=party.id,
            provider_name=party.name,
            coverage=sys.intern(coverage),
            items=prices.items,
            claim_total_minor=prices.total_minor,
            currency=sys.intern(prices.currency),
            authored_on=request.authored_on,
            file=request.place.file,
            line=request.place.line,
            resources=resources,
        )
