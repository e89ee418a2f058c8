"""What methods of the supervision contract take, answer and emit (PROTOCOL.md 2, 2.1 to 2.3, 2.5).

The arguments of ``decide``, ``control`` and ``set_limit`` stand in ``contracts.decisions``, because the business chain
reads them too. What its views take and answer is in ``answers``.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.messages import (
    Attempt,
    Code,
    Hash,
    Key,
    StageRequest,
    Time,
    Version,
    Word,
)
from ledger.encoding import Record

WAITING: Final = "waiting"
PENDING: Final = "pending"
AUTHORISED: Final = "authorised"
GRANTED: Final = "granted"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
LATE: Final = "late"
STATUSES: Final = (WAITING, PENDING, AUTHORISED, GRANTED, REFUSED, EXPIRED, LATE)
"""What a request is. ``waiting``: an authority has to open its envelope. ``pending``: an officer has to decide.
``late``: decided here, but the business chain refused the decision, because it came too late for example."""

OPEN: Final = "open"
SUSPENDED: Final = "suspended"
TERMINATED: Final = "terminated"
CONTROL_STATES: Final = (OPEN, SUSPENDED, TERMINATED)

ORGANISATION: Final = "organisation"
DRUG: Final = "drug"
SUBJECT: Final = "subject"
RULE: Final = "rule"
STAGE: Final = "stage"
DAY: Final = "day"
DIMENSIONS: Final = (ORGANISATION, DRUG, SUBJECT, RULE, STAGE, DAY)
"""What statistics are counted by. Values: the filer's, reviewer's or pharmacy's organisation; drug code; pseudonym in
hex; rule or list by name (reason code where no rule refused); ``kind/stage``; flow kind. Each day by itself."""

DRUGS: Final = "drugs"
"""Name of the attested attribute (strings) that holds the drug codes; lists and statistics look at it."""

OPENING_EVENT: Final = "opening_requested"
HELD_EVENT: Final = "request_held"
DECIDED_EVENT: Final = "request_decided"
CONTROLLED_EVENT: Final = "flow_controlled"
LIMIT_EVENT: Final = "limit_set"
BATCH_EVENT: Final = "batch_granted"
DISCLOSED_EVENT: Final = "record_disclosed"
SIGNED_EVENT: Final = "officer_signed"
EXPIRED_EVENT: Final = "request_expired"
"""Names of events. Each carries the record that its comment below names."""

MAX_QUOTA: Final = 1_000_000

Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Organisation = Annotated[str, Meta(min_length=1, max_length=128)]

# --- arguments of methods; those of decide, control and set_limit are in contracts.decisions ------------------------


class GrantBatch(Record, frozen=True):
    """``supervision.grant_batch``: one officer's will to give an organisation of class ``batch`` a quota.

    Attributes:
        organisation: of the filers.
        kind: flow kind.
        quota: how many filings are authorised automatically.
        not_before_ms: first block time of use.
        not_after_ms: last block time of use.
    """

    organisation: Organisation
    kind: Word
    quota: Annotated[int, Meta(ge=1, le=MAX_QUOTA)]
    not_before_ms: Time
    not_after_ms: Time


class Disclose(Record, frozen=True):
    """``supervision.disclose``: an authority opens a sealed record for another reason than deciding, and says why.

    Attributes:
        flow: of the record.
        stage: of the record.
        attempt: of the request; 0: the newest that has an envelope.
        purpose: why; ``search`` or ``court`` for example.
    """

    flow: Hash
    stage: Word
    attempt: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    purpose: Word


# --- results of methods, and events ---------------------------------------------------------------------------------


class Decided(Record, frozen=True):
    """Result of ``decide``, and event ``request_decided`` or ``request_held``.

    Attributes:
        flow: id.
        stage: which.
        attempt: of the request.
        status: what the request is now: from ``STATUSES``. ``pending`` after an authority's decision: the rules or the
            organisation's class leave it to officers; after an officer's: more officers have to sign.
        reason: reason code of a refusal or of being held; empty otherwise.
        rule: name of the rule or list that refused or held; empty where none did.
        rule_version: of the rules that held; 0 where none were asked.
        transaction: that decided: the authorisation, confirmation or storage hash when authorised; else that of the
            call.
        signatures: of officers for this very decision so far; 0 when an authority decided.
    """

    flow: Hash
    stage: Word
    attempt: Attempt
    status: Word
    reason: Code
    rule: Code
    rule_version: Version
    transaction: Hash
    signatures: Annotated[int, Meta(ge=0, le=256)]


class Signed(Record, frozen=True):
    """Result of ``control``, ``set_limit`` and ``grant_batch``; event ``officer_signed`` while more have to sign.

    Attributes:
        what: ``control``, ``limit`` or ``batch``.
        complete: True when this signature satisfied the officers' policy, and it took effect.
        signatures: of officers for this very thing so far.
        number: of the batch, when complete; else 0.
    """

    what: Word
    complete: bool
    signatures: Annotated[int, Meta(ge=1, le=256)]
    number: Number


class OpeningRequested(Record, frozen=True):
    """Event ``opening_requested``: an authority has to open an envelope and decide.

    Attributes:
        number: of the request in this contract; the waiting page goes by it.
        source: chain id of the business chain, which the envelope's context names.
        request: as it came; ``request.envelope`` is the digest of the envelope that view ``record`` hands out.
    """

    number: Number
    source: Hash
    request: StageRequest


class RequestExpired(Record, frozen=True):
    """Event ``request_expired``: nobody decided before the deadline."""

    flow: Hash
    stage: Word
    attempt: Attempt


class Disclosure(Record, frozen=True):
    """An entry of the disclosure log; also result of ``disclose`` and event ``record_disclosed``.

    Attributes:
        number: from 1.
        authority: key that opened.
        organisation: of that key.
        flow: of the record.
        stage: of the record.
        attempt: of the request.
        envelope: digest of the envelope.
        purpose: ``decision``, or what ``disclose`` said.
        transaction: that says so.
        time_ms: of the block.
    """

    number: Number
    authority: Key
    organisation: Organisation
    flow: Hash
    stage: Word
    attempt: Attempt
    envelope: Hash
    purpose: Word
    transaction: Hash
    time_ms: Time


class Batch(Record, frozen=True):
    """A batch grant; also event ``batch_granted`` with ``used`` 0.

    Attributes:
        number: from 1.
        organisation: of the filers.
        kind: flow kind.
        quota: what was granted.
        used: filings that it authorised.
        not_before_ms: first block time of use.
        not_after_ms: last block time of use.
        transactions: of the officers who granted it.
    """

    number: Number
    organisation: Organisation
    kind: Word
    quota: Annotated[int, Meta(ge=1, le=MAX_QUOTA)]
    used: Annotated[int, Meta(ge=0, le=MAX_QUOTA)]
    not_before_ms: Time
    not_after_ms: Time
    transactions: Annotated[tuple[Hash, ...], Meta(max_length=8)]


# Events flow_controlled and limit_set carry contracts.messages.Control and Limit.
