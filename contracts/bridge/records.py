"""What is said to the bridge, what it answers, and the events that it emits.

Packets and answers themselves are events named ``packet`` and ``answer`` with the records of ``ledger.packet``.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.light_client import ClientState
from ledger.packet import MAX_ATTACHMENT_BYTES, HeaderProof, Packet
from ledger.transaction import MAX_CALL_BYTES
from ledger.types import MAX_HEIGHT
from ledger.validators import MAX_VALIDATORS

SUPERVISION: Final = "supervision"
BUSINESS: Final = "business"
ROLES: Final = (BUSINESS, SUPERVISION)
"""What another chain may be to this one; at most one client for each."""
REGISTER_CLIENT: Final = "register_client"
REPLACE_CLIENT: Final = "replace_client"
"""Governed actions; their data is a ``RegisterClient``."""
CLIENT_REGISTERED: Final = "client_registered"
CLIENT_FROZEN: Final = "client_frozen"
MAX_PAGE: Final = 200
MAX_FOLLOWED_HEADERS: Final = 16
MAX_FOLLOWED_SEALS: Final = 512
"""Headers of one ``follow``, and the signatures that their certificates have together."""

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Role = Annotated[str, Meta(min_length=1, max_length=16)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Sequence = Annotated[int, Meta(ge=1, le=2**53 - 1)]
HeightNumber = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Staleness = Annotated[int, Meta(ge=1_000, le=7 * 24 * 3_600_000)]
Key = Annotated[bytes, Meta(min_length=33, max_length=33)]


class RegisterClient(Record, frozen=True):
    """Governed actions ``register_client`` and ``replace_client``: from where on the other chain is believed.

    Attributes:
        role: what the other chain is to this one, from ``ROLES``.
        name: of the other chain.
        bridge: address of the bridge contract there.
        header: canonical bytes of a header of it that the governors vouch for; block 0 will do.
        validators: keys of the set that this header names for the next height.
        max_staleness_ms: relays renew the client at half of it even when there is nothing to carry.
    """

    role: Role
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    bridge: Annotated[str, Meta(min_length=1, max_length=64)]
    header: Annotated[bytes, Meta(max_length=4_096)]
    validators: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]
    max_staleness_ms: Staleness


register_codec = Codec(RegisterClient, 16 * 1024, "register_client")


class ConflictingHeaders(Record, frozen=True):
    """``report_conflict``: two headers of one height, each with its commit certificate."""

    first: HeaderProof
    second: HeaderProof


class Headers(Record, frozen=True):
    """``follow``: headers of one chain by height, above all those that change its validator set.

    Each is proved as the client stands after the one before it; those that are not above the client's latest one are
    passed over, for another relay may have been faster.
    """

    proofs: Annotated[tuple[HeaderProof, ...], Meta(min_length=1, max_length=MAX_FOLLOWED_HEADERS)]


class Followed(Record, frozen=True):
    """What ``follow`` came to.

    Attributes:
        taken: headers that were new.
        height: of the client's latest header now.
        frozen: True when one of them contradicts a kept one: the client is frozen now.
    """

    taken: Count
    height: HeightNumber
    frozen: bool


class Delivered(Record, frozen=True):
    """What a delivery came to.

    Attributes:
        taken: packets that the receivers accepted.
        refused: packets that were answered with a refusal, or had expired.
        answered: packets of ours that were closed.
        skipped: packets and answers that were in already, or answer nothing that is open.
        left: packets and answers that were not looked at, because the delivery does not carry what they name, or
            because a transaction does no more than so much; they can come again.
        frozen: True when the header contradicts a kept one: the client is frozen now, and nothing else was done.
    """

    taken: Count
    refused: Count
    answered: Count
    skipped: Count
    left: Count
    frozen: bool


class ClientEvent(Record, frozen=True):
    """Data of ``client_registered`` and ``client_frozen``.

    Attributes:
        role: of the client.
        chain_id: of the other chain.
        height: of the header that it begins with, or of the two that contradict each other.
    """

    role: Role
    chain_id: Hash
    height: HeightNumber


class RoleQuery(Record, frozen=True):
    """Names the client of a role, and its lanes."""

    role: Role


class NoQuery(Record, frozen=True):
    """Nothing to say."""


class ClientView(Record, frozen=True):
    """A light client as it stands."""

    role: Role
    max_staleness_ms: Staleness
    state: ClientState


class ClientList(Record, frozen=True):
    """All light clients, by role."""

    clients: tuple[ClientView, ...]


class OutboxQuery(Record, frozen=True):
    """A page of the packets of a lane that wait for their answer, with sequences above ``after``."""

    role: Role
    after: Count
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class OutboxItem(Record, frozen=True):
    """A packet that waits for its answer.

    Attributes:
        height: block that emitted it.
        time_ms: of that block.
        packet: itself.
    """

    height: HeightNumber
    time_ms: Time
    packet: Packet


class OutboxPage(Record, frozen=True):
    """Packets by sequence; ``more`` when the page does not reach the end."""

    items: tuple[OutboxItem, ...]
    more: bool


class LaneView(Record, frozen=True):
    """Both directions between this chain and the one of a role.

    Attributes:
        sent: packets sent so far; the newest one's sequence.
        answered: of those.
        held_bytes: attachments kept for the unanswered ones.
        oldest_sequence: of the unanswered packets; 0 where there are none. Likewise its height and time.
        oldest_height: see there.
        oldest_ms: see there.
        watermark: every packet from there up to this sequence was taken.
        delivered: packets from there taken so far, refused and expired ones included.
        known_ms: until when everything that the supervision chain said is known here; 0 for other roles.
    """

    sent: Count
    answered: Count
    held_bytes: Count
    oldest_sequence: Count
    oldest_height: HeightNumber
    oldest_ms: Time
    watermark: Count
    delivered: Count
    known_ms: Time


class DeliveredQuery(Record, frozen=True):
    """Which of these packets of the other chain are in?"""

    role: Role
    sequences: Annotated[tuple[Sequence, ...], Meta(min_length=1, max_length=MAX_PAGE)]


class DeliveredView(Record, frozen=True):
    """For each sequence asked for: was it taken, and in which block is its answer (0: not in, or long ago)."""

    taken: tuple[bool, ...]
    heights: tuple[HeightNumber, ...]


class AttachmentQuery(Record, frozen=True):
    """Names an attachment of a packet that waits for its answer."""

    role: Role
    sequence: Sequence
    digest: Hash


class AttachmentView(Record, frozen=True):
    """Its bytes."""

    data: Annotated[bytes, Meta(max_length=MAX_ATTACHMENT_BYTES)]


conflict_codec = Codec(ConflictingHeaders, MAX_CALL_BYTES, "conflicting headers")
