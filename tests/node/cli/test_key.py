"""``tidegate key``."""

import json

import pytest
from click.testing import CliRunner

from node.cli.app import root
from node.keyfile import read_key, read_public
from node.network import NetworkPlan, create_network


def invoke(*arguments, **options):
    return CliRunner().invoke(root, ["key", *map(str, arguments)], **options)


@pytest.fixture(autouse=True)
def no_passphrase(monkeypatch):
    monkeypatch.delenv("TIDEGATE_PASSPHRASE", raising=False)
    monkeypatch.delenv("TIDEGATE_PASSPHRASE_FILE", raising=False)


def test_new_key_is_written_and_its_public_half_shown(tmp_path):
    result = invoke("new", tmp_path / "k")
    assert result.exit_code == 0
    kind, public, sealed = read_public(tmp_path / "k")
    assert (kind, sealed) == ("member", False)
    assert public in result.stdout
    assert read_key(tmp_path / "k", "member").hex() not in result.output


def test_transport_key_shows_peer_id_and_bare_key(tmp_path):
    document = json.loads(invoke("new", "--kind", "transport", tmp_path / "k", "--json").stdout)
    assert document["peer_id"].startswith("12D3KooW")
    assert len(bytes.fromhex(document["public_key"])) == 32
    shown = json.loads(invoke("show", tmp_path / "k", "--json").stdout)
    assert shown == {name: value for name, value in document.items() if name != "file"}


def test_new_never_overwrites(tmp_path):
    invoke("new", tmp_path / "k")
    before = (tmp_path / "k").read_bytes()
    result = invoke("new", tmp_path / "k")
    assert result.exit_code == 78
    assert "[file_exists]" in result.stderr
    assert (tmp_path / "k").read_bytes() == before


def test_sealed_key_takes_the_passphrase_of_the_environment(tmp_path):
    result = invoke("new", "--seal", tmp_path / "k", env={"TIDEGATE_PASSPHRASE": "p"})
    assert result.exit_code == 0
    assert read_key(tmp_path / "k", "member", lambda: "p")


def test_seal_without_passphrase_and_person_is_refused(tmp_path):
    result = invoke("new", "--seal", tmp_path / "k")
    assert result.exit_code == 78
    assert "TIDEGATE_PASSPHRASE" in result.stderr
    assert not (tmp_path / "k").exists()


def test_home_shows_all_its_keys_and_issuer_its_one(tmp_path):
    network = create_network(NetworkPlan(directory=tmp_path / "n", validators=1))
    shown = json.loads(invoke("show", tmp_path / "n" / "node0", "--json").stdout)
    assert [entry["kind"] for entry in shown] == ["validator", "transport", "member"]
    assert shown[2]["public_key"] == network.nodes[0].member
    assert network.issuer_key in invoke("show", tmp_path / "n" / "issuer").stdout


def test_loose_key_is_refused_with_its_remedy(tmp_path):
    invoke("new", tmp_path / "k")
    (tmp_path / "k").chmod(0o644)
    result = invoke("show", tmp_path / "k")
    assert result.exit_code == 78
    assert "chmod 0600" in result.stderr


def test_directory_without_keys_is_refused(tmp_path):
    result = invoke("show", tmp_path)
    assert (result.exit_code, "[key_missing]" in result.stderr) == (78, True)


def test_authority_makes_its_next_sealing_key_when_it_says_the_epoch(tmp_path):
    from ledger.sealing_keys import DecryptionKey

    path = tmp_path / "sealing-2.key"
    result = CliRunner().invoke(root, ["key", "new", "--kind", "sealing", "--epoch", "2", str(path), "--json"])
    assert result.exit_code == 0, result.output
    key = DecryptionKey.from_bytes(read_key(path, "sealing"))
    assert (key.epoch, json.loads(result.stdout)["public_key"]) == (2, key.key_id.hex())
    for wrong in (["--kind", "sealing"], ["--kind", "member", "--epoch", "1"]):
        assert CliRunner().invoke(root, ["key", "new", *wrong, str(tmp_path / "x.key")]).exit_code == 2
