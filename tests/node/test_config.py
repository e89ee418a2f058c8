"""The configuration: what wins over what, and what people read when a value is not allowed."""

import pytest

from ledger.errors import InvalidConfig
from node.config import Config, load_config
from node.config_sections import parse_peer
from node.config_text import NodeSettings, config_text, pin_genesis
from p2p.identity import TransportKey

PEER = TransportKey(bytes(32)).peer_id
OTHER = TransportKey(bytes([1]) * 32).peer_id
MINIMAL = '[node]\nname = "n"\norganisation = "Insurer C"\n'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    import os

    for name in os.environ:
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(MINIMAL)
    return path


def refused(file, flags=None) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        load_config(file, flags)
    return caught.value


def test_defaults_hold_when_only_the_node_is_named(file):
    config = load_config(file)
    assert (config.node.name, config.node.organisation) == ("n", "Insurer C")
    assert config.rpc.socket == "run/rpc.sock"
    assert config.p2p.peers == () == config.p2p.addresses
    assert config.mempool.max_transactions == 50_000
    assert config.mempool.max_bytes == 64 * 1024 * 1024
    assert config.mempool.organisation_bytes == 48 * 1024 * 1024
    assert not config.services.transaction.enabled
    assert config.services.transaction.bookkeeper is None
    assert (config.log.level, config.log.format) == ("info", "json")


def test_flags_win_over_environment_and_environment_over_file(file, monkeypatch):
    file.write_text(MINIMAL + '[log]\nlevel = "error"\nformat = "console"\n')
    assert load_config(file).log.level == "error"
    monkeypatch.setenv("TIDEGATE_LOG__LEVEL", "warning")
    assert load_config(file).log.level == "warning"
    config = load_config(file, {"log.level": "debug", "p2p.listen_port": 9, "rpc.socket": None})
    assert (config.log.level, config.log.format, config.p2p.listen_port) == ("debug", "console", 9)
    assert config.rpc.socket == "run/rpc.sock"


def test_environment_reaches_nested_sections_lists_and_flags(file, monkeypatch):
    monkeypatch.setenv("TIDEGATE_SERVICES__TRANSACTION__BOOKKEEPER", "Platform B")
    monkeypatch.setenv("TIDEGATE_SERVICES__SETTLEMENT__ENABLED", "true")
    monkeypatch.setenv("TIDEGATE_P2P__PEERS", f"{PEER}@a.example:1, {OTHER}@[::1]:65535")
    config = load_config(file)
    assert config.services.transaction.bookkeeper == "Platform B"
    assert config.services.settlement.enabled
    assert [(a.peer_id, a.host, a.port) for a in config.p2p.addresses] == [
        (PEER, "a.example", 1),
        (OTHER, "::1", 65535),
    ]


def test_empty_list_in_the_environment_takes_the_files_place(file, monkeypatch):
    file.write_text(f'{MINIMAL}[p2p]\npeers = ["{PEER}@h:1"]\n')
    assert len(load_config(file).p2p.peers) == 1
    monkeypatch.setenv("TIDEGATE_P2P__PEERS", "")
    assert load_config(file).p2p.peers == ()


@pytest.mark.parametrize("name", ["TIDEGATE_PASSPHRASE", "TIDEGATE_HOME", "TIDEGATE_PYTHON", "TIDEGATE_SEED", "OTHER"])
def test_variables_that_name_no_section_are_left_alone(file, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    load_config(file)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TIDEGATE_LOG__LEVEL", "loud", ["TIDEGATE_LOG__LEVEL", "log.level", "'debug', 'info', 'warning' or 'error'"]),
        ("TIDEGATE_LOG__COLOUR", "1", ["TIDEGATE_LOG__COLOUR", "log.colour", "known here: file, format"]),
        ("TIDEGATE_LOGS__LEVEL", "1", ["TIDEGATE_LOGS__LEVEL", "logs", "known here: chain, fusion, log, mempool"]),
        ("TIDEGATE_LOG_LEVEL", "debug", ["two underscores", "TIDEGATE_LOG__LEVEL"]),
        ("TIDEGATE_LOG", "{}", ["TIDEGATE_LOG__KEY"]),
        ("TIDEGATE_LOG__LEVEL__DEEP", "x", ["log.level.deep"]),
        ("TIDEGATE_SERVICES__BOOKKEEPING", "{}", ["services.bookkeeping", "section", "enabled"]),
        ("TIDEGATE_SERVICES__BOOKKEEPING__ENABLED", "perhaps", ["services.bookkeeping.enabled", "boolean", "perhaps"]),
        ("TIDEGATE_P2P__PEERS", f"{PEER}@host", ["TIDEGATE_P2P__PEERS", "PEERID@HOST:PORT"]),
        ("TIDEGATE_P2P__LISTEN_PORT", "70000", ["p2p.listen_port", "65535", "70000"]),
        ("TIDEGATE_NODE__ORGANISATION", "a(b)", ["node.organisation", "brackets"]),
    ],
)
def test_bad_variable_is_named_with_what_is_allowed(file, monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    text = refused(file).message
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[nodes]\nname = 1\n", ["config.toml", "nodes", "known here: chain, fusion, log"]),
        ("[log]\nlevle = 'info'\n", ["log.levle", "known here: file, format, keep, level, max_bytes"]),
        ("[services.relay]\nenabled = true\n", ["services.relay", "authority, bookkeeping, settlement, transaction"]),
        ("[mempool]\nmax_transactions = 0\n", ["mempool.max_transactions", "greater than or equal to 1", "it is 0"]),
        ("[p2p]\npeers = 'x'\n", ["p2p.peers", "PEERID@HOST:PORT"]),
        ("[p2p]\npeers = 7\n", ["p2p.peers", "it is 7"]),
        ("[chain]\ngenesis_hash = 'abc'\n", ["chain.genesis_hash"]),
        ("[log]\nlevel = info\n", ["config.toml", "line 5"]),
        ("[log]\nlevel = 'info'\nlevel = 'info'\n", ["config.toml", "line 6"]),
    ],
)
def test_bad_file_is_named_with_what_is_allowed(file, text, words):
    file.write_text(MINIMAL + text)
    said = refused(file).message
    assert [word for word in words if word not in said] == []


def test_missing_key_is_named(file):
    file.write_text('[node]\nname = "n"\n')
    error = refused(file)
    assert error.message.endswith("node.organisation: is missing")
    assert error.data["key"] == "node.organisation"


def test_key_outside_a_section_is_refused(file):
    file.write_text('name = "n"\n' + MINIMAL)
    assert "outside a [section]" in refused(file).message


def test_bad_flag_is_named_as_a_flag(file):
    assert refused(file, {"log.level": "loud"}).message.startswith("flag: log.level")
    assert "known key" in refused(file, {"log.colour": "x"}).message


def test_file_that_is_not_utf8_is_refused(file):
    file.write_bytes(b"[node]\nname = '\xff'\n")
    assert "config.toml" in refused(file).message


def test_missing_file_says_how_to_make_a_home(tmp_path):
    error = refused(tmp_path / "config.toml")
    assert error.code == "home_missing"
    assert "tidegate node init" in error.message


def test_configuration_is_immutable(file):
    config: Config = load_config(file)
    with pytest.raises(ValueError, match="frozen"):
        config.log.level = "debug"
    with pytest.raises(ValueError, match="frozen"):
        config.log = config.log


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{PEER}", f"{PEER}@", f"{PEER}@h", f"{PEER}@:1", f"{PEER}@h:0", f"{PEER}@h:65536", f"{PEER}@h:١",
     f"{PEER}@::1:1", f"{PEER[:-1]}@h:1", "@h:1", f"{PEER}@h:-1"],
)  # fmt: skip
def test_peer_of_another_form_is_refused(text):
    with pytest.raises(InvalidConfig):
        parse_peer(text)


def test_written_text_reads_back_as_it_was_meant(file):
    settings = NodeSettings(
        name="node7",
        organisation="保险 C",
        listen_host="::",
        listen_port=7301,
        peers=(f"{PEER}@h:1", f"{OTHER}@h:2"),
        socket="run/other.sock",
        services=frozenset({"transaction", "settlement"}),
        bookkeeper="Insurer C",
        log_level="warning",
        log_format="console",
    )
    file.write_text(config_text(settings) + pin_genesis("ab" * 32))
    config = load_config(file)
    assert (config.node.name, config.node.organisation) == ("node7", "保险 C")
    assert (config.p2p.listen_host, config.p2p.listen_port, config.p2p.peers) == ("::", 7301, settings.peers)
    assert config.rpc.socket == "run/other.sock"
    assert config.services.transaction.enabled
    assert config.services.transaction.bookkeeper == "Insurer C"
    assert (config.services.bookkeeping.enabled, config.services.settlement.enabled) == (False, True)
    assert (config.log.level, config.log.format) == ("warning", "console")
    assert config.chain.genesis_hash == "ab" * 32
