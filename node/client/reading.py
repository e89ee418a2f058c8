"""What a daemon answers, as typed values. What cannot be read is the daemon's fault, never the caller's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeVar

from ledger.document import from_document
from ledger.encoding import Codec, Record
from ledger.errors import InvalidInput, Overloaded
from ledger.transaction import MAX_CALL_BYTES
from node.client_errors import malformed_answer

R = TypeVar("R", bound=Record)

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024


@lru_cache(maxsize=256)
def result_codec(kind: type[Record]) -> Codec[Any]:
    """Decoder of a view's result."""
    return Codec(kind, max(MAX_RESULT_BYTES, MAX_CALL_BYTES), f"result {kind.__name__}")


def read(document: Any, kind: type[R]) -> R:
    """A document as a record.

    Raises:
        PeerMisbehaved: ``answer_malformed``.
    """
    try:
        return from_document(document, kind)
    except (InvalidInput, ValueError, TypeError) as error:
        raise malformed_answer(f"{kind.__name__}: {error}") from error


def read_object(document: Any, what: str) -> dict[str, Any]:
    """A JSON object. Raises ``PeerMisbehaved`` as ``read``."""
    if not isinstance(document, dict):
        raise malformed_answer(f"{what} is not an object")
    return document


def read_list(document: Any, name: str) -> list[Any]:
    """The list in a field of an object. Raises ``PeerMisbehaved`` as ``read``."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, list):
        raise malformed_answer(f"no list {name}")
    return value


def read_hex(document: Any, name: str) -> bytes:
    """The bytes in a field of an object. Raises ``PeerMisbehaved`` as ``read``."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str):
        raise malformed_answer(f"no field {name}")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise malformed_answer(f"{name} is not hexadecimal") from error


def retry_after_s(error: Overloaded) -> float:
    """Seconds after which a node that was overloaded wants to be asked again, within bounds."""
    value = error.data.get("retry_after_ms", 100)
    milliseconds = value if isinstance(value, int) else 100
    return min(max(milliseconds, 10), 10_000) / 1000
