"""A prescription's document as it comes out of an envelope, back into facts: with every check that filing made.

An authority attests what it reads here, so it trusts nothing that the platform did before sealing.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.fhir import strict_json
from node.fhir.assembly import Assembly
from node.fhir.models import KINDS
from node.fhir.money import CURRENCY_SCALES
from node.fhir.prescription import MAX_DOCUMENT_BYTES, Prescription
from node.fhir.problems import INVALID, JSON_INVALID, TOO_LARGE, TYPE_WRONG, InvalidFhir, Place, Problem, Problems

FILE = "document"
"""What faults name as file; their line is the number of the entry, from 1."""


def read_document(data: bytes, *, scales: Mapping[str, int] = CURRENCY_SCALES, masked: bool = False) -> Prescription:
    """The prescription that ``Prescription.document`` (or ``masked``) wrote.

    Args:
        data: JSON of a ``Bundle`` with one MedicationRequest, its Claim, and what they name; at most 40 KiB.
        scales: as for ``reading.load_directory``.
        masked: whether the subject may come without ID number; ``id_number`` is then empty.

    Raises:
        InvalidFhir: with the number of the entry as line, and the path.
    """
    problems = Problems()
    entries = _entries(data)
    assembly = Assembly(problems, scales, masked=masked)
    kinds = [_kind(entry, number, problems) for number, entry in enumerate(entries, 1)]
    for kind in KINDS:
        for number, entry in enumerate(entries, 1):
            if kinds[number - 1] == kind:
                assembly.take(kind, entry["resource"], Place(problems, FILE, number))
    found = assembly.finish()
    if len(found) != 1 or assembly.claims_ignored:
        raise InvalidFhir(Problem(FILE, 0, "", f"{len(found)} prescriptions, a document has one", INVALID))
    return found[0]


def _entries(data: bytes) -> list[dict[str, object]]:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidFhir(Problem(FILE, 0, "", f"{len(data)} bytes, at most {MAX_DOCUMENT_BYTES}", TOO_LARGE))
    try:
        bundle = strict_json.decode(data)
    except strict_json.InvalidJson as error:
        raise InvalidFhir(Problem(FILE, 0, "", str(error), JSON_INVALID)) from error
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or bundle.get("type") != "collection":
        raise InvalidFhir(Problem(FILE, 0, "resourceType", "not a Bundle of type 'collection'", TYPE_WRONG))
    entries = bundle.get("entry")
    if set(bundle) != {"entry", "resourceType", "type"} or not isinstance(entries, list):
        raise InvalidFhir(Problem(FILE, 0, "Bundle", "anything else than entries", INVALID))
    return entries


def _kind(entry: object, number: int, problems: Problems) -> str | None:
    if not isinstance(entry, dict) or set(entry) != {"resource"} or not isinstance(entry["resource"], dict):
        problems.add(Problem(FILE, number, "Bundle.entry", "anything else than a resource", INVALID))
        return None
    kind = entry["resource"].get("resourceType")
    if kind not in KINDS:
        problems.add(Problem(FILE, number, "resourceType", "not a type that a prescription has", TYPE_WRONG))
        return None
    return str(kind)
