"""Who signed what the supervision chain says: the transactions that come with a packet (DESIGN.md 6).

A certificate shows only what a quorum of validators let into a block. So every decision, control and limit is looked
for, word for word, in transactions that authorities or officers signed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts import decisions
from contracts.codes import Refusal
from contracts.flow import codes
from contracts.flow.gates import SUPERVISION
from contracts.governance.policies import SUPERVISION_AUTHORITIES, SUPERVISION_OFFICERS, find_policy, satisfied_by
from contracts.interface import EndContext
from contracts.messages import Control, Decision, Limit
from ledger.encoding import Codec, Record
from ledger.errors import InvalidInput
from ledger.packet import Packet, PacketOrigin
from ledger.transaction import Transaction


def require_decision(context: EndContext, packet: Packet, origin: PacketOrigin, decision: Decision) -> None:
    """Refuses with ``flow_decision_unsigned`` unless an authority, or enough officers, signed this very decision.

    The transaction that emitted the packet must be among theirs: its id is what the decision will be known by.
    """
    signed = _saying(packet, origin, decisions.DECIDE, decisions.decide_codec, lambda made: made.decision == decision)
    policies = (SUPERVISION_AUTHORITIES, SUPERVISION_OFFICERS)
    if origin.tx_id not in signed or not any(_satisfied(context, name, signed) for name in policies):
        raise Refusal(codes.DECISION_UNSIGNED, "no authority and not enough officers signed this decision")


def require_control(context: EndContext, packet: Packet, origin: PacketOrigin, control: Control) -> None:
    """Refuses with ``flow_control_unsigned`` unless enough officers signed this very control."""
    codec = decisions.control_flow_codec
    signed = _saying(packet, origin, decisions.CONTROL_FLOW, codec, lambda made: made.control == control)
    if not _satisfied(context, SUPERVISION_OFFICERS, signed):
        raise Refusal(codes.CONTROL_UNSIGNED, "not enough officers signed this control")


def require_limit(context: EndContext, packet: Packet, origin: PacketOrigin, limit: Limit) -> None:
    """Refuses with ``flow_limit_unsigned`` unless enough officers signed this very limit."""
    codec = decisions.set_limit_codec
    signed = _saying(packet, origin, decisions.SET_LIMIT, codec, lambda made: made.limit == limit)
    if not _satisfied(context, SUPERVISION_OFFICERS, signed):
        raise Refusal(codes.LIMIT_UNSIGNED, "not enough officers signed this limit")


def _saying(
    packet: Packet, origin: PacketOrigin, method: str, codec: Codec[Any], says: Callable[[Any], bool]
) -> dict[bytes, Transaction]:
    """Transactions of the source chain, out of the evidence, that call the method and say it."""
    return {
        tx_id: transaction
        for tx_id, transaction in origin.evidence.items()
        if transaction.body.chain_id == packet.source and _calls(transaction, method, codec, says)
    }


def _calls(transaction: Transaction, method: str, codec: Codec[Any], says: Callable[[Any], bool]) -> bool:
    for call in transaction.body.calls:
        if call.contract != SUPERVISION or call.method != method:
            continue
        try:
            made: Record = codec.decode(call.arguments)
        except InvalidInput:
            continue
        if says(made):
            return True
    return False


def _satisfied(context: EndContext, policy: str, signed: dict[bytes, Transaction]) -> bool:
    lock = find_policy(context, policy)
    keys = {key for transaction in signed.values() for key in (transaction.body.sender, *transaction.body.cosigners)}
    return lock is not None and satisfied_by(lock, keys)
