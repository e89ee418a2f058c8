"""Bad FHIR data through ``tidegate flow import`` and ``tidegate flow file``: refused with its place, nothing sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.chain import Committed
from tests.node.cli.flow_desk import FlowDesk, flow_desk
from tests.node.flow.imports import sample
from tests.node.two_chains import blocks_of

NOWHERE = "urn:uuid:00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FlowDesk, list[Committed]]]:
    with flow_desk(tmp_path_factory.mktemp("desk")) as found:
        yield found, blocks_of(found.world.business)


def _set(path: str, value: object) -> Callable[[object], object]:
    def change(made):
        return made.change(path, value, 3)

    return change


def _lose(path: str):
    from tests.node.fhir.sample import GONE

    return _set(path, GONE)


def _twice(kind: str):
    def change(made):
        made.resources[kind].insert(3, made.resources[kind][1])
        return made

    return change


REQUEST, CLAIM = "MedicationRequest", "Claim"
DRUG = f"{REQUEST}.medicationCodeableConcept.text"
BAD = {
    "invalid": (_set(f"{REQUEST}.status", "bogus"), "fhir_invalid", f"{REQUEST}.status"),
    "another type": (_set(f"{REQUEST}.resourceType", "Observation"), "fhir_type_wrong", "resourceType"),
    "no subject": (_lose(f"{REQUEST}.subject"), "fhir_invalid", f"{REQUEST}.subject"),
    "subject nowhere": (
        _set(f"{REQUEST}.subject.reference", NOWHERE),
        "fhir_reference_unresolved",
        f"{REQUEST}.subject.reference",
    ),
    "requester nowhere": (
        _set(f"{REQUEST}.requester.reference", NOWHERE),
        "fhir_reference_unresolved",
        f"{REQUEST}.requester.reference",
    ),
    "patient nowhere": (
        _set(f"{CLAIM}.patient.reference", NOWHERE),
        "fhir_reference_unresolved",
        f"{CLAIM}.patient.reference",
    ),
    "provider nowhere": (
        _set(f"{CLAIM}.provider.reference", NOWHERE),
        "fhir_reference_unresolved",
        f"{CLAIM}.provider.reference",
    ),
    "prescription nowhere": (
        _set(f"{CLAIM}.prescription.reference", NOWHERE),
        "fhir_reference_unresolved",
        f"{CLAIM}.prescription.reference",
    ),
    "the same request twice": (_twice(REQUEST), "fhir_duplicate_id", f"{REQUEST}.id"),
    "the same claim twice": (_twice(CLAIM), "fhir_duplicate_id", f"{CLAIM}.id"),
    "huge text": (_set(DRUG, "x" * 100_000), "fhir_too_large", DRUG),
    "markup": (_set(DRUG, "<script>alert(1)</script>"), "fhir_text_refused", DRUG),
    "three decimals": (_set(f"{CLAIM}.total.value", 255.001), "fhir_amount_invalid", f"{CLAIM}.total.value"),
    "an unknown coverage": (
        _set(f"{CLAIM}.insurance[0].coverage.display", "Medicare Plus"),
        "fhir_coverage_unknown",
        f"{CLAIM}.insurance[0].coverage.display",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_import_is_refused_with_line_and_path_when_the_data_have(
    name: str, desk: tuple[FlowDesk, list[Committed]], tmp_path: Path
) -> None:
    from tests.node.fhir.sample import Sample

    at, blocks = desk
    change, code, path = BAD[name]
    change(Sample()).write(tmp_path)
    sent = _transactions(blocks)
    result = at.run("import", str(tmp_path), "--state", str(tmp_path / "state"), code=3)
    file = f"{path.partition('.')[0]}.ndjson" if "." in path else "MedicationRequest.ndjson"
    assert f"[{code}]" in result.stderr
    assert f"{file}, line 4" in result.stderr
    assert path in result.stderr
    assert _transactions(blocks) == sent
    assert not (tmp_path / "state").exists()


def test_all_faults_are_told_at_once_when_there_are_several(
    desk: tuple[FlowDesk, list[Committed]], tmp_path: Path
) -> None:
    from tests.node.fhir.sample import Sample

    at, blocks = desk
    made = Sample().change(f"{REQUEST}.status", "bogus", 1).change("Patient.gender", "unheard of", 2)
    made.change(f"{CLAIM}.total.value", -1, 5).write(tmp_path)
    sent = _transactions(blocks)
    result = at.run("import", str(tmp_path), "--state", str(tmp_path / "state"), code=3)
    for place in (f"{REQUEST}.ndjson, line 2", "Patient.ndjson, line 3", f"{CLAIM}.ndjson, line 6"):
        assert place in result.stderr
    assert _transactions(blocks) == sent


@pytest.mark.parametrize(
    ("spoil", "reason", "path"),
    [
        (lambda entry: entry["MedicationRequest"].pop("subject"), "fhir_invalid", "subject"),
        (lambda entry: entry["MedicationRequest"].update(status="bogus"), "fhir_invalid", "status"),
        (lambda entry: entry["Claim"]["total"].update(value=1.001), "fhir_amount_invalid", "Claim.total.value"),
        (
            lambda entry: entry["Claim"]["provider"].update(reference=NOWHERE),
            "fhir_reference_unresolved",
            "Claim.provider.reference",
        ),
        (
            lambda entry: entry["MedicationRequest"]["medicationCodeableConcept"].update(text="<b>x</b>"),
            "fhir_text_refused",
            "medicationCodeableConcept.text",
        ),
    ],
)
def test_single_document_is_refused_with_the_path_when_it_is_bad(
    spoil: Callable[[dict], object], reason: str, path: str, desk: tuple[FlowDesk, list[Committed]], tmp_path: Path
) -> None:
    at, blocks = desk
    bundle = json.loads(sample()[0].document)
    spoil({entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]})
    (tmp_path / "bad.json").write_text(json.dumps(bundle))
    sent = _transactions(blocks)
    command = ("file", str(tmp_path / "bad.json"), "--as", "City Hospital", "--platform", "Prescription Platform P")
    result = at.run(*command, "--patient", "Ann", code=3)
    assert f"[{reason}]" in result.stderr
    assert path in result.stderr
    assert _transactions(blocks) == sent


def _transactions(blocks: list[Committed]) -> int:
    return sum(block.candidate.block.header.transactions_count for block in blocks)
