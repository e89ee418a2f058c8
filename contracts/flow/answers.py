"""What can be asked of the flow contract, and the answers."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.flow.amounts import Ratio
from contracts.flow.calls import PaymentRequested, RatioKey
from contracts.flow.kinds import FlowKind
from contracts.messages import (
    AmountOrZero,
    Code,
    Hash,
    HashOrNothing,
    Key,
    KeyOrNothing,
    Limit,
    Time,
    Version,
    Word,
    WordOrNothing,
)
from ledger.encoding import Record
from ledger.envelope import Envelope

MAX_PAGE: Final = 100
Limited = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

OPEN: Final = "open"
FILING: Final = "filing"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"
TERMINATED: Final = "terminated"
CLOSED: Final = "closed"
STATUSES: Final = (FILING, OPEN, REFUSED, EXPIRED, REJECTED, TERMINATED, CLOSED)
"""Of a flow. ``filing``: waits for its authorisation. ``refused``: the filing was; ``expired``: it was not answered in
time. ``rejected``: a confirmed opinion does not approve. ``closed``: every stage is done."""

PENDING: Final = "pending"
GRANTED: Final = "granted"
ACCEPTED: Final = "accepted"
PRICED: Final = "priced"
DONE: Final = "done"
STAGE_STATUSES: Final = (PENDING, GRANTED, ACCEPTED, PRICED, REFUSED, EXPIRED, DONE)
"""Of a stage. ``pending``: the supervision chain was asked. ``granted``: a grant waits to be used. ``accepted`` and
``priced``: of ``fulfil``, which is done when the order is paid. ``refused`` and ``expired``: it may be asked again."""


class FlowQuery(Record, frozen=True):
    """Names a flow."""

    flow: Hash


class AuthorisationQuery(Record, frozen=True):
    """Names a flow by its authorisation hash."""

    authorisation: Hash


class FlowsQuery(Record, frozen=True):
    """A page of flows.

    Attributes:
        kind: flow kind; empty: all.
        stage: of flows that are open, whose next stage this is; empty: all flows.
        party: key of a filer, platform, patient, reviewer, pharmacy or payer; empty: all.
        newest: newest first, else oldest first.
        after: ``FlowsPage.next`` of the page before; 0: the first page.
        limit: flows on the page. A page may be shorter and yet not the last one: see ``FlowsPage.next``.
    """

    kind: WordOrNothing
    stage: WordOrNothing
    party: KeyOrNothing
    newest: bool
    after: Version
    limit: Limited


class PoolQuery(Record, frozen=True):
    """A page of documents that wait for review, in order of filing.

    Attributes:
        kind: flow kind; empty: all.
        after: ``PoolPage.next`` of the page before; 0: the first page.
        limit: documents on the page.
    """

    kind: WordOrNothing
    after: Version
    limit: Limited


class KindQuery(Record, frozen=True):
    """A flow kind in one version; 0: the newest."""

    name: Word
    version: Version


class Nothing(Record, frozen=True):
    """A question without arguments."""


class ReimbursementQuery(Record, frozen=True):
    """A page of the reimbursement table after a row (None: from the start), in order of coverage and drug code."""

    after: RatioKey | None
    limit: Limited


class StageView(Record, frozen=True):
    """A stage of a flow.

    Attributes:
        stage: which.
        attempt: requests so far.
        status: from ``STAGE_STATUSES``.
        actor: who asked last.
        commitment: of what was asked about.
        envelope: digest of the envelope sealed to the authorities; empty where there is none.
        deadline_ms: until when it may be answered (pending) or used (granted).
        asked_ms: block time of the request.
        hash: authorisation, confirmation or storage hash, or the transaction that issued the grant.
        reason: reason code of a refusal.
        rule: that refused, where one did.
        rule_version: of the rules that held.
    """

    stage: Word
    attempt: Version
    status: Word
    actor: Key
    commitment: HashOrNothing
    envelope: HashOrNothing
    deadline_ms: Time
    asked_ms: Time
    hash: HashOrNothing
    reason: Code
    rule: Code
    rule_version: Version


class GrantView(Record, frozen=True):
    """A grant that the supervision chain proved, or (``token`` empty) that the kind gives by itself.

    Attributes:
        stage: which.
        attempt: of the request.
        tx_id: transaction that issued it; with ``event_index`` its identity.
        event_index: place among that receipt's events.
        holder: the only key that may use it.
        token: see PROTOCOL.md 2.1.
        pharmacy: the only pharmacy; empty where there is none.
        order: commitment of the order; empty where there is none.
        not_before_ms: first block time of use.
        not_after_ms: last block time of use.
        uses_left: uses that are left.
        rule_version: of the rules that held.
    """

    stage: Word
    attempt: Version
    tx_id: Hash
    event_index: Version
    holder: Key
    token: HashOrNothing
    pharmacy: KeyOrNothing
    order: HashOrNothing
    not_before_ms: Time
    not_after_ms: Time
    uses_left: Version
    rule_version: Version


class FlowView(Record, frozen=True):
    """A flow.

    Attributes:
        number: of the flow on this chain, from 1 in the order of filing.
        flow: id.
        kind: flow kind.
        kind_version: that holds for it.
        status: from ``STATUSES``.
        suspended: True while the regulator suspends it.
        control_reason: reason code of the last control.
        control_counter: of the last control.
        next_stage: the first stage that is not done; empty when the flow has ended.
        filer, platform, patient, reviewer, pharmacy, payer: the parties; empty where there is none (yet).
        commitment: of the filed document.
        authorisation: hash that it is known by; empty before.
        subject: fingerprint, where the chain may know it.
        asset: of ``amount``.
        amount: minor units.
        approve: what the last opinion says; False before.
        used: True once a settlement was made on this flow's authorisation (kind ``commission``).
        filed_ms: block time.
        stages: those that were begun, in order.
        grants: in order of stages.
        payment: the payment request; None before.
    """

    number: Version
    flow: Hash
    kind: Word
    kind_version: Version
    status: Word
    suspended: bool
    control_reason: Code
    control_counter: Version
    next_stage: WordOrNothing
    filer: Key
    platform: KeyOrNothing
    patient: KeyOrNothing
    reviewer: KeyOrNothing
    pharmacy: KeyOrNothing
    payer: KeyOrNothing
    commitment: Hash
    authorisation: HashOrNothing
    subject: HashOrNothing
    asset: Annotated[str, Meta(max_length=64)]
    amount: AmountOrZero
    approve: bool
    used: bool
    filed_ms: Time
    stages: tuple[StageView, ...]
    grants: tuple[GrantView, ...]
    payment: PaymentRequested | None


class FlowsPage(Record, frozen=True):
    """Flows, and what to ask for the next page with: 0 after the last one. A page may be empty and yet have a next."""

    flows: tuple[FlowView, ...]
    next: Version


class PoolEntry(Record, frozen=True):
    """A document that waits for review: what reviewers may see of it."""

    number: Version
    authorisation: Hash
    kind: Word
    filed_ms: Time


class PoolPage(Record, frozen=True):
    """Documents that wait for review; ``next`` is 0 after the last page."""

    entries: tuple[PoolEntry, ...]
    next: Version


class SealedCopy(Record, frozen=True):
    """An envelope that stands on this chain, and the context that it is sealed in.

    Attributes:
        stage: of the context: ``file_copy``, ``release``, ``opinion_copy``, ``order`` or ``settle_copy``.
        sender: who sealed it.
        commitment: of the context.
        envelope: itself.
    """

    stage: Word
    sender: Key
    commitment: Hash
    envelope: Envelope


class SealedCopies(Record, frozen=True):
    """All envelopes of a flow on this chain, in order of the stages."""

    flow: Hash
    copies: tuple[SealedCopy, ...]


class SealedQuery(Record, frozen=True):
    """Names one envelope of a flow, by the stage of its context."""

    flow: Hash
    stage: Word


class KindsAnswer(Record, frozen=True):
    """The newest versions of all kinds, by name."""

    kinds: tuple[FlowKind, ...]


class ReimbursementPage(Record, frozen=True):
    """Rows of the table; ``more`` when others follow."""

    rows: tuple[Ratio, ...]
    more: bool


class LimitsAnswer(Record, frozen=True):
    """From which amounts on which kinds need a decision."""

    limits: tuple[Limit, ...]


class SubjectQuery(Record, frozen=True):
    """Names a settlement by what it stands for: flow kind, filer or insurer, subject."""

    kind: Word
    filer: Key
    subject: Hash


class SubjectAnswer(Record, frozen=True):
    """Flows of that subject: the filed one, and the report, each empty where there is none."""

    filed: HashOrNothing
    report: HashOrNothing
