"""Everything wrong with a home that can be seen from outside its daemon, each with a remedy."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.home import Home
from node.network import free_ports
from node.networks.blueprint import parse_blueprint
from node.networks.creating import Created, create
from node.networks.example import BUSINESS_EXAMPLE
from node.surroundings.checking import check_home
from node.surroundings.finding import Finding, error, ok, warning, worst_first


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Created:
    text = BUSINESS_EXAMPLE
    for number, port in enumerate(free_ports(3), 1):
        text = text.replace(f"127.0.0.1:730{number}", f"127.0.0.1:{port}")
    return create(parse_blueprint(text), tmp_path_factory.mktemp("c") / "net")


@pytest.fixture
def home(network: Created, tmp_path: Path) -> Path:
    shutil.copytree(network.homes["insurer-c"], tmp_path / "h")
    return tmp_path / "h"


def setting(old: str, new: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        path = home / "config.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def unpin(home: Path) -> None:
    path = home / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").partition("\n[chain]")[0], encoding="utf-8")


def expose_key(home: Path) -> None:
    (home / "keys" / "member.key").chmod(0o644)


def expose_home(home: Path) -> None:
    home.chmod(0o777)


def swap_key(home: Path) -> None:
    os.replace(home / "keys" / "authority.key", home / "keys" / "member.key")  # noqa: PTH105 - replaces


def cut_genesis(home: Path) -> None:
    (home / "genesis.json").write_bytes(b"{")


def put_file_in_place_of_socket(home: Path) -> None:
    (home / "run" / "rpc.sock").write_text("", encoding="utf-8")


async def codes(home: Path, **options: bool) -> dict[str, Finding]:
    return {finding.code: finding for finding in await check_home(home, peers=False, environment=False, **options)}


async def test_home_is_in_order_when_it_was_just_made(home):
    found = await codes(home)
    assert {finding.severity for finding in found.values()} == {"ok"}
    assert {"config.valid", "keys.valid", "genesis.pinned", "certificate.valid", "port.free", "disk.room"} <= set(found)
    assert found["certificate.valid"].data["days_left"] == 364


@pytest.mark.parametrize(
    ("spoil", "code", "severity"),
    [
        (setting("[p2p]", "[p2p"), "config.invalid", "error"),
        (setting("listen_port", "listen_prot"), "config.invalid", "error"),
        (unpin, "genesis.unpinned", "warning"),
        (cut_genesis, "genesis.genesis_invalid", "error"),
        (expose_key, "keys.key_permissions_loose", "error"),
        (expose_home, "permissions.writable", "error"),
        (swap_key, "keys.key_kind_wrong", "error"),
        (setting('listen_host = "127.0.0.1"', 'listen_host = "192.0.2.1"'), "port.address", "error"),
        (setting('listen = ""', 'listen = "0.0.0.0:7400"'), "rpc.open", "error"),
        (setting('[metrics]\n# HOST:PORT for /metrics, /livez and /readyz; empty: not served.\nlisten = ""',
                 '[metrics]\nlisten = "0.0.0.0:7500"'), "metrics.open", "warning"),
        (setting('organisation = "Insurer C"', 'organisation = "Insurer X"'), "certificate.organisation", "error"),
        (setting("@127.0.0.1:", "@b.example.org:"), "p2p.loopback", "warning"),
        (put_file_in_place_of_socket, "socket.other", "error"),
        (setting('supervision_home = ""', 'supervision_home = "."'), "fusion.same", "error"),
        (setting('supervision_home = ""', 'supervision_home = "../none"'), "home.missing", "error"),
    ],
)  # fmt: skip
async def test_fault_is_found_with_a_remedy_when_a_home_is_spoilt(home, spoil, code, severity):
    spoil(home)
    found = await codes(home)
    assert code in found, sorted(found)
    assert found[code].severity == severity
    assert found[code].remedy
    assert found[code].words


async def test_directory_that_cannot_be_written_to_is_an_error(home, monkeypatch):
    may = os.access  # root may write everywhere, so the system's answer is given here
    monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and Path(path) != home / "data")
    assert (await codes(home))["disk.unwritable"].severity == "error"


@pytest.mark.parametrize(
    ("free", "code", "severity"),
    [(100, "disk.full", "error"), (600, "disk.scarce", "warning"), (5_000, "disk.room", "ok")],
)
async def test_room_is_judged_against_the_reserve(home, monkeypatch, free, code, severity):
    room = SimpleNamespace(f_bavail=free, f_frsize=1024 * 1024, f_files=10**6, f_favail=10**6, f_blocks=10**6)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    assert (await codes(home))[code].severity == severity


async def test_port_that_another_process_has_is_an_error(home):
    port = Home.open(home, lock=False, environment=False).config.p2p.listen_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        found = (await codes(home))["port.taken"]
    assert found.severity == "error"
    assert found.data["port"] == port


async def test_certificate_near_its_end_is_a_warning(tmp_path):
    text = BUSINESS_EXAMPLE.replace("certificate_days = 365", "certificate_days = 20")
    created = create(parse_blueprint(text), tmp_path / "n")
    found = await codes(created.homes["member-d"])
    assert found["certificate.expires"].severity == "warning"
    assert found["certificate.expires"].data["days_left"] == 19
    assert "renew" in found["certificate.expires"].remedy


async def test_nobody_reachable_is_said_with_each_address_when_peers_are_dialled(home):
    found = {finding.code: finding for finding in await check_home(home, environment=False)}
    assert found["peer.unreachable"].severity == "warning"
    assert found["clock.unmeasured"].severity == "warning"
    # It never ran: it may be the first of its network to start.
    assert found["peers.unreachable"].severity == "warning"


async def test_home_that_is_none_is_said_and_nothing_is_made(tmp_path):
    (found,) = await check_home(tmp_path / "none")
    assert (found.code, found.severity) == ("home.missing", "error")
    assert not (tmp_path / "none").exists()


async def test_sealed_keys_are_a_warning_when_nobody_says_the_passphrase(network, tmp_path, monkeypatch):
    monkeypatch.setattr("node.keyfile._MEMORY_BYTES", 8_192)
    one = "[[business.node]]".join(BUSINESS_EXAMPLE.split("[[business.node]]")[:2])
    one = one.replace('"Platform B", "Insurer C", "Member D"', '"Platform B"').replace("threshold = 2", "threshold = 1")
    created = create(parse_blueprint(one), tmp_path / "n", passphrase="open")
    shut = {f.code: f for f in await check_home(created.homes["platform-b"], passphrase=lambda: None)}
    assert shut["keys.sealed"].severity == "warning"
    opened = {f.code: f for f in await check_home(created.homes["platform-b"], passphrase=lambda: "open")}
    assert "keys.valid" in opened


def test_worst_comes_first():
    findings = [ok("a", "a"), warning("b", "b", "x"), error("c", "c", "x"), warning("d", "d", "x")]
    assert [finding.code for finding in worst_first(findings)] == ["c", "b", "d", "a"]
    assert findings[2].as_json() == {"code": "c", "severity": "error", "words": "c", "remedy": "x", "data": {}}
