"""Where contract ``admission`` keeps what it knows, and how the rest of the program reads it.

Records:

* ``k ‖ key`` → the certificate of a key that is admitted; ``s ‖ u64 serial`` → its key;
* ``u ‖ u64 serial`` → nothing: a serial that was used, of a certificate that was replaced or revoked;
* ``r ‖ key`` → the last revocation of a key, with the certificate that it ended;
* ``a`` → lock text of the admission authority;
* ``d ‖ organisation`` → delegation; ``n`` → u64 last serial that the chain gave itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.admission.calls import RevocationRecord, revocation_record_codec
from contracts.interface import Member
from ledger.admission import AdmissionCertificate
from ledger.encoding import Codec
from ledger.state import StateReader, contract_prefix
from ledger.types import PublicKey

CERTIFICATE_PREFIX: Final = b"k"
SERIAL_PREFIX: Final = b"s"
USED_SERIAL_PREFIX: Final = b"u"
REVOCATION_PREFIX: Final = b"r"
AUTHORITY_KEY: Final = b"a"
DELEGATION_PREFIX: Final = b"d"
LAST_SERIAL_KEY: Final = b"n"

certificate_codec = Codec(AdmissionCertificate, 8_192, "admission certificate")


def find_certificate(state: StateReader, address: str, key: bytes) -> AdmissionCertificate | None:
    """The certificate of ``key``, in force or not, by the admission contract at ``address``; None once revoked."""
    data = state.get(contract_prefix(address) + CERTIFICATE_PREFIX + key)
    return None if data is None else certificate_codec.decode(data)


def find_member(state: StateReader, address: str, key: bytes, time_ms: int) -> Member | None:
    """Who ``key`` belongs to at ``time_ms`` by the admission contract at ``address``, or None when not admitted."""
    certificate = find_certificate(state, address, key)
    if certificate is None or not certificate.valid_at(time_ms):
        return None
    return Member(PublicKey(key), certificate.organisation, certificate.roles)


def find_revocation(state: StateReader, address: str, key: bytes) -> RevocationRecord | None:
    """The last revocation of ``key`` by the admission contract at ``address``, or None."""
    data = state.get(contract_prefix(address) + REVOCATION_PREFIX + key)
    return None if data is None else revocation_record_codec.decode(data)


def all_certificates(state: StateReader, address: str) -> list[AdmissionCertificate]:
    """Every certificate of the admission contract at ``address``."""
    prefix = contract_prefix(address) + CERTIFICATE_PREFIX
    return [certificate_codec.decode(data) for _, data in state.iterate(prefix)]


def node_certificates(state: StateReader, address: str) -> Iterator[AdmissionCertificate]:
    """The certificates of keys that have a node, in byte order of the keys; feeds the identity gate of the overlay."""
    for _, data in state.iterate(contract_prefix(address) + CERTIFICATE_PREFIX):
        certificate = certificate_codec.decode(data)
        if certificate.transport:
            yield certificate


def node_revocations(state: StateReader, address: str) -> Iterator[AdmissionCertificate]:
    """What keys with a node had when they were revoked, whether admitted anew since or not."""
    for _, data in state.iterate(contract_prefix(address) + REVOCATION_PREFIX):
        certificate = revocation_record_codec.decode(data).certificate
        if certificate is not None and certificate.transport:
            yield certificate
