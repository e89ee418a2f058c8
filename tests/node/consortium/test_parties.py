"""Parties and their key files: what is written is read again, and nothing that was tampered with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ledger.errors import InvalidConfig, NotFound
from ledger.keys import SigningKey, key_text
from node.consortium.parties import FILE, PartyBook, load_parties, new_party


def book(directory: Path, *names: str) -> PartyBook:
    made = PartyBook(directory)
    made.add([new_party(name, "hospital", name) for name in names])
    return made


def test_parties_are_read_again_in_their_order(tmp_path: Path):
    made = book(tmp_path, "Zürich Hospital", "City Hospital")
    found = load_parties(tmp_path)
    assert [party.name for party in found] == ["Zürich Hospital", "City Hospital"]
    for party in made:
        again = found.party(party.name)
        assert (again.key, again.kind, again.organisation) == (party.key, party.kind, party.organisation)
        assert again.signing.seed == party.signing.seed
        assert again.sealing.key_id == party.sealing.key_id


def test_key_files_are_the_owners_alone(tmp_path: Path):
    book(tmp_path, "City Hospital")
    files = list(tmp_path.rglob("*.key"))
    assert len(files) == 2
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_names_that_read_alike_have_files_of_their_own(tmp_path: Path):
    book(tmp_path, "A B", "a-b", "A.B", "甲", "乙")
    assert len({file.parent for file in tmp_path.rglob("signing.key")}) == 5
    assert len(load_parties(tmp_path)) == 5


def test_nothing_is_known_where_there_is_no_book(tmp_path: Path):
    found = load_parties(tmp_path / "nowhere")
    assert len(found) == 0
    with pytest.raises(NotFound):
        found.party("anybody")


def test_party_is_refused_when_its_name_is_taken(tmp_path: Path):
    made = book(tmp_path, "City Hospital")
    with pytest.raises(InvalidConfig) as refused:
        made.add([new_party("City Hospital", "hospital", "other")])
    assert refused.value.code == "party_exists"
    assert len(load_parties(tmp_path)) == 1


def test_book_is_refused_when_it_names_another_key_than_the_file_holds(tmp_path: Path):
    book(tmp_path, "City Hospital")
    document = json.loads((tmp_path / FILE).read_text())
    document["parties"][0]["key"] = key_text(SigningKey(b"x" * 32).public)
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(InvalidConfig) as refused:
        load_parties(tmp_path)
    assert refused.value.code == "parties_invalid"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"parties": [{"name": 1}]}', '{"parties": [{"secret": "x"}]}'])
def test_book_is_refused_when_it_is_malformed(tmp_path: Path, text: str):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidConfig):
        load_parties(tmp_path)


def test_secrets_are_not_shown_when_a_party_is_printed(tmp_path: Path):
    party = new_party("City Hospital", "hospital", "City Hospital")
    assert party.signing.seed.hex() not in repr(party)
    assert "signing" not in repr(party)
