"""Single facts out of valid resources: ID number, drug, coverage, names."""

from __future__ import annotations

from typing import Any, Final

from node.fhir.prescription import COVERAGES
from node.fhir.problems import COVERAGE_UNKNOWN, DRUG_MISSING, SUBJECT_MISSING, TOO_LARGE, Place

MAX_CODE: Final = 64
"""Characters of a drug code or an ID number."""
RXNORM: Final = frozenset({"http://www.nlm.nih.gov/research/umls/rxnorm"})
_NPI: Final = "http://hl7.org/fhir/sid/us-npi"
_SSN_CODE: Final = "SS"
_SSN_TEXT: Final = "Social Security Number"


def id_number_fault(patient: dict[str, Any]) -> tuple[str | None, str]:
    """The ID number of a ``Patient``, and why there is none: exactly one of them says something."""
    numbers = {
        str(identifier["value"]).strip()
        for identifier in patient.get("identifier", [])
        if _is_id_number(identifier) and identifier.get("use") != "old" and identifier.get("value", "").strip()
    }
    if not numbers:
        return None, f"no identifier of type {_SSN_TEXT!r}, which the subject's pseudonym is made from"
    if len(numbers) > 1:
        return None, f"two different identifiers of type {_SSN_TEXT!r}"
    (number,) = numbers
    if len(number) > MAX_CODE:
        return None, f"an ID number of more than {MAX_CODE} characters"
    return number, ""


def read_drug(request: dict[str, Any], place: Place) -> tuple[str, str, str] | None:
    """Code, code system and text of the drug of a ``MedicationRequest``, or None when a fault was noted.

    An RxNorm coding wins over others, the first of several. A ``medicationReference`` counts when it names a contained
    ``Medication`` with a code; other Medication resources are not part of the input.
    """
    path, concept = "MedicationRequest.medicationCodeableConcept", request.get("medicationCodeableConcept")
    reference = request.get("medicationReference")
    if concept is None and reference is not None:
        path = "MedicationRequest.medicationReference"
        concept = _contained_code(request, str(reference.get("reference", "")))
        if concept is None:
            place.add(path, "names no contained Medication with a code; the drug has to have one", DRUG_MISSING)
            return None
    codings = [coding for coding in (concept or {}).get("coding", []) if coding.get("code")]
    if concept is None or not codings:
        place.add(f"{path}.coding", "no coding with a code says which drug it is", DRUG_MISSING)
        return None
    coding = next((each for each in codings if each.get("system") in RXNORM), codings[0])
    code = str(coding["code"])
    if len(code) > MAX_CODE:
        place.add(f"{path}.coding", f"a drug code of more than {MAX_CODE} characters", TOO_LARGE)
        return None
    return code, str(coding.get("system", "")), str(concept.get("text") or coding.get("display") or "")


def read_coverage(claim: dict[str, Any], place: Place) -> str | None:
    """The coverage of a ``Claim``, one of ``COVERAGES``: of its only insurance, or of the one that is focal."""
    entries = list(enumerate(claim.get("insurance", [])))
    if len(entries) != 1:
        entries = [(index, entry) for index, entry in entries if entry.get("focal")]
    if len(entries) != 1:
        place.add("Claim.insurance", f"{len(entries)} focal insurances, one is needed", COVERAGE_UNKNOWN)
        return None
    index, entry = entries[0]
    display = entry.get("coverage", {}).get("display", "")
    if display not in COVERAGES:
        why = f"{display[:64]!r} is none of {', '.join(COVERAGES)}"
        place.add(f"Claim.insurance[{index}].coverage.display", why, COVERAGE_UNKNOWN)
        return None
    return str(display)


def read_npi(resource: dict[str, Any]) -> str:
    """The National Provider Identifier of a ``Practitioner`` or ``Organization``, or empty."""
    for identifier in resource.get("identifier", []):
        if identifier.get("system") == _NPI and identifier.get("value"):
            return str(identifier["value"])
    return ""


def read_name(resource: dict[str, Any]) -> str:
    """Name of an ``Organization``, or of a ``Practitioner`` as one line, or empty."""
    name = resource.get("name", "")
    if isinstance(name, str):
        return name
    first = name[0]
    parts = (*first.get("prefix", []), *first.get("given", []), first.get("family"))
    return str(first.get("text") or " ".join(part for part in parts if part))


def is_pharmacy_claim(claim: dict[str, Any]) -> bool:
    """Whether the claim's type says ``pharmacy``."""
    return any(coding.get("code") == "pharmacy" for coding in claim.get("type", {}).get("coding", []))


def note_id_number(why: str, place: Place) -> None:
    """Notes that a subject has no usable ID number."""
    place.add("Patient.identifier", why, SUBJECT_MISSING)


def _is_id_number(identifier: dict[str, Any]) -> bool:
    kind = identifier.get("type", {})
    return kind.get("text") == _SSN_TEXT or any(each.get("code") == _SSN_CODE for each in kind.get("coding", []))


def _contained_code(request: dict[str, Any], reference: str) -> dict[str, Any] | None:
    for resource in request.get("contained", []):
        if resource.get("resourceType") == "Medication" and reference == f"#{resource.get('id')}":
            code: dict[str, Any] | None = resource.get("code")
            return code
    return None
