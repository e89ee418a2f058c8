"""Every bad input is refused before anything is given, with code, file, line and path."""

import json

import pytest

from node.fhir.problems import MAX_PROBLEMS, InvalidFhir
from node.fhir.reading import load_directory
from tests.node.fhir.sample import GONE, Sample, refused, where

UNRESOLVED = "fhir_reference_unresolved"
NOWHERE = "urn:uuid:00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        # not valid FHIR, and what the models would coerce or pass over
        ("MedicationRequest.status", GONE, "fhir_invalid"),
        ("MedicationRequest.status", "bogus", "fhir_invalid"),
        ("MedicationRequest.status", 5, "fhir_invalid"),
        ("MedicationRequest.intent", None, "fhir_invalid"),
        ("MedicationRequest.bogus", "x", "fhir_invalid"),
        ("MedicationRequest.authoredOn", "2017-02-31", "fhir_invalid"),
        ("MedicationRequest.authoredOn", 20170321, "fhir_invalid"),
        ("MedicationRequest.dosageInstruction", [], "fhir_invalid"),
        ("MedicationRequest.reasonReference", {}, "fhir_invalid"),
        ("MedicationRequest.substitution.allowedBoolean", "yes", "fhir_invalid"),
        ("MedicationRequest.id", GONE, "fhir_invalid"),
        ("MedicationRequest.id", "a b", "fhir_invalid"),
        ("Claim.insurance[0].focal", "true", "fhir_invalid"),
        ("Claim.item[0].sequence", "1", "fhir_invalid"),
        ("Claim.item[0].sequence", 0, "fhir_invalid"),
        ("Claim.total.value", "255", "fhir_invalid"),
        ("Claim.total.value", True, "fhir_invalid"),
        ("Claim.priority", GONE, "fhir_invalid"),
        ("Patient.gender", "unheard of", "fhir_invalid"),
        ("Patient.birthDate", 1956, "fhir_invalid"),
        # references: those that matter
        ("MedicationRequest.subject.reference", NOWHERE, UNRESOLVED),
        ("MedicationRequest.subject.reference", "Patient/none", UNRESOLVED),
        ("MedicationRequest.subject.reference", "https://example.org/Patient/1", UNRESOLVED),
        ("MedicationRequest.subject.reference", "#inside", UNRESOLVED),
        ("MedicationRequest.subject.reference", "Group/1", UNRESOLVED),
        ("MedicationRequest.requester.reference", NOWHERE, UNRESOLVED),
        ("MedicationRequest.requester.reference", "PractitionerRole/1", UNRESOLVED),
        ("Claim.patient.reference", NOWHERE, UNRESOLVED),
        ("Claim.provider.reference", NOWHERE, UNRESOLVED),
        ("Claim.prescription.reference", NOWHERE, UNRESOLVED),
        # text
        ("MedicationRequest.medicationCodeableConcept.text", "<b>bold</b>", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "x</script", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "<!-- x", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "<?xml", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "null\0", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "\x1b[2J", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "half \ud800", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "\u202egnp", "fhir_text_refused"),
        ("MedicationRequest.medicationCodeableConcept.text", "x" * 4_097, "fhir_too_large"),
        ("Organization.name", "<script>alert(1)</script>", "fhir_text_refused"),
        ("Practitioner.name[0].family", "<img src=x>", "fhir_text_refused"),
        ("Patient.name[0].given[0]", "x" * 5_000, "fhir_too_large"),
        ("Claim.item[0].productOrService.coding[0].display", "<a href=x>", "fhir_text_refused"),
        # amounts
        ("Claim.total.value", 255.005, "fhir_amount_invalid"),
        ("Claim.total.value", 0.001, "fhir_amount_invalid"),
        ("Claim.total.value", -255, "fhir_amount_invalid"),
        ("Claim.total.value", 0, "fhir_amount_invalid"),
        ("Claim.total.value", GONE, "fhir_amount_invalid"),
        ("Claim.total.value", 92_233_720_368_547_758.08, "fhir_amount_invalid"),
        ("Claim.total.currency", "CHF", "fhir_amount_invalid"),
        ("Claim.total.currency", "JPYX", "fhir_amount_invalid"),
        ("Claim.total.currency", GONE, "fhir_amount_invalid"),
        ("Claim.total", GONE, "fhir_amount_invalid"),
        # coverage
        ("Claim.insurance[0].coverage.display", "Medicare", "fhir_coverage_unknown"),
        ("Claim.insurance[0].coverage.display", "cash", "fhir_coverage_unknown"),
    ],
)
def test_resource_is_refused_with_line_and_path_when_an_element_is_wrong(tmp_path, path, value, code):
    kind = path.partition(".")[0]
    problems = Sample().change(path, value, 3).refused(tmp_path)
    assert where(problems) == [(code, f"{kind}.ndjson", 4, path)]


@pytest.mark.parametrize("kind", ["Patient", "Practitioner", "Organization", "MedicationRequest", "Claim"])
def test_line_is_refused_when_it_is_of_another_type_than_its_file(tmp_path, kind):
    problems = Sample().change(f"{kind}.resourceType", "Observation", 3).refused(tmp_path)
    assert where(problems) == [("fhir_type_wrong", f"{kind}.ndjson", 4, "resourceType")]


@pytest.mark.parametrize("path", ["subject", "requester", "medicationCodeableConcept"])
def test_request_is_refused_when_it_lacks_what_the_flow_needs(tmp_path, path):
    problems = Sample().change(f"MedicationRequest.{path}", GONE, 2).refused(tmp_path)
    assert {(each.file, each.line) for each in problems} == {("MedicationRequest.ndjson", 3)}


def test_request_is_refused_with_the_path_when_its_subject_is_only_a_display(tmp_path):
    problems = Sample().change("MedicationRequest.subject", {"display": "someone"}, 2).refused(tmp_path)
    assert where(problems) == [(UNRESOLVED, "MedicationRequest.ndjson", 3, "MedicationRequest.subject.reference")]


@pytest.mark.parametrize("path", ["patient", "provider"])
def test_claim_is_refused_when_a_required_reference_is_missing(tmp_path, path):
    problems = Sample().change(f"Claim.{path}", GONE, 5).refused(tmp_path)
    assert where(problems) == [("fhir_invalid", "Claim.ndjson", 6, f"Claim.{path}")]


def test_pharmacy_claim_is_refused_when_it_names_no_prescription(tmp_path):
    problems = Sample().change("Claim.prescription", GONE, 5).refused(tmp_path)
    assert where(problems) == [(UNRESOLVED, "Claim.ndjson", 6, "Claim.prescription.reference")]


def test_subject_is_refused_when_it_names_a_practitioner(tmp_path):
    sample = Sample()
    other = f"urn:uuid:{sample.resources['Practitioner'][0]['id']}"
    problems = sample.change("MedicationRequest.subject.reference", other, 1).refused(tmp_path)
    assert where(problems) == [(UNRESOLVED, "MedicationRequest.ndjson", 2, "MedicationRequest.subject.reference")]
    assert "Practitioner, not Patient" in problems[0].why


def test_claim_is_refused_when_its_patient_is_not_the_subject(tmp_path):
    sample = Sample()
    claim = sample.resources["Claim"][0]
    other = next(
        patient["id"] for patient in sample.resources["Patient"] if patient["id"] not in claim["patient"]["reference"]
    )
    problems = sample.change("Claim.patient.reference", f"Patient/{other}").refused(tmp_path)
    assert where(problems) == [("fhir_subject_differs", "Claim.ndjson", 1, "Claim.patient.reference")]


@pytest.mark.parametrize("kind", ["Patient", "Practitioner", "Organization", "MedicationRequest", "Claim"])
def test_resource_is_refused_when_its_id_was_there_before(tmp_path, kind):
    sample = Sample()
    resources = sample.resources[kind]
    resources.append(resources[1])
    problems = sample.refused(tmp_path)
    assert where(problems) == [("fhir_duplicate_id", f"{kind}.ndjson", len(resources), f"{kind}.id")]
    assert f"{kind}.ndjson line 2" in problems[0].why


def test_resource_is_refused_when_its_id_was_in_another_file_of_the_type(tmp_path):
    sample = Sample()
    sample.write(tmp_path)
    line = json.dumps(sample.resources["Claim"][4])
    (tmp_path / "Claim.001.ndjson").write_text(line + "\n", encoding="utf-8")
    problems = refused(tmp_path)
    assert where(problems) == [("fhir_duplicate_id", "Claim.ndjson", 5, "Claim.id")]
    assert "Claim.001.ndjson line 1" in problems[0].why


def test_request_is_refused_when_no_claim_names_it(tmp_path):
    sample = Sample()
    lost = sample.resources["Claim"].pop(7)
    names = [f"urn:uuid:{each['id']}" for each in sample.resources["MedicationRequest"]]
    line = names.index(lost["prescription"]["reference"]) + 1
    assert where(sample.refused(tmp_path)) == [("fhir_claim_missing", "MedicationRequest.ndjson", line, "")]


def test_claim_is_refused_when_the_request_has_one_already(tmp_path):
    sample = Sample()
    second = {**sample.resources["Claim"][2], "id": "another"}
    sample.resources["Claim"].append(second)
    problems = sample.refused(tmp_path)
    assert where(problems) == [("fhir_claim_duplicate", "Claim.ndjson", 13, "Claim.prescription.reference")]


def test_subject_is_refused_once_when_it_has_no_id_number(tmp_path):
    sample = Sample()
    patient = sample.resources["Patient"][0]
    patient["identifier"] = [each for each in patient["identifier"] if "SS" not in json.dumps(each.get("type", {}))]
    problems = sample.refused(tmp_path)
    assert where(problems) == [("fhir_subject_missing", "Patient.ndjson", 1, "Patient.identifier")]


def test_subject_is_refused_when_it_has_two_id_numbers(tmp_path):
    sample = Sample()
    second = {"type": {"text": "Social Security Number"}, "value": "999-00-0000"}
    sample.resources["Patient"][0]["identifier"].append(second)
    problems = sample.refused(tmp_path)
    assert where(problems) == [("fhir_subject_missing", "Patient.ndjson", 1, "Patient.identifier")]
    assert "999" not in str(problems[0]), "a fault never shows an ID number"


def test_coverage_is_refused_when_two_insurances_are_focal(tmp_path):
    sample = Sample()
    insurance = sample.resources["Claim"][0]["insurance"]
    insurance.append({**insurance[0], "sequence": 2})
    assert where(sample.refused(tmp_path)) == [("fhir_coverage_unknown", "Claim.ndjson", 1, "Claim.insurance")]


@pytest.mark.parametrize(
    ("concept", "path"),
    [
        ({"text": "some drug"}, "MedicationRequest.medicationCodeableConcept.coding"),
        ({"coding": [{"display": "x"}]}, "MedicationRequest.medicationCodeableConcept.coding"),
    ],
)
def test_request_is_refused_when_its_drug_has_no_code(tmp_path, concept, path):
    problems = Sample().change("MedicationRequest.medicationCodeableConcept", concept, 1).refused(tmp_path)
    assert where(problems) == [("fhir_drug_missing", "MedicationRequest.ndjson", 2, path)]


def test_request_is_refused_when_its_drug_is_a_resource_elsewhere(tmp_path):
    sample = Sample().change("MedicationRequest.medicationCodeableConcept", GONE)
    sample.change("MedicationRequest.medicationReference", {"reference": "Medication/1"})
    path = "MedicationRequest.medicationReference"
    assert where(sample.refused(tmp_path)) == [("fhir_drug_missing", "MedicationRequest.ndjson", 1, path)]


def test_document_is_refused_when_it_would_not_fit(tmp_path):
    notes = [{"text": "n" * 4_000} for _ in range(10)]
    problems = Sample().change("MedicationRequest.note", notes, 4).refused(tmp_path)
    assert where(problems) == [("fhir_too_large", "MedicationRequest.ndjson", 5, "MedicationRequest")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "fhir_json_invalid"),
        ("[]", "fhir_invalid"),
        ("7", "fhir_invalid"),
        ('{"resourceType":"Claim","resourceType":"Claim"}', "fhir_json_invalid"),
        ('{"resourceType":"Claim","total":{"value":NaN}}', "fhir_json_invalid"),
        ('{"resourceType":"Claim","total":{"value":-Infinity}}', "fhir_json_invalid"),
        ('{"resourceType":"Claim","total":{"value":1e99999999999999999999}}', "fhir_json_invalid"),
        ('{"resourceType":"Claim","total":{"value":' + "9" * 5_000 + "}}", "fhir_json_invalid"),
        ('{"resourceType":"Claim","x":' + "[" * 100_000 + "]" * 100_000 + "}", "fhir_json_invalid"),
        ('{"resourceType":"Claim","id":"tab\there"}', "fhir_json_invalid"),
        ('{"resourceType":"Claim","id":"' + "x" * (1024 * 1024) + '"}', "fhir_too_large"),
        ('{"id":"1"}', "fhir_type_wrong"),
        ('{"resourceType":7,"id":"1"}', "fhir_type_wrong"),
    ],
)
def test_line_is_refused_with_its_number_when_it_cannot_be_read(tmp_path, line, code):
    sample = Sample()
    sample.write(tmp_path)
    lines = sample.text("Claim").splitlines()
    lines.insert(4, line)
    (tmp_path / "Claim.ndjson").write_text("\n".join(lines), encoding="utf-8")
    problems = refused(tmp_path)
    assert [(each.code, each.file, each.line) for each in problems] == [(code, "Claim.ndjson", 5)]


def test_line_is_refused_when_it_is_not_utf8(tmp_path):
    Sample().write(tmp_path)
    with (tmp_path / "Patient.ndjson").open("ab") as file:
        file.write(b'{"resourceType":"Patient","id":"\xff"}\n')
    assert where(refused(tmp_path)) == [("fhir_json_invalid", "Patient.ndjson", 9, "")]


@pytest.mark.parametrize("name", ["status__ext", "fhir_comments", "resource_type", "_", "for", "a" * 70, "é", ""])
def test_element_is_refused_when_fhir_has_no_such_name(tmp_path, name):
    sample = Sample()
    sample.resources["MedicationRequest"][0][name] = "active"
    problems = sample.refused(tmp_path)
    assert {(each.code, each.file, each.line) for each in problems} == {("fhir_invalid", "MedicationRequest.ndjson", 1)}


def test_resource_is_refused_when_it_is_nested_deeper_than_anyone_reads(tmp_path):
    inner: dict = {"url": "x", "valueString": "x"}
    for _ in range(60):
        inner = {"url": "x", "extension": [inner]}
    problems = Sample().change("Patient.extension", [inner]).refused(tmp_path)
    assert [(each.code, each.file, each.line) for each in problems] == [("fhir_too_large", "Patient.ndjson", 1)]
    assert problems[0].path.startswith("Patient.extension[0].extension[0]")


def test_contained_resource_is_refused_when_its_type_is_unknown_or_it_hides_markup(tmp_path):
    for contained in ({"resourceType": "Medicatio", "id": "m"}, {"resourceType": "Patient", "id": "<b>"}):
        problems = Sample().change("MedicationRequest.contained", [contained]).refused(tmp_path)
        assert {(each.file, each.line) for each in problems} == {("MedicationRequest.ndjson", 1)}


def test_faults_of_several_files_come_in_one_error(tmp_path):
    sample = Sample().change("Patient.gender", "x", 1).change("MedicationRequest.subject.reference", NOWHERE, 2)
    sample.change("Claim.total.value", 1.234, 3).change("Claim.provider.reference", NOWHERE, 3)
    with pytest.raises(InvalidFhir) as error:
        sample.load(tmp_path)
    assert where(error.value.problems) == [
        ("fhir_invalid", "Patient.ndjson", 2, "Patient.gender"),
        (UNRESOLVED, "MedicationRequest.ndjson", 3, "MedicationRequest.subject.reference"),
        (UNRESOLVED, "Claim.ndjson", 4, "Claim.provider.reference"),
        ("fhir_amount_invalid", "Claim.ndjson", 4, "Claim.total.value"),
    ]
    assert error.value.code == "fhir_invalid"
    assert error.value.data["line"] == 2
    assert [each["line"] for each in error.value.data["problems"]] == [2, 3, 4, 4]
    assert json.dumps(error.value.data)
    for part in ("Patient.ndjson, line 2, Patient.gender", "Claim.ndjson, line 4, Claim.total.value"):
        assert part in error.value.message


def test_reading_stops_when_there_are_twenty_faults(tmp_path):
    sample = Sample()
    for place in range(12):
        sample.change("MedicationRequest.subject.reference", NOWHERE, place)
        sample.change("MedicationRequest.requester.reference", NOWHERE, place)
    with pytest.raises(InvalidFhir) as error:
        sample.load(tmp_path)
    assert len(error.value.problems) == MAX_PROBLEMS
    assert error.value.problems[-1].line == 10
    assert "20 or more faults" in error.value.message


def test_nothing_is_blamed_for_following_from_a_fault_that_was_told(tmp_path):
    sample = Sample().change("Patient.gender", "x").change("Practitioner.active", "x").change("Claim.status", "x")
    assert len(sample.refused(tmp_path)) == 3


def test_directory_is_refused_when_it_holds_no_requests(tmp_path):
    sample = Sample()
    sample.resources = {kind: [] for kind in sample.resources}
    assert where(sample.refused(tmp_path)) == [("fhir_invalid", "", 0, "")]


def test_currency_is_refused_when_the_chain_has_no_asset_for_it(tmp_path):
    Sample().write(tmp_path)
    with pytest.raises(InvalidFhir) as error:
        load_directory(tmp_path, scales={"EUR": 2})
    assert where(error.value.problems)[0] == ("fhir_amount_invalid", "Claim.ndjson", 1, "Claim.total.currency")
    assert "EUR" in error.value.problems[0].why
