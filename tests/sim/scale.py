"""What consensus costs as the number of validators and the delay between them grow: ``scripts/scale``.

The real core, real Ed25519, real encodings, as the daemon handles them: a turn takes all inputs that wait, its records
share one sync, a signature is verified once by each validator. Virtual time contains the measured processor time of
each validator, as if each had a core for consensus. Not contained: transactions' own bytes, verification, execution.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from consensus import effects as do
from consensus import inputs as on
from consensus.epoch import Epoch, proposer
from consensus.machine import step
from consensus.messages import Message, Proposal, decode_message, encode_message
from consensus.records import record_codec
from consensus.state import State
from consensus.timing import Parameters
from consensus.verify import verify_message
from ledger.block import Block, Header, block_id, transactions_root
from ledger.certificate import CommitCertificate, certificate_codec
from ledger.keys import SignatureCache, SigningKey
from ledger.types import ZERO_HASH, Hash32, Height, PublicKey, Round
from ledger.validators import ValidatorSet
from p2p.bounds import GossipBounds
from p2p.framing import HEADER_BYTES
from p2p.gossip_wire import ITEM_ID_BYTES, SHORT_ID_BYTES

CHAIN: Final = bytes(range(32))
WALL_MS: Final = 1_700_000_000_000
MS: Final = 1_000
"""Virtual time is in microseconds."""
SYNC_US: Final = 1 * MS
"""A sync of the signer log."""
REFS: Final = 200
"""Transactions of a block: their refs travel in the proposal."""
SUBMIT_EVERY_US: Final = 37 * MS
ANNOUNCE_BYTES: Final = 1 + ITEM_ID_BYTES + 4
SIZES: Final = (4, 7, 10, 31, 100)
DELAYS_MS: Final = (10, 50, 150)


@dataclass
class Figures:
    """What one run came to.

    Attributes:
        finality_ms: submission at any validator to commit at the same.
        interval_ms: from commit to commit.
        cpu_ms: processor time of one validator for one height.
        sent_bytes: by one validator for one height, gossip's overhead and announcements included.
        proposal_bytes: sent by a height's proposer in one PROPOSAL.
        certificate_bytes: of a commit certificate.
        lost_ms: by height: how long it took beyond its share, where a proposer was dead or slow.
    """

    finality_ms: list[float] = field(default_factory=list)
    interval_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    sent_bytes: float = 0.0
    proposal_bytes: int = 0
    certificate_bytes: int = 0
    taken_ms: dict[int, float] = field(default_factory=dict)
    rounds: dict[int, int] = field(default_factory=dict)


class Validator:
    """One validator and its driver."""

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        self.world = world
        self.index = index
        self.key = PublicKey(key.public)
        self.state = State(CHAIN, self.key, key.sign, world.parameters)
        self.cache = SignatureCache(4_096)
        self.inbox: list[Any] = []
        self.busy = False
        self.cpu_ns = 0
        self.sent_bytes = 0
        self.height = 0
        self.parent = Hash32(b"\x47" * 32)
        self.parent_time_ms = WALL_MS
        self.timers: dict[on.TimerKind, do.SetTimer] = {}

    def start_height(self) -> None:
        world = self.world
        since = world.now // MS
        self.take(
            on.HeightStarted(
                Height(self.height + 1), world.epoch, world.members, self.parent, self.parent_time_ms, since
            )
        )

    def take(self, what: on.Input | bytes) -> None:
        """Something arrived: bytes of a message, or an input."""
        self.inbox.append(what)
        if not self.busy:
            self.busy = True
            self.world.after(0, self.turn)

    def turn(self) -> None:
        """Everything that waits, then its effects: after the processor's time, and the sync's where there is one."""
        world = self.world
        inbox, self.inbox = self.inbox, []
        effects: list[do.Effect] = []
        began = time.thread_time_ns()
        while inbox:
            what = inbox.pop(0)
            event = self.read(what) if isinstance(what, bytes) else what
            if event is not None:
                effects.extend(step(self.state, event, world.now // MS))
                if effects and isinstance(effects[-1], do.CommitBlock):
                    break
        records = [record_codec.encode(one.record) for one in effects if isinstance(one, do.Persist)]
        outgoing: list[tuple[bytes, bool]] = [
            (encode_message(one.message), isinstance(one.message, Proposal))
            for one in effects
            if isinstance(one, do.Broadcast)
        ]
        spent = time.thread_time_ns() - began
        self.cpu_ns += spent
        self.inbox = inbox + self.inbox
        delay = spent // 1_000 + (SYNC_US if records else 0)
        world.after(delay, lambda: self.perform(effects, outgoing))

    def read(self, data: bytes) -> on.Input | None:
        """Decodes and verifies, as the daemon's desk for votes does."""
        world = self.world
        message: Message = decode_message(data, len(world.members))
        if not self.height < message.height <= self.height + 2:
            return None
        verified = verify_message(message, CHAIN, world.epoch, world.members, self.cache.verify)
        return on.MessageReceived(verified, WALL_MS + world.now // MS)

    def perform(self, effects: list[do.Effect], outgoing: list[tuple[bytes, bool]]) -> None:
        world = self.world
        messages = iter(outgoing)
        for effect in effects:
            match effect:
                case do.Broadcast():
                    data, is_proposal = next(messages)
                    world.broadcast(self, data, is_proposal=is_proposal)
                case do.SetTimer():
                    self.timers[effect.kind] = effect
                    world.at(effect.at_ms * MS, lambda one=effect: self.fire(one))
                case do.CancelTimer():
                    self.timers.pop(effect.kind, None)
                case do.BuildBlock():
                    self.take(on.BlockBuilt(effect.height, effect.round, world.build(self, effect)))
                case do.CheckBlock():
                    self.take(on.BlockChecked(effect.height, effect.block.id, ok=True))
                case do.CommitBlock():
                    self.commit(effect.block.block, effect.certificate)
                case _:
                    pass
        self.busy = False
        if self.inbox:
            self.busy = True
            world.after(0, self.turn)

    def fire(self, timer: do.SetTimer) -> None:
        if self.timers.get(timer.kind) is timer:
            del self.timers[timer.kind]
            self.take(on.TimerFired(timer.kind, timer.height, timer.round))

    def commit(self, block: Block, certificate: CommitCertificate) -> None:
        self.height += 1
        self.parent, self.parent_time_ms = Hash32(certificate.block_id), block.header.time_ms
        self.world.committed(self, certificate)
        self.start_height()


class World:
    """Validators, virtual time, constant delays with a little jitter.

    Args:
        count: validators.
        delay_ms: one way.
        dead: indexes of validators that do not run.
        slow: index to how long its proposals take longer to leave it.
    """

    def __init__(
        self, count: int, delay_ms: int, *, dead: tuple[int, ...] = (), slow: dict[int, int] | None = None
    ) -> None:
        self.random = random.Random(count * 1_000 + delay_ms)
        self.delay_us = delay_ms * MS
        self.now = 0
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.entries = 0
        self.parameters = Parameters()
        self.epoch = Epoch(0, 1, 0)
        keys = sorted((SigningKey(bytes([i]) * 32) for i in range(1, count + 1)), key=lambda key: key.public)
        self.members = ValidatorSet([PublicKey(key.public) for key in keys])
        self.everybody = [Validator(self, i, key) for i, key in enumerate(keys)]
        self.running = [one for one in self.everybody if one.index not in dead]
        self.slow = slow or {}
        self.figures = Figures()
        self.submitted: list[tuple[int, Validator]] = []
        self.in_block: dict[bytes, list[tuple[int, Validator]]] = {}
        self.first_commit: dict[int, int] = {}

    def at(self, time_us: int, action: Callable[[], None]) -> None:
        self.entries += 1
        heapq.heappush(self.queue, (max(time_us, self.now), self.entries, action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        self.at(self.now + delay_us, action)

    def travel(self) -> int:
        return int(self.delay_us * (0.95 + 0.1 * self.random.random()))

    def broadcast(self, sender: Validator, data: bytes, *, is_proposal: bool) -> None:
        """To all others, as the gossip does in a full mesh: pushed once to each, and told again a second later."""
        count = len(self.members)
        if is_proposal:
            self.figures.proposal_bytes = max(self.figures.proposal_bytes, len(data))
        named = min(count, GossipBounds().covered_max)
        sender.sent_bytes += (count - 1) * (HEADER_BYTES + 2 + SHORT_ID_BYTES * named + len(data))
        held_back = self.slow.get(sender.index, 0) * MS if is_proposal else 0
        for other in self.running:
            if other is not sender:
                # Of two neighbours the one that tells first spares the other: half of all pairs.
                other.sent_bytes += (count - 2) * ANNOUNCE_BYTES // 2
                self.after(self.travel() + held_back, lambda one=other: one.take(data))

    def submit(self) -> None:
        """A transaction, at one validator; it is in the mempools of the others a delay later."""
        self.submitted.append((self.now, self.random.choice(self.running)))
        self.after(SUBMIT_EVERY_US, self.submit)

    def build(self, proposer_: Validator, order: do.BuildBlock) -> Block:
        refs = [self.entries.to_bytes(32, "big") + bytes([i % 256]) * 32 for i in range(REFS)]
        members_hash = self.members.hash(CHAIN)
        header = Header(
            version=1,
            chain_id=CHAIN,
            height=order.height,
            time_ms=max(WALL_MS + self.now // MS, order.after_ms + 1),
            parent=proposer_.parent,
            history_root=ZERO_HASH,
            history_size=order.height,
            proposer=proposer_.key,
            epoch=0,
            validators_hash=members_hash,
            next_validators_hash=members_hash,
            transactions_root=transactions_root(refs),
            transactions_count=len(refs),
            receipts_root=ZERO_HASH,
            changes_root=ZERO_HASH,
            changes_count=0,
            checkpoint_height=0,
            checkpoint_root=ZERO_HASH,
        )
        known = [one for one in self.submitted if one[1] is proposer_ or one[0] + self.delay_us <= self.now]
        self.submitted = [one for one in self.submitted if one not in known]
        self.in_block[block_id(header)] = known
        return Block(header, b"".join(refs))

    def committed(self, by: Validator, certificate: CommitCertificate) -> None:
        figures, height = self.figures, certificate.height
        if height not in self.first_commit:
            before = self.first_commit.get(height - 1)
            self.first_commit[height] = self.now
            figures.certificate_bytes = len(certificate_codec.encode(certificate))
            figures.rounds[height] = certificate.round
            if before is not None:
                figures.interval_ms.append((self.now - before) / MS)
                figures.taken_ms[height] = (self.now - before) / MS
        for since, where in self.in_block.get(certificate.block_id, ()):
            if where is by:
                figures.finality_ms.append((self.now - since) / MS)

    def proposer_index(self, height: int, round_: int) -> int:
        """Who proposes."""
        return self.members.keys.index(proposer(self.epoch, self.members, Height(height), Round(round_)))

    def run(self, heights: int) -> Figures:
        """Decides ``heights`` heights everywhere."""
        for one in self.running:
            one.start_height()
        self.submit()
        while any(one.height < heights for one in self.running):
            self.now, _, action = heapq.heappop(self.queue)
            action()
        figures = self.figures
        done = sum(one.height for one in self.running)
        figures.cpu_ms = sum(one.cpu_ns for one in self.running) / 1e6 / done
        figures.sent_bytes = sum(one.sent_bytes for one in self.running) / done
        return figures


def table_of_scale(sizes: tuple[int, ...], delays: tuple[int, ...], heights: int) -> None:
    """Prints the first table."""
    print(
        "| validators | one-way delay ms | finality ms (median, 95 %) | interval ms | CPU ms a height and validator |"
    )
    print("|---:|---:|---:|---:|---:|")
    sizes_of: dict[int, Figures] = {}
    for count in sizes:
        for delay_ms in delays:
            found = World(count, delay_ms).run(heights if count < 31 else max(3, heights // (count // 8)))
            sizes_of[count] = found
            latest = sorted(found.finality_ms)
            most = latest[int(len(latest) * 0.95)] if latest else float("nan")
            middle = statistics.median(latest) if latest else float("nan")
            interval = statistics.median(found.interval_ms)
            print(
                f"| {count} | {delay_ms} | {middle:.0f}, {most:.0f} | {interval:.0f} | {found.cpu_ms:.2f} |", flush=True
            )
    print()
    print("| validators | KB a height that a validator sends | PROPOSAL bytes | certificate bytes |")
    print("|---:|---:|---:|---:|")
    for count, found in sizes_of.items():
        sent = found.sent_bytes / 1_000
        print(f"| {count} | {sent:.1f} | {found.proposal_bytes} | {found.certificate_bytes} |")


def table_of_proposers(count: int, delay_ms: int) -> None:
    """Prints what a dead or slow proposer costs, height by height of its turns."""
    usual = statistics.median(World(count, delay_ms).run(12).interval_ms)
    print()
    print(f"| proposer, {count} validators, {delay_ms} ms | lost ms at its first turn | most | at its tenth | round |")
    print("|---|---:|---:|---:|---:|")
    cases: list[tuple[str, dict[str, Any]]] = [("dead from the start", {"dead": (2,)})]
    cases += [(f"{late} ms late", {"slow": {2: late}}) for late in (200, 500, 900, 1_500, 5_000)]
    for name, how in cases:
        world = World(count, delay_ms, **how)
        found = world.run(10 * count)
        turns = [height for height in found.taken_ms if world.proposer_index(height, 0) == 2]
        lost = [found.taken_ms[height] - usual for height in turns]
        rounds = max(found.rounds[height] for height in turns)
        print(f"| {name} | {lost[0]:.0f} | {max(lost):.0f} | {lost[-1]:.0f} | {rounds} |", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="scripts/scale", description="finality, processor time and bytes by size")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--delays", type=int, nargs="*", default=list(DELAYS_MS), help="one way, ms")
    parser.add_argument("--heights", type=int, default=24)
    options = parser.parse_args(arguments)
    table_of_scale(tuple(options.sizes), tuple(options.delays), options.heights)
    table_of_proposers(4, 10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
