"""Proofs in files: one file that shows a header, a transaction or a state record to whoever has the genesis file.

They are evidence bundles (``node.evidence_bundle``) whose kinds are named here: JSON that a person can read, in one
form only, every byte of which counts. ``check`` is a hash of the rest: a proof that one key is absent may be as good
for another one, and what happened to a file on its way shall not pass as that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from ledger.block import OK, Header, block_id
from ledger.document import to_document
from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidInput, InvalidProof, PeerMisbehaved
from ledger.genesis import Genesis
from ledger.light_client import ClientState
from ledger.packet import HeaderProof
from ledger.proofs import (
    MAX_FOLLOWED,
    ChangeProof,
    StateProofAt,
    Step,
    TransactionProof,
    believe,
    change_codec,
    client_of,
    follow,
    header_proof_codec,
    state_codec,
    transaction_codec,
    verify_change,
    verify_state_at,
    verify_transaction,
)
from node.evidence_bundle import Bundle, content_of, read_bundle, refuse, write_bundle
from node.light import LightClient, ProofSource, ProvedAnswer, genesis_header, read_answer

KIND_HEADER: Final = "header_proof"
KIND_TRANSACTION: Final = "transaction_proof"
KIND_STATE: Final = "state_proof"
KIND_CHANGE: Final = "change_proof"
MAX_TRIES: Final = 4

_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Changes = Annotated[tuple[HeaderProof, ...], Meta(max_length=MAX_FOLLOWED)]


class HeaderFile(Record, frozen=True):
    """A header: ``changes`` hand over from the genesis file's set to the one that certified it."""

    changes: _Changes
    proof: HeaderProof
    check: _Hash


class TransactionFile(Record, frozen=True):
    """A transaction and its receipt; ``changes`` as in ``HeaderFile``."""

    changes: _Changes
    proof: TransactionProof
    check: _Hash


class StateFile(Record, frozen=True):
    """What a state record was at a checkpoint; ``changes`` as in ``HeaderFile``."""

    changes: _Changes
    proof: StateProofAt
    check: _Hash


class ChangeFile(Record, frozen=True):
    """What a block wrote under a state key; ``changes`` as in ``HeaderFile``."""

    changes: _Changes
    proof: ChangeProof
    check: _Hash


Proof = HeaderProof | TransactionProof | StateProofAt | ChangeProof
Content = HeaderFile | TransactionFile | StateFile | ChangeFile
KINDS: Final[dict[str, type[Content]]] = {
    KIND_HEADER: HeaderFile,
    KIND_TRANSACTION: TransactionFile,
    KIND_STATE: StateFile,
    KIND_CHANGE: ChangeFile,
}
_METHODS: Final[dict[str, tuple[str, Codec[Any]]]] = {
    KIND_HEADER: ("proof.header", header_proof_codec),
    KIND_TRANSACTION: ("proof.transaction", transaction_codec),
    KIND_STATE: ("proof.state", state_codec),
    KIND_CHANGE: ("proof.change", change_codec),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file proves.

    Attributes:
        kind: of the file.
        words: one sentence for people.
        header: that it leads to.
        facts: the same, for programs; JSON-able.
    """

    kind: str
    words: str
    header: Header
    facts: dict[str, Any]


# --- making ---------------------------------------------------------------------------------------------------------


async def fetch_proof(source: ProofSource, genesis: Genesis, kind: str, params: dict[str, Any]) -> bytes:
    """The file's bytes, verified.

    Args:
        source: a node, or a client of several.
        genesis: of the chain.
        kind: of ``KINDS``.
        params: of the RPC method: ``height``; ``tx_id``; ``key``.

    Raises:
        NotFound: as the method says.
        PeerMisbehaved: what the node gave proves nothing.
        TidegateError: as ``source.call``.
    """
    method, codec = _METHODS[kind]
    light, steps = LightClient(genesis), list[Step]()
    for _ in range(MAX_TRIES):
        await light.follow_changes(source, steps)
        known = steps[-1].proof.header.height if steps else 0
        answer = await _ask(source, method, params, known)
        height = _header_of(_decode(codec, answer.proof)).header.height
        if height <= known:
            # The sets that came after do not matter to a header before them.
            before = [step for step in steps if step.proof.header.height < height]
            answer = await _ask(source, method, params, before[-1].proof.header.height if before else 0)
        else:
            before = steps
        if answer.changes:
            continue
        data = write_proof(kind, genesis, tuple(step.proof for step in before), _decode(codec, answer.proof))
        try:
            shown = verify_proof(read_bundle(data), genesis)
        except InvalidInput as error:
            raise PeerMisbehaved(f"the node's proof is wrong: {error.message}", code=error.code) from error
        other = next((name for name, value in params.items() if shown.facts[name] != value), None)
        if other is not None:
            raise PeerMisbehaved(f"the node's proof is of another {other}", code="proof_other", field=other)
        return data
    raise PeerMisbehaved("the node says again and again that the set of validators changed", code="follow_stalled")


def write_proof(kind: str, genesis: Genesis, changes: tuple[HeaderProof, ...], proof: Any) -> bytes:
    """The file's bytes; nothing is verified.

    Args:
        kind: of ``KINDS``.
        genesis: of the chain.
        changes: headers that hand over from the genesis file's set to the one that certified the proof's header.
        proof: the kind's.
    """
    content = KINDS[kind](changes, proof, _check(kind, genesis, changes, proof))
    return write_bundle(kind, (genesis.hash,), content)


def _check(kind: str, genesis: Genesis, changes: tuple[HeaderProof, ...], proof: Proof) -> bytes:
    return digest(b"tidegate/proof-file", genesis.chain_id, kind.encode(), encode(changes), encode(proof))


async def _ask(source: ProofSource, method: str, params: dict[str, Any], known_height: int) -> ProvedAnswer:
    return read_answer(await source.call(method, {**params, "known_height": known_height}), ProvedAnswer)


def _decode(codec: Codec[Any], data: bytes) -> Any:
    try:
        return codec.decode(data)
    except InvalidInput as error:
        raise PeerMisbehaved(f"the node's proof does not decode: {error.message}", code="answer_malformed") from error


def _header_of(proof: Proof) -> HeaderProof:
    return proof if isinstance(proof, HeaderProof) else proof.header


# --- checking -------------------------------------------------------------------------------------------------------


def verify_file(data: bytes, genesis: Genesis) -> Shown:
    """What a file proves, without any node. Raises as ``verify_proof`` and ``read_bundle``."""
    return verify_proof(read_bundle(data), genesis)


def verify_proof(bundle: Bundle, genesis: Genesis) -> Shown:
    """What a file proves.

    Args:
        bundle: the file, read.
        genesis: of the chain, from a source that is trusted.

    Raises:
        InvalidProof: it proves nothing; the text and ``data["field"]`` name what is wrong.
        InvalidGenesis: the genesis asks for contracts that this program does not have.
    """
    kind = KINDS.get(bundle.kind)
    if kind is None:
        refuse("kind", f"{bundle.kind} is no kind of proof; there are {', '.join(KINDS)}", "bundle_kind_unknown")
    if bundle.genesis != (genesis.hash,):
        refuse("genesis", "this proof is of another chain's genesis file", "bundle_chain_other")
    content = content_of(bundle, kind)
    client = client_of(genesis, genesis_header(genesis))
    try:
        client = follow(client, content.changes)
    except InvalidInput as error:
        raise InvalidProof(f"changes: {error.message}", code=error.code, field="changes") from error
    try:
        shown = _show(bundle.kind, content.proof, client, genesis.name)
    except InvalidInput as error:
        raise InvalidProof(f"proof: {error.message}", code=error.code, field="proof") from error
    if content.check != _check(bundle.kind, genesis, content.changes, content.proof):
        refuse("check", "the file is not as it was written", "bundle_check_wrong")
    return shown


def _show(kind: str, proof: Proof, client: ClientState, chain: str) -> Shown:
    header = _header_of(proof).header
    facts: dict[str, Any] = {
        "chain": chain,
        "height": header.height,
        "block_id": block_id(header).hex(),
        "time": datetime.fromtimestamp(header.time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds"),
    }
    match proof:
        case TransactionProof():
            transaction, receipt = verify_transaction(proof, client)
            facts |= {
                "tx_id": transaction.tx_id.hex(),
                "index": proof.inclusion.index,
                "code": receipt.code,
                "transaction": to_document(transaction.body),
                "receipt": to_document(receipt),
            }
            became = "took effect" if receipt.code == OK else f"was refused ({receipt.code})"
            words = f"transaction {facts['tx_id']} is in block {header.height} of {chain} and {became}"
        case StateProofAt():
            value = verify_state_at(proof, client)
            facts |= {"key": proof.key.hex(), "value": _hex(value), "as_of_height": header.checkpoint_height}
            held = "held nothing" if value is None else f"held {len(value)} bytes"
            words = f"after block {header.checkpoint_height} of {chain} the state key {held}"
        case ChangeProof():
            value = verify_change(proof, client)
            facts |= {"key": proof.key.hex(), "value": _hex(value), "as_of_height": header.height}
            wrote = "deleted the state key" if value is None else f"wrote {len(value)} bytes under the state key"
            words = f"block {header.height} of {chain} {wrote}"
        case _:
            believe(client, proof)
            facts |= {"header": to_document(header)}
            words = f"block {header.height} of {chain} is {facts['block_id']}"
    return Shown(kind, words, header, facts)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
