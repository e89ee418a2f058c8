"""Transactions: a body that is hashed and signed, and apart from it the witness that unlocks its inputs.

``tx_id`` hashes the body alone, so a witness cannot change it; blocks, caches, gossip and fetch go by the pair of
``tx_id`` and witness hash (DESIGN.md 2), so that wrong witness bytes condemn their sender and never the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidTransaction, MalformedBytes
from ledger.keys import SigningKey
from ledger.types import MAX_AMOUNT, MAX_HEIGHT, Hash32, OutPoint, TxId, TxRef

VERSION: Final = 1
MAX_TRANSACTION_BYTES: Final = 256 * 1024
MAX_INPUTS: Final = 2_048
MAX_OUTPUTS: Final = 256
MAX_CALLS: Final = 16
MAX_CALL_BYTES: Final = 192 * 1024
MAX_SIGNATURES: Final = 32
MAX_PREIMAGES: Final = 8
OUTPOINT_BYTES: Final = 36
TX_REF_BYTES: Final = 64

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Key = Annotated[bytes, Meta(min_length=33, max_length=33)]
_Signature = Annotated[bytes, Meta(min_length=65, max_length=65)]
_Height = Annotated[int, Meta(ge=0, le=MAX_HEIGHT)]
_Asset = Annotated[str, Meta(min_length=1, max_length=64)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Output(Record, frozen=True):
    """An amount of an asset under a lock.

    Attributes:
        asset: name of a defined asset.
        amount: minor units, 1 … 2⁶³−1.
        lock: canonical lock text (ledger/lock.py).
    """

    asset: _Asset
    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
    lock: Annotated[str, Meta(min_length=1, max_length=2048)]


class Call(Record, frozen=True):
    """A call of a contract's method; ``arguments`` are the canonical bytes of the method's argument record."""

    contract: _Name
    method: _Name
    arguments: Annotated[bytes, Meta(max_length=MAX_CALL_BYTES)]


class Attachment(Record, frozen=True):
    """A document kept beside the state and committed to by hash.

    Attributes:
        digest: SHA-256 of its bytes.
        size_bytes: its length.
        retention: retention class, 0 … 255; what each means is the chain's policy.
    """

    digest: _Hash
    size_bytes: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    retention: Annotated[int, Meta(ge=0, le=255)]


class Body(Record, frozen=True):
    """What a transaction says; hashed into its id and signed.

    Attributes:
        version: 1.
        chain_id: 32 bytes; another chain refuses it.
        sender: key that answers for it; always among the signers, and admitted.
        expiry_height: last height whose block may contain it.
        nonce: 16 random bytes that make equal orders distinct.
        inputs: outpoints to spend, distinct.
        outputs: outputs to create; output ``i`` gets outpoint ``tx_id ‖ u32(i)``.
        calls: contract calls, performed in order.
        attachments: documents committed to.
        memo: free bytes.
        cosigners: keys that sign beside the sender, sorted, distinct.
        preimage_hashes: SHA-256 of the preimages in the witness, sorted, distinct.

    The last two leave a witness no choice: one with other signers or preimages is no witness of this body, so that
    nobody on the way can make a good transaction into one that is refused.
    """

    version: Annotated[int, Meta(ge=0, le=255)]
    chain_id: _Hash
    sender: _Key
    expiry_height: _Height
    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    inputs: Annotated[tuple[Annotated[bytes, Meta(min_length=36, max_length=36)], ...], Meta(max_length=MAX_INPUTS)]
    outputs: Annotated[tuple[Output, ...], Meta(max_length=MAX_OUTPUTS)]
    calls: Annotated[tuple[Call, ...], Meta(max_length=MAX_CALLS)]
    attachments: Annotated[tuple[Attachment, ...], Meta(max_length=16)]
    memo: Annotated[bytes, Meta(max_length=256)]
    cosigners: Annotated[tuple[_Key, ...], Meta(max_length=MAX_SIGNATURES - 1)] = ()
    preimage_hashes: Annotated[tuple[_Hash, ...], Meta(max_length=MAX_PREIMAGES)] = ()


class Witness(Record, frozen=True):
    """What unlocks: (key, signature) pairs sorted by key, and preimages sorted by value, all distinct."""

    signatures: Annotated[tuple[tuple[_Key, _Signature], ...], Meta(max_length=MAX_SIGNATURES)]
    preimages: Annotated[
        tuple[Annotated[bytes, Meta(min_length=1, max_length=64)], ...], Meta(max_length=MAX_PREIMAGES)
    ]


class _Wire(Record, frozen=True):
    body: bytes
    witness: bytes


_body_codec = Codec(Body, MAX_TRANSACTION_BYTES, "transaction body")
_witness_codec = Codec(Witness, MAX_TRANSACTION_BYTES, "transaction witness")
_wire_codec = Codec(_Wire, MAX_TRANSACTION_BYTES, "transaction")


class Transaction:
    """A transaction as received: its bytes, decoded once, and the hashes that name it.

    Attributes:
        wire: the whole canonical bytes.
        body: what it says.
        witness: what unlocks it.
        tx_id: hash of the body; the digest that signers sign.
        ref: ``tx_id ‖ witness hash``, 64 bytes.
        signers: keys whose signatures verified; None until somebody has verified them.
    """

    __slots__ = ("body", "ref", "signers", "tx_id", "wire", "witness")

    def __init__(self, wire: bytes, body: Body, witness: Witness, tx_id: TxId, ref: TxRef) -> None:
        self.wire = wire
        self.body = body
        self.witness = witness
        self.tx_id = tx_id
        self.ref = ref
        self.signers: frozenset[bytes] | None = None

    @classmethod
    def decode(cls, wire: bytes) -> Transaction:
        """The transaction that ``wire`` encodes; form only, nothing is verified against a state.

        Raises:
            MalformedBytes: not a transaction, not canonical, too long, or of an unknown version.
            InvalidTransaction: doubled inputs, unsorted or doubled signatures or preimages, a witness that is not of
                exactly the signers and preimages that the body names.
        """
        outer = _wire_codec.decode(wire)
        body = _body_codec.decode(outer.body)
        if body.version != VERSION:
            raise MalformedBytes(
                f"transaction version {body.version} is unknown; this node knows {VERSION}", code="version_unknown"
            )
        witness = _witness_codec.decode(outer.witness)
        _check_order(body, witness)
        tx_id = body_id(body.chain_id, outer.body)
        return cls(wire, body, witness, tx_id, TxRef(tx_id + witness_hash(body.chain_id, outer.witness)))

    @property
    def size_bytes(self) -> int:
        """Length of the canonical bytes."""
        return len(self.wire)


def _check_order(body: Body, witness: Witness) -> None:
    inputs = body.inputs
    if len(inputs) > 1 and len(set(inputs)) != len(inputs):
        raise InvalidTransaction("an outpoint is spent twice in one transaction", code="input_duplicate")
    signatures = witness.signatures
    if len(signatures) > 1 and any(a[0] >= b[0] for a, b in pairwise(signatures)):
        raise InvalidTransaction("signatures must be sorted by key, one for each key", code="signature_duplicate")
    preimages = witness.preimages
    if len(preimages) > 1 and any(a >= b for a, b in pairwise(preimages)):
        raise InvalidTransaction("preimages must be sorted and distinct", code="preimage_duplicate")
    _check_complete(body, witness)


def _check_complete(body: Body, witness: Witness) -> None:
    signers = [key for key, _ in witness.signatures]
    if body.cosigners or len(signers) != 1 or signers[0] != body.sender:
        cosigners = body.cosigners
        if any(a >= b for a, b in pairwise(cosigners)) or body.sender in cosigners:
            raise InvalidTransaction("cosigners must be sorted, distinct, and not the sender", code="signer_duplicate")
        wanted = {body.sender, *cosigners}
        if not wanted.issuperset(signers):
            raise InvalidTransaction("a signature is there that the body does not name", code="signature_superfluous")
        if len(signers) != len(wanted):
            raise InvalidTransaction(
                "a signature is missing: the sender and every cosigner sign", code="signature_missing"
            )
    if body.preimage_hashes or witness.preimages:
        if any(a >= b for a, b in pairwise(body.preimage_hashes)):
            raise InvalidTransaction("preimage hashes must be sorted and distinct", code="preimage_duplicate")
        if sorted(sha256(preimage).digest() for preimage in witness.preimages) != list(body.preimage_hashes):
            raise InvalidTransaction("the preimages are not those that the body names", code="preimage_wrong")


def body_id(chain_id: bytes, body_bytes: bytes) -> TxId:
    """Id of the transaction with these body bytes, and the digest that its signers sign."""
    return TxId(digest(b"tidegate/tx", chain_id, body_bytes))


def witness_hash(chain_id: bytes, witness_bytes: bytes) -> Hash32:
    """Hash of a witness' canonical bytes."""
    return digest(b"tidegate/witness", chain_id, witness_bytes)


def outpoint(tx_id: bytes, index: int) -> OutPoint:
    """Name of output ``index`` of a transaction: 36 bytes."""
    return OutPoint(tx_id + index.to_bytes(4, "big"))


def preimage_hash(preimage: bytes) -> str:
    """What a ``hash(…)`` lock compares: SHA-256 in hex."""
    return sha256(preimage).hexdigest()


def sign_body(body: Body, keys: Iterable[SigningKey]) -> tuple[tuple[bytes, bytes], ...]:
    """Signatures of ``keys`` over ``body``, sorted by key."""
    tx_id = body_id(body.chain_id, encode(body))
    return tuple(sorted({key.public: key.sign(tx_id) for key in keys}.items()))


def assemble(body: Body, signatures: Iterable[tuple[bytes, bytes]], preimages: Iterable[bytes] = ()) -> Transaction:
    """The transaction made of ``body`` and its witness parts, in canonical order.

    Raises:
        InvalidTransaction, MalformedBytes: as ``Transaction.decode``.
    """
    witness = Witness(tuple(sorted(set(signatures))), tuple(sorted(set(preimages))))
    return Transaction.decode(encode(_Wire(encode(body), encode(witness))))


def naming(body: Body, signers: Iterable[bytes], preimages: Iterable[bytes] = ()) -> Body:
    """``body`` with exactly these signers (its sender is one anyway) and preimages named."""
    return replace(
        body,
        cosigners=tuple(sorted(set(signers) - {body.sender})),
        preimage_hashes=tuple(sorted({sha256(preimage).digest() for preimage in preimages})),
    )


def build(body: Body, keys: Iterable[SigningKey], preimages: Iterable[bytes] = ()) -> Transaction:
    """Names ``keys`` and ``preimages`` in ``body``, signs it with them, and assembles the transaction.

    Raises:
        InvalidTransaction: ``signature_missing``: the sender's key, or that of a cosigner named already, is not among
            ``keys``; ``preimage_wrong``: the body names other preimages.
    """
    known, secrets = list(keys), list(preimages)
    named = naming(body, [*body.cosigners, *(key.public for key in known)], secrets)
    if body.preimage_hashes:
        named = replace(named, preimage_hashes=body.preimage_hashes)
    return assemble(named, sign_body(named, known), secrets)
