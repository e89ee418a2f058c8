"""Contract ``admission``: who takes part in a chain, by certificates that come, are renewed, revoked and delegated."""

from contracts.admission.calls import CertificatePage, KeyArguments, PageArguments
from contracts.admission.contract import Admission
from contracts.admission.register import (
    all_certificates,
    certificate_codec,
    find_certificate,
    find_member,
    find_revocation,
)

__all__ = [
    "Admission",
    "CertificatePage",
    "KeyArguments",
    "PageArguments",
    "all_certificates",
    "certificate_codec",
    "find_certificate",
    "find_member",
    "find_revocation",
]
