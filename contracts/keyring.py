"""Contract ``keyring``: encryption keys by owner, in epochs (PROTOCOL.md 2.5).

Everybody publishes his own keys. On the supervision chain an authority's notices go to the business chain too, which
takes one only with the transaction that the authority itself signed. Records:

* ``c ‖ owner`` → the owner's last ``Published``; ``h ‖ owner ‖ u64 epoch`` → each one;
* ``x ‖ owner`` and ``y ‖ owner ‖ u64 epoch`` → the same for authorities of the other chain, out of packets;
* ``n ‖ owner`` → ``Announced``: what the other chain was told last, and what it said.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts import decisions, messages
from contracts.bridge import outbox
from contracts.bridge.clients import chain_of
from contracts.codes import METHOD_UNKNOWN, NOT_PERMITTED, Refusal
from contracts.governance.policies import AUTHORITIES, SUPERVISION_AUTHORITIES, find_policy, keys_of
from contracts.interface import CallContext, Contract, EndContext, method, view
from contracts.messages import KEY_NOTICE, KeyNotice, Taken
from ledger.encoding import Codec, Record, encode
from ledger.envelope_key import EncryptionKey, check_encryption_key
from ledger.errors import InvalidEnvelope, InvalidInput, NotFound
from ledger.keys import key_text
from ledger.packet import ANSWER_OK, Answer, Packet, PacketOrigin
from ledger.transaction import Transaction
from ledger.types import MAX_HEIGHT, PublicKey

KIND: Final = "keyring"
MAX_PAGE: Final = 64
STALE: Final = "stale"
APPLIED: Final = "applied"
EPOCH_WRONG: Final = "keyring_epoch_wrong"
KEY_INVALID: Final = "keyring_key_invalid"
NOT_AUTHORITY: Final = "keyring_not_authority"
EVIDENCE_MISSING: Final = "keyring_evidence_missing"
PACKET_INVALID: Final = "keyring_packet_invalid"

_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class Published(Record, frozen=True):
    """A key of some epoch, and where it was published.

    Attributes:
        notice: as its owner signed it.
        tx_id: the owner's transaction, on the chain where it was published.
        height: of this chain's block that took it.
    """

    notice: KeyNotice
    tx_id: _Hash
    height: _Height


class Announced(Record, frozen=True):
    """What was last told to the other chain of an authority's keys.

    Attributes:
        chain: id of that chain.
        epoch: of the notice.
        sequence: of the packet.
        code: of the answer; empty while there is none.
    """

    chain: _Hash
    epoch: _Height
    sequence: _Height
    code: Annotated[str, Meta(max_length=64)]


class Nothing(Record, frozen=True):
    """No arguments."""


class OwnerQuery(Record, frozen=True):
    """Names the owner of keys: a signing key."""

    owner: _Key


class EpochQuery(Record, frozen=True):
    """Names one epoch of an owner's keys."""

    owner: _Key
    epoch: _Height


class HistoryQuery(Record, frozen=True):
    """Epochs of an owner's keys after ``after``."""

    owner: _Key
    after: _Height
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class KeyPage(Record, frozen=True):
    """Keys: of one owner by epoch, or of several by owner."""

    keys: tuple[Published, ...]


class Sent(Record, frozen=True):
    """How many notices were sent to the other chain; what it has, or what is under way, is not sent again."""

    sent: Annotated[int, Meta(ge=0, le=2**31 - 1)]


published_codec = Codec(Published, 4_096, "published key")
announced_codec = Codec(Announced, 1_024, "announced key")


# --- what other contracts ask -----------------------------------------------------------------------------------------


def current_key(context: EndContext, owner: bytes) -> EncryptionKey | None:
    """The encryption key of ``owner`` now, or None where it has published none or retired it.

    Asked with the context of any contract. Of an authority of the other chain: the one that its packets brought.
    """
    ring = context.enter_kind(KIND)
    found = _load(ring, b"x" + owner) or _load(ring, b"c" + owner)
    return None if found is None else _usable(found)


def key_at(context: EndContext, owner: bytes, epoch: int) -> EncryptionKey | None:
    """The key of ``owner`` in ``epoch``, replaced since or not; None where there was none or it was a retirement."""
    ring = context.enter_kind(KIND)
    tail = owner + epoch.to_bytes(8, "big")
    found = _load(ring, b"y" + tail) or _load(ring, b"h" + tail)
    return None if found is None else _usable(found)


def authority_keys(context: EndContext) -> tuple[tuple[PublicKey, EncryptionKey], ...]:
    """(owner, key) of every authority that has a key now, sorted by owner: whom documents are sealed to.

    On the business chain, the authorities are those of policy ``supervision.authorities`` and the keys those that
    packets brought; on the supervision chain they are its own policy ``authorities``. Any contract's context asks.
    """
    return tuple(
        (PublicKey(found.notice.owner), key)
        for found in _authorities(context.enter_kind(KIND))
        if (key := _usable(found)) is not None
    )


def _authorities(ring: EndContext) -> list[Published]:
    """The last notice of each authority that has published one, retired ones included; sorted by owner."""
    prefix, lock = b"x", find_policy(ring, SUPERVISION_AUTHORITIES)
    if lock is None:
        prefix, lock = b"c", find_policy(ring, AUTHORITIES)
    found = [] if lock is None else [_load(ring, prefix + owner) for owner in keys_of(lock)]
    return [published for published in found if published is not None]


def _load(ring: EndContext, key: bytes) -> Published | None:
    data = ring.state.get(key)
    return None if data is None else published_codec.decode(data)


def _usable(found: Published) -> EncryptionKey | None:
    notice = found.notice
    return None if notice.retired else EncryptionKey(notice.suite, notice.epoch, notice.public)


# --- the contract -----------------------------------------------------------------------------------------------------


class Keyring(Contract):
    """See the module."""

    kind = KIND

    @method
    def publish(self, context: CallContext, arguments: decisions.Publish) -> None:
        """Publishes the sender's encryption key of the next epoch, or that it has none from now on."""
        notice = arguments.notice
        if notice.owner != context.sender.key:
            raise Refusal(NOT_PERMITTED, "a key is published by its owner")
        last = _load(context, b"c" + notice.owner)
        expected = 1 if last is None else last.notice.epoch + 1
        if notice.epoch != expected:
            raise Refusal(EPOCH_WRONG, f"the next epoch of this owner is {expected}, not {notice.epoch}")
        _check_key(notice)
        authority = notice.owner in _local_authorities(context)
        if authority:
            outbox.check_evidence(context)
        published = Published(notice, context.transaction.tx_id, context.block.height)
        _store(context, b"c", b"h", published)
        context.emit("key_published", published)
        if authority:
            # The key holds here whatever the way to the other chain is like; ``announce`` sends it later.
            context.attempt(lambda: _announce(context, published))

    @method
    def announce(self, context: CallContext, arguments: Nothing) -> Sent:
        """Sends the authorities' current keys to the other chain, as far as it has not got them."""
        del arguments
        sent = 0
        for owner in _local_authorities(context):
            published = _load(context, b"c" + owner)
            if published is not None and _announce(context, published):
                sent += 1
        return Sent(sent)

    def on_packet(self, context: CallContext, packet: Packet, origin: PacketOrigin) -> Taken:
        """Takes an authority's key from the supervision chain, when the authority itself signed it there."""
        if packet.kind != KEY_NOTICE:
            raise Refusal(METHOD_UNKNOWN, f"{self.address} takes no packets such as {packet.kind!r}")
        if packet.sender != KIND or packet.source != _client_chain(context, "supervision"):
            raise Refusal(NOT_PERMITTED, "keys of authorities come from the keyring of the supervision chain")
        try:
            notice = messages.key_notice_codec.decode(packet.payload)
        except InvalidInput as error:
            raise Refusal(PACKET_INVALID, error.message) from error
        lock = find_policy(context, SUPERVISION_AUTHORITIES)
        if lock is None or notice.owner not in keys_of(lock):
            raise Refusal(NOT_AUTHORITY, f"{key_text(notice.owner)} is no authority of the supervision chain")
        tx_id = _evidence(packet, origin, notice)
        _check_key(notice)
        last = _load(context, b"x" + notice.owner)
        if last is not None and notice.epoch <= last.notice.epoch:
            return Taken(STALE)
        published = Published(notice, tx_id, context.block.height)
        _store(context, b"x", b"y", published)
        context.emit("authority_key_taken", published)
        return Taken(APPLIED)

    def on_answer(self, context: CallContext, packet: Packet, answer: Answer) -> None:
        """Notes what the other chain said, so that ``announce`` repeats what it refused."""
        notice = messages.key_notice_codec.decode(packet.payload)
        data = context.state.get(b"n" + notice.owner)
        last = None if data is None else announced_codec.decode(data)
        if last is not None and (last.chain, last.sequence) == (packet.destination, packet.sequence):
            noted = Announced(last.chain, last.epoch, last.sequence, answer.code)
            context.state.put(b"n" + notice.owner, encode(noted))

    # --- views ------------------------------------------------------------------------------------------------------

    @view
    def key(self, context: EndContext, arguments: OwnerQuery) -> Published:
        """The last key of an owner; of an authority of the other chain, what packets brought."""
        found = _load(context, b"x" + arguments.owner) or _load(context, b"c" + arguments.owner)
        if found is None:
            raise NotFound(f"{key_text(arguments.owner)} has published no encryption key")
        return found

    @view
    def epoch(self, context: EndContext, arguments: EpochQuery) -> Published:
        """The key of one epoch of an owner."""
        tail = arguments.owner + arguments.epoch.to_bytes(8, "big")
        found = _load(context, b"y" + tail) or _load(context, b"h" + tail)
        if found is None:
            raise NotFound(f"{key_text(arguments.owner)} has no encryption key of epoch {arguments.epoch}")
        return found

    @view
    def history(self, context: EndContext, arguments: HistoryQuery) -> KeyPage:
        """The keys of an owner, by epoch."""
        prefix = (b"h" if _load(context, b"x" + arguments.owner) is None else b"y") + arguments.owner
        start = prefix + (arguments.after + 1).to_bytes(8, "big")
        rows = context.state.iterate(prefix, start=start, limit=arguments.limit)
        return KeyPage(tuple(published_codec.decode(data) for _, data in rows))

    @view
    def authorities(self, context: EndContext, arguments: Nothing) -> KeyPage:
        """The current keys of the authorities, by owner: whom documents are sealed to."""
        del arguments
        return KeyPage(tuple(found for found in _authorities(context) if not found.notice.retired))

    @view
    def announced(self, context: EndContext, arguments: OwnerQuery) -> Announced:
        """What the other chain was told last of an authority's keys, and what it said."""
        data = context.state.get(b"n" + arguments.owner)
        if data is None:
            raise NotFound(f"no key of {key_text(arguments.owner)} was announced")
        return announced_codec.decode(data)


def _local_authorities(context: EndContext) -> tuple[PublicKey, ...]:
    lock = find_policy(context, AUTHORITIES)
    return () if lock is None else keys_of(lock)


def _store(context: EndContext, current: bytes, history: bytes, published: Published) -> None:
    data, owner = encode(published), published.notice.owner
    context.state.put(current + owner, data)
    context.state.put(history + owner + published.notice.epoch.to_bytes(8, "big"), data)


def _check_key(notice: KeyNotice) -> None:
    if notice.retired:
        return
    try:
        check_encryption_key(EncryptionKey(notice.suite, notice.epoch, notice.public))
    except InvalidEnvelope as error:
        raise Refusal(KEY_INVALID, error.message) from error


def _client_chain(context: CallContext, role: str) -> bytes:
    """Id of the chain that this one has a client of in that role; empty where there is none."""
    try:
        return chain_of(context, role)
    except Refusal:
        return b""


def _announce(context: CallContext, published: Published) -> bool:
    """Sends a notice to the business chain, where there is one that has not got it and is not about to."""
    chain = _client_chain(context, "business")
    if not chain:
        return False
    notice, key = published.notice, b"n" + published.notice.owner
    data = context.state.get(key)
    last = None if data is None else announced_codec.decode(data)
    if last is not None and (last.chain, last.epoch) == (chain, notice.epoch) and last.code in ("", ANSWER_OK):
        return False
    sequence = outbox.send(
        context, role="business", receiver=KIND, kind=KEY_NOTICE, payload=notice, evidence=(published.tx_id,)
    )
    context.state.put(key, encode(Announced(chain, notice.epoch, sequence, "")))
    return True


def _evidence(packet: Packet, origin: PacketOrigin, notice: KeyNotice) -> bytes:
    """Id of the transaction, among those proved, in which the owner published exactly this notice."""
    for tx_id, transaction in origin.evidence.items():
        body = transaction.body
        if body.chain_id == packet.source and body.sender == notice.owner and _publishes(transaction, notice):
            return tx_id
    raise Refusal(EVIDENCE_MISSING, "no transaction of the owner that publishes this key comes with it")


def _publishes(transaction: Transaction, notice: KeyNotice) -> bool:
    arguments = encode(decisions.Publish(notice))
    return any(
        call.contract == KIND and call.method == decisions.PUBLISH and call.arguments == arguments
        for call in transaction.body.calls
    )
