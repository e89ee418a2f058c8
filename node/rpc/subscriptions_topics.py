"""The topics: which entries each makes of a block, and which of them a subscriber wants.

Entries are made once for all subscribers of a topic; the filter then looks at their subjects. An entry's index counts
all entries of the topic in the block, so that a cursor means the same under any filter.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final

from contracts.bridge.state import find_client
from contracts.flow import calls as flow_calls
from contracts.interface import StateSpace
from contracts.messages import Control
from contracts.supervision import calls as supervision_calls
from contracts.supervision.calls import Decided, Disclosure, OpeningRequested, RequestExpired
from ledger.block import OK, Event
from ledger.document import to_document
from ledger.encoding import Codec, Record
from ledger.errors import InvalidInput
from ledger.lock import parse_lock
from ledger.packet import ANSWER_EVENT, PACKET_EVENT, Answer, Packet, answer_codec, packet_codec
from ledger.state import Overlay
from ledger.transaction import Output, Transaction, outpoint
from node.chain import Chain
from node.flow.progress import CONTROLS, STEPS
from node.rpc.subscriptions_blocks import Entry, Outputs, SharedBlock, accounts_of, slowly
from node.rpc.subscriptions_records import Subscribe, Topic

Wanted = Callable[[Any], bool]
"""Subject of an entry → whether the subscriber asked for it."""
Make = Callable[[SharedBlock], Awaitable[list[Entry]]]

_FILTERS: Final[Mapping[Topic, frozenset[str]]] = {
    Topic.BLOCKS: frozenset(),
    Topic.TRANSACTIONS: frozenset({"contract"}),
    Topic.EVENTS: frozenset({"contract", "event"}),
    Topic.FLOW: frozenset({"flow"}),
    Topic.ACCOUNT: frozenset({"account", "lock"}),
    Topic.PACKET: frozenset({"lane", "sequence"}),
}
_ALL_FILTERS: Final = ("contract", "event", "flow", "account", "lock", "lane", "sequence")
_EVENT_BYTES: Final = 64 * 1024
KEPT_SPENT: Final = 64
"""Blocks whose spent locks are kept; a follower of accounts further behind reads them from the store."""
MAX_PAUSE_S: Final = 0.05


def _of_supervision(kind: type[Record]) -> Codec[Any]:
    return Codec(kind, _EVENT_BYTES, kind.__name__)


_moved: Final[Mapping[str, Codec[Any]]] = {
    **dict.fromkeys((*STEPS, *CONTROLS), flow_calls.moved_codec),
    flow_calls.PAYMENT_REQUESTED: flow_calls.payment_codec,
}
_decided: Final[Mapping[str, Codec[Any]]] = {
    supervision_calls.HELD_EVENT: _of_supervision(Decided),
    supervision_calls.DECIDED_EVENT: _of_supervision(Decided),
    supervision_calls.OPENING_EVENT: _of_supervision(OpeningRequested),
    supervision_calls.EXPIRED_EVENT: _of_supervision(RequestExpired),
    supervision_calls.DISCLOSED_EVENT: _of_supervision(Disclosure),
    supervision_calls.CONTROLLED_EVENT: _of_supervision(Control),
}
_FLOW_EVENTS: Final[Mapping[str, Mapping[str, Codec[Any]]]] = {"flow": _moved, "supervision": _decided}
"""Kind of contract → its events that are about one flow, with the record that they carry."""


@dataclass(frozen=True, slots=True)
class Movement:
    """An output that came to be or was spent.

    Attributes:
        tx_id: of the transaction that did it.
        direction: ``credit`` or ``debit``.
        outpoint: of the output.
        lock: its lock text; None where only its outpoint is known any more.
        output: finds all of it.
    """

    tx_id: bytes
    direction: str
    outpoint: bytes
    lock: str | None
    output: Callable[[], Output | None]


class Topics:
    """What the topics make of blocks.

    Args:
        chain: whose.

    Attributes:
        spent: height → locks of the outputs that the block spent, by outpoint; where it is known, nobody looks for
            outputs that nobody asked for.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._outputs = Outputs(chain)
        self.spent: OrderedDict[int, Mapping[bytes, str]] = OrderedDict()
        self._kinds = {address: contract.kind for address, contract in chain.rules.contracts.items()}
        self._make: Mapping[Topic, Make] = {
            Topic.BLOCKS: _blocks,
            Topic.TRANSACTIONS: _transactions,
            Topic.EVENTS: _events,
            Topic.FLOW: self._flows,
            Topic.ACCOUNT: self._accounts,
            Topic.PACKET: self._packets,
        }

    def note_spent(self, height: int, spent: Mapping[bytes, str]) -> None:
        """Keeps which locks a new block's inputs had, for those who follow accounts."""
        self.spent[height] = spent
        if len(self.spent) > KEPT_SPENT:
            self.spent.popitem(last=False)

    def clear(self) -> None:
        """Forgets all: nobody follows any more."""
        self.spent.clear()
        self._outputs.clear()

    async def entries(self, block: SharedBlock, topic: Topic) -> list[Entry]:
        """Every entry of a topic in a block, in order."""
        return await block.once(self._make[topic])

    def wanted(self, asked: Subscribe) -> Wanted:
        """The filter that the parameters say.

        Raises:
            InvalidInput: ``filter_invalid``: a filter that the topic does not have, or that names nothing.
            InvalidLock: ``lock`` is no canonical lock text.
        """
        given = {name for name in _ALL_FILTERS if getattr(asked, name) is not None}
        foreign = sorted(given - _FILTERS[asked.topic])
        if foreign:
            has = ", ".join(sorted(_FILTERS[asked.topic])) or "none"
            raise _filter_invalid(f"topic {asked.topic} has no filter {foreign[0]!r}; it has {has}", foreign[0])
        match asked.topic:
            case Topic.BLOCKS:
                return _everything
            case Topic.TRANSACTIONS:
                return _calls(self._known(asked.contract))
            case Topic.EVENTS:
                return _emitted(self._known(asked.contract), asked.event)
            case Topic.FLOW:
                return _everything if asked.flow is None else _about(bytes.fromhex(asked.flow))
            case Topic.ACCOUNT:
                return _moving(asked)
            case Topic.PACKET:
                return _travelling(None if asked.lane is None else self._lane(asked.lane), asked.sequence)

    def _known(self, contract: str | None) -> str | None:
        if contract is not None and contract not in self._kinds:
            raise _filter_invalid(f"there is no contract {contract!r}; there are {', '.join(self._kinds)}", "contract")
        return contract

    def _lane(self, lane: str) -> bytes:
        """Chain id at the other end."""
        if len(lane) == 64:
            try:
                return bytes.fromhex(lane)
            except ValueError as error:
                raise _filter_invalid("lane is neither a role nor a chain id in hex", "lane") from error
        address = self._chain.rules.address_of("bridge")
        client = find_client(StateSpace(Overlay(self._chain.state), address), lane) if address else None
        if client is None:
            raise _filter_invalid(f"no chain is registered here as {lane!r}", "lane")
        return bytes(client.state.chain_id)

    # --- entries ----------------------------------------------------------------------------------------------------

    async def _flows(self, block: SharedBlock) -> list[Entry]:
        found: list[Entry] = []
        for index, (tx_id, event) in enumerate(await block.events()):
            codec = _FLOW_EVENTS.get(self._kinds.get(event.contract, ""), {}).get(event.name)
            if codec is None:
                continue
            record = codec.decode(event.data)
            flow = record.request.flow if isinstance(record, OpeningRequested) else record.flow
            found.append(Entry(index, bytes(flow), _flow_document(tx_id, event, bytes(flow), record)))
        return found

    async def _packets(self, block: SharedBlock) -> list[Entry]:
        found: list[Entry] = []
        for index, (tx_id, event) in enumerate(await block.events()):
            if self._kinds.get(event.contract) != "bridge":
                continue
            if event.name == PACKET_EVENT:
                packet = packet_codec.decode(event.data)
                found.append(Entry(index, (packet.destination, packet.sequence), _packet_document(tx_id, packet)))
            elif event.name == ANSWER_EVENT:
                answer = answer_codec.decode(event.data)
                found.append(Entry(index, (answer.source, answer.sequence), _answer_document(tx_id, answer)))
        return found

    async def _accounts(self, block: SharedBlock) -> list[Entry]:
        movements: list[Movement] = []
        receipts = await block.receipts()
        made: dict[bytes, Output] = {}
        count = 0
        async for transaction in slowly(await block.transactions()):
            receipt = receipts[count]
            count += 1
            if receipt.code != OK:
                continue
            body, tx_id = transaction.body, transaction.tx_id
            movements += [await self._debit(tx_id, bytes(name), made, block.height) for name in body.inputs]
            for index, output in enumerate(body.outputs):
                name = outpoint(tx_id, index)
                made[name] = output
                movements.append(Movement(tx_id, "credit", name, output.lock, partial(_same, output)))
        return [Entry(index, movement, _movement_document(movement)) for index, movement in enumerate(movements)]

    async def _debit(self, tx_id: bytes, name: bytes, made: Mapping[bytes, Output], height: int) -> Movement:
        beside = made.get(name)
        if beside is not None:
            return Movement(tx_id, "debit", name, beside.lock, partial(_same, beside))
        lock = self.spent.get(height, {}).get(name)
        if lock is not None:
            return Movement(tx_id, "debit", name, lock, partial(self._outputs.find, name))
        began = monotonic()
        found = self._outputs.find(name)
        # History: whoever reads it waits as long as others had to, so that it takes half of the loop at most.
        await asyncio.sleep(min(monotonic() - began, MAX_PAUSE_S))
        return Movement(tx_id, "debit", name, None if found is None else found.lock, partial(_same, found))


async def _blocks(block: SharedBlock) -> list[Entry]:
    return [Entry(0, block, lambda: {"block_id": block.id.hex(), "header": to_document(block.header)})]


async def _transactions(block: SharedBlock) -> list[Entry]:
    receipts = await block.receipts()
    return [
        Entry(index, transaction, _transaction_document(transaction, receipts[index].code))
        for index, transaction in enumerate(await block.transactions())
    ]


async def _events(block: SharedBlock) -> list[Entry]:
    return [
        Entry(index, event, _event_document(tx_id, event)) for index, (tx_id, event) in enumerate(await block.events())
    ]


# --- documents --------------------------------------------------------------------------------------------------------


def _transaction_document(transaction: Transaction, code: str) -> Callable[[], Any]:
    body = transaction.body
    return lambda: {
        "tx_id": transaction.tx_id.hex(),
        "status": "committed" if code == OK else "refused",
        "code": code,
        "sender": body.sender.hex(),
        "calls": [{"contract": call.contract, "method": call.method} for call in body.calls],
        "inputs": [item.hex() for item in body.inputs],
        "outputs": to_document(body.outputs),
        "memo": body.memo.hex(),
    }


def _event_document(tx_id: bytes, event: Event) -> Callable[[], Any]:
    return lambda: {"tx_id": tx_id.hex(), **to_document(event)}


def _flow_document(tx_id: bytes, event: Event, flow: bytes, record: Record) -> Callable[[], Any]:
    return lambda: {
        "tx_id": tx_id.hex(),
        "contract": event.contract,
        "name": event.name,
        "flow": flow.hex(),
        "document": to_document(record),
    }


def _packet_document(tx_id: bytes, packet: Packet) -> Callable[[], Any]:
    return lambda: {"tx_id": tx_id.hex(), "direction": "sent", "packet": to_document(packet)}


def _answer_document(tx_id: bytes, answer: Answer) -> Callable[[], Any]:
    return lambda: {"tx_id": tx_id.hex(), "direction": "answered", "answer": to_document(answer)}


def _movement_document(movement: Movement) -> Callable[[], Any]:
    def document() -> dict[str, Any]:
        output = movement.output()
        return {
            "tx_id": movement.tx_id.hex(),
            "direction": movement.direction,
            "outpoint": movement.outpoint.hex(),
            "asset": None if output is None else output.asset,
            "amount": None if output is None else output.amount,
            "lock": movement.lock,
        }

    return document


def _same(output: Output | None) -> Output | None:
    return output


# --- filters ----------------------------------------------------------------------------------------------------------


def _filter_invalid(text: str, name: str) -> InvalidInput:
    return InvalidInput(text, code="filter_invalid", param=name)


def _everything(_subject: Any) -> bool:
    return True


def _calls(contract: str | None) -> Wanted:
    if contract is None:
        return _everything
    return lambda transaction: any(call.contract == contract for call in transaction.body.calls)


def _emitted(contract: str | None, name: str | None) -> Wanted:
    return lambda event: (contract is None or event.contract == contract) and (name is None or event.name == name)


def _about(flow: bytes) -> Wanted:
    return lambda subject: bool(subject == flow)


def _moving(asked: Subscribe) -> Wanted:
    account, lock = asked.account, asked.lock
    if (account is None) == (lock is None):
        raise _filter_invalid("topic account wants either account (its name) or lock (its exact text)", "account")
    if lock is not None:
        parse_lock(lock)
        # What was pruned cannot be ruled out: the client knows its own outpoints.
        return lambda movement: movement.lock is None or movement.lock == lock
    return lambda movement: movement.lock is None or account in accounts_of(movement.lock)


def _travelling(chain_id: bytes | None, sequence: int | None) -> Wanted:
    if sequence is not None and chain_id is None:
        raise _filter_invalid("a sequence counts on a lane; name it with lane", "sequence")
    return lambda subject: chain_id in (None, subject[0]) and sequence in (None, subject[1])
