"""RPC methods for clients in any language: a transaction's canonical bytes from JSON, and its parts put together.

The node fills in what the client left out and encodes; it sees no key. What is signed can be recomputed from the body's
bytes alone, as docs/rpc.md shows.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from contracts.rules import verify_signatures
from ledger.document import from_document, to_document
from ledger.encoding import Codec, encode
from ledger.errors import InvalidInput, InvalidTransaction, NotFound
from ledger.keys import key_text, parse_key
from ledger.lock import parse_lock
from ledger.transaction import (
    MAX_CALLS,
    MAX_INPUTS,
    MAX_OUTPUTS,
    MAX_PREIMAGES,
    MAX_SIGNATURES,
    MAX_TRANSACTION_BYTES,
    VERSION,
    Attachment,
    Body,
    Call,
    Output,
    Transaction,
    assemble,
    body_id,
)
from ledger.types import MAX_AMOUNT
from node.chain import Chain
from node.rpc.fields import Hash, Height, HexBytes, KeyText, Outpoint, TxIdHex, WireHex, unhex
from node.rpc.method import Method, Params, Result, Scope

SIGN_TAG: Final = "tidegate/tx"
EXAMPLE_KEY: Final = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"""The public key of RFC 8032's first test vector."""
_body_codec = Codec(Body, MAX_TRANSACTION_BYTES, "transaction body")


class PreparedOutput(Params, frozen=True):
    """An amount of an asset under a lock."""

    asset: Annotated[str, Meta(min_length=1, max_length=64, description="Name of a defined asset.")]
    amount: Annotated[int, Meta(ge=1, le=MAX_AMOUNT, description="Minor units.")]
    lock: Annotated[str, Meta(min_length=1, max_length=2_048, description="Canonical lock text.")]


class PreparedCall(Params, frozen=True):
    """A call of a contract's method.

    Attributes:
        contract: address of the contract instance.
        method: as `contract.describe` lists it.
        arguments: the argument record as an object, or its canonical bytes in hex.
    """

    contract: Annotated[str, Meta(min_length=1, max_length=64)]
    method: Annotated[str, Meta(min_length=1, max_length=64)]
    arguments: HexBytes | dict[str, Any] = msgspec.field(default_factory=dict)


class PreparedAttachment(Params, frozen=True):
    """A document that is kept beside the state.

    Attributes:
        digest: SHA-256 of its bytes.
        size_bytes: its length.
        retention: retention class.
    """

    digest: Hash
    size_bytes: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    retention: Annotated[int, Meta(ge=0, le=255)] = 0


class PrepareParams(Params, frozen=True):
    """What a transaction is to say. Everything but the sender may be left out.

    Attributes:
        sender: key that answers for the transaction and signs it.
        cosigners: further keys that sign: owners of inputs, parties of calls.
        expiry_height: last block that it may be in; half of the chain's window ahead when left out.
        nonce: 16 bytes in hex, different for each transaction; random when left out.
        inputs: outpoints to spend.
        outputs: what to make of them.
        calls: of contracts.
        attachments: documents committed to by hash.
        memo: at most 256 bytes in hex.
        preimage_hashes: SHA-256 of each preimage that the inputs' locks ask for.
    """

    sender: KeyText
    cosigners: Annotated[tuple[KeyText, ...], Meta(max_length=MAX_SIGNATURES - 1)] = ()
    expiry_height: Height | None = None
    nonce: Annotated[str, Meta(min_length=32, max_length=32, pattern="^[0-9a-f]{32}$")] | None = None
    inputs: Annotated[tuple[Outpoint, ...], Meta(max_length=MAX_INPUTS)] = ()
    outputs: Annotated[tuple[PreparedOutput, ...], Meta(max_length=MAX_OUTPUTS)] = ()
    calls: Annotated[tuple[PreparedCall, ...], Meta(max_length=MAX_CALLS)] = ()
    attachments: Annotated[tuple[PreparedAttachment, ...], Meta(max_length=16)] = ()
    memo: Annotated[str, Meta(max_length=512, pattern="^(?:[0-9a-f]{2})*$")] = ""
    preimage_hashes: Annotated[tuple[Hash, ...], Meta(max_length=MAX_PREIMAGES)] = ()


class Prepared(Result, frozen=True):
    """A transaction's body, ready to be signed.

    Attributes:
        body: canonical bytes in hex; check them before signing, or recompute them.
        tx_id: the 32 bytes that each signer signs with Ed25519; hash of the body's bytes as docs/rpc.md says.
        sign_tag: domain tag that the hash begins with.
        chain_id: chain id that the hash contains.
        signers: keys whose signatures `tx.assemble` needs, all of them.
        expiry_height: last block that it may be in.
        nonce: as given or chosen.
        document: what the bytes say, as an object.
    """

    body: HexBytes
    tx_id: TxIdHex
    sign_tag: str
    chain_id: Hash
    signers: list[KeyText]
    expiry_height: Height
    nonce: str
    document: dict[str, Any]


class Signature(Params, frozen=True):
    """A signature over a transaction id.

    Attributes:
        key: public key of the signer.
        signature: 64 bytes of Ed25519 in hex.
    """

    key: KeyText
    signature: Annotated[str, Meta(min_length=128, max_length=128, pattern="^[0-9a-f]{128}$")]


class AssembleParams(Params, frozen=True):
    """A body and what its signers gave.

    Attributes:
        body: canonical bytes from `tx.prepare`, or made elsewhere.
        signatures: one of each signer.
        preimages: of the hashes that the body names.
    """

    body: WireHex
    signatures: Annotated[list[Signature], Meta(min_length=1, max_length=MAX_SIGNATURES)]
    preimages: Annotated[
        tuple[Annotated[str, Meta(min_length=2, max_length=128, pattern="^(?:[0-9a-f]{2})*$")], ...],
        Meta(max_length=MAX_PREIMAGES),
    ] = ()


class Assembled(Result, frozen=True):
    """A signed transaction, for `tx.submit`."""

    transaction: WireHex
    tx_id: TxIdHex


class PrepareMethods:
    """``tx.prepare`` and ``tx.assemble``.

    Args:
        chain: committed chain.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def table(self) -> tuple[Method, ...]:
        """See ``Area``."""
        return (
            Method(
                name="tx.prepare",
                scope=Scope.READ,
                summary="Makes a transaction's canonical bytes from JSON and says what to sign; nothing is handed in.",
                params=PrepareParams,
                result=Prepared,
                call=self._prepare,
                errors=(
                    "contract_unknown",
                    "method_unknown",
                    "document_invalid",
                    "arguments_invalid",
                    "lock_invalid",
                    "key_invalid",
                    "signer_duplicate",
                    "input_duplicate",
                    "oversized",
                ),
                cost=3,
                example={"sender": EXAMPLE_KEY, "expiry_height": 100, "nonce": "00" * 16, "memo": "6869"},
                steady=True,
            ),
            Method(
                name="tx.assemble",
                scope=Scope.READ,
                summary="Puts a body and its signatures together and checks them; nothing is handed in.",
                params=AssembleParams,
                result=Assembled,
                call=self._assemble,
                errors=(
                    "malformed",
                    "non_canonical",
                    "oversized",
                    "version_unknown",
                    "chain_wrong",
                    "signature_invalid",
                    "signature_missing",
                    "signature_superfluous",
                    "signature_duplicate",
                    "signer_duplicate",
                    "preimage_wrong",
                    "preimage_duplicate",
                    "input_duplicate",
                ),
                cost=3,
                example={"body": "90", "signatures": [{"key": EXAMPLE_KEY, "signature": "00" * 64}]},
                live_example=self._some_parts,
                steady=True,
            ),
        )

    async def _prepare(self, params: PrepareParams) -> Prepared:
        tip = self._chain.tip.height
        expiry = params.expiry_height
        if expiry is None:
            expiry = tip + max(1, self._chain.parameters.expiry_window // 2)
        sender = parse_key(params.sender)
        cosigners = sorted({bytes(parse_key(key)) for key in params.cosigners} - {bytes(sender)})
        inputs = tuple(unhex(item, "inputs") for item in params.inputs)
        if len(set(inputs)) != len(inputs):
            raise InvalidTransaction("an outpoint is spent twice in one transaction", code="input_duplicate")
        body = Body(
            version=VERSION,
            chain_id=self._chain.chain_id,
            sender=sender,
            expiry_height=expiry,
            nonce=secrets.token_bytes(16) if params.nonce is None else unhex(params.nonce, "nonce"),
            inputs=inputs,
            outputs=tuple(Output(item.asset, item.amount, _lock(item.lock)) for item in params.outputs),
            calls=tuple(self._call(call) for call in params.calls),
            attachments=tuple(
                Attachment(unhex(item.digest, "digest"), item.size_bytes, item.retention) for item in params.attachments
            ),
            memo=unhex(params.memo, "memo"),
            cosigners=tuple(cosigners),
            preimage_hashes=tuple(sorted({unhex(item, "preimage_hashes") for item in params.preimage_hashes})),
        )
        data = encode(body)
        _body_codec.decode(data)  # what does not decode must not be signed
        return Prepared(
            body=data.hex(),
            tx_id=body_id(body.chain_id, data).hex(),
            sign_tag=SIGN_TAG,
            chain_id=body.chain_id.hex(),
            signers=[key_text(sender), *(key_text(key) for key in body.cosigners)],
            expiry_height=body.expiry_height,
            nonce=body.nonce.hex(),
            document=to_document(body),
        )

    def _call(self, call: PreparedCall) -> Call:
        instance = self._chain.rules.contracts.get(call.contract)
        if instance is None:
            known = ", ".join(self._chain.rules.contracts)
            raise NotFound(f"there is no contract {call.contract!r}; there are {known}", code="contract_unknown")
        method = instance.methods.get(call.method)
        if method is None:
            known = ", ".join(instance.methods)
            raise NotFound(f"{call.contract} has no method {call.method!r}; it has {known}", code="method_unknown")
        if isinstance(call.arguments, str):
            data = unhex(call.arguments, "arguments")
        else:
            try:
                data = encode(from_document(call.arguments, method.arguments_type))
            except UnicodeEncodeError as error:
                raise InvalidInput(f"arguments: {error.reason}", code="document_invalid") from error
        method.arguments.decode(data)
        return Call(call.contract, call.method, data)

    async def _assemble(self, params: AssembleParams) -> Assembled:
        body = _body_codec.decode(unhex(params.body, "body"))
        if body.chain_id != self._chain.chain_id:
            raise InvalidTransaction("the body is for another chain", code="chain_wrong")
        found: dict[bytes, bytes] = {}
        for item in params.signatures:
            key = bytes(parse_key(item.key))
            # The suite byte stands before the key and before the signature alike.
            signature = key[:1] + unhex(item.signature, "signature")
            if found.setdefault(key, signature) != signature:
                raise InvalidTransaction(f"two signatures of {item.key}", code="signature_duplicate")
        preimages = [unhex(item, "preimages") for item in params.preimages]
        transaction = assemble(body, found.items(), preimages)
        verify_signatures(transaction)
        return Assembled(transaction=transaction.wire.hex(), tx_id=transaction.tx_id.hex())

    async def _some_parts(self) -> dict[str, Any] | None:
        """Body and signatures of the last small transaction that is in a block."""
        tip = self._chain.tip.height
        for height in range(tip, max(0, tip - 64), -1):
            for wire in self._chain.store.transactions(height):
                found = Transaction.decode(wire)
                if len(wire) < 4_096 and not found.witness.preimages:
                    return {"body": encode(found.body).hex(), "signatures": _signatures(found.witness.signatures)}
        return None


def _lock(text: str) -> str:
    parse_lock(text)
    return text


def _signatures(pairs: Sequence[tuple[bytes, bytes]]) -> list[dict[str, str]]:
    return [{"key": key_text(key), "signature": signature[1:].hex()} for key, signature in pairs]
