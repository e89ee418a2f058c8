"""Names of traces and spans that every daemon finds by itself: no header travels, nothing is agreed on.

A transaction's trace id is the first half of its id, so that who knows a transaction can look its trace up. Spans that
other daemons hang theirs on have ids made of what all of them know.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

TRACE_BYTES: Final = 16
SPAN_BYTES: Final = 8
_PER_MILLE: Final = 1_000


def trace_of(tx_id: bytes) -> int:
    """Trace id of a transaction, or of what its packet causes on the other chain."""
    return int.from_bytes(tx_id[:TRACE_BYTES], "big")


def span_of(tx_id: bytes, name: str, *parts: bytes) -> int:
    """Span id: the same wherever it is asked for with the same arguments; never 0."""
    data = b"".join([len(part).to_bytes(2, "big") + part for part in (b"tidegate/span", tx_id, name.encode(), *parts)])
    return int.from_bytes(sha256(data).digest()[:SPAN_BYTES], "big") or 1


def is_sampled(tx_id: bytes, ratio: int) -> bool:
    """Whether a transaction is traced: the same answer on every daemon with the same ratio.

    Args:
        tx_id: 32 bytes, a hash: any part of it is as good as random.
        ratio: in thousandths.
    """
    return int.from_bytes(tx_id[-8:], "big") % _PER_MILLE < ratio
