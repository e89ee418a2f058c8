"""Contract ``admission``: the certificates of the chain's admission authority (PROTOCOL.md 2.4).

Certificates come from genesis. Records: ``k ‖ key`` → certificate, ``s ‖ u64 serial`` → key.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.interface import Contract, EndContext, Member, view
from ledger.admission import AdmissionCertificate
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidGenesis, MalformedBytes, NotFound
from ledger.genesis import Genesis
from ledger.keys import key_text
from ledger.state import StateReader, contract_prefix
from ledger.types import PublicKey

MAX_PAGE: Final = 200
certificate_codec = Codec(AdmissionCertificate, 8_192, "admission certificate")


class KeyArguments(Record, frozen=True):
    """Names a signing key."""

    key: Annotated[bytes, Meta(min_length=33, max_length=33)]


class PageArguments(Record, frozen=True):
    """A page of certificates, from ``after_serial`` (exclusive) on."""

    after_serial: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class CertificatePage(Record, frozen=True):
    """Certificates in order of their serials."""

    certificates: tuple[AdmissionCertificate, ...]


class Admission(Contract):
    """See the module."""

    kind = "admission"

    def genesis(self, context: EndContext, genesis: Genesis) -> None:
        """Stores the certificates of the genesis file."""
        for certificate in genesis.admitted():
            data = encode(certificate)
            try:
                certificate_codec.decode(data)
            except MalformedBytes as error:
                raise InvalidGenesis(f"genesis: certificate {certificate.serial}: {error.message}") from error
            context.state.put(b"k" + certificate.key, data)
            context.state.put(b"s" + certificate.serial.to_bytes(8, "big"), certificate.key)

    @view
    def certificate(self, context: EndContext, arguments: KeyArguments) -> AdmissionCertificate:
        """The certificate of a signing key."""
        data = context.state.get(b"k" + arguments.key)
        if data is None:
            raise NotFound(f"no certificate for {key_text(arguments.key)}")
        return certificate_codec.decode(data)

    @view
    def certificates(self, context: EndContext, arguments: PageArguments) -> CertificatePage:
        """The certificates, page by page."""
        start = b"s" + (arguments.after_serial + 1).to_bytes(8, "big")
        keys = [key for _, key in context.state.iterate(b"s", start=start, limit=arguments.limit)]
        found = [context.state.get(b"k" + key) for key in keys]
        return CertificatePage(tuple(certificate_codec.decode(data) for data in found if data is not None))


def find_member(state: StateReader, address: str, key: bytes, time_ms: int) -> Member | None:
    """Who ``key`` belongs to at ``time_ms`` by the admission contract at ``address``, or None when not admitted."""
    data = state.get(contract_prefix(address) + b"k" + key)
    if data is None:
        return None
    certificate = certificate_codec.decode(data)
    if not certificate.valid_at(time_ms):
        return None
    return Member(PublicKey(key), certificate.organisation, certificate.roles)


def all_certificates(state: StateReader, address: str) -> list[AdmissionCertificate]:
    """Every certificate of the admission contract at ``address``; feeds the identity gate of the overlay."""
    return [certificate_codec.decode(data) for _, data in state.iterate(contract_prefix(address) + b"k")]
