"""Contract ``rewraps``: content keys of sealed records, wrapped once more for a later key (PROTOCOL.md 2.5).

When an authority's key is replaced, the records that were sealed to the old one are opened by it alone. A rewrap lets
the new key open them too, and touches no ciphertext. It changes nothing about who may open: it is made by an authority
that could open the record, and only for a key that an authority has now. Records:

* ``w ‖ envelope digest ‖ recipient key id ‖ wrapper`` → ``Rewrap``; nobody's is in the way of another one's
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import Refusal
from contracts.governance.policies import AUTHORITIES, keys_of, policy
from contracts.interface import CallContext, Contract, EndContext, method, view
from contracts.keyring import authority_keys, key_at
from contracts.messages import Attempt, Hash, Word
from contracts.supervision.state import RequestRecord, load_request, place_key
from ledger.encoding import Record, encode
from ledger.envelope import (
    Envelope,
    EnvelopeContext,
    Rewrap,
    check_rewrap,
    envelope_codec,
    envelope_digest,
    rewrap_codec,
)
from ledger.envelope_key import key_id
from ledger.errors import InvalidEnvelope

KIND: Final = "rewraps"
MAX_REWRAPS: Final = 256
"""Of one record; there are at most as many keys of authorities in its life."""
RECORD_UNKNOWN: Final = "rewraps_record_unknown"
NOT_AUTHORITY: Final = "rewraps_not_authority"
NOT_RECIPIENT: Final = "rewraps_not_recipient"
RECIPIENT_WRONG: Final = "rewraps_recipient_wrong"
REWRAP_INVALID: Final = "rewraps_invalid"
EXISTS: Final = "rewraps_exists"
FULL: Final = "rewraps_full"


class StoreRewrap(Record, frozen=True):
    """Arguments of ``store``: a rewrap of the sealed record of a request, by its wrapper."""

    flow: Hash
    stage: Word
    attempt: Attempt
    rewrap: Rewrap


class RewrapsQuery(Record, frozen=True):
    """Names an envelope by its digest."""

    envelope: Hash


class RewrapsPage(Record, frozen=True):
    """The rewraps of an envelope, by recipient and wrapper."""

    rewraps: Annotated[tuple[Rewrap, ...], Meta(max_length=MAX_REWRAPS)]


class Rewraps(Contract):
    """See the module."""

    kind = KIND

    @method
    def store(self, context: CallContext, arguments: StoreRewrap) -> None:
        """Stores a rewrap of a sealed record for the current key of an authority; by an authority that could open."""
        sender, rewrap = context.sender.key, arguments.rewrap
        if sender not in keys_of(policy(context, AUTHORITIES)) or rewrap.wrapper != sender:
            raise Refusal(NOT_AUTHORITY, "an authority wraps for an authority, and sends it itself")
        record, envelope = _sealed(context, arguments)
        request = record.request
        where = EnvelopeContext(record.source, request.flow, request.stage, request.actor, request.commitment)
        try:
            check_rewrap(rewrap, envelope, where)
        except InvalidEnvelope as error:
            raise Refusal(REWRAP_INVALID, error.message) from error
        _check_recipient(context, rewrap)
        name = envelope_digest(envelope)
        if not _could_open(context, envelope, name, sender):
            raise Refusal(NOT_RECIPIENT, "no key of this authority is among the record's recipients")
        key = b"w" + name + rewrap.stanza.recipient + sender
        if context.state.get(key) is not None or envelope.stanza_for(rewrap.stanza.recipient) is not None:
            raise Refusal(EXISTS, "that key opens the record, or this authority wrapped it for that key, already")
        if len(list(context.state.iterate(b"w" + name, limit=MAX_REWRAPS))) == MAX_REWRAPS:
            raise Refusal(FULL, f"a record has at most {MAX_REWRAPS} rewraps")
        context.state.put(key, encode(rewrap))

    @view
    def rewraps(self, context: EndContext, arguments: RewrapsQuery) -> RewrapsPage:
        """The rewraps of an envelope."""
        return RewrapsPage(_rewraps(context, arguments.envelope))


def _sealed(context: CallContext, arguments: StoreRewrap) -> tuple[RequestRecord, Envelope]:
    state = context.enter_kind("supervision").state
    record = load_request(state, arguments.flow, arguments.stage, arguments.attempt)
    data = state.get(place_key(b"e", arguments.flow, arguments.stage, arguments.attempt))
    if record is None or data is None:
        raise Refusal(RECORD_UNKNOWN, "no sealed record came with such a request, or it is archived")
    return record, envelope_codec.decode(data)


def _check_recipient(context: CallContext, rewrap: Rewrap) -> None:
    """A rewrap makes nobody a recipient who is none: only keys that authorities have now."""
    for _, key in authority_keys(context):
        if key_id(key) == rewrap.stanza.recipient:
            if (key.suite, key.epoch) != (rewrap.stanza.suite, rewrap.stanza.epoch):
                break
            return
    raise Refusal(RECIPIENT_WRONG, "the key that it is wrapped for is no authority's now")


def _could_open(context: CallContext, envelope: Envelope, name: bytes, owner: bytes) -> bool:
    stanzas = [*envelope.stanzas, *(rewrap.stanza for rewrap in _rewraps(context, name))]
    for stanza in stanzas:
        key = key_at(context, owner, stanza.epoch)
        if key is not None and key_id(key) == stanza.recipient:
            return True
    return False


def _rewraps(context: EndContext, name: bytes) -> tuple[Rewrap, ...]:
    rows = context.state.iterate(b"w" + name, limit=MAX_REWRAPS)
    return tuple(rewrap_codec.decode(data) for _, data in rows)
