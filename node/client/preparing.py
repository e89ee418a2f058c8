"""Transactions from plain values: a node checks and encodes, and the client signs only what it made itself as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.document import from_document
from ledger.encoding import Record, encode
from ledger.errors import InvalidInput, LocalMisuse, PeerMisbehaved
from ledger.genesis import Genesis
from ledger.keys import key_text
from ledger.lock import parse_lock
from ledger.transaction import Attachment, Body, Call, Output, body_id


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call of a contract's method, before it is encoded.

    Attributes:
        contract: address.
        method: its method.
        arguments: the argument record, its canonical bytes, or a document (fields by name, bytes in hex).
    """

    contract: str
    method: str
    arguments: Record | bytes | Mapping[str, Any]


def encode_call(call: NewCall, genesis: Genesis) -> Call:
    """The call as it stands in a transaction.

    Raises:
        InvalidInput: ``contract_unknown``, ``method_unknown``, ``document_invalid``; bytes that are no such record.
    """
    from contracts.builtin import KINDS  # noqa: PLC0415 - a quarter of a second, for those who need it

    kinds = {doc.address: doc.kind for doc in genesis.contracts}
    kind = KINDS.get(kinds.get(call.contract, ""))
    if kind is None:
        raise InvalidInput(f"the chain has no contract {call.contract!r}", code="contract_unknown")
    method = kind.methods.get(call.method)
    if method is None:
        known = ", ".join(kind.methods)
        raise InvalidInput(f"{call.contract} has no method {call.method!r}; it has {known}", code="method_unknown")
    if isinstance(call.arguments, bytes):
        data = call.arguments
    elif isinstance(call.arguments, Record):
        data = encode(call.arguments)
    else:
        data = encode(from_document(dict(call.arguments), method.arguments_type))
    method.arguments.decode(data)
    return Call(call.contract, call.method, data)


def question_of(body: Body) -> dict[str, Any]:
    """Parameters of ``tx.prepare`` that ask for this body."""
    return {
        "sender": key_text(body.sender),
        "cosigners": [key_text(key) for key in body.cosigners],
        "expiry_height": body.expiry_height,
        "nonce": body.nonce.hex(),
        "inputs": [item.hex() for item in body.inputs],
        "outputs": [{"asset": out.asset, "amount": out.amount, "lock": out.lock} for out in body.outputs],
        "calls": [
            {"contract": call.contract, "method": call.method, "arguments": call.arguments.hex()} for call in body.calls
        ],
        "attachments": [
            {"digest": item.digest.hex(), "size_bytes": item.size_bytes, "retention": item.retention}
            for item in body.attachments
        ],
        "memo": body.memo.hex(),
        "preimage_hashes": [item.hex() for item in body.preimage_hashes],
    }


def check_prepared(body: Body, data: bytes, tx_id: bytes) -> None:
    """Compares what a node prepared with what the client made.

    Raises:
        PeerMisbehaved: ``prepare_differs``: they are not the same; ``data["field"]`` names the first that is not.
    """
    own = encode(body)
    if data == own and tx_id == body_id(body.chain_id, own):
        return
    field = "tx_id"
    if data != own:
        field = "body"
        try:
            from msgspec.msgpack import decode  # noqa: PLC0415

            other = decode(data, type=Body)
            field = next((n for n in Body.__struct_fields__ if getattr(other, n) != getattr(body, n)), "body")
        except ValueError:
            pass
    raise PeerMisbehaved(
        f"the node prepared another transaction than was asked for: {field} differs; nothing was signed",
        code="prepare_differs",
        field=field,
    )


def new_body(
    genesis: Genesis,
    sender: bytes,
    *,
    expiry_height: int,
    nonce: bytes,
    calls: Sequence[NewCall] = (),
    inputs: Sequence[bytes] = (),
    outputs: Sequence[Output] = (),
    attachments: Sequence[Attachment] = (),
    memo: bytes = b"",
    cosigners: Sequence[bytes] = (),
    preimage_hashes: Sequence[bytes] = (),
) -> Body:
    """A body in canonical order, made without any node.

    Raises:
        InvalidInput: as ``encode_call``; ``lock_invalid``.
        LocalMisuse: the nonce is not 16 bytes.
    """
    if len(nonce) != 16:
        raise LocalMisuse("a nonce has 16 bytes")
    return Body(
        version=1,
        chain_id=genesis.chain_id,
        sender=sender,
        expiry_height=expiry_height,
        nonce=nonce,
        inputs=tuple(inputs),
        outputs=tuple(Output(out.asset, out.amount, str(parse_lock(out.lock))) for out in outputs),
        calls=tuple(encode_call(call, genesis) for call in calls),
        attachments=tuple(attachments),
        memo=memo,
        cosigners=tuple(sorted(set(cosigners) - {sender})),
        preimage_hashes=tuple(sorted(set(preimage_hashes))),
    )
