"""One validator process of a scenario: the real core and the real signer log, and what the driver does between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from consensus import effects as do
from consensus import inputs as event
from consensus.effects import Effect
from consensus.machine import step
from consensus.messages import Commit, Message, decode_message, encode_message
from consensus.records import PreparedBlock, record_codec
from consensus.state import State, restore
from consensus.verify import authenticate, verify_block, verify_message
from ledger.block import Block, Header, block_id
from ledger.certificate import CommitCertificate, verify_certificate
from ledger.errors import InvalidInput
from ledger.keys import verify
from ledger.types import Height
from node.signer_log import FILE_NAME, SignerLog
from node.signer_state import open_signer_log, recover
from tests.scenarios.language import ScenarioError

if TYPE_CHECKING:
    from node.chain import Chain
    from tests.scenarios.stage import Stage

WALL = 1_700_000_000_000
"""Unix time at the start of every scenario."""


class StoredChain:
    """What ``node.signer_state`` asks of a chain: how far it is, and who sealed it."""

    def __init__(self, player: Player) -> None:
        self.blocks = player.chain
        self.seats_at = player.stage.seats_at
        self.tip = SimpleNamespace(height=len(self.blocks))
        self.validators = self.seats_at(len(self.blocks) + 1).validators
        self.store = self
        self.base_height = 0

    def was_validator(self, key: bytes) -> bool:
        return any(key in self.seats_at(height).validators for height in range(1, len(self.blocks) + 1))

    def certificate(self, height: int) -> CommitCertificate:
        return self.blocks[height - 1][1]

    def header(self, height: int) -> Header:
        return self.blocks[height - 1][0].header


class Player:
    """A validator process; ``stage`` has the post, the clock and the names."""

    def __init__(self, stage: Stage, name: str, home: Path, *, faulty: bool) -> None:
        self.stage = stage
        self.name = name
        self.home = home
        self.home.mkdir(parents=True)
        self.faulty = faulty
        self.chain: list[tuple[Block, CommitCertificate]] = []
        self.alive = False
        self.state: State
        self.log: SignerLog | None = None
        self.holds_checks = False
        self.clock_ahead_ms = 0
        self.crash_when: Callable[[Effect], bool] = lambda _effect: False
        self.waiting: list[event.Input] = []
        self.ordered: list[Effect] = []
        """Every effect of every life, performed or not reached because of a crash excepted."""
        self.rejected: list[str] = []
        """Codes of received messages that did not pass ``verify_message``."""

    @property
    def key(self):
        return self.stage.key_of(self.name).public

    @property
    def log_path(self) -> Path:
        return self.home / FILE_NAME

    def start(self, hears: list[Player] | None = None) -> None:
        """As ``node.core``: the log decides whether we sign; peers return our latest message before any height."""
        assert not self.alive, f"{self.name} runs already"
        self.log, data = open_signer_log(self.home)
        records = recover(cast("Chain", StoredChain(self)), self.key, self.log, data)
        sign = self.stage.key_of(self.name).sign
        self.state = restore(records, self.stage.chain_id, self.key, sign, self.stage.parameters)
        self.alive = True
        self.crash_when = lambda _effect: False
        for peer in hears or []:
            latest = peer.state.latest.get(self.key)
            if latest is not None:
                self.give(event.LatestOwnMessage(authenticate(latest, self.stage.chain_id, verify)))
        self.start_height()

    def crash(self) -> None:
        self.alive = False
        if self.log is not None:
            self.log.close()

    def start_height(self) -> None:
        height = Height(len(self.chain) + 1)
        seats = self.stage.seats_at(height)
        parent, time_ms = self.stage.parent_of(self.chain)
        since = None if self.stage.idle else self.stage.now
        self.give(event.HeightStarted(height, seats.epoch, seats.validators, parent, time_ms, since))

    def give(self, what: event.Input) -> None:
        """One step and its effects; what these lead to at once waits until they are all performed."""
        self.waiting.append(what)
        if len(self.waiting) > 1:
            return
        while self.waiting and self.alive:
            for effect in step(self.state, self.waiting[0], self.stage.now):
                if self.crash_when(effect):
                    self.crash()
                    break
                self.perform(effect)
            del self.waiting[0]
        self.waiting.clear()

    def perform(self, effect: Effect) -> None:
        self.ordered.append(effect)
        if not isinstance(effect, do.Persist) and self.log is not None and not self.log.is_synced:
            self.log.sync()
        match effect:
            case do.Persist(record=record):
                if self.log is None:
                    raise ScenarioError(f"{self.name} signs without a signer log")
                self.log.append([record_codec.encode(record)])
            case do.Broadcast(message=message):
                self.check_said(message)
                self.stage.post.append((self, message))
            case do.ReportEvidence():
                self.stage.check_evidence(effect)
            case do.CheckBlock() if not self.holds_checks:
                self.answer_check(effect.block.id)
            case do.CommitBlock():
                self.decide(effect.block.block, effect.certificate)
            case _:
                pass

    def check_said(self, message: Message) -> None:
        if self.faulty:
            return
        self.stage.check_no_equivocation(message)
        if isinstance(message, Commit):
            data = self.log_path.read_bytes()
            locks = [one.record for one in self.ordered if isinstance(one, do.Persist)]
            wanted = (message.height, message.round, message.block_id)
            if not any(
                isinstance(lock, PreparedBlock)
                and (lock.height, lock.certificate.round, lock.certificate.block_id) == wanted
                and record_codec.encode(lock) in data
                for lock in locks
            ):
                raise ScenarioError(f"{self.name} sends a COMMIT without a durable certificate")

    def answer_check(self, block_id_: bytes) -> None:
        name = self.stage.name_of(block_id_)
        ok = self.name not in self.stage.bad_for.get(name, ())
        height = len(self.chain) + 1
        self.give(event.BlockChecked(Height(height), block_id_, ok, "" if ok else "receipts_differ"))

    def decide(self, made: Block, certificate: CommitCertificate) -> None:
        seats = self.stage.seats_at(certificate.height)
        verify_certificate(certificate, self.stage.chain_id, seats.validators, verify)
        if certificate.epoch != seats.epoch.number or certificate.block_id != block_id(made.header):
            raise ScenarioError(f"{self.name} stores a certificate of something else")
        self.chain.append((made, certificate))
        if not self.faulty:
            self.stage.check_agreement(self.name, certificate)
        self.start_height()

    def receive(self, message: Message) -> None:
        """As ``node.votes``: decode, verify with the set of the message's height, hand in."""
        if not self.alive:
            return
        message = decode_message(encode_message(message))
        current = self.state.current
        assert current is not None
        stage = self.stage
        if message.height > current.height + 1:
            return
        try:
            if message.height < current.height:
                self.give(event.StragglerHeard(authenticate(message, stage.chain_id, verify)))
                return
            seats = stage.seats_at(message.height)
            checked = verify_message(message, stage.chain_id, seats.epoch, seats.validators, verify)
        except InvalidInput as error:
            self.rejected.append(error.code)
            return
        self.give(event.MessageReceived(checked, WALL + stage.now + self.clock_ahead_ms))

    def body(self, wanted: bytes) -> Block | None:
        """A body that this player can serve."""
        current = self.state.current
        found = None if current is None else current.blocks.get(wanted)
        stored = next((made for made, certificate in self.chain if certificate.block_id == wanted), None)
        return found.block if found is not None else stored

    def fetched(self, made: Block) -> None:
        self.give(event.BlockFetched(Height(made.header.height), verify_block(made)))

    def last(self, kind: type[Effect]) -> Effect | None:
        """The last effect of that kind."""
        return next((one for one in reversed(self.ordered) if isinstance(one, kind)), None)

    def fire(self, kind: event.TimerKind, round_: int | None = None) -> None:
        """The armed timer of ``kind``, at its time or now when that is past."""
        armed = self.state.timers.get(kind)
        if armed is None or (round_ is not None and armed[1] != round_):
            raise ScenarioError(f"{self.name} has no such timer: {kind.name} is {armed}")
        self.stage.now = max(self.stage.now, armed[2])
        self.give(event.TimerFired(kind, armed[0], armed[1]))
