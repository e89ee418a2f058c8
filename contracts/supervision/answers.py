"""What views of the supervision contract take and answer (PROTOCOL.md 2.5, 2.6)."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.expression.attributes import Attribute
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
from contracts.supervision.calls import Batch, Disclosure, Number, Organisation
from ledger.encoding import Record
from ledger.envelope import envelope_codec

MAX_PAGE: Final = 200

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
_Value = Annotated[str, Meta(max_length=256)]
_EnvelopeBytes = Annotated[bytes, Meta(max_length=envelope_codec.max_bytes)]

# --- what views take ------------------------------------------------------------------------------------------------


class FlowQuery(Record, frozen=True):
    """Names a flow, by its id or by its authorisation hash."""

    flow: Hash


class RequestQuery(Record, frozen=True):
    """Names a request; ``attempt`` 0 is the newest of the stage."""

    flow: Hash
    stage: Word
    attempt: Annotated[int, Meta(ge=0, le=2**31 - 1)]


class PageQuery(Record, frozen=True):
    """A page by number, from ``after`` (exclusive) on."""

    after: Number
    limit: _Limit


class SubjectQuery(Record, frozen=True):
    """Sealed records under a subject: a pseudonym, or where a flow is about no person, what it stands for."""

    subject: Hash
    after: Number
    limit: _Limit


class DocumentQuery(Record, frozen=True):
    """Names a document: its commitment, or its authorisation, confirmation or storage hash."""

    document: Hash


class StatisticsQuery(Record, frozen=True):
    """Counts of one dimension, sorted by value, then by day.

    Attributes:
        dimension: from ``DIMENSIONS``.
        value: only this one; empty: all.
        after_value: last value of the page before; empty: from the start.
        after_day: its day.
        limit: at most so many rows.
    """

    dimension: Word
    value: _Value
    after_value: _Value
    after_day: Number
    limit: _Limit


class BatchQuery(Record, frozen=True):
    """Names a batch."""

    number: Number


class Nothing(Record, frozen=True):
    """No arguments."""


# --- what views answer ----------------------------------------------------------------------------------------------


class Approval(Record, frozen=True):
    """One officer's signature on a decision that others have to sign too."""

    officer: Key
    outcome: Word
    reason: Code
    transaction: Hash


class RequestView(Record, frozen=True):
    """A request and what became of it.

    Attributes:
        number: of the request in this contract, from 1.
        source: chain id of the business chain.
        request: as it came.
        status: from ``STATUSES``.
        reason: code of refusal, of being held, or of the business chain's answer for ``late``.
        rule: that refused or held.
        rule_version: of the rules that held.
        received_ms: time of the block that took it.
        decided_ms: time of the block that closed it; 0 while it is open.
        transaction: that decided; empty where none did.
        attested_by: authority that opened it; empty where none did.
        approvals: officers' signatures so far, while ``pending``.
    """

    number: Number
    source: Hash
    request: StageRequest
    status: Word
    reason: Code
    rule: Code
    rule_version: Version
    received_ms: Time
    decided_ms: Time
    transaction: HashOrNothing
    attested_by: KeyOrNothing
    approvals: Annotated[tuple[Approval, ...], Meta(max_length=256)]


class RequestsPage(Record, frozen=True):
    """Requests by number; ``last`` is what the next page comes after."""

    requests: Annotated[tuple[RequestView, ...], Meta(max_length=MAX_PAGE)]
    last: Number
    more: bool


class FlowView(Record, frozen=True):
    """What the supervision chain knows of a flow.

    Attributes:
        flow: id.
        kind: flow kind.
        kind_version: of it.
        filer: key.
        platform: key.
        organisation: of the filer.
        authorisation: authorisation hash; empty while there is none.
        commitment: of the filed document.
        subject: pseudonym; empty while nobody attested one.
        attributes: attested at filing.
        reviewer: whose opinion was confirmed last; empty where none was.
        control: from ``CONTROL_STATES``.
        counter: of the last control; 0: none.
        reason: of the last control.
        requests: all requests of the flow, by stage and attempt, at most 64.
    """

    flow: Hash
    kind: Word
    kind_version: Version
    filer: Key
    platform: Key
    organisation: Organisation
    authorisation: HashOrNothing
    commitment: Hash
    subject: HashOrNothing
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=64)]
    reviewer: KeyOrNothing
    control: Word
    counter: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    reason: Code
    requests: Annotated[tuple[RequestView, ...], Meta(max_length=64)]


class RecordView(Record, frozen=True):
    """A sealed record.

    Attributes:
        request: what it came with, and what became of it; ``transaction`` is the authorisation, confirmation or
            storage hash when the status is ``authorised``.
        subject: that it stands under; empty while nobody attested one.
        envelope: canonical bytes of the ``ledger.envelope.Envelope``; empty when the request expired unopened.
    """

    request: RequestView
    subject: HashOrNothing
    envelope: _EnvelopeBytes


class RecordRef(Record, frozen=True):
    """Where a sealed record is.

    Attributes:
        number: among the records of this contract; pages go by it.
        flow: id.
        stage: which.
        attempt: of the request.
        status: of the request.
        record: record id: the transaction that decided; empty while none did.
        commitment: of the document.
        subject: that it stands under; empty where none was attested.
    """

    number: Number
    flow: Hash
    stage: Word
    attempt: Attempt
    status: Word
    record: HashOrNothing
    commitment: Hash
    subject: HashOrNothing


class RecordsPage(Record, frozen=True):
    """Sealed records by number; ``last`` is what the next page comes after."""

    records: Annotated[tuple[RecordRef, ...], Meta(max_length=MAX_PAGE)]
    last: Number
    more: bool


class DisclosuresPage(Record, frozen=True):
    """The disclosure log, oldest first."""

    disclosures: Annotated[tuple[Disclosure, ...], Meta(max_length=MAX_PAGE)]
    more: bool


class Tallies(Record, frozen=True):
    """Counts of requests by what became of them."""

    authorised: Count
    granted: Count
    refused: Count
    held: Count
    expired: Count
    late: Count


class StatisticsRow(Record, frozen=True):
    """Counts of one value of a dimension on one day (days since 1970-01-01, UTC)."""

    value: _Value
    day: Number
    counts: Tallies


class StatisticsPage(Record, frozen=True):
    """Rows in order."""

    rows: Annotated[tuple[StatisticsRow, ...], Meta(max_length=MAX_PAGE)]
    more: bool


class BatchesPage(Record, frozen=True):
    """Batches by number."""

    batches: Annotated[tuple[Batch, ...], Meta(max_length=MAX_PAGE)]
    more: bool


class ProposedControl(Record, frozen=True):
    """A control that not enough officers signed yet."""

    control: Control
    signatures: Annotated[int, Meta(ge=1, le=256)]


class ControlView(Record, frozen=True):
    """The control state of a flow.

    Attributes:
        state: from ``CONTROL_STATES``.
        last: the last control that took effect; None where none did.
        proposed: controls that wait for more officers, each with its signatures' number.
    """

    state: Word
    last: Control | None
    proposed: Annotated[tuple[ProposedControl, ...], Meta(max_length=64)]


class LimitQuery(Record, frozen=True):
    """Names a limit."""

    kind: Word
    asset: Annotated[str, Meta(min_length=1, max_length=64)]


class LimitView(Record, frozen=True):
    """The limit of a flow kind and asset; None where none was set."""

    limit: Limit | None


class TokensIssued(Record, frozen=True):
    """Grants given for one purpose."""

    purpose: WordOrNothing
    count: Count


class Counters(Record, frozen=True):
    """Totals: requests = waiting + pending + authorised + granted + refused + expired + late.

    Attributes:
        requests: taken, those refused at once by contract alone included.
        waiting: for an authority.
        pending: for officers.
        authorised: by decision.
        granted: by contract alone, or released by officers.
        refused: by authority, officers or contract.
        expired: undecided at their deadline.
        late: decided here, refused by the business chain.
        flows: known here.
        records: sealed records stored.
        disclosures: entries in the log.
        batches: granted.
        tokens: grants by purpose, sorted.
    """

    requests: Count
    waiting: Count
    pending: Count
    authorised: Count
    granted: Count
    refused: Count
    expired: Count
    late: Count
    flows: Count
    records: Count
    disclosures: Count
    batches: Count
    tokens: Annotated[tuple[TokensIssued, ...], Meta(max_length=MAX_PAGE)]
