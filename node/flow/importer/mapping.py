"""Who of the parties acts for a request: by hashes of ids, so that it is the same in every run and on every machine.

``share(role, id)`` is the first eight bytes of ``SHA-256(role ‖ 00 ‖ id)`` as a fraction of one. Reviewers, pharmacies
and payers are taken by ``share × count`` over the request's id. A hospital is taken by the claim's provider: one of the
control class ``controlled`` for the first 1/16 of all shares, of ``batch`` for the next 1/4, any other for the rest; a
class that no hospital has leaves its part to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from ledger.errors import InvalidConfig
from node.consortium.parties import Party, PartyBook

CLASSES: Final[Mapping[str, str]] = MappingProxyType({"County Hospital": "batch", "Private Clinic": "controlled"})
"""Hospitals of the default cast that are not of class ``full`` (``node.consortium.plan.HOSPITALS``)."""
PARTS: Final = (("controlled", 1), ("batch", 4))
"""Sixteenths of all providers, by class of their hospital; the rest goes to hospitals of other classes."""
WHOLE: Final = 16
_SCALE: Final = 2**64
ROLES: Final = ("platform", "hospital", "reviewer", "pharmacy", "payer")


def share(role: str, name: str) -> int:
    """Place of ``name`` among all that could be, in 2⁻⁶⁴."""
    return int.from_bytes(sha256(role.encode() + b"\x00" + name.encode()).digest()[:8], "big")


def choose(role: str, name: str, parties: Sequence[Party]) -> Party:
    """The party of a role for ``name``; ``parties`` is not empty."""
    return parties[share(role, name) * len(parties) // _SCALE]


def choose_hospital(provider: str, hospitals: Sequence[Party], classes: Mapping[str, str] = CLASSES) -> Party:
    """The hospital that files for a claim's provider.

    Args:
        provider: id of it in the data.
        hospitals: not empty.
        classes: hospital's name → control class, where it is not ``full``.
    """
    groups: dict[str, list[Party]] = {}
    known = {name for name, _ in PARTS}
    for hospital in hospitals:
        control_class = classes.get(hospital.name, "")
        groups.setdefault(control_class if control_class in known else "", []).append(hospital)
    parts = [(groups[name], part) for name, part in PARTS if name in groups]
    rest = WHOLE - sum(part for _, part in parts)
    if "" in groups:
        parts.append((groups[""], rest))
    point = share("hospital", provider) * sum(part for _, part in parts)
    for group, part in parts:
        if point < part * _SCALE:
            return choose("hospital of a class", provider, group)
        point -= part * _SCALE
    raise AssertionError("the parts are the whole")


def require_roles(book: PartyBook, *, bank: bool) -> None:
    """Checks that somebody is there for every role.

    Raises:
        InvalidConfig: ``parties_missing``: the text names the roles.
    """
    missing = [role for role in (*ROLES, *(["bank"] if bank else [])) if not book.of_kind(role)]
    if missing:
        raise InvalidConfig(f"{book.directory} has no party of kind {', '.join(missing)}", code="parties_missing")
