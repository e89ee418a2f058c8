"""The sealed document: canonical, valid FHIR, read back to the same facts, refused when anything about it is off."""

import dataclasses
import json

import pytest
from fhir.resources.R4B.bundle import Bundle

from node.fhir import strict_json
from node.fhir.document import read_document
from node.fhir.prescription import MAX_DOCUMENT_BYTES
from node.fhir.problems import InvalidFhir
from node.fhir.reading import load_directory
from tests.node.fhir.sample import DATA, Sample, where


def first():
    return load_directory(DATA).prescriptions[0]


def facts(prescription):
    """All but where it stood."""
    return dataclasses.replace(prescription, file="", line=0)


def test_document_reads_back_to_the_same_facts():
    for prescription in load_directory(DATA).prescriptions:
        assert facts(read_document(prescription.document)) == facts(prescription)


def test_masked_document_reads_back_to_the_same_facts_without_the_id_number():
    for prescription in load_directory(DATA).prescriptions:
        found = read_document(prescription.masked(), masked=True)
        assert found.id_number == ""
        assert (found.items, found.coverage, found.drug_code) == (
            prescription.items,
            prescription.coverage,
            prescription.drug_code,
        )


def test_masked_document_is_refused_when_an_id_number_is_needed():
    with pytest.raises(InvalidFhir) as error:
        read_document(first().masked())
    assert where(error.value.problems) == [("fhir_subject_missing", "document", 3, "Patient.identifier")]


def test_document_is_canonical_and_a_valid_bundle():
    prescription = first()
    for document in (prescription.document, prescription.masked()):
        value = strict_json.decode(document)
        assert strict_json.encode(value) == document
        assert [each["resource"]["resourceType"] for each in value["entry"]] == [
            "MedicationRequest",
            "Claim",
            "Patient",
            "Practitioner",
            "Organization",
        ]
        Bundle.model_validate_json(document)


def test_numbers_keep_their_digits(tmp_path):
    sample = Sample()
    sample.write(tmp_path)
    text = sample.text("Claim").replace('"value": 255', '"value": 255.10', 1)
    (tmp_path / "Claim.ndjson").write_text(text, encoding="utf-8")
    found = next(each for each in load_directory(tmp_path).prescriptions if each.claim_total_minor == 25_510)
    assert b'"value":255.10' in found.document


def test_party_stands_once_when_it_prescribes_and_charges(tmp_path):
    sample = Sample()
    request = sample.resources["MedicationRequest"][0]
    sample.claim_of(request)["provider"] = request["requester"]
    prescription = sample.load(tmp_path).prescriptions[0]
    assert len(prescription.resources) == 4
    assert facts(read_document(prescription.document)) == facts(prescription)


def changed(change):
    value = json.loads(first().document)
    change(value)
    return json.dumps(value).encode()


def entry(value, place):
    return value["entry"][place]["resource"]


@pytest.mark.parametrize(
    ("change", "code", "line", "path"),
    [
        (lambda v: v.update(resourceType="List"), "fhir_type_wrong", 0, "resourceType"),
        (lambda v: v.update(type="message"), "fhir_type_wrong", 0, "resourceType"),
        (lambda v: v.update(signature={}), "fhir_invalid", 0, "Bundle"),
        (lambda v: v.update(entry={}), "fhir_invalid", 0, "Bundle"),
        (lambda v: v["entry"].append({}), "fhir_invalid", 6, "Bundle.entry"),
        (lambda v: v["entry"][1].update(fullUrl="x"), "fhir_invalid", 2, "Bundle.entry"),
        (lambda v: entry(v, 4).update(resourceType="Binary"), "fhir_type_wrong", 5, "resourceType"),
        (lambda v: entry(v, 0).update(bogus=1), "fhir_invalid", 1, "MedicationRequest.bogus"),
        (lambda v: entry(v, 3).update(active="<b>"), "fhir_text_refused", 4, "Practitioner.active"),
        (lambda v: v["entry"].pop(2), "fhir_reference_unresolved", 1, "MedicationRequest.subject.reference"),
        (lambda v: v["entry"].pop(1), "fhir_claim_missing", 1, ""),
        (lambda v: v["entry"].pop(0), "fhir_reference_unresolved", 1, "Claim.prescription.reference"),
        (lambda v: v["entry"].append(v["entry"][2]), "fhir_duplicate_id", 6, "Patient.id"),
        (lambda v: entry(v, 1)["total"].update(value=1.005), "fhir_amount_invalid", 2, "Claim.total.value"),
        (lambda v: v.update(entry=[]), "fhir_invalid", 0, ""),
    ],
)
def test_document_is_refused_with_its_entry_when_something_is_off(change, code, line, path):
    with pytest.raises(InvalidFhir) as error:
        read_document(changed(change))
    assert where(error.value.problems)[0] == (code, "document", line, path)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "fhir_json_invalid"),
        (b"\xff", "fhir_json_invalid"),
        (b"[]", "fhir_type_wrong"),
        (b'{"type":"collection","type":"collection"}', "fhir_json_invalid"),
        (b" " * (MAX_DOCUMENT_BYTES + 1), "fhir_too_large"),
        (b"[" * 40_000, "fhir_json_invalid"),
    ],
)
def test_document_is_refused_when_its_bytes_are_no_bundle(data, code):
    with pytest.raises(InvalidFhir) as error:
        read_document(data)
    assert error.value.code == code


def test_document_is_refused_when_it_holds_two_prescriptions():
    two = load_directory(DATA).prescriptions[:2]
    entries = {json.dumps(each) for one in two for each in json.loads(one.document)["entry"]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [json.loads(each) for each in sorted(entries)]}
    with pytest.raises(InvalidFhir) as error:
        read_document(json.dumps(bundle).encode())
    assert error.value.code == "fhir_invalid"
    assert "2 prescriptions" in error.value.message
