"""From what the state machine reports to evidence that stands alone (``ledger.misbehaviour``)."""

from __future__ import annotations

from consensus.effects import ReportEvidence
from consensus.messages import Message, Proposal, RoundChange, justification_hash
from consensus.verify import kind_of
from ledger.block import block_id
from ledger.encoding import encode
from ledger.misbehaviour import Fault, Misbehaviour, Statement


def statement_of(message: Message, chain_id: bytes) -> Statement:
    """What ``message``'s signature covers, and the signature."""
    match message:
        case Proposal():
            payload = block_id(message.block.header) + justification_hash(chain_id, message.justification)
        case RoundChange(prepared=None):
            payload = encode((None, None))
        case RoundChange(prepared=certificate):
            assert certificate is not None
            payload = encode((certificate.round, certificate.block_id))
        case _:
            payload = message.block_id
    return Statement(
        int(kind_of(message)),
        message.epoch,
        message.height,
        message.round,
        message.signer,
        message.signature,
        payload,
    )


def misbehaviour_of(effect: ReportEvidence, chain_id: bytes) -> Misbehaviour:
    """The evidence that an effect of the state machine is.

    Args:
        effect: of ``consensus.machine.step``; its messages are verified.
        chain_id: 32 bytes.
    """
    fault = Fault(effect.kind)
    first = statement_of(effect.first, chain_id)
    if effect.second is None:
        justification = effect.first.justification if isinstance(effect.first, Proposal) else None
        return Misbehaviour(str(fault), first, None, justification)
    second = statement_of(effect.second, chain_id)
    if fault is Fault.CONFLICTING_MESSAGES and second.payload < first.payload:
        first, second = second, first
    return Misbehaviour(str(fault), first, second, None)
