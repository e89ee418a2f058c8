"""Words that stand in every report: what such a proof says, how to read it, how to check it oneself."""

from __future__ import annotations

from typing import Final

WHAT_IS_PROVED: Final = (
    "Everything below was recomputed from the evidence file and the genesis files of the chains, without a network, a "
    "database or any participant's help. Each block that is named was signed by a quorum of the chain's validators of "
    "that time, which follow one from the other from the genesis file on; each transaction, receipt and record is "
    "shown to be in its block by a Merkle path (RFC 6962); each signature was verified."
)
READING: Final = (
    "Times are those of the blocks, in UTC. Organisations are those for which the genesis files admit a key; the long "
    "texts that begin with ed25519: are the keys themselves. 'Signed by' names the keys whose signatures over the "
    "transaction were verified. What travels between the chains is carried by relays, whose word counts for nothing: "
    "each chain checks the other's certificates."
)
HOW_TO_CHECK: Final = (
    (
        "Take the genesis file of each chain from a source that you trust, for example the regulator and an insurer, "
        "and compare their hashes with those above."
    ),
    "Install Tidegate from its source code on a computer of your own; no network is needed from here on.",
    (
        "Run: tidegate evidence verify FILE --genesis GENESIS --genesis GENESIS2. Exit code 0 means that everything "
        "above is proved; any other names the field of the file that is wrong."
    ),
    "The SHA-256 of the file must be the one at the head of this page; this page itself proves nothing.",
    (
        "To check without Tidegate: docs/evidence.md says how every hash and signature is made; the Merkle paths are "
        "those of RFC 6962 and verify with any library for it."
    ),
)
