"""Reason codes of the registry's refusals."""

from __future__ import annotations

from typing import Final

FIELD_INVALID: Final = "registry_field_invalid"
KEY_TAKEN: Final = "registry_key_taken"
"""The key is registered, and its registration is not one that this sender may replace."""
AUTHORITY_KEYS_MISSING: Final = "registry_authority_keys_missing"
"""No authority has published an encryption key, so that nothing can be sealed to the authorities."""
DOCUMENT_INVALID: Final = "registry_document_invalid"
DOCUMENT_UNSEALED: Final = "registry_document_unsealed"
"""Not sealed to every authority's current key. ``data["why"]`` has the envelope's own code."""
DOCUMENT_DIFFERS: Final = "registry_document_differs"
"""The authority names another document than the one that stands in the state."""
PARTICIPANT_UNKNOWN: Final = "registry_participant_unknown"
STATUS_WRONG: Final = "registry_status_wrong"
"""The participant's status does not allow this step."""
CLASS_UNKNOWN: Final = "registry_class_unknown"
CLASS_UNCHANGED: Final = "registry_class_unchanged"
