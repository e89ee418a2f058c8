"""One validator under test; the test plays its driver and all the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from consensus import effects as do
from consensus import inputs as event
from consensus.effects import Effect
from consensus.machine import step
from consensus.messages import Message
from consensus.records import SignerRecord
from consensus.state import Observing, State, restore
from consensus.timing import Parameters
from consensus.verify import verify_block
from ledger.block import Block
from tests.consensus.making import (
    CHAIN,
    EPOCH,
    GENESIS,
    WALL,
    block,
    commit,
    key,
    name,
    prepare,
    proposal,
    signer,
    validators,
    verified,
)

E = TypeVar("E")


class Validator:
    """Validator ``me`` of ``count``; height h, round r has proposer (h − 1 + r) mod count. Time starts at 0."""

    def __init__(
        self,
        me: int = 3,
        count: int = 4,
        *,
        records: Iterable[SignerRecord] = (),
        observing: Observing | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        self.me, self.count, self.now = me, count, 0
        self.parameters = Parameters() if parameters is None else parameters
        self.state: State = restore(records, CHAIN, key(me), signer(key(me)), self.parameters, observing=observing)
        self.all: list[Effect] = []

    def give(self, what: event.Input, *, at: int | None = None) -> list[Effect]:
        self.now = self.now if at is None else at
        effects = list(step(self.state, what, self.now))
        self.all += effects
        return effects

    def start(self, height: int = 1, *, parent: bytes = GENESIS, work: int | None = 0, **more) -> list[Effect]:
        started = event.HeightStarted(height, EPOCH, validators(self.count), parent, WALL, work, **more)
        return self.give(started)

    def hear(self, *messages: Message, wall: int = WALL) -> list[Effect]:
        effects: list[Effect] = []
        for message in messages:
            effects += self.give(event.MessageReceived(verified(message, self.count), wall))
        return effects

    def checked(self, of: Block, *, ok: bool = True) -> list[Effect]:
        return self.give(event.BlockChecked(of.header.height, name(of), ok, "" if ok else "roots"))

    def built(self, of: Block | None, round_: int = 0, height: int = 1) -> list[Effect]:
        return self.give(event.BlockBuilt(height, round_, of))

    def fetched(self, of: Block) -> list[Effect]:
        return self.give(event.BlockFetched(of.header.height, verify_block(of)))

    def fire(self, kind: event.TimerKind = event.TimerKind.ROUND) -> list[Effect]:
        """The timer of that kind, at its time."""
        height, round_, at = self.state.timers[kind]
        return self.give(event.TimerFired(kind, height, round_), at=max(at, self.now))

    def timer(self, kind: event.TimerKind = event.TimerKind.ROUND) -> int | None:
        """When the timer fires, or None when it is not set."""
        return self.state.timers[kind][2] if kind in self.state.timers else None

    def records(self) -> list[SignerRecord]:
        """What a crash now would leave."""
        return [effect.record for effect in self.all if isinstance(effect, do.Persist)]

    def make(self, **more) -> Block:
        return block(validator_set=validators(self.count), **more)

    def lock(self, of: Block | None = None, round_: int = 0) -> Block:
        """Takes the validator through a proposal of round 0 to its own COMMIT, short of the decision."""
        made = self.make() if of is None else of
        self.hear(proposal(0, made))
        self.checked(made)
        others = [i for i in range(self.count) if i != self.me]
        quorum = self.state.current.validators.quorum
        self.hear(*[prepare(i, name(made)) for i in others[: quorum - 1]])
        assert self.state.current.prepared is not None
        return made


def of(kind: type[E], effects: Iterable[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: Iterable[Effect]) -> list[Message]:
    """Messages broadcast for the first time."""
    return [effect.message for effect in of(do.Broadcast, effects) if not effect.repeat]


def kinds(effects: Iterable[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def decide_all(validator: Validator, made: Block, round_: int = 0) -> list[Effect]:
    """COMMITs of everybody else."""
    return validator.hear(*[commit(i, name(made), round_=round_) for i in range(validator.count) if i != validator.me])
