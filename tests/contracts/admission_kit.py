"""Certificates and revocations as they come by transaction, for the tests of contract ``admission``."""

from __future__ import annotations

import msgspec

from contracts.admission import find_member
from ledger.admission import AdmissionCertificate, Revocation, sign_certificate, sign_revocation
from ledger.encoding import encode
from ledger.keys import SigningKey
from ledger.transaction import Call
from tests.contracts.bench import ALICE, AUTHORITY, START_MS, Bench, key_of

FAR = 2**50
NEW = key_of("newcomer")
OTHER = key_of("another authority")


def certificate(bench: Bench, serial: int, **changes: object) -> AdmissionCertificate:
    made = AdmissionCertificate(bench.genesis.chain_id, serial, NEW.public, b"", "new", ("member",), 0, FAR)
    return msgspec.structs.replace(made, **changes)


def admitting(certificate_: AdmissionCertificate, *keys: SigningKey) -> Call:
    return Call("admission", "admit", encode(sign_certificate(certificate_, keys or (AUTHORITY,))))


def admit(
    bench: Bench, certificate_: AdmissionCertificate, *keys: SigningKey, by: SigningKey = ALICE, at: int | None = None
) -> str:
    return bench.code(bench.make(calls=[admitting(certificate_, *keys)], sender=by), time_ms=at)


def revoke(bench: Bench, key: SigningKey, serial: int, *keys: SigningKey, chain: bytes | None = None) -> str:
    revocation = Revocation(chain or bench.genesis.chain_id, key.public, serial, "key_lost")
    arguments = encode(sign_revocation(revocation, keys or (AUTHORITY,)))
    return bench.code(bench.make(calls=[Call("admission", "revoke", arguments)]))


def organisation(bench: Bench, key: SigningKey, time_ms: int = START_MS) -> str | None:
    found = find_member(bench.state, "admission", key.public, time_ms)
    return None if found is None else found.organisation


def serials(bench: Bench) -> list[int]:
    return [found.serial for found in bench.view("admission", "certificates", 0, 200).certificates]
