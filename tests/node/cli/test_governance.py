"""``tidegate governance``: proposals, k of n, that take effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.admission.calls import DelegationRecord, OrganisationArguments
from contracts.governance.calls import PolicyQuery
from ledger.keys import key_text
from node.keyfile import write_key
from tests.contracts.bridge.kit import GOVERNORS, key_of, lock_of
from tests.node.cli.office_desk import OfficeDesk, office_desk

HEAD = "name = 'visa'\nversion = 1\nmax_staleness_ms = 30000\nmasked = []\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        yield found


def keys(desk: OfficeDesk, *numbers: int) -> list[str]:
    return [part for number in numbers for part in ("--key", str(desk.directory / f"governor{number}.key"))]


def test_policy_is_set_when_two_governors_approve_it_apart(desk: OfficeDesk) -> None:
    lock = lock_of(key_of("new officer"))
    made = desk.json("governance", "propose-policy", "inspectors", lock, *keys(desk, 0), by="member")
    assert made["status"] == "pending"
    (waiting,) = desk.json("governance", "list")["proposals"]
    assert (waiting["action"], waiting["description"]) == ("set_policy", "policy inspectors")
    shown = desk.json("governance", "show", made["proposal"][:10])
    assert shown["content"] == {"name": "inspectors", "lock": lock}
    assert lock in desk.run("governance", "show", str(made["number"])).stdout
    done = desk.json("governance", "approve", made["proposal"][:10], *keys(desk, 1), by="member")
    assert done["status"] == "executed"
    assert desk.office.chain.view("governance", "policy", PolicyQuery("inspectors")).lock == lock
    assert "inspectors" in desk.run("governance", "list", "--policies").stdout
    assert desk.json("governance", "list")["proposals"] == []
    assert len(desk.json("governance", "list", "--all")["proposals"]) >= 1


def test_proposal_is_refused_when_no_governor_signs(desk: OfficeDesk) -> None:
    lock = lock_of(key_of("x"))
    assert desk.refused("governance", "propose-policy", "x", lock, by="member") == "governance_not_governor"
    sealing = desk.directory / "s.key"
    write_key(sealing, "sealing", desk.sealing[0].to_bytes())
    wrong = ("--key", str(sealing))
    assert desk.refused("governance", "propose-policy", "x", lock, *wrong, by="member", code=78) == "key_kind_wrong"
    assert desk.refused("governance", "approve", "ffff", *keys(desk, 0), by="member", code=5) == "not_found"


@pytest.mark.parametrize("lock", ["nonsense", "key(ed25519:12)", "after(5,key(ed25519:12))"])
def test_policy_is_refused_before_sending_when_it_is_no_lock(desk: OfficeDesk, lock: str) -> None:
    before = desk.office.gateway.submitted
    result = desk.run("governance", "propose-policy", "x", lock, *keys(desk, 0, 1), by="member", code=3)
    assert "LOCK: " in result.output
    assert desk.office.gateway.submitted == before


def test_approval_is_taken_back_when_its_governor_withdraws(desk: OfficeDesk) -> None:
    made = desk.json("governance", "propose-policy", "x", lock_of(key_of("x")), *keys(desk, 0), by="member")
    gone = desk.json("governance", "withdraw", made["proposal"], *keys(desk, 0), by="member")
    assert gone["status"] == "withdrawn"
    assert desk.refused("governance", "approve", made["proposal"], *keys(desk, 1), by="member") == (
        "governance_proposal_closed"
    )


def test_delegation_is_made_when_governors_agree(desk: OfficeDesk) -> None:
    words = ("member", "--max", "100", "--until", "2030-01-01")
    desk.json("governance", "delegate", *words, *keys(desk, 0, 1), by="member")
    record = desk.office.chain.view("admission", "delegation", OrganisationArguments("member"))
    assert isinstance(record, DelegationRecord)
    assert (record.delegation.max_certificates, record.delegation.roles) == (100, ("patient",))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            "name = 'visa'\nversion = 1\nmax_staleness_ms = 30000\nmasked = []\nstages = []",
            "kind.toml: FlowKind: Expected `array` of length >= 1 - at `stages`",
        ),
        (
            HEAD + "[[stages]]\nstage = 5\nneed = 'none'\npurpose = ''\ndeadline_ms = 0\nwindow_ms = 0",
            "at `stages[0].stage`",
        ),
        ("name = 'visa'\nversion = 1\nmax_staleness_ms = 30000\nmasked = []\n[[stages]]\nstage = 'file'", "stages[0]"),
        ("= 5", "kind.toml"),
        (
            HEAD + "[[stages]]\nstage = 'dream'\nneed = 'none'\npurpose = ''\ndeadline_ms = 0\nwindow_ms = 0",
            "dream",
        ),
    ],
)
def test_flow_kind_is_refused_with_the_place_before_sending_when_it_is_wrong(
    desk: OfficeDesk, text: str, place: str
) -> None:
    path = desk.directory / "kind.toml"
    path.write_text(text, encoding="utf-8")
    before = desk.office.gateway.submitted
    code = 3
    output = desk.run("governance", "propose-kind", str(path), *keys(desk, 0, 1), by="member", code=code).output
    assert place in output
    assert desk.office.gateway.submitted == before


def test_client_of_the_other_chain_is_made_from_what_its_node_says(desk: OfficeDesk) -> None:
    other = ("--role", "supervision", "--other", str(desk.directory / "rpc.sock"))
    refused = desk.run("governance", "propose-client", *other, *keys(desk, 0, 1), by="member", code=1)
    assert "bridge_" in refused.output or "executed" in refused.output


def test_governors_are_shown_as_the_genesis_named_them(desk: OfficeDesk) -> None:
    policies = {item["name"]: item["lock"] for item in desk.json("governance", "list", "--policies")["policies"]}
    assert all(key_text(key.public) in policies["governors"] for key in GOVERNORS)
