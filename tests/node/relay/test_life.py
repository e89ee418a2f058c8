"""Relays come and go, and what is between the two chains arrives exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter

import msgspec
import pytest

from contracts.bridge.records import SUPERVISION, DeliveredQuery, DeliveredView, RegisterClient, RoleQuery
from contracts.keyring import Nothing, Sent
from contracts.messages import NEED_DECISION
from ledger.block import Receipt
from ledger.encoding import encode
from ledger.transaction import Transaction, build
from node.calling import result_of
from node.clock import monotonic_ms
from node.relay import turns
from node.relay.assembly import cargo_of, renewal_of
from node.relay.direction import NOTHING_NEW, Direction
from node.relay.ends import DELIVER, RelayEnd, is_delivery
from node.relay.turns import STEP_MS
from tests.node import traffic
from tests.node.two_chains import World, blocks_of, two_chains


def delivered_calls(blocks) -> list[tuple[Transaction, bytes]]:
    """(delivery, code bytes) of the deliveries in blocks."""
    return [
        (transaction, receipt[36:38])
        for block in blocks
        for transaction, receipt in zip(block.candidate.transactions, block.candidate.result.receipts, strict=False)
        if is_delivery(transaction)
    ]


def cargo_heights(source: RelayEnd, destination: RelayEnd) -> list[int]:
    """Blocks of the source, as the fusion node has them, with something for the destination."""
    store = source.chain.store
    return [h for h in range(source.chain.tip.height + 1) if cargo_of(store.receipts(h), source, destination)]


async def file_many(world: World, count: int, who: str = "City Hospital") -> list[bytes]:
    key = world.party(who).signing
    return await asyncio.gather(*[traffic.file_note(world.business.gateway, key) for _ in range(count)])


async def statuses(world: World, flows: list[bytes]) -> set[str]:
    return {(await traffic.flow_view(world.business.gateway, flow)).status for flow in flows}


async def test_request_is_answered_when_a_relay_runs():
    async with two_chains() as world:
        await traffic.define(world)
        (flow,) = await file_many(world, 1)
        await world.calm()
        shown = await traffic.flow_view(world.business.gateway, flow)
        assert (shown.status, shown.stages[0].status) == ("open", "done")
        place = world.supervision.core(0).chain.store.find_transaction(shown.authorisation)
        assert place is not None, "the authorisation hash is a transaction of the supervision chain"


async def test_nothing_moves_while_no_relay_runs_and_all_of_it_when_one_starts():
    async with two_chains() as world:
        await traffic.define(world)
        await world.kill_relay(0)
        flows = await file_many(world, 30)
        assert world.unanswered(world.business) == 30
        assert await statuses(world, flows) == {"filing"}
        world.start_relay(0)
        await world.calm()
        assert await statuses(world, flows) == {"open"}


@pytest.mark.parametrize("sends", range(4))
async def test_relay_resumes_when_it_is_killed_at_any_step(sends: int, monkeypatch: pytest.MonkeyPatch):
    """A flow takes four deliveries: request, its answer with the decision, the decision's answer, …"""
    async with two_chains() as world:
        await traffic.define(world)
        await world.calm()
        left, dead = sends, asyncio.Event()
        send = Direction._send

        async def send_or_die(self: Direction, transaction: Transaction) -> str:
            nonlocal left
            if left == 0:
                dead.set()
                await asyncio.Event().wait()
            left -= 1
            return await send(self, transaction)

        monkeypatch.setattr(Direction, "_send", send_or_die)
        (flow,) = await file_many(world, 1)
        await asyncio.wait_for(dead.wait(), 20)
        await world.kill_relay(0)
        monkeypatch.undo()
        assert world.unanswered(world.business) + world.unanswered(world.supervision) > 0
        world.start_relay(0)
        await world.calm()
        assert await statuses(world, [flow]) == {"open"}
        lane = world.lane(world.supervision)
        assert lane.delivered == lane.watermark == world.lane(world.business).sent


async def test_killed_while_its_delivery_waits_for_a_block_when_another_relay_starts_nothing_is_taken_twice():
    async with two_chains() as world:
        await traffic.define(world)
        flows = await file_many(world, 5)
        await world.until(lambda: any(True for _ in world.ends(0)[1].waiting_deliveries()))
        await world.kill_relay(0)
        world.start_relay(0)
        await world.calm()
        assert await statuses(world, flows) == {"open"}
        assert world.lane(world.supervision).delivered == 5


async def test_hundreds_of_packets_arrive_in_several_deliveries_when_they_have_piled_up():
    async with two_chains() as world:
        await traffic.define(world)
        await world.kill_relay(0)
        flows = await file_many(world, 300)
        blocks = blocks_of(world.supervision)
        relay = world.start_relay(0)
        await world.calm(60)
        assert await statuses(world, flows) == {"open"}
        assert world.lane(world.supervision).delivered == 300
        report = relay.directions[0].document()
        assert (report["delivered_packets"], report["unanswered"]) == (300, 0)
        calls = delivered_calls(blocks)
        assert len([code for _, code in calls if code == b"ok"]) >= 300 // 24
        assert max(transaction.size_bytes for transaction, _ in calls) < 192 * 1024
        print(f"relay: {report['busy_ms'] / 300:.3f} ms a packet")


async def test_deliveries_are_split_when_one_block_has_more_than_fits():
    async with two_chains() as world:
        await traffic.define(world)
        await world.kill_relay(0)
        big = traffic.note(subject_id="A1", text="x" * 30_000)
        key, gateway = world.party("City Hospital").signing, world.business.gateway
        flows = await asyncio.gather(*[traffic.file_note(gateway, key, big) for _ in range(1)])
        documents = [traffic.note(subject_id="A1", text="x" * 30_000, n=n) for n in range(12)]
        flows += await asyncio.gather(*[traffic.file_note(gateway, key, document) for document in documents])
        world.start_relay(0)
        await world.calm(60)
        assert await statuses(world, flows) == {"open"}


async def test_packets_are_taken_in_any_order_when_a_later_block_is_delivered_first():
    async with two_chains() as world:
        await traffic.define(world)
        await world.kill_relay(0)
        flows = []
        for _ in range(4):
            flows += await file_many(world, 1)
        business, supervision = world.ends(0)
        # The answer to the authority's key notice is the first.
        await world.until(lambda: len(cargo_heights(business, supervision)) == 5)
        direction = Direction(business, supervision)
        for height in reversed(cargo_heights(business, supervision)[1:]):
            assert await direction._deliver(height)
        lane = world.lane(world.supervision)
        assert (lane.watermark, lane.delivered) == (4, 4)
        world.start_relay(0)
        await world.calm()
        assert await statuses(world, flows) == {"open"}


async def test_delivery_is_made_anew_at_once_when_a_later_header_was_first(monkeypatch: pytest.MonkeyPatch):
    async with two_chains() as world:
        await traffic.define(world)
        await world.kill_relay(0)
        for _ in range(2):
            await file_many(world, 1)
        business, supervision = world.ends(0)
        await world.until(lambda: len(cargo_heights(business, supervision)) == 3)
        _, first, second = cargo_heights(business, supervision)
        direction = Direction(business, supervision)
        send, sent = Direction._send, 0

        async def overtaken(self: Direction, transaction: Transaction) -> str:
            nonlocal sent
            sent += 1
            if sent == 1:
                assert await other._deliver(second)
            return await send(self, transaction)

        other = Direction(business, supervision)
        monkeypatch.setattr(direction, "_send", lambda transaction: overtaken(direction, transaction))
        assert await direction._deliver(first)
        assert sent == 2
        assert world.lane(world.supervision).delivered == 2


# --- two relays -------------------------------------------------------------------------------------------------------


async def test_fusion_node_that_was_too_late_is_a_relay_and_a_stranger_is_not():
    """Else the faster one of two would never learn of the other, and both would send everything."""
    async with two_chains(fusion=2) as world:
        business, supervision = world.ends(0)
        stranger = replace(supervision, key=world.supervision.members[0].member)
        other = world.ends(1)[1]
        nothing = renewal_of(business, supervision, business.chain.tip.height)
        direction = Direction(business, supervision)
        for sender in (stranger, other):
            assert not direction.turns._seen_ms
            transaction = sender.transaction(DELIVER, nothing)
            direction._note_relays([transaction], [encode(Receipt(transaction.tx_id, NOTHING_NEW, (), ()))])
        assert list(direction.turns._seen_ms) == [other.key.public]


async def test_one_relay_sends_and_the_other_rests_when_two_run(monkeypatch: pytest.MonkeyPatch):
    # A machine so busy that a block takes longer than a step would rightly make the other one take over.
    monkeypatch.setattr(turns, "STEP_MS", 60_000)
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        await file_many(world, 3)
        await world.calm()
        blocks = blocks_of(world.supervision)
        for _ in range(10):
            await file_many(world, 2)
            await world.calm()
        calls = delivered_calls(blocks)
        good = [code for _, code in calls if code == b"ok"]
        assert len(good) >= 10
        assert len(calls) - len(good) <= 2, "hardly ever do both send the same"


async def test_other_relay_takes_over_in_about_a_second_when_one_is_killed():
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        working = other = None
        while (
            other is None or not other.directions[0].turns._seen_ms
        ):  # until the two have met; the test's timeout ends it
            await file_many(world, 2)
            await world.calm()
            height = world.business.core(0).chain.tip.height + 1
            working = next(
                index
                for index, relay in world.relays.items()
                if not relay.directions[0].turns.delay_ms(height, monotonic_ms())
            )
            other = world.relays[1 - working]
        assert working is not None
        before = sum(direction.turns.taken_over for direction in other.directions)
        await world.kill_relay(working)
        begun = perf_counter()
        flows = await file_many(world, 1)
        await world.calm()
        took = perf_counter() - begun
        print(f"taken over and answered after {took:.2f} s")
        assert await statuses(world, flows) == {"open"}
        assert sum(direction.turns.taken_over for direction in other.directions) > before
        assert took < 3 * STEP_MS / 1000 + 2
        begun = perf_counter()
        await file_many(world, 1)
        await world.calm()
        assert perf_counter() - begun < took, "the dead one is not waited for any more"


async def test_new_relay_knows_the_others_from_the_chain_when_it_starts():
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        await file_many(world, 3)
        await world.calm()
        await world.kill_relay(1)
        await file_many(world, 1)
        await world.calm()
        relay = world.start_relay(1)
        await world.until(lambda: relay.directions[0].turns._seen_ms, 1)
        assert list(relay.directions[0].turns._seen_ms) == [bytes(world.ends(0)[1].key.public)]


async def test_refused_deliveries_of_strangers_make_nobody_wait():
    """Anybody can sign what looks like a delivery: only those that took effect show that there is another relay."""
    async with two_chains() as world:
        await traffic.define(world)
        await file_many(world, 1)
        await world.calm()
        core = world.supervision.core(0)
        relay = world.relays[0].directions[0]
        before = dict(relay.turns._seen_ms)
        delivery = next(
            Transaction.decode(wire)
            for height in range(core.chain.tip.height, 0, -1)
            for wire in core.chain.store.transactions(height)
            if is_delivery(Transaction.decode(wire))
        )
        receipt = core.chain.store.receipts(1)[0]
        refused = receipt[:35] + b"\xa2no" + receipt[38:]
        body = msgspec.structs.replace(delivery.body, sender=world.officers[0].key)
        relay._note_relays([build(body, [world.officers[0].signing])], [refused])
        assert relay.turns._seen_ms == before


# --- chains that are not ready ---------------------------------------------------------------------------------------


async def test_relay_waits_without_complaint_when_the_chains_do_not_know_each_other_yet():
    async with two_chains(introduce=False) as world:
        await asyncio.sleep(0)
        report = world.relays[0].document()["directions"]
        assert [direction["connected"] for direction in report] == [False, False]
        await world.meet()
        await world.until(lambda: world.lane(world.business).delivered == 1)
        await world.calm()
        assert all(direction.failures == 0 for direction in world.relays[0].directions)


async def test_packets_wait_when_only_the_source_knows_the_destination():
    """The business chain registers its client first; the supervision chain's comes a while later."""
    async with two_chains(introduce=False) as world:
        header = world.business.core(0).chain.store.header(0)
        keys = world.business.genesis.validator_set().keys
        await world.govern(
            world.supervision,
            "bridge",
            "register_client",
            RegisterClient("business", "business", "bridge", encode(header), keys, 30_000),
        )
        await world.until(lambda: world.lane(world.supervision).sent == 1)
        assert world.find(world.business, "bridge", "client", RoleQuery(SUPERVISION), object) is None
        outcome = await world.officer().call("keyring", "announce", Nothing())
        assert result_of(outcome, Sent).sent == 0
        await world.meet()
        await world.calm()
        assert world.lane(world.business).delivered == 1


async def test_nothing_is_sent_when_the_client_is_frozen(monkeypatch: pytest.MonkeyPatch):
    async with two_chains() as world:
        await traffic.define(world)
        monkeypatch.setattr(Direction, "_frozen", lambda self: self.destination.role == SUPERVISION)
        blocks = blocks_of(world.supervision)
        await file_many(world, 2)
        await world.relays[0].directions[0]._scan()
        await world.until(lambda: not world.relays[0].directions[0]._turns_due)
        assert delivered_calls(blocks) == []
        monkeypatch.undo()
        await world.calm()


async def test_nothing_is_sent_while_the_fusion_node_is_catching_up():
    async with two_chains() as world:
        await traffic.define(world)
        place = world.supervision.validators
        await world.kill_relay(0)
        await world.supervision.stop(place)
        flows = await file_many(world, 20)
        core = await world.supervision.start(place)
        core.synchroniser._claims["somebody"] = 10**6
        relay = world.start_relay(0)
        assert relay.document()["directions"][0]["catching_up"]
        await relay.directions[0]._deliver(world.business.core(0).chain.tip.height)
        assert relay.directions[0].deliveries == 0
        del core.synchroniser._claims["somebody"]
        await world.calm()
        assert await statuses(world, flows) == {"open"}


async def test_blocks_with_packets_for_another_chain_are_left_alone():
    async with two_chains() as world:
        await traffic.define(world)
        await file_many(world, 1)
        await world.calm()
        business, supervision = world.ends(0)
        heights = range(business.chain.tip.height + 1)
        mine = [cargo_of(business.chain.store.receipts(h), business, supervision) for h in heights]
        assert sum(map(len, mine)) == 3
        itself = [cargo_of(business.chain.store.receipts(h), business, business) for h in heights]
        assert sum(map(len, itself)) == 0


async def test_relay_answers_what_was_taken_already_when_the_delivered_view_says_so():
    async with two_chains() as world:
        await traffic.define(world)
        await file_many(world, 3)
        await world.calm()
        view = world.view(
            world.supervision, "bridge", "delivered", DeliveredQuery("business", (1, 2, 3, 4)), DeliveredView
        )
        assert view.taken == (True, True, True, False)


def test_kinds_of_the_traffic_ask_for_a_decision():
    assert traffic.note_kind().stages[0].need == NEED_DECISION
