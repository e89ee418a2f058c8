"""The real core as a validator that hears and says the specification's messages.

Everything goes the way of a running node: messages are signed, verified by ``consensus.verify`` (what that refuses has
not been heard), and handed to ``consensus.machine.step``; what the core says is read back.
"""

from __future__ import annotations

import hashlib
from functools import cache

from consensus import effects as do
from consensus import inputs as event
from consensus import messages as wire
from consensus.machine import step
from consensus.records import SignerRecord
from consensus.state import State, restore
from consensus.timing import Parameters
from consensus.verified import VerifiedBlock, VerifiedMessage
from consensus.verify import verify_block, verify_message
from ledger import block as ledger_block
from ledger.certificate import VoteKind, vote_digest
from ledger.errors import TidegateError
from ledger.types import Hash32
from ledger.validators import ValidatorSet
from tests.consensus.making import CHAIN, EPOCH, GENESIS, WALL, block, key, signer, validators, verify
from tests.spec.justification import Block, Commit, Decide, Halt, Message, Prepare, Proposal, RoundChange
from tests.spec.notation import block as block_of
from tests.spec.qbft import Built, Event, Executed, Fetched, Heard, Restarted, Sent, TimerExpired

LATE_MS = 10_000_000
_names: dict[bytes, str] = {}


@cache
def members(n: int) -> ValidatorSet:
    return validators(n)


@cache
def made(of: Block, n: int, height: int) -> VerifiedBlock:
    """A real block for one of the specification's."""
    real = block(
        height,
        proposer=of.proposer,
        parent=GENESIS if of.fits else Hash32(b"\x0d" * 32),
        time_ms=WALL + (1 if of.timely else LATE_MS),
        validator_set=members(n),
        receipts=hashlib.sha256(of.name.encode()).digest(),
    )
    verified = verify_block(real)
    _names[verified.id] = of.name
    return verified


def block_id(value: str, n: int, height: int) -> Hash32:
    return made(block_of(value), n, height).id


def _sign(by: int, signed: bytes) -> bytes:
    return signer(key(by))(signed)


@cache
def vote(m: Prepare | Commit, n: int) -> wire.Prepare | wire.Commit:
    kind, form = (VoteKind.PREPARE, wire.Prepare) if isinstance(m, Prepare) else (VoteKind.COMMIT, wire.Commit)
    name = block_id(m.value, n, m.height)
    signed = vote_digest(CHAIN, 0, kind, m.height, m.round, name)
    return form(m.height, m.round, 0, key(m.signer), _sign(m.signer, signed), name)


def seals(prepares: tuple[Prepare, ...], n: int) -> wire.Seals:
    return tuple((key(m.signer), vote(m, n).signature) for m in prepares)


def _round_change_signature(m: RoundChange, n: int) -> bytes:
    name = None if m.pv is None else block_id(m.pv, n, m.height)
    signed = wire.round_change_digest(CHAIN, 0, m.height, m.round, prepared_round=m.pr, prepared_id=name)
    return _sign(m.signer, signed)


def justification(m: Proposal, n: int) -> wire.Justification:
    """What travels with the proposal, correctly signed by all whom it names, for the round that each of them means."""
    changes = tuple(
        wire.RoundChangeVote(
            key(rc.signer),
            _round_change_signature(rc, n),
            rc.pr,
            None if rc.pv is None else block_id(rc.pv, n, rc.height),
        )
        for rc in m.round_changes
    )
    return wire.Justification(changes, seals(m.prepares, n))


def real_message(m: Message, n: int) -> wire.Message:
    if isinstance(m, Prepare | Commit):
        return vote(m, n)
    if isinstance(m, RoundChange):
        proof = None
        if m.pr is not None and m.pv is not None:
            proof = wire.PreparedCertificate(m.pr, block_id(m.pv, n, m.height), seals(m.prepares, n))
        return wire.RoundChange(m.height, m.round, 0, key(m.signer), _round_change_signature(m, n), proof)
    real = made(m.block, n, m.height)
    why = justification(m, n)
    signed = wire.proposal_digest(CHAIN, 0, m.height, m.round, real.id, justification=why)
    return wire.Proposal(m.height, m.round, 0, key(m.signer), _sign(m.signer, signed), real.block, why)


@cache
def received(m: Message, n: int) -> VerifiedMessage | None:
    """The message as ``consensus.verify`` lets it through, or None when it does not."""
    try:
        return verify_message(real_message(m, n), CHAIN, EPOCH, members(n), verify)
    except TidegateError:
        return None


def _index(public: bytes, n: int) -> int:
    place = members(n).index(public)
    assert place is not None
    return place


def _prepares(height: int, round_: int, name: bytes, by: wire.Seals, n: int) -> tuple[Prepare, ...]:
    return tuple(Prepare(height, round_, _names[name], _index(public, n)) for public, _ in by)


def read_back(m: wire.Message, n: int) -> Message:
    """What the core said, in the specification's words."""
    by = _index(m.signer, n)
    match m:
        case wire.Prepare():
            return Prepare(m.height, m.round, _names[m.block_id], by)
        case wire.Commit():
            return Commit(m.height, m.round, _names[m.block_id], by)
        case wire.RoundChange(prepared=None):
            return RoundChange(m.height, m.round, None, None, by)
        case wire.RoundChange(prepared=proof):
            assert proof is not None
            prepares = _prepares(m.height, proof.round, proof.block_id, proof.prepares, n)
            return RoundChange(m.height, m.round, proof.round, _names[proof.block_id], by, prepares)
        case wire.Proposal(justification=why):
            changes = tuple(
                RoundChange(
                    m.height,
                    m.round,
                    rc.prepared_round,
                    None if rc.prepared_id is None else _names[rc.prepared_id],
                    _index(rc.signer, n),
                )
                for rc in why.round_changes
            )
            name = ledger_block.block_id(m.block.header)
            highest = max((rc.pr for rc in changes if rc.pr is not None), default=0)
            prepares = _prepares(m.height, highest, name, why.prepares, n)
            return Proposal(m.height, m.round, block_of(_names[name]), by, changes, prepares)


class CoreTeller:
    """Validator ``me`` of ``n`` at ``height``, played by the core; the caller is network, disk and clock."""

    def __init__(self, n: int, me: int, height: int = 1) -> None:
        self.n, self.me, self.height = n, me, height
        self.now = 0
        self.records: list[SignerRecord] = []
        self.asked: set[tuple[str, str]] = set()
        self.repeated: set[Message] = set()
        self.state: State

    def begin(self) -> Sent:
        """The height begins, with something to put into a block; after a restart, with what was made durable."""
        self.state = restore(self.records, CHAIN, key(self.me), signer(key(self.me)), Parameters())
        self.asked.clear()
        return self._give(event.HeightStarted(self.height, EPOCH, members(self.n), GENESIS, WALL, 0))

    def take(self, happened: Event) -> Sent:
        match happened:
            case Heard(message):
                real = received(message, self.n)
                return () if real is None else self._give(event.MessageReceived(real, WALL))
            case TimerExpired():
                return self._fire(event.TimerKind.ROUND)
            case Built(round_, block_):
                self.asked.discard(("build", str(round_)))
                real_block = made(block_, self.n, self.height).block
                return self._give(event.BlockBuilt(self.height, round_, real_block))
            case Executed(value, good):
                self.asked.discard(("execute", value))
                name = block_id(value, self.n, self.height)
                return self._give(event.BlockChecked(self.height, name, good, "" if good else "roots"))
            case Fetched(block_):
                self.asked.discard(("fetch", block_.name))
                return self._give(event.BlockFetched(self.height, made(block_, self.n, self.height)))
            case Restarted():
                return self.begin()

    def wants(self) -> frozenset[tuple[str, str]]:
        """All that was asked for and not yet answered, even when it is of no use any more."""
        return frozenset(self.asked)

    def timer_runs(self) -> bool:
        return event.TimerKind.ROUND in self.state.timers

    def said_again(self) -> frozenset[Message]:
        """What the next second's rebroadcast says; everything that it says, it has said before."""
        assert self.state.current is not None
        self.now = max(self.now, self.state.current.last_sent_ms + self.state.parameters.rebroadcast_ms)
        self.repeated.clear()
        assert self._fire(event.TimerKind.REBROADCAST) == ()
        return frozenset(self.repeated)

    def _fire(self, kind: event.TimerKind) -> Sent:
        armed = self.state.timers.get(kind)
        if armed is None:
            return ()
        height, round_, at_ms = armed
        self.now = max(self.now, at_ms)
        return self._give(event.TimerFired(kind, height, round_))

    def _give(self, what: event.Input) -> Sent:
        said: list[Message | Decide | Halt] = []
        for effect in step(self.state, what, self.now):
            match effect:
                case do.Persist(record=record):
                    self.records.append(record)
                case do.Broadcast(message=message, repeat=False):
                    said.append(read_back(message, self.n))
                case do.Broadcast(message=message):
                    self.repeated.add(read_back(message, self.n))
                case do.BuildBlock(round=round_):
                    self.asked.add(("build", str(round_)))
                case do.CheckBlock(block=block_):
                    self.asked.add(("execute", _names[block_.id]))
                case do.FetchBlock(block_id=name):
                    self.asked.add(("fetch", _names[name]))
                case do.Halt(block_id=name):
                    said.append(Halt(self.height, _names[name]))
                case do.CommitBlock(certificate=seal):
                    by = tuple(_index(public, self.n) for public, _ in seal.seals)
                    said.append(Decide(seal.height, seal.round, _names[seal.block_id], by))
        return tuple(said)
