"""`tidegate evidence`: verifying a file without any node, and what a chain without faults says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger.genesis import format_genesis
from ledger.keys import key_text
from node.cli.app import root
from tests.node.cluster import make_genesis
from tests.node.misbehaving import GENESIS, GUILTY, MEMBERS, written


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    bundle, genesis = tmp_path / "fault.json", tmp_path / "genesis.json"
    bundle.write_bytes(written())
    genesis.write_bytes(format_genesis(GENESIS))
    return bundle, genesis


def verify(bundle: Path, genesis: Path, *options: str) -> Result:
    return CliRunner().invoke(root, ["evidence", "verify", str(bundle), "--genesis", str(genesis), *options])


def test_verify_names_the_faulty_in_words(files: tuple[Path, Path]) -> None:
    result = verify(*files)
    assert result.exit_code == 0, result.output
    assert f"{key_text(GUILTY.public)} signed two different COMMIT messages at height 9, round 2" in result.output
    document = json.loads(verify(*files, "--json").stdout)
    assert (document["valid"], document["kind"], document["validator"]) == (
        True,
        "misbehaviour",
        key_text(GUILTY.public),
    )


def test_verify_names_the_field_when_a_byte_is_another(files: tuple[Path, Path]) -> None:
    bundle, genesis = files
    data = bundle.read_bytes()
    place = data.rindex(b'"signature": "') + 30
    bundle.write_bytes(data[:place] + (b"0" if data[place : place + 1] != b"0" else b"1") + data[place + 1 :])
    result = verify(bundle, genesis)
    assert result.exit_code == 1
    assert "evidence.second.signature" in result.output


def test_verify_refuses_the_genesis_of_another_chain(files: tuple[Path, Path]) -> None:
    bundle, genesis = files
    genesis.write_bytes(format_genesis(make_genesis(MEMBERS, MEMBERS)))
    assert verify(bundle, genesis).exit_code == 1
    genesis.write_bytes(b"{}")
    assert verify(bundle, genesis).exit_code == 78


def test_verify_says_which_file_it_cannot_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, genesis = files
    for arguments in ((tmp_path / "none", genesis), (bundle, tmp_path / "none"), (tmp_path, genesis)):
        result = verify(*arguments)
        assert result.exit_code == 78
        assert "cannot read" in result.output


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 100])
def test_verify_refuses_what_is_no_bundle(files: tuple[Path, Path], data: bytes) -> None:
    bundle, genesis = files
    bundle.write_bytes(data)
    assert verify(bundle, genesis).exit_code == 1
