"""What the supervision contract keeps, and under which keys.

Requests are numbered as they come, sealed records too. Chain state only: envelopes are kept as they were sealed.

    z                                   Totals
    f ‖ flow                            FlowRecord
    v ‖ flow                            Attested: what an authority attested at filing
    r ‖ flow ‖ stage ‖ 00 ‖ u32 attempt RequestRecord
    e ‖ flow ‖ stage ‖ 00 ‖ u32 attempt the envelope's bytes
    j ‖ flow ‖ stage ‖ 00 ‖ u32 attempt Ballots: decisions that officers have begun to sign
    n ‖ u64 number                      Place of each request
    w ‖ u64 number                      Place: waits for an authority
    p ‖ u64 number                      Place: waits for officers
    d ‖ u64 deadline ‖ u64 number       Place: undecided, with a deadline
    i ‖ u64 number                      Place of each sealed record
    u ‖ subject ‖ u64 number            Place: sealed record under that pseudonym
    c ‖ commitment ‖ u64 number         Place: sealed record of that document
    h ‖ transaction                     Place: what that transaction authorised, confirmed or stored
    k ‖ flow                            Controls
    x ‖ kind ‖ 00 ‖ asset               Limits
    q ‖ u64 number                      Batch
    o ‖ organisation ‖ 00 ‖ kind ‖ 00 ‖ u64 last time ‖ u64 number   nothing: quota is left
    g ‖ u64 number                      Disclosure
    s ‖ dimension ‖ value ‖ 00 ‖ u32 day   Tallies
    t ‖ purpose                         count of grants
    a0 ‖ digest                         approvals (contracts.rulebook.approvals)
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from contracts.expression.attributes import MAX_ATTRIBUTES, Attribute
from contracts.interface import StateSpace
from contracts.messages import (
    Attempt,
    Code,
    Control,
    Hash,
    HashOrNothing,
    Key,
    KeyOrNothing,
    Limit,
    StageRequest,
    Time,
    Version,
    Word,
    WordOrNothing,
)
from contracts.supervision.answers import Count, Tallies
from contracts.supervision.calls import PENDING, WAITING, Batch, Disclosure, Number
from ledger.encoding import Codec, Record, encode

MAX_BALLOTS = 8
"""Different decisions on one request, controls of one flow, or limits, that officers may have begun to sign."""
MAX_ATTESTED_BYTES = 16 * 1024
"""Attributes of one flow: they are read again at every grant."""

_OrganisationOrNothing = Annotated[str, Meta(max_length=128)]
_CounterOrNothing = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Place(Record, frozen=True):
    """Names a request."""

    flow: Hash
    stage: Word
    attempt: Attempt


class StageMark(Record, frozen=True):
    """The newest attempt of a stage."""

    stage: Word
    attempt: Attempt


class FlowRecord(Record, frozen=True):
    """A flow; see ``answers.FlowView``.

    Attributes:
        opened_by: stage that opened it: ``file``, or the one that was reported without a filing.
        granted_reviewer: who got the newest grant to review; empty where nobody did.
        marks: newest attempts, by stage, in order of first request.
    """

    kind: Word
    kind_version: Version
    filer: Key
    platform: Key
    organisation: _OrganisationOrNothing
    opened_by: Word
    commitment: Hash
    authorisation: HashOrNothing
    subject: HashOrNothing
    granted_reviewer: KeyOrNothing
    reviewer: KeyOrNothing
    control: Word
    marks: Annotated[tuple[StageMark, ...], Meta(max_length=16)]

    def newest(self, stage: str) -> int:
        """The newest attempt of ``stage``, 0 when there is none."""
        return next((mark.attempt for mark in self.marks if mark.stage == stage), 0)


class Attested(Record, frozen=True):
    """What an authority attested at filing."""

    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MAX_ATTRIBUTES)]


class RequestRecord(Record, frozen=True):
    """A request and what became of it; see ``answers.RequestView``.

    Attributes:
        organisation: whose class counted: the filer's, reviewer's or pharmacy's; empty for a stranger's report.
        record: number of its sealed record; 0 where it has none.
    """

    number: Number
    source: Hash
    request: StageRequest
    organisation: _OrganisationOrNothing
    record: Number
    status: Word
    reason: Code
    rule: Code
    rule_version: Version
    received_ms: Time
    decided_ms: Time
    transaction: HashOrNothing
    attested_by: KeyOrNothing

    @property
    def place(self) -> Place:
        """Its name."""
        return Place(self.request.flow, self.request.stage, self.request.attempt)

    @property
    def undecided(self) -> bool:
        """True while somebody has to decide."""
        return self.status in (WAITING, PENDING)


class Ballot(Record, frozen=True):
    """A decision that officers have begun to sign."""

    outcome: Word
    reason: Code


class Ballots(Record, frozen=True):
    """The decisions on one request that officers have begun to sign."""

    ballots: Annotated[tuple[Ballot, ...], Meta(max_length=MAX_BALLOTS)]


class Controls(Record, frozen=True):
    """The last control of a flow, and the next ones that officers have begun to sign."""

    last: Control | None
    proposed: Annotated[tuple[Control, ...], Meta(max_length=MAX_BALLOTS)]

    @property
    def counter(self) -> int:
        """Of the last control; 0: none."""
        return 0 if self.last is None else self.last.counter


class Limits(Record, frozen=True):
    """The last limit of a flow kind and asset, and the next ones that officers have begun to sign."""

    last: Limit | None
    proposed: Annotated[tuple[Limit, ...], Meta(max_length=MAX_BALLOTS)]

    @property
    def counter(self) -> int:
        """Of the last limit; 0: none."""
        return 0 if self.last is None else self.last.counter


class Totals(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Totals; see ``answers.Counters``. Fields named like a status count the requests that have it."""

    requests: Count = 0
    waiting: Count = 0
    pending: Count = 0
    authorised: Count = 0
    granted: Count = 0
    refused: Count = 0
    expired: Count = 0
    late: Count = 0
    flows: Count = 0
    records: Count = 0
    disclosures: Count = 0
    batches: Count = 0


class TokenCount(Record, frozen=True):
    """Grants given for one purpose."""

    purpose: WordOrNothing
    count: Count


place_codec = Codec(Place, 256, "place of a request")
flow_codec = Codec(FlowRecord, 4_096, "supervised flow")
attested_codec = Codec(Attested, MAX_ATTESTED_BYTES + 64, "attested attributes")
request_record_codec = Codec(RequestRecord, 4_096, "request")
ballots_codec = Codec(Ballots, 2_048, "ballots")
controls_codec = Codec(Controls, 4_096, "controls")
limits_codec = Codec(Limits, 4_096, "limits")
totals_codec = Codec(Totals, 512, "totals")
batch_codec = Codec(Batch, 2_048, "batch")
disclosure_codec = Codec(Disclosure, 1_024, "disclosure")
tallies_codec = Codec(Tallies, 256, "tallies")
token_codec = Codec(TokenCount, 128, "token count")


def numbered(prefix: bytes, number: int) -> bytes:
    """Key of something by number, below ``prefix``; numbers sort as bytes."""
    return prefix + number.to_bytes(8, "big")


def place_key(prefix: bytes, flow: bytes, stage: str, attempt: int) -> bytes:
    """Key of something of one request."""
    return prefix + flow + stage.encode() + b"\x00" + attempt.to_bytes(4, "big")


def due_key(deadline_ms: int, number: int) -> bytes:
    """Key of an undecided request among the deadlines."""
    return numbered(b"d" + deadline_ms.to_bytes(8, "big"), number)


def limit_key(kind: str, asset: str) -> bytes:
    """Key of the limits of a flow kind and asset."""
    return b"x" + kind.encode() + b"\x00" + asset.encode()


def load_flow(state: StateSpace, flow: bytes) -> FlowRecord | None:
    """The flow, or None where nobody ever asked about it."""
    data = state.get(b"f" + flow)
    return None if data is None else flow_codec.decode(data)


def store_flow(state: StateSpace, flow: bytes, record: FlowRecord) -> None:
    """Stores the flow."""
    state.put(b"f" + flow, encode(record))


def load_attested(state: StateSpace, flow: bytes) -> tuple[Attribute, ...]:
    """What was attested at filing; nothing before."""
    data = state.get(b"v" + flow)
    return () if data is None else attested_codec.decode(data).attributes


def load_request(state: StateSpace, flow: bytes, stage: str, attempt: int) -> RequestRecord | None:
    """The request, or None where there is none."""
    data = state.get(place_key(b"r", flow, stage, attempt))
    return None if data is None else request_record_codec.decode(data)


def store_request(state: StateSpace, record: RequestRecord) -> None:
    """Stores the request."""
    request = record.request
    state.put(place_key(b"r", request.flow, request.stage, request.attempt), encode(record))


def load_controls(state: StateSpace, flow: bytes) -> Controls:
    """The controls of a flow."""
    data = state.get(b"k" + flow)
    return Controls(None, ()) if data is None else controls_codec.decode(data)


def load_limits(state: StateSpace, kind: str, asset: str) -> Limits:
    """The limits of a flow kind and asset."""
    data = state.get(limit_key(kind, asset))
    return Limits(None, ()) if data is None else limits_codec.decode(data)


def load_totals(state: StateSpace) -> Totals:
    """The totals."""
    data = state.get(b"z")
    return Totals() if data is None else totals_codec.decode(data)


def store_totals(state: StateSpace, totals: Totals) -> None:
    """Stores the totals."""
    state.put(b"z", encode(totals))
