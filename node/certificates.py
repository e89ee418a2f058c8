"""How long certificates hold: which end soon, said in status, logs and metrics before it is too late.

What counts is what the admission authority signed: patients' certificates, which a platform makes by the thousand, are
its own affair (PROTOCOL.md 2.4).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from contracts.admission import find_certificate
from contracts.admission.register import CERTIFICATE_PREFIX, SERIAL_PREFIX
from ledger.admission import FIRST_DELEGATED_SERIAL, AdmissionCertificate
from ledger.keys import key_text
from ledger.state import contract_prefix
from node.chain import Chain, Committed

log = structlog.get_logger(__name__)

DAY_MS: Final = 24 * 3600 * 1000
WARN_MS: Final = 30 * DAY_MS
LOG_AGAIN_MS: Final = DAY_MS
LOOK_AGAIN_MS: Final = 60_000
MAX_WATCHED: Final = 20_000
"""So many certificates of the authority are looked through, those with the lowest serials; own ones always."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """How long one certificate holds.

    Attributes:
        subject: organisation and what the key does, in words.
        key: signing key.
        serial: of the certificate; 0 where there is none.
        expires_ms: last moment of validity; 0 where there is none.
        days_left: whole days from now, negative once it is over.
        warning: ``expires_soon``, ``expired``, ``not_admitted``, or empty.
        own: whether it is of this node.
    """

    subject: str
    key: bytes
    serial: int
    expires_ms: int
    days_left: int
    warning: str
    own: bool = False

    def document(self) -> dict[str, Any]:
        """As it stands in ``node.status``."""
        return {
            "subject": self.subject,
            "key": key_text(self.key),
            "serial": self.serial,
            "expires_ms": self.expires_ms,
            "days_left": self.days_left,
            "warning": self.warning,
            "own": self.own,
        }


def expiry_of(certificate: AdmissionCertificate, now_ms: int, *, own: bool = False) -> Expiry:
    """How long that certificate holds, seen from ``now_ms``."""
    left = certificate.not_after_ms - now_ms
    warning = "expired" if left < 0 else "expires_soon" if left < WARN_MS else ""
    subject = f"{certificate.organisation} ({' '.join(certificate.roles)})"
    return Expiry(
        subject, certificate.key, certificate.serial, certificate.not_after_ms, left // DAY_MS, warning, own=own
    )


def expiring(chain: Chain, now_ms: int, own: Collection[bytes] = ()) -> list[Expiry]:
    """Certificates of a chain that have ended or end within 30 days, the soonest first.

    Args:
        chain: whose.
        now_ms: time in ms since 1970.
        own: keys of this node: they are among the answer also when they are not admitted at all.
    """
    watched = _authority_certificates(chain)
    found = [expiry_of(certificate, now_ms, own=certificate.key in own) for certificate in watched]
    known = {certificate.key for certificate in watched}
    found += [_own(chain, key, now_ms) for key in own if key not in known]
    return sorted((item for item in found if item.warning), key=lambda item: (item.expires_ms, item.key))


class CertificateWatch:
    """Knows a running chain's certificates; looks through them again only when a block has changed some.

    Args:
        chain: whose.
        own: keys of this node, in the order in which status lists them.
    """

    def __init__(self, chain: Chain, own: Sequence[bytes]) -> None:
        self._chain = chain
        self._own = tuple(own)
        prefix = contract_prefix(chain.rules.address_of("admission"))
        self._watched = prefix + CERTIFICATE_PREFIX
        self._certificates: list[AdmissionCertificate] | None = None
        self._logged_ms: dict[bytes, int] = {}
        self._looked_ms: int | None = None

    def on_block(self, committed: Committed) -> None:
        """A listener of committed blocks."""
        changes = committed.candidate.result.change_hashes
        index = bisect_left(changes, (self._watched, b""))
        if index < len(changes) and changes[index][0].startswith(self._watched):
            self._certificates = None

    def own(self, now_ms: int | None = None) -> list[Expiry]:
        """How long this node's own certificates hold, whether that is a matter of concern or not."""
        now = _now_ms() if now_ms is None else now_ms
        return [_own(self._chain, key, now) for key in self._own]

    def expiring(self, now_ms: int | None = None) -> list[Expiry]:
        """As ``expiring`` of this module, with this node's keys."""
        now = _now_ms() if now_ms is None else now_ms
        if self._certificates is None:
            self._certificates = _authority_certificates(self._chain)
        others = (c for c in self._certificates if c.not_after_ms - now < WARN_MS and c.key not in self._own)
        found = [expiry_of(certificate, now) for certificate in others]
        found += [item for item in self.own(now) if item.warning]
        return sorted(found, key=lambda item: (item.expires_ms, item.key))

    def document(self, now_ms: int | None = None) -> list[dict[str, Any]]:
        """``certificates`` of ``node.status``: this node's own, then others' that end soon or have."""
        now = _now_ms() if now_ms is None else now_ms
        return [item.document() for item in (*self.own(now), *(i for i in self.expiring(now) if not i.own))]

    def warn(self, now_ms: int | None = None) -> None:
        """Logs what ends soon, each certificate once a day; to be called often, and looks once a minute."""
        now = _now_ms() if now_ms is None else now_ms
        if self._looked_ms is not None and 0 <= now - self._looked_ms < LOOK_AGAIN_MS:
            return
        self._looked_ms = now
        for item in self.expiring(now):
            last = self._logged_ms.get(item.key)
            if last is not None and 0 <= now - last < LOG_AGAIN_MS:
                continue
            self._logged_ms[item.key] = now
            say = log.warning if item.own or item.warning == "expires_soon" else log.info
            say(
                "certificate_expires",
                subject=item.subject,
                key=key_text(item.key),
                days_left=item.days_left,
                state=item.warning,
                own=item.own,
            )


def _own(chain: Chain, key: bytes, now_ms: int) -> Expiry:
    certificate = find_certificate(chain.state, chain.rules.address_of("admission"), key)
    if certificate is None:
        return Expiry("this node's own key", key, 0, 0, 0, "not_admitted", own=True)
    return expiry_of(certificate, now_ms, own=True)


def _authority_certificates(chain: Chain) -> list[AdmissionCertificate]:
    address = chain.rules.address_of("admission")
    prefix = contract_prefix(address) + SERIAL_PREFIX
    found = []
    for key, data in chain.state.iterate(prefix, limit=MAX_WATCHED):
        if int.from_bytes(key[len(prefix) :], "big") >= FIRST_DELEGATED_SERIAL:
            break
        certificate = find_certificate(chain.state, address, data)
        if certificate is not None:
            found.append(certificate)
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)
