"""A supervision chain whose validators are all corrupt: they certify any block with any receipts they like.

What they do not have is the keys of authorities and officers; whatever those have signed, they can show again.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.bridge.state import incoming
from ledger.block import OK, Receipt, receipt_codec, receipts_root
from ledger.encoding import Record, encode
from ledger.keys import SigningKey
from ledger.packet import ANSWER_EVENT, Delivery, Packet, answer_codec
from ledger.transaction import Transaction
from ledger.types import ZERO_HASH
from tests.contracts.bridge.forging import next_header, packet_event, show
from tests.contracts.bridge.kit import BRIDGE, FUSION, SUPERVISION, call, proof_of
from tests.contracts.supervision.test_two_chains import TwoChains


class CorruptQuorum(TwoChains):
    """The real contracts on both sides, until the validators of the supervision chain invent something."""

    def invent(
        self,
        kind: str,
        payload: Record,
        *,
        shown: Sequence[Transaction] = (),
        issuer: Transaction | None = None,
        sender: str = SUPERVISION,
        receiver: str = "flow",
    ) -> str:
        """Certifies a block that says it, and has a fusion node deliver that.

        Args:
            kind: of the packet.
            payload: of it.
            shown: transactions that come as evidence.
            issuer: whose receipt the packet is said to stand in, by default the first one shown.
            sender: contract of the supervision chain that it is said to come from.
            receiver: contract of the business chain.

        Returns:
            The code of the business chain's answer.
        """
        chain, business = self.supervision, self.business
        sequence = incoming(business.context(BRIDGE).state, SUPERVISION).watermark + 1
        packet = Packet(
            chain.chain_id,
            business.chain_id,
            sequence,
            sender,
            receiver,
            kind,
            encode(payload),
            (),
            0,
            tuple(bytes(transaction.tx_id) for transaction in shown),
        )
        issuer = issuer or next(iter(shown), None)
        tx_id = bytes(32) if issuer is None else bytes(issuer.tx_id)
        receipts = [
            encode(Receipt(tx_id, OK, (packet_event(packet),), ())),
            encode(Receipt(ZERO_HASH, OK, (), ())),
        ]
        header = next_header(chain, transactions_count=1, receipts_root=receipts_root(receipts))
        chain._commit(header, {}, receipts)
        chain.time_ms = header.time_ms
        delivery = Delivery(
            proof_of(chain, business, chain.height),
            (show(receipts, 0),),
            (),
            tuple(transaction.wire for transaction in shown),
        )
        business.run(business.tx(FUSION, call(BRIDGE, "deliver", delivery)), step_ms=10)
        return self.last_answer()

    def last_answer(self) -> str:
        """The code of the answer in the business chain's last block."""
        events = [
            event
            for data in self.business.receipts[-1]
            for event in receipt_codec.decode(data).events
            if event.name == ANSWER_EVENT
        ]
        code: str = answer_codec.decode(events[-1].data).code
        return code

    def signed(self, method: str, arguments: Record, *signers: SigningKey, contract: str = SUPERVISION) -> Transaction:
        """A transaction of the supervision chain that these keys signed, in no block so far."""
        return self.supervision.tx(signers[0], call(contract, method, arguments), cosigners=signers[1:])
