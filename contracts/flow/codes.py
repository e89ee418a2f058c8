"""Reason codes of the flow contract's refusals; the words, which say what to do, stand where they are raised.

Codes of reimbursement amounts stand in ``contracts.flow.amounts``.
"""

from __future__ import annotations

from typing import Final

# Kinds and tables.
KIND_UNKNOWN: Final = "flow_kind_unknown"
KIND_INVALID: Final = "flow_kind_invalid"
KIND_VERSION: Final = "flow_kind_version"
STAGE_MISSING: Final = "flow_stage_missing"
ACTION_UNKNOWN: Final = "flow_action_unknown"

# Flows and their parties.
UNKNOWN: Final = "flow_unknown"
FILED_ALREADY: Final = "flow_filed_already"
FIELD_INVALID: Final = "flow_field_invalid"
PARTY_WRONG: Final = "flow_party_wrong"
NOT_AUTHORISED: Final = "flow_not_authorised"
ENDED: Final = "flow_ended"
SUSPENDED: Final = "flow_suspended"
SUPERVISION_STALE: Final = "flow_supervision_stale"
SUPERVISION_FROZEN: Final = "flow_supervision_frozen"

# Stages.
STAGE_ORDER: Final = "flow_stage_order"
STAGE_PENDING: Final = "flow_stage_pending"
STAGE_DONE: Final = "flow_stage_done"
STAGE_LATE: Final = "flow_stage_late"

# Envelopes.
ENVELOPE_INVALID: Final = "flow_envelope_invalid"
ENVELOPE_FOREIGN: Final = "flow_envelope_foreign"
ENVELOPE_RECIPIENTS: Final = "flow_envelope_recipients"
ENVELOPE_EPOCH: Final = "flow_envelope_epoch"
ENVELOPE_OVERSIZED: Final = "flow_envelope_oversized"
KEY_MISSING: Final = "flow_key_missing"

# Grants and tokens.
GRANT_MISSING: Final = "flow_grant_missing"
GRANT_HOLDER: Final = "flow_grant_holder"
GRANT_WINDOW: Final = "flow_grant_window"
GRANT_USED: Final = "flow_grant_used"
TOKEN_WRONG: Final = "flow_token_wrong"  # noqa: S105  (a reason code)
NOT_RELEASED: Final = "flow_not_released"

# Packets of the supervision chain.
PACKET_FOREIGN: Final = "flow_packet_foreign"
PACKET_INVALID: Final = "flow_packet_invalid"
ATTEMPT_WRONG: Final = "flow_attempt_wrong"
NOT_REQUESTED: Final = "flow_not_requested"
COMMITMENT_WRONG: Final = "flow_commitment_wrong"
DECISION_UNSIGNED: Final = "flow_decision_unsigned"
CONTROL_UNSIGNED: Final = "flow_control_unsigned"
LIMIT_UNSIGNED: Final = "flow_limit_unsigned"
AUTHORISATION_TAKEN: Final = "flow_authorisation_taken"
GRANT_MISMATCH: Final = "flow_grant_mismatch"

# Money.
ONE_CALL: Final = "flow_one_call"
ASSET_WRONG: Final = "flow_asset_wrong"
PAYMENT_WRONG: Final = "flow_payment_wrong"
PAYER_MISSING: Final = "flow_payer_missing"
NOT_STORED: Final = "flow_not_stored"
DECISION_NEEDED: Final = "flow_decision_needed"
REPORT_MISSING: Final = "flow_report_missing"
