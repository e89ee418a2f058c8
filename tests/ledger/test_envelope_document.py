"""Documents, their salted commitments, and pseudonyms of subjects."""

import hmac
import json
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.envelope import (
    SealedDocument,
    commitment,
    commitment_of,
    normalised_id_number,
    plain_pseudonym,
    pseudonym,
    sealed_document_codec,
)
from ledger.envelope_document import MAX_BODY_BYTES
from ledger.errors import InvalidInput, MalformedBytes

SALT = bytes(range(32))
DOCUMENT = SealedDocument(SALT, "application/fhir+json", b'{"resourceType":"MedicationRequest"}')
KEY = b"k" * 32
NUMBER = "11010519491231002X"


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(DOCUMENT, salt=bytes(32)),
        msgspec.structs.replace(DOCUMENT, media="application/json"),
        msgspec.structs.replace(DOCUMENT, body=DOCUMENT.body + b" "),
        # The same bytes, split elsewhere.
        SealedDocument(SALT, DOCUMENT.media[:-1], DOCUMENT.media[-1:].encode() + DOCUMENT.body),
    ],
    ids=["salt", "media", "body", "boundary"],
)
def test_commitment_is_another_when_a_field_is(other):
    assert commitment_of(other) != commitment_of(DOCUMENT)


def test_commitment_is_the_documents_when_computed_from_its_parts():
    assert commitment_of(DOCUMENT) == commitment(DOCUMENT.body, SALT, DOCUMENT.media)
    assert commitment(b"x", SALT) == commitment_of(SealedDocument(SALT, "", b"x"))
    assert len(commitment(b"", SALT)) == 32


@pytest.mark.parametrize("salt", [b"", SALT[:31], SALT + b"\0"], ids=len)
def test_commitment_is_refused_when_the_salt_has_another_length(salt):
    with pytest.raises(InvalidInput) as caught:
        commitment(b"x", salt)
    assert caught.value.code == "salt_invalid"


def test_document_is_itself_again_when_decoded():
    for document in (DOCUMENT, SealedDocument(SALT, "", b""), SealedDocument(SALT, "é" * 64, bytes(MAX_BODY_BYTES))):
        assert sealed_document_codec.decode(sealed_document_codec.encode(document)) == document


@pytest.mark.parametrize(
    "document",
    [
        SealedDocument(SALT[:31], "", b""),
        SealedDocument(SALT, "m" * 65, b""),
        SealedDocument(SALT, "", bytes(MAX_BODY_BYTES + 1)),
    ],
    ids=["salt", "media", "body"],
)
def test_document_is_undecodable_when_a_field_is_out_of_bounds(document):
    with pytest.raises(MalformedBytes):
        sealed_document_codec.decode(sealed_document_codec.encode(document))


def test_document_shows_neither_salt_nor_body_when_printed():
    secret = SealedDocument(b"SALTSALTSALTSALTSALTSALTSALTSALT", "text/plain", b"Jane Roe, 999-12-3456")
    shown = repr(secret) + str(secret) + repr(secret.__rich_repr__()) + f"{secret!r}" + repr([secret])
    assert "999-12" not in shown
    assert "SALT" not in shown
    assert "21 bytes" in shown


@pytest.mark.parametrize(
    "spelling",
    [
        "11010519491231002X",
        "11010519491231002x",
        " 110105 19491231 002X\n",
        "110105-19491231-002X",
        "110105–19491231—002X",
        "110105−19491231‐002X",
        "１１０１０５19491231002Ｘ",
        "110105\u00a019491231\u3000002X",
    ],
)
def test_pseudonym_is_one_when_an_id_number_is_spelled_differently(spelling):
    assert pseudonym(spelling, KEY) == hmac.new(KEY, NUMBER.encode(), "sha256").digest()
    assert plain_pseudonym(spelling) == sha256(NUMBER.encode()).digest()


def test_pseudonym_is_another_when_number_or_key_is():
    assert pseudonym("999-12-3456", KEY) != pseudonym("999-12-3457", KEY)
    assert pseudonym("999-12-3456", KEY) != pseudonym("999-12-3456", b"K" * 32)
    assert pseudonym("999-12-3456", KEY) != plain_pseudonym("999-12-3456")


@given(st.text(alphabet="0123456789ABCXYZabcxyz -–ΐß", max_size=40) | st.text(max_size=40))
def test_normalisation_changes_nothing_more_when_repeated(text):
    try:
        once = normalised_id_number(text)
    except InvalidInput:
        return
    assert once
    assert normalised_id_number(once) == once


@pytest.mark.parametrize(
    "number", ["", "  ", "- - -", "12\x0034", "12\u200b34", "12\u00ad34", "12\ud80034", "9" * 129], ids=ascii
)
def test_id_number_is_refused_and_not_repeated_when_it_is_none(number):
    for compute in (plain_pseudonym, lambda text: pseudonym(text, KEY), normalised_id_number):
        with pytest.raises(InvalidInput) as caught:
            compute(number)
        assert caught.value.code == "id_number_invalid"
        assert caught.value.data == {}
        assert "12" not in caught.value.message.replace("128", "")


def test_id_number_is_refused_when_json_carried_half_a_character():
    with pytest.raises(InvalidInput):
        pseudonym(json.loads('"99\\ud83412"'), KEY)


@pytest.mark.parametrize("key", [b"", KEY[:31], KEY + b"k"], ids=len)
def test_pseudonym_is_refused_when_the_key_has_another_length(key):
    with pytest.raises(InvalidInput) as caught:
        pseudonym(NUMBER, key)
    assert caught.value.code == "pseudonym_key_invalid"
