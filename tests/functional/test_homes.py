"""Homes that a daemon must not run on: it says what is wrong in words, with a code, and with its exit code."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator

import pytest

from node.cli.exit_codes import CONFIG, LOCKED
from node.devnet import Devnet
from node.layout import HomeLayout
from node.network_file import Network
from tests.functional.conftest import Start
from tests.functional.daemons import run_node
from tests.functional.load import make_network

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two chains of one validator each, which have run; tests spoil copies of the first one's home."""
    base = tmp_path_factory.mktemp("homes")
    networks = [make_network(base / name, validators=1) for name in ("a", "b")]

    async def run_once() -> None:
        for network in networks:
            async with Devnet(network.directory) as devnet:
                await devnet.start()
                await devnet.wait_ready()

    asyncio.run(run_once())
    yield networks[0]
    shutil.rmtree(base)


def loosen_keys(home: HomeLayout) -> None:
    home.key_file("validator").chmod(0o640)


def loosen_key_directory(home: HomeLayout) -> None:
    home.keys_dir.chmod(0o755)


def damage_key(home: HomeLayout) -> None:
    file = home.key_file("transport")
    file.write_bytes(file.read_bytes()[:40])


def take_another_genesis(home: HomeLayout) -> None:
    home.genesis_file.write_bytes((home.path / "../../b/genesis.json").resolve().read_bytes())


def change_genesis(home: HomeLayout) -> None:
    text = home.genesis_file.read_text(encoding="utf-8")
    assert '"max_timeout_ms": 8000' in text
    home.genesis_file.write_text(text.replace('"max_timeout_ms": 8000', '"max_timeout_ms": 8001'), encoding="utf-8")


def cut_genesis(home: HomeLayout) -> None:
    home.genesis_file.write_bytes(home.genesis_file.read_bytes()[:1_000])


def remove_genesis(home: HomeLayout) -> None:
    home.genesis_file.unlink()


def take_data_of_another_chain(home: HomeLayout) -> None:
    shutil.rmtree(home.data_dir)
    shutil.copytree(home.path / "../../b/node0/data", home.data_dir)


def break_config(home: HomeLayout) -> None:
    home.config_file.write_text("[node\n", encoding="utf-8")


def make_config_unreadable(home: HomeLayout) -> None:
    home.config_file.unlink()
    home.config_file.mkdir()


def add_unknown_key(home: HomeLayout) -> None:
    text = home.config_file.read_text(encoding="utf-8")
    home.config_file.write_text(text.replace("[p2p]", "[p2p]\nlisten_prot = 7300"), encoding="utf-8")


def add_unknown_section(home: HomeLayout) -> None:
    home.config_file.write_text(home.config_file.read_text(encoding="utf-8") + "\n[pool]\nsize = 1\n", encoding="utf-8")


def set_wrong_value(home: HomeLayout) -> None:
    text = home.config_file.read_text(encoding="utf-8")
    home.config_file.write_text(text.replace('format = "json"', 'format = "xml"'), encoding="utf-8")


def remove_config(home: HomeLayout) -> None:
    home.config_file.unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (loosen_keys, "key_permissions_loose", "validator.key"),
        (loosen_key_directory, "key_permissions_loose", "keys"),
        (damage_key, "key_file_invalid", "transport.key"),
        (take_another_genesis, "genesis_mismatch", "is not the one this home was made for"),
        (change_genesis, "genesis_mismatch", "is not the one this home was made for"),
        (cut_genesis, "genesis_invalid", "genesis"),
        (remove_genesis, "genesis_missing", "has no genesis.json"),
        (take_data_of_another_chain, "genesis_mismatch", "another chain"),
        (break_config, "config_invalid", "config.toml"),
        (make_config_unreadable, "file_unreadable", "config.toml"),
        (add_unknown_key, "config_invalid", "p2p.listen_prot: is not a known key"),
        (add_unknown_section, "config_invalid", "pool: is not a known key"),
        (set_wrong_value, "config_invalid", "log.format"),
        (remove_config, "home_missing", "is not a Tidegate home"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_a_node_refuses_to_start_when_its_home_is_wrong(
    model: Network, spoil: Callable[[HomeLayout], None], code: str, words: str
) -> None:
    home = model.directory / spoil.__name__
    shutil.copytree(model.nodes[0].home, home)
    spoil(HomeLayout(home))
    exit_code, errors = await run_node(home)
    last = errors.rstrip().splitlines()[-1]
    assert last.startswith("error: "), errors
    assert last.endswith(f"[{code}]"), errors
    assert words in last
    assert "Traceback" not in errors
    assert exit_code == CONFIG


async def test_a_second_process_is_refused_when_the_home_is_in_use(start: Start) -> None:
    async with start(validators=1) as devnet:
        node = devnet.network.nodes[0]
        exit_code, errors = await run_node(node.home)
        assert exit_code == LOCKED
        assert f"pid {devnet.pid(node.name)}" in errors
        assert errors.rstrip().endswith("[home_locked]")
        await devnet.wait_ready()  # the first one did not notice


async def test_a_node_does_not_start_when_its_port_is_taken(start: Start) -> None:
    async with start(validators=1) as devnet:
        node = devnet.network.nodes[0]
        home = node.home.parent / "other"
        shutil.copytree(node.home, home, ignore=shutil.ignore_patterns("run", "data"))
        exit_code, errors = await run_node(home)
        assert exit_code not in (0, None)
        assert errors.rstrip().endswith("[transport_failed]")
        assert str(node.port) in errors
        await devnet.wait_ready()
