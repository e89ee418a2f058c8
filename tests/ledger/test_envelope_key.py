"""Encryption keys: which ones may be registered, compared with what another library makes and reads."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.envelope import (
    HPKE_X25519,
    RSA_OAEP_256,
    EncryptionKey,
    check_encryption_key,
    encryption_key_codec,
    key_id,
)
from ledger.envelope_key import write_rsa
from ledger.errors import InvalidEnvelope, MalformedBytes

FIELD = 2**255 - 19
POINT = X25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key().public_bytes_raw()
GOOD = EncryptionKey(HPKE_X25519, 1, POINT)
SMALL_ORDER = (
    0,
    1,
    FIELD - 1,
    int.from_bytes(bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "little"),
    int.from_bytes(bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "little"),
)


def spki(public):
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def rsa_der():
    return spki(rsa.generate_private_key(65_537, 2_048).public_key())


def refused(key):
    with pytest.raises(InvalidEnvelope) as caught:
        check_encryption_key(key)
    assert caught.value.code == "encryption_key_invalid"
    return caught.value.data["reason"]


def test_key_is_good_when_the_library_made_it(rsa_der):
    for key in (GOOD, EncryptionKey(RSA_OAEP_256, 3, rsa_der)):
        assert check_encryption_key(key) is key
        assert encryption_key_codec.decode(encryption_key_codec.encode(key)) == key


@settings(max_examples=30, deadline=None)
@given(st.integers(2_048, 4_096), st.data())
def test_der_is_the_librarys_when_numbers_of_any_size_are_written(bits, data):
    modulus = data.draw(st.integers(2 ** (bits - 1), 2**bits - 1)) | 1
    exponent = data.draw(st.integers(65_537, 2**32 - 1)) | 1
    der = write_rsa(modulus, exponent)
    assert der == spki(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    check_encryption_key(EncryptionKey(RSA_OAEP_256, 1, der))


def test_id_differs_when_suite_epoch_or_key_does(rsa_der):
    ids = {
        key_id(key)
        for key in (
            GOOD,
            msgspec.structs.replace(GOOD, epoch=2),
            msgspec.structs.replace(GOOD, suite=RSA_OAEP_256),
            msgspec.structs.replace(GOOD, public=POINT[:-1] + b"\0"),
        )
    }
    assert len(ids) == 4
    assert key_id(GOOD) == key_id(EncryptionKey(HPKE_X25519, 1, bytes(POINT)))


@pytest.mark.parametrize("point", SMALL_ORDER, ids=hex)
def test_key_is_refused_when_its_shared_secrets_are_known_to_everyone(point):
    raw = point.to_bytes(32, "little")
    # The attack is real: the library, too, finds no secret in it.
    with pytest.raises(ValueError):
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(raw))
    assert "small order" in refused(EncryptionKey(HPKE_X25519, 1, raw))


@pytest.mark.parametrize("point", [FIELD, FIELD + 1, FIELD + 9, 2**255 + 9, 2**256 - 1], ids=hex)
def test_key_is_refused_when_it_is_a_second_spelling_of_a_point(point):
    assert "prime" in refused(EncryptionKey(HPKE_X25519, 1, point.to_bytes(32, "little")))


@pytest.mark.parametrize("public", [b"", POINT[:31], POINT + b"\0"], ids=len)
def test_x25519_key_is_refused_when_it_has_another_length(public):
    assert "32 bytes" in refused(EncryptionKey(HPKE_X25519, 1, public))


@pytest.mark.parametrize("suite", [3, 4, 255])
def test_key_is_refused_when_its_suite_is_unknown(suite):
    assert "suite" in refused(EncryptionKey(suite, 1, POINT))


def test_key_is_refused_when_its_epoch_is_not_counted_from_one(rsa_der):
    refused(EncryptionKey(HPKE_X25519, 0, POINT))
    for epoch in (0, -1, 2**53):
        with pytest.raises(MalformedBytes):
            encryption_key_codec.decode(encryption_key_codec.encode(EncryptionKey(HPKE_X25519, epoch, POINT)))


@pytest.mark.parametrize("bits", [512, 1_024, 2_047, 4_097, 8_192])
def test_rsa_key_is_refused_when_its_size_is_out_of_bounds(bits):
    der = write_rsa(2**bits - 1, 65_537)
    assert "bytes" in (reason := refused(EncryptionKey(RSA_OAEP_256, 1, der))) or "bits" in reason


@pytest.mark.parametrize(
    ("modulus", "exponent"),
    [(2**2_048 - 2, 65_537), (2**2_048 - 1, 3), (2**2_048 - 1, 65_538), (2**2_048 - 1, 2**33 + 1)],
)
def test_rsa_key_is_refused_when_its_numbers_are_weak(modulus, exponent):
    assert "even" in refused(EncryptionKey(RSA_OAEP_256, 1, write_rsa(modulus, exponent)))


def test_rsa_key_is_refused_when_it_is_another_kind_of_key(rsa_der):
    for other in (spki(Ed25519PrivateKey.generate().public_key()), POINT, b"", b"\x30", b"\x30\x84", bytes(400)):
        refused(EncryptionKey(RSA_OAEP_256, 1, other))
    refused(EncryptionKey(HPKE_X25519, 1, rsa_der))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_rsa_key_is_refused_or_another_when_one_byte_is_flipped(rsa_der, data):
    at = data.draw(st.integers(0, len(rsa_der) - 1))
    forged = bytearray(rsa_der)
    forged[at] ^= data.draw(st.integers(1, 255))
    key = EncryptionKey(RSA_OAEP_256, 1, bytes(forged))
    try:
        check_encryption_key(key)
    except InvalidEnvelope:
        return
    # Whatever passes is the one encoding of other numbers.
    assert key_id(key) != key_id(EncryptionKey(RSA_OAEP_256, 1, rsa_der))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda der: der + b"\0",
        lambda der: der[:-1],
        lambda der: der[:1] + b"\x83\0" + der[2:4] + der[4:],
        lambda der: der.replace(bytes.fromhex("0500"), b"", 1),
        lambda der: der.replace(b"\x02\x03\x01\x00\x01", b"\x02\x04\x00\x01\x00\x01"),
    ],
    ids=["trailing", "truncated", "long length", "no NULL", "padded integer"],
)
def test_rsa_key_is_refused_when_its_der_is_not_canonical(rsa_der, spoil):
    spoilt = spoil(rsa_der)
    assert spoilt != rsa_der
    assert "DER" in refused(EncryptionKey(RSA_OAEP_256, 1, spoilt))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_typed_error_when_they_are_no_key(data):
    refused(EncryptionKey(RSA_OAEP_256, 1, data))
    refused(EncryptionKey(RSA_OAEP_256, 1, b"\x30\x82\x01\x22" + data))
