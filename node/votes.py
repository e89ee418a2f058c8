"""Where consensus messages of others come in: decoded, verified, judged for relaying, and handed to the driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from consensus import inputs as on
from consensus.effects import ReportEvidence
from consensus.evidence import contradicted_seal
from consensus.messages import Commit, Message, Proposal, decode_message
from consensus.state import State
from consensus.verify import authenticate, verify_message
from ledger.block import block_codec, block_id
from ledger.errors import InvalidInput, NotFound
from ledger.keys import SignatureCache
from ledger.types import Height, PublicKey
from node.chain import Chain
from node.clock import monotonic_ms, wall_ms
from p2p.gossip import Verdict

MAX_WAITING: Final = 10_000
"""Inputs that wait for the driver's next turn; beyond it messages are put off (their senders repeat them)."""
MAX_PROPOSED_BLOCKS: Final = 16
VERIFIED_SIGNATURES: Final = 4_096
"""Vote signatures remembered as good: those of many heights, also for the certificates made of them."""


class VoteDesk:
    """See the module.

    Args:
        chain: the committed chain.
        state: consensus state; read only.
        feed: takes inputs for the state machine.
        backlog: how many of them wait for their turn.
        report: takes what shows that a validator signed against its own seal.

    Attributes:
        heard_ms: when each validator was last heard (monotonic clock).
        greeted: set once a quorum, us included, has said what it last heard from us.
    """

    def __init__(
        self,
        chain: Chain,
        state: State,
        *,
        feed: Callable[[on.Input], None],
        backlog: Callable[[], int],
        report: Callable[[ReportEvidence], None] = lambda _fault: None,
    ) -> None:
        self._chain = chain
        self._state = state
        self._feed = feed
        self._backlog = backlog
        self._report = report
        self._signatures = SignatureCache(VERIFIED_SIGNATURES)
        self._proposed: dict[bytes, Proposal] = {}
        self._answered: set[PublicKey] = set()
        self._claims: dict[PublicKey, int] = {}
        self.heard_ms: dict[bytes, int] = {}
        self.greeted = asyncio.Event()

    def on_vote(self, payload: bytes) -> Verdict:
        """Takes a consensus message from a peer.

        Returns:
            What gossip does with it; ``LATER`` where we are too far behind to judge it.

        Raises:
            InvalidInput: what no honest peer relays.
        """
        chain = self._chain
        height = Height(chain.tip.height + 1)
        message = decode_message(payload, max(len(chain.validators), len(chain.seats_at(height + 1).validators)))
        if self._backlog() > MAX_WAITING or message.height > height + 1 or self._state.current is None:
            return Verdict.LATER
        if message.height < height and message.signer in chain.validators:
            self._feed(on.StragglerHeard(authenticate(message, chain.chain_id, self._signatures.verify)))
        if message.height + 1 < height:
            return Verdict.IGNORE
        seats = chain.seats_at(message.height)
        verified = verify_message(message, chain.chain_id, seats.epoch, seats.validators, self._signatures.verify)
        self.heard_ms[message.signer] = monotonic_ms()
        if message.height < height:
            if isinstance(message, Commit) and message.block_id != chain.tip.block_id:
                self._compare(message)
            # We have decided without it; a validator that hears others only through us may still need it.
            return Verdict.ACCEPT
        self.remember(message)
        self._feed(on.MessageReceived(verified, wall_ms()))
        return Verdict.ACCEPT

    def _compare(self, message: Commit) -> None:
        """A COMMIT for another block than its height's: whoever sealed that one in the same round signed twice."""
        fault = contradicted_seal(message, self._chain.store.certificate(message.height))
        if fault is not None:
            self._report(fault)

    def on_latest(self, peer: PublicKey, payload: bytes) -> None:
        """A validator returned our own latest message that it has; nothing: it has none."""
        if payload:
            message = decode_message(payload)
            if message.signer != self._state.key:
                raise InvalidInput("not a message of ours", code="latest_foreign")
            self._feed(on.LatestOwnMessage(authenticate(message, self._chain.chain_id, self._signatures.verify)))
        self._answered.add(peer)
        if len(self._answered) + 1 >= self._chain.validators.quorum:
            self.greeted.set()
        self._judge_loss()

    def on_claim(self, peer: PublicKey, height: int) -> None:
        """A validator said how far it is."""
        self._claims[peer] = height
        self._judge_loss()

    def _judge_loss(self) -> None:
        """Tells consensus through which height our lost signatures can lie, once enough validators make that known.

        We signed at height H only after a quorum had COMMITted H − 1, and whoever did so was at H − 2 already. Among
        this many others at least one of those is honest: its claim is H − 2 or more. Our own store knows more, unless
        it was rolled back; so do messages of ours that came back, which consensus counts itself.
        """
        observing = self._state.observing
        if observing is None or observing.through_height is not None:
            return
        validators, tip = self._chain.validators, self._chain.tip.height
        claims = [
            self._claims[key]
            for key in self._answered & self._claims.keys()
            if key in validators and key != self._state.key
        ]
        needed = len(validators) - validators.quorum + validators.weak_quorum
        # Far behind, we do not know yet who the validators are.
        if len(claims) >= needed and max(claims) <= tip + 1:
            self._feed(on.ObserveThrough(Height(max(tip + 1, max(claims) + 2))))

    def on_validator_connected(self, key: PublicKey) -> None:
        """A direct connection to a validator is up."""
        self.heard_ms[key] = monotonic_ms()
        self._feed(on.PeerConnected(key))

    def remember(self, message: Message) -> None:
        """Keeps the block of a proposal, for validators that lack its body."""
        if not isinstance(message, Proposal):
            return
        self._proposed[block_id(message.block.header)] = message
        if len(self._proposed) > MAX_PROPOSED_BLOCKS:
            del self._proposed[next(iter(self._proposed))]

    def undecided_block(self, name: bytes) -> bytes:
        """Bytes of a block of the current height, for a validator that lacks its body. Raises ``NotFound``."""
        candidate = self._chain.candidate(name)
        if candidate is not None:
            return block_codec.encode(candidate.block)
        proposal = self._proposed.get(name)
        if proposal is not None:
            return block_codec.encode(proposal.block)
        current = self._state.current
        if current is not None and current.prepared is not None and current.prepared.certificate.block_id == name:
            return block_codec.encode(current.prepared.block)
        height = self._chain.store.height_of(name)
        if height is not None:
            return block_codec.encode(self._chain.store.block(height))
        raise NotFound("that block is not known here")

    def forget(self) -> None:
        """The height is over: its proposals are not needed any more."""
        self._proposed.clear()
