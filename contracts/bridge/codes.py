"""Reason codes of the bridge. What a light client refuses gets ``bridge_`` in front of its own code."""

from __future__ import annotations

from typing import Final

NO_CLIENT: Final = "bridge_no_client"
FROZEN: Final = "bridge_frozen"
NOT_FUSION: Final = "bridge_not_fusion"
ACTION_UNKNOWN: Final = "bridge_action_unknown"
CLIENT_INVALID: Final = "bridge_client_invalid"
CLIENT_EXISTS: Final = "bridge_client_exists"

OUTBOX_FULL: Final = "bridge_outbox_full"
PACKET_INVALID: Final = "bridge_packet_invalid"
EVIDENCE_TOO_LARGE: Final = "bridge_evidence_too_large"

HEADER_WRONG: Final = "bridge_header_wrong"
TOO_MANY_SEALS: Final = "bridge_too_many_seals"
ANCHOR_UNKNOWN: Final = "bridge_anchor_unknown"
RECEIPT_UNPROVED: Final = "bridge_receipt_unproved"
ATTACHMENT_MISSING: Final = "bridge_attachment_missing"
EVIDENCE_MISSING: Final = "bridge_evidence_missing"
EVIDENCE_WRONG: Final = "bridge_evidence_wrong"
SUPERFLUOUS: Final = "bridge_superfluous"
GAP: Final = "bridge_gap"
NOTHING_NEW: Final = "bridge_nothing_new"

# In answers: the receiver did what no receiver of a packet may do.
CONTRACT_FAILED: Final = "contract_failed"
RECEIVER_MOVES: Final = "bridge_receiver_moves"
"""It issued, destroyed or unlocked assets: a relay's transaction has none."""
