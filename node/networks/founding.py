"""From public keys and plain words to a genesis: without a signature first, then with the authority's.

Whoever makes a network uses this: a local one for tests, one for real hosts, a ceremony of many members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from ledger.admission import AdmissionCertificate, SignedCertificate, certificate_digest
from ledger.errors import InvalidConfig
from ledger.genesis import (
    SUITE,
    AccountDoc,
    AssetDoc,
    CertificateDoc,
    ContractDoc,
    Genesis,
    Parameters,
    PolicyDoc,
    certificate_doc,
    chain_id_of,
)
from ledger.keys import SigningKey, key_text, parse_key
from ledger.rotation import RotationDoc
from ledger.types import Hash32

DAY_MS: Final = 24 * 3600 * 1000
_NAMED: Final = re.compile(r"\{([^{}]+)\}")
Signatures = Mapping[int, tuple[tuple[bytes, bytes], ...]]
"""By a certificate's serial: (key, signature) of the authority."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who is admitted from the start.

    Attributes:
        organisation: who answers for the key.
        key: signing key, 33 bytes.
        transport: libp2p identity of a node, 32 bytes, or empty.
        roles: what it may do.
    """

    organisation: str
    key: bytes
    transport: bytes
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """All that a genesis says, before anybody signs. In locks, ``{NAME}`` stands for a key of ``names``.

    Attributes:
        name: of the chain.
        created_ms: time of the genesis block.
        salt: 32 hex digits.
        authority: lock of the admission authority.
        validators: signing keys of the first validators.
        admitted: everybody with a certificate; serials count from 1 in this order.
        validity_ms: how long the certificates hold.
        names: key texts by the names that locks use.
        assets: with names in locks.
        accounts: with names in locks.
        contracts: addresses, each the kind of its contract.
        policies: with names in locks.
        parameters: of the chain.
        rotation: rules of rotating committees, or None.
    """

    name: str
    created_ms: int
    salt: str
    authority: str
    validators: tuple[bytes, ...]
    admitted: tuple[Admitted, ...]
    validity_ms: int
    names: Mapping[str, str]
    assets: tuple[AssetDoc, ...] = ()
    accounts: tuple[AccountDoc, ...] = ()
    contracts: tuple[str, ...]
    policies: tuple[PolicyDoc, ...] = ()
    parameters: Parameters
    rotation: RotationDoc | None = None


def authority_lock(keys: Iterable[bytes], threshold: int) -> str:
    """The admission authority's policy: ``threshold`` of ``keys``.

    Raises:
        InvalidConfig: not 1 to 16 keys, or a threshold that they cannot meet.
    """
    locks = [f"key({key_text(key)})" for key in keys]
    if not 1 <= threshold <= len(locks) <= 16:
        raise InvalidConfig("an authority has 1 to 16 keys, and a threshold of at most as many", code="plan_invalid")
    return locks[0] if len(locks) == 1 else f"threshold({threshold},{','.join(locks)})"


def fill_lock(text: str, names: Mapping[str, str]) -> str:
    """``text`` with key texts in place of ``{NAME}``.

    Raises:
        InvalidConfig: a name that is not known.
    """

    def named(found: re.Match[str]) -> str:
        if found[1] not in names:
            raise InvalidConfig(
                f"a lock names {found[1]!r}; the organisations are {', '.join(names)}", code="plan_invalid"
            )
        return names[found[1]]

    return _NAMED.sub(named, text)


def unsigned_genesis(charter: Charter) -> Genesis:
    """The genesis with certificates that nobody has signed yet; its hash is what members agree on.

    Raises:
        InvalidConfig: as ``fill_lock``.
    """
    chain_id = chain_id_of(charter.name, charter.created_ms, charter.salt, charter.authority)
    before, after = max(0, charter.created_ms - DAY_MS), charter.created_ms + charter.validity_ms
    certificates = (
        AdmissionCertificate(
            chain_id, serial, item.key, item.transport, item.organisation, tuple(sorted(item.roles)), before, after
        )
        for serial, item in enumerate(charter.admitted, 1)
    )

    def lock(text: str) -> str:
        return fill_lock(text, charter.names)

    return Genesis(
        name=charter.name,
        created_ms=charter.created_ms,
        salt=charter.salt,
        suite=SUITE,
        authority=charter.authority,
        validators=tuple(key_text(key) for key in charter.validators),
        certificates=tuple(certificate_doc(SignedCertificate(certificate, ())) for certificate in certificates),
        assets=tuple(
            msgspec.structs.replace(
                asset,
                issuers=tuple(lock(issuer) for issuer in asset.issuers),
                supply=tuple(msgspec.structs.replace(first, lock=lock(first.lock)) for first in asset.supply),
            )
            for asset in charter.assets
        ),
        accounts=tuple(msgspec.structs.replace(account, lock=lock(account.lock)) for account in charter.accounts),
        contracts=tuple(ContractDoc(address=kind, kind=kind) for kind in charter.contracts),
        policies=tuple(msgspec.structs.replace(policy, lock=lock(policy.lock)) for policy in charter.policies),
        parameters=charter.parameters,
        rotation=charter.rotation,
    )


def certificate_of(doc: CertificateDoc, chain_id: Hash32) -> AdmissionCertificate:
    """The certificate that a genesis file's text says, its signatures not looked at."""
    return AdmissionCertificate(
        chain_id,
        doc.serial,
        parse_key(doc.key),
        bytes.fromhex(doc.transport),
        doc.organisation,
        doc.roles,
        doc.not_before_ms,
        doc.not_after_ms,
    )


def certificate_digests(genesis: Genesis) -> list[Hash32]:
    """What the authority signs: of each certificate in order, 32 bytes."""
    chain_id = genesis.chain_id
    return [certificate_digest(certificate_of(doc, chain_id)) for doc in genesis.certificates]


def authority_signatures(genesis: Genesis, keys: Iterable[SigningKey]) -> dict[int, tuple[tuple[bytes, bytes], ...]]:
    """What these keys of the authority sign: every certificate of ``genesis``, by serial."""
    signers = list(keys)
    return {
        doc.serial: tuple((key.public, key.sign(signed)) for key in signers)
        for doc, signed in zip(genesis.certificates, certificate_digests(genesis), strict=True)
    }


def with_signatures(genesis: Genesis, signatures: Signatures) -> Genesis:
    """``genesis`` with the authority's signatures in its certificates, in place of any that it has; not checked."""
    return msgspec.structs.replace(
        genesis,
        certificates=tuple(
            msgspec.structs.replace(
                doc,
                signatures=tuple(
                    (key_text(key), signature.hex()) for key, signature in sorted(signatures.get(doc.serial, ()))
                ),
            )
            for doc in genesis.certificates
        ),
    )


def without_signatures(genesis: Genesis) -> Genesis:
    """What members agreed on before the authority signed."""
    return with_signatures(genesis, {})
