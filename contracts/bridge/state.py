"""What the bridge keeps, and under which keys; ``role`` names the client and so the lane.

c ‖ role                        Client: the light client
n ‖ chain id                    role of the client of that chain
h ‖ role ‖ 00 ‖ u64 height      TrustedHeader: kept as anchor
k ‖ role ‖ 00 ‖ u32 slot        u64 height of the kept header in that slot of the ring
l ‖ role                        Outgoing: counters of the lane to the other chain
o ‖ role ‖ 00 ‖ u64 sequence    OutboxItem: sent and not answered
a ‖ role ‖ 00 ‖ u64 sequence ‖ digest   attachment of such a packet
i ‖ role                        Incoming: counters of the lane from the other chain
t ‖ role ‖ 00 ‖ u32 slot        Took: the last packet taken whose sequence falls on that slot of the ring
f ‖ role                        Freshness: until when everything that was said on the lane is known
"""

from __future__ import annotations

from typing import Final

from contracts.bridge.codes import NO_CLIENT
from contracts.bridge.records import Count, HeightNumber, OutboxItem, Role, Sequence, Staleness
from contracts.codes import Refusal
from contracts.interface import StateSpace
from ledger.encoding import Codec, Record, encode
from ledger.light_client import KEPT_HEADERS, ClientState, TrustedHeader, trusted_codec

MAX_OUTBOX: Final = 4_096
"""Span of a lane: how far the newest packet is ahead of the oldest unanswered one, and so of what the other side has
taken without gaps."""


class Client(Record, frozen=True):
    """A light client as stored; ``kept`` counts the headers that were ever kept: the next one's slot."""

    role: Role
    max_staleness_ms: Staleness
    kept: Count
    state: ClientState


class Outgoing(Record, frozen=True):
    """The lane to the other chain.

    Attributes:
        sent: sequence of the newest packet.
        answered: how many have their answer.
        closed: every packet up to this sequence has its answer.
        held_bytes: attachments of the others.
    """

    sent: Count
    answered: Count
    closed: Count
    held_bytes: Count


class Incoming(Record, frozen=True):
    """The lane from the other chain: everything up to ``watermark`` was taken; ``delivered`` counts all taken."""

    watermark: Count
    delivered: Count


class Took(Record, frozen=True):
    """A packet that was taken, and the block with its answer."""

    sequence: Sequence
    height: HeightNumber


client_codec = Codec(Client, 32 * 1024, "bridge client")
outgoing_codec = Codec(Outgoing, 64, "outgoing lane")
incoming_codec = Codec(Incoming, 64, "incoming lane")
took_codec = Codec(Took, 64, "taken packet")
item_codec = Codec(OutboxItem, 20 * 1024, "outbox item")


def find_client(state: StateSpace, role: str) -> Client | None:
    """The client of ``role``, or None."""
    data = state.get(b"c" + role.encode())
    return None if data is None else client_codec.decode(data)


def need_client(state: StateSpace, role: str) -> Client:
    """The client of ``role``; refuses with ``bridge_no_client``."""
    client = find_client(state, role)
    if client is None:
        raise Refusal(NO_CLIENT, f"no light client for the {role} chain is registered yet")
    return client


def role_of(state: StateSpace, chain_id: bytes) -> str | None:
    """Role of the client of a chain, or None."""
    data = state.get(b"n" + chain_id)
    return None if data is None else data.decode()


def store_client(state: StateSpace, client: Client) -> None:
    """Writes the client's record."""
    state.put(b"c" + client.role.encode(), encode(client))


def _numbered(kind: bytes, role: str, number: int, size_bytes: int = 8) -> bytes:
    return kind + role.encode() + b"\x00" + number.to_bytes(size_bytes, "big")


def kept_header(state: StateSpace, role: str, height: int) -> TrustedHeader | None:
    """The kept header of that height, or None."""
    data = state.get(_numbered(b"h", role, height))
    return None if data is None else trusted_codec.decode(data)


def keep_header(state: StateSpace, client: Client) -> None:
    """Stores the client with its latest header among the kept ones; the oldest kept one makes room."""
    role, latest = client.role, client.state.latest
    slot = _numbered(b"k", role, client.kept % KEPT_HEADERS, 4)
    pushed_out = state.get(slot)
    if pushed_out is not None:
        state.delete(_numbered(b"h", role, int.from_bytes(pushed_out, "big")))
    state.put(slot, latest.height.to_bytes(8, "big"))
    state.put(_numbered(b"h", role, latest.height), encode(latest))
    store_client(state, Client(role, client.max_staleness_ms, client.kept + 1, client.state))


def forget_headers(state: StateSpace, client: Client) -> None:
    """Drops every kept header: at most ``KEPT_HEADERS``."""
    for index in range(min(client.kept, KEPT_HEADERS)):
        slot = _numbered(b"k", client.role, index, 4)
        height = state.get(slot)
        if height is not None:
            state.delete(_numbered(b"h", client.role, int.from_bytes(height, "big")))
            state.delete(slot)


def outgoing(state: StateSpace, role: str) -> Outgoing:
    """Counters of the lane to the chain of ``role``."""
    data = state.get(b"l" + role.encode())
    return Outgoing(0, 0, 0, 0) if data is None else outgoing_codec.decode(data)


def store_outgoing(state: StateSpace, role: str, lane: Outgoing) -> None:
    """Writes them."""
    state.put(b"l" + role.encode(), encode(lane))


def item_key(role: str, sequence: int) -> bytes:
    """Key of an outbox item."""
    return _numbered(b"o", role, sequence)


def outbox_prefix(role: str) -> bytes:
    """Where a lane's outbox items are."""
    return b"o" + role.encode() + b"\x00"


def find_item(state: StateSpace, role: str, sequence: int) -> OutboxItem | None:
    """The packet of that sequence while it waits for its answer."""
    data = state.get(item_key(role, sequence))
    return None if data is None else item_codec.decode(data)


def attachment_key(role: str, sequence: int, digest: bytes) -> bytes:
    """Key of an attachment of an unanswered packet."""
    return _numbered(b"a", role, sequence) + digest


def incoming(state: StateSpace, role: str) -> Incoming:
    """Counters of the lane from the chain of ``role``."""
    data = state.get(b"i" + role.encode())
    return Incoming(0, 0) if data is None else incoming_codec.decode(data)


def store_incoming(state: StateSpace, role: str, lane: Incoming) -> None:
    """Writes them."""
    state.put(b"i" + role.encode(), encode(lane))


def took(state: StateSpace, role: str, sequence: int) -> Took | None:
    """When the packet of that sequence was taken, as long as nothing newer fell on its slot.

    A slot is only used again by a sequence ``MAX_OUTBOX`` higher, which comes once this one is below the watermark.
    """
    data = state.get(_numbered(b"t", role, sequence % MAX_OUTBOX, 4))
    found = None if data is None else took_codec.decode(data)
    return found if found is not None and found.sequence == sequence else None


def take(state: StateSpace, role: str, sequence: int, height: int) -> None:
    """Notes that a packet was taken in block ``height``."""
    state.put(_numbered(b"t", role, sequence % MAX_OUTBOX, 4), encode(Took(sequence, height)))
