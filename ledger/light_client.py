"""Light client of another chain: what one chain must know of another to check its headers (DESIGN.md 6).

Pure: states in, states out. The bridge contract keeps the state on chain; the SDK may keep one in memory.

A header above the latest trusted one counts by its commit certificate, of the set that the latest one names for the
height after it; an older one only by its place in the history of a trusted one, so that a former set can forge nothing.
Two certified headers of one height contradict each other, and nothing of that chain counts any more.

Sets change, and committees rotate: the header whose ``next_validators_hash`` is another set's hands over to that set,
and from then on the one before can certify nothing above it. Headers of a set that was not handed over to are refused,
so relays show every header that changes the set, in order, before anything that later sets decided.

What this cannot see: that time has passed. As long as nobody shows the header that ends it, the last set that was shown
is believed at any height, though its members may have left long ago. A quorum of them could forge for clients that
nobody renews; relays renew them at half of ``max_staleness``, which takes the client past every change until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from ledger.block import PROTOCOL_VERSION, Header, block_id
from ledger.certificate import verify_certificate
from ledger.encoding import Codec, Record
from ledger.errors import InvalidProof
from ledger.keys import verify as verify_signature
from ledger.packet import HeaderProof
from ledger.types import MAX_HEIGHT, Hash32, PublicKey
from ledger.validators import MAX_VALIDATORS, ValidatorSet

KEPT_HEADERS: Final = 1_024
"""Trusted headers that a client keeps as anchors, the latest included; older ones are proved through these."""

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(key, message, signature) → whether it verifies; ``ledger.keys.verify``, or a cache of it."""
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]


class TrustedHeader(Record, frozen=True):
    """What is kept of a verified header."""

    height: _Height
    time_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    block_id: _Hash
    history_root: _Hash
    validators_hash: _Hash
    next_validators_hash: _Hash


class ClientState(Record, frozen=True):
    """A light client.

    Attributes:
        chain_id: of the other chain.
        name: of the other chain.
        bridge: address of the other chain's bridge contract; only its events are packets.
        validators: keys of a set that was in force there, sorted; the one that decided ``latest``, which also decides
            the next header unless ``latest.next_validators_hash`` says otherwise.
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
        header.height,
        header.time_ms,
        block_id(header),
        header.history_root,
        header.validators_hash,
        header.next_validators_hash,
    )


def begin(name: str, bridge: str, header: Header, validators: ValidatorSet) -> ClientState:
    """A client that starts from ``header``, which its creator (governance) vouches for.

    Raises:
        InvalidProof: ``validators`` is not the set that the header names for the next height, or its form is wrong.
    """
    _check_form(header)
    if validators.hash(header.chain_id) != header.next_validators_hash:
        raise InvalidProof("these are not the validators that the header names", code="client_set_wrong")
    return ClientState(header.chain_id, name, bridge, validators.keys, trusted(header), frozen=False)


def advance(client: ClientState, proof: HeaderProof, verify: Verify = verify_signature) -> ClientState:
    """The client after a header above its latest one, proved by its certificate.

    Args:
        client: as it is.
        proof: of the header.
        verify: of one signature.

    Raises:
        InvalidProof: ``client_*`` codes: frozen, of another chain, not above, of another validator set, on another
            parent, or with a certificate that is for another block or none.
        InvalidInput: the certificate is not of a quorum (``certificate_invalid``), or its set is no set.
    """
    header = proof.header
    if client.frozen:
        raise InvalidProof(
            "two certified headers of one height were shown; governance must replace the client", code="client_frozen"
        )
    _check_chain(client, header)
    if header.height <= client.latest.height or header.time_ms <= client.latest.time_ms:
        raise InvalidProof(f"header {header.height} is not above {client.latest.height}", code="client_header_old")
    check_certified(client, proof, client.latest.next_validators_hash, verify)
    if header.height == client.latest.height + 1 and header.parent != client.latest.block_id:
        raise InvalidProof("the header's parent is not the block before it", code="client_parent_wrong")
    keys = proof.validators or client.validators
    return ClientState(client.chain_id, client.name, client.bridge, tuple(sorted(keys)), trusted(header), frozen=False)


def check_certified(
    client: ClientState, proof: HeaderProof, validators_hash: bytes, verify: Verify = verify_signature
) -> Hash32:
    """Checks a header's certificate by a set whose hash is trusted; returns the block id.

    Args:
        client: of the header's chain.
        proof: header, certificate, and the set's keys unless they are the client's.
        validators_hash: of the set that decides the header's height.
        verify: of one signature.

    Raises:
        InvalidProof, InvalidInput: as ``advance``.
    """
    header, certificate = proof.header, proof.certificate
    _check_chain(client, header)
    _check_form(header)
    if certificate is None:
        raise InvalidProof("a header above the latest one needs its certificate", code="client_certificate_missing")
    validators = ValidatorSet(PublicKey(key) for key in (proof.validators or client.validators))
    named = validators.hash(client.chain_id)
    if named != validators_hash or named != header.validators_hash:
        raise InvalidProof(
            "the header is not of the validator set that is in force: send the header that changes the set first",
            code="client_set_wrong",
        )
    name = block_id(header)
    if certificate.block_id != name or certificate.height != header.height or certificate.epoch != header.epoch:
        raise InvalidProof("the certificate is for another block", code="client_certificate_wrong")
    verify_certificate(certificate, client.chain_id, validators, verify)
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


def contradicts(
    client: ClientState, kept: TrustedHeader, proof: HeaderProof, verify: Verify = verify_signature
) -> bool:
    """True when a certified header says otherwise than one that is trusted: of its height, or as its parent.

    Args:
        client: of the header's chain.
        kept: a trusted header of the same height, or of the height below.
        proof: the other header, with its certificate.
        verify: of one signature.

    Raises:
        InvalidProof, InvalidInput: as ``advance``: it is not certified, so it says nothing.
    """
    header = proof.header
    if header.height == kept.height:
        return check_certified(client, proof, kept.validators_hash, verify) != kept.block_id
    if header.height == kept.height + 1:
        check_certified(client, proof, kept.next_validators_hash, verify)
        return header.parent != kept.block_id
    return False


def check_conflict(
    client: ClientState,
    kept: TrustedHeader | None,
    first: HeaderProof,
    second: HeaderProof,
    verify: Verify = verify_signature,
) -> None:
    """Checks that two certified headers of one height contradict each other.

    The set that decides the height must be known to the client: for kept heights the one that did, above the latest
    header the one that it names. Lower heights do not count: there, keys that retired long ago could freeze a client.

    Args:
        client: of their chain.
        kept: the trusted header of that height, where the client keeps one.
        first: one header.
        second: the other.
        verify: of one signature.

    Raises:
        InvalidProof: ``client_no_conflict``: of different heights, the same, or of a height that does not count.
        InvalidInput: as ``advance``: one of them is not certified.
    """
    height = first.header.height
    if kept is not None:
        validators_hash = kept.validators_hash
    elif height > client.latest.height:
        validators_hash = client.latest.next_validators_hash
    else:
        raise InvalidProof("the client keeps nothing of that height any more", code="client_no_conflict")
    names = [check_certified(client, proof, validators_hash, verify) for proof in (first, second)]
    if second.header.height != height or names[0] == names[1]:
        raise InvalidProof("the two headers do not contradict each other", code="client_no_conflict")


def _check_chain(client: ClientState, header: Header) -> None:
    if header.chain_id != client.chain_id:
        raise InvalidProof("the header is of another chain", code="client_chain_wrong")


def _check_form(header: Header) -> None:
    if header.version != PROTOCOL_VERSION:
        raise InvalidProof(
            f"the header is of protocol version {header.version}, this program knows {PROTOCOL_VERSION}",
            code="client_version_unknown",
        )
    if header.history_size != header.height:
        raise InvalidProof("the header's history is not of its height", code="client_header_wrong")
