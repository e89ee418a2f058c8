"""``network.toml``: what it says, and what it may not say."""

from __future__ import annotations

import tomllib

import pytest

from ledger.errors import InvalidConfig, TidegateError
from node.network import BUSINESS_CONTRACTS, CONTRACTS, SUPERVISION_CONTRACTS
from node.networks.addresses import host_and_port, is_loopback
from node.networks.blueprint import parse_blueprint, read_blueprint
from node.networks.example import BUSINESS_EXAMPLE, SUPERVISED_EXAMPLE
from node.networks.rehearsal import rehearse


@pytest.mark.parametrize("text", [BUSINESS_EXAMPLE, SUPERVISED_EXAMPLE], ids=["business", "supervised"])
def test_example_makes_a_network_when_it_is_used_as_it_is(text):
    drafts = rehearse(parse_blueprint(text))
    assert {kind: len(draft.members) >= 3 for kind, draft in drafts.items()} == dict.fromkeys(drafts, True)


def test_contracts_are_chosen_by_the_kind_of_chain_when_none_are_named():
    assert parse_blueprint(BUSINESS_EXAMPLE).chains()["business"].contracts == CONTRACTS
    chains = parse_blueprint(SUPERVISED_EXAMPLE).chains()
    assert chains["business"].contracts == BUSINESS_CONTRACTS
    assert chains["supervision"].contracts == SUPERVISION_CONTRACTS


def test_fusion_node_has_a_home_of_each_chain_when_both_are_there():
    chains = parse_blueprint(SUPERVISED_EXAMPLE).chains()
    business, supervision = chains["business"].seat("fusion-1"), chains["supervision"].seat("fusion-1-supervision")
    assert (business.roles, supervision.roles) == (("fusion",), ("fusion",))
    assert business.supervision_home == "../fusion-1-supervision"
    assert supervision.directory == "/var/lib/tidegate/fusion-1-supervision"


@pytest.mark.parametrize(
    ("address", "listen", "expected"),
    [
        ("127.0.0.1:7300", "", ("127.0.0.1", 7300)),
        ("b.example.org:7300", "", ("0.0.0.0", 7300)),
        ("b.example.org:7300", "10.0.0.5:7301", ("10.0.0.5", 7301)),
        ("[::1]:7300", "", ("::1", 7300)),
    ],
)
def test_node_listens_where_its_address_allows_when_the_plan_is_silent(address, listen, expected):
    text = BUSINESS_EXAMPLE.replace('address = "127.0.0.1:7302"', f'address = "{address}"\nlisten = "{listen}"')
    node = parse_blueprint(text.replace("127.0.0.1:7301", "127.0.0.1:7399")).chains()["business"].seat("insurer-c")
    assert node.listening() == expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "insurer-c"', 'name = "platform-b"', "stands twice"),
        ("127.0.0.1:7302", "127.0.0.1:7301", "stands twice"),
        ('address = "127.0.0.1:7302"', 'address = "0.0.0.0:7302"', "where others reach it"),
        ('address = "127.0.0.1:7302"', 'address = "127.0.0.1"', "HOST:PORT"),
        ("threshold = 2", "threshold = 4", "more than it has keys"),
        ('"Member D"]', '"Nobody"]', "neither a node nor"),
        ('services = ["settlement"]', 'services = ["banking"]', "no service"),
        ('services = ["settlement"]', 'services = ["authority"]', "supervision chain"),
        ('services = ["settlement"]', 'roles = ["king"]', "roles"),
        ("empty_block_ms = 5000", "empty_block_ms = 1", "empty_block_ms"),
        ("empty_block_ms = 5000", "empty_blok_ms = 1", "empty_blok_ms"),
        ('issuer = "Insurer C"', 'issuer = "Mint"', "neither a node nor"),
        ('name = "insurer-c"', 'name = "Insurer C"', "name"),
        ('organisation = "Member D"', 'organisation = "Member {D}"', "no {"),
        ("# validator = false", "unknown = 1 #", "unknown"),
    ],
)
def test_plan_is_refused_in_words_when_it_contradicts_itself(old, new, words):
    assert old in BUSINESS_EXAMPLE
    with pytest.raises(InvalidConfig) as refused:
        parse_blueprint(BUSINESS_EXAMPLE.replace(old, new, 1))
    assert refused.value.code == "plan_invalid"
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("lock", "words"),
    [("key({Nobody})", "Nobody"), ("key(", "is not closed"), ("all()", "")],
)
def test_rehearsal_refuses_a_plan_when_a_lock_cannot_be(lock, words):
    blueprint = parse_blueprint(BUSINESS_EXAMPLE.replace("key({Insurer C})", lock))
    with pytest.raises(TidegateError) as refused:
        rehearse(blueprint)
    assert words in refused.value.message


def test_fusion_is_refused_when_one_chain_is_missing():
    fusion = SUPERVISED_EXAMPLE[SUPERVISED_EXAMPLE.index("[[fusion]]") :]
    with pytest.raises(InvalidConfig, match="both"):
        parse_blueprint(BUSINESS_EXAMPLE + fusion)


def test_file_is_named_when_it_cannot_be_read(tmp_path):
    with pytest.raises(InvalidConfig) as refused:
        read_blueprint(tmp_path / "none.toml")
    assert refused.value.code == "file_unreadable"
    (tmp_path / "bad.toml").write_text("[business", encoding="utf-8")
    with pytest.raises(InvalidConfig, match=r"bad\.toml"):
        read_blueprint(tmp_path / "bad.toml")


@pytest.mark.parametrize("text", ["h", "h:", ":1", "h:0", "h:65536", "h h:1", "a@b:1", "::1:7300", "h:１", "../h:1"])
def test_address_is_refused_when_it_is_not_host_and_port(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        host_and_port(text)


def test_loopback_is_told_from_other_hosts():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "example.org")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_example_is_valid_toml_when_its_comments_are_taken_out():
    assert tomllib.loads(BUSINESS_EXAMPLE)["business"]["name"] == "business"
