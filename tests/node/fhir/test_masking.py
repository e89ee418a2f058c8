"""Masking: no direct identifier of the patient is left, what the pharmacy needs stays, and lists of paths are data."""

import copy
import json

import pytest

from ledger.errors import InvalidInput
from node.fhir import strict_json
from node.fhir.masking import DEFAULT_MASK, MAX_PATHS, PSEUDONYM_SYSTEM, check_paths, mask, mask_document
from node.fhir.reading import load_directory
from tests.node.fhir.sample import DATA, Sample

SECRET = "S3CRET"
"""Put where an identifier may stand; must not be found in a masked document."""


def leaves(value):
    """Every string of a JSON value."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield value


def resource_of(document: bytes, kind: str):
    return next(each["resource"] for each in json.loads(document)["entry"] if each["resource"]["resourceType"] == kind)


def test_masked_document_names_nobody_when_the_data_are_real():
    for prescription in load_directory(DATA).prescriptions:
        patient = resource_of(prescription.document, "Patient")
        masked = prescription.masked()
        hidden = {
            *(each["value"] for each in patient["identifier"]),
            *(each["family"] for each in patient["name"]),
            *(each["value"] for each in patient["telecom"]),
            *(line for each in patient["address"] for line in each["line"]),
            patient["birthDate"],
            *leaves(patient["extension"]),
        }
        shown = set(leaves(json.loads(masked)))
        # A city may be the hospital's, too, and codes of extensions may stand elsewhere.
        assert not {text for text in hidden if text and " " in text} & shown
        assert prescription.id_number.encode() not in masked
        assert patient["birthDate"].encode() not in masked
        assert patient["name"][0]["family"] not in shown
        assert not {each["value"] for each in patient["identifier"]} & shown


def test_masked_document_keeps_what_the_pharmacy_needs():
    prescription = load_directory(DATA).prescriptions[0]
    masked = prescription.masked()
    patient = resource_of(masked, "Patient")
    assert patient["identifier"] == [{"system": PSEUDONYM_SYSTEM, "value": "masked"}]
    assert patient["birthDate"] == "1956"
    assert (patient["gender"], patient["id"]) == ("male", prescription.patient_id)
    assert set(patient).isdisjoint({"name", "telecom", "address", "extension", "photo", "contact"})
    for kind in ("MedicationRequest", "Practitioner", "Organization"):
        assert resource_of(masked, kind) == resource_of(prescription.document, kind)
    assert resource_of(masked, "Claim") == resource_of(prescription.document, "Claim")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Patient.name[0].text", SECRET),
        ("Patient._birthDate", {"extension": [{"url": "time", "valueString": SECRET}]}),
        ("Patient.deceasedDateTime", "2007-03-25T19:08:38+00:00"),
        ("Patient.contact", [{"name": {"family": SECRET}}]),
        ("Patient.photo", [{"title": SECRET}]),
        ("Patient.link", [{"other": {"display": SECRET}, "type": "seealso"}]),
        ("Patient.contained", [{"resourceType": "RelatedPerson", "patient": {"display": SECRET}}]),
        ("MedicationRequest.contained", [{"resourceType": "Patient", "name": [{"family": SECRET}]}]),
        ("MedicationRequest.subject.display", SECRET),
        ("MedicationRequest.subject.identifier", {"value": SECRET}),
        ("MedicationRequest.subject._display", {"extension": [{"url": "x", "valueString": SECRET}]}),
        ("MedicationRequest.insurance", [{"identifier": {"value": SECRET}}]),
        ("Claim.patient.display", SECRET),
        ("Claim.patient.identifier", {"value": SECRET}),
        ("Claim.identifier", [{"value": SECRET}]),
        ("Claim.insurance[0].coverage.identifier", {"value": SECRET}),
        ("Claim.insurance[0].coverage.reference", f"Coverage/{SECRET}"),
        ("Claim.insurance[0].preAuthRef", [SECRET]),
        ("Claim.payee", {"type": {"text": "x"}, "party": {"display": SECRET}}),
        ("Claim.item[0].locationAddress", {"text": SECRET}),
        ("Practitioner.birthDate", "1970-01-01"),
    ],
)
def test_identifier_is_masked_when_it_stands_anywhere_usual(tmp_path, path, value):
    prescription = Sample().change(path, value).load(tmp_path).prescriptions[0]
    masked = prescription.masked()
    for secret in (SECRET, "2007-03-25", "1970-01-01"):
        assert secret.encode() not in masked
    assert any(secret.encode() in prescription.document for secret in (SECRET, "2007-03-25", "1970-01-01"))


def test_masking_is_deterministic_canonical_and_done_once():
    prescription = load_directory(DATA).prescriptions[0]
    once = prescription.masked()
    assert strict_json.encode(strict_json.decode(once)) == once
    assert mask_document(once) == once
    assert mask_document(prescription.document) == once


def test_document_stays_as_it_is_when_it_is_masked():
    document = strict_json.decode(load_directory(DATA).prescriptions[0].document)
    before = copy.deepcopy(document)
    mask(document)
    assert document == before


def test_list_of_paths_decides_when_a_kind_has_its_own():
    patient = {
        "resourceType": "Patient",
        "name": [{"family": "A", "given": ["B"]}, {"family": "C"}],
        "birthDate": "1956-08-03",
        "_birthDate": {"id": "x"},
    }
    assert mask(patient, ()) == patient
    assert mask(patient, ("Claim.name",)) == patient
    assert mask(patient, ("Patient.name.family",))["name"] == [{"given": ["B"]}]
    assert mask(patient, ("*.birthDate:year",)) == {
        "resourceType": "Patient",
        "name": patient["name"],
        "birthDate": "1956",
    }
    assert "birthDate" not in mask({**patient, "birthDate": "about 1956"}, ("Patient.birthDate:year",))
    assert "birthDate" not in mask({**patient, "birthDate": ["1956"]}, ("Patient.birthDate:year",))
    assert "identifier" not in mask(patient, ("Patient.identifier:pseudonym",))


def test_parent_goes_too_when_masking_leaves_it_empty():
    claim = {"resourceType": "Claim", "patient": {"display": "x"}}
    assert mask(claim, ("Claim.patient.display",)) == {"resourceType": "Claim"}


@pytest.mark.parametrize(
    "path",
    ["", "Patient", "patient.name", "Patient.", "Patient..name", "Patient.name:", "Patient.name:day", "*", ".name",
     "Patient.name[0]", "Patient.na me", "Patient.resource_type", "Patient." + "x" * 200, "Patient.name\n"],
)  # fmt: skip
def test_path_is_refused_when_it_is_not_one(path):
    for use in (check_paths, lambda paths: mask({"resourceType": "Patient"}, paths)):
        with pytest.raises(InvalidInput) as error:
            use([path])
        assert error.value.code == "mask_invalid"


def test_list_of_paths_is_refused_when_it_is_too_long():
    check_paths(DEFAULT_MASK)
    check_paths(["Patient.name"] * MAX_PATHS)
    with pytest.raises(InvalidInput) as error:
        check_paths(["Patient.name"] * (MAX_PATHS + 1))
    assert error.value.code == "mask_invalid"


@pytest.mark.parametrize("document", [b"", b"[]", b"7", b'{"a":1,"a":2}', b'{"a":NaN}'])
def test_document_is_refused_when_it_is_no_json_object(document):
    with pytest.raises(InvalidInput) as error:
        mask_document(document)
    assert error.value.code == "fhir_json_invalid"
