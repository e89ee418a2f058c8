"""Records of contract ``admission``: arguments and results of methods and views, events, governed actions."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.admission import AdmissionCertificate, Revocation
from ledger.encoding import Codec, Record
from ledger.types import MAX_HEIGHT

MAX_PAGE: Final = 200
MAX_PATIENTS_PER_CALL: Final = 64
MAX_DELEGATED_CERTIFICATES: Final = 10_000_000
DELEGATED_ROLES: Final = ("patient",)
"""Roles whose certificates an organisation may be trusted to make."""

SET_AUTHORITY: Final = "set_authority"
DELEGATE: Final = "delegate"
"""Governed actions; their data are a ``SetAuthority`` and a ``Delegation``."""

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Serial = Annotated[int, Meta(ge=1, le=2**53 - 1)]
_Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
_Organisation = Annotated[str, Meta(min_length=1, max_length=128)]
_Count = Annotated[int, Meta(ge=0, le=MAX_DELEGATED_CERTIFICATES)]
_Lock = Annotated[str, Meta(min_length=1, max_length=2_048)]


class SetAuthority(Record, frozen=True):
    """``set_authority``: the admission authority becomes this one; what the one before signed stays good.

    Attributes:
        lock: canonical text of a lock of keys and thresholds.
    """

    lock: _Lock


class Delegation(Record, frozen=True):
    """``delegate``: an organisation may make certificates of some roles for its own people.

    Attributes:
        organisation: whose members may.
        roles: from ``DELEGATED_ROLES``.
        max_certificates: how many in all, those made so far included; 0 ends it.
        not_after_ms: last block time at which they may, and the last validity that they may give.
    """

    organisation: _Organisation
    roles: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(min_length=1, max_length=8)]
    max_certificates: _Count
    not_after_ms: _Time


class DelegationRecord(Record, frozen=True):
    """A delegation and how many certificates were made under it."""

    delegation: Delegation
    used: _Count


class AdmitPatient(Record, frozen=True):
    """Keys of patients of the sender's organisation.

    Attributes:
        keys: signing keys; those that are patients of this organisation already are skipped, so that an import can be
            taken up again.
        not_after_ms: last moment of validity of the new certificates.
    """

    keys: Annotated[tuple[_Key, ...], Meta(min_length=1, max_length=MAX_PATIENTS_PER_CALL)]
    not_after_ms: _Time


class PatientsAdmitted(Record, frozen=True):
    """Result of ``admit_patient``.

    Attributes:
        admitted: new certificates, or new validity for keys whose certificate had ended.
        skipped: keys that were admitted already.
    """

    admitted: _Count
    skipped: _Count


class PatientsAdmittedEvent(Record, frozen=True):
    """Event: certificates that an organisation made.

    Attributes:
        organisation: theirs.
        keys: in the order of their serials.
        first_serial: of the first key; the others follow without gap.
        not_before_ms: of all.
        not_after_ms: of all.
    """

    organisation: _Organisation
    keys: Annotated[tuple[_Key, ...], Meta(max_length=MAX_PATIENTS_PER_CALL)]
    first_serial: _Serial
    not_before_ms: _Time
    not_after_ms: _Time


class RevocationRecord(Record, frozen=True):
    """A revocation, when it came, and the certificate that it ended.

    Attributes:
        revocation: as the authority signed it.
        height: of the block that took it.
        certificate: what the key had last; None where it never had one.
    """

    revocation: Revocation
    height: _Height
    certificate: AdmissionCertificate | None


class KeyArguments(Record, frozen=True):
    """Names a signing key."""

    key: _Key


class OrganisationArguments(Record, frozen=True):
    """Names an organisation."""

    organisation: _Organisation


class Nothing(Record, frozen=True):
    """No arguments."""


class PageArguments(Record, frozen=True):
    """A page of certificates, from ``after_serial`` (exclusive) on."""

    after_serial: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class CertificatePage(Record, frozen=True):
    """Certificates in order of their serials."""

    certificates: tuple[AdmissionCertificate, ...]


class RevocationsQuery(Record, frozen=True):
    """Revocations of keys above ``after`` (exclusive; empty: from the start)."""

    after: Annotated[bytes, Meta(max_length=33)]
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class RevocationPage(Record, frozen=True):
    """Revocations in byte order of their keys."""

    revocations: tuple[RevocationRecord, ...]


class AuthorityRecord(Record, frozen=True):
    """The admission authority's policy, as lock text; event and view."""

    lock: _Lock


set_authority_codec = Codec(SetAuthority, 4_096, "admission authority")
delegation_codec = Codec(Delegation, 4_096, "delegation")
delegation_record_codec = Codec(DelegationRecord, 4_096, "delegation")
revocation_record_codec = Codec(RevocationRecord, 8_192, "revocation")
