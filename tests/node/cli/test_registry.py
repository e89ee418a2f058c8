"""``tidegate registry``: from registration to taking part, and control classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.decisions import Publish
from contracts.messages import KeyNotice
from ledger.keys import key_text
from tests.contracts.bridge.kit import call, key_of
from tests.contracts.supervision.world import DOCTOR, PHARMACY
from tests.node.cli.office_desk import OfficeDesk, office_desk

NEW = key_of("pharmacy nine").public


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        key = found.sealing[0].public
        notice = KeyNotice(DOCTOR.public, key.suite, key.epoch, key.public, retired=False)
        chain = found.office.chain
        chain.run(chain.tx(DOCTOR, call("keyring", "publish", Publish(notice))))
        yield found


def register(desk: OfficeDesk, *more: str, code: int = 0) -> str:
    words = ("--key", key_text(NEW), "--organisation", "Pharmacy 9", "--kind", "pharmacy")
    return desk.run("registry", "register", *words, *more, officers=1, code=code).output


def status(desk: OfficeDesk) -> str:
    return str(desk.json("registry", "show", "Pharmacy 9")["participant"]["status"])


def test_participant_takes_part_once_registered_verified_and_activated(desk: OfficeDesk) -> None:
    more = desk.directory / "more.json"
    more.write_text('{"licence": "L-9"}', encoding="utf-8")
    register(desk, "--document", str(more))
    assert status(desk) == "registered"
    assert desk.refused("registry", "activate", "Pharmacy 9", officers=1).startswith("registry_")
    desk.run("registry", "verify", "Pharmacy 9")
    assert status(desk) == "verified"
    desk.run("registry", "activate", "Pharmacy 9", officers=1)
    assert status(desk) == "active"
    desk.run("registry", "suspend", "Pharmacy 9", "--reason", "audit", officers=1)
    shown = desk.json("registry", "show", key_text(NEW)[:20])["participant"]
    assert (shown["status"], shown["reason"]) == ("suspended", "audit")
    desk.run("registry", "reinstate", "Pharmacy 9", officers=1)
    assert status(desk) == "active"
    opened = desk.json("registry", "show", "Pharmacy 9", "--open")["identity"]
    assert (opened["licence"], opened["organisation"]) == ("L-9", "Pharmacy 9")
    assert not any(b"L-9" in wire for wire in desk.office.chain.transactions.values())


def test_registration_is_refused_before_sending_when_its_file_is_wrong(desk: OfficeDesk) -> None:
    path = desk.directory / "more.json"
    before = desk.office.gateway.submitted
    for content in ("[", "[]", json.dumps({"key": "other"}), json.dumps({"a": "x" * 40_000})):
        path.write_text(content, encoding="utf-8")
        assert "file_invalid" in register(desk, "--document", str(path), code=3)
    wrong = ("--key", "ed25519:1", "--organisation", "X", "--kind", "other")
    assert desk.refused("registry", "register", *wrong, officers=1, code=3) == "key_invalid"
    assert desk.office.gateway.submitted == before


def test_only_an_authority_verifies(desk: OfficeDesk) -> None:
    register(desk)
    assert desk.refused("registry", "verify", "Pharmacy 9", by="member", code=78) == "authority_keys_missing"
    assert status(desk) == "registered"


def test_participant_is_named_by_key_prefix_or_organisation_and_never_guessed(desk: OfficeDesk) -> None:
    desk.office.register(key_of("another"))
    desk.office.register(key_of("one more"))
    assert desk.refused("registry", "show", "somebody", code=3) == "participant_ambiguous"
    assert desk.refused("registry", "show", "nobody", code=5) == "not_found"
    text = key_text(PHARMACY.public)
    for said in (text, text[:16], text.removeprefix("ed25519:")[:8], "pharmacy P"):
        assert desk.json("registry", "show", said)["participant"]["organisation"] == "pharmacy P"
    everybody = desk.json("registry", "list")["participants"]
    assert len(everybody) == 6
    assert desk.json("registry", "list", "--status", "suspended")["participants"] == []


def test_control_class_holds_once_two_officers_have_signed_it(desk: OfficeDesk) -> None:
    words = ("registry", "class", "pharmacy P", "controlled")
    assert not desk.json(*words, "--officer", "Officer 1")["done"]
    assert desk.json(*words, "--officer", "Officer 2")["done"]
    classes = {
        item["organisation"]: item["control_class"] for item in desk.json("registry", "list", "--classes")["classes"]
    }
    assert classes["pharmacy P"] == "controlled"
    assert "class controlled" in desk.run("registry", "show", "pharmacy P").stdout
