"""What has to be noticed block by block, because no state remembers it: intervals, who signed, which rules struck.

Attached to a node only when metrics are served. A block costs a few microseconds, and something for each decision of
the supervision contract in it; nothing for each transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contracts.messages import REFUSAL, refusal_codec
from contracts.supervision.calls import DECIDED_EVENT, HELD_EVENT, PENDING, Decided
from ledger.block import Receipt, receipt_codec
from ledger.encoding import Codec
from ledger.errors import InvalidInput
from ledger.packet import PACKET_EVENT, packet_codec
from node.chain import Chain, Committed
from node.observability.harmless import harmless
from node.observability.histogram import STEP_S, Histogram
from node.seats import Seats

MAX_RULES: Final = 256
"""Rules that are counted apart; further ones count as ``other``."""
MAX_SIGNERS: Final = 1_024
"""Validators, former ones included, whose signatures are counted."""
OTHER: Final = "other"
HELD: Final = "held"
_decided_codec = Codec(Decided, 4_096, "decision")
_Place = tuple[bytes, str, int]


class ChainWatch:
    """See the module.

    Args:
        chain: the committed chain.
        is_syncing: whether blocks are being fetched: then their times say nothing about intervals.

    Attributes:
        blocks, transactions: committed since the start.
        intervals: seconds between blocks.
        missed: by validator: blocks whose certificate it is not in.
        last_signed: by validator: the newest block whose certificate it is in.
        missing: of the last block.
        rule_hits: by (rule, outcome).
        decisions: by status.
    """

    def __init__(self, chain: Chain, is_syncing: Callable[[], bool]) -> None:
        self._chain = chain
        self._is_syncing = is_syncing
        self._time_ms = chain.tip.header.time_ms if chain.tip.height else 0
        self._supervision = chain.rules.address_of("supervision")
        self._bridge = chain.rules.address_of("bridge")
        self._marker = self._supervision.encode()
        self.blocks = self.transactions = 0
        self.intervals = Histogram(STEP_S)
        self.missed: dict[bytes, int] = {}
        self.last_signed: dict[bytes, int] = {}
        self.missing: tuple[bytes, ...] = ()
        self.rule_hits: dict[tuple[str, str], int] = {}
        self.decisions: dict[str, int] = {}

    @harmless
    def on_block(self, committed: Committed) -> None:
        """A block is on the disk; one of ``NodeCore.listeners``."""
        header = committed.candidate.block.header
        self.blocks += 1
        self.transactions += header.transactions_count
        if self._time_ms and not self._is_syncing():
            self.intervals.observe((header.time_ms - self._time_ms) / 1000)
        self._time_ms = header.time_ms
        self._note_seals(self._chain.seats_at(header.height), committed)
        if self._supervision:
            for data in committed.candidate.result.receipts:
                # Most receipts are of something else, and decoding takes longer than looking.
                if self._marker in data:
                    self._note_decisions(receipt_codec.decode(data))

    def _note_seals(self, seats: Seats, committed: Committed) -> None:
        signers = {key for key, _ in committed.certificate.seals}
        self.missing = tuple(key for key in seats.validators.keys if key not in signers)
        for key in signers:
            if key in self.last_signed or len(self.last_signed) < MAX_SIGNERS:
                self.last_signed[key] = committed.height
        for key in self.missing:
            if key in self.missed or len(self.missed) < MAX_SIGNERS:
                self.missed[key] = self.missed.get(key, 0) + 1

    def _note_decisions(self, receipt: Receipt) -> None:
        told: set[_Place] = set()
        for event in receipt.events:
            if event.contract == self._supervision and event.name in (DECIDED_EVENT, HELD_EVENT):
                decided = _decided_codec.decode(event.data)
                told.add((decided.flow, decided.stage, decided.attempt))
                if event.name == DECIDED_EVENT:
                    self.decisions[decided.status] = self.decisions.get(decided.status, 0) + 1
                if decided.rule:
                    self._hit(decided.rule, HELD if decided.status == PENDING else decided.status)
        for event in receipt.events:
            # What the contract refuses as it comes in has no event of its own, only the answer that it sends.
            if event.contract == self._bridge and event.name == PACKET_EVENT:
                self._note_refusal(event.data, told)

    def _note_refusal(self, data: bytes, told: set[_Place]) -> None:
        try:
            packet = packet_codec.decode(data)
            if packet.kind != REFUSAL or packet.sender != self._supervision:
                return
            refusal = refusal_codec.decode(packet.payload)
        except InvalidInput:
            return
        if refusal.rule and (refusal.flow, refusal.stage, refusal.attempt) not in told:
            self._hit(refusal.rule, "refused")

    def _hit(self, rule: str, outcome: str) -> None:
        if (rule, outcome) not in self.rule_hits and len(self.rule_hits) >= MAX_RULES:
            rule = OTHER
        self.rule_hits[rule, outcome] = self.rule_hits.get((rule, outcome), 0) + 1
