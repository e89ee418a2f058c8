"""Which headers of the other chain count, and what happens when two of them contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from contracts.bridge.codes import ANCHOR_UNKNOWN, FROZEN, HEADER_WRONG, NO_CLIENT, NOTHING_NEW, TOO_MANY_SEALS
from contracts.bridge.records import CLIENT_FROZEN, MAX_FOLLOWED_SEALS, ClientEvent, ConflictingHeaders, Followed
from contracts.bridge.state import Client, keep_header, kept_header, need_client, role_of, store_client
from contracts.codes import Refusal
from contracts.interface import CallContext, StateSpace
from ledger import light_client
from ledger.block import block_id
from ledger.errors import InvalidInput
from ledger.light_client import Verify
from ledger.packet import HeaderProof

NEWER: Final = "newer"
OLDER: Final = "older"
FROZE: Final = "froze"
"""What ``trust`` came to."""


def client_of(state: StateSpace, chain_id: bytes) -> Client:
    """The client of a chain; refuses with ``bridge_no_client``, or ``bridge_frozen`` when nothing of it counts."""
    role = role_of(state, chain_id)
    if role is None:
        raise Refusal(NO_CLIENT, f"no light client of chain {chain_id.hex()} is registered")
    client = need_client(state, role)
    if client.state.frozen:
        raise Refusal(FROZEN, f"the {role} chain contradicted itself; governance must replace its client")
    return client


def trust(context: CallContext, client: Client, proof: HeaderProof, verify: Verify) -> str:
    """Comes to trust a header, or refuses it.

    Args:
        context: of the bridge.
        client: not frozen, of the header's chain.
        proof: the header and why to believe it.
        verify: of one signature.

    Returns:
        ``NEWER`` when it is the client's latest header now; ``OLDER`` when it counts, but is not; ``FROZE`` when it is
        certified and contradicts a trusted one: the client is frozen, and nothing else may be done.

    Refuses with ``bridge_anchor_unknown``, ``bridge_header_wrong``, or ``bridge_`` and the light client's code.
    """
    header, latest = proof.header, client.state.latest
    kept = kept_header(context.state, client.role, header.height)
    base = latest if header.height > latest.height else kept
    try:
        if (
            base is not None
            and proof.certificate is not None
            and base.block_id != block_id(header)
            and light_client.contradicts(client.state, base, proof, verify)
        ):
            _freeze(context, client, header.height)
            return FROZE
        if base is latest:
            advanced = light_client.advance(client.state, proof, verify)
            keep_header(context.state, replace(client, state=advanced))
            return NEWER
    except InvalidInput as error:
        raise refused(error) from error
    if kept is None:
        _check_older(context.state, client, proof)
    elif kept.block_id != block_id(header):
        raise Refusal(HEADER_WRONG, f"another block of height {header.height} is known, and this is not certified")
    return OLDER


def follow(context: CallContext, proofs: Sequence[HeaderProof], verify: Verify) -> Followed:
    """Comes to trust headers of one chain one after the other, so that the client knows the set after the last.

    Args:
        context: of the bridge.
        proofs: by height; those that are not above the latest one are passed over.
        verify: of one signature.

    Refuses as ``trust``, with ``bridge_too_many_seals``, or with ``bridge_nothing_new``.
    """
    seals = sum(len(proof.certificate.seals) for proof in proofs if proof.certificate is not None)
    if seals > MAX_FOLLOWED_SEALS:
        raise Refusal(TOO_MANY_SEALS, f"{seals} signatures; one transaction checks at most {MAX_FOLLOWED_SEALS}")
    chain_id, taken = proofs[0].header.chain_id, 0
    client = client_of(context.state, chain_id)
    for proof in proofs:
        if proof.header.height <= client.state.latest.height:
            kept = kept_header(context.state, client.role, proof.header.height)
            if kept is None or kept.block_id == block_id(proof.header):
                continue
        outcome = trust(context, client, proof, verify)
        client = need_client(context.state, client.role)
        if outcome == FROZE:
            return Followed(taken, client.state.latest.height, frozen=True)
        taken += 1
    if not taken:
        raise Refusal(NOTHING_NEW, "the client is past all of these headers already")
    return Followed(taken, client.state.latest.height, frozen=False)


def _check_older(state: StateSpace, client: Client, proof: HeaderProof) -> None:
    anchor = kept_header(state, client.role, proof.anchor_height)
    if anchor is None:
        newest = client.state.latest.height
        raise Refusal(ANCHOR_UNKNOWN, f"header {proof.anchor_height} is not kept; the newest, {newest}, is")
    try:
        light_client.check_older(anchor, proof)
    except InvalidInput as error:
        raise refused(error) from error


def report(context: CallContext, conflict: ConflictingHeaders, verify: Verify) -> None:
    """Freezes a client whose chain certified two headers of one height; refuses what does not show that."""
    header = conflict.first.header
    client = client_of(context.state, header.chain_id)
    kept = kept_header(context.state, client.role, header.height)
    try:
        light_client.check_conflict(client.state, kept, conflict.first, conflict.second, verify)
    except InvalidInput as error:
        raise refused(error) from error
    _freeze(context, client, header.height)


def refused(error: InvalidInput) -> Refusal:
    """The refusal that says what the light client found."""
    return Refusal("bridge_" + error.code, error.message)


def _freeze(context: CallContext, client: Client, height: int) -> None:
    store_client(context.state, replace(client, state=replace(client.state, frozen=True)))
    context.emit(CLIENT_FROZEN, ClientEvent(client.role, client.state.chain_id, height))
