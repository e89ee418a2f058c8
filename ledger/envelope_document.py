"""What travels inside an envelope, its salted commitment, and the pseudonym of its subject (PROTOCOL.md 2.5)."""

from __future__ import annotations

import hmac
import unicodedata
from hashlib import sha256
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger.encoding import Codec, Record, digest
from ledger.errors import InvalidInput
from ledger.types import Hash32

SALT_BYTES: Final = 32
MAX_BODY_BYTES: Final = 40 * 1024
MAX_MEDIA_CHARS: Final = 64
MAX_ID_NUMBER_CHARS: Final = 128
PSEUDONYM_KEY_BYTES: Final = 32
_UNWRITABLE: Final = frozenset({"Cc", "Cf", "Cs"})


class SealedDocument(Record, frozen=True):
    """The plaintext of an envelope. Its ``repr`` shows neither salt nor body, since it ends up in logs.

    Attributes:
        salt: 32 random bytes, fresh for each document, so that a commitment cannot be guessed from likely bodies.
        media: media type of the body, for example ``application/fhir+json``.
        body: the document itself, at most 40 KiB.
    """

    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    media: Annotated[str, Meta(max_length=MAX_MEDIA_CHARS)]
    body: Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]

    def __repr__(self) -> str:
        return f"SealedDocument(media={self.media!r}, {len(self.body)} bytes)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What ``rich`` shows: no more than ``repr``."""
        return [("media", self.media), ("size_bytes", len(self.body))]


sealed_document_codec = Codec(SealedDocument, MAX_BODY_BYTES + 512, "sealed document")


def commitment(document: bytes, salt: bytes, media: str = "") -> Hash32:
    """The salted commitment that stands on chain for a document; the same on both chains, so no chain id is in it.

    Args:
        document: the body's bytes.
        salt: 32 bytes.
        media: its media type.

    Raises:
        InvalidInput: ``salt_invalid``: another length.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"a salt has {SALT_BYTES} bytes, not {len(salt)}", code="salt_invalid")
    return digest(b"tidegate/commitment", b"", salt, media.encode(), document)


def commitment_of(document: SealedDocument) -> Hash32:
    """The commitment to a document as it travels in an envelope: salt, media type and body."""
    return commitment(document.body, document.salt, document.media)


def normalised_id_number(id_number: str) -> str:
    """One spelling for each ID number, so that one person has one pseudonym.

    Unicode NFKC (full-width digits become plain ones), upper case, without white space, hyphens and other dashes.

    Raises:
        InvalidInput: ``id_number_invalid``: nothing is left, it is over 128 characters, or control characters or
            surrogates are in it; the error does not repeat the number.
    """
    if len(id_number) > MAX_ID_NUMBER_CHARS:
        raise InvalidInput(f"an ID number has at most {MAX_ID_NUMBER_CHARS} characters", code="id_number_invalid")
    # Upper case and leaving out can both undo the normal form, hence each time again.
    spelled = _normal_form(_normal_form(id_number).upper())
    kept = _normal_form("".join(char for char in spelled if not (char.isspace() or _is_dash(char))))
    # A lone surrogate has no UTF-8, and the error of encoding it would quote the number.
    if not kept or any(unicodedata.category(char) in _UNWRITABLE for char in kept):
        raise InvalidInput("the ID number is empty or contains control characters", code="id_number_invalid")
    return kept


def _normal_form(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _is_dash(char: str) -> bool:
    # The minus sign looks like a hyphen, but is a symbol to Unicode.
    return char == "\N{MINUS SIGN}" or unicodedata.category(char) == "Pd"


def pseudonym(id_number: str, key: bytes) -> Hash32:
    """Pseudonym of a subject: HMAC-SHA-256 of the normalised ID number.

    Args:
        id_number: as written in the document.
        key: 32 secret bytes that the authorities of one supervision network share.

    Raises:
        InvalidInput: ``id_number_invalid``, ``pseudonym_key_invalid``.
    """
    if len(key) != PSEUDONYM_KEY_BYTES:
        raise InvalidInput(f"a pseudonym key has {PSEUDONYM_KEY_BYTES} bytes", code="pseudonym_key_invalid")
    return Hash32(hmac.digest(key, normalised_id_number(id_number).encode(), "sha256"))


def plain_pseudonym(id_number: str) -> Hash32:
    """SHA-256 of the normalised ID number: for interoperability only.

    Refused by default wherever a pseudonym is accepted: ID numbers are few enough to try them all (PROTOCOL.md 2.5).

    Raises:
        InvalidInput: ``id_number_invalid``.
    """
    return Hash32(sha256(normalised_id_number(id_number).encode()).digest())
