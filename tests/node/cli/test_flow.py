"""`tidegate flow`, step by step as each party, against two real chains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.cli.flow_desk import FlowDesk, flow_desk
from tests.node.flow.imports import sample

PLATFORM = "Prescription Platform P"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowDesk]:
    with flow_desk(tmp_path_factory.mktemp("desk")) as found:
        yield found


def document(at: FlowDesk, place: int = 0) -> str:
    path = at.directory / f"document-{place}.json"
    path.write_bytes(sample()[place].document)
    return str(path)


def patient(at: FlowDesk, name: str = "Ann") -> str:
    at.run("patient", name, "--as", PLATFORM)
    return name


def filed(at: FlowDesk, place: int, name: str = "Ann") -> dict:
    command = ("file", document(at, place), "--as", "City Hospital", "--platform", PLATFORM)
    return at.json(*command, "--patient", patient(at, name))


def reviewed(at: FlowDesk, place: int, *, approve: bool = True) -> dict:
    found = filed(at, place)
    at.run("review", found["authorisation"], "--as", "Reviewer 1")
    at.run("release", found["flow"], "--as", PLATFORM)
    at.run("opinion", found["flow"], "--as", "Reviewer 1", "--approve" if approve else "--reject")
    return found


def test_a_prescription_goes_all_the_way_from_the_command_line(at: FlowDesk):
    found = filed(at, 0)
    flow, authorisation = found["flow"], found["authorisation"]
    assert authorisation in [entry["authorisation"] for entry in at.json("pool")["pool"]]
    granted = at.json("review", authorisation, "--as", "Reviewer 1")
    assert len(granted["token"]) == 64
    assert at.json("release", flow, "--as", PLATFORM)["token"] == granted["token"]
    read = at.run("review", authorisation, "--as", "Reviewer 1", "--read").stdout
    assert sample()[0].drug_code in read
    assert sample()[0].id_number not in read, "direct identifiers are masked"
    assert at.json("opinion", flow, "--as", "Reviewer 1", "--approve")["confirmation"]
    ordered = at.json("order", authorisation, "--as", "Ann", "--pharmacy", "Pharmacy 1", "--document", document(at))
    assert ordered["placed"]
    assert at.refused("open", flow, "--as", "Pharmacy 2", "--stage", "order", code=3) == "envelope_not_for_us"
    order = at.json("open", flow, "--as", "Pharmacy 1", "--stage", "order")["document"]
    assert order["flow"] == flow
    at.run("accept", flow, "--as", "Pharmacy 1")
    command = ("fulfil", flow, "--as", "Pharmacy 1", "--asset", "USD", "--payer", "Payer")
    priced = at.json(*command, "--item", "310965:medicare:255.00", "--item", "1:medicare:0.01")
    assert (priced["total"], priced["reimbursed"], priced["patient_share"]) == (25501, 20401, 5100)
    paid = at.json("pay", flow, "--as", "Ann", "--payer", "Payer", "--fund", "Bank")
    assert len(paid["storage"]) == 64
    record = at.json("open", flow, "--as", "Payer")["document"]
    assert (record["total"], record["reimbursed"], record["patient_share"]) == (25501, 20401, 5100)
    at.run("deliver", flow, "--as", "Pharmacy 1")
    shown = at.json("show", authorisation)
    assert (shown["status"], shown["flow"]) == ("closed", flow)
    assert at.refused("deliver", flow, "--as", "Pharmacy 1") == "flow_ended"
    words = at.run("show", flow).stdout
    assert "closed" in words
    assert "settle" in words
    listed = at.json("list", "--party", "Pharmacy 1")["flows"]
    assert flow in [item["flow"] for item in listed]
    assert at.json("list", "--stage", "order")["flows"] == []


def test_an_order_can_be_granted_now_and_placed_later(at: FlowDesk):
    found = reviewed(at, 1)
    given = ("--document", document(at, 1), "--wishes", "ring twice")
    at.run("order", found["authorisation"], "--as", "Ann", "--pharmacy", "Pharmacy 2", *given, "--no-place")
    other = ("--document", document(at, 1), "--wishes", "do not ring")
    assert at.refused("place", found["flow"], "--as", "Ann", *other) == "flow_envelope_foreign"
    at.run("place", found["flow"], "--as", "Ann", *given)
    at.run("accept", found["flow"], "--as", "Pharmacy 2")


def test_an_opinion_that_rejects_ends_the_flow(at: FlowDesk):
    found = reviewed(at, 2, approve=False)
    command = ("order", found["authorisation"], "--as", "Ann", "--pharmacy", "Pharmacy 1")
    assert at.refused(*command, "--document", document(at, 2)) == "flow_ended"
    assert at.json("show", found["flow"])["status"] == "rejected"


def test_steps_out_of_turn_are_refused_with_the_chains_code(at: FlowDesk):
    found = filed(at, 3)
    flow, authorisation = found["flow"], found["authorisation"]
    assert at.refused("release", flow, "--as", PLATFORM, code=3) == "flow_grant_missing"
    assert at.refused("opinion", flow, "--as", "Reviewer 1", "--approve") == "flow_not_released"
    command = ("order", authorisation, "--as", "Ann", "--pharmacy", "Pharmacy 1", "--document", document(at, 3))
    assert at.refused(*command) == "flow_stage_order"
    assert at.refused("pay", flow, "--as", "Ann") == "flow_stage_order"
    assert at.refused("deliver", flow, "--as", "Pharmacy 1") == "flow_stage_order"
    assert at.refused("review", authorisation, "--as", "Ann") == "flow_party_wrong"
    assert at.refused("accept", flow, "--as", "Pharmacy 1", code=5) == "not_found"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "fhir_json_invalid"),
        (b"{", "fhir_json_invalid"),
        (b"[]", "fhir_type_wrong"),
        (b'{"resourceType":"Patient"}', "fhir_type_wrong"),
        (b'{"resourceType":"Bundle","type":"collection","entry":[]}', "fhir_invalid"),
        (b'{"a":1,"a":2}', "fhir_json_invalid"),
        (b" " * 41_000, "document_oversized"),
    ],
)
def test_a_bad_document_is_refused_before_anything_is_sent(at: FlowDesk, content: bytes, reason: str):
    path = at.directory / "bad.json"
    path.write_bytes(content)
    before = len(at.json("list", "--limit", "100")["flows"])
    command = ("file", str(path), "--as", "City Hospital", "--platform", PLATFORM, "--patient", patient(at))
    assert at.refused(*command, code=3) == reason
    assert len(at.json("list", "--limit", "100")["flows"]) == before


def test_bad_command_lines_end_with_their_codes(at: FlowDesk):
    good = document(at)
    at.run("show", "xyz", code=2)
    at.run("show", "AB" * 32, code=2)
    assert at.refused("show", "ab" * 32, code=5) == "not_found"
    assert at.refused("open", "ab" * 32, "--as", "Payer", code=5) == "not_found"
    assert at.refused("file", good, "--as", "Nobody", code=5) == "not_found"
    assert at.refused("file", good, "--as", "City Hospital", "--platform", "Nobody", code=5) == "not_found"
    at.run("opinion", "ab" * 32, "--as", "Reviewer 1", code=2)
    at.run("file", good, code=2)
    assert at.refused("file", good, "--as", "City Hospital") == "flow_party_wrong"
    empty = str(at.directory / "empty")
    Path(empty).mkdir()
    assert at.refused("deliver", "ab" * 32, "--as", "Payer", "--parties", empty, code=78) == "parties_missing"
    nowhere = str(at.directory / "nowhere.sock")
    assert at.refused("show", "ab" * 32, "--socket", nowhere, code=4, socket=False) == "rpc_unavailable"


@pytest.mark.parametrize("item", ["310965:medicare", "310965:medicare:", "1:2:0", "1:medicare:1.001", "1:medicare:x"])
def test_a_bad_price_is_refused(at: FlowDesk, item: str):
    flow = at.json("list", "--oldest")["flows"][0]["flow"]
    command = ("fulfil", flow, "--as", "Pharmacy 1", "--asset", "USD", "--item", item)
    assert at.refused(*command, code=3) == "item_invalid"


# --- import -----------------------------------------------------------------------------------------------------------


def data(directory: Path, requests: int) -> Path:
    """The first requests of the sample as a directory of its own."""
    from tests.node.fhir.sample import Sample

    found = Sample()
    kept = found.resources["MedicationRequest"][:requests]
    names = {f"urn:uuid:{each['id']}" for each in kept}
    found.resources["MedicationRequest"] = kept
    found.resources["Claim"] = [
        claim for claim in found.resources["Claim"] if claim["prescription"]["reference"] in names
    ]
    directory.mkdir()
    return found.write(directory)


def test_a_directory_is_imported_and_the_second_run_has_nothing_to_do(at: FlowDesk, tmp_path: Path):
    source, state = str(data(tmp_path / "fhir", 3)), str(tmp_path / "state")
    found = at.json("import", source, "--state", state)
    assert found["outcomes"] == {"delivered": 3}
    assert found["money"]["claims_total"] == 3 * 25_500
    assert [request["outcome"] for request in found["requests"]] == ["delivered"] * 3
    again = at.run("import", source, "--state", state).stdout
    assert "delivered 3 of 3" in again
    assert "3 requests had ended before" in again


def test_a_dry_run_sends_nothing(at: FlowDesk, tmp_path: Path):
    before = len(at.json("list", "--limit", "100")["flows"])
    assert at.json("import", str(data(tmp_path / "fhir", 2)), "--dry-run") == {"prescriptions": 2}
    assert len(at.json("list", "--limit", "100")["flows"]) == before


def test_bad_data_are_refused_with_line_and_path_before_anything_is_sent(at: FlowDesk, tmp_path: Path):
    source = data(tmp_path / "fhir", 3)
    lines = (source / "MedicationRequest.ndjson").read_text().splitlines()
    broken = json.loads(lines[1])
    del broken["subject"]
    (source / "MedicationRequest.ndjson").write_text("\n".join([lines[0], json.dumps(broken), lines[2]]) + "\n")
    before = len(at.json("list", "--limit", "100")["flows"])
    result = at.run("import", str(source), "--state", str(tmp_path / "state"), code=3)
    assert "MedicationRequest.ndjson, line 2" in result.stderr
    assert len(at.json("list", "--limit", "100")["flows"]) == before
    assert not (tmp_path / "state").exists()


def test_an_import_goes_on_with_another_node_when_one_is_gone(at: FlowDesk, tmp_path: Path):
    source = str(data(tmp_path / "fhir", 2))
    gone = ("--socket", str(tmp_path / "gone.sock"), "--socket", str(at.sockets[1]))
    found = at.json("import", source, "--state", str(tmp_path / "state"), *gone, socket=False)
    assert found["outcomes"] == {"delivered": 2}


def test_an_import_says_what_is_missing(at: FlowDesk, tmp_path: Path):
    source = str(data(tmp_path / "fhir", 1))
    at.run("import", source, code=2)
    at.run("import", str(tmp_path / "nothing"), "--state", str(tmp_path / "s"), code=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert at.refused("import", str(empty), "--state", str(tmp_path / "s"), code=3) == "file_unreadable"
    assert at.refused("import", source, "--state", str(tmp_path / "s"), "--parties", str(empty), code=78) == (
        "parties_missing"
    )
    nowhere = ("--socket", str(tmp_path / "nowhere.sock"))
    assert at.refused("import", source, "--state", str(tmp_path / "s"), *nowhere, code=4, socket=False) == (
        "rpc_unavailable"
    )


def test_what_waits_for_an_officer_is_said_and_the_exit_code_is_1(at: FlowDesk, tmp_path: Path):
    from node.flow.importer.mapping import choose_hospital
    from tests.node.fhir.sample import Sample

    hospitals = [at.world.party(name) for name in ("City Hospital", "County Hospital", "Private Clinic")]
    provider = next(
        name for name in map(str, range(1_000)) if choose_hospital(name, hospitals).name == "Private Clinic"
    )
    source = data(tmp_path / "fhir", 1)
    found = Sample()
    text = (source / "Claim.ndjson").read_text()
    (old,) = {json.loads(line)["provider"]["reference"] for line in text.splitlines()}
    organisations = [
        {**organisation, "id": provider}
        for organisation in found.resources["Organization"]
        if organisation["id"] in old
    ]
    assert organisations
    (source / "Claim.ndjson").write_text(text.replace(old, f"Organization/{provider}"))
    (source / "Organization.ndjson").write_text(
        "".join(json.dumps(each) + "\n" for each in [*found.resources["Organization"], *organisations[:1]])
    )
    document = at.json("import", str(source), "--state", str(tmp_path / "state"), "--patience", "0.5", code=1)
    assert document["outcomes"] == {"waiting_for_officer": 1}
