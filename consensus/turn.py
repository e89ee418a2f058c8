"""One step being taken: the effects gathered so far, timers, and the only place where a signature is made."""

from __future__ import annotations

from collections.abc import Callable

from consensus.effects import (
    Broadcast,
    CancelTimer,
    Effect,
    EvidenceKind,
    Persist,
    RefuseBlock,
    ReportEvidence,
    ReportSigningRefused,
    SetTimer,
)
from consensus.guard import DoubleSignRefusedError
from consensus.inputs import TimerKind
from consensus.messages import Message, Proposal, encode_message
from consensus.records import SignedVote
from consensus.state import HeightState, State
from consensus.verify import kind_of
from ledger.certificate import VoteKind
from ledger.types import PublicKey, Round

NO_SIGNATURE = bytes(65)
"""Stands in a message until it is signed."""


class Turn:
    """What a step's functions work on.

    Attributes:
        state: of the validator.
        now_ms: monotonic time of the step.
        effects: ordered so far.
    """

    __slots__ = ("effects", "now_ms", "state")

    def __init__(self, state: State, now_ms: int) -> None:
        self.state = state
        self.now_ms = now_ms
        self.effects: list[Effect] = []

    @property
    def current(self) -> HeightState:
        """The height being decided; ``machine`` has made sure that there is one."""
        current = self.state.current
        assert current is not None
        return current

    def order(self, effect: Effect) -> None:
        """Adds an effect."""
        self.effects.append(effect)

    def set_timer(self, kind: TimerKind, round_: Round, at_ms: int) -> None:
        """Sets the timer of ``kind``, unless it is set just so."""
        height = self.current.height
        wanted = (height, round_, at_ms)
        if self.state.timers.get(kind) != wanted:
            self.state.timers[kind] = wanted
            self.effects.append(SetTimer(kind, height, round_, at_ms))

    def cancel_timer(self, kind: TimerKind) -> None:
        """Cancels the timer of ``kind`` if it is set."""
        if self.state.timers.pop(kind, None) is not None:
            self.effects.append(CancelTimer(kind))

    def say(self, kind: VoteKind, signed: bytes, make: Callable[[PublicKey, bytes], Message]) -> Message | None:
        """Signs a message of the current height and round, makes that durable, and broadcasts it.

        Args:
            kind: of the message.
            signed: the 32 bytes to sign.
            make: the message, from our key and the signature.

        Returns:
            The message, or None when we must not sign.
        """
        state, current = self.state, self.current
        if not state.can_sign:
            return None
        assert state.key is not None
        height, round_ = current.height, current.round
        try:
            signature = state.guard.signature(kind, height, round_, signed)
        except DoubleSignRefusedError:
            self.effects.append(ReportSigningRefused(kind, height, round_))
            return None
        is_new = signature is None
        if signature is None:
            signature = state.sign(signed)
        message = make(state.key, signature)
        if is_new:
            wire = b"" if isinstance(message, Proposal) else encode_message(message)
            record = SignedVote(int(kind), height, round_, signed, signature, wire)
            state.guard.remember(record)
            self.effects.append(Persist(record))
        current.own[kind] = message
        current.last_sent_ms = self.now_ms
        self.effects.append(Broadcast(message, repeat=not is_new))
        return message

    def refuse(self, proposal: Proposal, reason: str) -> None:
        """Notes that the current round's proposal will not be prepared."""
        self.current.refused = True
        self.effects.append(RefuseBlock(proposal, reason))

    def accuse(self, kind: EvidenceKind, first: Message, second: Message | None = None) -> None:
        """Reports a fault with its proof: once for a signer, kind of fault and message, and height."""
        fault = (first.signer, kind, kind_of(first))
        if fault not in self.current.accused:
            self.current.accused.add(fault)
            self.effects.append(ReportEvidence(kind, PublicKey(first.signer), first, second))
