"""A whole cluster in virtual time: seeded drops, delays, duplicates, partitions, crashes; only synced records survive.

Invariants are asserted where things happen: one decision a height ever, no honest double signature, a COMMIT only after
its certificate is durable, rounds never go back, evidence names only the faulty, buffers stay bounded.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from consensus import effects as do
from consensus import inputs as event
from consensus.effects import Effect
from consensus.evidence import misbehaviour_of
from consensus.machine import step
from consensus.messages import (
    Commit,
    Message,
    decode_message,
    encode_message,
)
from consensus.records import PreparedBlock, record_codec
from consensus.state import MAX_KEPT_BLOCKS, State, live_records, restore
from consensus.timing import Parameters
from consensus.verified import VerifiedBlock
from consensus.verify import authenticate, kind_of, signed_bytes, verify_block, verify_message
from ledger.block import Block
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.errors import InvalidInput
from ledger.misbehaviour import check as check_misbehaviour
from ledger.types import Hash32, Height
from tests.consensus.making import (
    BAD_RECEIPTS,
    CHAIN,
    EPOCH,
    GENESIS,
    WALL,
    block,
    key,
    name,
    signer,
    validators,
    verify,
)


class Node:
    """One validator process: the driver's part, around the real state machine."""

    def __init__(self, net: Network, index: int, *, faulty: bool = False) -> None:
        self.net = net
        self.index = index
        self.key = key(index)
        self.faulty = faulty
        self.disk: list[bytes] = []
        self.chain: list[tuple[Block, CommitCertificate]] = []
        self.life = 0
        self.alive = False
        self.place = (0, 0)
        self.spoke_at = (0, 0)
        self.state: State
        self.refused: list[do.ReportSigningRefused] = []
        self.observed: list[do.EnterObserve] = []
        self.max_round = 0

    @property
    def height(self) -> int:
        return len(self.chain)

    def start(self, first: Sequence[Message] = ()) -> None:
        """Restores the state from disk; ``first`` are own messages that peers return before the first height."""
        self.alive = True
        self.life += 1
        self.place = (0, 0)
        self.timers: dict[event.TimerKind, int] = {}
        self.state = restore(
            [record_codec.decode(data) for data in self.disk], CHAIN, self.key, signer(self.key), self.net.parameters
        )
        for own in first:
            step(self.state, event.LatestOwnMessage(authenticate(own, CHAIN, verify)), self.net.now)
        self.start_height()
        if not self.faulty:
            self.net.connect(self)

    def crash(self) -> None:
        self.alive = False
        self.life += 1

    def start_height(self) -> None:
        parent, time_ms = GENESIS, WALL
        if self.chain:
            parent, time_ms = name(self.chain[-1][0]), self.chain[-1][0].header.time_ms
        since = self.net.work_since(self.height + 1)
        started = event.HeightStarted(Height(self.height + 1), EPOCH, self.net.validators, parent, time_ms, since)
        self.give(started)
        if self.alive and len(self.disk) > 40:
            self.disk = [record_codec.encode(record) for record in live_records(self.state)]

    def give(self, what: event.Input) -> None:
        """One step, and its effects in order; a crash may come between any two."""
        if not self.alive:
            return
        life = self.life
        ordered = step(self.state, what, self.net.now)
        self.check_bounds()
        for effect in ordered:
            if self.net.crash_now(self):
                self.crash()
                self.net.after(self.net.random.randrange(10, 4_000), self.start)
                return
            self.perform(effect)
            if self.life != life:
                return

    def check_bounds(self) -> None:
        current, count = self.state.current, len(self.net.validators)
        assert current is not None
        place = (current.height, current.round)
        if not self.faulty:
            assert place >= self.place, "a round went back"
        self.place = place
        self.max_round = max(self.max_round, current.round)
        assert len(self.state.early) <= count * 8
        assert len(current.prepares) <= count * 4 >= len(current.commits)
        assert len(current.blocks) <= MAX_KEPT_BLOCKS + 3

    def perform(self, effect: Effect) -> None:
        net, life = self.net, self.life
        match effect:
            case do.Persist(record=record):
                self.disk.append(record_codec.encode(record))
            case do.Broadcast(message=message, repeat=repeat):
                self.note_said(message)
                if not repeat and not self.faulty:
                    assert (message.height, message.round) >= self.spoke_at, "a round went back across a restart"
                    self.spoke_at = (message.height, message.round)
                self.broadcast(message)
            case do.SendTo(to=to, message=message):
                self.note_said(message)
                net.to_key(self, to, lambda node: node.receive(encode_message(message)))
            case do.ReturnLatest(to=to, message=message) if message is not None:
                own = authenticate(message, CHAIN, verify)
                net.to_key(self, to, lambda node: node.give(event.LatestOwnMessage(own)))
            case do.SetTimer(kind=kind, at_ms=at_ms):
                token = net.token()
                self.timers[kind] = token
                net.at(max(at_ms, net.now), lambda: self.fire(life, token, effect))
            case do.CancelTimer(kind=kind):
                self.timers.pop(kind, None)
            case do.BuildBlock():
                net.after(net.random.randrange(3), lambda: self.build(life, effect))
            case do.CheckBlock():
                net.after(net.random.randrange(6), lambda: self.check(life, effect))
            case do.FetchBlock(block_id=wanted, sources=sources) if sources:
                source = net.random.choice(sources)
                net.to_key(self, source, lambda node: node.serve_block(self, wanted))
            case do.CommitBlock():
                net.after(net.random.randrange(8), lambda: self.commit(life, effect))
            case do.SendDecided(to=to, height=height):
                decided = self.chain[height - 1]
                net.to_key(self, to, lambda node: node.receive_decided(decided))
            case do.ReportEvidence(signer=who):
                assert net.is_faulty(who), "evidence against an honest validator"
                check_misbehaviour(misbehaviour_of(effect, CHAIN), CHAIN, EPOCH.number, net.validators, verify)
                net.evidence.add(who)
            case do.ReportSigningRefused():
                self.refused.append(effect)
            case do.EnterObserve():
                assert self.faulty or self.net.may_observe, "an honest validator mistrusts its memory"
                self.observed.append(effect)
            case do.Halt():
                raise AssertionError("an honest node halted")
            case _:
                pass

    def broadcast(self, message: Message) -> None:
        data = encode_message(message)
        for node in self.net.nodes:
            if node.key != self.key:
                self.net.to_node(self, node, partial(Node.receive, data=data))

    def fire(self, life: int, token: int, effect: do.SetTimer) -> None:
        if self.life == life and self.timers.get(effect.kind) == token:
            del self.timers[effect.kind]
            self.give(event.TimerFired(effect.kind, effect.height, effect.round))

    def note_said(self, message: Message) -> None:
        if message.signer != self.key or self.faulty:
            return
        place = (message.signer, message.height, message.round, kind_of(message))
        signed = signed_bytes(message, CHAIN)
        assert self.net.said.setdefault(place, signed) == signed, "an honest validator signed twice"
        if isinstance(message, Commit):
            locks = [record for record in map(record_codec.decode, self.disk) if isinstance(record, PreparedBlock)]
            assert any(
                (lock.height, lock.certificate.round, lock.certificate.block_id)
                == (message.height, message.round, message.block_id)
                for lock in locks
            ), "a COMMIT without a durable certificate"

    def build(self, life: int, effect: do.BuildBlock) -> None:
        if self.life != life or effect.height != self.height + 1:
            return
        wall = WALL + self.net.now
        # A new refs value each time: a proposer that builds twice builds different blocks.
        refs = self.net.token().to_bytes(64, "big")
        made = block(
            effect.height,
            proposer=self.index,
            parent=self.state.current.parent_id if self.state.current else GENESIS,
            time_ms=max(wall, effect.after_ms + 1),
            validator_set=self.net.validators,
            refs=refs,
        )
        self.give(event.BlockBuilt(effect.height, effect.round, made))

    def check(self, life: int, effect: do.CheckBlock) -> None:
        if self.life == life:
            ok = effect.block.block.header.receipts_root != BAD_RECEIPTS
            self.give(event.BlockChecked(effect.height, effect.block.id, ok, "" if ok else "receipts"))

    def serve_block(self, to: Node, wanted: Hash32) -> None:
        """What a driver serves: bodies of the height being decided, and committed blocks."""
        current = self.state.current
        found = None if current is None else current.blocks.get(wanted)
        body = next((made for made, _ in reversed(self.chain) if name(made) == wanted), None)
        if found is not None:
            body = found.block
        if body is not None:
            answer = event.BlockFetched(Height(body.header.height), verify_block(body))
            self.net.to_node(self, to, lambda node: node.give(answer))

    def commit(self, life: int, effect: do.CommitBlock) -> None:
        if self.life == life and effect.certificate.height == self.height + 1:
            self.decide(effect.block, effect.certificate)

    def decide(self, decided: VerifiedBlock, certificate: CommitCertificate) -> None:
        assert certificate.block_id == decided.id
        verify_certificate(certificate, CHAIN, self.net.validators, verify)
        if not self.faulty:
            known = self.net.decided.setdefault(certificate.height, decided.id)
            assert known == decided.id, f"two decisions at height {certificate.height}"
        self.chain.append((decided.block, certificate))
        self.start_height()

    def receive_decided(self, decided: tuple[Block, CommitCertificate]) -> None:
        if decided[1].height == self.height + 1:
            self.decide(verify_block(decided[0]), decided[1])

    def receive(self, data: bytes) -> None:
        message = decode_message(data, len(self.net.validators))
        current = self.state.current
        assert current is not None
        if message.height < current.height:
            self.give(event.StragglerHeard(authenticate(message, CHAIN, verify)))
            return
        if message.height > current.height + 1:
            # What the node's sync does: ask whoever is ahead.
            wanted = self.height + 1
            self.net.to_key(self, message.signer, lambda node: node.serve_decided(self, wanted))
            return
        try:
            checked = verify_message(message, CHAIN, EPOCH, self.net.validators, verify)
        except InvalidInput:
            assert self.net.is_faulty(message.signer), "an honest message was refused"
            return
        self.give(event.MessageReceived(checked, WALL + self.net.now))

    def serve_decided(self, to: Node, height: int) -> None:
        if height <= self.height:
            decided = self.chain[height - 1]
            self.net.to_node(self, to, lambda node: node.receive_decided(decided))


class Network:
    """The cluster, its virtual clock and its faults.

    Args:
        seed: picks everything.
        count: validators.
        twins: how many of them run as two processes with one key and no common memory.
        liars: which of them are something else than a ``Node``.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        *,
        twins: int = 0,
        liars: Mapping[int, type[Node]] | None = None,
        parameters: Parameters | None = None,
        auto_work: bool = True,
    ) -> None:
        self.random = random.Random(seed)
        self.parameters = Parameters() if parameters is None else parameters
        self.validators = validators(count)
        self.now = 0
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.tokens = 0
        self.nodes = [Node(self, i, faulty=i < twins) for i in range(count)]
        self.nodes += [Node(self, i, faulty=True) for i in range(twins)]
        for i, kind in (liars or {}).items():
            self.nodes[i] = kind(self, i, faulty=True)
        self.auto_work = auto_work
        self.decided: dict[int, Hash32] = {}
        self.said: dict[object, bytes] = {}
        self.evidence: set[bytes] = set()
        self.drop = self.duplicate = self.crash_rate = 0.0
        self.delay_ms = (1, 20)
        self.groups: dict[int, int] = {}
        """Node to side of a partition; messages cross only within a side."""
        self.filter: Callable[[Node, Node], bool] = lambda _sender, _receiver: True
        self.messages = 0
        self.may_observe = False
        self.rivals: list[Block] = []
        """Blocks of equivocating proposers: what the liars vote for."""

    def connect(self, node: Node) -> None:
        """A started node connects to the others, sooner or later: each side returns the other's latest message."""
        for other in self.nodes:
            if other.key != node.key:
                self.after(self.random.randrange(50), partial(self.meet, node, other))

    def meet(self, one: Node, other: Node) -> None:
        one.give(event.PeerConnected(other.key))
        other.give(event.PeerConnected(one.key))

    def is_faulty(self, who: bytes) -> bool:
        return any(node.faulty for node in self.nodes if node.key == who)

    def work_since(self, height: int) -> int | None:
        return self.now if self.auto_work else None

    def token(self) -> int:
        self.tokens += 1
        return self.tokens

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (time_ms, self.token(), action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.at(self.now + delay_ms, action)

    def crash_now(self, node: Node) -> bool:
        return self.crash_rate > 0 and self.random.random() < self.crash_rate

    def to_key(self, sender: Node, to: bytes, action: Callable[[Node], None]) -> None:
        for node in self.nodes:
            if node.key == to and node is not sender:
                self.to_node(sender, node, action)

    def to_node(self, sender: Node, receiver: Node, action: Callable[[Node], None]) -> None:
        self.messages += 1
        pick = self.random
        sides = self.groups
        if sides.get(id(sender), 0) != sides.get(id(receiver), 0) or not self.filter(sender, receiver):
            return
        if self.drop and pick.random() < self.drop:
            return
        for _ in range(2 if self.duplicate and pick.random() < self.duplicate else 1):
            self.after(pick.randrange(*self.delay_ms), partial(self.deliver, receiver, receiver.life, action))

    def deliver(self, receiver: Node, life: int, action: Callable[[Node], None]) -> None:
        if receiver.alive and receiver.life == life:
            action(receiver)

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def run(self, until_ms: int, done: Callable[[], bool] = lambda: False) -> None:
        while self.queue and not done():
            time_ms, _, action = self.queue[0]
            if time_ms > until_ms:
                break
            heapq.heappop(self.queue)
            self.now = max(self.now, time_ms)
            action()
        else:
            return
        self.now = until_ms

    def honest(self) -> list[Node]:
        return [node for node in self.nodes if not node.faulty]

    def run_to_height(self, height: int, within_ms: int) -> None:
        """Runs until every honest node has committed ``height``, and asserts that this takes at most ``within_ms``."""
        self.run(self.now + within_ms, lambda: all(node.height >= height for node in self.honest()))
        heights = [(node.index, node.height, node.place) for node in self.honest()]
        assert all(node.height >= height for node in self.honest()), f"no progress: {heights}"
