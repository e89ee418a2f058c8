"""The one interface of built-in contracts (DESIGN.md 5).

A contract is a class: its methods are declared with ``@method`` and take a ``CallContext`` and a typed argument record;
``end_block`` does what is due when a block ends. Contracts are deterministic: no clock, randomness, floats, I/O, or
iteration over unordered sets. They refuse by raising ``Refusal`` with a reason code, and then leave no trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self, TypeVar, get_type_hints

from contracts.codes import (
    ACCOUNT_UNKNOWN,
    CONTRACT_UNKNOWN,
    LIMIT_EXCEEDED,
    LOCK_INVALID,
    METHOD_UNKNOWN,
    NOT_PERMITTED,
    Refusal,
)
from ledger.block import Event
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidLock
from ledger.lock import Lock, parse_lock
from ledger.packet import Answer, Packet, PacketOrigin
from ledger.state import Overlay, contract_prefix
from ledger.transaction import MAX_CALL_BYTES, Output, Transaction
from ledger.types import Hash32, Height, PublicKey

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

MAX_READS_PER_CALL: Final = 8_192
MAX_WRITES_PER_CALL: Final = 8_192
MAX_EVENTS_PER_CALL: Final = 64
MAX_WRITTEN_BYTES_PER_CALL: Final = 1024 * 1024
MAX_EVENT_BYTES: Final = 64 * 1024
"""Data of one event; ``ledger.block.Event`` does not decode with more."""
MAX_DUE_ITEMS_PER_BLOCK: Final = 16
"""Items of due work that one contract does at the end of one block; the rest waits for the next block."""


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """The block that a transaction is executed in.

    Attributes:
        chain_id: 32 bytes.
        height: of the block.
        time_ms: the block's time, milliseconds since 1970 UTC.
    """

    chain_id: Hash32
    height: Height
    time_ms: int


@dataclass(frozen=True, slots=True)
class Member:
    """Who a key belongs to, by its admission certificate."""

    key: PublicKey
    organisation: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A named account."""

    name: str
    organisation: str
    lock: Lock


class Directory:
    """What contracts may ask of the chain's common registers; implemented by the executor.

    Answers are those of the state at this point of the block.
    """

    def account(self, name: str) -> Account | None:
        """The account of that name, or None."""
        raise NotImplementedError

    def member(self, key: bytes) -> Member | None:
        """Who ``key`` belongs to at the block's time, or None when it is not admitted (any more)."""
        raise NotImplementedError

    def asset_exists(self, asset: str) -> bool:
        """True when ``asset`` is defined."""
        raise NotImplementedError

    def contract(self, address: str) -> Contract | None:
        """The contract instance at ``address``, or None."""
        raise NotImplementedError

    def address_of(self, kind: str) -> str:
        """Address of the chain's one contract of a kind; empty where it has none."""
        raise NotImplementedError


class StateSpace:
    """A contract's own records in the overlay, with the bounds of one call."""

    __slots__ = ("_overlay", "_prefix", "reads", "writes", "written_bytes")

    def __init__(self, overlay: Overlay, address: str) -> None:
        self._overlay = overlay
        self._prefix = contract_prefix(address)
        self.reads = 0
        self.writes = 0
        self.written_bytes = 0

    def get(self, key: bytes) -> bytes | None:
        """The record under ``key``, or None."""
        self.reads += 1
        if self.reads > MAX_READS_PER_CALL:
            raise Refusal(LIMIT_EXCEEDED, "the call reads too much")
        return self._overlay.get(self._prefix + key)

    def put(self, key: bytes, value: bytes) -> None:
        """Writes ``value`` under ``key``."""
        self._count_write(len(key) + len(value))
        self._overlay.put(self._prefix + key, value)

    def delete(self, key: bytes) -> None:
        """Removes ``key``."""
        self._count_write(len(key))
        self._overlay.delete(self._prefix + key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) below ``prefix`` in byte order, from ``start`` on (whole key, inclusive).

        Keys are the contract's own. Do not write below ``prefix`` while iterating.
        """
        own = self._prefix
        begin = None if start is None else own + start
        for key, value in self._overlay.iterate(own + prefix, start=begin, limit=limit):
            self.reads += 1
            if self.reads > MAX_READS_PER_CALL:
                raise Refusal(LIMIT_EXCEEDED, "the call reads too much")
            yield key[len(own) :], value

    def _count_write(self, size_bytes: int) -> None:
        self.writes += 1
        self.written_bytes += size_bytes
        if self.writes > MAX_WRITES_PER_CALL or self.written_bytes > MAX_WRITTEN_BYTES_PER_CALL:
            raise Refusal(LIMIT_EXCEEDED, "the call writes too much")


class EndContext:
    """What a contract has when a block ends.

    Attributes:
        block: the block.
        address: this instance's address.
        state: this instance's records.
        directory: accounts, members, assets.
        events: emitted so far.
    """

    __slots__ = ("_overlay", "address", "block", "directory", "events", "state")

    def __init__(self, block: BlockInfo, address: str, overlay: Overlay, directory: Directory) -> None:
        self.block = block
        self.address = address
        self.state = StateSpace(overlay, address)
        self.directory = directory
        self.events: list[Event] = []
        self._overlay = overlay

    def enter(self, address: str) -> Self:
        """The same context for another contract: that one's address and records; events go to the same receipt.

        This is how contracts work together inside one transaction: a contract calls another's functions with the
        context of that other. Everything is undone together when the transaction is refused.
        """
        other = self._twin()
        other.address = address
        other.state = StateSpace(self._overlay, address)
        return other

    def _twin(self) -> Self:
        """A context that shares everything with this one: ``copy`` does the same eight times slower."""
        other = object.__new__(type(self))
        other.block, other.address, other.state = self.block, self.address, self.state
        other.directory, other.events, other._overlay = self.directory, self.events, self._overlay
        return other

    def enter_kind(self, kind: str) -> Self:
        """``enter`` for the chain's one contract of ``kind``; refuses with ``contract_unknown`` where there is none."""
        address = self.directory.address_of(kind)
        if not address:
            raise Refusal(CONTRACT_UNKNOWN, f"this chain has no contract of kind {kind}")
        return self.enter(address)

    def attempt(self, work: Callable[[], T]) -> T | Refusal:
        """Does ``work``; when it refuses, its changes and events are undone and the refusal is returned."""
        mark, events = self._overlay.mark(), len(self.events)
        try:
            return work()
        except Refusal as refusal:
            self._overlay.undo(mark)
            del self.events[events:]
            return refusal

    def emit(self, name: str, data: Record) -> None:
        """Adds an event of this contract to the receipt."""
        if len(self.events) >= MAX_EVENTS_PER_CALL:
            raise Refusal(LIMIT_EXCEEDED, "the call emits too many events")
        encoded = encode(data)
        if len(encoded) > MAX_EVENT_BYTES:
            raise Refusal(LIMIT_EXCEEDED, f"an event has at most {MAX_EVENT_BYTES} bytes, this one {len(encoded)}")
        self.events.append(Event(self.address, name, encoded))


class CallContext(EndContext):
    """What a method has: the end-of-block context and the transaction around the call.

    Attributes:
        transaction: the whole transaction.
        sender: who sent it: key, organisation and roles.
        inputs: the outputs that the transaction spends, in the order of its inputs.
        issued: (asset → amount) that contracts issued in this transaction so far.
        destroyed: the same for what they destroyed.
        approvals: for each input index, the contracts that approved it.
    """

    __slots__ = ("_used_keys", "approvals", "destroyed", "inputs", "issued", "sender", "signers", "transaction")

    def __init__(
        self,
        block: BlockInfo,
        address: str,
        overlay: Overlay,
        directory: Directory,
        *,
        transaction: Transaction,
        sender: Member,
        inputs: tuple[Output, ...],
        signers: frozenset[bytes],
        used_keys: set[bytes],
        issued: dict[str, int],
        destroyed: dict[str, int],
        approvals: dict[int, set[str]],
    ) -> None:
        super().__init__(block, address, overlay, directory)
        self.transaction = transaction
        self.sender = sender
        self.inputs = inputs
        self.signers = signers
        self._used_keys = used_keys
        self.issued = issued
        self.destroyed = destroyed
        self.approvals = approvals

    def _twin(self) -> Self:
        other = super()._twin()
        other.transaction, other.sender, other.inputs = self.transaction, self.sender, self.inputs
        other.signers, other._used_keys = self.signers, self._used_keys  # noqa: SLF001 - our own
        other.issued, other.destroyed, other.approvals = self.issued, self.destroyed, self.approvals
        return other

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs that the transaction creates."""
        return self.transaction.body.outputs

    def signed_by(self, key: bytes) -> bool:
        """True when the transaction carries ``key``'s signature; the signature then counts as needed."""
        if key not in self.signers:
            return False
        self._used_keys.add(key)
        return True

    def require_signature(self, key: bytes, who: str) -> None:
        """Refuses with ``not_permitted`` unless ``key`` signed."""
        if not self.signed_by(key):
            raise Refusal(NOT_PERMITTED, f"the signature of {who} is missing")

    def approve_input(self, index: int) -> None:
        """Lets input ``index`` be spent as far as ``contract(this address)`` in its lock goes."""
        self.approvals.setdefault(index, set()).add(self.address)

    def issue(self, asset: str, amount: int) -> None:
        """Adds ``amount`` of one of this contract's own assets (named ``address:…``) to what the outputs may hold."""
        self._own_asset(asset)
        self.issued[asset] = self.issued.get(asset, 0) + amount

    def destroy(self, asset: str, amount: int) -> None:
        """Takes ``amount`` of one of this contract's own assets out of what the inputs hold."""
        self._own_asset(asset)
        self.destroyed[asset] = self.destroyed.get(asset, 0) + amount

    def account_lock(self, name: str) -> Lock:
        """The lock of an account; refuses with ``account_unknown`` where there is none."""
        account = self.directory.account(name)
        if account is None:
            raise Refusal(ACCOUNT_UNKNOWN, f"there is no account {name!r}", account=name)
        return account.lock

    def _own_asset(self, asset: str) -> None:
        if not asset.startswith(self.address + ":"):
            raise Refusal(NOT_PERMITTED, f"contract {self.address} may not issue or destroy {asset}")


@dataclass(frozen=True, slots=True)
class Method:
    """A declared method or view: its name, argument and result records, and the function.

    Attributes:
        name: as called.
        arguments: codec of the argument record.
        result: type of the result record, or None.
        run: ``(contract, context, arguments) → result``.
        summary: first line of the docstring; becomes the RPC documentation.
    """

    name: str
    arguments: Codec[Any]
    arguments_type: type[Record]
    result: type[Record] | None
    run: Callable[[Any, Any, Any], Record | None]
    summary: str


def method(function: F) -> F:
    """Declares a contract method ``(self, CallContext, Arguments) → Result | None``; annotations give the records."""
    function.__tidegate_method__ = "method"  # type: ignore[attr-defined]
    return function


def view(function: F) -> F:
    """Declares a read-only query ``(self, EndContext, Arguments) → Result``, served by nodes from the committed state.

    A view is no part of consensus: it must not write, and may raise ``NotFound``.
    """
    function.__tidegate_method__ = "view"  # type: ignore[attr-defined]
    return function


class Contract:
    """Base of built-in contracts.

    Attributes:
        kind: name of the built-in contract; genesis maps addresses to kinds.
        methods: declared methods by name, in order of definition.
        views: declared views, likewise.
    """

    kind: ClassVar[str]
    methods: ClassVar[Mapping[str, Method]] = {}
    views: ClassVar[Mapping[str, Method]] = {}

    def __init__(self, address: str) -> None:
        self.address = address

    def __init_subclass__(cls) -> None:
        found: dict[str, dict[str, Method]] = {"method": dict(cls.methods), "view": dict(cls.views)}
        for name, function in vars(cls).items():
            what = getattr(function, "__tidegate_method__", None)
            if what is not None:
                found[what][name] = _declare(name, function)
        cls.methods, cls.views = found["method"], found["view"]

    def genesis(self, context: EndContext, genesis: Any) -> None:
        """Writes the instance's first records from the genesis file (``ledger.genesis.Genesis``)."""

    def end_block(self, context: EndContext) -> None:
        """Does what is due when a block ends, at most ``MAX_DUE_ITEMS_PER_BLOCK`` items; must not refuse."""

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        """Does what a governance proposal on this contract says, once it is approved (``contracts.governance``).

        Args:
            context: of this contract, in the transaction that brought the last approval.
            action: what; constant snake_case.
            data: canonical bytes of the action's record.
        """
        del context, data
        raise Refusal(METHOD_UNKNOWN, f"{self.address} has nothing to govern such as {action!r}")

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> Record | None:
        """Takes a packet of another chain that is for this contract; proved, in time, and never twice.

        What it returns is the answer's result. It refuses with ``Refusal``: everything that it did is undone, and the
        answer carries the code. The sender of the transaction is only who carried it.
        """
        del context, origin
        raise Refusal(METHOD_UNKNOWN, f"{self.address} takes no packets such as {packet.kind!r}")

    def on_answer(self, context: CallContext, packet: Packet, answer: Answer) -> None:
        """Hears what became of a packet that this contract sent; must not refuse."""

    def next_due_ms(self, state: StateSpace) -> int | None:
        """Block time from which ``end_block`` has work even without transactions, or None. 0 means: now."""
        del state
        return None


def _declare(name: str, function: Callable[..., Any]) -> Method:
    hints = get_type_hints(function)
    parameters = list(inspect.signature(function).parameters)
    arguments = hints[parameters[2]]
    result = hints.get("return")
    return Method(
        name,
        Codec(arguments, MAX_CALL_BYTES, f"arguments of {name}"),
        arguments,
        None if result is type(None) else result,
        function,
        (inspect.getdoc(function) or "").split("\n", 1)[0],
    )


def lock_of(text: str) -> Lock:
    """The lock that ``text`` says; refuses with ``lock_invalid``."""
    try:
        return parse_lock(text)
    except InvalidLock as error:
        raise Refusal(LOCK_INVALID, error.message) from error
