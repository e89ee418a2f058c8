"""Home directories: made whole, opened by one process at a time, refused when something in them is not right."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.errors import HomeLocked, InvalidConfig, InvalidGenesis
from node.home import Home, NodeKeys, NodeSettings, lock_holder, read_keys
from node.keyfile import KeyFileInvalid, KeyPermissionsLoose, PassphraseWrong
from node.layout import MAX_SOCKET_PATH_BYTES, HomeLayout
from node.network import NetworkPlan, create_network

SETTINGS = NodeSettings(name="n", organisation="Insurer C")
# Holds the home until its standard input closes, and says when it does.
HOLDER = """
import sys
from node.home import Home
with Home.open(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return create_network(NetworkPlan(directory=tmp_path_factory.mktemp("network") / "n", validators=1))


@pytest.fixture(scope="module")
def genesis(network):
    return network.genesis_file.read_bytes()


@pytest.fixture
def path(tmp_path, genesis):
    Home.create(tmp_path / "home", SETTINGS, genesis=genesis)
    return tmp_path / "home"


@pytest.fixture
def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_home_gives_what_was_put_into_it(path, network, genesis):
    with Home.open(path) as home:
        assert home.path == path
        assert home.config.node.organisation == "Insurer C"
        assert home.genesis == network.genesis()
        assert home.genesis_bytes == genesis
        assert home.socket == path / "run" / "rpc.sock"
        assert (home.data_dir, home.wal_dir, home.log_dir) == (path / "data", path / "wal", path / "log")
        assert all(directory.is_dir() for directory in (home.data_dir, home.wal_dir, home.log_dir))
        assert len(home.keys.transport_seed) == 32
        assert home.keys.transport.peer_id.startswith("12D3KooW")
        assert len({home.keys.validator.seed, home.keys.transport_seed, home.keys.member.seed}) == 3


def test_flags_reach_the_configuration(path):
    with Home.open(path, flags={"log.level": "debug", "rpc.socket": "run/x.sock"}) as home:
        assert home.config.log.level == "debug"
        assert home.socket == path / "run" / "x.sock"


def test_secrets_are_private_on_disk_and_never_printed(path):
    assert stat.S_IMODE((path / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path / "keys").iterdir()} == {0o600}
    with Home.open(path) as home:
        shown = f"{home!r} {home.keys!r} {home.keys} {home.keys.transport!r}"
        for seed in home.keys.seeds().values():
            assert seed.hex() not in shown
            assert repr(seed) not in shown


def test_second_process_is_refused_and_told_who_holds_the_home(path, holder):
    with pytest.raises(HomeLocked, match=f"pid {holder.pid}") as caught:
        Home.open(path)
    assert caught.value.data["pid"] == holder.pid
    assert lock_holder(HomeLayout(path)) == holder.pid


def test_reader_may_open_beside_a_running_node(path, holder):
    with Home.open(path, lock=False) as home:
        assert not home.locked


def test_home_is_free_again_when_its_process_was_killed(path, holder):
    holder.kill()
    holder.wait()
    assert lock_holder(HomeLayout(path)) is None
    with Home.open(path) as home:
        assert home.locked


def test_same_process_cannot_open_twice_and_close_gives_back(path):
    first = Home.open(path)
    with pytest.raises(HomeLocked) as caught:
        Home.open(path)
    assert caught.value.data["pid"] == os.getpid()
    first.close()
    first.close()
    Home.open(path).close()


def test_lock_is_given_back_when_opening_fails(path):
    (path / "keys" / "member.key").unlink()
    with pytest.raises(KeyFileInvalid):
        Home.open(path)
    assert lock_holder(HomeLayout(path)) is None


@pytest.mark.parametrize("name", ["validator", "transport", "member"])
def test_loose_key_file_is_refused_with_the_command_that_mends_it(path, name):
    file = path / "keys" / f"{name}.key"
    file.chmod(0o640)
    with pytest.raises(KeyPermissionsLoose, match=f"chmod 0600 '{file}'"):
        Home.open(path)


def test_loose_key_directory_is_refused(path):
    (path / "keys").chmod(0o755)
    with pytest.raises(KeyPermissionsLoose, match=f"chmod 0700 '{path / 'keys'}'"):
        Home.open(path)


def test_key_of_another_kind_is_refused(path):
    (path / "keys" / "member.key").write_bytes((path / "keys" / "validator.key").read_bytes())
    with pytest.raises(KeyFileInvalid) as caught:
        Home.open(path)
    assert caught.value.code == "key_kind_wrong"


def test_sealed_home_opens_with_the_passphrase_of_the_environment(tmp_path, genesis, monkeypatch):
    keys = NodeKeys.generate()
    layout = Home.create(tmp_path / "h", SETTINGS, genesis=genesis, keys=keys, passphrase="open sesame")
    monkeypatch.setenv("TIDEGATE_PASSPHRASE", "open sesame")
    assert read_keys(layout).seeds() == keys.seeds()
    monkeypatch.setenv("TIDEGATE_PASSPHRASE", "open barley")
    with pytest.raises(PassphraseWrong):
        Home.open(tmp_path / "h")


def test_missing_genesis_says_how_to_add_it(tmp_path, genesis):
    Home.create(tmp_path / "h", SETTINGS)
    with pytest.raises(InvalidGenesis, match="--genesis FILE") as caught:
        Home.open(tmp_path / "h")
    assert caught.value.code == "genesis_missing"
    keys = read_keys(HomeLayout(tmp_path / "h")).seeds()
    Home.create(tmp_path / "h", SETTINGS, genesis=genesis)
    with Home.open(tmp_path / "h") as home:
        assert home.keys.seeds() == keys
        assert home.config.chain.genesis_hash == home.genesis.hash.hex()


def test_create_keeps_what_is_there(path, genesis):
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    other = NodeSettings(name="x", organisation="Other")
    Home.create(path, other, genesis=genesis)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_create_refuses_another_chains_genesis(path, tmp_path):
    other = create_network(NetworkPlan(directory=tmp_path / "other", validators=1)).genesis_file.read_bytes()
    with pytest.raises(InvalidGenesis) as caught:
        Home.create(path, SETTINGS, genesis=other)
    assert caught.value.code == "genesis_mismatch"


def test_create_refuses_keys_when_there_are_keys(path):
    with pytest.raises(InvalidConfig) as caught:
        Home.create(path, SETTINGS, keys=NodeKeys.generate())
    assert caught.value.code == "file_exists"


def test_exchanged_genesis_is_refused(path, tmp_path):
    other = create_network(NetworkPlan(directory=tmp_path / "other", validators=1)).genesis_file.read_bytes()
    (path / "genesis.json").write_bytes(other)
    with pytest.raises(InvalidGenesis, match="not the one this home was made for") as caught:
        Home.open(path)
    assert caught.value.code == "genesis_mismatch"


def test_genesis_with_one_changed_parameter_is_refused(path):
    file = path / "genesis.json"
    file.write_text(file.read_text().replace('"base_timeout_ms": 1000', '"base_timeout_ms": 1001'))
    with pytest.raises(InvalidGenesis) as caught:
        Home.open(path)
    assert caught.value.code == "genesis_mismatch"


@pytest.mark.parametrize("keep", [0, 1, 100, -2])
def test_truncated_genesis_is_refused(path, keep):
    file = path / "genesis.json"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InvalidGenesis):
        Home.open(path)


def test_reformatted_genesis_is_the_same_genesis(path):
    import json

    file = path / "genesis.json"
    file.write_text(json.dumps(json.loads(file.read_text())))
    Home.open(path).close()


def test_place_that_is_no_home_is_refused_and_left_empty(tmp_path):
    with pytest.raises(InvalidConfig) as caught:
        Home.open(tmp_path)
    assert caught.value.code == "home_missing"
    assert list(tmp_path.iterdir()) == []


def test_too_long_socket_path_is_refused_before_anything_is_made(tmp_path, genesis):
    deep = tmp_path / ("d" * MAX_SOCKET_PATH_BYTES)
    with pytest.raises(InvalidConfig, match=r"rpc\.socket") as caught:
        Home.create(deep, SETTINGS, genesis=genesis)
    assert caught.value.code == "socket_path_too_long"
    assert not deep.exists()


def test_socket_may_be_a_short_absolute_path_when_the_home_is_deep(tmp_path, genesis):
    deep = tmp_path / ("d" * MAX_SOCKET_PATH_BYTES)
    settings = NodeSettings(name="n", organisation="Insurer C", socket="/tmp/t.sock")
    Home.create(deep, settings, genesis=genesis)
    with Home.open(deep) as home:
        assert home.socket == Path("/tmp/t.sock")
    assert HomeLayout(deep).find_socket() == Path("/tmp/t.sock")


def test_light_socket_search_follows_environment_and_file(path, monkeypatch):
    layout = HomeLayout(path)
    monkeypatch.delenv("TIDEGATE_RPC__SOCKET", raising=False)
    assert layout.find_socket() == path / "run" / "rpc.sock"
    monkeypatch.setenv("TIDEGATE_RPC__SOCKET", "run/b.sock")
    assert layout.find_socket() == path / "run" / "b.sock"


def test_no_half_written_files_are_left(path):
    assert [file for file in path.rglob(".*") if file.is_file()] == []


def test_home_that_cannot_be_written_is_refused_in_words(tmp_path, genesis):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfig) as caught:
        Home.create(tmp_path / "file" / "home", SETTINGS, genesis=genesis)
    assert caught.value.code == "home_unwritable"
