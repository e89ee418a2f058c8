"""Types that parameters and results of RPC methods share; their bounds make both the check and the JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from ledger.errors import InvalidInput
from ledger.transaction import MAX_TRANSACTION_BYTES

MAX_TIMEOUT_MS: Final = 60_000
MAX_EVENT_BLOCKS: Final = 256
MAX_PAGE: Final = 1_000
"""Entries of a page at most, whatever a request or the configuration asks for."""
MAX_HEX_BYTES: Final = 1024 * 1024
MAX_RPC_HEIGHT: Final = 2**53
"""Largest integer that every JSON implementation keeps exact."""
HEX: Final = "^(?:[0-9a-f]{2})*$"
KEY: Final = "^ed25519:[0-9a-f]{64}$"

Hash = Annotated[
    str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$", description="32 bytes in lower-case hex.")
]
TxIdHex = Annotated[
    str,
    Meta(
        min_length=64,
        max_length=64,
        pattern="^[0-9a-f]{64}$",
        description="Transaction id: 32 bytes in lower-case hex.",
    ),
]
Outpoint = Annotated[
    str,
    Meta(
        min_length=72,
        max_length=72,
        pattern="^[0-9a-f]{72}$",
        description="Transaction id and output index (4 bytes, big endian) in lower-case hex.",
    ),
]
Height = Annotated[int, Meta(ge=0, le=MAX_RPC_HEIGHT, description="Height of a block; the genesis block has 0.")]
TimeMs = Annotated[int, Meta(ge=0, le=MAX_RPC_HEIGHT, description="Milliseconds since 1970 UTC.")]
Count = Annotated[int, Meta(ge=0, le=MAX_RPC_HEIGHT)]
TimeoutMs = Annotated[
    int, Meta(ge=0, le=MAX_TIMEOUT_MS, description="How long the node may wait before it answers, in milliseconds.")
]
Name = Annotated[str, Meta(min_length=1, max_length=4_096)]
KeyText = Annotated[
    str,
    Meta(min_length=72, max_length=72, pattern=KEY, description="Public key: `ed25519:` and 32 bytes in hex."),
]
HexBytes = Annotated[
    str, Meta(max_length=2 * MAX_HEX_BYTES, pattern=HEX, description="Bytes in lower-case hex, at most 1 MiB.")
]
WireHex = Annotated[
    str,
    Meta(
        max_length=2 * MAX_TRANSACTION_BYTES,
        pattern=HEX,
        description="Canonical bytes of a signed transaction in lower-case hex, at most 256 KiB.",
    ),
]
Document = Annotated[dict[str, Any], Meta(description="A record as an object: fields by name, bytes in hex.")]


def unhex(text: str, name: str) -> bytes:
    """The bytes of a parameter that has passed its pattern.

    Raises:
        InvalidInput: ``params_invalid``: a line end behind the digits, which patterns let pass.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if 2 * len(data) != len(text):
        raise InvalidInput(f"{name} is not lower-case hexadecimal", code="params_invalid", param=name)
    return data
