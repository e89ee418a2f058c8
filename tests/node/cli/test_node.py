"""``tidegate node``: init and status; run is looked at in test_devnet.py with real daemons."""

import json
import sys
import types

import pytest
from click.testing import CliRunner

from node.cli import options
from node.cli.app import root
from node.home import Home
from node.network import NetworkPlan, create_network


def invoke(*arguments, **options):
    return CliRunner().invoke(root, ["node", *map(str, arguments)], **options)


@pytest.fixture
def genesis(tmp_path):
    return create_network(NetworkPlan(directory=tmp_path / "net", validators=1)).genesis_file


@pytest.fixture
def daemon(monkeypatch):
    """Takes the daemon's place; remembers what it was given."""
    calls = []

    def run(path, flags, passphrase):
        calls.append((path, flags))
        return 76

    module = types.ModuleType("node.daemon")
    module.run = run
    monkeypatch.setitem(sys.modules, "node.daemon", module)
    return calls


def test_init_makes_keys_and_says_what_to_certify(tmp_path):
    result = invoke("init", "--home", tmp_path / "h", "--organisation", "Insurer C", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["organisation"] == "Insurer C"
    assert document["peer_id"].startswith("12D3KooW")
    assert document["validator_key"].startswith("ed25519:")
    assert not document["genesis"]
    assert "--genesis FILE" in invoke("init", "--home", tmp_path / "h").stdout


def test_second_init_adds_the_genesis_and_keeps_the_keys(tmp_path, genesis):
    first = json.loads(invoke("init", "--home", tmp_path / "h", "--organisation", "Insurer C", "--json").stdout)
    second = json.loads(invoke("init", "--home", tmp_path / "h", "--genesis", genesis, "--json").stdout)
    assert second == {**first, "genesis": True}
    with Home.open(tmp_path / "h") as home:
        assert home.config.node.organisation == "Insurer C"


def test_init_writes_what_it_was_told(tmp_path, genesis):
    peer = json.loads((tmp_path / "net" / "network.json").read_text())["nodes"][0]["peer_id"]
    result = invoke(
        "init", "--home", tmp_path / "h", "--organisation", "X", "--name", "x1", "--genesis", genesis,
        "--listen", "[::1]:7400", "--peer", f"{peer}@a.example:1", "--service", "settlement",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with Home.open(tmp_path / "h") as home:
        assert (home.config.p2p.listen_host, home.config.p2p.listen_port) == ("::1", 7400)
        assert home.config.p2p.peers == (f"{peer}@a.example:1",)
        assert home.config.services.settlement.enabled
        assert home.config.node.name == "x1"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--organisation", "X", "--listen", "7300"), 2),
        (("--organisation", "X", "--genesis", "/nowhere"), 2),
        (("--organisation", "X", "--peer", "nobody"), 78),
        (("--organisation", "(X)"), 78),
        (("--organisation", "X", "--seal"), 78),
    ],
)
def test_bad_init_is_refused(tmp_path, monkeypatch, arguments, code):
    monkeypatch.delenv("TIDEGATE_PASSPHRASE", raising=False)
    assert invoke("init", "--home", tmp_path / "h", *arguments).exit_code == code
    assert not (tmp_path / "h").exists()


def test_init_with_a_damaged_genesis_is_refused_and_makes_nothing(tmp_path, genesis):
    genesis.write_bytes(genesis.read_bytes()[:-20])
    result = invoke("init", "--home", tmp_path / "h", "--organisation", "X", "--genesis", genesis)
    assert (result.exit_code, "[genesis_invalid]" in result.stderr) == (78, True)
    assert not (tmp_path / "h").exists()


def test_home_comes_from_the_environment(tmp_path):
    result = invoke("init", "--organisation", "X", env={"TIDEGATE_HOME": str(tmp_path / "h")})
    assert result.exit_code == 0
    assert (tmp_path / "h" / "keys" / "member.key").exists()


def test_run_hands_the_settings_to_the_daemon_and_gives_its_exit_code(tmp_path, daemon):
    result = invoke("run", "--home", tmp_path, "--set", "log.level=debug", "--set", "p2p.listen_port=7301")
    assert result.exit_code == 76
    assert daemon == [(tmp_path, {"log.level": "debug", "p2p.listen_port": "7301"})]


def test_run_refuses_a_setting_that_is_none(tmp_path, daemon):
    assert invoke("run", "--home", tmp_path, "--set", "log.level").exit_code == 2
    assert daemon == []


def test_run_of_a_place_that_is_no_home_says_how_to_make_one(tmp_path):
    result = invoke("run", "--home", tmp_path)
    assert result.exit_code == 78


def test_status_without_a_daemon_says_so(tmp_path, genesis):
    result = invoke("status", "--home", tmp_path / "net" / "node0")
    assert (result.exit_code, "[rpc_unavailable]" in result.stderr) == (4, True)


def test_status_of_a_devnet_directory_means_its_first_node(tmp_path, genesis):
    target = options.Target(tmp_path / "net")
    assert target.socket == tmp_path / "net" / "node0" / "run" / "rpc.sock"
    assert target.member_key().seed
    assert options.Target(tmp_path / "net", tmp_path / "s").socket == tmp_path / "s"


def test_status_shows_what_the_node_says(tmp_path, monkeypatch):
    document = {
        "name": "node0",
        "organisation": "Platform B",
        "version": "0.1.0",
        "peer_id": "12D3",
        "validator": True,
        "syncing": True,
        "target_height": 9,
        "chain": {"name": "business", "chain_id": "ab" * 32, "height": 7},
        "validators": [{}, {}],
        "peers": [{"peer_id": "12D4", "organisation": "Insurer C"}],
        "mempool": {"transactions": 3, "bytes": 400},
        "services": ["bookkeeping"],
        "uptime_s": 12.7,
    }

    class Client:
        def __init__(self, socket):
            self.socket = socket

        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            pass

        async def call(self, method, params=None):
            assert method == "node.status"
            return document

    monkeypatch.setattr("node.client.Client", Client)
    text = invoke("status", "--socket", tmp_path / "s").stdout
    for words in ("node0 of Platform B (validator)", "7, catching up to 9", "Insurer C", "3 transactions", "13 s"):
        assert words in text
    assert json.loads(invoke("status", "--socket", tmp_path / "s", "--json").stdout) == document


@pytest.mark.parametrize(
    ("validator", "signer", "said"),
    [
        (True, {"observing": None, "through_height": None, "damaged_logs": []}, "yes"),
        (False, {"observing": None, "through_height": None, "damaged_logs": []}, "no"),
        (
            True,
            {"observing": "signer_state_lost", "through_height": None, "damaged_logs": ["log.damaged-1"]},
            "not until the other validators have answered (signer state lost); damaged signer logs kept: log.damaged-1",
        ),
        (
            True,
            {"observing": "signer_state_rolled_back", "through_height": 7, "damaged_logs": []},
            "not until height 7 is decided (signer state rolled back)",
        ),
    ],
)
def test_status_says_whether_the_node_signs(validator, signer, said):
    from node.cli.node import _signing

    assert _signing({"validator": validator, "signer": signer}) == said
