"""Where consensus stands and with whom: the part of ``node.status`` that ``tidegate doctor`` reasons from.

Everything in it is what this node knows at the moment; it counts nothing on the way of votes or transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from consensus.effects import RefuseBlock
from consensus.epoch import proposer
from ledger.keys import key_text
from ledger.types import Height, PublicKey, Round
from node.chain import Committed
from node.clock import monotonic_ms
from node.seats import Seats

if TYPE_CHECKING:
    from node.core import NodeCore

MAX_SKIPPED: Final = 256
"""Validators whose lost turns are counted."""


class Standing:
    """See the module.

    Args:
        core: the node; heard from its first block on.
    """

    def __init__(self, core: NodeCore) -> None:
        self._core = core
        self._tip_ms: int | None = None
        self._skipped: dict[PublicKey, int] = {}
        self._refused = 0
        self._refused_why = ""
        self._refused_ms: int | None = None
        core.listeners.append(self._on_block)

    def on_refused(self, effect: RefuseBlock) -> None:
        """A proposal was not prepared."""
        self._refused += 1
        self._refused_why, self._refused_ms = effect.reason, monotonic_ms()

    def _on_block(self, committed: Committed) -> None:
        self._tip_ms = monotonic_ms()
        if self._core.synchroniser.syncing:
            return
        height, round_ = committed.height, committed.certificate.round
        seats = self._core.chain.seats_at(height)
        # As many turns as there are validators say it all. Who is not connected is missed for another reason.
        for turn in range(min(round_, len(seats.validators))):
            key = _proposer(seats, height, turn)
            if self._core.peers.peer_of(key) is not None and (key in self._skipped or len(self._skipped) < MAX_SKIPPED):
                self._skipped[key] = self._skipped.get(key, 0) + 1
        self._skipped.pop(PublicKey(committed.candidate.block.header.proposer), None)

    def document(self) -> dict[str, Any]:
        """``standing`` in ``node.status``.

        Returns:
            ``height`` and ``round`` being decided and who proposes there; ``tip_ms_ago`` since the last block of this
            run; ``waiting_ms`` of the oldest transaction; ``validators`` with how they are reached; ``unreachable``,
            by peer id, why; ``refused`` proposals; ``skipped``: turns to propose that connected validators have let
            pass since the last block of theirs.
        """
        core, now = self._core, monotonic_ms()
        height, round_ = core.driver.height, core.driver.round
        oldest = core.mempool.oldest_ms
        return {
            "height": height,
            "round": round_,
            "proposer": self._who(_proposer(core.chain.seats_at(height), height, round_)),
            "tip_ms_ago": None if self._tip_ms is None else now - self._tip_ms,
            "waiting_ms": None if oldest is None else now - oldest,
            "quorum": core.chain.validators.quorum,
            "weak_quorum": core.chain.validators.weak_quorum,
            "validators": [self._validator(key, now) for key in core.chain.validators.keys],
            "own_certificate": self._certificate(core.key.public),
            "unreachable": dict(core.transport.stats().unreachable),
            "refused": {
                "count": self._refused,
                "why": self._refused_why,
                "ms_ago": None if self._refused_ms is None else now - self._refused_ms,
            },
            "skipped": [{**self._who(key), "count": count} for key, count in sorted(self._skipped.items())],
        }

    def _who(self, key: PublicKey) -> dict[str, Any]:
        return {"key": key_text(key), "organisation": self._core.membership.organisation_of(key)}

    def _validator(self, key: PublicKey, now: int) -> dict[str, Any]:
        core = self._core
        peer = core.membership.peer_of(key)
        heard = core.driver.votes.heard_ms.get(key)
        said = None if peer is None else core.synchroniser.last_status(peer)
        if said is not None:
            heard = said[1] if heard is None else max(heard, said[1])
        lost = None if peer is None else core.synchroniser.lost_ms(peer)
        return {
            **self._who(key),
            "self": key == core.key.public,
            "peer_id": peer,
            "connected": core.peers.peer_of(key) is not None,
            "heard_ms_ago": None if heard is None else now - heard,
            "lost_ms_ago": None if lost is None else now - lost,
            "certificate": self._certificate(key),
        }

    def _certificate(self, key: PublicKey) -> dict[str, Any]:
        node = self._core.membership.identity(key)
        if node is None:
            return {"state": "missing", "expires_ms": None}
        until = node.certificate.not_after_ms
        if node.revoked:
            state = "revoked"
        else:
            state = "valid" if node.certificate.valid_at(self._core.membership.time_ms) else "expired"
        return {"state": state, "expires_ms": until}


def _proposer(seats: Seats, height: int, round_: int) -> PublicKey:
    return proposer(seats.epoch, seats.validators, Height(height), Round(round_))
