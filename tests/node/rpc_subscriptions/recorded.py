"""A recorded business chain with payments, refusals, flows and packets, and what it tells, worked out the slow way.

A test grows the chain by moving its tip: subscriptions read a real store, and an example takes milliseconds.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import cache
from typing import Any

from contracts.accounts import OpenArguments
from contracts.bridge.records import SUPERVISION
from contracts.flow.calls import moved_codec
from ledger.block import block_id, receipt_codec
from ledger.document import to_document
from ledger.encoding import encode
from ledger.keys import SigningKey, key_text
from ledger.packet import answer_codec, packet_codec
from ledger.transaction import Body, Call, Output, Transaction, build, outpoint
from node.chain import Chain
from node.rpc.subscriptions_records import Topic
from tests.node import traffic
from tests.node.two_chains import PURSE, SELLER, World, two_chains

PAYMENTS = 6
FLOWS = 4
ACCOUNT = "B settled"
ACCOUNT_LOCK = f"account({ACCOUNT})"


class Recorded:
    """What was recorded; ``chain.tip.height`` is the end of it."""

    def __init__(self, chain: Chain, flows: list[bytes], supervision_id: bytes) -> None:
        self.chain = chain
        self.flows = flows
        self.supervision_id = supervision_id
        self.height = chain.tip.height


@cache
def recorded() -> Recorded:
    """Recorded once a test process; takes about two seconds."""
    return asyncio.run(_record())


async def _record() -> Recorded:
    async with two_chains() as world:
        await traffic.define(world)
        key = world.party("City Hospital").signing
        flows = [await traffic.file_note(world.business.gateway, key) for _ in range(FLOWS)]
        await world.calm()
        for flow in flows[: FLOWS // 2]:
            await traffic.deliver_note(world.business.gateway, key, flow)
        await _pay(world)
        await world.calm()
        genesis, store = world.business.genesis, world.business.members[0].store
        supervision_id = world.supervision.genesis.chain_id
    return Recorded(Chain(genesis, store), flows, supervision_id)


async def _pay(world: World) -> None:
    gateway = world.business.gateway
    bank, seller = world.party("Bank").signing, world.business.member(SELLER).member
    own = f"key({key_text(bank.public)})"
    purses = [item.outpoint for item in await gateway.unspent(own, asset="USD")]
    for number, purse in enumerate(purses[:PAYMENTS], start=1):
        outputs = (Output("USD", number, ACCOUNT_LOCK), Output("USD", PURSE - number, own))
        paid = _transaction(world, bank, (purse,), outputs)
        assert (await gateway.submit_and_wait(paid)).status == "committed"
        if number % 2:
            back = _transaction(world, seller, (outpoint(paid.tx_id, 0),), (Output("USD", number, own),))
            assert (await gateway.submit_and_wait(back)).status == "committed"
    # Several in one block: a debit whose credit is beside it, and one that is refused.
    paid = _transaction(world, bank, (purses[PAYMENTS],), (Output("USD", PURSE, ACCOUNT_LOCK),))
    back = _transaction(world, seller, (outpoint(paid.tx_id, 0),), (Output("USD", PURSE, own),))
    call = Call("accounts", "open", encode(OpenArguments("Fresh", own)))
    twice = [_transaction(world, seller, (), (), (call,)) for _ in range(2)]
    outcomes = await asyncio.gather(*[gateway.submit_and_wait(each) for each in (paid, back, *twice)])
    assert sorted(each.status for each in outcomes) == ["committed", "committed", "committed", "refused"]


def _transaction(
    world: World,
    key: SigningKey,
    inputs: tuple[bytes, ...],
    outputs: tuple[Output, ...],
    calls: tuple[Call, ...] = (),
) -> Transaction:
    genesis = world.business.genesis
    height = world.business.core(0).chain.tip.height
    body = Body(1, genesis.chain_id, key.public, height + 100, secrets.token_bytes(16), inputs, outputs, calls, (), b"")
    return build(body, (key,))


# --- what a subscriber must hear, from the store alone ---------------------------------------------------------------

Told = tuple[int, int, Any]
"""(height, index, document)."""


def expected(chain: Chain, topic: Topic, first: int, last: int, **wanted: Any) -> list[Told]:
    """Everything of a topic in blocks ``first`` … ``last`` that the filter lets through."""
    make = {
        Topic.BLOCKS: _blocks,
        Topic.TRANSACTIONS: _transactions,
        Topic.EVENTS: _events,
        Topic.FLOW: _flows,
        Topic.ACCOUNT: _movements,
        Topic.PACKET: _packets,
    }[topic]
    return [(height, *found) for height in range(first, last + 1) for found in make(chain, height, wanted)]


def _blocks(chain: Chain, height: int, wanted: dict[str, Any]):
    header = chain.store.header(height)
    yield 0, {"block_id": block_id(header).hex(), "header": to_document(header)}


def _transactions(chain: Chain, height: int, wanted: dict[str, Any]):
    receipts = [receipt_codec.decode(data) for data in chain.store.receipts(height)]
    for index, wire in enumerate(chain.store.transactions(height)):
        found = Transaction.decode(wire)
        calls = [{"contract": call.contract, "method": call.method} for call in found.body.calls]
        if "contract" in wanted and wanted["contract"] not in [call["contract"] for call in calls]:
            continue
        code = receipts[index].code
        yield (
            index,
            {
                "tx_id": found.tx_id.hex(),
                "status": "committed" if code == "ok" else "refused",
                "code": code,
                "sender": found.body.sender.hex(),
                "calls": calls,
                "inputs": [item.hex() for item in found.body.inputs],
                "outputs": to_document(found.body.outputs),
                "memo": "",
            },
        )


def _all_events(chain: Chain, height: int):
    receipts = [receipt_codec.decode(data) for data in chain.store.receipts(height)]
    return enumerate((receipt.tx_id.hex(), event) for receipt in receipts for event in receipt.events)


def _events(chain: Chain, height: int, wanted: dict[str, Any]):
    for index, (tx_id, event) in _all_events(chain, height):
        if wanted.get("contract", event.contract) == event.contract and wanted.get("event", event.name) == event.name:
            yield index, {"tx_id": tx_id, "contract": event.contract, "name": event.name, "data": event.data.hex()}


def _flows(chain: Chain, height: int, wanted: dict[str, Any]):
    for index, (tx_id, event) in _all_events(chain, height):
        if event.contract != "flow" or event.name in ("kind_defined", "reimbursement_set", "limit_set"):
            continue
        moved = moved_codec.decode(event.data)
        if wanted.get("flow", moved.flow.hex()) == moved.flow.hex():
            document = to_document(moved)
            flow = moved.flow.hex()
            yield index, {"tx_id": tx_id, "contract": "flow", "name": event.name, "flow": flow, "document": document}


def _packets(chain: Chain, height: int, wanted: dict[str, Any]):
    for index, (tx_id, event) in _all_events(chain, height):
        if event.contract != "bridge" or event.name not in ("packet", "answer"):
            continue
        sent = event.name == "packet"
        record: Any = (packet_codec if sent else answer_codec).decode(event.data)
        if wanted.get("sequence", record.sequence) == record.sequence:
            word = "sent" if sent else "answered"
            yield index, {"tx_id": tx_id, "direction": word, "packet" if sent else "answer": to_document(record)}


def _movements(chain: Chain, height: int, wanted: dict[str, Any]):
    receipts = [receipt_codec.decode(data) for data in chain.store.receipts(height)]
    lock = wanted.get("lock", f"account({wanted.get('account')})")
    index = -1
    for place, wire in enumerate(chain.store.transactions(height)):
        found = Transaction.decode(wire)
        if receipts[place].code != "ok":
            continue
        moved = [("debit", item, _made(chain, item)) for item in found.body.inputs]
        moved += [("credit", outpoint(found.tx_id, n), output) for n, output in enumerate(found.body.outputs)]
        for direction, name, output in moved:
            index += 1
            if output.lock == lock:
                facts = {"tx_id": found.tx_id.hex(), "direction": direction, "outpoint": name.hex()}
                yield index, {**facts, **to_document(output)}


@cache
def spent_in(height: int) -> dict[bytes, str]:
    """Locks of the outputs that existed before a block and are spent in it, by outpoint, as the execution says it."""
    chain = recorded().chain
    receipts = [receipt_codec.decode(data) for data in chain.store.receipts(height)]
    taken = [Transaction.decode(wire) for wire in chain.store.transactions(height)]
    good = [found for found, receipt in zip(taken, receipts, strict=False) if receipt.code == "ok"]
    beside = {found.tx_id for found in good}
    names = [bytes(name) for found in good for name in found.body.inputs if name[:32] not in beside]
    return {name: _made(chain, name).lock for name in names}


def _made(chain: Chain, name: bytes) -> Output:
    supply = [Output(a.asset, s.amount, s.lock) for a in chain.genesis.assets for s in a.supply]
    if name[:32] == chain.genesis.hash:
        return supply[int.from_bytes(name[32:], "big")]
    for height in range(chain.tip.height + 1):
        for wire in chain.store.transactions(height):
            found = Transaction.decode(wire)
            if found.tx_id == name[:32]:
                return found.body.outputs[int.from_bytes(name[32:], "big")]
    raise AssertionError("an input without an output")


FILTERS: tuple[tuple[Topic, dict[str, Any]], ...] = (
    (Topic.BLOCKS, {}),
    (Topic.TRANSACTIONS, {}),
    (Topic.TRANSACTIONS, {"contract": "bridge"}),
    (Topic.EVENTS, {}),
    (Topic.EVENTS, {"contract": "flow"}),
    (Topic.EVENTS, {"contract": "bridge", "event": "packet"}),
    (Topic.FLOW, {}),
    (Topic.FLOW, {"flow": 0}),
    (Topic.ACCOUNT, {"account": ACCOUNT}),
    (Topic.ACCOUNT, {"lock": ACCOUNT_LOCK}),
    (Topic.PACKET, {}),
    (Topic.PACKET, {"lane": SUPERVISION}),
    (Topic.PACKET, {"lane": SUPERVISION, "sequence": 2}),
)
"""Topics with filters; a flow is given by its number among the recorded ones."""


def filter_of(found: Recorded, given: dict[str, Any]) -> dict[str, Any]:
    """The filter with a flow's id in place of its number."""
    return {**given, "flow": found.flows[given["flow"]].hex()} if "flow" in given else given
