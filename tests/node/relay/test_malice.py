"""A fusion node that lies, replays, withholds or mixes up: what it gets is refusals, and the honest one carries on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from contracts.flow.codes import SUPERVISION_STALE
from contracts.messages import AUTHORISED, Decision, decision_codec
from ledger.block import receipt_codec
from ledger.encoding import encode
from ledger.packet import PACKET_EVENT, Delivery, packet_codec
from ledger.transaction import Transaction
from node.calling import CallRefused
from node.relay.direction import Direction
from node.relay.service import RelayService
from node.relay.turns import Turns
from tests.node import traffic
from tests.node.relay.test_life import delivered_calls, file_many, statuses
from tests.node.two_chains import blocks_of, two_chains


def lying(change: Callable[[Delivery], Delivery]) -> type[RelayService]:
    """A relay that changes every delivery before it sends it."""

    class LyingDirection(Direction):
        def _transaction(self, delivery: Delivery) -> Transaction:
            return super()._transaction(change(delivery))

    class LyingRelay(RelayService):
        def __init__(self, business, supervision):
            self.directions = (LyingDirection(business, supervision), LyingDirection(supervision, business))

    return LyingRelay


def _with_packets(delivery: Delivery, change) -> Delivery:
    """The delivery with the packet events in its receipts changed; the proofs stay as they were."""
    receipts = []
    for proof in delivery.receipts:
        receipt = receipt_codec.decode(proof.receipt)
        events = tuple(
            replace(event, data=encode(change(packet_codec.decode(event.data))))
            if event.name == PACKET_EVENT
            else event
            for event in receipt.events
        )
        receipts.append(replace(proof, receipt=encode(replace(receipt, events=events))))
    return replace(delivery, receipts=tuple(receipts))


def _authorise_all(packet):
    if packet.kind != "decision":
        return replace(packet, payload=packet.payload[:-1] + b"\x00")
    decision = decision_codec.decode(packet.payload)
    return replace(packet, payload=encode(replace(decision, outcome=AUTHORISED, reason="")))


LIES: dict[str, Callable[[Delivery], Delivery]] = {
    "alters payloads": lambda d: _with_packets(d, _authorise_all),
    "names another receiver": lambda d: _with_packets(d, lambda p: replace(p, receiver="assets")),
    "moves packets to another sequence": lambda d: _with_packets(d, lambda p: replace(p, sequence=p.sequence + 1)),
    "leaves out the certificate": lambda d: replace(d, proof=replace(d.proof, certificate=None)),
    "makes the header newer": lambda d: replace(
        d, proof=replace(d.proof, header=replace(d.proof.header, time_ms=d.proof.header.time_ms + 1))
    ),
    "counts one validator many times": lambda d: (
        d
        if d.proof.certificate is None
        else replace(
            d,
            proof=replace(d.proof, certificate=replace(d.proof.certificate, seals=d.proof.certificate.seals[:1] * 3)),
        )
    ),
    "brings cargo that nobody asked for": lambda d: replace(d, attachments=(*d.attachments, b"payload of mine")),
}


@pytest.mark.parametrize("lie", LIES)
async def test_nothing_takes_effect_and_the_honest_relay_carries_on_when_a_relay(lie: str):
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        await world.kill_relay(0)
        await world.kill_relay(1)
        liar = world.start_relay(0, lying(LIES[lie]))
        flows = await file_many(world, 2)
        for direction in liar.directions:
            height = max(1, direction.source.chain.tip.height)
            await direction._deliver(height)
        assert await statuses(world, flows) == {"filing"}
        assert world.lane(world.supervision).delivered == 0
        assert not world.client(world.supervision).state.frozen
        world.start_relay(1)
        await world.calm()
        assert await statuses(world, flows) == {"open"}
        assert world.lane(world.supervision).delivered == 2


async def test_replayed_deliveries_do_nothing():
    async with two_chains() as world:
        await traffic.define(world)
        blocks = {world.business: blocks_of(world.business), world.supervision: blocks_of(world.supervision)}
        flows = await file_many(world, 3)
        await world.calm()
        before = world.lane(world.business), world.lane(world.supervision)
        for net, fusion in ((world.business, 0), (world.supervision, 1)):
            end = world.ends(0)[fusion]
            other = world.ends(0)[1 - fusion]
            direction = Direction(other, end)
            for transaction, code in delivered_calls(list(blocks[net])):
                assert code == b"ok"
                (call,) = transaction.body.calls
                from contracts.bridge.contract import Bridge

                delivery = Bridge.methods["deliver"].arguments.decode(call.arguments)
                assert await direction._send(direction._transaction(delivery)) == ""
            assert direction.packets == direction.answers == 0
        assert (world.lane(world.business), world.lane(world.supervision)) == before
        assert await statuses(world, flows) == {"open"}


async def test_delivery_to_the_wrong_chain_is_refused():
    async with two_chains() as world:
        await traffic.define(world)
        business, supervision = world.ends(0)
        straight = Direction(business, supervision)
        await world.kill_relay(0)
        await file_many(world, 1)
        height = world.business.core(0).chain.tip.height
        await world.until(lambda: business.chain.tip.height >= height)
        from node.relay.assembly import cargo_of, deliveries_of

        receipts = business.chain.store.receipts(height)
        (delivery,) = deliveries_of(business, supervision, height, receipts, cargo_of(receipts, business, supervision))
        back = Direction(supervision, business)
        assert await back._send(back._transaction(delivery)) == ""
        assert back.deliveries == 0
        assert straight._refused("bridge_no_client") == ""


async def test_only_a_fusion_node_may_deliver():
    async with two_chains() as world:
        await traffic.define(world)
        business, supervision = world.ends(0)
        await world.kill_relay(0)
        await file_many(world, 1)
        stranger = Direction(business, replace_key(supervision, world.officers[0].signing))
        height = world.business.core(0).chain.tip.height
        await world.until(lambda: business.chain.tip.height >= height)
        assert not await stranger._deliver(height)
        assert world.lane(world.supervision).delivered == 0


def replace_key(end, key):
    import dataclasses

    return dataclasses.replace(end, key=key)


class OneWay(RelayService):
    """Carries requests, and withholds whatever the supervision chain says."""

    async def run(self) -> None:
        await self.directions[0].run()


async def test_stages_are_refused_once_supervision_is_stale_when_a_relay_withholds_what_it_says():
    """Without this, a relay could keep a suspend from the business chain for ever."""
    async with two_chains(empty_block_ms=300) as world:
        await traffic.define(world, max_staleness_ms=1_500)
        (flow,) = await file_many(world, 1)
        await world.calm()
        await world.kill_relay(0)
        world.start_relay(0, OneWay)
        key, gateway = world.party("City Hospital").signing, world.business.gateway
        newest = world.client(world.business).state.latest.time_ms
        await world.until(lambda: world.business.core(0).chain.tip.header.time_ms > newest + 1_700)
        with pytest.raises(CallRefused) as refused:
            await traffic.deliver_note(gateway, key, flow)
        assert refused.value.code == SUPERVISION_STALE
        (waiting,) = await file_many(world, 1)
        await world.until(lambda: world.lane(world.supervision).delivered == 2)
        assert await statuses(world, [waiting]) == {"filing"}
        await world.kill_relay(0)
        world.start_relay(0)
        await world.calm()
        assert await statuses(world, [waiting]) == {"open"}
        await traffic.deliver_note(gateway, key, flow)


async def test_other_relay_brings_answers_when_one_withholds_them():
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        await world.kill_relay(0)
        world.start_relay(0, OneWay)
        for _ in range(3):
            flows = await file_many(world, 2)
            await world.calm()
            assert await statuses(world, flows) == {"open"}


async def test_relay_that_takes_its_time_cannot_stop_the_other_for_longer_than_some_steps(
    monkeypatch: pytest.MonkeyPatch,
):
    """A delivery that waits for a block for ever must not be waited for for ever."""
    async with two_chains(fusion=2) as world:
        await traffic.define(world)
        await world.kill_relay(0)
        monkeypatch.setattr("node.relay.direction.STEP_MS", 20)
        direction = world.relays[1].directions[0]
        monkeypatch.setattr(direction, "_others_are_at_it", lambda: True)
        monkeypatch.setattr(Turns, "delay_ms", lambda *_: 20)
        flows = await file_many(world, 1)
        await world.calm()
        assert await statuses(world, flows) == {"open"}


def test_decision_that_a_relay_would_forge_has_the_form_of_a_real_one():
    decision = Decision(bytes(32), "file", 1, bytes(32), AUTHORISED, "")
    assert decision_codec.decode(encode(decision)) == decision
