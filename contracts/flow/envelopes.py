"""Checks envelopes that come with a call: of this flow and stage, by its sender, for these keys (PROTOCOL.md 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.codes import Refusal
from contracts.flow import codes
from contracts.flow.answers import SealedCopy
from contracts.interface import CallContext
from contracts.keyring import authority_keys, current_key
from ledger.encoding import encode
from ledger.envelope import (
    Envelope,
    EnvelopeContext,
    check_envelope,
    check_recipients,
    envelope_digest,
)
from ledger.envelope_key import EncryptionKey, key_id
from ledger.errors import InvalidEnvelope
from ledger.keys import key_text
from ledger.packet import MAX_ATTACHMENT_BYTES

_CODES: Final = {
    "envelope_signature_invalid": codes.ENVELOPE_FOREIGN,
    "envelope_recipient_missing": codes.ENVELOPE_RECIPIENTS,
    "envelope_key_epoch_old": codes.ENVELOPE_EPOCH,
}


def check_for_authorities(
    context: CallContext, envelope: Envelope, flow: bytes, stage: str, commitment: bytes
) -> tuple[bytes, int]:
    """Checks an envelope that every current authority must be able to open, and returns what its packet needs.

    Returns:
        The envelope's digest, and the highest epoch among the authorities' keys.

    Refuses with ``flow_key_missing`` while no authority has a key, else with the ``flow_envelope_*`` codes.
    """
    keys = [key for _, key in authority_keys(context)]
    if not keys:
        raise Refusal(codes.KEY_MISSING, "no authority has an encryption key on this chain yet")
    _check(envelope, EnvelopeContext(context.block.chain_id, flow, stage, context.sender.key, commitment), keys)
    return envelope_digest(envelope), max(key.epoch for key in keys)


def check_copy(
    context: CallContext, envelope: Envelope, flow: bytes, stage: str, commitment: bytes, owners: Sequence[bytes]
) -> SealedCopy:
    """Checks an envelope that exactly the current keys of ``owners`` may open; returns the record to store.

    Refuses with ``flow_key_missing`` where an owner has no key, else with the ``flow_envelope_*`` codes.
    """
    keys: list[EncryptionKey] = []
    for owner in owners:
        key = current_key(context, owner)
        if key is None:
            raise Refusal(codes.KEY_MISSING, f"{key_text(owner)} has published no encryption key", owner=owner)
        keys.append(key)
    sender = context.sender.key
    _check(envelope, EnvelopeContext(context.block.chain_id, flow, stage, sender, commitment), keys)
    if len(envelope.stanzas) != len({key_id(key) for key in keys}):
        raise Refusal(codes.ENVELOPE_RECIPIENTS, f"the envelope of stage {stage} has a recipient too many")
    return SealedCopy(stage, sender, commitment, envelope)


def _check(envelope: Envelope, where: EnvelopeContext, keys: Sequence[EncryptionKey]) -> None:
    if len(encode(envelope)) > MAX_ATTACHMENT_BYTES:
        raise Refusal(codes.ENVELOPE_OVERSIZED, f"an envelope has at most {MAX_ATTACHMENT_BYTES} bytes")
    try:
        check_envelope(envelope, where)
        check_recipients(envelope, keys)
    except InvalidEnvelope as error:
        raise Refusal(_CODES.get(error.code, codes.ENVELOPE_INVALID), error.message, stage=where.stage) from error
