"""Tokens: the file keeps digests, the book follows the file, the commands write it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.errors import InvalidConfig, InvalidInput, NotFound
from node.cli.app import root
from node.rpc import tokens
from node.rpc.method import Scope
from node.rpc.tokens import TokenBook, new_token, read_tokens, revoke_token


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "rpc-tokens.json"


def test_file_has_no_token_in_it_and_is_the_owners_alone_when_one_is_made(file: Path) -> None:
    token = new_token(file, "Platform A", Scope.SUBMIT)
    text = file.read_text()
    assert token not in text
    assert token.rpartition("_")[2] not in text
    assert len(token) > 50
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    found = TokenBook(file).find(token)
    assert found is not None
    assert (found.name, found.scope) == ("Platform A", "submit")


def test_tokens_differ_when_made_for_one_name_again(file: Path) -> None:
    first = new_token(file, "a", Scope.READ)
    revoke_token(file, "a")
    second = new_token(file, "a", Scope.READ)
    book = TokenBook(file)
    assert first != second
    assert (book.find(first), book.find(second) is None) == (None, False)


@pytest.mark.parametrize("wrong", ["", "_", "__", "tg1_", "tg1_x_y", "\ud800", "tg1_" + "0" * 16 + "_" + "a" * 43])
def test_nothing_is_found_when_the_token_is_none(file: Path, wrong: str) -> None:
    new_token(file, "a", Scope.ADMIN)
    assert TokenBook(file).find(wrong) is None


def test_secret_of_one_entry_opens_no_other_when_ids_are_swapped(file: Path) -> None:
    first, second = new_token(file, "a", Scope.READ), new_token(file, "b", Scope.ADMIN)
    head, _, _ = second.rpartition("_")
    swapped = second[: second.index("_", 4) + 1] + first[first.index("_", 4) + 1 :]
    assert head
    assert TokenBook(file).find(swapped) is None


def test_token_is_refused_when_its_time_is_over(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.time, "time", lambda: 1_000.0)
    token = new_token(file, "a", Scope.READ, expires_ms=2_000_000)
    book = TokenBook(file)
    assert book.find(token) is not None
    monkeypatch.setattr(tokens.time, "time", lambda: 2_000.0)
    assert book.find(token) is None


def test_book_follows_the_file_when_it_changes(file: Path) -> None:
    book = TokenBook(file)
    assert (len(book), book.refresh()) == (0, False)
    token = new_token(file, "a", Scope.READ)
    assert book.refresh()
    assert book.find(token) is not None
    assert not book.refresh()
    revoke_token(file, token.split("_")[1])
    assert book.refresh()
    assert book.find(token) is None


def test_book_is_empty_when_the_file_is_damaged_while_it_runs(file: Path) -> None:
    token = new_token(file, "a", Scope.READ)
    book = TokenBook(file)
    file.write_text("{")
    with pytest.raises(InvalidConfig, match="tidegate rpc token new") as caught:
        book.refresh()
    assert caught.value.code == "tokens_invalid"
    assert book.find(token) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":2,"tokens":[]}',
        '{"version":1,"tokens":[{}]}',
        "[" * 10_000,
        "\x00" * (1024 * 1024 + 1),
    ],
    ids=range(7),
)
def test_file_is_refused_when_it_has_another_form(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(InvalidConfig):
        read_tokens(file)


@pytest.mark.parametrize("name", ["", " a", "a" * 65, "a\nb", "é", "../a"])
def test_name_is_refused_when_it_has_another_form(file: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        new_token(file, name, Scope.READ)
    assert not file.exists()


def test_names_are_unique_and_known_when_tokens_are_made_and_revoked(file: Path) -> None:
    new_token(file, "a", Scope.READ)
    with pytest.raises(InvalidInput, match="revoke") as caught:
        new_token(file, "a", Scope.ADMIN)
    assert caught.value.code == "token_exists"
    with pytest.raises(NotFound) as gone:
        revoke_token(file, "b")
    assert gone.value.code == "token_unknown"


def test_number_of_tokens_is_bounded_when_they_never_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    new_token(file, "a", Scope.READ)
    new_token(file, "b", Scope.READ)
    with pytest.raises(InvalidInput, match="revoke"):
        new_token(file, "c", Scope.READ)


# --- tidegate rpc token -----------------------------------------------------------------------------------------------


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(root, ["rpc", "token", *arguments, "--home", str(home)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text('[node]\nname = "n"\norganisation = "o"\n')
    return tmp_path


def test_commands_make_list_and_revoke_when_a_person_asks(home: Path) -> None:
    made: dict[str, Any] = json.loads(
        run(home, "new", "Platform A", "--scope", "submit", "--days", "30", "--json").stdout
    )
    assert TokenBook(home / "keys" / "rpc-tokens.json").find(made["token"]) is not None
    shown = run(home, "list")
    assert "Platform A" in shown.stdout
    assert made["token"].rpartition("_")[2] not in shown.stdout
    listed = json.loads(run(home, "list", "--json").stdout)
    assert [(item["name"], item["scope"]) for item in listed] == [("Platform A", "submit")]
    assert "digest" not in listed[0]
    assert run(home, "revoke", "Platform A").exit_code == 0
    again = run(home, "revoke", "Platform A")
    assert (again.exit_code, "token_unknown" in again.stderr) == (5, True)


def test_commands_use_the_configured_file_when_there_is_one(home: Path) -> None:
    (home / "config.toml").write_text('[rpc]\ntokens = "elsewhere/tokens.json"\n')
    assert run(home, "new", "a").exit_code == 0
    assert (home / "elsewhere" / "tokens.json").exists()
    (home / "config.toml").write_text("[rpc]\ntokens = 5\n")
    assert run(home, "list").exit_code == 78


def test_commands_say_so_when_there_is_no_home(tmp_path: Path) -> None:
    found = run(tmp_path / "none", "new", "a")
    assert found.exit_code == 78
    assert not os.listdir(tmp_path)  # noqa: PTH208
