"""Reading Bulk Data directories: facts, order, file forms, what is ignored, and how much memory it takes."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import node.demo
from ledger.errors import InvalidInput
from node.fhir import lines
from node.fhir.reading import load_directory
from tests.node.fhir.sample import DATA, GONE, Sample, refused, where

DEMO = Path(node.demo.__file__).parent / "fhir"


def test_demo_data_is_read_whole():
    batch = load_directory(DEMO)
    assert batch.counts == {
        "Patient": 60,
        "Practitioner": 53,
        "Organization": 53,
        "MedicationRequest": 473,
        "Claim": 473,
        "ignored": 0,
    }
    found = batch.prescriptions
    assert [each.line for each in found] == list(range(1, 474))
    assert Counter(each.coverage for each in found) == {
        "private": 224,
        "medicare": 191,
        "medicaid": 36,
        "dual_eligible": 15,
        "no_insurance": 7,
    }
    assert sum(each.claim_total_minor for each in found) == 473 * 25_500
    assert {len(each.items) for each in found} == {1}
    assert len({each.id_number for each in found}) == len({each.patient_id for each in found})
    assert max(len(each.document) for each in found) < 8_000


def test_facts_are_those_of_the_resources():
    first = load_directory(DATA).prescriptions[0]
    request = Sample().resources["MedicationRequest"][0]
    claim = Sample().claim_of(request)
    assert first.request_id == request["id"]
    assert first.claim_id == claim["id"]
    assert first.patient_id == request["subject"]["reference"].removeprefix("urn:uuid:")
    assert first.requester_id == request["requester"]["reference"].removeprefix("urn:uuid:")
    assert first.provider_id == claim["provider"]["reference"].removeprefix("urn:uuid:")
    assert (first.drug_code, first.drug_text) == ("310965", "Ibuprofen 200 MG Oral Tablet")
    assert first.drug_system == "http://www.nlm.nih.gov/research/umls/rxnorm"
    assert first.id_number == "999-22-1962"
    assert first.requester_npi == "160"
    assert first.provider_name == "NORTH SHORE MEDICAL CENTER -"
    assert first.authored_on == "2017-03-21T23:37:54+00:00"
    (item,) = first.items
    assert (item.sequence, item.drug_code, item.price_minor) == (1, "310965", 25_500)
    assert item.description == "Emergency room admission (procedure)"
    assert (first.claim_total_minor, first.currency, first.coverage) == (25_500, "USD", "private")
    assert first.id_number not in repr(first)


def test_prescriptions_have_the_order_of_the_requests_when_claims_are_shuffled(tmp_path):
    sample = Sample()
    sample.resources["Claim"].reverse()
    found = sample.load(tmp_path).prescriptions
    assert [each.request_id for each in found] == [each["id"] for each in sample.resources["MedicationRequest"]]
    assert found == load_directory(DATA).prescriptions


@pytest.mark.parametrize("status", ["stopped", "cancelled", "entered-in-error", "draft"])
def test_status_does_not_bar_a_request(tmp_path, status):
    assert len(Sample().change("MedicationRequest.status", status).load(tmp_path).prescriptions) == 12


def test_references_resolve_when_they_name_their_type(tmp_path):
    sample = Sample()
    request = sample.resources["MedicationRequest"][0]
    claim = sample.claim_of(request)
    for element, kind in (
        (request["subject"], "Patient"),
        (request["requester"], "Practitioner"),
        (claim["patient"], "Patient"),
        (claim["provider"], "Organization"),
        (claim["prescription"], "MedicationRequest"),
    ):
        element["reference"] = element["reference"].replace("urn:uuid:", f"{kind}/")
    assert sample.load(tmp_path).prescriptions[0].request_id == request["id"]


def test_organisation_may_prescribe_and_practitioner_may_charge(tmp_path):
    sample = Sample()
    request = sample.resources["MedicationRequest"][0]
    claim = sample.claim_of(request)
    request["requester"], claim["provider"] = claim["provider"], request["requester"]
    found = sample.load(tmp_path).prescriptions[0]
    assert found.requester_npi == ""
    assert found.provider_name == "Dr. Sharyl Hilpert"


def test_other_references_may_dangle(tmp_path):
    sample = Sample().change("MedicationRequest.encounter", {"reference": "Encounter/nowhere"})
    assert len(sample.load(tmp_path).prescriptions) == 12


def test_rxnorm_wins_when_a_drug_has_several_codings(tmp_path):
    sample = Sample()
    coding = sample.resources["MedicationRequest"][0]["medicationCodeableConcept"]["coding"]
    coding.insert(0, {"system": "http://snomed.info/sct", "code": "1"})
    assert sample.load(tmp_path).prescriptions[0].drug_code == "310965"


def test_drug_is_read_when_it_is_a_contained_medication(tmp_path):
    sample = Sample()
    request = sample.resources["MedicationRequest"][0]
    concept = request.pop("medicationCodeableConcept")
    request["contained"] = [{"resourceType": "Medication", "id": "drug", "code": concept}]
    request["medicationReference"] = {"reference": "#drug"}
    assert sample.load(tmp_path).prescriptions[0].drug_code == "310965"


def test_focal_insurance_counts_when_there_are_two(tmp_path):
    sample = Sample()
    insurance = sample.claim_of(sample.resources["MedicationRequest"][0])["insurance"]
    insurance.append({"sequence": 2, "focal": False, "coverage": {"display": "none of ours"}})
    assert sample.load(tmp_path).prescriptions[0].coverage == "private"


@pytest.mark.parametrize("kind", [{"text": "Social Security Number"}, {"coding": [{"code": "SS"}]}])
def test_id_number_is_found_by_code_and_by_text(tmp_path, kind):
    old = {"type": kind, "value": "000-00-0000", "use": "old"}
    sample = Sample().change("Patient.identifier", [old, {"type": kind, "value": " 999-11-1111 "}])
    name = sample.resources["Patient"][0]["id"]
    found = sample.load(tmp_path).prescriptions
    assert {each.id_number for each in found if each.patient_id == name} == {"999-11-1111"}


def test_narratives_are_read_past_and_never_carried(tmp_path):
    sample = Sample()
    narrative = {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>" + "x" * 50_000 + "</div>"}
    request = sample.resources["MedicationRequest"][0]
    for resource in (request, sample.claim_of(request), sample.resources["Patient"][0]):
        resource["text"] = narrative
    request["contained"] = [{"resourceType": "Patient", "id": "p", "text": narrative, "active": True}]
    document = sample.load(tmp_path).prescriptions[0].document
    assert b"xhtml" not in document
    assert b'"contained":[{"active":true,"id":"p","resourceType":"Patient"}]' in document


def test_text_is_kept_when_it_only_looks_like_markup(tmp_path):
    text = "take if < 5 mg, 1<2, x > y; tab\there, line\r\nbreak; größer ≥ 5 µg"
    sample = Sample().change("MedicationRequest.note", [{"text": text}])
    document = json.loads(sample.load(tmp_path).prescriptions[0].document)
    assert document["entry"][0]["resource"]["note"][0]["text"] == text


def test_text_of_the_longest_allowed_length_is_taken(tmp_path):
    assert Sample().change("MedicationRequest.note", [{"text": "x" * 4_096}]).load(tmp_path)


def test_several_files_of_a_type_are_one_batch_when_names_are_any_of_the_usual(tmp_path):
    sample = Sample()
    names = iter(("Claim.000.ndjson", "Claim.001.ndjson", "1.Claim.ndjson", "claims.ndjson"))
    for kind, resources in sample.resources.items():
        if kind == "Claim":
            for place, name in enumerate(names):
                text = "".join(json.dumps(each) + "\r\n\r\n" for each in resources[place * 3 : place * 3 + 3])
                (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        else:
            with gzip.open(tmp_path / f"{kind}.ndjson.gz", "wt", encoding="utf-8") as file:
                file.write(sample.text(kind))
    assert load_directory(tmp_path).counts["Claim"] == 12
    ours = [each.document for each in load_directory(tmp_path).prescriptions]
    assert ours == [each.document for each in load_directory(DATA).prescriptions]


def test_lines_are_counted_as_they_stand_when_some_are_blank(tmp_path):
    sample = Sample().change("Claim.total.value", 0, 2)
    sample.write(tmp_path)
    (tmp_path / "Claim.ndjson").write_text("\n \n" + sample.text("Claim"), encoding="utf-8")
    assert where(refused(tmp_path)) == [("fhir_amount_invalid", "Claim.ndjson", 5, "Claim.total.value")]


def test_files_of_other_types_are_ignored_and_counted(tmp_path):
    sample = Sample()
    sample.write(tmp_path)
    encounter = {"resourceType": "Encounter", "id": "1", "contained": [{"resourceType": "Patient", "id": "p"}]}
    (tmp_path / "Encounter.ndjson").write_text((json.dumps(encounter) + "\n") * 3, encoding="utf-8")
    (tmp_path / "huge.ndjson").write_text(
        '{"resourceType":"Binary"}\n{"x":"' + "x" * 2_000_000 + '"}\n', encoding="utf-8"
    )
    (tmp_path / "empty.ndjson").touch()
    (tmp_path / "notes.txt").write_text("not NDJSON", encoding="utf-8")
    assert load_directory(tmp_path).counts["ignored"] == 5


def test_line_is_refused_when_it_is_one_of_ours_in_a_file_of_another_type(tmp_path):
    sample = Sample()
    sample.write(tmp_path)
    (tmp_path / "Encounter.ndjson").write_text(
        '{"resourceType":"Encounter"}\n' + json.dumps(sample.resources["Patient"][0]) + "\n", encoding="utf-8"
    )
    assert where(refused(tmp_path)) == [("fhir_type_wrong", "Encounter.ndjson", 2, "resourceType")]


def test_file_is_refused_when_nothing_says_its_type(tmp_path):
    Sample().write(tmp_path)
    (tmp_path / "more.ndjson").write_text("{nonsense\n", encoding="utf-8")
    assert where(refused(tmp_path)) == [("fhir_json_invalid", "more.ndjson", 1, "")]


def test_claims_for_visits_are_ignored_and_counted(tmp_path):
    sample = Sample()
    visit = {**sample.resources["Claim"][0], "id": "visit", "type": {"coding": [{"code": "institutional"}]}}
    del visit["prescription"]
    sample.resources["Claim"].append(visit)
    batch = sample.load(tmp_path)
    assert (len(batch.prescriptions), batch.counts["ignored"]) == (12, 1)


@pytest.mark.parametrize("content", [b"not gzip at all", gzip.compress(b"x" * 100_000)[:-20], b"\x1f\x8b\x08\0"])
def test_file_is_refused_when_it_is_no_whole_gzip_file(tmp_path, content):
    Sample().write(tmp_path)
    (tmp_path / "Claim.1.ndjson.gz").write_bytes(content)
    problems = refused(tmp_path)
    assert (problems[0].code, problems[0].file) in {
        ("file_unreadable", "Claim.1.ndjson.gz"),
        ("fhir_json_invalid", "Claim.1.ndjson.gz"),
    }


def test_file_is_refused_when_it_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_FILE_BYTES", 10_000_000)
    Sample().write(tmp_path)
    (tmp_path / "Patient.1.ndjson.gz").write_bytes(gzip.compress(b"x" * 30_000_000))
    assert where(refused(tmp_path)) == [("file_unreadable", "Patient.1.ndjson.gz", 0, "")]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_line_is_too_long_when_it_has_one_byte_more_than_a_mebibyte(tmp_path, ending):
    path = tmp_path / "Claim.ndjson"
    path.write_bytes(b"x" * 1_048_576 + b"\nshort\n" + b"x" * 1_048_577 + ending)
    assert [(number, line and len(line)) for number, line in lines.read_lines(path)] == [
        (1, 1_048_576),
        (2, 5),
        (3, None),
    ]


@pytest.mark.parametrize("content", [None, "file"])
def test_directory_is_refused_when_it_is_none_or_empty(tmp_path, content):
    path = tmp_path / "where"
    if content:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput) as error:
        load_directory(path)
    assert error.value.code == "file_unreadable"
    with pytest.raises(InvalidInput) as error:
        load_directory(tmp_path)
    assert error.value.code == "file_unreadable"


def test_progress_is_told_for_every_file(tmp_path):
    told: list[tuple[str, int]] = []
    load_directory(DATA, lambda file, number: told.append((file, number)))
    assert told[-1] == ("Claim.ndjson", 12)
    assert {file for file, _ in told} == {each.name for each in DATA.glob("*.ndjson")}


def test_extra_scale_of_a_currency_is_taken_when_it_is_given(tmp_path):
    sample = Sample()
    for place in range(12):
        sample.change("Claim.total", {"value": 255, "currency": "KWD"}, place)
    batch = load_directory(sample.write(tmp_path), scales={"KWD": 3})
    assert {(each.currency, each.claim_total_minor) for each in batch.prescriptions} == {("KWD", 255_000)}


def test_practitioner_without_name_or_number_is_taken(tmp_path):
    sample = Sample().change("Practitioner.identifier", GONE).change("Practitioner.name", GONE)
    assert len(sample.load(tmp_path).prescriptions) == 12


MEASURE = """
import sys
from pathlib import Path
from node.fhir.reading import load_directory
batch = load_directory(Path(sys.argv[1]))
peak = next(line.split()[1] for line in open("/proc/self/status", encoding="utf-8") if line.startswith("VmHWM"))
print(len(batch.prescriptions), peak)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_bounded_when_there_are_thousands(tmp_path):
    sample = Sample()
    request = sample.resources["MedicationRequest"][0]
    claim = sample.claim_of(request)
    number = 3_000
    sample.resources["MedicationRequest"] = [{**request, "id": f"r{place}"} for place in range(number)]
    sample.resources["Claim"] = [
        {**claim, "id": f"c{place}", "prescription": {"reference": f"MedicationRequest/r{place}"}}
        for place in range(number)
    ]
    sample.write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=100,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    found, peak_kib = map(int, done.stdout.split())
    assert found == number
    assert peak_kib < 50_000 + number * 10, "the libraries take 42 MB, a request with its claim about 4 KiB"


def test_nothing_heavy_is_imported_before_something_is_validated():
    code = "import sys, node.fhir.reading, node.fhir.document; print(sorted({'fhir', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() == "[]"
