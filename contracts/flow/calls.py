"""What methods of the flow contract take, answer and emit (PROTOCOL.md 2).

Amounts are minor units, times milliseconds since 1970 UTC, hashes 32 bytes, keys signing keys of 33 bytes. Where an
empty value is allowed it says so. ``flow`` is always the flow's id, ``authorisation`` the hash that it is known by once
authorised.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.flow.amounts import Ratio
from contracts.flow.kinds import FlowKind
from contracts.messages import (
    AmountOrZero,
    Code,
    Hash,
    HashOrNothing,
    Key,
    KeyOrNothing,
    Time,
    Version,
    Word,
    WordOrNothing,
)
from ledger.encoding import Codec, Record, digest
from ledger.envelope import Envelope
from ledger.types import MAX_AMOUNT, Hash32

MAX_ITEMS: Final = 64
MAX_LINK_CHARS: Final = 256
MAX_ROWS: Final = 128
"""Rows of the reimbursement table that one governed action sets or removes."""

# --- arguments of methods -------------------------------------------------------------------------------------------


class File(Record, frozen=True):
    """Arguments of ``file``; the sender is the filer. Contexts of envelopes: see ``contracts.flow.kinds``.

    Attributes:
        kind: flow kind; its newest version holds.
        platform: who gets the document and releases it to a reviewer. Empty only where the kind has no ``review``.
        patient: the only key that may order and pay. Empty only where the kind has no ``order``.
        commitment: salted commitment to the document.
        envelope: the document, sealed by the sender to every current authority key; stage ``file``.
        document: the (masked) document, sealed by the sender to exactly the platform's current key; stage
            ``file_copy``, the same commitment. None exactly where ``platform`` is empty.
        subject: fingerprint of what the flow stands for, where the chain may know it (a settlement request's hash);
            empty for documents about a person.
        asset: of ``amount``, and of the later payment; empty: no amount, and the pharmacy names the asset.
        amount: minor units; 0 where there is none.
    """

    kind: Word
    platform: KeyOrNothing
    patient: KeyOrNothing
    commitment: Hash
    envelope: Envelope
    document: Envelope | None
    subject: HashOrNothing
    asset: Annotated[str, Meta(max_length=64)]
    amount: AmountOrZero


class RequestReview(Record, frozen=True):
    """Arguments of ``request_review``; the sender is the reviewer."""

    authorisation: Hash


class Release(Record, frozen=True):
    """Arguments of ``release``, sent by the platform: uses the grant that the reviewer got.

    Attributes:
        flow: id.
        reviewer: holder of the grant.
        token: of the grant; empty where the kind's ``review`` needs none.
        envelope: the document, sealed by the platform to exactly the reviewer's current key; stage ``release``, the
            filed document's commitment.
    """

    flow: Hash
    reviewer: Key
    token: HashOrNothing
    envelope: Envelope


class Opinion(Record, frozen=True):
    """Arguments of ``opinion``, sent by the reviewer to whom the document was released.

    Attributes:
        flow: id.
        approve: a confirmed opinion that does not approve ends the flow.
        commitment: salted commitment to the opinion.
        envelope: the opinion, sealed by the sender to every current authority key; stage ``opinion``.
            None only where the kind's ``opinion`` needs no decision.
        copy: the opinion, sealed by the sender to exactly the platform's current key; stage ``opinion_copy``.
    """

    flow: Hash
    approve: bool
    commitment: Hash
    envelope: Envelope | None
    copy: Envelope


class RequestOrder(Record, frozen=True):
    """Arguments of ``request_order``, sent by the patient: from whom, and the salted commitment to the order."""

    authorisation: Hash
    pharmacy: Key
    order: Hash


class Place(Record, frozen=True):
    """Arguments of ``place``, sent by the patient: uses the grant.

    Attributes:
        flow: id.
        token: of the grant; empty where the kind's ``order`` needs none.
        envelope: the order, sealed by the patient to exactly the pharmacy's current key; stage ``order``, commitment
            of the order that the grant names.
    """

    flow: Hash
    token: HashOrNothing
    envelope: Envelope


class Accept(Record, frozen=True):
    """Arguments of ``accept``, sent by the pharmacy of the order."""

    flow: Hash


class Item(Record, frozen=True):
    """One line of a priced order."""

    drug_code: Annotated[str, Meta(min_length=1, max_length=64)]
    coverage: Annotated[str, Meta(min_length=1, max_length=64)]
    price_minor: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class Fulfil(Record, frozen=True):
    """Arguments of ``fulfil``, sent by the pharmacy that accepted; may be sent again until the order is paid.

    Attributes:
        flow: id.
        asset: currency of the prices.
        items: at least one.
        payer: who pays what is reimbursed; empty only when that is nothing.
        link: where the patient pays; any text.
        details: salted commitment to whatever else the parties agreed on.
    """

    flow: Hash
    asset: Annotated[str, Meta(min_length=1, max_length=64)]
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    payer: KeyOrNothing
    link: Annotated[str, Meta(max_length=MAX_LINK_CHARS)]
    details: Hash


class Settle(Record, frozen=True):
    """Arguments of ``settle``: the only call of a transaction that pays the pharmacy.

    Outputs and inputs of the transaction move the order's asset and nothing else, between the locks ``key(…)`` of
    patient, payer and pharmacy: the pharmacy's gains the total, the other two lose exactly their shares. Whoever loses
    something signs. The sender is any of the three, or the platform.

    Attributes:
        flow: id.
        commitment: salted commitment to the settlement record.
        envelope: the record, sealed by the sender to every current authority key; stage ``settle``.
            None only where the kind's ``settle`` needs no report.
        copy: the record, sealed by the sender to exactly the current keys of platform, pharmacy and payer (as far as
            the flow has them); stage ``settle_copy``.
    """

    flow: Hash
    commitment: Hash
    envelope: Envelope | None
    copy: Envelope


class Report(Record, frozen=True):
    """Arguments of ``report``: seals a settlement record anew after its report was refused.

    The sender is a party of the settlement. For a settlement that another contract made (``commission``) there is no
    copy. Contexts as in ``Settle``.
    """

    flow: Hash
    commitment: Hash
    envelope: Envelope
    copy: Envelope | None


class Deliver(Record, frozen=True):
    """Arguments of ``deliver``, sent by pharmacy or patient; by platform or filer where the kind has no order."""

    flow: Hash


# --- data of governed actions ---------------------------------------------------------------------------------------


class RatioKey(Record, frozen=True):
    """Names a row of the reimbursement table; an empty drug code is the row of the whole coverage."""

    coverage: Annotated[str, Meta(min_length=1, max_length=64)]
    drug_code: Annotated[str, Meta(max_length=64)]


class SetReimbursement(Record, frozen=True):
    """Data of the governed action ``set_reimbursement``: rows that go, then rows that are set; all others stay."""

    remove: Annotated[tuple[RatioKey, ...], Meta(max_length=MAX_ROWS)]
    rows: Annotated[tuple[Ratio, ...], Meta(max_length=MAX_ROWS)]


class DefineKind(Record, frozen=True):
    """Data of the governed action ``define_kind``: a kind's version 1, or the version after its newest one."""

    kind: FlowKind


DEFINE_KIND: Final = "define_kind"
SET_REIMBURSEMENT: Final = "set_reimbursement"
define_kind_codec = Codec(DefineKind, 16 * 1024, "flow kind")
set_reimbursement_codec = Codec(SetReimbursement, 64 * 1024, "reimbursement rows")

# --- results of methods, and events ---------------------------------------------------------------------------------

FILED: Final = "filed"
AUTHORISED: Final = "authorised"
REFUSED: Final = "refused"
REVIEW_REQUESTED: Final = "review_requested"
REVIEW_GRANTED: Final = "review_granted"
RELEASED: Final = "released"
OPINION_GIVEN: Final = "opinion_given"
OPINION_CONFIRMED: Final = "opinion_confirmed"
ORDER_REQUESTED: Final = "order_requested"
ORDER_GRANTED: Final = "order_granted"
ORDER_PLACED: Final = "order_placed"
ORDER_ACCEPTED: Final = "order_accepted"
PAYMENT_REQUESTED: Final = "payment_requested"
SETTLED: Final = "settled"
SETTLEMENT_STORED: Final = "settlement_stored"
DELIVERED: Final = "delivered"
SUSPENDED: Final = "suspended"
RESUMED: Final = "resumed"
TERMINATED: Final = "terminated"
STAGE_EXPIRED: Final = "stage_expired"
KIND_DEFINED: Final = "kind_defined"
REIMBURSEMENT_SET: Final = "reimbursement_set"
LIMIT_SET: Final = "limit_set"
"""Events. All but the last three and ``payment_requested`` carry a ``Moved``; these: a ``FlowKind``,
``SetReimbursement``, ``contracts.messages.Limit``, and ``PaymentRequested``."""


class Moved(Record, frozen=True):
    """A step of a flow: result of every method but ``fulfil``, and the event that parties follow.

    Attributes:
        flow: id.
        kind: flow kind.
        stage: that the step belongs to; empty for ``suspended``, ``resumed`` and ``terminated``.
        attempt: of the stage, from 1; 0 where nothing is attempted.
        authorisation: of the flow; empty before.
        filer: who filed.
        platform: or empty.
        patient: or empty.
        reviewer: who reviews now; empty where nobody does.
        pharmacy: of the order; or empty.
        payer: of the settlement; or empty.
        hash: what came back: authorisation, confirmation or storage hash, id of the transaction that issued a grant;
            empty elsewhere.
        token: of a grant; empty elsewhere.
        deadline_ms: until when the supervision chain may answer, or a grant may be used; 0: neither.
        reason: reason code of a refusal or control; empty elsewhere.
        rule: that refuses, where one does.
        rule_version: of the rules that held.
    """

    flow: Hash
    kind: Word
    stage: WordOrNothing
    attempt: Version
    authorisation: HashOrNothing
    filer: Key
    platform: KeyOrNothing
    patient: KeyOrNothing
    reviewer: KeyOrNothing
    pharmacy: KeyOrNothing
    payer: KeyOrNothing
    hash: HashOrNothing
    token: HashOrNothing
    deadline_ms: Time
    reason: Code
    rule: Code
    rule_version: Version


class PaymentRequested(Record, frozen=True):
    """Result of ``fulfil``, and event ``payment_requested``: who pays what.

    Attributes:
        flow: id.
        authorisation: of the flow.
        pharmacy: gets the total.
        patient: pays ``patient_share``.
        payer: pays ``reimbursed``; empty only when that is 0.
        asset: of all amounts.
        items: as priced.
        total: sum of the prices.
        reimbursed: payer's share.
        patient_share: the exact remainder.
        link: where the patient pays.
        details: commitment.
    """

    flow: Hash
    authorisation: Hash
    pharmacy: Key
    patient: Key
    payer: KeyOrNothing
    asset: Annotated[str, Meta(min_length=1, max_length=64)]
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]
    total: AmountOrZero
    reimbursed: AmountOrZero
    patient_share: AmountOrZero
    link: Annotated[str, Meta(max_length=MAX_LINK_CHARS)]
    details: Hash


moved_codec = Codec(Moved, 4_096, "step of a flow")
payment_codec = Codec(PaymentRequested, 32 * 1024, "payment request")


def flow_id(chain_id: bytes, sender: bytes, commitment: bytes) -> Hash32:
    """The flow's id, fixed at filing: SHA-256(tag, chain, sender, commitment) (PROTOCOL.md 2).

    Args:
        chain_id: of the business chain.
        sender: key that files.
        commitment: to the filed document.
    """
    return digest(b"tidegate/flow", chain_id, sender, commitment)
