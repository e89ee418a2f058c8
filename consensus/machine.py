"""``step``: the one entrance of the consensus state machine (DESIGN.md 3).

Deterministic: no I/O, no clock, no randomness. The same state, input and time give the same effects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from consensus.accepting import on_proposal
from consensus.deciding import advance_decision, on_commit
from consensus.effects import Effect, ObserveReason, ReturnLatest, SendDecided, SendTo, SetTimer
from consensus.heights import observe, observe_through, own_messages, say_again, start_height
from consensus.inputs import (
    BlockBuilt,
    BlockChecked,
    BlockFetched,
    HeightStarted,
    Input,
    LatestOwnMessage,
    MessageReceived,
    ObserveThrough,
    PackageReady,
    PeerConnected,
    StragglerHeard,
    TimerFired,
    TimerKind,
    ValidatorHeard,
    WorkAvailable,
)
from consensus.liveness import arm_first_round_timer
from consensus.messages import Message
from consensus.proposing import on_block_built, propose_first, propose_wanted
from consensus.rounds import on_round_change, on_timeout, see
from consensus.state import Check, State
from consensus.turn import Turn
from consensus.verified import (
    Authentic,
    VerifiedCommit,
    VerifiedMessage,
    VerifiedPrepare,
    VerifiedProposal,
    VerifiedRoundChange,
)
from consensus.verify import kind_of, signed_bytes
from consensus.voting import on_block_checked, on_prepare
from ledger.certificate import VoteKind
from ledger.types import Height, PublicKey

_BEFORE_THE_FIRST_HEIGHT: Final = (HeightStarted, LatestOwnMessage, ObserveThrough, PeerConnected)
_ORDER: Final = {VoteKind.ROUND_CHANGE: 0, VoteKind.PROPOSAL: 1, VoteKind.PREPARE: 2, VoteKind.COMMIT: 3}
"""In which order a validator says things within a round."""


def step(state: State, event: Input, now_ms: int) -> tuple[Effect, ...]:
    """Takes one event and returns what has to be done, in order (see ``consensus.effects``).

    Args:
        state: changed in place.
        event: what happened.
        now_ms: monotonic milliseconds, never smaller than in an earlier call.

    Raises:
        LocalMisuse: the driver broke the contract of an input; the state is unchanged.
    """
    if state.halted or (state.current is None and not isinstance(event, _BEFORE_THE_FIRST_HEIGHT)):
        return ()
    turn = Turn(state, now_ms)
    _HANDLERS[type(event)](turn, event)
    return tuple(turn.effects)


def _on_height_started(turn: Turn, event: HeightStarted) -> None:
    state = turn.state
    before = state.current
    start_height(turn, event)
    early = state.early.take()
    if before is None or event.height == before.height + 1:
        for one in early:
            _take_message(turn, one.message, one.wall_ms)


def _on_message(turn: Turn, event: MessageReceived) -> None:
    state, current = turn.state, turn.current
    message = event.message.message
    if message.height == current.height:
        _take_message(turn, event.message, event.wall_ms)
    elif message.height == current.height + 1:
        # Verified with the next height's set; whoever is only in that one is looked at again when it starts.
        state.early.add(event.message, event.wall_ms)
        _note_sender(turn, message)
        if message.signer == state.key:
            _suspect_rollback(turn, message)
    elif message.height < current.height:
        _answer_straggler(turn, PublicKey(message.signer), message.height, kind_of(message))


def _take_message(turn: Turn, verified: VerifiedMessage, wall_ms: int) -> None:
    state, current = turn.state, turn.current
    message = verified.message
    if message.signer not in current.validators or message.epoch != current.epoch.number:
        return  # An early one, from before this height's set was known here.
    _note_sender(turn, message)
    if message.signer == state.key and _suspect_rollback(turn, message):
        return
    if current.committed:
        return
    see(turn, message.signer, message.round)
    if isinstance(verified, VerifiedPrepare):
        on_prepare(turn, verified.message)
    elif isinstance(verified, VerifiedCommit):
        on_commit(turn, verified.message)
    elif isinstance(verified, VerifiedRoundChange):
        on_round_change(turn, verified.message)
    elif isinstance(verified, VerifiedProposal):
        on_proposal(turn, verified, wall_ms)


def _note_sender(turn: Turn, message: Message) -> None:
    """Its signer lives; and its latest message is what we return to it when it connects."""
    state = turn.state
    signer = PublicKey(message.signer)
    if signer not in state.heard:
        return
    state.heard[signer] = turn.now_ms
    kind = kind_of(message)
    if kind is VoteKind.PROPOSAL:
        return  # Its signer PREPAREs too; a proposal would pin a block's body for as long as it is silent.
    known = state.latest.get(signer)
    if known is None or (known.height, known.round, _ORDER[kind_of(known)]) < (
        message.height,
        message.round,
        _ORDER[kind],
    ):
        state.latest[signer] = message


def _suspect_rollback(turn: Turn, message: Message) -> bool:
    """A message of our own came back. True when we know it, and so have counted it already."""
    signed = signed_bytes(message, turn.state.chain_id)
    own = Authentic(kind_of(message), message.height, message.round, PublicKey(message.signer), signed)
    return _check_own(turn, own)


def _check_own(turn: Turn, own: Authentic) -> bool:
    """Whether we remember having signed this. If not, our signer state was rolled back (DESIGN.md 3)."""
    current = turn.state.current
    if current is not None and own.height < current.height:
        return True
    if turn.state.guard.knows(own.kind, own.height, own.round, own.signed):
        return True
    observe(turn, ObserveReason.SIGNER_STATE_ROLLED_BACK, Height(own.height))
    return False


def _on_latest_own(turn: Turn, event: LatestOwnMessage) -> None:
    if event.message.signer == turn.state.key:
        _check_own(turn, event.message)


def _on_observe_through(turn: Turn, event: ObserveThrough) -> None:
    observe_through(turn, event.height)


def _on_work(turn: Turn, event: WorkAvailable) -> None:
    current = turn.current
    known = current.work_since_ms
    current.work_since_ms = event.since_ms if known is None else min(known, event.since_ms)
    arm_first_round_timer(turn)
    propose_first(turn)


def _on_package_ready(turn: Turn, _event: PackageReady) -> None:
    current = turn.current
    if current.package_ready_ms is None:
        current.package_ready_ms = turn.now_ms
    arm_first_round_timer(turn)
    propose_first(turn)


def _on_block_built(turn: Turn, event: BlockBuilt) -> None:
    if event.height == turn.current.height:
        on_block_built(turn, event)


def _on_block_checked(turn: Turn, event: BlockChecked) -> None:
    current = turn.current
    if event.height == current.height and current.checks.get(event.block_id) is Check.PENDING:
        on_block_checked(turn, event.block_id, ok=event.ok)


def _on_block_fetched(turn: Turn, event: BlockFetched) -> None:
    current = turn.current
    wanted = {
        None if current.wanted is None else current.wanted.block_id,
        None if current.decided is None else current.decided.block_id,
    }
    if event.height == current.height and event.block.id in wanted:
        current.keep_block(event.block)
        advance_decision(turn)
        propose_wanted(turn)


def _on_timer(turn: Turn, event: TimerFired) -> None:
    state, current = turn.state, turn.current
    armed = state.timers.get(event.kind)
    if armed is None or armed[:2] != (event.height, event.round):
        return
    if armed[2] > turn.now_ms:
        # Of an earlier setting, or early by the granularity of the driver's clock: the timer must not be lost.
        turn.order(SetTimer(event.kind, event.height, event.round, armed[2]))
        return
    del state.timers[event.kind]
    match event.kind:
        case TimerKind.ROUND:
            on_timeout(turn)
        case TimerKind.PROPOSE:
            propose_first(turn)
        case TimerKind.REBROADCAST:
            _rebroadcast(turn, current.last_sent_ms + state.parameters.rebroadcast_ms)


def _rebroadcast(turn: Turn, due_ms: int) -> None:
    """Says again what was not said for a while, and asks again for what is missing. One timer serves all heights."""
    if due_ms <= turn.now_ms:
        say_again(turn)
        advance_decision(turn)
        propose_wanted(turn)
        due_ms = turn.now_ms + turn.state.parameters.rebroadcast_ms
    turn.set_timer(TimerKind.REBROADCAST, turn.current.round, due_ms)


def _on_peer_connected(turn: Turn, event: PeerConnected) -> None:
    state = turn.state
    turn.order(ReturnLatest(event.validator, state.latest.get(event.validator)))
    if state.can_sign and not turn.current.committed:
        for message in own_messages(turn):
            turn.order(SendTo(event.validator, message))


def _on_straggler(turn: Turn, event: StragglerHeard) -> None:
    own = event.message
    if own.height < turn.current.height:
        _answer_straggler(turn, own.signer, own.height, own.kind)


def _answer_straggler(turn: Turn, signer: PublicKey, height: int, kind: VoteKind) -> None:
    """Sends the decided block to a validator that is stuck below us, not to one whose vote was merely late.

    Stuck is who changes rounds there, or says the same again after a while, and was not heard at our height.
    """
    state, parameters = turn.state, turn.state.parameters
    if signer not in state.heard or signer == state.key:
        return
    state.heard[signer] = turn.now_ms
    latest = state.latest.get(signer)
    if latest is not None and latest.height >= turn.current.height:
        return
    stuck_at, since_ms, answered_ms = state.stale.get(signer, (-1, 0, turn.now_ms - parameters.straggler_interval_ms))
    if stuck_at != height:
        since_ms = turn.now_ms
    is_stuck = kind is VoteKind.ROUND_CHANGE or turn.now_ms - since_ms >= parameters.rebroadcast_ms // 2
    if is_stuck and turn.now_ms - answered_ms >= parameters.straggler_interval_ms:
        answered_ms = turn.now_ms
        turn.order(SendDecided(signer, Height(height)))
    state.stale[signer] = (height, since_ms, answered_ms)


def _on_heard(turn: Turn, event: ValidatorHeard) -> None:
    if event.validator in turn.state.heard:
        turn.state.heard[event.validator] = turn.now_ms


_HANDLERS: Final[dict[type[Any], Callable[[Turn, Any], None]]] = {
    HeightStarted: _on_height_started,
    MessageReceived: _on_message,
    WorkAvailable: _on_work,
    PackageReady: _on_package_ready,
    BlockBuilt: _on_block_built,
    BlockChecked: _on_block_checked,
    BlockFetched: _on_block_fetched,
    TimerFired: _on_timer,
    PeerConnected: _on_peer_connected,
    LatestOwnMessage: _on_latest_own,
    ObserveThrough: _on_observe_through,
    StragglerHeard: _on_straggler,
    ValidatorHeard: _on_heard,
}
