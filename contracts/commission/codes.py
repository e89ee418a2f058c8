"""Reason codes of the commission contract's refusals; the words, which say what to do, stand where they are raised."""

from __future__ import annotations

from typing import Final

ONE_CALL: Final = "commission_one_call"
PARTY_UNKNOWN: Final = "commission_party_unknown"
PARTY_NOT_ADMITTED: Final = "commission_party_not_admitted"
NAME_INVALID: Final = "commission_name_invalid"

# Agreements.
AGREEMENT_INVALID: Final = "commission_agreement_invalid"
AGREEMENT_UNKNOWN: Final = "commission_agreement_unknown"
AGREEMENT_NOT_IN_FORCE: Final = "commission_agreement_not_in_force"
VERSION_WRONG: Final = "commission_version_wrong"
PARTIES_CHANGED: Final = "commission_parties_changed"
DRAFT_EXISTS: Final = "commission_draft_exists"
DRAFT_UNKNOWN: Final = "commission_draft_unknown"
ALREADY_SIGNED: Final = "commission_already_signed"
ACTIVATION_PAST: Final = "commission_activation_past"
ACTIVATION_ORDER: Final = "commission_activation_order"
ACTIVATION_FULL: Final = "commission_activation_full"
CURRENCY_CHANGED: Final = "commission_currency_changed"
CURRENCY_UNKNOWN: Final = "commission_currency_unknown"
ACCOUNT_LOCK: Final = "commission_account_lock"
ACCOUNT_OWNER: Final = "commission_account_owner"

# Bookings.
SALE_INVALID: Final = "commission_sale_invalid"
POLICY_BOOKED: Final = "commission_policy_booked"
POLICY_CANCELLED: Final = "commission_policy_cancelled"
CONDITION_UNMET: Final = "commission_condition_unmet"
UNMAPPED: Final = "commission_unmapped"
BASE_MISSING: Final = "commission_base_missing"
ZERO: Final = "commission_zero"
BOOKS_FULL: Final = "commission_books_full"
OUTPUT_MISSING: Final = "commission_output_missing"
AMOUNT_WRONG: Final = "commission_amount_wrong"
OUTPUT_WRONG: Final = "commission_output_wrong"

# Cancellations and corrections.
RECORD_UNKNOWN: Final = "commission_record_unknown"
RECORD_FOREIGN: Final = "commission_record_foreign"
ALREADY_CANCELLED: Final = "commission_already_cancelled"
WINDOW_CLOSED: Final = "commission_window_closed"
POLICY_DIFFERS: Final = "commission_policy_differs"
INPUT_WRONG: Final = "commission_input_wrong"

# Settlement.
NOTHING_PENDING: Final = "commission_nothing_pending"
REQUEST_WAITING: Final = "commission_request_waiting"
REQUEST_UNKNOWN: Final = "commission_request_unknown"
REQUEST_SETTLED: Final = "commission_request_settled"
HASH_WRONG: Final = "commission_hash_wrong"
CLAWBACKS_WRONG: Final = "commission_clawbacks_wrong"
SUM_WRONG: Final = "commission_sum_wrong"
PAYMENT_WRONG: Final = "commission_payment_wrong"
CURRENCY_SHORT: Final = "commission_currency_short"
REPORT_UNASKED: Final = "commission_report_unasked"
