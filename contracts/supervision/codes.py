"""Reason codes of the supervision contract: of refused transactions and packets, and of refused or held stages."""

from __future__ import annotations

from typing import Final

# Packets that say nothing that could be answered by a stage refusal: they are answered with the code itself.
PACKET_UNKNOWN: Final = "supervision_packet_unknown"
PACKET_FOREIGN: Final = "supervision_packet_foreign"
REQUEST_MALFORMED: Final = "supervision_request_malformed"
REQUEST_LATE: Final = "supervision_request_late"
ATTEMPT_OLD: Final = "supervision_attempt_old"
AUTHORISED_ALREADY: Final = "supervision_authorised_already"
ENVELOPE_MISSING: Final = "supervision_envelope_missing"
ENVELOPE_INVALID: Final = "supervision_envelope_invalid"

# Why a stage is refused.
UNREGISTERED: Final = "supervision_unregistered"
SUSPENDED: Final = "supervision_suspended"
KIND_WRONG: Final = "supervision_participant_kind"
NOT_AUTHORISED: Final = "supervision_not_authorised"
FLOW_DIFFERS: Final = "supervision_flow_differs"
FLOW_SUSPENDED: Final = "supervision_flow_suspended"
FLOW_TERMINATED: Final = "supervision_flow_terminated"
REVIEWER_DIFFERS: Final = "supervision_reviewer_differs"
OPINION_MISSING: Final = "supervision_opinion_missing"
EXPIRED: Final = "supervision_expired"

# Why a stage waits for officers, beside what the rules say.
CLASS_CONTROLLED: Final = "supervision_class_controlled"
BATCH_MISSING: Final = "supervision_batch_missing"

# Why a decision is refused.
ONE_CALL: Final = "supervision_one_call"
REQUEST_UNKNOWN: Final = "supervision_request_unknown"
COMMITMENT_DIFFERS: Final = "supervision_commitment_differs"
OUTCOME_INVALID: Final = "supervision_outcome_invalid"
NOT_AUTHORITY: Final = "supervision_not_authority"
NOT_OFFICER: Final = "supervision_not_officer"
NOT_ATTESTED: Final = "supervision_not_attested"
DECIDED: Final = "supervision_decided"
DECISION_LATE: Final = "supervision_decision_late"
NOT_OPENED: Final = "supervision_not_opened"
SUBJECT_INVALID: Final = "supervision_subject_invalid"
ATTRIBUTES_INVALID: Final = "supervision_attributes_invalid"
ATTESTED_ALREADY: Final = "supervision_attested_already"
EVIDENCE_FULL: Final = "supervision_evidence_full"

# Controls, limits, batches, disclosures.
FLOW_UNKNOWN: Final = "supervision_flow_unknown"
CONTROL_INVALID: Final = "supervision_control_invalid"
COUNTER_WRONG: Final = "supervision_counter_wrong"
PROPOSALS_FULL: Final = "supervision_proposals_full"
LIMIT_INVALID: Final = "supervision_limit_invalid"
BATCH_INVALID: Final = "supervision_batch_invalid"
BATCHES_FULL: Final = "supervision_batches_full"
RECORD_UNKNOWN: Final = "supervision_record_unknown"
