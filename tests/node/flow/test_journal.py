"""What an import remembers: nothing that was acted on is lost, nobody else may read the secret."""

from __future__ import annotations

import json

import pytest

from ledger.errors import HomeLocked, InvalidConfig
from node.flow.importer.journal import JOURNAL_FILE, SECRET_FILE, StateDirectory
from node.keyfile import KeyPermissionsLoose

CHAIN = b"c" * 32


def test_it_remembers_what_was_planned_admitted_and_ended(tmp_path):
    with StateDirectory(tmp_path / "state") as state:
        secret = state.secret
        state.begin(CHAIN)
        state.plan([("r1", b"f" * 32, "City Hospital"), ("r2", b"g" * 32, "Clinic")])
        state.admitted(["p1", "p2"])
        state.ended("r1", {"outcome": "delivered"})
    with StateDirectory(tmp_path / "state") as state:
        found = state.remembered
        assert state.secret == secret
        assert found.flows == {"r1": ("66" * 32, "City Hospital"), "r2": ("67" * 32, "Clinic")}
        assert (found.admitted, found.ended) == ({"p1", "p2"}, {"r1": {"outcome": "delivered"}})
        state.begin(CHAIN)


def test_a_plan_is_on_the_disk_before_anything_is_sent(tmp_path):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
        state.plan([("r1", b"f" * 32, "City Hospital")])
        assert b'"plan":"r1"' in (tmp_path / JOURNAL_FILE).read_bytes()


def test_secret_and_journal_are_for_the_owner_only(tmp_path):
    with StateDirectory(tmp_path / "state") as state:
        state.begin(CHAIN)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    for name in (SECRET_FILE, JOURNAL_FILE):
        assert (tmp_path / "state" / name).stat().st_mode & 0o077 == 0
    (tmp_path / "state" / SECRET_FILE).chmod(0o644)
    with pytest.raises(KeyPermissionsLoose):
        StateDirectory(tmp_path / "state")


def test_a_torn_last_line_is_forgotten(tmp_path):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
        state.plan([("r1", b"f" * 32, "City Hospital")])
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(path.read_bytes() + b'{"plan":"r2","flow":"66')
    with StateDirectory(tmp_path) as state:
        assert set(state.remembered.flows) == {"r1"}
        state.plan([("r3", b"h" * 32, "City Hospital")])
    with StateDirectory(tmp_path) as state:
        assert set(state.remembered.flows) == {"r1", "r3"}


@pytest.mark.parametrize(
    "line", ["[]", '{"journal":2,"chain":""}', '{"plan":"r"}', "nothing", '{"end":"r","result":1}']
)
def test_a_journal_of_another_making_is_refused(tmp_path, line):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(InvalidConfig) as error:
        StateDirectory(tmp_path)
    assert error.value.code == "import_state_invalid"
    assert "line 2" in error.value.message


def test_one_process_at_a_time(tmp_path):
    with StateDirectory(tmp_path), pytest.raises(HomeLocked):
        StateDirectory(tmp_path)
    with StateDirectory(tmp_path):
        pass


def test_another_chain_needs_another_directory(tmp_path):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
    with StateDirectory(tmp_path) as state, pytest.raises(InvalidConfig) as error:
        state.begin(b"d" * 32)
    assert error.value.code == "import_state_foreign"


@pytest.mark.parametrize("secret", ["", "zz", "00" * 31])
def test_a_damaged_secret_is_refused(tmp_path, secret):
    with StateDirectory(tmp_path):
        pass
    (tmp_path / SECRET_FILE).write_text(secret)
    with pytest.raises(InvalidConfig) as error:
        StateDirectory(tmp_path)
    assert error.value.code == "import_state_invalid"


def test_a_journal_without_its_secret_is_refused(tmp_path):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
    (tmp_path / SECRET_FILE).unlink()
    with pytest.raises(InvalidConfig):
        StateDirectory(tmp_path)


def test_lines_are_json_that_people_can_read(tmp_path):
    with StateDirectory(tmp_path) as state:
        state.begin(CHAIN)
        state.ended("r1", {"outcome": "refused", "code": "x"})
    lines = [json.loads(line) for line in (tmp_path / JOURNAL_FILE).read_text().splitlines()]
    assert lines[1] == {"end": "r1", "result": {"outcome": "refused", "code": "x"}}
