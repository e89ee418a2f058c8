"""Whole networks: one home and one set of keys per organisation, certified and wired as planned."""

import json
import stat

import pytest

from contracts.builtin import build_rules, genesis_block
from ledger.errors import InvalidConfig, InvalidGenesis, NotFound
from ledger.genesis import Parameters
from ledger.keys import key_text
from ledger.state import StoredState
from ledger.store_memory import MemoryStore
from node.home import Home
from node.network import (
    AccountPlan,
    AssetPlan,
    NetworkPlan,
    create_network,
    default_organisation,
    free_ports,
    load_network,
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return create_network(
        NetworkPlan(
            directory=tmp_path_factory.mktemp("n") / "net",
            name="trial",
            observers=1,
            topology="line",
            assets=(AssetPlan("CNY", ((500_00, "key({Insurer C})"), (1, "any(key({Member D}),key({Issuer}))"))),),
            accounts=(AccountPlan("B pending", "Platform B", "any(key({Platform B}),key({Insurer C}))"),),
            parameters=Parameters(package_transactions=10, package_ms=100),
            bookkeepers={"Platform B": "Insurer C"},
        )
    )


def peers_of(node):
    with Home.open(node.home, lock=False) as home:
        return {(address.peer_id, address.port) for address in home.config.p2p.addresses}


def test_network_reads_back_as_it_was_made(network):
    assert load_network(network.directory) == network


def test_network_may_be_moved(network, tmp_path):
    import shutil

    shutil.copytree(network.directory, tmp_path / "moved")
    moved = load_network(tmp_path / "moved")
    assert moved.nodes[0].home == tmp_path / "moved" / "node0"
    assert moved.nodes[0].socket == tmp_path / "moved" / "node0" / "run" / "rpc.sock"
    Home.open(moved.nodes[0].home).close()


def test_default_organisations_are_named_in_order(network):
    names = ["Platform B", "Insurer C", "Member D", "Member E", "Member F"]
    assert [node.organisation for node in network.nodes] == names
    assert default_organisation(24) == "Member Z"
    assert default_organisation(25) == "Member AA"


def test_nodes_are_found_by_name_and_organisation(network):
    assert network.node("node1") is network.node("Insurer C") is network.nodes[1]
    with pytest.raises(NotFound, match="node0 \\(Platform B\\)"):
        network.node("nobody")


def test_every_key_is_held_by_one_organisation_only(network):
    seeds = [seed for node in network.nodes for seed in node.keys().seeds().values()]
    seeds += [network.signing_issuer().seed, *(key.seed for key in network.signing_authority())]
    assert len(set(seeds)) == len(seeds) == 5 * 3 + 2


def test_description_matches_the_homes(network):
    for node in network.nodes:
        with Home.open(node.home) as home:
            assert home.config.node.name == node.name
            assert home.config.node.organisation == node.organisation
            assert (home.config.p2p.listen_host, home.config.p2p.listen_port) == (node.host, node.port)
            assert home.keys.transport.peer_id == node.peer_id
            assert key_text(home.keys.validator.public) == node.validator
            assert key_text(home.keys.member.public) == node.member
            assert home.socket == node.socket
            assert home.genesis.chain_id == network.chain_id


def test_every_key_has_a_certificate_with_its_role(network):
    by_key = {key_text(certificate.key): certificate for certificate in network.genesis().admitted()}
    for node in network.nodes:
        own = by_key.pop(node.validator)
        assert own.roles == (("validator",) if node.validates else ("observer",))
        assert own.transport == node.keys().transport.public_key
        member = by_key.pop(node.member)
        assert (member.roles, member.transport) == (("member", "service"), b"")
        assert own.organisation == member.organisation == node.organisation
    assert [(c.organisation, c.roles) for c in by_key.values()] == [("Issuer", ("member",))]


def test_only_validators_are_in_the_first_set(network):
    assert set(network.genesis().validators) == {node.validator for node in network.nodes[:4]}
    assert [node.validates for node in network.nodes] == [True] * 4 + [False]


def test_line_lists_neighbours_only(network):
    listed = [peers_of(node) for node in network.nodes]
    own = [(node.peer_id, node.port) for node in network.nodes]
    assert listed == [{own[1]}, {own[0], own[2]}, {own[1], own[3]}, {own[2], own[4]}, {own[3]}]


def test_mesh_lists_everybody_else(tmp_path):
    network = create_network(NetworkPlan(directory=tmp_path / "n", validators=3))
    own = {(node.peer_id, node.port) for node in network.nodes}
    for node in network.nodes:
        assert peers_of(node) == own - {(node.peer_id, node.port)}


def test_genesis_says_what_was_planned(network):
    genesis = network.genesis()
    insurer, issuer = network.node("Insurer C").member, network.issuer_key
    (asset,) = genesis.assets
    assert (asset.asset, asset.issuers, asset.scale) == ("CNY", (issuer,), 2)
    assert [(item.amount, item.lock) for item in asset.supply] == [
        (500_00, f"key({insurer})"),
        (1, f"any(key({network.node('Member D').member}),key({issuer}))"),
    ]
    (account,) = genesis.accounts
    assert account.lock == f"any(key({network.node('Platform B').member}),key({insurer}))"
    kinds = ["admission", "governance", "validators", "accounts", "assets", "commission"]
    assert [contract.address for contract in genesis.contracts] == kinds
    assert genesis.parameters == Parameters(package_transactions=10, package_ms=100)


def test_genesis_starts_a_chain(network):
    genesis = network.genesis()
    header, result = genesis_block(genesis, build_rules(genesis), StoredState(MemoryStore()))
    assert header.height == 0
    assert result.change_hashes


def test_services_are_switched_on_as_planned(network):
    enabled = {}
    for node in network.nodes:
        with Home.open(node.home) as home:
            services = home.config.services
            names = ("transaction", "bookkeeping", "settlement")
            enabled[node.organisation] = [name for name in names if getattr(services, name).enabled]
            assert services.transaction.bookkeeper == ("Insurer C" if node.name == "node0" else None)
    assert enabled["Platform B"] == ["transaction", "bookkeeping"]
    assert enabled["Insurer C"] == ["settlement"]
    assert enabled["Member D"] == []


def test_secret_directories_are_private(network):
    for name in ("node0", "authority", "issuer"):
        keys = network.directory / name / "keys"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in keys.iterdir()} == {0o600}
    secrets = {node.keys().member.seed.hex() for node in network.nodes}
    shared = (network.directory / "network.json").read_text() + network.genesis_file.read_text()
    assert not [secret for secret in secrets if secret in shared]


def test_authority_of_several_keys_signs_with_all(tmp_path):
    plan = NetworkPlan(directory=tmp_path / "n", validators=1, authority_keys=3, authority_threshold=2)
    network = create_network(plan)
    keys = network.signing_authority()
    assert len(keys) == 3
    assert network.authority.startswith("threshold(2,key(")
    assert {name for name, _ in network.genesis().certificates[0].signatures} == {key_text(k.public) for k in keys}


def test_two_networks_of_one_plan_are_two_chains(tmp_path):
    plans = [NetworkPlan(directory=tmp_path / name, validators=1, created_ms=1_700_000_000_000) for name in "ab"]
    one, two = [create_network(plan) for plan in plans]
    assert one.chain_id != two.chain_id
    assert one.genesis().created_ms == two.genesis().created_ms == 1_700_000_000_000


def test_single_node_pays_itself(tmp_path):
    network = create_network(NetworkPlan(directory=tmp_path / "n", validators=1, organisations=("Alone",)))
    assert network.genesis().assets[0].supply[0].lock == f"key({network.nodes[0].member})"


def test_passphrase_seals_every_key(tmp_path):
    network = create_network(NetworkPlan(directory=tmp_path / "n", validators=1, passphrase="p"))
    files = list(network.directory.rglob("*.key"))
    assert len(files) == 5
    assert all("sealed" in json.loads(file.read_text()) for file in files)
    assert network.signing_issuer(lambda: "p")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"validators": 0}, "at least one validator"),
        ({"validators": 129}, "at most 128"),
        ({"observers": -1}, "at least one validator"),
        ({"validators": 1, "organisations": ("A", "B")}, "2 organisations for 1 nodes"),
        ({"organisations": ("A", "A")}, "distinct"),
        ({"organisations": ("Issuer",)}, "distinct"),
        ({"organisations": ("{A}",)}, "braces"),
        ({"services": {"Nobody": ["settlement"]}}, "Nobody"),
        ({"bookkeepers": {"Nobody": "Insurer C"}}, "Nobody"),
        ({"authority_threshold": 2}, "threshold"),
        ({"accounts": (AccountPlan("a", "Insurer C", "key({Nobody})"),)}, "Nobody"),
    ],
)
def test_contradictory_plan_is_refused_and_leaves_nothing(tmp_path, changes, words):
    with pytest.raises(InvalidConfig, match=words):
        create_network(NetworkPlan(directory=tmp_path / "n", **changes))
    assert list(tmp_path.iterdir()) == []


def test_parameter_out_of_bounds_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InvalidGenesis, match="base_timeout_ms"):
        create_network(NetworkPlan(directory=tmp_path / "n", parameters=Parameters(base_timeout_ms=1)))
    assert list(tmp_path.iterdir()) == []


def test_directory_in_use_is_refused_untouched(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InvalidConfig, match="not empty"):
        create_network(NetworkPlan(directory=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_ports_are_distinct_and_below_the_range_of_outgoing_connections():
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(15_000 <= port < 32_000 for port in ports)


def test_missing_network_says_how_to_make_one(tmp_path):
    with pytest.raises(InvalidConfig, match="devnet init") as caught:
        load_network(tmp_path)
    assert caught.value.code == "network_missing"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}', "\xff"])
def test_damaged_description_is_refused(tmp_path, text):
    (tmp_path / "network.json").write_text(text, encoding="latin-1")
    with pytest.raises(InvalidConfig) as caught:
        load_network(tmp_path)
    assert caught.value.code == "network_invalid"
