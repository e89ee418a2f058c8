"""Certificates on their way from the admission authority's keys to the chain: files of one or several of them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ledger.admission import (
    FIRST_DELEGATED_SERIAL,
    AdmissionCertificate,
    SignedCertificate,
    certificate_digest,
)
from ledger.document import from_document, to_document
from ledger.errors import InvalidInput
from ledger.keys import SigningKey, verify
from node.atomic_file import write_atomic
from node.networks.ceremony_files import read_document

CERTIFICATES: Final = "certificates"
MAX_CERTIFICATES: Final = 1_000


def read_certificates(path: Path) -> list[SignedCertificate]:
    """The certificates in a file, signed by as many as have signed so far.

    Raises:
        InvalidInput: ``file_invalid`` or ``document_invalid``.
    """
    document = read_document(path)
    listed: Any = document.get(CERTIFICATES, [document])
    if (CERTIFICATES in document and len(document) > 1) or not isinstance(listed, list) or not listed:
        raise InvalidInput(f"{path}: no certificates in it", code="file_invalid")
    if len(listed) > MAX_CERTIFICATES:
        raise InvalidInput(f"{path}: over {MAX_CERTIFICATES} certificates", code="file_invalid")
    try:
        return [from_document(item, SignedCertificate) for item in listed]
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", code=error.code) from error


def write_certificates(path: Path, certificates: Sequence[SignedCertificate]) -> None:
    """Writes a new file: one certificate as it is, several in a list.

    Raises:
        InvalidConfig: ``file_exists`` or ``file_unwritable``.
    """
    documents = [to_document(signed) for signed in certificates]
    document = documents[0] if len(documents) == 1 else {CERTIFICATES: documents}
    write_atomic(path, json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")


def add_signatures(signed: SignedCertificate, keys: Sequence[SigningKey]) -> SignedCertificate:
    """The certificate with the signatures of ``keys`` beside those that it has.

    Raises:
        InvalidInput: ``certificate_refused``: a signature that is there does not verify.
    """
    message = certificate_digest(signed.certificate)
    if not all(verify(key, message, signature) for key, signature in signed.signatures):
        raise InvalidInput(
            f"certificate {signed.certificate.serial}: a signature in the file does not verify: it was changed after "
            "somebody signed it",
            code="certificate_refused",
        )
    found = dict(signed.signatures) | {key.public: key.sign(message) for key in keys}
    return SignedCertificate(signed.certificate, tuple(sorted(found.items())))


def fresh_serials(count: int, *, above: int = 0) -> list[int]:
    """Numbers that nobody has used: the time in milliseconds, so that later certificates have higher ones."""
    first = max(int(time.time() * 1000), above + 1)
    if first + count >= FIRST_DELEGATED_SERIAL:
        raise InvalidInput("the authority's serials end before 2 to the 52nd", code="serial_invalid")
    return list(range(first, first + count))


def renewed(certificate: AdmissionCertificate, serial: int, not_after_ms: int) -> AdmissionCertificate:
    """The same certificate with another end. It begins when the present one does, so that there is no gap."""
    return AdmissionCertificate(
        certificate.chain_id,
        serial,
        certificate.key,
        certificate.transport,
        certificate.organisation,
        certificate.roles,
        certificate.not_before_ms,
        not_after_ms,
    )
