"""Certificates on their way: signed by one after the other, and nothing changed in between."""

from __future__ import annotations

import msgspec
import pytest

from ledger.admission import FIRST_DELEGATED_SERIAL, AdmissionCertificate, check_certificate, sign_certificate
from ledger.errors import InvalidConfig, InvalidInput
from ledger.keys import SigningKey, key_text
from ledger.lock import parse_lock
from node.networks.certificates_file import (
    add_signatures,
    fresh_serials,
    read_certificates,
    renewed,
    write_certificates,
)

CHAIN = bytes(range(32))


def certificate(serial: int = 1) -> AdmissionCertificate:
    return AdmissionCertificate(CHAIN, serial, SigningKey.generate().public, b"", "Hospital", ("member",), 5, 100)


@pytest.fixture
def authority() -> list[SigningKey]:
    return [SigningKey.generate() for _ in range(3)]


def lock_of(authority):
    return parse_lock(f"threshold(2,{','.join(f'key({key_text(key.public)})' for key in authority)})")


@pytest.mark.parametrize("count", [1, 3])
def test_file_says_the_same_when_it_is_read_again(tmp_path, authority, count):
    signed = [sign_certificate(certificate(serial), authority[:1]) for serial in range(1, count + 1)]
    write_certificates(tmp_path / "c.json", signed)
    assert read_certificates(tmp_path / "c.json") == signed
    with pytest.raises(InvalidConfig) as refused:
        write_certificates(tmp_path / "c.json", signed)
    assert refused.value.code == "file_exists"


def test_certificate_counts_only_when_enough_have_signed(authority):
    one = sign_certificate(certificate(), authority[:1])
    with pytest.raises(InvalidInput):
        check_certificate(one, lock_of(authority), CHAIN)
    two = add_signatures(one, [authority[2]])
    assert check_certificate(two, lock_of(authority), CHAIN) == one.certificate
    assert add_signatures(two, [authority[2]]) == two


def test_signing_is_refused_when_the_certificate_was_changed_after_somebody_signed(authority):
    signed = sign_certificate(certificate(), authority[:1])
    forged = msgspec.structs.replace(
        signed, certificate=msgspec.structs.replace(signed.certificate, organisation="Somebody")
    )
    with pytest.raises(InvalidInput) as refused:
        add_signatures(forged, [authority[1]])
    assert refused.value.code == "certificate_refused"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"certificates": []}', '{"certificates": [1]}', '{"a": 1}'])
def test_file_is_refused_when_it_holds_no_certificates(tmp_path, text):
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput):
        read_certificates(tmp_path / "c.json")


def test_serials_rise_and_stay_below_the_chains_own(authority):
    first = fresh_serials(3)
    assert first == sorted(set(first))
    assert fresh_serials(1, above=first[-1] + 10**9)[0] > first[-1] + 10**9
    assert first[-1] < FIRST_DELEGATED_SERIAL
    with pytest.raises(InvalidInput):
        fresh_serials(2, above=FIRST_DELEGATED_SERIAL - 2)


def test_renewal_changes_nothing_but_serial_and_end():
    before = certificate()
    after = renewed(before, 9, 500)
    assert msgspec.structs.replace(after, serial=before.serial, not_after_ms=before.not_after_ms) == before
