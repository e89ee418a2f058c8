"""The start of a height: a clean sheet, what was saved across a restart, and what arrived early."""

from __future__ import annotations

from consensus.deciding import on_commit
from consensus.effects import Broadcast, EnterObserve, LeaveObserve, ObserveReason, Persist
from consensus.epoch import proposer
from consensus.inputs import HeightStarted, TimerKind
from consensus.liveness import arm_first_round_timer, arm_round_timer
from consensus.messages import Commit, Message, Prepare, RoundChange, decode_message
from consensus.proposing import propose_again, propose_first
from consensus.records import Forgotten
from consensus.rounds import on_round_change
from consensus.state import HeightState, Observing, Restored
from consensus.turn import Turn
from consensus.verified import VerifiedBlock
from consensus.voting import on_prepare, say_commit
from ledger.certificate import VoteKind
from ledger.errors import LocalMisuse
from ledger.types import Hash32, Height, Round

_SAID_AGAIN = (VoteKind.ROUND_CHANGE, VoteKind.PROPOSAL, VoteKind.PREPARE, VoteKind.COMMIT)


def start_height(turn: Turn, started: HeightStarted) -> None:
    """Begins to decide a height, in round 0 or where a restart interrupted us. Early messages are the caller's.

    Raises:
        LocalMisuse: the height does not lie above the last one started, or lies before its epoch.
    """
    state = turn.state
    before = state.current
    if before is not None and started.height <= before.height:
        raise LocalMisuse(f"height {started.height} was started after {before.height}", height=started.height)
    proposer(started.epoch, started.validators, started.height, Round(0))  # raises before anything has changed
    if started.parameters is not None:
        state.parameters = started.parameters
    same_set = before is not None and before.validators == started.validators
    current = HeightState(
        started.height,
        started.epoch,
        started.validators,
        validators_hash=before.validators_hash
        if same_set and before is not None
        else started.validators.hash(state.chain_id),
        parent_id=started.parent_id,
        parent_time_ms=started.parent_time_ms,
        now_ms=turn.now_ms,
        empty_block_ms=state.parameters.empty_block_ms,
    )
    current.work_since_ms = started.work_since_ms
    current.package_ready_ms = turn.now_ms if started.package_ready else None
    state.current = current
    if not same_set:
        _follow_set(turn)
    state.guard.prune(started.height)
    turn.cancel_timer(TimerKind.ROUND)
    turn.cancel_timer(TimerKind.PROPOSE)
    if TimerKind.REBROADCAST not in state.timers:
        turn.set_timer(TimerKind.REBROADCAST, current.round, turn.now_ms + state.parameters.rebroadcast_ms)
    _update_observing(turn, is_first=before is None)
    restored, state.restored = state.restored, None
    if restored is not None and restored.height == started.height:
        _resume(turn, restored)
    elif restored is not None and restored.height > started.height:
        state.restored = restored
    arm_first_round_timer(turn)
    propose_first(turn)


def observe(turn: Turn, reason: ObserveReason, through_height: Height) -> None:
    """Stops signing through ``through_height``, or for longer if that was so already."""
    state = turn.state
    if state.observing is not None:
        known = state.observing.through_height
        if known is None:
            at_least = max(state.observing.at_least, through_height)
            state.observing = Observing(state.observing.reason, None, Height(at_least))
            return
        if known >= through_height:
            return
    state.observing = Observing(reason, through_height)
    if reason is ObserveReason.SIGNER_STATE_ROLLED_BACK:
        # Whoever told us may be gone after a restart.
        state.forgotten = Forgotten(through_height)
        turn.order(Persist(state.forgotten))
    turn.order(EnterObserve(reason, through_height))
    turn.cancel_timer(TimerKind.ROUND)
    turn.cancel_timer(TimerKind.PROPOSE)


def observe_through(turn: Turn, height: Height) -> None:
    """Signer state that is lost ends to matter above ``height``, or above a message of ours that came back."""
    state = turn.state
    if state.observing is None or state.observing.through_height is not None:
        return
    through = Height(max(height, state.observing.at_least))
    state.observing = Observing(state.observing.reason, through)
    state.forgotten = Forgotten(through)
    turn.order(Persist(state.forgotten))
    if state.current is not None:
        turn.order(EnterObserve(state.observing.reason, through))


def own_messages(turn: Turn) -> list[Message]:
    """What we last said and what still counts: the messages of the current round, and our latest COMMIT."""
    current = turn.current
    said = [current.own[kind] for kind in _SAID_AGAIN if kind in current.own]
    return [message for message in said if message.round == current.round or isinstance(message, Commit)]


def say_again(turn: Turn) -> None:
    """Broadcasts what we last said, for those who missed it."""
    if turn.state.can_sign and not turn.current.committed:
        turn.current.last_sent_ms = turn.now_ms
        for message in own_messages(turn):
            turn.order(Broadcast(message, repeat=True))


def _follow_set(turn: Turn) -> None:
    """What is kept by validator is kept for the current set only. A new member counts as just heard."""
    state, validators = turn.state, turn.current.validators
    state.heard = {key: state.heard.get(key, turn.now_ms) for key in validators.keys}
    state.latest = {key: message for key, message in state.latest.items() if key in validators}
    state.stale = {key: entry for key, entry in state.stale.items() if key in validators}


def _update_observing(turn: Turn, *, is_first: bool) -> None:
    state, height = turn.state, turn.current.height
    restored, observing = state.restored, state.observing
    if observing is not None:
        if observing.through_height is not None and height > observing.through_height:
            state.observing = None
            turn.order(LeaveObserve(height))
        elif is_first:
            turn.order(EnterObserve(observing.reason, observing.through_height))
    if restored is not None and restored.height > height:
        observe(turn, ObserveReason.STORE_BEHIND_SIGNER, Height(restored.height - 1))


def _resume(turn: Turn, restored: Restored) -> None:
    """Goes on where the signer log ends: round, lock and body, own votes. The timer is armed at once (DESIGN.md 3)."""
    current = turn.current
    current.round = restored.round
    current.prepared = restored.prepared
    if restored.prepared is not None:
        name = Hash32(restored.prepared.certificate.block_id)
        current.keep_block(VerifiedBlock(name, restored.prepared.block))
    for vote in sorted(restored.votes, key=lambda vote: vote.round):
        if vote.message:
            message = decode_message(vote.message)
            current.own[VoteKind(vote.kind)] = message
            current.seen.see(message.signer, message.round)
            _count_own(turn, message)
    prepared = restored.prepared
    committed = current.own.get(VoteKind.COMMIT)
    if (
        prepared is not None
        and prepared.certificate.round == current.round
        and (committed is None or committed.round < current.round)
    ):
        say_commit(turn, prepared.certificate.block_id)
    arm_round_timer(turn)
    propose_again(turn)
    say_again(turn)


def _count_own(turn: Turn, message: Message) -> None:
    match message:
        case Prepare():
            on_prepare(turn, message)
        case Commit():
            on_commit(turn, message)
        case RoundChange():
            on_round_change(turn, message)
        case _:
            pass
