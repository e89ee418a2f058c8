"""Invariants that need a memory of their own: who has to be silent, and what each process has executed itself.

They hold for processes whose signer state was lost too: such a one may have signed anything before, and must not sign
anything now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consensus import effects as do
from consensus.messages import Commit, Message, Prepare
from consensus.verified import Authentic
from tests.sim.outcome import Violation

if TYPE_CHECKING:
    from tests.sim.core.process import Process

EVER: Final = 1 << 60


class Memory:
    """See the module.

    Attributes:
        silent: process to (life, height through which it said that it only observes).
        executed: (process, block id) that it built, or found good, in any of its lives.
        overlays: the same, with the life: what a crash has taken is to be executed again.
    """

    def __init__(self) -> None:
        self.silent: dict[int, tuple[int, int]] = {}
        self.executed: set[tuple[int, bytes]] = set()
        self.overlays: set[tuple[int, int, bytes]] = set()

    def observes(self, process: Process, effect: do.EnterObserve) -> None:
        """It said so; from here on it signs nothing up to that height, in this life."""
        through = EVER if effect.through_height is None else effect.through_height
        self.silent[process.index] = (process.life, through)

    def said(self, process: Process, message: Message) -> None:
        """An observer is silent; PREPARE and COMMIT follow an execution.

        Raises:
            Violation: it is not, or does not.
        """
        life, through = self.silent.get(process.index, (0, 0))
        # Within a turn that waited for its sync, what was said before may still go out.
        if life == process.life and message.height <= through and process.cluster.sync_ms == 0:
            raise Violation(f"{process.name} signs at height {message.height}, and observes through {through}")
        if type(message) in {Prepare, Commit} and (process.index, message.block_id) not in self.executed:
            raise Violation(f"{process.name} votes for a block of height {message.height} that it has not executed")

    def found_good(self, process: Process, block_id: bytes) -> None:
        """It built the block, or executed it and found nothing wrong."""
        self.executed.add((process.index, block_id))
        self.overlays.add((process.index, process.life, block_id))

    def commits(self, process: Process, block_id: bytes) -> None:
        """What is written was executed in this life.

        Raises:
            Violation: it was not.
        """
        if (process.index, process.life, block_id) not in self.overlays:
            raise Violation(f"{process.name} commits a block of height {len(process.chain) + 1} unexecuted")

    def heard_itself(self, process: Process, own: Authentic) -> None:
        """A peer returned a message of ours, which we have taken in.

        Raises:
            Violation: it lies above everything that our log holds, and we do not observe.
        """
        place = (own.height, own.round)
        newest = max(((height, round_) for _, height, round_ in process.disk.votes), default=(0, 0))
        current = process.state.current
        if (
            own.signer == process.key
            and place > newest
            and own.height > len(process.chain)
            and (current is None or own.height >= current.height)
            and process.state.observing is None
            and not process.syncing
            and process.alive
        ):
            raise Violation(f"{process.name} does not notice a message of its own that it does not remember: {place}")
