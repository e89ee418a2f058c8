"""Admission certificates: who may connect, submit and validate on a chain (PROTOCOL.md 2.4).

A certificate binds a signing key and a transport key to an organisation and its roles, for a time, and is signed by the
chain's admission authority: a policy of keys, so k of n where the consortium wants that. A revocation takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidInput
from ledger.keys import SigningKey, verify
from ledger.lock import KeyLock, Lock, ThresholdLock, check_name
from ledger.types import Hash32

ROLES: Final = frozenset({"validator", "observer", "member", "service", "patient", "fusion", "authority", "officer"})
"""``validator``: may be in the validator set. ``observer``: a node that follows. ``member``: an organisation's key that
submits. ``service``: a node's service key that submits. ``patient``: a person admitted through a platform. ``fusion``:
a node that joins two chains. ``authority``: a regulator's service that opens sealed documents and decides. ``officer``:
a person of the regulator who decides what waits and changes rules."""
SUBMITTING_ROLES: Final = ROLES - {"validator", "observer"}
"""Roles whose keys may send transactions; a node's own key only votes and connects."""

FIRST_DELEGATED_SERIAL: Final = 2**52
"""From here on the chain itself numbers certificates, of patients whom a platform admits; the authority stays below."""

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Signatures = Annotated[
    tuple[tuple[_Key, Annotated[bytes, Meta(min_length=65, max_length=65)]], ...], Meta(max_length=32)
]


class AdmissionCertificate(Record, frozen=True):
    """What the authority signs.

    Attributes:
        chain_id: chain that it admits to.
        serial: number, distinct for the chain.
        key: signing key admitted.
        transport: libp2p identity (32-byte Ed25519 key) of the node, or empty for keys that only submit.
        organisation: who answers for the key.
        roles: from ``ROLES``, sorted, distinct.
        not_before_ms: first moment of validity, compared with block time.
        not_after_ms: last moment of validity.
    """

    chain_id: _Hash
    serial: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    key: _Key
    transport: Annotated[bytes, Meta(max_length=32)]
    organisation: Annotated[str, Meta(min_length=1, max_length=128)]
    roles: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(min_length=1, max_length=8)]
    not_before_ms: _Time
    not_after_ms: _Time

    def valid_at(self, time_ms: int) -> bool:
        """True when ``time_ms`` is within the validity."""
        return self.not_before_ms <= time_ms <= self.not_after_ms


class SignedCertificate(Record, frozen=True):
    """A certificate with the authority's signatures, sorted by key."""

    certificate: AdmissionCertificate
    signatures: _Signatures


signed_certificate_codec = Codec(SignedCertificate, 8_192, "admission certificate")


class Revocation(Record, frozen=True):
    """The authority's word that a key is admitted no more.

    Attributes:
        chain_id: chain that it holds on.
        key: signing key revoked.
        serial: every certificate of the key with a serial up to this one is void, used or not, so that none can be
            brought later.
        reason: a word for the record, such as ``key_lost``.
    """

    chain_id: _Hash
    key: _Key
    serial: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    reason: Annotated[str, Meta(min_length=1, max_length=64)]


class SignedRevocation(Record, frozen=True):
    """A revocation with the authority's signatures, sorted by key."""

    revocation: Revocation
    signatures: _Signatures


signed_revocation_codec = Codec(SignedRevocation, 8_192, "revocation")


def certificate_digest(certificate: AdmissionCertificate) -> Hash32:
    """The 32 bytes that the authority's keys sign."""
    return digest(b"tidegate/admission", certificate.chain_id, encode(certificate))


def sign_certificate(certificate: AdmissionCertificate, keys: Iterable[SigningKey]) -> SignedCertificate:
    """``certificate`` signed by the authority's ``keys``."""
    signed = certificate_digest(certificate)
    return SignedCertificate(certificate, tuple(sorted((key.public, key.sign(signed)) for key in keys)))


def check_certificate(signed: SignedCertificate, authority: Lock, chain_id: bytes) -> AdmissionCertificate:
    """The certificate itself, once its form and the authority's signatures are checked.

    Raises:
        InvalidInput: ``certificate_refused`` with the reason in words.
    """
    certificate = signed.certificate

    def refuse(why: str) -> InvalidInput:
        return InvalidInput(f"certificate {certificate.serial}: {why}", code="certificate_refused")

    if certificate.chain_id != chain_id:
        raise refuse("it is for another chain")
    check_name(certificate.organisation, "organisation")
    roles = certificate.roles
    if list(roles) != sorted(set(roles)) or not ROLES.issuperset(roles):
        raise refuse(f"roles must be sorted, distinct, and among {', '.join(sorted(ROLES))}")
    if len(certificate.transport) not in (0, 32):
        raise refuse("a transport key has 32 bytes")
    if certificate.not_before_ms > certificate.not_after_ms:
        raise refuse("it ends before it begins")
    if not _signed(certificate_digest(certificate), signed.signatures, authority):
        raise refuse("the admission authority's signatures are missing or do not verify")
    return certificate


def revocation_digest(revocation: Revocation) -> Hash32:
    """The 32 bytes that the authority's keys sign."""
    return digest(b"tidegate/revocation", revocation.chain_id, encode(revocation))


def sign_revocation(revocation: Revocation, keys: Iterable[SigningKey]) -> SignedRevocation:
    """``revocation`` signed by the authority's ``keys``."""
    signed = revocation_digest(revocation)
    return SignedRevocation(revocation, tuple(sorted((key.public, key.sign(signed)) for key in keys)))


def check_revocation(signed: SignedRevocation, authority: Lock, chain_id: bytes) -> Revocation:
    """The revocation itself, once its chain and the authority's signatures are checked.

    Raises:
        InvalidInput: ``revocation_refused`` with the reason in words.
    """
    revocation = signed.revocation
    if revocation.chain_id != chain_id:
        raise InvalidInput("the revocation is for another chain", code="revocation_refused")
    if not _signed(revocation_digest(revocation), signed.signatures, authority):
        raise InvalidInput(
            "the admission authority's signatures are missing or do not verify", code="revocation_refused"
        )
    return revocation


def _signed(message: bytes, signatures: tuple[tuple[bytes, bytes], ...], authority: Lock) -> bool:
    # Only keys that count are verified, each once: whoever hands in signatures must not make us work for nothing.
    wanted = {part.key for part in authority.walk() if isinstance(part, KeyLock)}
    signers = frozenset(
        key for key, signature in dict(signatures).items() if key in wanted and verify(key, message, signature)
    )
    return authority_satisfied(authority, signers)


def authority_satisfied(authority: Lock, signers: frozenset[bytes]) -> bool:
    """True when ``signers`` satisfy an authority policy made of keys and thresholds only."""
    if isinstance(authority, KeyLock):
        return authority.key in signers
    if isinstance(authority, ThresholdLock):
        return sum(authority_satisfied(member, signers) for member in authority.members) >= authority.needed
    raise InvalidInput("an authority is made of key(…), all, any and threshold only", code="authority_invalid")
