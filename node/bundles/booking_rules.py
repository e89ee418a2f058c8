"""What must fit together in a bundle about a commission: agreement, booking, request, settlement, cancellation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from contracts.commission.amounts import agreement_hash, batch_hash, commission_of
from contracts.commission.calls import (
    AgreementSigned,
    Book,
    Booked,
    Cancelled,
    Correct,
    Propose,
    Settle,
    Settled,
    SettlementRequest,
)
from contracts.commission.records import BASE_PREMIUM, Agreement, Sale
from contracts.commission.state import (
    PolicyHead,
    RequestState,
    Tally,
    listed_key,
    policy_codec,
    policy_key,
    request_codec,
    request_state_codec,
    tally_codec,
    tally_key,
)
from contracts.flow.calls import moved_codec
from ledger.encoding import Codec
from ledger.transaction import MAX_CALL_BYTES
from node.bundles.chains import ProvedChain, ProvedStep, decoded
from node.bundles.supervision_rules import INCOMPLETE, MISMATCH
from node.evidence_bundle import refuse

PROPOSED: Final = "agreement_proposed"
COMPLETED: Final = "agreement_completed"
BOOKED: Final = "commission_booked"
CANCELLED: Final = "commission_cancelled"
REQUESTED: Final = "settlement_requested"
SETTLED: Final = "commission_settled"
_EVENTS: Final[dict[str, Codec[Any]]] = {
    PROPOSED: Codec(AgreementSigned, 4_096),
    COMPLETED: Codec(AgreementSigned, 4_096),
    BOOKED: Codec(Booked, 4_096),
    CANCELLED: Codec(Cancelled, 4_096),
    REQUESTED: request_codec,
    SETTLED: Codec(Settled, 4_096),
}
_propose_codec = Codec(Propose, MAX_CALL_BYTES)
_book_codec = Codec(Book, MAX_CALL_BYTES)
_correct_codec = Codec(Correct, MAX_CALL_BYTES)
_settle_codec = Codec(Settle, MAX_CALL_BYTES)


@dataclass(frozen=True, slots=True)
class Saying:
    """An event of a commission contract: address, record, and where it stands."""

    step: ProvedStep
    address: str
    said: Any


@dataclass(frozen=True, slots=True)
class CheckedBooking:
    """A booking whose evidence fits together; what there is none of is None.

    Attributes:
        address: of the commission contract.
        agreement: the version that it is booked under.
        proposed, completed: where that version was drafted and signed.
        booked: where it was booked.
        sale: that was booked.
        request: the settlement request that took it.
        settled: where that was settled.
        cancelled: where it was cancelled or corrected.
        flows: supervised flows of the settlement.
        head: the policy's record; ``head_height``: of its last change shown.
        state: the request's record.
        used: paths of the steps.
    """

    address: str
    agreement: Agreement
    proposed: Saying
    completed: Saying
    booked: Saying
    sale: Sale
    request: Saying | None
    settled: Saying | None
    cancelled: Saying | None
    flows: tuple[bytes, ...]
    head: PolicyHead
    head_height: int
    state: RequestState | None
    used: frozenset[str]


def sayings(chain: ProvedChain, name: str) -> list[Saying]:
    """The events of that name of all commission contracts, in the order of the chain."""
    return [
        Saying(step, event.contract, _EVENTS[name].decode(event.data))
        for step in chain.steps
        for event in step.receipt.events
        if event.name == name and chain.kind(event.contract) == "commission"
    ]


def check_booking(record: bytes, chain: ProvedChain) -> CheckedBooking:
    """Checks that the evidence about a booking fits together and that nothing of it is missing.

    Args:
        record: id of the booking: its transaction.
        chain: the business chain.

    Raises:
        InvalidProof: ``bundle_incomplete`` or ``bundle_mismatch``.
    """
    steps = f"{chain.path}.steps"
    booked = _one([each for each in sayings(chain, BOOKED) if each.said.record == record], steps, "the booking")
    said: Booked = booked.said
    if booked.step.tx_id != record:
        refuse(booked.step.path, "another transaction than the booking's", MISMATCH)
    proposed, completed, agreement = _agreement(chain, booked)
    sale = _sale(booked)
    base = sale.premium if agreement.base == BASE_PREMIUM else sale.amount_insured
    if commission_of(base, agreement.rate_ppm, agreement.rounding) != said.commission or sale.policy != said.policy:
        refuse(booked.step.path, "the commission is not what the agreement makes of the sale", MISMATCH)
    if agreement.platform.key not in booked.step.signers:
        refuse(booked.step.path, "the platform did not sign the booking", MISMATCH)
    request = _request(chain, booked)
    settled = None if request is None else _settled(chain, booked, request, agreement)
    cancelled = next((each for each in sayings(chain, CANCELLED) if each.said.record == record), None)
    head, head_height = _head(chain, booked, cancelled)
    state = _state(chain, booked, request, settled)
    parts = [proposed, completed, booked, *(each for each in (request, settled, cancelled) if each is not None)]
    return CheckedBooking(
        booked.address,
        agreement,
        proposed,
        completed,
        booked,
        sale,
        request,
        settled,
        cancelled,
        flows_of(chain, None if settled is None else settled.step),
        head,
        head_height,
        state,
        frozenset(each.step.path for each in parts),
    )


def flows_of(chain: ProvedChain, step: ProvedStep | None) -> tuple[bytes, ...]:
    """Supervised flows that a settlement's receipt speaks of."""
    if step is None:
        return ()
    found = [
        moved_codec.decode(event.data).flow
        for event in step.receipt.events
        if chain.kind(event.contract) == "flow" and event.name == "settled"
    ]
    return tuple(dict.fromkeys(found))


def _one(found: list[Saying], field: str, what: str) -> Saying:
    if not found:
        refuse(field, f"{what} is missing", INCOMPLETE)
    return found[0]


def _arguments(saying: Saying, methods: dict[str, Codec[Any]]) -> list[Any]:
    """Arguments of the calls of the commission contract in a step's transaction."""
    transaction = saying.step.transaction
    if transaction is None:
        refuse(f"{saying.step.path}.transaction", "left out, though it is needed", INCOMPLETE)
    return [
        decoded(methods[call.method], call.arguments, f"{saying.step.path}.transaction")
        for call in transaction.body.calls
        if call.contract == saying.address and call.method in methods
    ]


def _agreement(chain: ProvedChain, booked: Saying) -> tuple[Saying, Saying, Agreement]:
    said, steps = booked.said, f"{chain.path}.steps"
    name = (said.agreement, said.version)

    def about(event: str) -> list[Saying]:
        found = sayings(chain, event)
        return [each for each in found if (each.said.agreement, each.said.version) == name]

    completed = _one(about(COMPLETED), steps, f"the signature under version {said.version} of the agreement")
    drafts = [each for each in about(PROPOSED) if each.said.agreement_hash == completed.said.agreement_hash]
    proposed = _one(drafts, steps, f"the draft of version {said.version} of the agreement")
    for arguments in _arguments(proposed, {"propose": _propose_codec}):
        terms: Agreement = arguments.agreement
        if agreement_hash(chain.genesis.chain_id, proposed.address, terms) == completed.said.agreement_hash:
            break
    else:
        refuse(proposed.step.path, "the draft's text is not what was signed", MISMATCH)
    for side, name_of in ((terms.platform, "platform"), (terms.insurer, "insurer")):
        if side.key not in (*proposed.step.signers, *completed.step.signers):
            refuse(completed.step.path, f"the {name_of} did not sign the agreement", MISMATCH)
    if not completed.step.height < booked.step.height or completed.address != booked.address:
        refuse(booked.step.path, "booked before the agreement was signed, or under another contract", MISMATCH)
    return proposed, completed, terms


def _sale(booked: Saying) -> Sale:
    found: list[Book | Correct] = _arguments(booked, {"book": _book_codec, "correct": _correct_codec})
    if len(found) != 1:
        refuse(booked.step.path, "the transaction does not book one sale", MISMATCH)
    return found[0].sale


def _request(chain: ProvedChain, booked: Saying) -> Saying | None:
    said: Booked = booked.said
    for each in sayings(chain, REQUESTED):
        request: SettlementRequest = each.said
        if request.agreement != said.agreement or each.address != booked.address:
            continue
        if not any(item.outpoint == said.outpoint and item.amount == said.commission for item in request.items):
            continue
        expected = batch_hash(chain.genesis.chain_id, each.address, request.agreement, request.request, request.items)
        if request.batch_hash != expected or sum(item.amount for item in request.items) != request.amount:
            refuse(each.step.path, "batch hash or sum of the request is wrong", MISMATCH)
        return each
    return None


def _settled(chain: ProvedChain, booked: Saying, request: Saying, agreement: Agreement) -> Saying | None:
    name = (request.said.agreement, request.said.request)
    found = [
        each
        for each in sayings(chain, SETTLED)
        if (each.said.agreement, each.said.request) == name and each.address == request.address
    ]
    if not found:
        return None
    settled = found[0]
    said, path = settled.said, f"{settled.step.path}.transaction"
    arguments = _arguments(settled, {"settle": _settle_codec})
    transaction = settled.step.transaction
    assert transaction is not None
    if not any(each.request == said.request and each.batch_hash == request.said.batch_hash for each in arguments):
        refuse(path, "it settles another request", MISMATCH)
    if booked.said.outpoint not in transaction.body.inputs:
        refuse(path, "it does not spend the pending record", MISMATCH)
    payments = [output for output in transaction.body.outputs if output.asset == agreement.currency]
    if said.paid and not any(output.amount == said.paid for output in payments):
        refuse(path, "it does not pay what was settled", MISMATCH)
    if said.gross != request.said.amount or said.gross - said.clawed_back != said.paid - said.carried:
        refuse(settled.step.path, "what was paid is not the request net of clawbacks", MISMATCH)
    return settled


def _head(chain: ProvedChain, booked: Saying, cancelled: Saying | None) -> tuple[PolicyHead, int]:
    said: Booked = booked.said
    kept = chain.newest(booked.address, policy_key(said.agreement, said.policy))
    if kept is None or kept.value is None:
        refuse(f"{chain.path}.changes", "the policy's record is missing", INCOMPLETE)
    head = decoded(policy_codec, kept.value, f"{kept.path}.value")
    live = head.revision == said.revision and not head.cancelled
    if head.revision < said.revision or kept.height < booked.step.height:
        refuse(f"{kept.path}.height", "the policy's record is older than the booking", MISMATCH)
    if live and cancelled is not None:
        refuse(f"{kept.path}.value", "the policy's record is older than the cancellation", MISMATCH)
    if not live and cancelled is None:
        refuse(f"{chain.path}.steps", "the cancellation or correction of the booking is missing", INCOMPLETE)
    return head, kept.height


def _state(chain: ProvedChain, booked: Saying, request: Saying | None, settled: Saying | None) -> RequestState | None:
    said, changes, steps = booked.said, f"{chain.path}.changes", f"{chain.path}.steps"
    if request is None:
        kept = chain.newest(booked.address, tally_key(said.agreement))
        if kept is None or kept.value is None:
            refuse(changes, "the agreement's counters are missing", INCOMPLETE)
        tally: Tally = decoded(tally_codec, kept.value, f"{kept.path}.value")
        cancelled = any(each.said.record == said.record for each in sayings(chain, CANCELLED))
        if tally.requested >= said.sequence and not cancelled:
            refuse(steps, "the settlement request that took the booking is missing", INCOMPLETE)
        if kept.height < booked.step.height:
            refuse(f"{kept.path}.height", "the agreement's counters are older than the booking", MISMATCH)
        return None
    kept = chain.newest(booked.address, listed_key(b"s", said.agreement, request.said.request))
    if kept is None or kept.value is None:
        refuse(changes, "the settlement request's record is missing", INCOMPLETE)
    state: RequestState = decoded(request_state_codec, kept.value, f"{kept.path}.value")
    if state.batch_hash != request.said.batch_hash or kept.height < request.step.height:
        refuse(f"{kept.path}.value", "the record of another request, or an older one", MISMATCH)
    if state.settled_by and (settled is None or settled.step.tx_id != state.settled_by):
        refuse(steps, f"the settlement {state.settled_by.hex()} is missing", INCOMPLETE)
    if settled is not None and not state.settled_by:
        refuse(f"{kept.path}.value", "the request's record is older than its settlement", MISMATCH)
    return state
