"""Light client of another chain: what one chain must know of another to check its headers (DESIGN.md 6).

Pure: states in, states out. The bridge contract keeps the state on chain; the SDK may keep one in memory.

A header above the latest trusted one counts by its commit certificate, of the set that the latest one names for the
height after it; an older one only by its place in the history of a trusted one, so that a former set can forge nothing.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger.block import Header, block_id
from ledger.certificate import verify_certificate
from ledger.encoding import Codec, Record
from ledger.errors import InvalidProof
from ledger.packet import HeaderProof
from ledger.types import MAX_HEIGHT, Hash32, PublicKey
from ledger.validators import MAX_VALIDATORS, ValidatorSet

KEPT_HEADERS: Final = 1_024
"""Trusted headers that a client keeps as anchors, the latest included; older ones are proved through these."""

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class TrustedHeader(Record, frozen=True):
    """What is kept of a verified header."""

    height: _Height
    time_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    block_id: _Hash
    history_root: _Hash
    next_validators_hash: _Hash


class ClientState(Record, frozen=True):
    """A light client.

    Attributes:
        chain_id: of the other chain.
        name: of the other chain.
        bridge: address of the other chain's bridge contract; only its events are packets.
        validators: keys of the set in force there, sorted.
        latest: newest verified header.
        frozen: True once two certified headers of one height were shown; only governance ends that.
    """

    chain_id: _Hash
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    bridge: Annotated[str, Meta(min_length=1, max_length=64)]
    validators: Annotated[
        tuple[Annotated[bytes, Meta(min_length=33, max_length=33)], ...], Meta(min_length=1, max_length=MAX_VALIDATORS)
    ]
    latest: TrustedHeader
    frozen: bool


client_codec = Codec(ClientState, 16 * 1024, "light client")
trusted_codec = Codec(TrustedHeader, 1_024, "trusted header")


def trusted(header: Header) -> TrustedHeader:
    """What is kept of ``header``."""
    return TrustedHeader(
        header.height, header.time_ms, block_id(header), header.history_root, header.next_validators_hash
    )


def begin(name: str, bridge: str, header: Header, validators: ValidatorSet) -> ClientState:
    """A client that starts from ``header``, which its creator (governance) vouches for.

    Raises:
        InvalidProof: ``validators`` is not the set that the header names for the next height.
    """
    if validators.hash(header.chain_id) != header.next_validators_hash:
        raise InvalidProof("these are not the validators that the header names", code="client_set_wrong")
    return ClientState(header.chain_id, name, bridge, validators.keys, trusted(header), frozen=False)


def advance(client: ClientState, proof: HeaderProof) -> ClientState:
    """The client after a header above its latest one, proved by its certificate.

    Raises:
        InvalidProof: ``client_*`` codes: frozen, of another chain, not above, of another validator set, or with a
            certificate that is for another block or not of a quorum.
    """
    header, certificate = proof.header, proof.certificate
    if client.frozen:
        raise InvalidProof(
            "two certified headers of one height were shown; governance must replace the client", code="client_frozen"
        )
    _check_chain(client, header)
    if header.height <= client.latest.height or header.time_ms <= client.latest.time_ms:
        raise InvalidProof(f"header {header.height} is not above {client.latest.height}", code="client_header_old")
    check_certified(client, proof)
    assert certificate is not None
    keys = proof.validators or client.validators
    return ClientState(client.chain_id, client.name, client.bridge, tuple(sorted(keys)), trusted(header), frozen=False)


def check_certified(client: ClientState, proof: HeaderProof) -> Hash32:
    """Checks a header's certificate by the set that follows the client's latest header; returns the block id.

    Raises:
        InvalidProof: as ``advance``.
    """
    header, certificate = proof.header, proof.certificate
    _check_chain(client, header)
    if certificate is None:
        raise InvalidProof("a header above the latest one needs its certificate", code="client_certificate_missing")
    validators = ValidatorSet(PublicKey(key) for key in (proof.validators or client.validators))
    named = validators.hash(client.chain_id)
    if named != client.latest.next_validators_hash or named != header.validators_hash:
        raise InvalidProof(
            "the header is not of the validator set that is in force: send the header that changes the set first",
            code="client_set_wrong",
        )
    name = block_id(header)
    if certificate.block_id != name or certificate.height != header.height or certificate.epoch != header.epoch:
        raise InvalidProof("the certificate is for another block", code="client_certificate_wrong")
    verify_certificate(certificate, client.chain_id, validators)
    return name


def check_older(anchor: TrustedHeader, proof: HeaderProof) -> None:
    """Checks that a header is in the history of ``anchor``.

    Raises:
        InvalidProof: it is not shown to be.
    """
    header, history = proof.header, proof.history
    if history is None or history.index != header.height or history.size != anchor.height:
        raise InvalidProof(
            "an older header needs its place in the history of a kept one", code="client_history_missing"
        )
    history.check(block_id(header), anchor.history_root)


def _check_chain(client: ClientState, header: Header) -> None:
    if header.chain_id != client.chain_id:
        raise InvalidProof("the header is of another chain", code="client_chain_wrong")
