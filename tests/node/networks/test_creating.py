"""Whole networks from a plan: homes that open, drop-ins, compose files; nothing left behind when it fails."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from shutil import which

import pytest

from ledger.errors import InvalidConfig, InvalidInput
from node.home import Home
from node.keyfile import PassphraseMissing
from node.layout import HomeLayout
from node.networks.blueprint import parse_blueprint
from node.networks.ceremony import finish
from node.networks.ceremony_files import read_founding, read_proposal
from node.networks.creating import Created, create
from node.networks.example import BUSINESS_EXAMPLE, SUPERVISED_EXAMPLE
from node.networks.homes import join_home, with_peers

HOSTS = BUSINESS_EXAMPLE.replace("127.0.0.1:7301", "b.example.org:7300").replace("127.0.0.1:7302", "c.example.org:7300")


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Created:
    return create(parse_blueprint(SUPERVISED_EXAMPLE), tmp_path_factory.mktemp("s") / "net")


def test_every_home_opens_with_its_peers_when_the_network_is_made(supervised):
    for kind, chain in parse_blueprint(SUPERVISED_EXAMPLE).chains().items():
        for node in chain.node:
            home = Home.open(supervised.homes[node.name], lock=False, environment=False)
            assert home.genesis.hash == supervised.geneses[kind].hash
            assert home.config.chain.genesis_hash == home.genesis.hash.hex()
            assert len(home.config.p2p.peers) == len(chain.node) - 1
            assert home.keys.transport.peer_id not in "".join(home.config.p2p.peers)


def test_fusion_home_finds_its_second_home_when_both_are_beside_each_other(supervised):
    home = Home.open(supervised.homes["fusion-1"], lock=False, environment=False)
    second = (home.path / home.config.fusion.supervision_home).resolve()
    assert second == supervised.homes["fusion-1-supervision"].resolve()


def test_authorities_share_the_pseudonym_key_and_no_other_when_there_are_two(supervised):
    homes = [Home.open(supervised.homes[name], lock=False) for name in ("regulator", "regulator-branch")]
    first, second = (home.authority_keys() for home in homes)
    assert first.pseudonym == second.pseudonym
    assert first.sealing[0].public != second.sealing[0].public


def test_key_files_are_private_when_a_network_is_made(supervised):
    files = [*supervised.directory.rglob("*.key")]
    assert len(files) > 30
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files} == {0o700}


def test_founding_file_is_whole_when_a_network_is_made(supervised):
    founding = read_founding(supervised.directory / "business" / "founding.json")
    assert finish(founding).hash == supervised.geneses["business"].hash
    assert read_proposal(supervised.directory / "business" / "proposal.json") == founding.proposal


def test_hosts_get_their_own_files_when_addresses_differ(tmp_path):
    created = create(parse_blueprint(HOSTS), tmp_path / "n")
    assert created.hosts == {
        "b.example.org": ["platform-b"], "c.example.org": ["insurer-c"], "127.0.0.1": ["member-d"],
    }  # fmt: skip
    home = Home.open(created.homes["insurer-c"], lock=False, environment=False)
    assert home.config.p2p.listen_host == "0.0.0.0"
    assert any(peer.endswith("@b.example.org:7300") for peer in home.config.p2p.peers)


def test_nothing_is_left_when_a_network_cannot_be_made(tmp_path):
    blueprint = parse_blueprint(BUSINESS_EXAMPLE.replace("key({Insurer C})", "key({Nobody})"))
    with pytest.raises(InvalidConfig):
        create(blueprint, tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_directory_in_use_is_refused_when_a_network_is_made(tmp_path):
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "mine").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidConfig) as refused:
        create(parse_blueprint(BUSINESS_EXAMPLE), tmp_path / "n")
    assert refused.value.code == "file_exists"
    assert [path.name for path in (tmp_path / "n").iterdir()] == ["mine"]


def test_join_refuses_a_home_when_its_keys_are_not_those_of_the_seat(supervised):
    founding = read_founding(supervised.directory / "business" / "founding.json")
    with pytest.raises(InvalidInput) as refused:
        join_home(founding, "platform-b", HomeLayout(supervised.homes["insurer-c"]))
    assert refused.value.code == "own_keys_missing"


def test_peers_are_written_and_the_rest_is_kept_when_a_person_has_edited_the_file(supervised):
    text = (supervised.homes["platform-b"] / "config.toml").read_text(encoding="utf-8")
    edited = text.replace('level = "info"', 'level = "debug"  # mine')
    assert 'level = "debug"  # mine' in with_peers(edited, ())
    with pytest.raises(InvalidConfig) as refused:
        with_peers(text.replace("peers = [", "# peers = ["), ("x",))
    assert refused.value.code in {"peers_unwritten", "config_invalid"}


def test_sealed_homes_open_with_the_passphrase_only_when_the_network_is_sealed(tmp_path, monkeypatch):
    monkeypatch.setattr("node.keyfile._MEMORY_BYTES", 8_192)
    text = BUSINESS_EXAMPLE.split("[[business.node]]")
    one = "[[business.node]]".join([text[0], text[1]]) + '\n[[business.asset]]\nasset = "CNY"\nissuer = "Platform B"\n'
    one = one.replace('"Platform B", "Insurer C", "Member D"', '"Platform B"').replace("threshold = 2", "threshold = 1")
    created = create(parse_blueprint(one), tmp_path / "n", passphrase="open sesame")
    with pytest.raises(PassphraseMissing):
        Home.open(created.homes["platform-b"], lock=False, passphrase=lambda: None)
    assert Home.open(created.homes["platform-b"], lock=False, passphrase=lambda: "open sesame").keys


@pytest.mark.skipif(which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_units_are_accepted_by_systemd_when_their_drop_ins_are_installed(tmp_path):
    elsewhere = HOSTS.replace('name = "insurer-c"', 'name = "insurer-c"\nhome = "/srv/tidegate/c"')
    created = create(parse_blueprint(elsewhere), tmp_path / "n")
    template = Path(__file__).parents[3] / "deploy" / "systemd" / "tidegate@.service"
    for host, name in (("b.example.org", "platform-b"), ("c.example.org", "insurer-c")):
        units = tmp_path / f"units-{name}"
        units.mkdir()
        text = template.read_text(encoding="utf-8").replace("/opt/tidegate/.venv/bin/tidegate", "/bin/true")
        (units / f"tidegate@{name}.service").write_text(text, encoding="utf-8")
        drop = units / f"tidegate@{name}.service.d"
        drop.mkdir()
        made = created.directory / "hosts" / host / "systemd" / drop.name / "50-home.conf"
        content = made.read_text(encoding="utf-8")
        (drop / made.name).write_text(
            content.replace("/opt/tidegate/.venv/bin/tidegate", "/bin/true"), encoding="utf-8"
        )
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(units / f"tidegate@{name}.service")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        words = [line for line in done.stderr.splitlines() if "tidegate" in line and "not found" not in line]
        assert (done.returncode, words) == (0, []), done.stderr
    assert "ExecStart=\n" in content
    assert "--home /srv/tidegate/c" in content
