"""What the commission contract keeps, and under which keys.

Bookings of an agreement are numbered in booking order (their *sequence*), requests too. Requests take sequences without
gaps, so "requested" needs no mark on each record: it is a sequence at or below ``Tally.requested``.

    v ‖ agreement                      Versions: parties and completed versions
    a ‖ agreement ‖ 00 ‖ u32 version   Agreement: a completed version
    d ‖ agreement ‖ 00 ‖ hash          Draft: signed by one party
    h ‖ u64 height                     agreements with a version that activates there
    t ‖ agreement                      Tally: counters, books, places in the queues
    p ‖ agreement ‖ 00 ‖ policy        PolicyHead: its latest booking
    b ‖ agreement ‖ 00 ‖ u64 sequence  Booking, never changed
    x ‖ agreement ‖ 00 ‖ u64 sequence  Cancellation of that booking
    o ‖ record id                      RecordPlace: where the booking is
    q ‖ agreement ‖ 00 ‖ u64 sequence  QueueEntry: pending and unrequested
    r ‖ agreement ‖ 00 ‖ u64 request   SettlementRequest, never changed
    s ‖ agreement ‖ 00 ‖ u64 request   RequestState
    e ‖ agreement ‖ 00 ‖ u64 request   Settlement of that request
    u ‖ agreement ‖ 00 ‖ u64 request   nothing: the request is open
    n ‖ agreement ‖ 00 ‖ u64 place     Clawback, nettable
    w ‖ agreement ‖ 00 ‖ u64 request ‖ u64 number   Clawback that waits for its request's settlement
    c ‖ u64 time ‖ agreement           nothing: the agreement is due at that block time
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from contracts.codes import Refusal
from contracts.commission.calls import SettlementRequest
from contracts.commission.codes import AGREEMENT_UNKNOWN
from contracts.commission.records import (
    Agreement,
    AgreementId,
    AmountOrZero,
    CommissionRecord,
    Count,
    Hash,
    HeightNumber,
    Key,
    LockText,
    Name,
    OutPointBytes,
    Party,
    PositiveAmount,
    RecordOutput,
    Time,
    Word,
)
from contracts.interface import StateSpace
from ledger.encoding import Codec, Record, encode
from ledger.errors import BrokenInvariant

_HashOrNothing = Annotated[bytes, Meta(max_length=32)]
_OutPointOrNothing = Annotated[bytes, Meta(max_length=36)]


class Version(Record, frozen=True):
    """A completed version; those before the one in force are not listed in ``Versions.current``."""

    version: Count
    activation_height: HeightNumber


class Versions(Record, frozen=True):
    """Head of an agreement: its fixed parties, and the versions that hold now or later, by activation height."""

    platform: Name
    insurer: Name
    latest: Count
    current: tuple[Version, ...]

    def in_force(self, height: int) -> int:
        """Number of the version that holds at ``height``, 0 when none does yet."""
        found = 0
        for entry in self.current:
            if entry.activation_height <= height:
                found = entry.version
        return found


class Draft(Record, frozen=True):
    """A draft and the party that signed it."""

    agreement: Agreement
    signed_by: Word


class Activations(Record, frozen=True):
    """Agreements whose next version activates at one height, in order of completion."""

    agreements: tuple[AgreementId, ...]


class PolicyHead(Record, frozen=True):
    """The latest booking of a policy."""

    revision: Count
    sequence: Count
    cancelled: bool


class Booking(Record, frozen=True):
    """A booking as made; ``first_booked_ms`` is the time of the booking that its corrections began with."""

    agreement: AgreementId
    policy: Name
    revision: Count
    sequence: Count
    version: Count
    record: CommissionRecord
    outpoint: OutPointBytes
    commission: PositiveAmount
    pending: Name
    settled: Name
    clawback: Name
    booked_ms: Time
    first_booked_ms: Time


class Cancellation(Record, frozen=True):
    """How a booking ended: the record of the cancellation or correction, and the clawback that it left, if any."""

    record: CommissionRecord
    clawback: _OutPointOrNothing


class RecordPlace(Record, frozen=True):
    """Where a record id's booking is."""

    agreement: AgreementId
    sequence: Count


class QueueEntry(Record, frozen=True):
    """A pending record that no request has taken."""

    outpoint: OutPointBytes
    amount: PositiveAmount
    settled: Name
    booked_ms: Time


class Clawback(Record, frozen=True):
    """A clawback output that has not been netted."""

    outpoint: OutPointBytes
    amount: PositiveAmount
    account: Name
    record: Hash


class Settlement(Record, frozen=True):
    """What settled a request: kept so that its record (PROTOCOL.md 1.1) can be shown.

    Attributes:
        transaction_id: of the settlement.
        unlock: policy of the insurer's signature.
        clawbacks: outputs netted, in order.
        outputs: settled outputs, or the clawback carried.
    """

    transaction_id: Hash
    unlock: LockText
    clawbacks: tuple[Clawback, ...]
    outputs: tuple[RecordOutput, ...]


class RequestState(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What changes of a request.

    Attributes:
        last_sequence: highest sequence in it; requests are found by it.
        count: records.
        amount: their sum.
        reason: as in the request, which can be long; likewise the next two.
        time_ms: …
        batch_hash: …
        waiting: clawbacks of its records created before it was settled.
        cancelled_amount: sum of its records cancelled before it was settled.
        settled_by: transaction, or nothing.
        settled_ms: block time, or 0.
        paid: currency moved by it.
    """

    last_sequence: Count
    count: Count
    amount: AmountOrZero
    reason: Word
    time_ms: Time
    batch_hash: Hash
    waiting: Count = 0
    cancelled_amount: AmountOrZero = 0
    settled_by: _HashOrNothing = b""
    settled_ms: Time = 0
    paid: AmountOrZero = 0


class Tally(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Counters and books of one agreement. All amounts are at most ``booked``, which is at most 2⁶³−1.

    Attributes:
        sequence: of the last booking.
        requested: last sequence that a request has taken or passed.
        requests: number of the last request.
        requests_open: requests not settled.
        clawback_first: place of the first nettable clawback.
        clawback_next: place that the next one gets; equal when there is none.
        booked: see ``answers.Books``; likewise the next six.
        pending: …
        settled: …
        cancelled: …
        paid: …
        clawbacks: …
        clawbacks_waiting: …
        cancelled_count: bookings cancelled.
        unrequested_count: records in the queue.
        unrequested_amount: their sum.
        oldest_ms: no record in the queue was booked before this; 0 when it is empty.
        due_ms: block time under which the agreement stands in the due index; 0: it does not.
        schedule_ms: the next scheduled time, 0 when there is none or the queue is empty.
        early: party that asked for early settlement, not served yet; or empty.
    """

    sequence: Count = 0
    requested: Count = 0
    requests: Count = 0
    requests_open: Count = 0
    clawback_first: Count = 1
    clawback_next: Count = 1
    booked: AmountOrZero = 0
    pending: AmountOrZero = 0
    settled: AmountOrZero = 0
    cancelled: AmountOrZero = 0
    paid: AmountOrZero = 0
    clawbacks: AmountOrZero = 0
    clawbacks_waiting: AmountOrZero = 0
    cancelled_count: Count = 0
    unrequested_count: Count = 0
    unrequested_amount: AmountOrZero = 0
    oldest_ms: Time = 0
    due_ms: Time = 0
    schedule_ms: Time = 0
    early: str = ""


_MAX = 256 * 1024
versions_codec = Codec(Versions, _MAX)
agreement_codec = Codec(Agreement, _MAX)
draft_codec = Codec(Draft, _MAX)
activations_codec = Codec(Activations, _MAX)
policy_codec = Codec(PolicyHead, _MAX)
booking_codec = Codec(Booking, _MAX)
cancellation_codec = Codec(Cancellation, _MAX)
place_codec = Codec(RecordPlace, _MAX)
queue_codec = Codec(QueueEntry, _MAX)
request_codec = Codec(SettlementRequest, _MAX)
settlement_codec = Codec(Settlement, 4 * _MAX)
request_state_codec = Codec(RequestState, _MAX)
clawback_codec = Codec(Clawback, _MAX)
tally_codec = Codec(Tally, _MAX)

decode_agreement = lru_cache(maxsize=1_024)(agreement_codec.decode)
"""Agreements are read at every booking and never change; equal bytes are decoded once."""


def number(value: int) -> bytes:
    """A number in a key, so that byte order is its order."""
    return value.to_bytes(8, "big")


def versions_key(agreement: str) -> bytes:
    """Key of ``Versions``."""
    return b"v" + agreement.encode()


def agreement_key(agreement: str, version: int) -> bytes:
    """Key of a completed version."""
    return b"a" + agreement.encode() + b"\x00" + version.to_bytes(4, "big")


def activated_key(agreement: str, version: int) -> bytes:
    """Key of the height that a completed version holds from."""
    return b"f" + agreement.encode() + b"\x00" + version.to_bytes(4, "big")


def tally_key(agreement: str) -> bytes:
    """Key of ``Tally``."""
    return b"t" + agreement.encode()


def policy_key(agreement: str, policy: str) -> bytes:
    """Key of ``PolicyHead``."""
    return b"p" + agreement.encode() + b"\x00" + policy.encode()


def listed_prefix(kind: bytes, agreement: str) -> bytes:
    """Beginning of the keys of one kind that are numbered within an agreement (also drafts, by hash)."""
    return kind + agreement.encode() + b"\x00"


def listed_key(kind: bytes, agreement: str, place: int) -> bytes:
    """Key of kind ``b``, ``x``, ``q``, ``r``, ``s``, ``e``, ``u`` or ``n``."""
    return kind + agreement.encode() + b"\x00" + place.to_bytes(8, "big")


def draft_key(agreement: str, terms_hash: bytes) -> bytes:
    """Key of a draft."""
    return b"d" + agreement.encode() + b"\x00" + terms_hash


def waiting_key(agreement: str, request: int, place: int) -> bytes:
    """Key of a clawback that waits for its request."""
    return b"w" + agreement.encode() + b"\x00" + number(request) + number(place)


def activation_key(height: int) -> bytes:
    """Key of the agreements that change at a height."""
    return b"h" + number(height)


def due_key(time_ms: int, agreement: str) -> bytes:
    """Key in the due index, ordered by time."""
    return b"c" + number(time_ms) + agreement.encode()


def load(state: StateSpace, key: bytes, codec: Codec[Any]) -> Any:
    """The record under a key that must be there."""
    data = state.get(key)
    if data is None:
        raise BrokenInvariant(f"commission: nothing under {key!r}", key=key)
    return codec.decode(data)


def load_versions(state: StateSpace, agreement: str) -> Versions:
    """The agreement's head; refuses with ``commission_agreement_unknown``."""
    data = state.get(versions_key(agreement))
    if data is None:
        raise Refusal(
            AGREEMENT_UNKNOWN, f"there is no agreement {agreement!r} that both parties signed; propose and sign one"
        )
    return versions_codec.decode(data)


def load_agreement(state: StateSpace, agreement: str, version: int) -> Agreement:
    """A completed version that must be there."""
    data = state.get(agreement_key(agreement, version))
    if data is None:
        raise BrokenInvariant(f"commission: version {version} of {agreement!r} is missing")
    return decode_agreement(data)


def load_activation(state: StateSpace, agreement: str, version: int) -> int:
    """The height that a completed version holds from."""
    data = state.get(activated_key(agreement, version))
    if data is None:
        raise BrokenInvariant(f"commission: the activation of version {version} of {agreement!r} is missing")
    return int.from_bytes(data, "big")


def load_tally(state: StateSpace, agreement: str) -> Tally:
    """The agreement's counters, fresh to be changed and stored again."""
    data = state.get(tally_key(agreement))
    return Tally() if data is None else tally_codec.decode(data)


def store_tally(state: StateSpace, agreement: str, tally: Tally) -> None:
    """Writes the counters back."""
    state.put(tally_key(agreement), encode(tally))


def claim_asset(address: str, currency: str) -> str:
    """Asset of pending and settled outputs in that currency."""
    return f"{address}:claim:{currency}"


def clawback_asset(address: str, currency: str) -> str:
    """Asset of clawback outputs in that currency."""
    return f"{address}:clawback:{currency}"


def account_lock(address: str, account: str) -> str:
    """Lock text of every claim and clawback output: the contract and the account, never the contract alone."""
    return f"all(contract({address}),account({account}))"


def parties_lock(platform: Party, insurer: Party) -> tuple[str, str]:
    """The two spellings of the lock that pending and clawback accounts carry."""
    first, second = key_lock(platform.key), key_lock(insurer.key)
    return f"any({first},{second})", f"any({second},{first})"


def key_lock(key: Key) -> str:
    """Lock text of one key's signature."""
    return f"key(ed25519:{key[1:].hex()})"
