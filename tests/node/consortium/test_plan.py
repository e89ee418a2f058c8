"""A consortium in a directory: two networks that share nothing but the fusion nodes' operators."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import InvalidConfig
from ledger.lock import parse_lock
from node.consortium.cast import read_cast
from node.consortium.plan import Consortium, ConsortiumPlan, create_consortium, load_consortium
from node.home import Home
from node.layout import HomeLayout
from node.node_keys import read_authority_keys


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    plan = ConsortiumPlan(directory=tmp_path_factory.mktemp("plan") / "c", authorities=2)
    return create_consortium(plan)


def test_consortium_is_read_again_as_it_was_made(made: Consortium):
    found = load_consortium(made.directory)
    assert found.business.chain_id == made.business.chain_id
    assert [party.name for party in found.parties] == [party.name for party in made.parties]
    assert found.fusion == made.fusion
    assert len(found.fusion) == 2


def test_chains_share_no_validator_and_no_key(made: Consortium):
    business, supervision = made.business, made.supervision
    keys = [
        {key for node in network.nodes for key in (node.validator, node.member)} for network in (business, supervision)
    ]
    assert not keys[0] & keys[1]
    assert not {node.port for node in business.nodes} & {node.port for node in supervision.nodes}
    assert business.chain_id != supervision.chain_id
    organisations = [
        {node.organisation for node in network.nodes if node.validates} for network in (business, supervision)
    ]
    assert not organisations[0] & organisations[1]


def test_regulator_is_no_participant_of_the_business_chain(made: Consortium):
    assert not any("Regulator" in certificate.organisation for certificate in made.business.genesis().certificates)


def test_fusion_homes_lead_to_their_nodes_of_the_other_chain(made: Consortium):
    for name in made.fusion:
        with Home.open(made.business.node(name).home) as home:
            other = (home.path / home.config.fusion.supervision_home).resolve()
        assert other in {node.home.resolve() for node in made.supervision.nodes if node.hosted}


def test_only_fusion_nodes_have_the_role_that_delivers(made: Consortium):
    for network in (made.business, made.supervision):
        holders = {c.organisation for c in network.genesis().certificates if "fusion" in c.roles}
        assert holders == {"Fusion 1", "Fusion 2"}


def test_authorities_have_a_sealing_key_each_and_one_pseudonym_key(made: Consortium):
    keys = [read_authority_keys(HomeLayout(node.home)) for node in made.supervision.nodes[:2]]
    assert keys[0].sealing[0].key_id != keys[1].sealing[0].key_id
    assert keys[0].pseudonym == keys[1].pseudonym
    policies = {doc.name: doc.lock for doc in made.supervision.genesis().policies}
    assert set(policies) == {"officers", "authorities"}
    for lock in policies.values():
        parse_lock(lock)


def test_cast_has_whom_the_bootstrap_needs(made: Consortium):
    cast = read_cast(made)
    assert cast.party("Pharmacy 1").kind == "pharmacy"
    assert [kind for _, kind, _ in cast.members] == ["platform", "insurer"]
    assert cast.sealing[0].epoch == 1
    assert repr(cast.authority.seed) not in repr(cast)


@pytest.mark.parametrize(
    "wrong",
    [
        {"validators": 0},
        {"fusion_nodes": 0},
        {"authorities": 0},
        {"authorities": 5},
    ],
)
def test_plan_is_refused_and_leaves_nothing_when_it_contradicts_itself(tmp_path: Path, wrong: dict[str, int]):
    with pytest.raises(InvalidConfig) as refused:
        create_consortium(ConsortiumPlan(directory=tmp_path / "c", **wrong))
    assert refused.value.code == "plan_invalid"
    assert not (tmp_path / "c").exists()


def test_directory_is_left_alone_when_it_is_in_use(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidConfig) as refused:
        create_consortium(ConsortiumPlan(directory=tmp_path))
    assert refused.value.code == "file_exists"
    assert (tmp_path / "file").read_text() == "mine"
