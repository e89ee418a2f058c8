"""Which headers take the other chain's light client from the set that it knows to the set that decided a block.

A client believes a set only from the header that hands over to it. After a long stop that may be hundreds of headers:
they go in batches, and what nobody has shown yet is read from the epochs that the source wrote down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.bridge.records import MAX_FOLLOWED_HEADERS, MAX_FOLLOWED_SEALS, Headers
from contracts.validators.schedule import epochs_down_from
from ledger.encoding import encode
from ledger.packet import HeaderProof
from node.chain import Chain

MAX_FOLLOW_BYTES: Final = 128 * 1024
"""Of one batch, so that a block has room for others beside it."""


def set_changes(chain: Chain, after: int, before: int) -> list[int]:
    """Heights between two others, exclusive, whose headers name another set for the next height than decided them.

    Args:
        chain: whose.
        after: height of the header that is known already; what it names for the next height, too.
        before: height of the block that is to be proved, at most the tip's.
    """
    address = chain.rules.address_of("validators")
    if not address or before <= after + 1:
        return []
    found: list[int] = []
    later = None
    # One record an epoch: this costs what there is to show, however many blocks are between.
    for epoch in epochs_down_from(chain.state, address, before):
        if later is not None and later.keys != epoch.keys and later.start - 1 > after:
            found.append(later.start - 1)
        if epoch.start <= after + 1:
            break
        later = epoch
    return found[::-1]


def keys_of(chain: Chain, height: int, known: Sequence[bytes]) -> tuple[bytes, ...]:
    """Keys of the set that decided a height, or nothing when they are ``known``."""
    keys = tuple(bytes(key) for key in chain.seats_at(height).validators.keys)
    return () if keys == tuple(known) else keys


def batch_of(chain: Chain, heights: Sequence[int], known: Sequence[bytes]) -> Headers:
    """The first of ``heights``, as many as one transaction takes, each proved as the client stands after the last.

    Args:
        chain: of the headers.
        heights: from ``set_changes``; at least one.
        known: keys of the client's set.
    """
    proofs: list[HeaderProof] = []
    size_bytes = seals = 0
    for height in heights[:MAX_FOLLOWED_HEADERS]:
        certificate = chain.store.certificate(height)
        keys = keys_of(chain, height, known)
        proof = HeaderProof(chain.store.header(height), certificate, keys, 0, None)
        size_bytes += len(encode(proof))
        seals += len(certificate.seals)
        if proofs and (size_bytes > MAX_FOLLOW_BYTES or seals > MAX_FOLLOWED_SEALS):
            break
        proofs.append(proof)
        known = keys or known
    return Headers(tuple(proofs))
