"""HPKE against RFC 9180: a construction from its text, held to its test vector, opens ours, and ours opens its."""

import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.envelope import HPKE_X25519, EncryptionKey
from ledger.sealing_keys import DecryptionKey, wrap

KEM = b"KEM" + (0x0020).to_bytes(2, "big")
HPKE = b"HPKE" + (0x0020).to_bytes(2, "big") + (0x0001).to_bytes(2, "big") + (0x0003).to_bytes(2, "big")

# RFC 9180, A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode.
INFO = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
SK_E = bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600")
PK_E = bytes.fromhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
SK_R = bytes.fromhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb")
PK_R = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
SHARED_SECRET = "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7"
KEY = "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"
BASE_NONCE = "5c4d98150661b848853b547f"
PLAINTEXT = b"Beauty is truth, truth beauty"
AAD = b"Count-0"
CIPHERTEXT = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"


def extract(suite, salt, label, ikm):
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(suite, prk, label, info, length):
    """One HKDF block is enough for every length that is asked for."""
    assert length <= 32
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\x01", sha256)[:length]


def shared_secret(private, public, enc, recipient):
    dh = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return expand(KEM, extract(KEM, b"", b"eae_prk", dh), b"shared_secret", enc + recipient, 32)


def schedule(secret, info):
    """Key and base nonce of base mode (5.1)."""
    context = b"\x00" + extract(HPKE, b"", b"psk_id_hash", b"") + extract(HPKE, b"", b"info_hash", info)
    prk = extract(HPKE, secret, b"secret", b"")
    return expand(HPKE, prk, b"key", context, 32), expand(HPKE, prk, b"base_nonce", context, 12)


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def independent_wrap(plaintext, recipient, info, ephemeral):
    enc = public_of(ephemeral)
    key, nonce = schedule(shared_secret(ephemeral, recipient, enc, recipient), info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def independent_unwrap(wrapped, private, info):
    enc = wrapped[:32]
    key, nonce = schedule(shared_secret(private, enc, enc, public_of(private)), info)
    return ChaCha20Poly1305(key).decrypt(nonce, wrapped[32:], b"")


def test_construction_is_the_rfcs_when_run_on_its_vector():
    assert (public_of(SK_E), public_of(SK_R)) == (PK_E, PK_R)
    secret = shared_secret(SK_E, PK_R, PK_E, PK_R)
    assert secret == shared_secret(SK_R, PK_E, PK_E, PK_R)
    assert secret.hex() == SHARED_SECRET
    key, nonce = schedule(secret, INFO)
    assert (key.hex(), nonce.hex()) == (KEY, BASE_NONCE)
    assert ChaCha20Poly1305(key).encrypt(nonce, PLAINTEXT, AAD).hex() == CIPHERTEXT


def test_key_of_the_rfc_unwraps_when_its_sender_wrapped_a_content_key():
    ours = DecryptionKey.from_x25519(1, SK_R)
    assert ours.public.public == PK_R
    assert ours.unwrap(independent_wrap(b"c" * 32, PK_R, INFO, SK_E), INFO) == b"c" * 32


@settings(max_examples=25, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=64),
)
def test_both_open_each_others_when_keys_and_infos_are_any(private, ephemeral, content_key, info):
    ours = DecryptionKey.from_x25519(1, private)
    assert independent_unwrap(wrap(content_key, ours.public, info), private, info) == content_key
    assert ours.unwrap(independent_wrap(content_key, ours.public.public, info, ephemeral), info) == content_key


def test_wrapping_is_fresh_when_repeated():
    to = EncryptionKey(HPKE_X25519, 1, PK_R)
    wrapped = {wrap(b"c" * 32, to, INFO) for _ in range(8)}
    assert len({one[:32] for one in wrapped}) == 8


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_wrapped_key_is_refused_when_it_is_no_content_key(size):
    ours = DecryptionKey.from_x25519(1, SK_R)
    with pytest.raises(Exception, match="does not unwrap") as caught:
        ours.unwrap(independent_wrap(bytes(size), PK_R, INFO, SK_E), INFO)
    assert caught.value.code == "envelope_unopenable"
