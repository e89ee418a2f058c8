"""What the business chain and the supervision chain say to each other: payloads of packets (PROTOCOL.md 2).

``flow`` sends a ``StageRequest`` and gets a ``Decision``, a ``Grant`` or a ``StageRefusal``; the regulator sends
``Control``, ``Limit`` and, through ``keyring``, ``KeyNotice``. What an authority or officers decide is the same record
in the arguments of their signed transactions and in the packet, so that the business chain can compare the two.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.types import MAX_AMOUNT, MAX_HEIGHT

REQUEST: Final = "stage_request"
DECISION: Final = "decision"
GRANT: Final = "grant"
REFUSAL: Final = "stage_refusal"
CONTROL: Final = "control"
LIMIT: Final = "limit"
KEY_NOTICE: Final = "key_notice"
"""Kinds of packets."""

FILE: Final = "file"
REVIEW: Final = "review"
OPINION: Final = "opinion"
ORDER: Final = "order"
FULFIL: Final = "fulfil"
SETTLE: Final = "settle"
DELIVER: Final = "deliver"
STAGES: Final = (FILE, REVIEW, OPINION, ORDER, FULFIL, SETTLE, DELIVER)
"""The general stages in their order; a flow kind has some of them. ``opinion`` is the result of ``review``."""

NEED_NONE: Final = "none"
NEED_DECISION: Final = "decision"
NEED_GRANT: Final = "grant"
NEED_REPORT: Final = "report"
NEEDS: Final = (NEED_NONE, NEED_DECISION, NEED_GRANT, NEED_REPORT)
"""What a stage needs of the supervision chain. ``decision``: an authority opens the sealed document and decides before
the stage counts as done. ``grant``: the supervision contracts alone decide and issue a token, which the stage uses.
``report``: the stage is done at once; an authority opens the sealed record and stores it under the subject."""

AUTHORISED: Final = "authorised"
REFUSED: Final = "refused"
OUTCOMES: Final = (AUTHORISED, REFUSED)

SUSPEND: Final = "suspend"
RESUME: Final = "resume"
TERMINATE: Final = "terminate"
ACTIONS: Final = (SUSPEND, RESUME, TERMINATE)

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
HashOrNothing = Annotated[bytes, Meta(max_length=32)]
Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
KeyOrNothing = Annotated[bytes, Meta(max_length=33)]
Word = Annotated[str, Meta(min_length=1, max_length=32)]
WordOrNothing = Annotated[str, Meta(max_length=32)]
Code = Annotated[str, Meta(max_length=64)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Version = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
Attempt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
AmountOrZero = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]


class StageRequest(Record, frozen=True):
    """Business → supervision: may this stage of a flow happen?

    Attributes:
        flow: id of the flow.
        kind: flow kind.
        kind_version: of it.
        stage: from ``STAGES``.
        attempt: counts the requests of this stage of this flow, from 1.
        need: from ``NEEDS``, never ``none``.
        actor: who asks: filer, reviewer, patient, payer or insurer; its key on the business chain.
        filer: who filed the flow.
        platform: the platform that the document is for; the filer itself where it has none.
        authorisation: id of the transaction that authorised the filing; empty at ``file``.
        commitment: salted commitment of the document that this request is about: at ``file`` the document, at
            ``opinion`` the opinion, at ``settle`` the settlement record; elsewhere the filed document.
        envelope: ``ledger.envelope.envelope_digest`` of the attached envelope for the authorities; empty for ``grant``.
        purpose: the token's purpose, for ``grant``; else empty.
        pharmacy: whom an order is for; else empty.
        order: commitment of the order; else empty.
        subject: fingerprint that the business chain knows of what the flow stands for (a settlement request's hash for
            commissions); empty for documents whose subject only authorities learn.
        asset: of ``amount``; empty where there is none.
        amount: minor units; 0 where there is none. At ``settle``, where this chain made the payment, what was paid.
        requested_ms: time of the block that asked.
        deadline_ms: after it an answer comes too late: compared with block time on both chains.
        envelope_epoch: 0, or the epoch of the authorities' keys that the envelope is sealed to.
        approves: at ``opinion`` what the business chain was told that the opinion says: the authority compares it with
            the sealed one. False elsewhere.
    """

    flow: Hash
    kind: Word
    kind_version: Version
    stage: Word
    attempt: Attempt
    need: Word
    actor: Key
    filer: Key
    platform: Key
    authorisation: HashOrNothing
    commitment: Hash
    envelope: HashOrNothing
    purpose: WordOrNothing
    pharmacy: KeyOrNothing
    order: HashOrNothing
    subject: HashOrNothing
    asset: Annotated[str, Meta(max_length=64)]
    amount: AmountOrZero
    requested_ms: Time
    deadline_ms: Time
    envelope_epoch: Version
    approves: bool = False


class Decision(Record, frozen=True):
    """Supervision → business: what an authority or officers decided. Its evidence is their transactions.

    The business chain finds, in each transaction named as evidence, a call of ``supervision.decide`` whose arguments
    hold this very record, and checks the signers; what it is known by (authorisation, confirmation, storage hash) is
    the id of the transaction that emitted the packet.

    Attributes:
        flow: id of the flow.
        stage: which.
        attempt: of the request.
        commitment: of what was opened.
        outcome: from ``OUTCOMES``.
        reason: reason code of a refusal; empty otherwise.
    """

    flow: Hash
    stage: Word
    attempt: Attempt
    commitment: Hash
    outcome: Word
    reason: Code


class StageRefusal(Record, frozen=True):
    """Supervision → business: the contracts there refuse a stage; refusing needs nobody's signature.

    Attributes:
        flow: id of the flow.
        stage: which.
        attempt: of the request.
        reason: reason code.
        rule: name of the rule or list that refuses; empty where none does.
        rule_version: version of the rules that held.
    """

    flow: Hash
    stage: Word
    attempt: Attempt
    reason: Code
    rule: Code
    rule_version: Version


class Grant(Record, frozen=True):
    """Supervision → business: a token and what it is bound to (PROTOCOL.md 2.1).

    The grant's identity is the transaction and event index that issued it, which the delivery proves.

    Attributes:
        flow: id of the flow.
        stage: which.
        attempt: of the request.
        holder: the only key that may use it.
        authorisation: txhash of the formula.
        purpose: purpose of the formula.
        pharmacy: the only pharmacy of the order; empty where there is none.
        order: commitment of the order; empty where there is none.
        not_before_ms: first block time of use.
        not_after_ms: last block time of use.
        uses: how often it may be used; counted on the business chain.
        rule_version: version of the rules that held.
        token: ``SHA-256(date ‖ txhash ‖ purpose)``, the date being that of the issuing block.
    """

    flow: Hash
    stage: Word
    attempt: Attempt
    holder: Key
    authorisation: Hash
    purpose: Word
    pharmacy: KeyOrNothing
    order: HashOrNothing
    not_before_ms: Time
    not_after_ms: Time
    uses: Annotated[int, Meta(ge=1, le=1_000)]
    rule_version: Version
    token: Hash


class Control(Record, frozen=True):
    """Supervision → business: suspend, resume or terminate a flow. Its evidence is the officers' transactions.

    Attributes:
        flow: id of the flow.
        counter: counts the controls of this flow from 1; a lower one than the last seen changes nothing.
        action: from ``ACTIONS``.
        reason: reason code.
    """

    flow: Hash
    counter: Attempt
    action: Word
    reason: Annotated[str, Meta(min_length=1, max_length=64)]


class Limit(Record, frozen=True):
    """Supervision → business: from which amount on a flow kind needs a decision. Evidence: officers' transactions.

    Attributes:
        kind: flow kind.
        asset: of the amount.
        counter: counts the limits of this kind and asset from 1; a lower one changes nothing.
        amount: above it, a decision is needed first; at or below it, the settlement is reported.
    """

    kind: Word
    asset: Annotated[str, Meta(min_length=1, max_length=64)]
    counter: Attempt
    amount: AmountOrZero


class KeyNotice(Record, frozen=True):
    """Supervision → business: an authority's encryption key of a new epoch. Evidence: that authority's transaction.

    Attributes:
        owner: the authority's signing key.
        suite: ``ledger.envelope`` recipient suite.
        epoch: counts this owner's keys from 1.
        public: the public key.
        retired: True when the owner has no key from now on.
    """

    owner: Key
    suite: Annotated[int, Meta(ge=1, le=255)]
    epoch: Attempt
    public: Annotated[bytes, Meta(min_length=1, max_length=1_024)]
    retired: bool


class Taken(Record, frozen=True):
    """Result in the answer to a packet that was taken.

    Attributes:
        note: what it led to: ``queued``, ``granted``, ``refused``, ``applied``, or ``stale`` where it changed nothing.
    """

    note: Word


request_codec = Codec(StageRequest, 4_096, "stage request")
decision_codec = Codec(Decision, 1_024, "decision")
refusal_codec = Codec(StageRefusal, 1_024, "stage refusal")
grant_codec = Codec(Grant, 2_048, "grant")
control_codec = Codec(Control, 1_024, "control")
limit_codec = Codec(Limit, 1_024, "limit")
key_notice_codec = Codec(KeyNotice, 4_096, "key notice")
