"""What travels beside packets: attachments, and transactions of the other chain as evidence."""

from __future__ import annotations

from hashlib import sha256
from typing import ClassVar

from contracts.bridge.codes import ATTACHMENT_MISSING, EVIDENCE_MISSING, EVIDENCE_WRONG, SUPERFLUOUS
from contracts.codes import Refusal
from contracts.rules import verify_signatures
from ledger.errors import InvalidInput
from ledger.light_client import Verify
from ledger.packet import Delivery, Packet
from ledger.transaction import Transaction


class Cargo:
    """Attachments and transactions of one delivery, found by what packets call them.

    Refuses with ``bridge_evidence_wrong`` a transaction that does not decode.
    """

    LACKING: ClassVar[frozenset[str]] = frozenset({ATTACHMENT_MISSING, EVIDENCE_MISSING})
    """Codes of a packet that came without what it names."""

    def __init__(self, delivery: Delivery, verify: Verify) -> None:
        self._attachments = {sha256(data).digest(): data for data in delivery.attachments}
        try:
            transactions = [Transaction.decode(wire) for wire in delivery.transactions]
        except InvalidInput as error:
            raise Refusal(EVIDENCE_WRONG, error.message) from error
        self._transactions = {bytes(transaction.tx_id): transaction for transaction in transactions}
        self._verify = verify
        self._unnamed = {*self._attachments, *self._transactions}
        self._doubled = len(self._unnamed) != len(delivery.attachments) + len(transactions)

    def name(self, packet: Packet) -> None:
        """Notes that what a packet of the delivery names is there for a reason, whether it is needed or not."""
        if self._unnamed:
            self._unnamed.difference_update([ref.digest for ref in packet.attachments], packet.evidence)

    def of(self, packet: Packet) -> tuple[dict[bytes, bytes], dict[bytes, Transaction]]:
        """What a packet names: attachments by digest, transactions by id, of its source chain and properly signed.

        Refuses with ``bridge_attachment_missing``, ``bridge_evidence_missing``, ``bridge_evidence_wrong``.
        """
        attachments: dict[bytes, bytes] = {}
        for ref in packet.attachments:
            data = self._attachments.get(ref.digest)
            if data is None or len(data) != ref.size_bytes:
                raise Refusal(
                    ATTACHMENT_MISSING, f"attachment {ref.digest.hex()} of packet {packet.sequence} is missing"
                )
            attachments[ref.digest] = data
        evidence: dict[bytes, Transaction] = {}
        for tx_id in packet.evidence:
            transaction = self._transactions.get(tx_id)
            if transaction is None:
                raise Refusal(EVIDENCE_MISSING, f"transaction {tx_id.hex()} for packet {packet.sequence} is missing")
            evidence[tx_id] = self._checked(transaction, packet.source)
        return attachments, evidence

    def _checked(self, transaction: Transaction, source: bytes) -> Transaction:
        if transaction.body.chain_id != source:
            raise Refusal(EVIDENCE_WRONG, "a transaction of another chain is no evidence")
        try:
            verify_signatures(transaction, self._verify)
        except InvalidInput as error:
            raise Refusal(EVIDENCE_WRONG, error.message) from error
        return transaction

    def refuse_superfluous(self) -> None:
        """Refuses with ``bridge_superfluous`` what no packet of the delivery names, or what is there twice."""
        if self._unnamed or self._doubled:
            raise Refusal(SUPERFLUOUS, "the delivery carries what no packet in it names, or the same twice")
