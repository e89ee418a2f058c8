"""Reason codes of refusals: stable, snake_case, in receipts and RPC replies; with the words that people get.

Codes of one contract begin with its kind. Texts never enter a receipt.
"""

from __future__ import annotations

from ledger.errors import InvalidTransaction


class Refusal(InvalidTransaction):
    """A contract, or the rules around it, refuses a transaction; ``code`` enters the receipt.

    Args:
        code: stable reason code.
        message: words for a person; never part of consensus.
    """

    def __init__(self, code: str, message: str, **data: object) -> None:
        super().__init__(message, code=code, **data)


# Makes a block invalid; an honest proposer never includes such a transaction.
CHAIN_WRONG = "chain_wrong"
EXPIRED = "expired"
EXPIRY_TOO_FAR = "expiry_too_far"
REPLAYED = "replayed"
SIGNATURE_INVALID = "signature_invalid"
INPUT_MISSING = "input_missing"
BLOCK_BREAKING = frozenset({CHAIN_WRONG, EXPIRED, EXPIRY_TOO_FAR, REPLAYED, SIGNATURE_INVALID, INPUT_MISSING})

# Makes a refused receipt.
SENDER_NOT_ADMITTED = "sender_not_admitted"
SIGNATURE_SUPERFLUOUS = "signature_superfluous"
PREIMAGE_SUPERFLUOUS = "preimage_superfluous"
LOCK_UNSATISFIED = "lock_unsatisfied"
LOCK_INVALID = "lock_invalid"
UNBALANCED = "unbalanced"
EMPTY = "transaction_empty"
ASSET_UNKNOWN = "asset_unknown"
ACCOUNT_UNKNOWN = "account_unknown"
CONTRACT_UNKNOWN = "contract_unknown"
METHOD_UNKNOWN = "method_unknown"
ARGUMENTS_INVALID = "arguments_invalid"
LIMIT_EXCEEDED = "limit_exceeded"
NOT_PERMITTED = "not_permitted"
