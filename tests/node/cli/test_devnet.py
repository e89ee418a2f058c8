"""``tidegate devnet``: made, started, asked, stopped, with real daemons once."""

import json
import os

import pytest
from click.testing import CliRunner

from node.cli.app import root
from node.network import load_network


def invoke(*arguments):
    return CliRunner().invoke(root, ["devnet", *map(str, arguments)])


@pytest.fixture
def home(tmp_path):
    result = invoke("init", "--home", tmp_path / "d", "--validators", 1)
    assert result.exit_code == 0, result.output
    yield tmp_path / "d"
    invoke("down", "--home", tmp_path / "d")


def test_init_shows_nodes_and_the_next_step(tmp_path):
    result = invoke(
        "init", "--home", tmp_path / "d", "--validators", 2, "--observers", 1, "--organisation", "Alpha",
        "--topology", "line", "--name", "trial",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    network = load_network(tmp_path / "d")
    assert network.name == "trial"
    assert [(node.organisation, node.validates) for node in network.nodes] == [
        ("Alpha", True),
        ("Insurer C", True),
        ("Member D", False),
    ]
    for node in network.nodes:
        assert f"{node.name}  {node.organisation}" in result.stdout
    assert "tidegate devnet up" in result.stdout


def test_init_gives_one_document(tmp_path):
    document = json.loads(invoke("init", "--home", tmp_path / "d", "--json").stdout)
    network = load_network(tmp_path / "d")
    assert document["chain_id"] == network.chain_id.hex()
    assert [node["validator"] for node in document["nodes"]] == [node.validator for node in network.nodes]


def test_init_refuses_a_directory_in_use(home):
    result = invoke("init", "--home", home)
    assert (result.exit_code, "[file_exists]" in result.stderr) == (78, True)


def test_network_goes_up_answers_and_comes_down(home):
    up = invoke("up", "--home", home, "--json")
    assert up.exit_code == 0, up.output
    document = json.loads(up.stdout)
    assert document["started"] == ["node0"]
    assert document["nodes"][0]["answers"]
    os.kill(document["nodes"][0]["pid"], 0)
    again = invoke("up", "--home", home)
    assert "running already" in again.stdout
    status = invoke("status", "--home", home)
    assert status.exit_code == 0
    assert "running" in status.stdout
    down = invoke("down", "--home", home)
    assert "stopped node0" in down.stdout
    assert "no node was running" in invoke("down", "--home", home).stdout


def test_status_exits_with_four_when_a_node_does_not_answer(home):
    result = invoke("status", "--home", home, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["nodes"] == [{"name": "node0", "pid": None, "answers": False, "status": None}]


def test_failed_start_shows_why_and_leaves_nothing_running(home):
    (home / "node0" / "keys" / "member.key").chmod(0o644)
    result = invoke("up", "--home", home)
    assert (result.exit_code, "[node_failed]" in result.stderr) == (4, True)
    assert "exit code 78" in result.stderr
    assert "chmod 0600" in result.stderr
    assert not (home / "node0" / "run" / "node.pid").exists()


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_directory_without_a_network_is_refused(tmp_path, command):
    result = invoke(command, "--home", tmp_path)
    assert (result.exit_code, "[network_missing]" in result.stderr) == (78, True)


def test_unknown_node_is_refused(home):
    assert invoke("up", "--home", home, "--node", "node7").exit_code == 5
    assert invoke("down", "--home", home, "--node", "node7").exit_code == 5
