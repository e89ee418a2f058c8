"""Evidence that a validator broke the protocol, complete in itself: whoever knows the set of that height can check it.

Three faults can be proved by what the validator signed (DESIGN.md 3): two different messages in one place, a proposal
that its own justification does not allow, and a COMMIT forgotten in a later ROUND-CHANGE. An honest validator never
signs any of these, so nobody can make evidence against it; whoever holds evidence need not be believed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, NoReturn, cast

from msgspec import Meta

from ledger.certificate import VoteKind, vote_digest
from ledger.encoding import Codec, Record, digest
from ledger.errors import InvalidProof, MalformedBytes
from ledger.justification import justification_flaw
from ledger.keys import key_text
from ledger.keys import verify as verify_signature
from ledger.types import Hash32
from ledger.validators import MAX_VALIDATORS, ValidatorSet
from ledger.votes import HashField, HeightField, Justification, KeyField, RoundField, SignatureField, justification_hash

MAX_PAYLOAD_BYTES: Final = 64
"""What a vote's signature covers beside its place; the longest is a proposal's: block id and justification hash."""
MAX_MISBEHAVIOUR_BYTES: Final = 4 * 1024 + MAX_VALIDATORS * 272
"""A justification holds a round change and a PREPARE of every validator; everything else is small."""
_BLOCK_ID_BYTES: Final = 32


class Fault(StrEnum):
    """What is proved; the names are those of ``consensus.effects.EvidenceKind``."""

    CONFLICTING_MESSAGES = "conflicting_messages"
    UNJUSTIFIED_PROPOSAL = "unjustified_proposal"
    FORGOTTEN_LOCK = "forgotten_lock"


class Statement(Record, frozen=True):
    """A signed vote without what its signature does not cover (``ledger.certificate.vote_digest``).

    Attributes:
        kind: message type, a ``VoteKind``.
        epoch: as signed.
        height: voted on.
        round: voted in.
        signer: validator.
        signature: its.
        payload: PREPARE, COMMIT: block id. PROPOSAL: block id and justification hash. ROUND-CHANGE: canonical bytes of
            prepared round and prepared id.
    """

    kind: Annotated[int, Meta(ge=0, le=int(max(VoteKind)))]
    epoch: HeightField
    height: HeightField
    round: RoundField
    signer: KeyField
    signature: SignatureField
    payload: Annotated[bytes, Meta(max_length=MAX_PAYLOAD_BYTES)]


class Misbehaviour(Record, frozen=True):
    """Evidence against one validator. One fault has one form: its canonical bytes name it.

    Attributes:
        fault: a ``Fault``.
        first: of conflicting messages the one with the lower payload; the unjustified proposal; the COMMIT.
        second: the other message; None for a proposal; the ROUND-CHANGE.
        justification: the proposal's; None for the other faults.
    """

    fault: Annotated[str, Meta(min_length=1, max_length=32)]
    first: Statement
    second: Statement | None
    justification: Justification | None

    @property
    def signer(self) -> bytes:
        """Who is accused."""
        return self.first.signer

    @property
    def height(self) -> int:
        """Of the messages; the set of this height judges them."""
        return self.first.height

    @property
    def epoch(self) -> int:
        """As signed."""
        return self.first.epoch


misbehaviour_codec = Codec(Misbehaviour, MAX_MISBEHAVIOUR_BYTES, "evidence of misbehaviour")
_claim_codec: Codec[tuple[int | None, bytes | None]] = Codec(
    cast("Any", tuple[RoundField | None, HashField | None]), MAX_PAYLOAD_BYTES, "prepared round and block"
)


def misbehaviour_id(chain_id: bytes, evidence: Misbehaviour) -> Hash32:
    """Names a piece of evidence: 32 bytes."""
    return digest(b"tidegate/misbehaviour", chain_id, misbehaviour_codec.encode(evidence))


def check(
    evidence: Misbehaviour,
    chain_id: bytes,
    epoch: int,
    validators: ValidatorSet,
    verify: Callable[[bytes, bytes, bytes], bool] = verify_signature,
) -> None:
    """Checks that ``evidence`` proves its fault.

    Args:
        evidence: from anybody.
        chain_id: of the chain whose validator is accused.
        epoch: number of the epoch that the evidence's height lies in.
        validators: the set of that height.
        verify: checks one signature.

    Raises:
        InvalidProof: ``misbehaviour_*``; ``data["field"]`` names what is wrong.
    """
    if evidence.epoch != epoch:
        _refuse("epoch_wrong", "first.epoch", f"the messages are of epoch {evidence.epoch}, the height of {epoch}")
    if evidence.height < 1:
        _refuse("height_wrong", "first.height", "nobody votes on the genesis block")
    if evidence.signer not in validators:
        _refuse("signer_unknown", "first.signer", "the accused was no validator at that height")
    match evidence.fault:
        case Fault.CONFLICTING_MESSAGES:
            _check_conflict(evidence)
        case Fault.UNJUSTIFIED_PROPOSAL:
            _check_proposal(evidence, chain_id, validators)
        case Fault.FORGOTTEN_LOCK:
            _check_forgotten(evidence)
        case unknown:
            _refuse("fault_unknown", "fault", f"there is no fault {unknown!r}")
    # Last, since it costs most: whatever is refused above costs next to nothing.
    _check_signature(evidence.first, chain_id, "first", verify)
    if evidence.second is not None:
        _check_signature(evidence.second, chain_id, "second", verify)


def describe(evidence: Misbehaviour) -> str:
    """The fault in words, for people; meaningful once ``check`` has passed."""
    first, kind = evidence.first, VoteKind(evidence.first.kind).name.replace("_", "-")
    who, where = key_text(first.signer), f"height {first.height}, round {first.round}"
    match evidence.fault:
        case Fault.CONFLICTING_MESSAGES:
            return f"{who} signed two different {kind} messages at {where}"
        case Fault.UNJUSTIFIED_PROPOSAL:
            return f"{who} signed a proposal at {where} that the justification signed with it does not allow"
        case _:
            later = "?" if evidence.second is None else evidence.second.round
            return f"{who} signed a COMMIT at {where}, and in the ROUND-CHANGE to round {later} claimed to have none"


def _refuse(code: str, field: str, words: str) -> NoReturn:
    raise InvalidProof(words, code=f"misbehaviour_{code}", field=field)


def _check_signature(
    statement: Statement, chain_id: bytes, field: str, verify: Callable[[bytes, bytes, bytes], bool]
) -> None:
    signed = vote_digest(
        chain_id, statement.epoch, VoteKind(statement.kind), statement.height, statement.round, statement.payload
    )
    if not verify(statement.signer, signed, statement.signature):
        _refuse("signature_invalid", f"{field}.signature", "the accused did not sign this, or not on this chain")


def _second(evidence: Misbehaviour) -> Statement:
    """The second message, which must be of the same validator, height and epoch."""
    first, second = evidence.first, evidence.second
    if second is None:
        _refuse("incomplete", "second", "the second message is missing")
    if evidence.justification is not None:
        _refuse("superfluous", "justification", "two messages need no justification")
    for field in ("signer", "height", "epoch"):
        if getattr(first, field) != getattr(second, field):
            _refuse("unrelated", f"second.{field}", f"the messages differ in their {field}")
    return second


def _check_conflict(evidence: Misbehaviour) -> None:
    first, second = evidence.first, _second(evidence)
    for field in ("kind", "round"):
        if getattr(first, field) != getattr(second, field):
            _refuse("unrelated", f"second.{field}", f"the messages differ in their {field}")
    if first.payload == second.payload:
        _refuse("no_conflict", "second.payload", "both messages say the same")
    if first.payload > second.payload:
        _refuse("order_wrong", "second.payload", "the message with the lower payload comes first")


def _check_proposal(evidence: Misbehaviour, chain_id: bytes, validators: ValidatorSet) -> None:
    """The signature covers the justification's hash, so the rule alone decides, whatever the inner signatures are."""
    statement, justification = evidence.first, evidence.justification
    if evidence.second is not None:
        _refuse("superfluous", "second", "a proposal is judged alone")
    if justification is None:
        _refuse("incomplete", "justification", "the justification is missing")
    if statement.kind != VoteKind.PROPOSAL:
        _refuse("unrelated", "first.kind", "only a proposal is justified")
    block_id, named = statement.payload[:_BLOCK_ID_BYTES], statement.payload[_BLOCK_ID_BYTES:]
    if named != justification_hash(chain_id, justification):
        _refuse("justification_wrong", "justification", "this is not the justification that the proposal names")
    if justification_flaw(justification, statement.round, block_id, validators) is None:
        _refuse("justified", "justification", "the proposal is justified")


def _check_forgotten(evidence: Misbehaviour) -> None:
    commit, change = evidence.first, _second(evidence)
    if commit.kind != VoteKind.COMMIT:
        _refuse("unrelated", "first.kind", "the first message is no COMMIT")
    if change.kind != VoteKind.ROUND_CHANGE:
        _refuse("unrelated", "second.kind", "the second message is no ROUND-CHANGE")
    if change.round <= commit.round:
        _refuse("no_conflict", "second.round", "the ROUND-CHANGE is not of a later round than the COMMIT")
    try:
        prepared_round, _ = _claim_codec.decode(change.payload)
    except MalformedBytes as error:
        raise InvalidProof(error.message, code="misbehaviour_malformed", field="second.payload") from error
    if prepared_round is not None and prepared_round >= commit.round:
        _refuse("no_conflict", "second.payload", "the ROUND-CHANGE says what was prepared then, or later")
