"""From what the state machine reports to evidence that stands alone (``ledger.misbehaviour``)."""

from __future__ import annotations

from collections.abc import Iterator

from consensus.effects import EvidenceKind, ReportEvidence
from consensus.messages import Commit, Message, Proposal, RoundChange, justification_hash
from consensus.state import HeightState
from consensus.verify import kind_of
from ledger.block import block_id
from ledger.certificate import CommitCertificate
from ledger.encoding import encode
from ledger.misbehaviour import Fault, Misbehaviour, Statement
from ledger.types import PublicKey


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


def contradicted_seals(current: HeightState | None, certificate: CommitCertificate) -> Iterator[ReportEvidence]:
    """What those who sealed a decision said otherwise while its height was open.

    A node that is shown the decision of others may hold what the same validators told it instead.

    Args:
        current: the height as this node knew it, or None.
        certificate: verified; of that height or, then nothing is compared, of another one.
    """
    if current is None or current.height != certificate.height:
        return
    for key, signature in certificate.seals:
        first = current.commits.first(certificate.round, key)
        if first is not None and first.block_id != certificate.block_id:
            kind = EvidenceKind.CONFLICTING_MESSAGES
            yield ReportEvidence(kind, PublicKey(key), first, _seal(certificate, key, signature))
        change = current.round_changes.latest(key)
        if change is not None and _prepared_round(change) < certificate.round < change.round:
            kind = EvidenceKind.FORGOTTEN_LOCK
            yield ReportEvidence(kind, PublicKey(key), _seal(certificate, key, signature), change)


def contradicted_seal(message: Commit, certificate: CommitCertificate | None) -> ReportEvidence | None:
    """Evidence against the signer of ``message`` when it sealed another block in the same height and round.

    Args:
        message: verified.
        certificate: of its height, verified; None: there is none.
    """
    if certificate is None or (certificate.height, certificate.round) != (message.height, message.round):
        return None
    signature = dict(certificate.seals).get(message.signer)
    if signature is None or certificate.block_id == message.block_id:
        return None
    seal = _seal(certificate, message.signer, signature)
    return ReportEvidence(EvidenceKind.CONFLICTING_MESSAGES, PublicKey(message.signer), message, seal)


def _prepared_round(change: RoundChange) -> int:
    return -1 if change.prepared is None else change.prepared.round


def _seal(certificate: CommitCertificate, key: bytes, signature: bytes) -> Commit:
    return Commit(certificate.height, certificate.round, certificate.epoch, key, signature, certificate.block_id)
