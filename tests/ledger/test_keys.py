"""Signatures: RFC 8032 vectors, our one verification rule beside another library on the known edge cases."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature as OtherRefuses
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidSignature
from ledger.keys import (
    SUITE_ED25519,
    SignatureCache,
    SigningKey,
    check_public_key,
    key_text,
    parse_key,
    verify,
)

SUITE = bytes([SUITE_ED25519])
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P

# RFC 8032, 7.1: secret, public, message, signature (TEST 1, 2, 3, and TEST SHA(abc)).
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            "4a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
            "3dca179c138ac17ad9bef1177331a704"
        ),
    ),
]


def other_verifies(public, message, signature):
    """The same question to OpenSSL, by way of `cryptography`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (OtherRefuses, ValueError):
        return False
    return True


def ours(public, message, signature):
    return verify(SUITE + public, message, SUITE + signature)


def encode_point(x, y):
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(data):
    value = int.from_bytes(data, "little")
    y, sign = value & (1 << 255) - 1, value >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return (P - x if x & 1 != sign else x), y


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P,
    )


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE = decode_point(bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666"))
ORDER_8 = decode_point(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
SMALL_ORDER = sorted({encode_point(*multiply(k, ORDER_8)) for k in range(8)})
# The same points written with y above the field's prime, and with the sign bit on x = 0.
NON_CANONICAL = [
    (1).to_bytes(31, "little") + b"\x80",
    (P - 1 | 1 << 255).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
    (P | 1 << 255).to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
    (P + 1 | 1 << 255).to_bytes(32, "little"),
]


def challenge(r, public, message):
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def secret_scalar(seed):
    data = bytearray(hashlib.sha512(seed).digest()[:32])
    data[0] &= 248
    data[31] = data[31] & 127 | 64
    return int.from_bytes(data, "little")


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_vectors_of_rfc_8032(secret, public, message, signature):
    secret, public, message, signature = map(bytes.fromhex, (secret, public, message, signature))
    key = SigningKey(secret)
    assert key.public == SUITE + public
    assert key.seed == secret
    assert key.sign(message) == SUITE + signature
    assert ours(public, message, signature)
    assert other_verifies(public, message, signature)
    assert not ours(public, message + b"x", signature)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=2_000))
def test_both_libraries_accept_what_either_signs_and_refuse_what_is_changed(seed, message):
    key = SigningKey(seed)
    public, signature = key.public[1:], key.sign(message)[1:]
    assert ours(public, message, signature)
    assert other_verifies(public, message, signature)
    for position in (0, 31, 32, 63):
        changed = signature[:position] + bytes([signature[position] ^ 1]) + signature[position + 1 :]
        assert not ours(public, message, changed)
        assert not other_verifies(public, message, changed)


@pytest.mark.parametrize("message", [b"", b"\x00", bytes(1_000_000)])
def test_empty_and_long_messages(message):
    key = SigningKey(bytes(32))
    assert verify(key.public, message, key.sign(message))


@pytest.mark.parametrize("times", range(1, 16))
def test_s_not_below_the_group_order_is_refused_by_both(times):
    key = SigningKey(b"\x07" * 32)
    public, signature = key.public[1:], key.sign(b"m")[1:]
    s = int.from_bytes(signature[32:], "little") + times * L
    if s >= 2**256:
        pytest.skip("does not fit 32 bytes")
    malleated = signature[:32] + s.to_bytes(32, "little")
    assert not ours(public, b"m", malleated)
    assert not other_verifies(public, b"m", malleated)


@pytest.mark.parametrize("s", [L, L + 1, 2**253, 2**255 - 1, 2**256 - 1])
def test_s_at_and_above_the_group_order_is_refused(s):
    key = SigningKey(b"\x07" * 32)
    signature = key.sign(b"m")[1:33] + s.to_bytes(32, "little")
    assert not ours(key.public[1:], b"m", signature)
    assert not other_verifies(key.public[1:], b"m", signature)


def forged_for_small_order(public):
    """A signature that the bare equation accepts under a key of small order: R = S·B − k·A with k·A known."""
    for s in range(1, 400):
        for torsion in range(8):
            r = encode_point(*add(multiply(s, BASE), multiply(torsion, ORDER_8)))
            point = decode_point(public)
            k = challenge(r, public, b"m")
            if add(decode_point(r), multiply(k % 8, point)) == multiply(s, BASE):
                return r + s.to_bytes(32, "little")
    raise AssertionError("no forgery found")


@pytest.mark.parametrize("public", SMALL_ORDER, ids=lambda key: key.hex()[:8])
def test_keys_of_small_order_are_refused_by_us_and_not_by_openssl(public):
    """Anybody can sign for such a key. libsodium refuses it; OpenSSL takes it: ours decides."""
    signature = forged_for_small_order(public)
    assert other_verifies(public, b"m", signature)
    assert not ours(public, b"m", signature)


@pytest.mark.parametrize("public", NON_CANONICAL, ids=lambda key: key.hex()[:8])
def test_non_canonical_keys_are_refused(public):
    for s in (0, 1, 7):
        for r in (SMALL_ORDER[0], encode_point(*multiply(s, BASE)) if s else SMALL_ORDER[1]):
            assert not ours(public, b"m", r + s.to_bytes(32, "little"))


def test_non_canonical_key_without_small_order_is_refused():
    for y in range(P, 2**255):
        candidate = y.to_bytes(32, "little")
        for sign in (0, 128):
            public = candidate[:31] + bytes([candidate[31] | sign])
            assert not ours(public, b"m", encode_point(*BASE) + (1).to_bytes(32, "little"))


@pytest.mark.parametrize("r", [*SMALL_ORDER, *NON_CANONICAL], ids=lambda r: r.hex()[:8])
def test_r_of_small_order_or_non_canonical_is_refused_by_us(r):
    """With R = identity and S = k·a the equation holds: OpenSSL accepts it, libsodium refuses R of small order."""
    seed = b"\x09" * 32
    public = SigningKey(seed).public[1:]
    s = challenge(r, public, b"m") * secret_scalar(seed) % L
    signature = r + s.to_bytes(32, "little")
    assert not ours(public, b"m", signature)
    if r == encode_point(0, 1):
        assert other_verifies(public, b"m", signature)


def test_equation_is_checked_without_the_cofactor():
    """R and A with a torsion part: [8]SB = [8]R + [8]kA holds, SB = R + kA does not. Both libraries refuse."""
    seed = b"\x0b" * 32
    public = SigningKey(seed).public[1:]
    r = encode_point(*add(multiply(12345, BASE), ORDER_8))
    s = (12345 + challenge(r, public, b"m") * secret_scalar(seed)) % L
    signature = r + s.to_bytes(32, "little")
    k = challenge(r, public, b"m")
    left, right = multiply(s, BASE), add(decode_point(r), multiply(k, decode_point(public)))
    assert left != right
    assert multiply(8, left) == multiply(8, right)
    assert not ours(public, b"m", signature)
    assert not other_verifies(public, b"m", signature)


def test_key_with_a_torsion_part_is_decided_alike():
    """A mixed-order key is neither of small order nor non-canonical: both take it where the equation holds."""
    seed = b"\x0c" * 32
    scalar = secret_scalar(seed)
    public = encode_point(*add(multiply(scalar, BASE), ORDER_8))
    outcomes = set()
    for nonce in range(1, 40):
        r = encode_point(*multiply(nonce, BASE))
        k = challenge(r, public, b"m")
        signature = r + ((nonce + k * scalar) % L).to_bytes(32, "little")
        assert ours(public, b"m", signature) == other_verifies(public, b"m", signature) == (k % 8 == 0)
        outcomes.add(k % 8 == 0)
    assert outcomes == {True, False}


@pytest.mark.parametrize("cut", [0, 1, 32, 63, 64, 66])
def test_wrong_lengths_and_suites_are_refused(cut):
    key = SigningKey(bytes(32))
    signature = key.sign(b"m")
    assert not verify(key.public, b"m", (signature + b"\x00")[:cut])
    assert not verify((key.public + b"\x00" * 40)[:cut], b"m", signature)
    for suite in (0, 2, 255):
        assert not verify(bytes([suite]) + key.public[1:], b"m", signature)
        assert not verify(key.public, b"m", bytes([suite]) + signature[1:])


@given(st.binary(max_size=80), st.binary(max_size=50), st.binary(max_size=80))
def test_any_bytes_give_an_answer(public, message, signature):
    assert verify(public, message, signature) is False
    assert verify(SUITE + public[:32].ljust(32, b"\x05"), message, SUITE + signature[:64].ljust(64, b"\x01")) is False


# --- forms --------------------------------------------------------------------------------------------------------


def test_seed_of_another_length_is_refused():
    for length in (0, 31, 33):
        with pytest.raises(InvalidSignature):
            SigningKey(bytes(length))


def test_generated_keys_differ_and_never_show_their_secret():
    one, two = SigningKey.generate(), SigningKey.generate()
    assert one.public != two.public
    assert one.seed.hex() not in repr(one)
    assert key_text(one.public) in repr(one)


def test_check_public_key():
    key = SigningKey(bytes(32)).public
    assert check_public_key(key) == key
    for wrong in (b"", key[1:], key + b"\x00", b"\x02" + key[1:]):
        with pytest.raises(InvalidSignature) as error:
            check_public_key(wrong)
        assert error.value.code == "key_invalid"


@given(st.binary(min_size=32, max_size=32))
def test_key_text_and_back(raw):
    assert parse_key(key_text(SUITE + raw)) == SUITE + raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        "ab" * 32,
        "ed25519:" + "AB" * 32,
        "ed25519:" + "ab" * 31,
        "ed25519:" + "ab" * 33,
        "ed25519:" + "zz" * 32,
        "sm2:" + "ab" * 32,
        " ed25519:" + "ab" * 32,
        "ed25519:ed25519:" + "ab" * 28,
        "ed25519:" + "ab" * 31 + " a",
        "ed25519:" + "ab" * 31 + "  ",
        "ed25519:" + "ab" * 15 + "  " + "ab" * 16,
        "ed25519:" + "٣" * 64,
    ],
)
def test_other_key_texts_are_refused(text):
    with pytest.raises(InvalidSignature) as error:
        parse_key(text)
    assert error.value.code == "key_invalid"


# --- the cache ----------------------------------------------------------------------------------------------------


def counted(good=lambda *_: True):
    calls = []

    def verify_one(*parts):
        calls.append(parts)
        return good(*parts)

    return calls, verify_one


def test_cache_verifies_each_good_signature_once():
    key = SigningKey(bytes(32))
    cache = SignatureCache()
    message = bytes(32)
    signature = key.sign(message)
    for _ in range(3):
        assert cache.verify(key.public, message, signature)
    assert cache.verified == 1
    other = SigningKey(b"\x01" * 32)
    assert not cache.verify(other.public, message, signature)
    assert not cache.verify(key.public, b"\x01" * 32, signature)


def test_cache_asks_again_for_bad_signatures_and_lets_them_evict_nothing():
    calls, verify_one = counted(lambda public, *_: public == b"good")
    cache = SignatureCache(4, verify_one)
    assert cache.verify(b"good", b"", b"")
    for turn in range(100):
        assert not cache.verify(b"bad%d" % turn, b"", b"")
    assert cache.verify(b"good", b"", b"")
    assert len(calls) == cache.verified == 101


def test_cache_is_bounded_in_two_generations():
    calls, verify_one = counted()
    cache = SignatureCache(4, verify_one)
    for turn in range(8):
        cache.verify(b"%d" % turn, b"", b"")
    assert cache.verify(b"0", b"", b"")
    assert len(calls) == 8
    for turn in range(8, 13):
        cache.verify(b"%d" % turn, b"", b"")
    assert len(cache._new) + len(cache._old) <= 8
    cache.verify(b"0", b"", b"")
    assert calls[-1][0] == b"0"
