"""What goes into the commission contract: agreements, sales, and the arguments of its methods (PROTOCOL.md 1.1, 1.2).

Amounts are minor units of the agreement's currency, rates parts per million, dates ``YYYYMMDD`` as integers (0: not
given), times milliseconds since 1970 UTC, hashes 32 bytes.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Record
from ledger.types import MAX_AMOUNT, MAX_HEIGHT

PARTS_PER_MILLION: Final = 1_000_000
MAX_BATCH: Final = 1_000
"""Records in one settlement request (PROTOCOL.md 1.4)."""
MAX_MAPPING_ROWS: Final = 32
MAX_CONDITIONS: Final = 32
MAX_SALE_EVENTS: Final = 16
MAX_SECONDS: Final = 100 * 366 * 86_400
ANY: Final = "*"

PLATFORM: Final = "platform"
INSURER: Final = "insurer"
PARTIES: Final = (PLATFORM, INSURER)

BASE_PREMIUM: Final = "premium"
BASE_AMOUNT_INSURED: Final = "amount_insured"
BASES: Final = (BASE_PREMIUM, BASE_AMOUNT_INSURED)

HALF_UP: Final = "half_up"
HALF_EVEN: Final = "half_even"
DOWN: Final = "down"
ROUNDINGS: Final = (HALF_UP, HALF_EVEN, DOWN)

PURCHASE: Final = "purchase"
CANCEL: Final = "cancel"
CORRECT: Final = "correct"
SETTLEMENT: Final = "settlement"
TRANSACTION_TYPES: Final = (PURCHASE, CANCEL, CORRECT, SETTLEMENT)

CONDITION_STATE: Final = "state"
CONDITION_EVENT: Final = "event"
CONDITION_TRIGGER: Final = "trigger"
CONDITION_KINDS: Final = (CONDITION_STATE, CONDITION_EVENT, CONDITION_TRIGGER)
CONDITION_FIELDS: Final = ("premium", "amount_insured", "sold_on", "effective_on")
COMPARISONS: Final = ("<", "<=", "==", ">=", ">")

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
HashOrNothing = Annotated[bytes, Meta(max_length=32)]
Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
OutPointBytes = Annotated[bytes, Meta(min_length=36, max_length=36)]
AgreementId = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Asset = Annotated[str, Meta(min_length=1, max_length=64)]
LockText = Annotated[str, Meta(min_length=1, max_length=2_048)]
Word = Annotated[str, Meta(min_length=1, max_length=32)]
AmountOrZero = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
PositiveAmount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Seconds = Annotated[int, Meta(ge=0, le=MAX_SECONDS)]
Day = Annotated[int, Meta(ge=0, le=99_991_231)]
HeightNumber = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


# --- agreements -----------------------------------------------------------------------------------------------------


class Party(Record, frozen=True):
    """One side of an agreement.

    Attributes:
        organisation: as in the key's admission certificate.
        key: the key that signs for it.
        cash: lock text. Of the platform: where settlements are paid to (often ``account(NAME)``). Of the insurer: where
            it pays from and gets change; the contract accepts currency from any input that the transaction unlocks.
    """

    organisation: Name
    key: Key
    cash: LockText


class MappingRow(Record, frozen=True):
    """A row of the account mapping table; ``*`` matches anything, the first row that matches wins.

    Attributes:
        type: transaction type of the booking, ``purchase`` or ``correct``.
        seller: of the sale.
        product: of the sale.
        channel: of the sale.
        pending: account that a pending commission stands on; carries ``any(key(platform),key(insurer))``.
        settled: account of the platform that settled commissions stand on.
        clawback: account that clawbacks stand on; carries ``any(key(platform),key(insurer))``.
    """

    type: Name
    seller: Name
    product: Name
    channel: Name
    pending: Name
    settled: Name
    clawback: Name


class Condition(Record, frozen=True):
    """A condition under which a booking executes; any one of an agreement's executes it.

    Attributes:
        kind: ``state`` (the policy's state is ``name``), ``event`` (``name`` is among the sale's events) or ``trigger``
            (the sale's field ``name`` compares with ``value``).
        name: the state, the event, or one of ``premium``, ``amount_insured``, ``sold_on``, ``effective_on``.
        comparison: of a trigger: ``<``, ``<=``, ``==``, ``>=`` or ``>``; otherwise ``==``.
        value: of a trigger: minor units or ``YYYYMMDD``; otherwise 0.
    """

    kind: Word
    name: Name
    comparison: Word = "=="
    value: AmountOrZero = 0


class Triggers(Record, frozen=True):
    """When the contract requests settlement by itself; any of them, 0 switches one off.

    Attributes:
        count: this many unrequested pending records.
        amount: this much unrequested pending commission.
        age_s: the oldest unrequested pending record is this old.
        schedule_first_ms: block time of the first scheduled request.
        schedule_every_s: scheduled requests after it; 0: no schedule.
    """

    count: Count = 0
    amount: AmountOrZero = 0
    age_s: Seconds = 0
    schedule_first_ms: Time = 0
    schedule_every_s: Seconds = 0


class Agreement(Record, frozen=True):
    """A version of a commission agreement (PROTOCOL.md 1.2): what both parties sign.

    Attributes:
        agreement: id, the same for all versions.
        version: 1, 2, 3, …
        platform: who sold and is paid.
        insurer: who pays.
        currency: asset that settlements move.
        scale: decimal places of the minor unit; for bringing raw premium text to minor units.
        rate_ppm: commission rate.
        base: what the rate applies to, ``premium`` or ``amount_insured``.
        rounding: ``half_up``, ``half_even`` or ``down``; of the premium to the minor unit, then of the commission.
        mapping: account mapping table.
        conditions: when a booking executes; empty: always.
        triggers: when settlement is requested.
        max_batch: records in a request.
        clawback_window_s: a booking may be cancelled or corrected until so long after it.
        activation_height: first height whose bookings are under this version; 0: the block after the one that holds
            the second signature.
    """

    agreement: AgreementId
    version: Annotated[int, Meta(ge=1, le=2**31)]
    platform: Party
    insurer: Party
    currency: Asset
    scale: Annotated[int, Meta(ge=0, le=18)]
    rate_ppm: Annotated[int, Meta(ge=1, le=PARTS_PER_MILLION)]
    base: Word
    rounding: Word
    mapping: Annotated[tuple[MappingRow, ...], Meta(min_length=1, max_length=MAX_MAPPING_ROWS)]
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=MAX_CONDITIONS)]
    triggers: Triggers
    max_batch: Annotated[int, Meta(ge=1, le=MAX_BATCH)]
    clawback_window_s: Seconds
    activation_height: HeightNumber


# --- sales and records ----------------------------------------------------------------------------------------------


class Sale(Record, frozen=True):
    """A standardised sale: the transaction information of PROTOCOL.md 1.1 that the contract computes on.

    Attributes:
        policy: policy number, the booking's source; booked once for each agreement.
        seller: who sold.
        product: what was sold.
        channel: how.
        premium: minor units.
        amount_insured: minor units; 0 where it is not known.
        sold_on: ``YYYYMMDD``.
        effective_on: ``YYYYMMDD``, or 0.
        policy_state: state of the policy, such as ``in_force``.
        events: what has happened to it, such as ``paid``.
        insured: pseudonym of the insured under a key of the two parties, 32 bytes, or nothing.
        raw_hash: hash of the raw text that the sale was read from, or nothing.
        sealed_hash: hash of the information that is sealed to both parties, or nothing.
    """

    policy: Name
    seller: Name
    product: Name
    channel: Name
    premium: PositiveAmount
    amount_insured: AmountOrZero
    sold_on: Day
    effective_on: Day = 0
    policy_state: Name = "in_force"
    events: Annotated[tuple[Name, ...], Meta(max_length=MAX_SALE_EVENTS)] = ()
    insured: HashOrNothing = b""
    raw_hash: HashOrNothing = b""
    sealed_hash: HashOrNothing = b""


class Information(Record, frozen=True):
    """Transaction information of a booking: the sale, and what the agreement added."""

    sale: Sale
    version: Count
    rate_ppm: Count
    base: Word


class RecordInput(Record, frozen=True):
    """The input unit of a commission record.

    Attributes:
        source: what the amount comes from: the policy number for a sale; the hex record id for the rest.
        account: whose income the amount is: the insurer for a premium, the platform for a commission.
        type: ``purchase``, ``cancel``, ``correct`` or ``settlement``.
        information: of a booking; otherwise None.
        amount: the premium (sale) or the commission.
        unlock: policy of the signatures that unlocked what was spent, or that asked where nothing was.
    """

    source: Name
    account: Name
    type: Word
    information: Information | None
    amount: PositiveAmount
    unlock: LockText


class RecordOutput(Record, frozen=True):
    """The output unit of a commission record: account, amount, and the lock that says who may spend it."""

    account: Name
    amount: PositiveAmount
    lock: LockText


class CommissionRecord(Record, frozen=True):
    """The one structure of every commission record (PROTOCOL.md 1.1).

    Attributes:
        transaction_id: unique.
        inputs: one of a booking or cancellation; of a settlement, one for each pending record and clawback.
        outputs: pending, settled or clawback amounts that it created.
    """

    transaction_id: Hash
    inputs: tuple[RecordInput, ...]
    outputs: tuple[RecordOutput, ...]
