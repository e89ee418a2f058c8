"""The cluster: virtual time, the network with its faults, and the processes.

An entry of the queue is (time, serial, process, life, action, argument): dropped when the process has another life by
then. The serial breaks ties, so that nothing depends on anything but the seed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from consensus.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    decode_message,
    encode_message,
)
from consensus.timing import Parameters
from consensus.verified import (
    VerifiedCommit,
    VerifiedMessage,
    VerifiedPrepare,
    VerifiedProposal,
    VerifiedRoundChange,
)
from consensus.verify import authenticate, verify_block, verify_message
from ledger.errors import InvalidInput
from ledger.types import PublicKey
from tests.sim.core.accepted import flaw_of
from tests.sim.core.material import CHAIN, NAMES, SetPlan, verify
from tests.sim.core.oracle import Oracle, named
from tests.sim.core.process import Packet, Process
from tests.sim.outcome import Violation

Action = Callable[[Any, Any], None]
EVER: Final = 1 << 60


class Rule:
    """Messages of some kinds and rounds reach some processes only.

    Attributes:
        kinds: message classes.
        rounds: rounds below this one.
        spared: indexes of the processes that get them all the same.
    """

    __slots__ = ("kinds", "rounds", "spared")

    def __init__(self, kinds: tuple[type[Any], ...], rounds: int, spared: frozenset[int]) -> None:
        self.kinds = kinds
        self.rounds = rounds
        self.spared = spared

    def drops(self, receiver: int, message: Message) -> bool:
        """Whether ``message`` does not reach ``receiver``."""
        return receiver not in self.spared and message.round < self.rounds and type(message) in self.kinds


def trusted(message: Message) -> VerifiedMessage:
    """A message as a verified one, unverified."""
    match message:
        case Prepare():
            return VerifiedPrepare(message)
        case Commit():
            return VerifiedCommit(message)
        case RoundChange():
            return VerifiedRoundChange(message)
        case Proposal():
            return VerifiedProposal(message, verify_block(message.block))


class World(Process):
    """Stands in the queue for what happens to no process: faults and their ends."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.life = 0


class Cluster:
    """See the module.

    Args:
        seed: of all random choices.
        plan: who decides which height.
        parameters: of consensus.
    """

    def __init__(self, seed: int, plan: SetPlan, parameters: Parameters) -> None:
        self.rng = random.Random(seed)
        self.random = self.rng.random
        self.plan = plan
        self.parameters = parameters
        self.now = 0
        self.queue: list[tuple[int, int, Process, int, Action, Any]] = []
        self.entries = 0
        self.serials = 0
        self.situations: Counter[str] = Counter()
        self.oracle = Oracle(self, plan)
        self.world = World(self)
        self.processes: list[Process] = []
        self.by_key: dict[bytes, list[Process]] = {}
        self.trace: list[str] | None = None
        self.faults = 0

        self.delay_ms = (1, 12)
        """Lowest delay, and the width of the spread above it."""
        self.packets: dict[int, Packet] = {}
        """By identity of the message, which ``kept`` keeps alive."""
        self.kept: list[Message] = []
        self.drop = self.duplicate = 0.0
        self.cuts: set[tuple[int, int]] = set()
        """(from, to) pairs of process indexes between which nothing passes."""
        self.rules: list[Rule] = []
        self.rough = False
        """Whether any of the three above is in force."""
        self.sync_ms = 0
        self.compact_at = 40
        self.early_timers = False
        self.encoded = False
        """Whether messages go through their bytes."""
        self.work: Callable[[Process, int], int | None] = lambda process, _height: self.now + process.offset_ms
        self.down_ms = 500
        self.trusting = False
        """Whether messages of the honest are taken as verified: it saves time, and others verify them."""

    def add(self, process: Process) -> None:
        """Adds a process; it is started by the schedule."""
        self.processes.append(process)
        self.by_key.setdefault(process.key, []).append(process)

    def serial(self) -> int:
        """Grows by one: makes blocks unlike each other."""
        self.serials += 1
        return self.serials

    def count(self, situation: str) -> None:
        """Notes that a situation was reached."""
        self.situations[situation] += 1

    def note(self, line: str) -> None:
        """A line for the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.now:>8}  {line}")

    # --- time -------------------------------------------------------------------------------------------------------

    def at(self, time_ms: int, process: Process, action: Action, argument: object) -> None:
        """Does something at a time, if the process still has the same life then."""
        self.entries += 1
        heapq.heappush(self.queue, (time_ms, self.entries, process, process.life, action, argument))

    def after(self, delay_ms: int, process: Process, action: Action, argument: object) -> None:
        """Does something after a delay."""
        self.entries += 1
        heapq.heappush(self.queue, (self.now + delay_ms, self.entries, process, process.life, action, argument))

    def run(self, events: int, until_ms: int = EVER) -> int:
        """Handles at most ``events`` entries of the queue up to a time; returns how many it did not."""
        queue, pop = self.queue, heapq.heappop
        while events > 0 and queue:
            if queue[0][0] > until_ms:
                self.now = until_ms
                return events
            time_ms, _, process, life, action, argument = pop(queue)
            if process.life == life:
                self.now = time_ms
                action(process, argument)
                events -= 1
        return events

    # --- the network ------------------------------------------------------------------------------------------------

    def packet(self, sender: Process, message: Message) -> Packet:
        """``message`` as it travels: the same packet as long as the process says the same again."""
        known = self.packets.get(id(message))
        if known is not None:
            return known
        sent = decode_message(encode_message(message)) if self.encoded else message
        packet = self.packets[id(message)] = Packet(sent, honest=not sender.faulty)
        self.kept.append(message)
        return packet

    def broadcast(self, sender: Process, message: Message) -> None:
        """To everybody else; observers follow too."""
        packet = self.packet(sender, message)
        if self.rough:
            for receiver in self.processes:
                if receiver.key is not sender.key:
                    self.to_process(sender, receiver, Process.on_packet, packet)
            return
        low, spread = self.delay_ms
        random_, queue, now, push = self.random, self.queue, self.now, heapq.heappush
        on_packet = Process.on_packet
        entries = self.entries
        for receiver in self.processes:
            if receiver.alive and receiver.key is not sender.key:
                entries += 1
                push(queue, (now + low + int(random_() * spread), entries, receiver, receiver.life, on_packet, packet))
        self.entries = entries

    def to_key(self, sender: Process, key: bytes, action: Action, argument: object) -> None:
        """To every process that runs under ``key``."""
        for receiver in self.by_key.get(key, ()):
            if receiver is not sender:
                self.to_process(sender, receiver, action, argument)

    def to_process(self, sender: Process, receiver: Process, action: Action, argument: object) -> None:
        """To one process, if the network lets it."""
        if not receiver.alive:
            return
        copies = 1
        if self.rough:
            if (sender.index, receiver.index) in self.cuts:
                return
            if type(argument) is Packet and any(rule.drops(receiver.index, argument.message) for rule in self.rules):
                return
            if self.drop and self.random() < self.drop:
                return
            if self.duplicate and self.random() < self.duplicate:
                copies = 2
        low, spread = self.delay_ms
        for _ in range(copies):
            at_ms = self.now + low + int(self.random() * spread)
            self.at(max(at_ms, receiver.stalled_until), receiver, action, argument)

    def verify(self, packet: Packet) -> Any:
        """Verifies a packet's message, once for all receivers; what the honest say only in a part of the schedules."""
        if packet.honest and self.trusting:
            packet.verified = trusted(packet.message)
            return packet.verified
        here = self.plan.at(packet.height)
        try:
            packet.verified = verify_message(packet.message, CHAIN, here.epoch, here.validators, verify)
        except InvalidInput as error:
            if packet.honest:
                raise Violation(f"an honest message was refused ({error.code}): {named(packet.message)}") from error
            self.count(f"message_refused_{error.code}")
            packet.verified = None
        else:
            flaw = None if packet.honest else flaw_of(packet.message, here)
            if flaw is not None:
                raise Violation(f"accepted although {flaw}: {named(packet.message)}")
        return packet.verified

    def authenticate(self, packet: Packet) -> Any:
        """What can be known of a packet without its height's set, once for all receivers."""
        try:
            packet.authentic = authenticate(packet.message, CHAIN, verify)
        except InvalidInput as error:
            if packet.honest:
                raise Violation(f"an honest message is not authentic: {named(packet.message)}") from error
            packet.authentic = None
        return packet.authentic

    # --- connections, crashes ---------------------------------------------------------------------------------------

    def reaches(self, one: Process, other: Process) -> bool:
        """Whether both directions between two processes are open."""
        return (one.index, other.index) not in self.cuts and (other.index, one.index) not in self.cuts

    def connect(self, process: Process) -> None:
        """A started process and each of the others connect, sooner or later."""
        for other in self.processes:
            if other is not process:
                self.after(int(self.random() * 40), process, self.meet, other)

    def meet(self, one: Process, other: Process) -> None:
        """A connection is up, on both sides."""
        if one.alive and other.alive and self.reaches(one, other):
            life = other.life
            one.on_connected(other)
            if other.life == life and other.alive and one.alive:
                other.on_connected(one)

    def crashed(self, process: Process) -> None:
        """A process died; it comes back."""
        self.count("crash")
        if process.greeting:
            self.count("crash_in_recovery")
        if any(place[0] == len(process.chain) + 1 for place in process.disk.locks):
            self.count("crash_with_prepared_certificate")
        self.note(f"{process.name} crashes")
        self.after(20 + int(self.random() * self.down_ms), process, Process.start, None)

    def changed_set(self, process: Process, height: int) -> None:
        """A process starts a height of a new epoch."""
        self.count("set_change")
        before, after = self.plan.at(height - 1).validators, self.plan.at(height).validators
        if process.key in after and process.key not in before:
            self.count("validator_joined")
        elif process.key in before and process.key not in after:
            self.count("validator_left")
        if any(place[1] > 0 for place in process.disk.votes if place[1] == height - 1):
            self.count("set_change_with_votes")

    def heal(self) -> None:
        """All network faults end; connections that were broken come back."""
        broken, self.cuts = self.cuts, set()
        self.drop = self.duplicate = 0.0
        self.delay_ms = (1, 12)
        self.rules = []
        self.rough = False
        self.reconnect(broken)

    def reconnect(self, broken: set[tuple[int, int]]) -> None:
        """Pairs between which nothing passed are connected anew, in an order of their own."""
        for one, other in sorted({(min(pair), max(pair)) for pair in broken}):
            self.after(int(self.random() * 30), self.processes[one], self.meet, self.processes[other])

    def honest(self) -> list[Process]:
        """Processes of which everything is asserted."""
        return [process for process in self.processes if not process.faulty]

    def close(self) -> None:
        """Breaks the cycles between cluster and processes, so that no collector is needed."""
        self.queue.clear()
        for process in self.processes:
            del process.cluster
        self.processes.clear()
        self.by_key.clear()
        del self.oracle.cluster
        del self.world.cluster
        self.work = lambda _process, _height: None

    def describe(self) -> str:
        """One line on who stands where."""
        lines: Sequence[str] = [
            f"{one.name}{'' if one.alive else '†'}@{len(one.chain) + 1}.{one.place[1]}" for one in self.processes
        ]
        return " ".join(lines)


def name_of(key: PublicKey, copy: int = 0) -> str:
    """A letter, and a mark for each further process of the same key."""
    return NAMES[key] + "'" * copy
