"""How long the steps of consensus take on this node, and why rounds follow each other; the driver tells.

Steps, for each block that this node votes on: ``proposal`` from having something to execute (an own block ordered, or
a proposal received) to our PREPARE; ``prepare`` from there to our COMMIT; ``commit`` from there to the decision;
``store`` from there to the block being on the disk and in force. One that was decided without us shows in that only.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from consensus.inputs import Input, MessageReceived, TimerFired
from consensus.messages import Commit, Message, Prepare, Proposal
from consensus.verified import VerifiedProposal
from node.observability.histogram import STEP_S, Histogram

PROPOSAL: Final = "proposal"
PREPARE: Final = "prepare"
COMMIT: Final = "commit"
STORE: Final = "store"
STEPS: Final = (PROPOSAL, PREPARE, COMMIT, STORE)
TIMEOUT: Final = "timeout"
JUMP: Final = "jump"
LATER_PROPOSAL: Final = "proposal"
RESTORED: Final = "restored"
REASONS: Final = (TIMEOUT, JUMP, LATER_PROPOSAL, RESTORED)
"""Why a later round began: our timer fired; a weak quorum of others was there; a justified proposal came from there;
we were there before a restart."""


class StepTimes:
    """See the module.

    Args:
        clock: seconds.

    Attributes:
        seconds: by step.
        rounds: later rounds entered, by reason.
        proposal_begun_s: when the block under way was ordered or received; None before that.
        decided_s: when the last block was decided here.
        on_proposal: told of our own proposals; None: nobody.
    """

    __slots__ = (
        "_clock", "_round", "_since", "_step", "decided_s", "on_proposal", "proposal_begun_s", "rounds", "seconds",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._step = ""
        self._since = 0.0
        self._round = 0
        self.seconds = {step: Histogram(STEP_S) for step in STEPS}
        self.rounds = dict.fromkeys(REASONS, 0)
        self.proposal_begun_s: float | None = None
        self.decided_s: float | None = None
        self.on_proposal: Callable[[Proposal], None] | None = None

    def begin_height(self) -> None:
        """A height begins; what was under way for the one before counts for nothing any more."""
        self._step = ""
        self.proposal_begun_s = None

    def begin_proposal(self) -> None:
        """There is something to execute: an own block was ordered, or somebody's is to be checked."""
        if not self._step:
            self._enter(PROPOSAL)
            self.proposal_begun_s = self._since

    def said(self, message: Message) -> None:
        """We sent a message of ours for the first time."""
        if isinstance(message, Prepare):
            self._leave(PROPOSAL, PREPARE)
        elif isinstance(message, Commit):
            self._leave(PREPARE, COMMIT)
        elif not isinstance(message, Proposal):
            self.begin_height()  # a ROUND-CHANGE: the steps begin anew
        elif self.on_proposal is not None:
            self.on_proposal(message)

    def decided(self) -> None:
        """A block is decided, and goes to the disk."""
        self._leave(COMMIT, STORE)
        self._enter(STORE)
        self.decided_s = self._since

    def stored(self) -> None:
        """A block is on the disk and in force."""
        self._leave(STORE, "")

    def saw_round(self, event: Input, round_: int) -> None:
        """The state machine is in ``round_`` after ``event``."""
        if round_ > self._round:
            self.rounds[_reason(event)] += 1
        self._round = round_

    def _leave(self, step: str, following: str) -> None:
        if self._step == step:
            self.seconds[step].observe(self._clock() - self._since)
            self._enter(following)

    def _enter(self, step: str) -> None:
        self._step, self._since = step, self._clock()


def _reason(event: Input) -> str:
    if isinstance(event, TimerFired):
        return TIMEOUT
    if isinstance(event, MessageReceived):
        return LATER_PROPOSAL if isinstance(event.message, VerifiedProposal) else JUMP
    return RESTORED
