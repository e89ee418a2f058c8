"""`tidegate tx`: transactions handed in, shown, waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.accounts import OpenArguments
from ledger.encoding import encode
from ledger.keys import key_text
from ledger.transaction import VERSION, Body, Call, Transaction, build
from tests.node.cli.commission_kit import Desk, desk
from tests.node.services.members import B, C


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def open_account(at: Desk, name: str, by: str = B) -> Transaction:
    key, chain = at.world.keys[by], at.world.chain
    call = Call("accounts", "open", encode(OpenArguments(name, f"key({key_text(key.public)})")))
    body = Body(VERSION, chain.rules.chain_id, key.public, 100, bytes(16), (), (), (call,), (), b"")
    return build(body, (key,))


@pytest.mark.parametrize("as_hex", [False, True])
def test_committed_when_a_file_is_submitted(at: Desk, tmp_path: Path, as_hex: bool):
    transaction = open_account(at, "new")
    path = tmp_path / "signed.tx"
    path.write_bytes(transaction.wire.hex().encode() + b"\n" if as_hex else transaction.wire)
    found = at.json("tx", "submit", str(path))
    assert (found["tx_id"], found["status"]) == (transaction.tx_id.hex(), "committed")
    assert at.json("tx", "submit", str(path))["height"] == found["height"]


def test_refused_with_the_code_when_the_chain_refuses(at: Desk, tmp_path: Path):
    path = tmp_path / "signed.tx"
    for by, code in ((B, 0), (C, 1)):
        path.write_bytes(open_account(at, "new", by).wire)
        result = at.run("tx", "submit", str(path), code=code)
    assert "account_exists" in result.output


def test_invalid_when_the_file_is_no_transaction(at: Desk, tmp_path: Path):
    path = tmp_path / "signed.tx"
    path.write_bytes(b"hello")
    assert "malformed" in at.run("tx", "submit", str(path), code=3).output


def test_shown_and_written_when_known(at: Desk, tmp_path: Path):
    transaction = open_account(at, "new")
    path = tmp_path / "signed.tx"
    path.write_bytes(transaction.wire)
    at.run("tx", "submit", str(path))
    copy = tmp_path / "copy.tx"
    text = at.run("tx", "get", transaction.tx_id.hex(), "--output", str(copy)).output
    assert "accounts.open" in text
    assert "committed (ok)" in text
    assert copy.read_bytes() == transaction.wire
    at.run("tx", "get", transaction.tx_id.hex(), "--output", str(tmp_path), code=2)
    at.run("tx", "wait", transaction.tx_id.hex())


def test_not_found_when_unknown(at: Desk):
    at.run("tx", "get", "00" * 32, code=5)
    assert "outcome_unknown" in at.run("tx", "wait", "00" * 32, "--timeout", "0", code=1).output


@pytest.mark.parametrize("text", ["00", "zz" * 32, "0" * 63])
def test_invalid_when_the_id_is_none(at: Desk, text: str):
    assert "tx_id_invalid" in at.run("tx", "get", text, code=3).output
