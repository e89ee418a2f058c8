"""``tidegate admission``: certificates made offline, brought by anybody, revoked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger.genesis import format_genesis
from ledger.keys import key_text
from node.cli.app import root
from tests.contracts.bridge.kit import key_of
from tests.node.cli.office_desk import OfficeDesk, office_desk

NEW = key_text(key_of("newcomer").public)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        yield found


def issue(desk: OfficeDesk, *changes: str, authority: str = "authority", code: int = 0, serial: str = "500") -> Path:
    """A certificate file, without any node."""
    out = desk.directory / "cert.json"
    out.unlink(missing_ok=True)
    chain = desk.office.chain.chain_id.hex()
    words = ["--chain-id", chain, "--authority-key", str(desk.directory / f"{authority}.key"), "--serial", serial]
    words += ["--key", NEW, "--organisation", "Insurer E", "--role", "member", "--role", "service"]
    words += ["--from", "2020-01-01", "--until", "2035-01-01", "-o", str(out), *changes]
    result = CliRunner().invoke(root, ["admission", "issue", *words])
    assert result.exit_code == code, result.output
    return out


def test_key_is_admitted_when_its_certificate_is_brought(desk: OfficeDesk) -> None:
    desk.json("admission", "admit", str(issue(desk)), by="member")
    shown = desk.json("admission", "show", NEW)
    assert (shown["certificate"]["organisation"], shown["certificate"]["roles"]) == ("Insurer E", ["member", "service"])
    listed = desk.json("admission", "list", "--organisation", "Insurer E")
    assert [item["serial"] for item in listed["certificates"]] == [500]
    assert desk.json("admission", "list", "--role", "officer")["certificates"]
    assert desk.refused("admission", "admit", str(issue(desk)), by="member") == "admission_serial_used"


def test_genesis_file_says_the_chain_when_it_is_given(desk: OfficeDesk) -> None:
    genesis = desk.directory / "genesis.json"
    genesis.write_bytes(format_genesis(desk.office.chain.genesis))
    out = desk.directory / "by-genesis.json"
    words = ["--genesis", str(genesis), "--authority-key", str(desk.directory / "authority.key"), "--serial", "9"]
    words += ["--key", NEW, "--organisation", "E", "--role", "member", "--until", "2035-01-01", "-o", str(out)]
    assert CliRunner().invoke(root, ["admission", "issue", *words]).exit_code == 0
    assert json.loads(out.read_bytes())["certificate"]["chain_id"] == desk.office.chain.chain_id.hex()
    assert CliRunner().invoke(root, ["admission", "issue", *words]).exit_code == 78


def test_chain_refuses_when_somebody_else_signed(desk: OfficeDesk) -> None:
    forged = issue(desk, authority="governor0")
    assert desk.refused("admission", "admit", str(forged), by="member") == "admission_certificate_refused"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (("--until", "2019-01-01"), 3),
        (("--transport", "12"), 3),
        (("--chain-id", "zz"), 3),
        (("--key", "ed25519:1"), 3),
        (("--role", "king"), 2),
        (("--serial", "0"), 2),
    ],
)
def test_certificate_is_not_written_when_it_would_be_wrong(desk: OfficeDesk, changes, code: int) -> None:
    assert not issue(desk, *changes, code=code).exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"certificate": 5}', '{"certificate": {}, "signatures": []}', "x" * 70_000]
)
def test_file_is_refused_before_sending_when_it_is_no_certificate(desk: OfficeDesk, content: str) -> None:
    path = desk.directory / "bad.json"
    path.write_text(content, encoding="utf-8")
    before = desk.office.gateway.submitted
    result = desk.run("admission", "admit", str(path), by="member", code=3)
    assert str(path) in result.output
    assert desk.office.gateway.submitted == before


def test_key_is_nobody_when_it_is_revoked(desk: OfficeDesk) -> None:
    desk.run("admission", "admit", str(issue(desk)), by="member")
    signed = ("--authority-key", str(desk.directory / "authority.key"))
    out = desk.directory / "revocation.json"
    desk.run("admission", "revoke", NEW, *signed, "--reason", "left", "-o", str(out), by="member")
    assert desk.json("admission", "show", NEW)["revocation"] is None
    desk.run("admission", "revoke", "--file", str(out), by="member")
    shown = desk.json("admission", "show", NEW)
    assert shown["certificate"] is None
    assert (shown["revocation"]["revocation"]["serial"], shown["revocation"]["revocation"]["reason"]) == (500, "left")
    desk.run("admission", "revoke", NEW, by="member", code=2)
    desk.run("admission", "revoke", by="member", code=2)
    assert desk.refused("admission", "revoke", NEW, *signed, by="member", code=5) == "not_found"
    forged = ("--authority-key", str(desk.directory / "governor0.key"), "--serial", "900")
    assert desk.refused("admission", "revoke", NEW, *forged, by="member") == "admission_revocation_refused"
    other = key_text(key_of("never").public)
    assert desk.refused("admission", "show", other, code=5) == "not_found"
