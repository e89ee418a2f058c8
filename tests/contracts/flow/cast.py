"""Who takes part in these tests, and with what."""

from __future__ import annotations

from ledger.envelope import SealedDocument
from tests.contracts.bridge.kit import key_of, lock_of

CNY = "CNY"
FLOW, SUPERVISION = "flow", "supervision"
HOSPITAL, PLATFORM, REVIEWER, OTHER_REVIEWER = map(key_of, ("hospital", "platform", "reviewer", "other reviewer"))
PATIENT, OTHER_PATIENT = map(key_of, ("patient", "other patient"))
PHARMACY, OTHER_PHARMACY, PAYER = map(key_of, ("pharmacy", "other pharmacy", "payer"))
OUTSIDER = key_of("an outsider")
AUTHORITY, SECOND_AUTHORITY = map(key_of, ("authority service", "second authority service"))
OFFICERS = tuple(key_of(f"officer {i}") for i in range(3))

PEOPLE = {
    HOSPITAL: ("hospital", ("member",)),
    PLATFORM: ("platform", ("member",)),
    REVIEWER: ("reviewers", ("member",)),
    OTHER_REVIEWER: ("reviewers", ("member",)),
    PATIENT: ("platform", ("patient",)),
    OTHER_PATIENT: ("platform", ("patient",)),
    PHARMACY: ("pharmacy", ("member",)),
    OTHER_PHARMACY: ("other pharmacy", ("member",)),
    PAYER: ("payer", ("member",)),
}
REGULATORS = {
    AUTHORITY: ("regulator", ("authority",)),
    SECOND_AUTHORITY: ("regulator", ("authority",)),
    **dict.fromkeys(OFFICERS, ("regulator", ("officer",))),
}
OFFICERS_LOCK = lock_of(*OFFICERS, needed=2)
AUTHORITIES_LOCK = lock_of(AUTHORITY, SECOND_AUTHORITY, needed=1)
AUTHORITIES_LOCK = AUTHORITIES_LOCK.replace("threshold(1,", "any(")
COIN, COINS = 10_000, 4
PRICE = 25_501
"""An odd amount: 80 % of it is 20,400.8."""


def document(text: str, salt: bytes = b"s" * 32) -> SealedDocument:
    return SealedDocument(salt, "text/plain", text.encode())
