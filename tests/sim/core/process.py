"""One validator process of a simulated cluster: what a driver does around the real state machine.

Two ways of performing a turn, one a schedule: in order, each Persist synced where it stands; or as the daemon does it,
all Persists of a turn in front with one sync that takes time, while further inputs wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from consensus import effects as do
from consensus import inputs as on
from consensus.machine import step
from consensus.messages import Message
from consensus.state import Observing, State, restore
from consensus.verified import VerifiedBlock
from ledger.certificate import CommitCertificate
from ledger.types import Height, PublicKey
from tests.sim.core import executing, fetching
from tests.sim.core.disk import Disk
from tests.sim.core.executing import Decided
from tests.sim.core.material import CHAIN, GENESIS, WALL, signer
from tests.sim.core.recovery import compact, connect_and_greet
from tests.sim.outcome import Violation

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster

CHECK_EVERY: Final = 64
"""Steps between two looks at the buffers' bounds."""


class Packet:
    """A consensus message on its way; what verifying it came to is the same for every receiver."""

    __slots__ = ("authentic", "epoch", "height", "honest", "message", "verified")

    def __init__(self, message: Message, *, honest: bool) -> None:
        self.message = message
        self.height = message.height
        self.epoch = message.epoch
        self.honest = honest
        self.verified: Any = False
        self.authentic: Any = False


class Process:
    """A process that follows the protocol.

    Attributes:
        faulty: its messages may be anything, and nothing is asserted of it.
        suspect: its signer state was lost or rolled back: it may have to sign twice, and counts as faulty.
        alive: runs.
        life: grows with each start and crash; what was meant for an earlier life is dropped.
        fetching: block id to the place in its sources of the one that was asked last.
        fuse: effects until it crashes, or −1.
        next_fuse: the fuse of its next life: a crash inside recovery.
    """

    faulty = False
    performs: ClassVar[dict[type[Any], Callable[[Any, Any], None]]]
    __slots__ = (
        "alive",
        "answered",
        "backup",
        "chain",
        "cluster",
        "disk",
        "fetching",
        "fuse",
        "greeting",
        "inbox",
        "index",
        "key",
        "late",
        "life",
        "lost_log",
        "name",
        "next_fuse",
        "offset_ms",
        "place",
        "spoke",
        "stalled_until",
        "state",
        "steps",
        "suspect",
        "syncing",
        "timers",
        "waiting",
        "wall_skew_ms",
        "withheld",
    )

    def __init__(self, cluster: Cluster, index: int, key: PublicKey, name: str) -> None:
        self.cluster = cluster
        self.index = index
        self.key = key
        self.name = name
        self.disk = Disk()
        self.chain: list[Decided] = []
        self.state: State
        self.alive = self.suspect = self.lost_log = self.withheld = False
        self.syncing = self.greeting = False
        self.late: list[on.Input] = []
        self.life = 0
        self.fuse = self.next_fuse = -1
        self.steps = 0
        self.offset_ms = 0
        self.wall_skew_ms = 0
        self.place = self.spoke = (0, 0)
        self.timers: dict[on.TimerKind, do.SetTimer] = {}
        self.inbox: list[on.Input] = []
        self.waiting: list[do.Effect] = []
        self.answered: set[int] = set()
        self.backup: tuple[int, int] | None = None
        self.fetching: dict[bytes, int] = {}
        self.stalled_until = 0

    # --- life and death ---------------------------------------------------------------------------------------------

    def start(self, _arg: object = None) -> None:
        """From nothing, or from what the disk holds."""
        cluster = self.cluster
        again = self.life > 0
        self.life += 1
        self.alive = True
        self.fuse, self.next_fuse = self.next_fuse, -1
        self.place = (0, 0)
        self.timers.clear()
        self.inbox.clear()
        self.fetching.clear()
        self.syncing = self.withheld = False
        self.late = []
        observing = Observing(do.ObserveReason.SIGNER_STATE_LOST) if self.lost_log else None
        self.state = restore(
            self.disk.read() if again else (),
            CHAIN,
            self.key,
            signer(self.key),
            cluster.parameters,
            observing=observing,
        )
        connect_and_greet(self, again=again)

    def crash(self) -> None:
        """Power is lost."""
        cluster = self.cluster
        if self.syncing and self.disk.crash(cluster.random):
            cluster.count("torn_write")
        self.life += 1
        self.alive = False
        cluster.crashed(self)

    def stop(self) -> None:
        """Is killed, and not started again by itself."""
        if self.syncing:
            self.disk.crash(self.cluster.random)
        self.life += 1
        self.alive = False

    def repent(self) -> None:
        """Follows the protocol from here on."""

    @property
    def height(self) -> int:
        """Committed blocks."""
        return len(self.chain)

    def start_height(self) -> None:
        """The block below is committed; the next height is to be decided."""
        cluster, chain = self.cluster, self.chain
        height = len(chain) + 1
        here = cluster.plan.at(height)
        parent, time_ms = (chain[-1].id, chain[-1].block.header.time_ms) if chain else (GENESIS, WALL)
        since = cluster.work(self, height)
        if height > 1 and here.epoch.start == height:
            cluster.changed_set(self, height)
        self.give(on.HeightStarted(Height(height), here.epoch, here.validators, parent, time_ms, since))

    # --- a turn -----------------------------------------------------------------------------------------------------

    def give(self, event: on.Input) -> None:
        """One event, its step, and its effects."""
        if self.syncing:
            self.inbox.append(event)
            return
        state = self.state
        effects = step(state, event, self.cluster.now + self.offset_ms)
        current = state.current
        if current is not None:
            place = (current.height, current.round)
            if place < self.place:
                raise Violation(f"{self.name} went back from {self.place} to {place}")
            self.place = place
        if effects:
            self._turn(effects)
        self.steps += 1
        if self.steps % CHECK_EVERY == 0 and self.alive:
            self.cluster.oracle.check_bounds(self)

    def _turn(self, effects: Sequence[do.Effect]) -> None:
        cluster = self.cluster
        if cluster.sync_ms and any(type(effect) is do.Persist for effect in effects):
            if len(self.disk.synced) > cluster.compact_at:
                compact(self)
            self.waiting = []
            for effect in effects:
                if type(effect) is do.Persist:
                    self.disk.write(effect.record)
                else:
                    self.waiting.append(effect)
            self.syncing = True
            if self.fuse >= 0 and cluster.random() < 0.4:
                self.crash()
                return
            cluster.after(1 + int(cluster.random() * cluster.sync_ms), self, Process.on_synced, None)
        else:
            self.perform(effects)

    def on_synced(self, _arg: object) -> None:
        """The turn's records are durable: its other effects follow, then what waited meanwhile, as one turn."""
        self.disk.sync()
        self.syncing = False
        life = self.life
        waiting, self.waiting = self.waiting, []
        self.perform(waiting)
        if self.life != life or not self.inbox:
            return
        inbox, self.inbox = self.inbox, []
        together: list[do.Effect] = []
        while inbox:
            together.extend(step(self.state, inbox.pop(0), self.cluster.now + self.offset_ms))
            if together and type(together[-1]) is do.CommitBlock:
                break
        self.inbox = inbox
        if self.state.current is not None:
            self.place = max(self.place, (self.state.current.height, self.state.current.round))
        self._turn(together)
        if self.life == life and not self.syncing:
            self.inbox, self.late = [], inbox
            while inbox:
                self.give(inbox.pop(0))
                if self.life != life:
                    return

    def perform(self, effects: Sequence[do.Effect]) -> None:
        """Effects in order; a crash may come between any two."""
        for effect in effects:
            if self.fuse >= 0:
                if self.fuse == 0:
                    self.crash()
                    return
                self.fuse -= 1
            self.performs[type(effect)](self, effect)

    # --- effects ----------------------------------------------------------------------------------------------------

    def _persist(self, effect: do.Persist) -> None:
        disk = self.disk
        if len(disk.synced) > self.cluster.compact_at:
            compact(self)
        disk.write(effect.record)
        disk.sync()

    def _broadcast(self, effect: do.Broadcast) -> None:
        self.cluster.oracle.said(self, effect.message, repeat=effect.repeat)
        self.cluster.oracle.memory.said(self, effect.message)
        self.cluster.broadcast(self, effect.message)

    def _send_to(self, effect: do.SendTo) -> None:
        self.cluster.oracle.said(self, effect.message, repeat=True)
        packet = self.cluster.packet(self, effect.message)
        self.cluster.to_key(self, effect.to, Process.on_packet, packet)

    def _return_latest(self, effect: do.ReturnLatest) -> None:
        packet = None if effect.message is None else self.cluster.packet(self, effect.message)
        self.cluster.to_key(self, effect.to, Process.on_latest, (self.index, packet))

    def _set_timer(self, effect: do.SetTimer) -> None:
        cluster = self.cluster
        self.timers[effect.kind] = effect
        at_ms = effect.at_ms - self.offset_ms
        if cluster.early_timers and cluster.random() < 0.1:
            at_ms -= 1
        cluster.at(max(at_ms, cluster.now), self, Process.on_timer, effect)
        if effect.round and effect.kind is on.TimerKind.ROUND:
            cluster.count("gated_timer")

    def _cancel_timer(self, effect: do.CancelTimer) -> None:
        self.timers.pop(effect.kind, None)

    def _build(self, effect: do.BuildBlock) -> None:
        self.cluster.after(int(self.cluster.random() * 3), self, executing.on_build, effect)

    def _check(self, effect: do.CheckBlock) -> None:
        cluster = self.cluster
        if self.withheld:
            cluster.count("transactions_missing")
            cluster.after(700 + int(cluster.random() * 1500), self, executing.on_check, effect)
        else:
            cluster.after(int(cluster.random() * 5), self, executing.on_check, effect)

    def _fetch(self, effect: do.FetchBlock) -> None:
        self.cluster.count("fetch_of_decided" if self.state.current.decided is not None else "fetch_for_reproposal")
        fetching.begin(self, effect)

    def _commit(self, effect: do.CommitBlock) -> None:
        self.cluster.after(int(self.cluster.random() * 4), self, executing.on_commit, effect)

    def _send_decided(self, effect: do.SendDecided) -> None:
        self.cluster.count("straggler_answered")
        if effect.height <= len(self.chain):
            self.cluster.to_key(self, effect.to, executing.on_decided, [self.chain[effect.height - 1]])

    def _evidence(self, effect: do.ReportEvidence) -> None:
        self.cluster.oracle.evidence(self, effect)

    def _refuse_block(self, effect: do.RefuseBlock) -> None:
        self.cluster.count(f"refused_{effect.reason}")

    def _refused_signing(self, effect: do.ReportSigningRefused) -> None:
        self.cluster.count("signing_refused")

    def _enter_observe(self, effect: do.EnterObserve) -> None:
        self.cluster.oracle.observes(self, effect)
        self.cluster.oracle.memory.observes(self, effect)

    def _leave_observe(self, _effect: do.LeaveObserve) -> None:
        self.cluster.count("observer_signs_again")

    def _halt(self, effect: do.Halt) -> None:
        raise Violation(f"{self.name} halted at height {effect.height}: {effect.reason}")

    # --- what arrives -----------------------------------------------------------------------------------------------

    def on_packet(self, packet: Packet) -> None:
        """A consensus message arrived."""
        cluster = self.cluster
        current = self.state.current
        if current is None:
            return  # still greeting: the sender says it again
        ahead = packet.height - current.height
        if ahead in {0, 1}:
            verified = packet.verified
            if verified is False:
                verified = cluster.verify(packet)
            if verified is not None:
                self.give(on.MessageReceived(verified, WALL + cluster.now + self.wall_skew_ms))
        elif ahead < 0:
            self._on_late(packet)
        else:
            cluster.to_key(self, packet.message.signer, executing.on_asked_decided, (self, len(self.chain) + 1))

    def _on_late(self, packet: Packet) -> None:
        cluster = self.cluster
        if packet.message.signer not in cluster.plan.at(self.state.current.height).validators:
            cluster.count("message_of_a_former_validator")
            return
        authentic = packet.authentic
        if authentic is False:
            authentic = cluster.authenticate(packet)
        if authentic is not None:
            if packet.epoch != self.state.current.epoch.number:
                cluster.count("message_of_an_old_epoch")
            self.give(on.StragglerHeard(authentic))

    def on_latest(self, answer: tuple[int, Packet | None]) -> None:
        """A peer said what it last heard from us."""
        peer, packet = answer
        cluster = self.cluster
        if packet is not None:
            authentic = packet.authentic if packet.authentic is not False else cluster.authenticate(packet)
            if authentic is not None:
                self.give(on.LatestOwnMessage(authentic))
                cluster.oracle.memory.heard_itself(self, authentic)
        if self.greeting:
            self.answered.add(peer)
            if len(self.answered) + 1 >= cluster.plan.at(len(self.chain) + 1).quorum:
                self.on_greeted(None)

    def on_greeted(self, _arg: object) -> None:
        """Enough peers answered, or none will: the first height starts."""
        if self.greeting:
            self.greeting = False
            self.start_height()

    def on_connected(self, other: Process) -> None:
        """A connection is up: each side tells the other how far it is."""
        self.give(on.PeerConnected(other.key))
        if len(other.chain) > len(self.chain) and self.alive:
            self.cluster.to_process(self, other, executing.on_asked_decided, (self, len(self.chain) + 1))

    def on_timer(self, effect: do.SetTimer) -> None:
        """The timer fired, unless it was replaced or cancelled."""
        if self.timers.get(effect.kind) is effect:
            del self.timers[effect.kind]
            self.give(on.TimerFired(effect.kind, effect.height, effect.round))

    def on_work(self, _arg: object) -> None:
        """Transactions arrived."""
        if self.state.current is not None:
            now = self.cluster.now + self.offset_ms
            self.give(on.PackageReady() if self.cluster.random() < 0.3 else on.WorkAvailable(now))

    def decide(self, block: VerifiedBlock, certificate: CommitCertificate) -> None:
        """Commits a block, decided here or elsewhere."""
        self.cluster.oracle.decided(self, block, certificate)
        self.chain.append(Decided(block.block, certificate, block.id))
        self.fetching.clear()
        if not self.greeting:
            self.start_height()


def table(kind: type[Process]) -> dict[type[Any], Callable[[Any, Any], None]]:
    """Which method performs which effect."""
    return {
        do.Persist: kind._persist,
        do.Broadcast: kind._broadcast,
        do.SendTo: kind._send_to,
        do.ReturnLatest: kind._return_latest,
        do.SetTimer: kind._set_timer,
        do.CancelTimer: kind._cancel_timer,
        do.BuildBlock: kind._build,
        do.CheckBlock: kind._check,
        do.FetchBlock: kind._fetch,
        do.CommitBlock: kind._commit,
        do.SendDecided: kind._send_decided,
        do.ReportEvidence: kind._evidence,
        do.RefuseBlock: kind._refuse_block,
        do.ReportSigningRefused: kind._refused_signing,
        do.EnterObserve: kind._enter_observe,
        do.LeaveObserve: kind._leave_observe,
        do.Halt: kind._halt,
    }


Process.performs = table(Process)
