"""The genesis file: what a chain is before its first block.

A JSON file for people, hashed in a canonical form of its own (JSON is never signed). ``chain_id`` hashes the chain's
name, salt, time and authority, so that certificates inside the file can bind to it; the genesis block's parent is the
hash of everything in the file.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ledger.admission import AdmissionCertificate, SignedCertificate, check_certificate
from ledger.encoding import digest, encode
from ledger.errors import InvalidGenesis, InvalidInput
from ledger.keys import key_text, parse_key
from ledger.lock import Lock, check_name, parse_lock
from ledger.rotation import Order, RotationDoc, check_rotation, first_committee, first_salt, register_of, rules_of
from ledger.types import MAX_AMOUNT, Hash32, PublicKey
from ledger.validators import ValidatorSet

SUITE: Final = "ed25519-sha256"
MAX_GENESIS_BYTES: Final = 16 * 1024 * 1024

_Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class _Doc(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An object of the genesis file."""


class Parameters(_Doc, frozen=True, kw_only=True):
    """Numbers that every node of the chain must agree on.

    Attributes:
        base_timeout_ms: QBFT round 0 timeout; doubles each round.
        max_timeout_ms: cap of it.
        empty_block_ms: longest time without a block.
        package_transactions: with ``package_ms``: wait for that many transactions or that long before a block.
        package_ms: 0 proposes as soon as there is something to put in.
        max_block_transactions: at most this many in a block.
        max_block_bytes: sum of their wire bytes.
        expiry_window: a transaction may expire at most this many blocks ahead; bounds the live ids.
        checkpoint_interval: K of DESIGN.md 2.
        clock_tolerance_ms: a first proposal's time may be this far ahead of a validator's clock.
    """

    base_timeout_ms: int = 1_000
    max_timeout_ms: int = 60_000
    empty_block_ms: int = 10_000
    package_transactions: int = 1
    package_ms: int = 0
    max_block_transactions: int = 2_048
    max_block_bytes: int = 1024 * 1024
    expiry_window: int = 10_000
    checkpoint_interval: int = 256
    clock_tolerance_ms: int = 10_000


PARAMETER_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "base_timeout_ms": (50, 60_000),
    "max_timeout_ms": (50, 3_600_000),
    "empty_block_ms": (50, 3_600_000),
    "package_transactions": (1, 4_096),
    "package_ms": (0, 60_000),
    "max_block_transactions": (1, 4_096),
    "max_block_bytes": (256 * 1024, 2 * 1024 * 1024),
    "expiry_window": (16, 1_000_000),
    "checkpoint_interval": (4, 65_536),
    "clock_tolerance_ms": (100, 3_600_000),
}
"""Lowest and highest value of each parameter, for genesis files and for governance."""


def check_parameters(parameters: Parameters) -> None:
    """Whether a chain can have these parameters.

    Raises:
        InvalidGenesis: one is out of bounds, or the longest timeout below the first.
    """
    for name, (low, high) in PARAMETER_BOUNDS.items():
        if not low <= getattr(parameters, name) <= high:
            raise InvalidGenesis(f"{name} must be {low} to {high}")
    if parameters.max_timeout_ms < parameters.base_timeout_ms:
        raise InvalidGenesis("max_timeout_ms must not be below base_timeout_ms")


class CertificateDoc(_Doc, frozen=True, kw_only=True):
    """An admission certificate with the authority's signatures, as text."""

    serial: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    key: str
    transport: str
    organisation: str
    roles: tuple[str, ...]
    not_before_ms: _Time
    not_after_ms: _Time
    signatures: tuple[tuple[str, str], ...]


class SupplyDoc(_Doc, frozen=True, kw_only=True):
    """An output that exists from the start."""

    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    lock: str


class AssetDoc(_Doc, frozen=True, kw_only=True):
    """An asset: who may issue it, how many decimal places people see, what exists from the start."""

    asset: str
    issuers: tuple[str, ...]
    scale: Annotated[int, Meta(ge=0, le=8)] = 2
    supply: tuple[SupplyDoc, ...] = ()


class AccountDoc(_Doc, frozen=True, kw_only=True):
    """A named account: the organisation that owns it and its lock."""

    name: str
    organisation: str
    lock: str


class ContractDoc(_Doc, frozen=True, kw_only=True):
    """A contract instance: its address, which built-in contract it is, and which version of it."""

    address: str
    kind: str
    version: Annotated[int, Meta(ge=1, le=2**16 - 1)] = 1


class PolicyDoc(_Doc, frozen=True, kw_only=True):
    """A named policy of keys, for contract ``governance``: a lock of keys and thresholds."""

    name: str
    lock: str


class Genesis(_Doc, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        name: what people call the chain.
        created_ms: time of the genesis block.
        salt: 16 random bytes in hex; makes equal set-ups distinct chains.
        suite: algorithms; ``ed25519-sha256``.
        authority: admission authority, a lock of keys and thresholds.
        validators: signing keys of the first validators; each has a certificate with the role ``validator``. They are
            the first set, or, with ``rotation``, those of whom its committees are drawn.
        certificates: who is admitted from the start.
        assets: currencies and other assets.
        accounts: named accounts.
        contracts: contract instances.
        policies: named policies that governance begins with.
        parameters: see ``Parameters``.
        rotation: rules of rotating committees; None: a set stays until governance changes it.
    """

    name: str
    created_ms: _Time
    salt: str
    suite: str
    authority: str
    validators: tuple[str, ...]
    certificates: tuple[CertificateDoc, ...]
    assets: tuple[AssetDoc, ...] = ()
    accounts: tuple[AccountDoc, ...] = ()
    contracts: tuple[ContractDoc, ...]
    policies: tuple[PolicyDoc, ...] = ()
    parameters: Parameters = Parameters()
    rotation: RotationDoc | None = None

    @property
    def chain_id(self) -> Hash32:
        """32 bytes that everything signed or hashed on this chain carries."""
        return chain_id_of(self.name, self.created_ms, self.salt, self.authority)

    @property
    def hash(self) -> Hash32:
        """Hash of everything in the file."""
        values: tuple[Any, ...] = _tuples(self)
        # Chains that began before there was rotation keep their hash.
        return digest(b"tidegate/genesis", self.chain_id, encode(values if self.rotation else values[:-1]))

    def authority_lock(self) -> Lock:
        """The admission authority's policy."""
        return parse_lock(self.authority)

    def validator_set(self) -> ValidatorSet:
        """Who decides the first heights: all first validators, or the first committee of them."""
        if self.rotation is None:
            return self.registered()
        rules = rules_of(self.rotation)
        order = Order(self.chain_id, first_salt(self.rotation, self.salt))
        chosen = first_committee(rules, order, register_of(rules, self.operators()))
        return ValidatorSet(PublicKey(candidate.key) for candidate in chosen)

    def registered(self) -> ValidatorSet:
        """All first validators."""
        return ValidatorSet(parse_key(text) for text in self.validators)

    def operators(self) -> dict[bytes, str]:
        """Organisation of each first validator, by key; certificates are not checked here."""
        organisations = {parse_key(doc.key): doc.organisation for doc in self.certificates}
        return {bytes(key): organisations[key] for key in self.registered().keys if key in organisations}

    def admitted(self) -> tuple[AdmissionCertificate, ...]:
        """The certificates, their signatures checked.

        Raises:
            InvalidGenesis: one of them is not properly signed.
        """
        authority, chain_id = self.authority_lock(), self.chain_id
        try:
            return tuple(check_certificate(_signed(doc, chain_id), authority, chain_id) for doc in self.certificates)
        except InvalidInput as error:
            raise InvalidGenesis(f"genesis: {error.message}", code=error.code) from error


def chain_id_of(name: str, created_ms: int, salt: str, authority: str) -> Hash32:
    """The chain id that a genesis file with these values has."""
    return digest(b"tidegate/chain", b"", encode((name, created_ms, salt, SUITE, authority)))


def certificate_doc(signed: SignedCertificate) -> CertificateDoc:
    """The text form of a signed certificate, as it stands in a genesis file."""
    certificate = signed.certificate
    return CertificateDoc(
        serial=certificate.serial,
        key=key_text(certificate.key),
        transport=certificate.transport.hex(),
        organisation=certificate.organisation,
        roles=certificate.roles,
        not_before_ms=certificate.not_before_ms,
        not_after_ms=certificate.not_after_ms,
        signatures=tuple((key_text(key), signature.hex()) for key, signature in signed.signatures),
    )


def _signed(doc: CertificateDoc, chain_id: bytes) -> SignedCertificate:
    try:
        certificate = AdmissionCertificate(
            chain_id,
            doc.serial,
            parse_key(doc.key),
            bytes.fromhex(doc.transport),
            doc.organisation,
            doc.roles,
            doc.not_before_ms,
            doc.not_after_ms,
        )
        signatures = tuple((parse_key(key), bytes.fromhex(signature)) for key, signature in doc.signatures)
    except ValueError as error:
        raise InvalidInput(f"certificate {doc.serial}: not hexadecimal: {error}", code="certificate_refused") from error
    return SignedCertificate(certificate, signatures)


def _tuples(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return tuple(_tuples(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, tuple):
        return tuple(_tuples(item) for item in value)
    return value


def _no_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise InvalidGenesis(f"genesis: a key stands twice: {next(n for n in names if names.count(n) > 1)!r}")
    return found


def parse_genesis(data: bytes) -> Genesis:
    """The genesis in ``data``, fully checked.

    Raises:
        InvalidGenesis: not JSON, a doubled, missing or unknown key, a value out of bounds, a validator without
            certificate, or a certificate that the authority did not sign. The text says which.
    """
    if len(data) > MAX_GENESIS_BYTES:
        raise InvalidGenesis(f"genesis: {len(data)} bytes, at most {MAX_GENESIS_BYTES} allowed")
    try:
        document = json.loads(data, object_pairs_hook=_no_duplicate_keys)
        genesis = msgspec.convert(document, Genesis)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise InvalidGenesis(f"genesis: {error}") from error
    try:
        _check(genesis)
    except InvalidGenesis:
        raise
    except InvalidInput as error:
        raise InvalidGenesis(f"genesis: {error.message}", code=error.code) from error
    return genesis


def _check(genesis: Genesis) -> None:
    check_name(genesis.name, "chain name")
    if genesis.suite != SUITE:
        raise InvalidGenesis(f"genesis: suite {genesis.suite!r} is unknown; this node knows {SUITE!r}")
    if len(genesis.salt) != 32 or not set(genesis.salt) <= set("0123456789abcdef"):
        raise InvalidGenesis("genesis: the salt is 32 lower-case hex digits")
    try:
        check_parameters(genesis.parameters)
    except InvalidGenesis as error:
        raise InvalidGenesis(f"genesis: parameters.{error.message}") from error
    admitted = genesis.admitted()
    if len({c.serial for c in admitted}) != len(admitted) or len({c.key for c in admitted}) != len(admitted):
        raise InvalidGenesis("genesis: certificates must have distinct serials and keys")
    validating: set[PublicKey] = {PublicKey(c.key) for c in admitted if "validator" in c.roles and c.transport}
    for key in genesis.registered().keys:
        if key not in validating:
            raise InvalidGenesis(
                f"genesis: validator {key_text(key)} has no certificate with the role validator and a transport key"
            )
    if genesis.rotation is not None:
        _check_rotation(genesis, genesis.rotation)
    for what, values in (
        ("asset", [doc.asset for doc in genesis.assets]),
        ("account", [doc.name for doc in genesis.accounts]),
        ("contract", [doc.address for doc in genesis.contracts]),
        ("policy", [doc.name for doc in genesis.policies]),
    ):
        for value in values:
            check_name(value, what)
        if len(set(values)) != len(values):
            raise InvalidGenesis(f"genesis: each {what} may stand only once")


def _check_rotation(genesis: Genesis, rotation: RotationDoc) -> None:
    if sum(1 for doc in genesis.contracts if doc.kind == "validators") != 1:
        raise InvalidGenesis("genesis: rotation needs the contract validators, which writes its epochs down")
    check_rotation(rotation, genesis.salt, genesis.chain_id, genesis.operators())


def format_genesis(genesis: Genesis) -> bytes:
    """The file's text: indented JSON with a line feed at the end."""
    document = msgspec.to_builtins(genesis)
    if genesis.rotation is None:
        del document["rotation"]
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def genesis_time(genesis: Genesis) -> datetime:
    """When the chain began, in UTC."""
    return datetime.fromtimestamp(genesis.created_ms / 1000, tz=UTC)
