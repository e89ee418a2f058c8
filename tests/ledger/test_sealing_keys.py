"""Decryption keys: key files' bytes, kinds, sizes, and that no secret is ever shown."""

import logging
import traceback

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from envelope_kit import AUTHORITY, flipped, refused, rsa_key, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.encoding import encode
from ledger.envelope import HPKE_X25519, RSA_OAEP_256, EncryptionKey, check_encryption_key, key_id
from ledger.errors import InvalidEnvelope
from ledger.sealing_keys import DecryptionKey, wrap

SECRET = b"the 32 secret bytes of a key !!!"


@pytest.fixture(scope="module", params=["x25519", "rsa"])
def key(request):
    return DecryptionKey.from_x25519(3, SECRET) if request.param == "x25519" else rsa_key(epoch=3)


def secrets_of(key):
    """Byte strings that give the key away, as they are and in the spellings in which logs would show them."""
    stored = key.to_bytes()
    raw = [stored[-32:-16], stored[-16:], SECRET, *([stored[-100:-40]] if len(stored) > 100 else [])]
    return [*raw, *(part.hex().encode() for part in raw), *(repr(part)[2:-1].encode() for part in raw)]


def test_key_is_itself_again_when_read_from_its_bytes(key):
    again = DecryptionKey.from_bytes(key.to_bytes())
    assert (again.public, again.key_id, again.suite, again.epoch) == (key.public, key.key_id, key.suite, 3)
    assert again.unwrap(wrap(b"c" * 32, key.public, b"info"), b"info") == b"c" * 32


def test_public_half_is_registrable_when_generated():
    for made, suite in ((DecryptionKey.generate_x25519(1), HPKE_X25519), (rsa_key(), RSA_OAEP_256)):
        assert made.suite == suite
        assert made.epoch == 1
        assert check_encryption_key(made.public) == made.public
        assert made.key_id == key_id(made.public)
    assert DecryptionKey.generate_x25519(1).public != DecryptionKey.generate_x25519(1).public


def test_key_shows_no_secret_when_printed_or_logged(key, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").error("key %s %r %s", key, key, [key])
    shown = (repr(key) + str(key) + f"{key}" + caplog.text + repr(vars(type(key)))).encode()
    assert not [secret for secret in secrets_of(key) if secret in shown]
    assert key.key_id.hex() in repr(key)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_errors_show_no_secret_when_key_bytes_are_damaged(key, data):
    stored = key.to_bytes()
    damaged = flipped(stored, data.draw(st.integers(0, min(len(stored), 64) - 1)), data.draw(st.integers(1, 255)))
    try:
        DecryptionKey.from_bytes(damaged)
    except InvalidEnvelope as error:
        code, shown = error.code, "".join(traceback.format_exception(error)) + repr(error.data)
    else:
        return
    assert code in {"decryption_key_invalid", "encryption_key_invalid"}
    assert not [secret for secret in secrets_of(key) if secret in shown.encode()]


def stored(suite, private, epoch=1):
    return encode((suite, epoch, private))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93",
        SECRET,
        stored(1, SECRET[:31] + b"") + b"\0",
        stored(1, SECRET + b"\0"),
        stored(1, SECRET, epoch=0),
        stored(3, SECRET),
        stored(2, SECRET),
        stored(2, bytes(1_000)),
        AUTHORITY.to_bytes() + b"\0",
        AUTHORITY.to_bytes()[:-1],
    ],
    ids=range(11),
)
def test_key_is_refused_when_its_bytes_are_damaged(data):
    refused("decryption_key_invalid", DecryptionKey.from_bytes, data)


@pytest.mark.parametrize(
    "private",
    [Ed25519PrivateKey.generate(), X25519PrivateKey.generate()],
    ids=["ed25519", "x25519"],
)
def test_key_is_refused_when_rsa_bytes_hold_another_kind(private):
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    refused("decryption_key_invalid", DecryptionKey.from_bytes, stored(2, der))


def test_key_is_refused_when_its_kind_is_not_its_suites():
    x = X25519PrivateKey.generate()
    r = rsa.generate_private_key(65_537, 2_048)
    for suite, private in ((RSA_OAEP_256, x), (HPKE_X25519, r), (3, x), (HPKE_X25519, Ed25519PrivateKey.generate())):
        refused("decryption_key_invalid", DecryptionKey, suite, 1, private)


def test_key_is_refused_when_nobody_could_seal_to_it():
    refused("encryption_key_invalid", DecryptionKey, HPKE_X25519, 0, X25519PrivateKey.generate())
    refused("encryption_key_invalid", DecryptionKey, RSA_OAEP_256, 1, rsa.generate_private_key(65_537, 1_024))
    refused("encryption_key_invalid", DecryptionKey, RSA_OAEP_256, 1, rsa.generate_private_key(3, 2_048))


@pytest.mark.parametrize("bits", [0, 1_024, 2_047, 4_097, 1_000_000])
def test_key_is_not_generated_when_its_size_is_out_of_bounds(bits):
    refused("decryption_key_invalid", DecryptionKey.generate_rsa, 1, bits)


def test_x25519_key_is_refused_when_it_has_another_length():
    for private in (b"", SECRET[:31], SECRET + b"\0"):
        refused("decryption_key_invalid", DecryptionKey.from_x25519, 1, private)


# --- wrapping one key ----------------------------------------------------------------------------------------------


def test_wrapped_key_does_not_unwrap_when_info_key_or_bytes_differ(key):
    wrapped = wrap(b"c" * 32, key.public, b"info")
    other = x25519(99) if key.suite == HPKE_X25519 else rsa_key(1)
    for holder, data, info in (
        (key, wrapped, b"inf0"),
        (key, wrapped, b""),
        (other, wrapped, b"info"),
        (key, flipped(wrapped), b"info"),
        (key, flipped(wrapped, -1), b"info"),
        (key, wrapped[:-1], b"info"),
        (key, wrapped + b"\0", b"info"),
        (key, b"", b"info"),
        (key, bytes(len(wrapped)), b"info"),
    ):
        refused("envelope_unopenable", holder.unwrap, data, info)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_wrapped_key_is_refused_when_it_is_no_content_key(key, size):
    refused("envelope_unopenable", key.unwrap, wrap(bytes(size), key.public, b"info"), b"info")


def test_nothing_is_wrapped_when_the_recipients_key_is_bad():
    for bad in (
        EncryptionKey(HPKE_X25519, 1, bytes(32)),
        EncryptionKey(RSA_OAEP_256, 1, AUTHORITY.public.public),
        EncryptionKey(3, 1, AUTHORITY.public.public),
        msgspec.structs.replace(rsa_key().public, suite=HPKE_X25519),
    ):
        for _ in range(2):  # an error is not remembered as a key
            refused("encryption_key_invalid", wrap, b"c" * 32, bad, b"info")


def test_wrapped_length_is_the_suites_when_wrapped(key):
    assert len(wrap(b"c" * 32, key.public, b"")) == (80 if key.suite == HPKE_X25519 else 256)
