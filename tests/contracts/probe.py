"""A contract that misbehaves on request, for the tests of what the executor contains."""

from __future__ import annotations

from contracts import interface
from contracts.codes import LIMIT_EXCEEDED, Refusal
from contracts.interface import CallContext, Contract, EndContext, StateSpace, method, view
from ledger.encoding import Record
from ledger.errors import BrokenInvariant, NotFound


class Numbered(Record, frozen=True):
    number: int


class Text(Record, frozen=True):
    text: str


class Blob(Record, frozen=True):
    data: bytes


class Nothing(Record, frozen=True):
    pass


class Unencodable(Record, frozen=True):
    thing: object


class Probe(Contract):
    """Every method writes a mark first, so that a trace would show."""

    kind = "probe"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.at_end: str = ""

    def _mark(self, context: EndContext) -> None:
        context.state.put(b"mark", b"left behind")

    @method
    def write(self, context: CallContext, arguments: Numbered) -> Numbered:
        """Writes that many records."""
        for number in range(arguments.number):
            context.state.put(b"w%08d" % number, b"")
        return arguments

    @method
    def fail(self, context: CallContext, arguments: Text) -> None:
        """Raises."""
        self._mark(context)
        context.emit("before_failure", arguments)
        raise_(arguments.text)

    @method
    def read(self, context: CallContext, arguments: Numbered) -> None:
        """Reads that often."""
        self._mark(context)
        for _ in range(arguments.number):
            context.state.get(b"x")

    @method
    def delete(self, context: CallContext, arguments: Numbered) -> None:
        """Deletes that often."""
        self._mark(context)
        for _ in range(arguments.number - 1):
            context.state.delete(b"x")

    @method
    def iterate(self, context: CallContext, arguments: Nothing) -> Numbered:
        """Counts its records."""
        return Numbered(sum(1 for _ in context.state.iterate(b"w")))

    @method
    def fill(self, context: CallContext, arguments: Numbered) -> None:
        """Writes a record of that many bytes, key included."""
        context.state.put(b"f", bytes(arguments.number - 1))

    @method
    def emit(self, context: CallContext, arguments: Numbered) -> None:
        """Emits that many events."""
        self._mark(context)
        for _ in range(arguments.number):
            context.emit("ping", arguments)

    @method
    def shout(self, context: CallContext, arguments: Numbered) -> None:
        """Emits an event with that many bytes of data."""
        self._mark(context)
        context.emit("shout", Blob(bytes(arguments.number)))

    @method
    def answer(self, context: CallContext, arguments: Numbered) -> Blob:
        """Answers with that many bytes."""
        self._mark(context)
        return Blob(bytes(arguments.number))

    @method
    def nonsense(self, context: CallContext, arguments: Nothing) -> Unencodable:
        """Answers with what has no canonical bytes."""
        self._mark(context)
        return Unencodable(object())

    @method
    def stubborn(self, context: CallContext, arguments: Nothing) -> None:
        """Swallows the refusals of its own bounds, and goes on."""
        for _ in range(interface.MAX_WRITES_PER_CALL * 2):
            try:
                context.state.put(b"s", b"s")
            except Refusal:
                continue

    @method
    def mint(self, context: CallContext, arguments: Text) -> None:
        """Issues one unit of an asset."""
        context.issue(arguments.text, 1)

    @method
    def burn(self, context: CallContext, arguments: Text) -> None:
        """Destroys one unit of an asset."""
        context.destroy(arguments.text, 1)

    @view
    def look(self, context: EndContext, arguments: Text) -> Numbered:
        """Fails on request."""
        raise_(arguments.text)
        return Numbered(1)

    def end_block(self, context: EndContext) -> None:
        """As ``at_end`` says."""
        if not self.at_end:
            return
        self._mark(context)
        context.emit("at_end", Numbered(context.block.height))
        raise_(self.at_end)
        if self.at_end == "shout":
            context.emit("shout", Blob(bytes(interface.MAX_EVENT_BYTES - 8)))
        if self.at_end == "write":
            for number in range(interface.MAX_WRITES_PER_CALL + 1):
                context.state.put(b"e%08d" % number, b"")

    def next_due_ms(self, state: StateSpace) -> int | None:
        """Now, when there is something to do at the end."""
        return 0 if self.at_end else None


def raise_(what: str) -> None:
    """Raises what ``what`` names, if it names an error."""
    match what:
        case "KeyError":
            raise KeyError(what)
        case "ValueError":
            raise ValueError("secret detail")
        case "RecursionError":
            raise RecursionError(what)
        case "MemoryError":
            raise MemoryError(what)
        case "AssertionError":
            raise AssertionError(what)
        case "NotFound":
            raise NotFound("there is none")
        case "Refusal":
            raise Refusal("probe_refused", "as asked")
        case "Limit":
            raise Refusal(LIMIT_EXCEEDED, "as asked")
        case "Fatal":
            raise BrokenInvariant("the state is damaged")
