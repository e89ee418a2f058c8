"""All that the state machine remembers, and how it is rebuilt after a restart.

``HeightState`` lives for one height; ``State`` for the process. Only ``consensus.machine.step`` changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

import msgspec

from consensus.effects import EvidenceKind, ObserveReason
from consensus.epoch import Epoch, proposer
from consensus.future import EarlyMessages
from consensus.guard import DoubleSignRefusedError, Guard
from consensus.inputs import TimerKind
from consensus.messages import (
    Commit,
    Justification,
    Message,
    Prepare,
    PreparedCertificate,
    decode_message,
)
from consensus.records import Forgotten, LockedBody, PreparedBlock, SignedVote, SignerRecord
from consensus.tally import RoundChangeTally, SeenRounds, VoteTally
from consensus.timing import Parameters
from consensus.verified import VerifiedBlock, VerifiedProposal
from ledger.block import block_id
from ledger.certificate import CommitCertificate, VoteKind
from ledger.errors import InvalidInput, StorageFault
from ledger.types import Hash32, Height, PublicKey, Round
from ledger.validators import ValidatorSet

MAX_KEPT_BLOCKS: Final = 4
"""Block bodies of a height kept besides the prepared, the proposed and the decided one."""
MAX_CHECKS: Final = 64
"""Results of block checks of a height that are remembered."""


class Check(Enum):
    """What we know of a block's execution."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"


class Observing(msgspec.Struct, frozen=True, gc=False):
    """We follow without signing.

    Attributes:
        reason: why.
        through_height: last height at which we do not sign; None: until ``ObserveThrough`` tells.
        at_least: what ``through_height`` will be at least, from messages of ours that came back meanwhile.
    """

    reason: ObserveReason
    through_height: Height | None = None
    at_least: Height = Height(0)


class Restored(msgspec.Struct, frozen=True, gc=False):
    """What the signer log says of the height that was being decided when the process ended."""

    height: Height
    round: Round
    prepared: PreparedBlock | None
    votes: tuple[SignedVote, ...]


class HeightState:
    """One height being decided."""

    __slots__ = (
        "accused",
        "asked_to_build",
        "blocks",
        "checks",
        "commits",
        "committed",
        "decided",
        "epoch",
        "height",
        "idle_at_ms",
        "justification",
        "last_sent_ms",
        "own",
        "package_ready_ms",
        "parent_id",
        "parent_time_ms",
        "prepared",
        "prepares",
        "proposal",
        "refused",
        "round",
        "round_changes",
        "seen",
        "started_ms",
        "validators",
        "validators_hash",
        "wanted",
        "work_since_ms",
    )

    def __init__(
        self,
        height: Height,
        epoch: Epoch,
        validators: ValidatorSet,
        *,
        validators_hash: Hash32,
        parent_id: Hash32,
        parent_time_ms: int,
        now_ms: int,
        empty_block_ms: int,
    ) -> None:
        self.height = height
        self.epoch = epoch
        self.validators = validators
        self.validators_hash = validators_hash
        self.parent_id = parent_id
        self.parent_time_ms = parent_time_ms
        self.started_ms = now_ms
        self.idle_at_ms = now_ms + empty_block_ms
        self.work_since_ms: int | None = None
        self.package_ready_ms: int | None = None

        self.round = Round(0)
        self.proposal: VerifiedProposal | None = None
        """First proposal of the current round, good or not."""
        self.refused = False
        """That proposal will not be prepared."""
        self.asked_to_build = False
        self.justification: Justification | None = None
        """Of our own proposal in the current round, once its quorum of round changes is there."""
        self.wanted: PreparedCertificate | None = None
        """What we have to propose again, but whose body we lack."""

        self.prepared: PreparedBlock | None = None
        self.prepares: VoteTally[Prepare] = VoteTally()
        self.commits: VoteTally[Commit] = VoteTally()
        self.round_changes = RoundChangeTally()
        self.seen = SeenRounds()
        self.blocks: dict[bytes, VerifiedBlock] = {}
        self.checks: dict[bytes, Check] = {}

        self.accused: set[tuple[bytes, EvidenceKind, VoteKind]] = set()
        """Whose faults were reported."""
        self.own: dict[VoteKind, Message] = {}
        """Our latest message of each kind."""
        self.last_sent_ms = now_ms
        self.decided: CommitCertificate | None = None
        """A quorum of COMMITs exists; the block may still be missing or unchecked."""
        self.committed = False
        """``CommitBlock`` was ordered: nothing is left to do until the next height starts."""

    def proposer(self, round_: Round | None = None) -> PublicKey:
        """Who proposes in ``round_``, by default in the current round."""
        return proposer(self.epoch, self.validators, self.height, self.round if round_ is None else round_)

    def keep_block(self, block: VerifiedBlock) -> None:
        """Remembers a body; forgets the oldest that neither the proposal, our lock nor the decision names."""
        self.blocks[block.id] = block
        if len(self.blocks) > MAX_KEPT_BLOCKS:
            needed = {
                block.id,
                None if self.proposal is None else self.proposal.block.id,
                None if self.prepared is None else self.prepared.certificate.block_id,
                None if self.decided is None else self.decided.block_id,
            }
            oldest = next((name for name in self.blocks if name not in needed), None)
            if oldest is not None:
                del self.blocks[oldest]

    def note_check(self, block_id: bytes, check: Check) -> None:
        """Remembers what we know of a block's execution, of the newest ``MAX_CHECKS`` blocks."""
        self.checks[block_id] = check
        if len(self.checks) > MAX_CHECKS:
            del self.checks[next(iter(self.checks))]


class State:
    """The state machine of one validator, or of an observer.

    Args:
        chain_id: 32 bytes.
        key: our validator key, or None for a node that never signs.
        sign: makes a signature over 32 bytes; deterministic (Ed25519).
        parameters: durations.
        guard: what was signed before.
        restored: what the signer log says of its last height.
        observing: when not None, start without signing.
        forgotten: how far our log cannot tell what we signed; None: nothing says so.
    """

    __slots__ = (
        "chain_id",
        "current",
        "early",
        "forgotten",
        "guard",
        "halted",
        "heard",
        "key",
        "latest",
        "observing",
        "parameters",
        "restored",
        "sign",
        "stale",
        "timers",
    )

    def __init__(
        self,
        chain_id: bytes,
        key: PublicKey | None,
        sign: Callable[[bytes], bytes],
        parameters: Parameters,
        *,
        guard: Guard | None = None,
        restored: Restored | None = None,
        observing: Observing | None = None,
        forgotten: Forgotten | None = None,
    ) -> None:
        self.chain_id = chain_id
        self.key = key
        self.sign = sign
        self.parameters = parameters
        self.guard = Guard() if guard is None else guard
        self.restored = restored
        self.observing = observing
        self.forgotten = forgotten
        self.current: HeightState | None = None
        self.early = EarlyMessages()
        """Of the height after the current one."""
        self.timers: dict[TimerKind, tuple[Height, Round, int]] = {}
        """The timers that are set: (height, round, at)."""
        self.heard: dict[PublicKey, int] = {}
        """When each validator of the current set was last heard."""
        self.latest: dict[PublicKey, Message] = {}
        """The latest vote or round change of each validator of the current set, at any height."""
        self.stale: dict[PublicKey, tuple[int, int, int]] = {}
        """Stragglers: (height they are at, first heard there, last answered)."""
        self.halted = False

    @property
    def can_sign(self) -> bool:
        """Whether we vote at the current height."""
        current = self.current
        return (
            current is not None and self.observing is None and self.key is not None and self.key in current.validators
        )


def restore(
    records: Iterable[SignerRecord],
    chain_id: bytes,
    key: PublicKey | None,
    sign: Callable[[bytes], bytes],
    parameters: Parameters,
    *,
    observing: Observing | None = None,
) -> State:
    """The state after a restart. ``HeightStarted`` must follow before anything else but ``LatestOwnMessage``.

    Args:
        records: every record of the signer log, oldest first; none for a node that has never signed.
        chain_id: 32 bytes.
        key: our validator key, or None for an observer.
        sign: as for ``State``.
        parameters: durations.
        observing: ``Observing(SIGNER_STATE_LOST)`` when the log is missing, foreign or damaged.

    Raises:
        StorageFault: the records contradict each other, or one does not decode.
    """
    votes: list[SignedVote] = []
    prepared: PreparedBlock | None = None
    forgotten: Forgotten | None = None
    for record in records:
        if isinstance(record, SignedVote):
            votes.append(record)
        elif isinstance(record, Forgotten):
            forgotten = record
        elif isinstance(record, LockedBody):
            continue  # For whoever executes the block.
        elif prepared is None or _prepared_place(prepared) <= _prepared_place(record):
            prepared = record
    try:
        guard = Guard(votes)
        for vote in votes:
            if vote.message:
                decode_message(vote.message)
    except (InvalidInput, DoubleSignRefusedError) as error:
        raise StorageFault(
            "the votes in the signer log do not decode, or contradict each other", code="signer_log_damaged"
        ) from error
    if observing is None and forgotten is not None and forgotten.through_height != 0:
        through = forgotten.through_height
        observing = Observing(ObserveReason.SIGNER_STATE_LOST, None if through is None else Height(through))
    restored = _last_height(votes, prepared)
    return State(
        chain_id, key, sign, parameters, guard=guard, restored=restored, observing=observing, forgotten=forgotten
    )


def _prepared_place(prepared: PreparedBlock) -> tuple[int, int]:
    return prepared.height, prepared.certificate.round


def _last_height(votes: list[SignedVote], prepared: PreparedBlock | None) -> Restored | None:
    places = [(vote.height, vote.round) for vote in votes]
    if prepared is not None:
        if block_id(prepared.block.header) != prepared.certificate.block_id:
            raise StorageFault(
                "the prepared block in the signer log is not the one of its certificate", code="signer_log_damaged"
            )
        places.append(_prepared_place(prepared))
    if not places:
        return None
    height, round_ = max(places)
    return Restored(
        Height(height),
        Round(round_),
        prepared if prepared is not None and prepared.height == height else None,
        tuple(vote for vote in votes if vote.height == height),
    )


def live_records(state: State) -> list[SignerRecord]:
    """What a compacted signer log has to hold: the guard's votes and our lock. Independent of the chain's length."""
    records: list[SignerRecord] = [] if state.forgotten is None else [state.forgotten]
    records += state.guard.records()
    if state.current is not None and state.current.prepared is not None:
        records.append(state.current.prepared)
    elif state.restored is not None and state.restored.prepared is not None:
        records.append(state.restored.prepared)
    return records
