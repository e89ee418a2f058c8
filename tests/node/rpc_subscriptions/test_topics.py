"""Each topic tells exactly what the chain holds, under every filter, from any height."""

from __future__ import annotations

import pytest

from ledger.errors import InvalidInput, InvalidLock
from node.rpc.subscriptions_records import Kind, Topic
from tests.node.rpc_subscriptions.reader import Growing, Reader, items, settle, subscribe
from tests.node.rpc_subscriptions.recorded import FILTERS, expected, filter_of, recorded


@pytest.mark.parametrize(("topic", "given"), FILTERS)
@pytest.mark.parametrize("part", [0, 2])
async def test_topic_tells_what_the_chain_holds_when_read_from_a_height(topic: Topic, given: dict, part: int):
    found = recorded()
    wanted = filter_of(found, given)
    chain, reader = Growing(found.chain, found.height), Reader()
    first = found.height * part // 3
    await subscribe(chain, reader, topic, from_height=first, **wanted)
    told = await reader.read_until(Kind.CAUGHT_UP)
    want = expected(found.chain, topic, first, found.height, **wanted)
    assert items(told) == want
    assert want or part, "an empty topic would prove nothing"
    assert told[-1]["cursor"] == {"height": found.height, "index": 4_294_967_295}
    await chain.hub.stop()


async def test_items_name_their_block_when_told():
    found = recorded()
    chain, reader = Growing(found.chain, found.height), Reader()
    await subscribe(chain, reader, "events", from_height=0)
    for note in (await reader.read_until(Kind.CAUGHT_UP))[:-1]:
        header = found.chain.store.header(note["cursor"]["height"])
        assert found.chain.store.height_of(bytes.fromhex(note["block_id"])) == header.height
        assert note.get("time_ms", 0) == header.time_ms
    await chain.hub.stop()


@pytest.mark.parametrize(
    ("topic", "given", "words"),
    [
        ("blocks", {"contract": "flow"}, "has no filter 'contract'; it has none"),
        ("events", {"account": "x"}, "has no filter 'account'; it has contract, event"),
        ("events", {"contract": "nowhere"}, "there is no contract 'nowhere'"),
        ("account", {}, "wants either account"),
        ("account", {"account": "a", "lock": "account(a)"}, "wants either account"),
        ("packet", {"lane": "mars"}, "no chain is registered here as 'mars'"),
        ("packet", {"lane": "z" * 64}, "neither a role nor a chain id"),
        ("packet", {"sequence": 3}, "name it with lane"),
    ],
)
async def test_filter_is_refused_in_words_when_it_fits_no_topic(topic: str, given: dict, words: str):
    found = recorded()
    chain = Growing(found.chain, found.height)
    with pytest.raises(InvalidInput, match=words) as caught:
        await subscribe(chain, Reader(), topic, **given)
    assert caught.value.code == "filter_invalid"
    assert chain.hub.open == 0


async def test_lock_is_refused_when_it_is_not_canonical():
    found = recorded()
    with pytest.raises(InvalidLock):
        await subscribe(Growing(found.chain, 0), Reader(), "account", lock="account( x )")


async def test_lane_is_found_when_named_by_chain_id():
    found = recorded()
    chain, reader = Growing(found.chain, found.height), Reader()
    await subscribe(chain, reader, "packet", from_height=0, lane=found.supervision_id.hex())
    assert items(await reader.read_until(Kind.CAUGHT_UP)) == expected(found.chain, Topic.PACKET, 0, found.height)
    await chain.hub.stop()


async def test_debit_names_only_its_outpoint_when_the_output_is_pruned(monkeypatch: pytest.MonkeyPatch):
    found = recorded()
    chain, reader = Growing(found.chain, found.height), Reader()
    monkeypatch.setattr(chain.hub.topics._outputs, "find", lambda outpoint: None)
    await subscribe(chain, reader, "account", account="B settled", from_height=0)
    debits = [item for _, _, item in items(await reader.read_until(Kind.CAUGHT_UP)) if item["direction"] == "debit"]
    own = {
        item["outpoint"]
        for _, _, item in expected(found.chain, Topic.ACCOUNT, 0, found.height, account="B settled")
        if item["direction"] == "debit"
    }
    assert own <= {item["outpoint"] for item in debits}, "no debit is missed; the client knows its own outpoints"
    unknown = [item for item in debits if item["lock"] is None]
    assert unknown
    assert all(item["amount"] is None and item["asset"] is None for item in unknown)
    # What was made in the same block is known all the same.
    assert all(item["lock"] == "account(B settled)" for item in debits if item not in unknown)
    await chain.hub.stop()


async def test_only_matching_outputs_are_looked_for_when_blocks_are_new(monkeypatch: pytest.MonkeyPatch):
    found = recorded()
    chain, reader = Growing(found.chain, 0), Reader(room=1_000)
    looked: list[bytes] = []
    find = chain.hub.topics._outputs.find
    monkeypatch.setattr(chain.hub.topics._outputs, "find", lambda name: looked.append(name) or find(name))
    await subscribe(chain, reader, "account", account="B settled")
    while chain.tip.height < found.height:
        chain.grow()
        await settle()
    want = expected(found.chain, Topic.ACCOUNT, 1, found.height, account="B settled")
    assert items(reader.buffer) == want
    debits = {item["outpoint"] for _, _, item in want if item["direction"] == "debit"}
    assert {name.hex() for name in looked} < debits, "an output that came and went in one block needs no look either"
    await chain.hub.stop()
    assert not chain.hub.topics.spent


async def test_spent_locks_are_kept_only_for_those_who_follow_accounts():
    found = recorded()
    chain, reader = Growing(found.chain, 0), Reader(room=1_000)
    await subscribe(chain, reader, "events")
    chain.grow(3)
    assert not chain.hub.topics.spent
    await chain.hub.stop()
