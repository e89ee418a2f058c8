"""The keys of the kept network: made from a seed that everybody reads here, so they protect nothing."""

from __future__ import annotations

from hashlib import sha256

from ledger.keys import SigningKey
from node.node_keys import NodeKeys

SEED = b"tidegate: the kept data directory of release 0.1, whose keys are no secret: "


def kept_keys() -> NodeKeys:
    """Of its only node."""
    validator, transport, member = (sha256(SEED + kind).digest() for kind in (b"validator", b"transport", b"member"))
    return NodeKeys(SigningKey(validator), transport, SigningKey(member))
