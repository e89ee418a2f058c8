"""One schedule's world: its random source, loop, chains, trace, and the end of it all."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import secrets
import sys
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import nacl.bindings
import structlog

import ledger.keys
import node.chain
import node.clock
import node.signer_log
import tests.crash_points
from ledger.genesis import Genesis
from p2p.gossip import Gossip
from tests.crash_points import Installed
from tests.sim.node.disk import FAKE_OS
from tests.sim.node.loop import PROCESS, Process, VirtualLoop
from tests.sim.node.net import Net
from tests.sim.node.stage import CREATED_MS
from tests.sim.outcome import Outcome, Violation

BEGINS_US = (CREATED_MS + 3_600_000) * 1000
KNOWN_SIGNATURES_MAX = 200_000
TRACE_MAX = 400_000

_known: dict[bytes, bytes] = {}
_real_open = nacl.bindings.crypto_sign_open
_real_sign = ledger.keys.SigningKey.sign


def _open(signed: bytes, public: bytes) -> bytes:
    """``crypto_sign_open``, which is a pure function, computed once."""
    found = _known.get(public + signed)
    if found is None:
        found = _real_open(signed, public)
        _remember(signed, public, found)
    return found


def _sign(key: ledger.keys.SigningKey, message: bytes) -> bytes:
    signature = _real_sign(key, message)
    # What was signed verifies; tests/ledger/test_keys.py says so.
    _remember(signature[1:] + message, key.public[1:], message)
    return signature


def _remember(signed: bytes, public: bytes, message: bytes) -> None:
    if len(_known) >= KNOWN_SIGNATURES_MAX:
        _known.clear()
    _known[public + signed] = message


_genesis_blocks: dict[bytes, Any] = {}
_real_genesis_block = node.chain.genesis_block


def _genesis_block(genesis: Genesis, rules: Any, base: Any) -> Any:
    """``genesis_block``, which is a pure function, computed once."""
    name = genesis.hash
    found = _genesis_blocks.get(name)
    if found is None:
        found = _genesis_blocks[name] = _real_genesis_block(genesis, rules, base)
    return found


_hashes: dict[int, tuple[Genesis, bytes]] = {}
_real_hash = Genesis.hash


def _hash(genesis: Genesis) -> Any:
    """``Genesis.hash``, computed once for each object; the object is kept, so that its id stays its own."""
    found = _hashes.get(id(genesis))
    if found is None:
        found = _hashes[id(genesis)] = (genesis, _real_hash.fget(genesis))  # type: ignore[attr-defined]
    return found[1]


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Collects a schedule's garbage, which is full of cycles, once at its end, and looks at nothing that was before."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()


class World:
    """See the module.

    Attributes:
        random: decides everything.
        loop: of everything.
        met: situations.
        nets: the chains.
        dead: processes that were killed.
        points: crash points that are being watched.
    """

    def __init__(self, seed: int, *, tracing: bool) -> None:
        self.outcome = Outcome(seed)
        self.met: Counter[str] = self.outcome.situations
        self.random = Random(seed)
        self.tracing = tracing
        self.loop = VirtualLoop()
        self.nets: list[Net] = []
        self.dead: list[Process] = []
        self.points: list[Installed] = []
        self.violated: Violation | None = None
        self._noticed = asyncio.Event()
        self._last: deque[str] = deque(maxlen=12)

    # --- the trace ------------------------------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        if self.tracing:
            self.outcome.trace.append(f"{self.loop.now_us / 1e6:12.6f} {who:4} {what}")

    def note_delivery(self, what: str, data: bytes) -> None:
        """The line of a delivery."""
        self.note("net", f"{what} {len(data)} bytes {hashlib.sha256(data).hexdigest()[:12]}")

    def _log(self, _logger: Any, _method: str, event: dict[str, Any]) -> Any:
        process = PROCESS.get()
        if event.get("exc_info") and (process is None or not process.dead):
            self.violate(f"{process.name if process else ''} logs {event.get('event')}: {sys.exc_info()[1]!r}")
        words = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("event", "exc_info"))
        self.note(process.name if process else "", f"logs {event.get('event')} {words}")
        raise structlog.DropEvent

    # --- violations -----------------------------------------------------------------------------------------------

    def violate(self, words: str) -> None:
        """An invariant does not hold: the schedule ends."""
        if self.violated is None:
            self.note("", f"VIOLATION {words}")
            self.violated = Violation(f"at {self.loop.now_us / 1e6:.3f} s: {words}")
            self._noticed.set()

    def check(self) -> None:
        """Raises what was found meanwhile."""
        if self.violated is not None:
            raise self.violated
        if self.loop.unhandled:
            raise Violation(f"unhandled in the loop: {self.loop.unhandled[0]}")

    def on_height(self, net: Net, height: int) -> None:
        """A chain has a new height."""
        if net is self.nets[0]:
            self.outcome.heights = max(self.outcome.heights, height)

    async def sleep(self, seconds: float) -> None:
        """Lets time pass; raises what is found meanwhile."""
        self.check()
        await asyncio.sleep(seconds)
        self.check()

    async def until(self, what: Callable[[], object], seconds: float, words: str, *, step: float = 0.05) -> None:
        """Until ``what`` holds; a violation after ``seconds``."""
        end_us = self.loop.now_us + round(seconds * 1e6)
        while not what():
            if self.loop.now_us >= end_us:
                self.violate(f"{words} within {seconds:g} s")
            await self.sleep(step)

    # --- the frame ------------------------------------------------------------------------------------------------

    def monotonic_ns(self) -> int:
        """Of the process whose code runs."""
        process = PROCESS.get()
        return (self.loop.now_us + (process.clock_us if process is not None else 0)) * 1000

    def wall_ns(self) -> int:
        """Of the process whose code runs."""
        process = PROCESS.get()
        return (BEGINS_US + self.loop.now_us + (process.wall.wall_offset_us if process is not None else 0)) * 1000

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Puts in clock, disk, seeded randomness, quick signatures and the trace's log; takes them out again."""
        log = structlog.get_config()
        token_bytes = secrets.token_bytes
        gossip_defaults = Gossip.__init__.__kwdefaults__
        clock = gossip_defaults["clock"]
        level = 0 if self.tracing else logging.ERROR
        structlog.configure(
            processors=[self._log],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=False,
        )
        node.clock.replace_sources(self.monotonic_ns, self.wall_ns)
        gossip_defaults["clock"] = self.loop.time
        node.signer_log.os = tests.crash_points.os = FAKE_OS  # type: ignore[assignment,attr-defined]
        ledger.keys._open, ledger.keys.SigningKey.sign = _open, _sign  # type: ignore[method-assign,assignment]
        node.chain.genesis_block = _genesis_block
        Genesis.hash = property(_hash)  # type: ignore[assignment,method-assign]
        secrets.token_bytes = lambda size=32: self.random.randbytes(size)  # type: ignore[assignment]
        try:
            yield
        finally:
            for point in reversed(self.points):
                point.remove()
            secrets.token_bytes = token_bytes
            node.chain.genesis_block, Genesis.hash = _real_genesis_block, _real_hash  # type: ignore[method-assign]
            ledger.keys._open, ledger.keys.SigningKey.sign = _real_open, _real_sign  # type: ignore[method-assign]
            node.signer_log.os = tests.crash_points.os = FAKE_OS.real  # type: ignore[attr-defined]
            FAKE_OS.forget()
            gossip_defaults["clock"] = clock
            node.clock.replace_sources()
            structlog.configure(**log)

    def play(self, story: Callable[[], Any]) -> Outcome:
        """Runs a story to its end or its first violation."""
        with _little_garbage(), self.replaced():
            try:
                self.loop.run_until_complete(self._tell(story))
            except Violation as violation:
                self.outcome.violation = str(violation)
                self._clear()
            except Exception as error:
                # Of the simulator, or of the product where it should not raise: to be looked at as a violation is.
                place = traceback.extract_tb(error.__traceback__)[-1]
                self.outcome.violation = f"the schedule failed: {error!r} in {place.name}, line {place.lineno}"
                self._clear()
            finally:
                self.loop.close()
        return self.outcome

    async def _tell(self, story: Callable[[], Any]) -> None:
        await story()
        self.check()
        for process in self.dead:
            left = [task.get_name() for task in process.live_tasks()]
            if left:
                raise Violation(f"{process.name} left tasks behind when it died: {', '.join(left)}")

    def _clear(self) -> None:
        """Ends everything that still runs, so that nothing complains later."""
        for net in self.nets:
            for machine in net.machines:
                if machine.run is not None:
                    machine.crash("the schedule is over")
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

        async def rest() -> None:
            for _ in range(50):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rest())
