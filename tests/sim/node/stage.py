"""Who is there: keys, genesis files and the stores that they begin with, the same for every seed and made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.genesis import (
    SUITE,
    AssetDoc,
    CertificateDoc,
    ContractDoc,
    Genesis,
    Parameters,
    PolicyDoc,
    SupplyDoc,
    certificate_doc,
    chain_id_of,
    format_genesis,
    parse_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.store_memory import MemoryStore
from node.chain import Chain
from p2p.identity import TransportKey
from tests.sim.node.disk import Image

CREATED_MS = 1_700_000_000_000
FAR_FUTURE_MS = 2**50
AMOUNT = 1_000
OUTPUTS = 12
"""Outputs of ``AMOUNT`` that each organisation begins with."""
KINDS = ("admission", "governance", "validators", "accounts", "assets")


def secret(*words: object) -> bytes:
    """32 bytes that depend on ``words`` alone."""
    return sha256("/".join(str(word) for word in words).encode()).digest()


@dataclass(frozen=True)
class Member:
    """One organisation with a node."""

    name: str
    validator: SigningKey
    member: SigningKey
    transport: TransportKey


@lru_cache(maxsize=64)
def member(name: str) -> Member:
    """The organisation of that name."""
    return Member(
        name,
        SigningKey(secret(name, "validator")),
        SigningKey(secret(name, "member")),
        TransportKey(secret(name, "transport")),
    )


@dataclass(frozen=True)
class Stage:
    """A chain that has not begun.

    Attributes:
        genesis: of it.
        members: organisations with a node, the validators first.
        validators: how many of them are in the first set.
        authority: its key.
        image: what a new node's store holds.
    """

    genesis: Genesis
    members: tuple[Member, ...]
    validators: int
    authority: SigningKey
    image: Image


def admitted(
    chain_id: bytes, authority: SigningKey, people: Iterable[tuple[bytes, bytes, str, tuple[str, ...]]]
) -> tuple[CertificateDoc, ...]:
    """Certificates of (key, transport key, organisation, roles)."""
    certificates = [
        AdmissionCertificate(chain_id, serial, key, transport, organisation, roles, 0, FAR_FUTURE_MS)
        for serial, (key, transport, organisation, roles) in enumerate(people, 1)
    ]
    return tuple(certificate_doc(sign_certificate(each, [authority])) for each in certificates)


def seated(
    name: str,
    people: Sequence[Member],
    validators: int,
    *,
    kinds: Sequence[str] = KINDS,
    roles: Sequence[tuple[str, ...]] = (),
    assets: Sequence[AssetDoc] = (),
    policies: Sequence[PolicyDoc] = (),
    more: Sequence[tuple[bytes, bytes, str, tuple[str, ...]]] = (),
    salt: str = "",
    **parameters: int,
) -> Stage:
    """A chain of ``people``, the first ``validators`` of whom validate."""
    authority = SigningKey(secret(name, "authority"))
    lock = f"key({key_text(authority.public)})"
    salt = secret(name, "salt", salt).hex()[:32]
    chain_id = chain_id_of(name, CREATED_MS, salt, lock)
    keys: list[tuple[bytes, bytes, str, tuple[str, ...]]] = []
    for index, person in enumerate(people):
        keys.append((person.validator.public, person.transport.public_key, person.name, ("validator",)))
        keys.append((person.member.public, b"", person.name, roles[index] if roles else ("member",)))
    genesis = parse_genesis(
        format_genesis(
            Genesis(
                name=name,
                created_ms=CREATED_MS,
                salt=salt,
                suite=SUITE,
                authority=lock,
                validators=tuple(key_text(person.validator.public) for person in people[:validators]),
                certificates=admitted(chain_id, authority, [*keys, *more]),
                assets=tuple(assets),
                contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in kinds),
                policies=tuple(policies),
                parameters=Parameters(**parameters),
            )
        )
    )
    store = MemoryStore()
    Chain(genesis, store)
    return Stage(genesis, tuple(people), validators, authority, (store._open(), store._keys))


@lru_cache(maxsize=64)
def stage(validators: int, nodes: int, parameters: tuple[tuple[str, int], ...] = ()) -> Stage:
    """A chain of ``nodes`` organisations, each with ``OUTPUTS`` outputs of ``AMOUNT`` CNY."""
    people = [member(f"Member {index}") for index in range(nodes)]
    supply = tuple(
        SupplyDoc(amount=AMOUNT, lock=f"key({key_text(person.member.public)})")
        for person in people
        for _ in range(OUTPUTS)
    )
    currency = AssetDoc(asset="CNY", issuers=(), supply=supply)
    return seated("sim", people, validators, assets=[currency], salt=str(nodes), **dict(parameters))
