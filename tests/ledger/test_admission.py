"""Admission certificates: what the authority's signature covers, and whose it must be."""

from __future__ import annotations

import msgspec
import pytest

from ledger import admission
from ledger.admission import (
    AdmissionCertificate,
    Revocation,
    SignedCertificate,
    SignedRevocation,
    authority_satisfied,
    check_certificate,
    check_revocation,
    sign_certificate,
    sign_revocation,
    signed_certificate_codec,
    signed_revocation_codec,
)
from ledger.errors import InvalidInput
from ledger.keys import SigningKey, key_text, verify
from ledger.lock import Lock, parse_lock

CHAIN = bytes(range(32))
ONE, TWO, THREE, STRANGER = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
GOOD = AdmissionCertificate(CHAIN, 1, STRANGER.public, b"t" * 32, "Hospital A", ("observer", "validator"), 10, 20)


def authority(needed: int = 2) -> Lock:
    return parse_lock(f"threshold({needed},{','.join(f'key({key_text(key.public)})' for key in (ONE, TWO, THREE))})")


@pytest.mark.parametrize("keys", [(ONE, TWO), (TWO, THREE), (ONE, THREE), (ONE, TWO, THREE)])
def test_certificate_is_good_when_enough_of_the_authority_signed(keys: tuple[SigningKey, ...]) -> None:
    signed = sign_certificate(GOOD, keys)
    again = signed_certificate_codec.decode(signed_certificate_codec.encode(signed))
    assert check_certificate(again, authority(), CHAIN) == GOOD


@pytest.mark.parametrize("keys", [(), (ONE,), (ONE, STRANGER), (STRANGER,)])
def test_certificate_is_refused_when_too_few_of_the_authority_signed(keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_certificate(sign_certificate(GOOD, keys), authority(), CHAIN)
    assert caught.value.code == "certificate_refused"


def test_certificate_is_refused_when_one_key_signs_twice() -> None:
    (pair,) = sign_certificate(GOOD, [ONE]).signatures
    with pytest.raises(InvalidInput):
        check_certificate(SignedCertificate(GOOD, (pair, pair)), authority(), CHAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 2},
        {"key": ONE.public},
        {"transport": b"u" * 32},
        {"organisation": "Hospital B"},
        {"roles": ("observer",)},
        {"not_before_ms": 9},
        {"not_after_ms": 21},
    ],
    ids=str,
)
def test_certificate_is_refused_when_a_field_was_changed_after_signing(changes: dict[str, object]) -> None:
    signed = sign_certificate(GOOD, [ONE, TWO])
    forged = SignedCertificate(msgspec.structs.replace(GOOD, **changes), signed.signatures)
    with pytest.raises(InvalidInput):
        check_certificate(forged, authority(), CHAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": bytes(32)},
        {"organisation": " Hospital A"},
        {"roles": ("validator", "observer")},
        {"roles": ("observer", "observer")},
        {"roles": ("king",)},
        {"transport": b"t" * 31},
        {"not_before_ms": 21},
    ],
    ids=str,
)
def test_certificate_is_refused_when_its_form_is_wrong_though_the_authority_signed(changes: dict[str, object]) -> None:
    certificate = msgspec.structs.replace(GOOD, **changes)
    with pytest.raises(InvalidInput):
        check_certificate(sign_certificate(certificate, [ONE, TWO, THREE]), authority(), CHAIN)


@pytest.mark.parametrize(("time_ms", "valid"), [(9, False), (10, True), (20, True), (21, False)])
def test_certificate_is_valid_from_its_first_to_its_last_moment_when_asked(time_ms: int, valid: bool) -> None:
    assert GOOD.valid_at(time_ms) is valid


@pytest.mark.parametrize("text", ["after(0)", f"hash({'0' * 64})", "account(x)", "contract(x)"])
def test_authority_is_refused_when_it_is_made_of_more_than_keys(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        authority_satisfied(parse_lock(text), frozenset())
    assert caught.value.code == "authority_invalid"


REVOKED = Revocation(CHAIN, STRANGER.public, 7, "key_lost")


@pytest.mark.parametrize("keys", [(ONE, TWO), (TWO, THREE), (ONE, TWO, THREE)])
def test_revocation_is_good_when_enough_of_the_authority_signed(keys: tuple[SigningKey, ...]) -> None:
    signed = sign_revocation(REVOKED, keys)
    again = signed_revocation_codec.decode(signed_revocation_codec.encode(signed))
    assert check_revocation(again, authority(), CHAIN) == REVOKED


@pytest.mark.parametrize("keys", [(), (ONE,), (ONE, STRANGER)])
def test_revocation_is_refused_when_too_few_of_the_authority_signed(keys: tuple[SigningKey, ...]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_revocation(sign_revocation(REVOKED, keys), authority(), CHAIN)
    assert caught.value.code == "revocation_refused"


@pytest.mark.parametrize(
    "changes", [{"chain_id": bytes(32)}, {"key": ONE.public}, {"serial": 8}, {"reason": "other"}], ids=str
)
def test_revocation_is_refused_when_a_field_was_changed_after_signing(changes: dict[str, object]) -> None:
    signed = sign_revocation(REVOKED, [ONE, TWO])
    with pytest.raises(InvalidInput):
        check_revocation(
            SignedRevocation(msgspec.structs.replace(REVOKED, **changes), signed.signatures), authority(), CHAIN
        )


def test_revocation_is_refused_when_it_was_signed_for_another_chain() -> None:
    with pytest.raises(InvalidInput):
        check_revocation(sign_revocation(REVOKED, [ONE, TWO]), authority(), bytes(32))


def test_signatures_of_strangers_cost_nothing_when_a_certificate_is_full_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verified: list[bytes] = []

    def counting(key: bytes, message: bytes, signature: bytes) -> bool:
        verified.append(key)
        return verify(key, message, signature)

    monkeypatch.setattr(admission, "verify", counting)
    strangers = [SigningKey(bytes([number]) * 32) for number in range(10, 40)]
    assert check_certificate(sign_certificate(GOOD, [ONE, TWO, *strangers]), authority(), CHAIN) == GOOD
    assert sorted(verified) == sorted((ONE.public, TWO.public))
