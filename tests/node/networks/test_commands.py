"""The commands: ``tidegate network``, ``config check``, ``admission issue --request`` and ``admission sign``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.app import root
from node.cli.exit_codes import CONFIG, INVALID_INPUT
from node.network import free_ports
from node.networks.certificates_file import read_certificates
from node.networks.example import BUSINESS_EXAMPLE, SUPERVISED_EXAMPLE
from tests.node.networks.plans import plan_file


class Desk:
    """Runs commands in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(root, arguments)
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(root, [*arguments, "--json"])
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        return json.loads(result.stdout)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


@pytest.fixture
def network(desk: Desk) -> Any:
    plan_file(desk.directory)
    return desk.json("network", "new", "network.toml", "-o", "network")


def test_example_is_a_plan_when_it_is_printed(desk):
    assert desk.run("network", "example") == BUSINESS_EXAMPLE
    assert desk.run("network", "example", "--supervised") == SUPERVISED_EXAMPLE


def test_check_gives_advice_and_makes_nothing_when_the_plan_is_weak(desk):
    plan_file(desk.directory, BUSINESS_EXAMPLE.replace("threshold = 2", "threshold = 1"))
    found = desk.json("network", "check", "network.toml")
    assert len(found["business"]["advice"]) == 2
    assert [path.name for path in desk.directory.iterdir()] == ["network.toml"]


@pytest.mark.parametrize("command", [["check"], ["new", "-o", "n"], ["propose", "-o", "p.json"]])
def test_bad_plan_ends_with_its_exit_code_in_every_command(desk, command):
    plan_file(desk.directory, "[business]\n")
    found = desk.json("network", command[0], "network.toml", *command[1:], code=CONFIG)
    assert found["error"]["code"] == "plan_invalid"
    assert not (desk.directory / "n").exists()


def test_new_says_homes_hosts_and_hashes_when_it_is_done(desk, network):
    assert sorted(network["homes"]) == ["insurer-c", "member-d", "platform-b"]
    assert network["hosts"] == {"127.0.0.1": ["platform-b", "insurer-c", "member-d"]}
    shown = desk.json("network", "show", "network/business/genesis.json")
    assert shown["genesis"] == network["chains"]["business"]["genesis_hash"]
    assert desk.json("network", "show", "network/business/founding.json")["genesis"] == shown["genesis"]
    assert all(Path(path).exists() for path in network["chains"]["business"]["authority"])


def test_ceremony_goes_from_file_to_file_when_each_member_runs_its_part(desk):
    plan_file(desk.directory)
    desk.run("network", "propose", "network.toml", "-o", "proposal.json")
    seats = {"platform-b": "Platform B", "insurer-c": "Insurer C", "member-d": "Member D"}
    for seat, organisation in seats.items():
        desk.run("network", "member", "proposal.json", "--organisation", organisation, "--home", seat)
        desk.run("network", "show", f"member-{seat}.json")
    draft = desk.json(
        "network", "draft", "proposal.json", *(f"member-{seat}.json" for seat in seats), "-o", "draft.json"
    )
    wrong = ["network", "sign", "draft.json", "--home", "member-d", "--yes", "--draft-hash", "00" * 32]
    assert desk.json(*wrong, code=INVALID_INPUT)["error"]["code"] == "draft_other"
    for seat in seats:
        desk.run("network", "sign", "draft.json", "--home", seat, "--yes", "--draft-hash", draft["draft"])
        desk.run("network", "show", f"sign-{seat}.json")
    signatures = [f"sign-{seat}.json" for seat in seats]
    too_few = desk.json("network", "assemble", "draft.json", *signatures[:2], "-o", "f.json", code=INVALID_INPUT)
    assert too_few["error"]["code"] == "signatures_missing"
    made = desk.json("network", "assemble", "draft.json", *signatures, "-o", "founding.json")
    for seat in seats:
        assert desk.json("network", "join", "founding.json", "--home", seat)["genesis_hash"] == made["genesis_hash"]


def test_file_of_another_kind_is_named_when_it_is_handed_in(desk, network):
    plan_file(desk.directory)
    refused = desk.json(
        "network", "draft", "network/business/founding.json", "network/business/proposal.json", "-o", "d.json",
        code=INVALID_INPUT,
    )  # fmt: skip
    assert "draft or founding" in refused["error"]["message"]


def test_plan_of_two_chains_needs_the_chain_to_be_named_when_one_is_proposed(desk):
    plan_file(desk.directory, SUPERVISED_EXAMPLE)
    desk.run("network", "propose", "network.toml", "-o", "p.json", code=2)
    found = desk.json("network", "propose", "network.toml", "--chain", "supervision", "-o", "p.json")
    assert found["kind"] == "supervision"
    # A seat without a node hands in a key alone.
    desk.run("network", "member", "p.json", "--organisation", "officer-1", "--key", "keys/officer-1.key")
    shown = desk.json("network", "show", "member-officer-1.json")
    assert "validator key" not in shown


def test_new_node_is_certified_by_two_of_the_authority_when_its_request_goes_round(desk, network):
    added = desk.json(
        "network", "add-node", "network/business/founding.json", "--organisation", "Hospital E",
        "--name", "hospital-e", "--address", "127.0.0.1:7304", "--home", "e",
    )  # fmt: skip
    text = (desk.directory / "e" / "config.toml").read_text(encoding="utf-8")
    assert text.count("@127.0.0.1:730") == 3
    assert added["genesis_hash"] in text
    first, second = network["chains"]["business"]["authority"][:2]
    genesis = ["--genesis", "network/business/genesis.json"]
    issue = ["admission", "issue", "--request", "request-hospital-e.json", "--days", "30", "--authority-key", first]
    desk.run(*issue, *genesis, "-o", "c1.json")
    desk.run("admission", "sign", "c1.json", "--authority-key", second, "-o", "c2.json")
    certificates = read_certificates(Path("c2.json"))
    assert [len(signed.signatures) for signed in certificates] == [2, 2]
    assert [signed.certificate.roles for signed in certificates] == [("observer", "validator"), ("member", "service")]
    assert certificates[0].certificate.transport
    assert certificates[0].certificate.serial < certificates[1].certificate.serial
    desk.run(*issue, *genesis, "--node-only", "-o", "c3.json")
    assert len(read_certificates(Path("c3.json"))) == 1
    other = desk.json(*issue, "--chain-id", "00" * 32, "-o", "c4.json", code=INVALID_INPUT)
    assert other["error"]["code"] == "member_file_foreign"


def test_request_is_refused_when_it_was_changed_on_the_way(desk, network):
    desk.run(
        "network", "add-node", "network/business/founding.json", "--organisation", "Hospital E",
        "--name", "hospital-e", "--address", "127.0.0.1:7304", "--home", "e",
    )  # fmt: skip
    path = Path("request-hospital-e.json")
    path.write_text(path.read_text(encoding="utf-8").replace("Hospital E", "Insurer C"), encoding="utf-8")
    refused = desk.json(
        "admission", "issue", "--genesis", "network/business/genesis.json", "--request", str(path), "--days", "30",
        "--authority-key", network["chains"]["business"]["authority"][0], "-o", "c.json", code=INVALID_INPUT,
    )  # fmt: skip
    assert refused["error"]["code"] == "possession_unproved"


def test_new_node_needs_somebody_to_connect_to(desk, network):
    refused = desk.json(
        "network", "add-node", "network/business/genesis.json", "--organisation", "Hospital E",
        "--name", "hospital-e", "--address", "127.0.0.1:7304", "--home", "e", code=CONFIG,
    )  # fmt: skip
    assert refused["error"]["code"] == "peers_missing"


def settle(home: str) -> Path:
    """Its configuration, with a port that is free on this machine."""
    path = Path(home) / "config.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("listen_port = 7303", f"listen_port = {free_ports(1)[0]}"), encoding="utf-8")
    return path


def test_config_check_ends_with_its_findings_when_something_is_wrong(desk, network):
    home = network["homes"]["member-d"]
    settle(home)
    good = desk.json("config", "check", "--home", home, "--no-peers")
    assert (good["errors"], good["warnings"]) == (0, 0)
    (Path(home) / "keys" / "member.key").chmod(0o644)
    bad = desk.json("config", "check", "--home", home, "--no-peers", code=CONFIG)
    assert bad["findings"][0]["code"] == "keys.key_permissions_loose"
    assert "chmod" in bad["findings"][0]["words"]
    assert "1 errors" in desk.run("config", "check", "--home", home, "--no-peers", "--quiet", code=CONFIG)


def test_warnings_end_with_an_error_only_when_they_are_taken_strictly(desk, network):
    path = settle(network["homes"]["member-d"])
    path.write_text(path.read_text(encoding="utf-8").partition("\n[chain]")[0], encoding="utf-8")
    desk.run("config", "check", "--home", str(path.parent), "--no-peers")
    desk.run("config", "check", "--home", str(path.parent), "--no-peers", "--strict", code=1)
