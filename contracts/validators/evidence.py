"""What validators did wrong, as proved and recorded on chain: governance acts on it (DESIGN.md 3).

Whoever is admitted may report: the evidence proves itself. A fault is recorded once for its validator, height and kind,
and only so many for one validator, since it could make new evidence against itself at every height.

Records: ``xn ‖ u64 number`` → ``EvidenceRecord``; ``xi ‖ id`` → number; ``xp ‖ signer ‖ u64 height ‖ u8 fault`` →
number; ``xk ‖ signer`` → u16 how many; ``xc`` → u64 last number.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.codes import Refusal
from contracts.interface import CallContext, EndContext
from contracts.validators.records import EpochRecord, Height, Key, epoch_codec
from contracts.validators.schedule import EPOCH_PREFIX, epoch_key
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput, NotFound
from ledger.misbehaviour import MAX_MISBEHAVIOUR_BYTES, Fault, Misbehaviour, check, misbehaviour_id
from ledger.state import StateReader, contract_prefix
from ledger.types import PublicKey
from ledger.validators import ValidatorSet

EVIDENCE_REFUSED: Final = "validators_evidence_refused"
EVIDENCE_EARLY: Final = "validators_evidence_early"
EVIDENCE_KNOWN: Final = "validators_evidence_known"
EVIDENCE_ENOUGH: Final = "validators_evidence_enough"
RECORDED_EVENT: Final = "misbehaviour_recorded"

MAX_RECORDED_PER_SIGNER: Final = 64
MAX_PAGE: Final = 100
_FAULTS: Final = tuple(fault.value for fault in Fault)

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Word = Annotated[str, Meta(min_length=1, max_length=32)]


class EvidenceSummary(Record, frozen=True):
    """Who did what, where; also the event ``misbehaviour_recorded`` and the result of ``report``.

    Attributes:
        number: counts the chain's recorded faults from 1.
        id: ``ledger.misbehaviour.misbehaviour_id``.
        fault: a ``ledger.misbehaviour.Fault``.
        signer: the validator.
        height: of what it signed.
        round: of the first message.
        reporter: who brought it; no part of the proof.
        recorded_at: height of the block that recorded it.
    """

    number: Number
    id: Hash
    fault: Word
    signer: Key
    height: Height
    round: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    reporter: Key
    recorded_at: Height


class EvidenceRecord(Record, frozen=True):
    """A recorded fault with its proof."""

    summary: EvidenceSummary
    evidence: Misbehaviour


class EvidenceQuery(Record, frozen=True):
    """Names recorded evidence by its id."""

    id: Hash


class EvidencePageQuery(Record, frozen=True):
    """Recorded evidence numbered above ``after``."""

    after: Number
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class EvidencePage(Record, frozen=True):
    """Recorded evidence by number."""

    evidence: tuple[EvidenceSummary, ...]


record_codec = Codec(EvidenceRecord, MAX_MISBEHAVIOUR_BYTES + 1_024, "recorded evidence")


def report(context: CallContext, evidence: Misbehaviour) -> EvidenceSummary:
    """Records ``evidence`` once it is found to prove its fault against the set of its height.

    Refuses with ``validators_evidence_refused`` (the words say why), ``validators_evidence_early`` (its height is not
    this block's or an earlier one), ``validators_evidence_known``, ``validators_evidence_enough``.
    """
    signer, height, state = evidence.signer, evidence.height, context.state
    if height > context.block.height:
        raise Refusal(EVIDENCE_EARLY, f"evidence of height {height} waits for that block")
    place = _place(evidence)
    if state.get(place) is not None:
        raise Refusal(EVIDENCE_KNOWN, "this fault of the validator at this height is recorded already")
    epoch = _epoch_of(context, height)
    try:
        check(evidence, context.block.chain_id, epoch.number, ValidatorSet(PublicKey(key) for key in epoch.keys))
    except InvalidInput as error:
        raise Refusal(EVIDENCE_REFUSED, f"{error.message} [{error.code}]") from error
    count = _number(state.get(b"xk" + signer)) + 1
    if count > MAX_RECORDED_PER_SIGNER:
        raise Refusal(EVIDENCE_ENOUGH, f"{MAX_RECORDED_PER_SIGNER} faults of this validator are recorded")
    number = _number(state.get(b"xc")) + 1
    name = misbehaviour_id(context.block.chain_id, evidence)
    summary = EvidenceSummary(
        number,
        name,
        evidence.fault,
        signer,
        height,
        evidence.first.round,
        context.sender.key,
        context.block.height,
    )
    key = number.to_bytes(8, "big")
    state.put(b"xn" + key, encode(EvidenceRecord(summary, evidence)))
    state.put(b"xi" + name, key)
    state.put(place, key)
    state.put(b"xk" + signer, count.to_bytes(2, "big"))
    state.put(b"xc", key)
    context.emit(RECORDED_EVENT, summary)
    return summary


def recorded(state: StateReader, address: str, evidence: Misbehaviour) -> bool:
    """Whether this fault of this validator at this height is on chain, or so many others that none is taken any more.

    Args:
        state: of the chain.
        address: of its contract ``validators``.
        evidence: any.
    """
    prefix = contract_prefix(address)
    return (
        state.get(prefix + _place(evidence)) is not None
        or _number(state.get(prefix + b"xk" + evidence.signer)) >= MAX_RECORDED_PER_SIGNER
    )


def count(state: StateReader, address: str) -> int:
    """How many faults are on chain, by the contract ``validators`` at ``address``."""
    return _number(state.get(contract_prefix(address) + b"xc"))


def latest(state: StateReader, address: str, limit: int) -> tuple[EvidenceRecord, ...]:
    """At most ``limit`` recorded faults, newest first."""
    prefix, last = contract_prefix(address) + b"xn", count(state, address)
    found = (state.get(prefix + number.to_bytes(8, "big")) for number in range(last, max(0, last - limit), -1))
    return tuple(record_codec.decode(data) for data in found if data is not None)


def find(context: EndContext, name: bytes) -> EvidenceRecord:
    """Recorded evidence by its id. Raises ``NotFound``."""
    number = context.state.get(b"xi" + name)
    data = None if number is None else context.state.get(b"xn" + number)
    if data is None:
        raise NotFound(f"there is no evidence {name.hex()} on chain")
    return record_codec.decode(data)


def page(context: EndContext, query: EvidencePageQuery) -> EvidencePage:
    """Recorded evidence in order."""
    start = b"xn" + (query.after + 1).to_bytes(8, "big")
    rows = context.state.iterate(b"xn", start=start, limit=query.limit)
    return EvidencePage(tuple(record_codec.decode(data).summary for _, data in rows))


def _epoch_of(context: EndContext, height: int) -> EpochRecord:
    for _, data in context.state.iterate(EPOCH_PREFIX, start=epoch_key(height), limit=1):
        return epoch_codec.decode(data)
    raise Refusal(EVIDENCE_REFUSED, f"nobody decided height {height}")


def _place(evidence: Misbehaviour) -> bytes:
    # A fault that is none is refused by ``check``; here it only needs a place of its own.
    fault = _FAULTS.index(evidence.fault) if evidence.fault in _FAULTS else len(_FAULTS)
    return b"xp" + evidence.signer + evidence.height.to_bytes(8, "big") + bytes([fault])


def _number(data: bytes | None) -> int:
    return 0 if data is None else int.from_bytes(data, "big")
