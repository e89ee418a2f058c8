"""Fingerprints: what entries of lists are, so that a list on chain says to nobody who or what stands on it.

    fingerprint("reviewer", key)                     key: 33 bytes
    fingerprint("subject", pseudonym)                32 bytes
    fingerprint("subject_drug", pseudonym, code)     code: text
    fingerprint("pharmacy_subject", key, pseudonym)
    fingerprint("organisation", name)
    fingerprint("transaction", "flow", flow)         or "order", commitment; or "party", key
    fingerprint("value", text)

They hide what nobody can guess: a pseudonym. Who can enumerate keys, names or codes can test which of them are listed.
"""

from __future__ import annotations

from typing import Final

from contracts.codes import Refusal
from contracts.rulebook.codes import FIELD_INVALID
from contracts.rulebook.records import (
    IN_EXPRESSIONS,
    LIST_KINDS,
    ORGANISATION,
    PHARMACY_SUBJECT,
    REVIEWER,
    SUBJECT,
    SUBJECT_DRUG,
    TRANSACTION,
    VALUE,
)
from ledger.encoding import digest
from ledger.types import Hash32

FLOW: Final = "flow"
ORDER: Final = "order"
PARTY: Final = "party"

_KEY: Final = 33
_HASH: Final = 32
_TEXT: Final = 0
_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    REVIEWER: (_KEY,),
    SUBJECT: (_HASH,),
    SUBJECT_DRUG: (_HASH, _TEXT),
    PHARMACY_SUBJECT: (_KEY, _HASH),
    ORGANISATION: (_TEXT,),
    VALUE: (_TEXT,),
}
_TRANSACTION_SHAPES: Final = {FLOW: _HASH, ORDER: _HASH, PARTY: _KEY}


def fingerprint(kind: str, *parts: bytes | str) -> Hash32:
    """The entry of a list of ``kind`` for ``parts``, which are as in the module's table; the same on every chain.

    Raises:
        Refusal: ``rules_field_invalid``: no such kind, or parts of another number, type or length.
    """
    shape = _shape(kind, parts)
    if len(parts) != len(shape) or not all(map(_fits, parts, shape)):
        raise Refusal(FIELD_INVALID, f"an entry of kind {kind} is made of other parts", kind=kind)
    return hashed(kind, *[part.encode() if isinstance(part, str) else part for part in parts])


def hashed(kind: str, *parts: bytes) -> Hash32:
    """``fingerprint`` of parts that are known to be of the right form."""
    return digest(b"tidegate/rules-entry", b"", kind.encode(), *parts)


def of_text(kind: str, text: str) -> Hash32 | None:
    """The entry that ``text in list`` asks for; keys and pseudonyms in lower-case hex. None where it can be none."""
    if kind in (ORGANISATION, VALUE):
        return hashed(kind, text.encode())
    if kind not in IN_EXPRESSIONS:
        return None
    try:
        part = bytes.fromhex(text)
    except ValueError:
        return None
    if part.hex() != text or len(part) != _SHAPES[kind][0]:
        return None
    return hashed(kind, part)


def _shape(kind: str, parts: tuple[bytes | str, ...]) -> tuple[int, ...]:
    if kind == TRANSACTION and parts and isinstance(parts[0], str) and parts[0] in _TRANSACTION_SHAPES:
        return _TEXT, _TRANSACTION_SHAPES[parts[0]]
    if kind not in _SHAPES:
        raise Refusal(
            FIELD_INVALID,
            f"known kinds of lists: {', '.join(LIST_KINDS)}; a transaction's entry begins "
            f"with {FLOW}, {ORDER} or {PARTY}",
            kind=kind,
        )
    return _SHAPES[kind]


def _fits(part: bytes | str, length: int) -> bool:
    if length == _TEXT:
        return isinstance(part, str) and part.isprintable() and bool(part)
    return isinstance(part, bytes) and len(part) == length
