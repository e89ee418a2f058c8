"""New keys for a node: beside the old ones until they count, the old ones kept, whatever interrupts it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.errors import InvalidConfig, InvalidInput
from ledger.keys import SigningKey, key_text
from node.config_text import NodeSettings
from node.home import Home
from node.layout import HomeLayout
from node.networks.key_change import MEMBER, move_funds, next_key, prepare_change, put_in_place, waiting_kinds
from node.networks.member_file import check_member
from node.node_keys import read_keys
from tests.node.cluster import Cluster, running

CHAIN = bytes(range(32))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def home(tmp_path) -> HomeLayout:
    return Home.create(tmp_path / "h", NodeSettings(name="h", organisation="Hospital"))


def prepare(home: HomeLayout, *, member: bool = False):
    return prepare_change(home, CHAIN, "Hospital", "h", member=member)


def test_present_keys_stay_until_the_new_ones_are_put_in_place(home):
    before = read_keys(home)
    change = prepare(home)
    assert read_keys(home).seeds() == before.seeds()
    stated = check_member(change.request, CHAIN)
    assert stated.member == before.member.public
    assert stated.validator not in (before.validator.public, b"")
    old = put_in_place(home, NOW)
    after = read_keys(home)
    assert (after.validator.public, after.transport.public_key) == (stated.validator, stated.transport)
    assert after.member.public == before.member.public
    assert sorted(path.name for path in old.iterdir()) == ["transport.key", "validator.key"]
    assert old.name == "old-20260102T030405Z"
    assert old.stat().st_mode & 0o777 == 0o700


def test_same_new_keys_are_taken_when_the_change_is_prepared_again(home):
    assert prepare(home).request == prepare(home).request


def test_member_key_changes_only_when_it_is_asked_for(home):
    before = read_keys(home).member.public
    change = prepare(home, member=True)
    assert MEMBER in change.kinds
    assert change.request.keys.member != before
    put_in_place(home, NOW)
    assert read_keys(home).member.public == change.request.keys.member


@pytest.mark.parametrize("moved", ["old", "both"])
def test_change_goes_on_when_it_was_interrupted(home, moved):
    change = prepare(home)
    old = home.keys_dir / "old-20260102T030405Z"
    old.mkdir(mode=0o700)
    home.key_file("validator").rename(old / "validator.key")
    if moved == "both":
        next_key(home, "validator").rename(home.key_file("validator"))
    put_in_place(home, NOW)
    assert read_keys(home).validator.public == change.request.keys.validator
    assert read_keys(home).transport.public_key == change.request.keys.transport
    assert waiting_kinds(home) == ()


def test_nothing_is_put_in_place_when_nothing_waits(home):
    with pytest.raises(InvalidConfig) as refused:
        put_in_place(home)
    assert refused.value.code == "rotation_missing"


def test_request_is_refused_when_it_is_brought_to_another_chain(home):
    with pytest.raises(InvalidInput) as refused:
        check_member(prepare(home).request, bytes(32))
    assert refused.value.code == "member_file_foreign"


async def test_funds_move_to_the_new_key_when_both_sign():
    cluster = Cluster()
    async with running(cluster):
        gateway = cluster.core(0).gateway
        # Member 1's key is admitted and plays the new one; what member 0 owns moves to it.
        old, new = cluster.members[0].member, cluster.members[1].member
        before = await gateway.unspent(f"key({key_text(old.public)})")
        total = sum(item.output.amount for item in before)
        assert total
        assert await move_funds(gateway, old, new) == len(before)
        assert await gateway.unspent(f"key({key_text(old.public)})") == []
        after = await gateway.unspent(f"key({key_text(new.public)})")
        assert sum(item.output.amount for item in after) >= total
        assert await move_funds(gateway, old, new) == 0


async def test_funds_do_not_move_when_the_old_key_is_another():
    cluster = Cluster()
    async with running(cluster):
        gateway = cluster.core(0).gateway
        assert await move_funds(gateway, SigningKey.generate(), cluster.members[1].member) == 0
