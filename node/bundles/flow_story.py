"""Tells what a checked flow's evidence shows, in words, each thing with the step that proves it."""

from __future__ import annotations

from typing import Final

from contracts.flow import calls
from contracts.flow.calls import Moved, PaymentRequested
from contracts.governance.policies import AUTHORITIES, OFFICERS, keys_of
from contracts.messages import AUTHORISED, REFUSED, Control, Decision, Grant, StageRefusal, StageRequest
from contracts.supervision.calls import DISCLOSED_EVENT, EXPIRED_EVENT, HELD_EVENT, SIGNED_EVENT, Disclosure
from ledger.envelope import envelope_codec
from ledger.errors import InvalidInput
from ledger.lock import parse_lock
from node.bundles.chains import ProvedChain, ProvedStep
from node.bundles.flow_events import Move, Sent, Told
from node.bundles.flow_rules import CheckedFlow
from node.bundles.story import Item, amount_text, item_of, time_text, who

_TITLES: Final = {
    calls.FILED: "The document was filed",
    calls.AUTHORISED: "The filing was authorised; the document is known by its authorisation hash from now on",
    calls.REFUSED: "The stage {stage} was refused",
    calls.REVIEW_REQUESTED: "A reviewer asked to review the document",
    calls.REVIEW_GRANTED: "The review was granted",
    calls.RELEASED: "The document was released to its reviewer",
    calls.OPINION_GIVEN: "The reviewer gave an opinion",
    calls.OPINION_CONFIRMED: "The opinion was confirmed and stored",
    calls.ORDER_REQUESTED: "The patient asked to order",
    calls.ORDER_GRANTED: "The order was granted",
    calls.ORDER_PLACED: "The order was placed",
    calls.ORDER_ACCEPTED: "The pharmacy accepted the order",
    calls.PAYMENT_REQUESTED: "The pharmacy priced the order and asked for payment",
    calls.SETTLED: "It was settled",
    calls.SETTLEMENT_STORED: "The settlement record was stored by the authorities",
    calls.DELIVERED: "It was delivered; the flow is closed",
    calls.SUSPENDED: "The flow was suspended by the regulator",
    calls.RESUMED: "The flow was resumed by the regulator",
    calls.TERMINATED: "The flow was ended by the regulator",
    calls.STAGE_EXPIRED: "The stage {stage} ran out of time",
}
_SEALING: Final = (calls.FILED, calls.RELEASED, calls.OPINION_GIVEN, calls.ORDER_PLACED)
"""Steps whose transactions carry a sealed document."""
_ALONE: Final = "the contracts of the supervision chain alone"


def flow_items(found: CheckedFlow, business: ProvedChain, supervision: ProvedChain | None) -> list[Item]:
    """What happened to the flow, in no particular order."""
    items = [_move_item(found, move, business) for move in found.events.moves]
    items += [_request_item(sent, business) for sent in found.events.requests]
    if supervision is not None:
        # What comes of one block keeps this order: what was asked, what was said to it, what was decided.
        items += [_taken_item(found, sent, supervision) for sent in found.events.requests if _taken(found, sent)]
        items += [_told_item(told, supervision) for told in found.events.told if told.name in _TOLD]
        items += [_verdict_item(found, sent, supervision) for sent in found.events.verdicts]
    return items


def _move_item(found: CheckedFlow, move: Move, chain: ProvedChain) -> Item:
    if move.payment is not None:
        return item_of(chain, move.step, _TITLES[move.name], *_payment_facts(move.payment, chain))
    moved = move.moved
    assert moved is not None
    title = _TITLES[move.name].format(stage=moved.stage)
    if move.name == calls.OPINION_CONFIRMED:
        title += "; it approves" if found.record.approve else "; it does not approve"
    return item_of(chain, move.step, title, *_moved_facts(found, move, moved, chain))


def _moved_facts(found: CheckedFlow, move: Move, moved: Moved, chain: ProvedChain) -> list[tuple[str, str]]:
    record = found.record
    facts = [("stage", f"{moved.stage}, attempt {moved.attempt}" if moved.stage else "")]
    if move.name == calls.FILED:
        facts += [
            ("filed by", who(chain, record.filer)),
            ("platform", who(chain, record.platform) if record.platform else ""),
            ("patient", who(chain, record.patient) if record.patient else ""),
            ("commitment to the document", record.commitment.hex()),
            ("amount", amount_text(chain, record.amount, record.asset)),
        ]
    for name, key in (("reviewer", moved.reviewer), ("pharmacy", moved.pharmacy), ("payer", moved.payer)):
        if key:
            facts.append((name, who(chain, key)))
    facts += [
        ("known by", moved.hash.hex()),
        ("token", moved.token.hex()),
        ("reason", moved.reason),
        ("rule", f"{moved.rule}, version {moved.rule_version}" if moved.rule else ""),
        ("may be used or answered until", time_text(moved.deadline_ms) if moved.deadline_ms else ""),
    ]
    cause = found.causes.get((move.step.path, move.event_index))
    if cause is not None:
        facts.append(("because of", f"packet {cause.packet.sequence} of the supervision chain ({cause.step.path})"))
    return facts + sealed_facts(move.step)


def _payment_facts(payment: PaymentRequested, chain: ProvedChain) -> list[tuple[str, str]]:
    return [
        ("total", amount_text(chain, payment.total, payment.asset)),
        ("the patient pays", amount_text(chain, payment.patient_share, payment.asset)),
        ("reimbursed", amount_text(chain, payment.reimbursed, payment.asset)),
        ("reimbursed by", who(chain, payment.payer) if payment.payer else ""),
        ("items", str(len(payment.items))),
        ("link", payment.link),
    ]


def sealed_facts(step: ProvedStep) -> list[tuple[str, str]]:
    """Sealed documents that a step's transaction carries whole."""
    if step.transaction is None:
        return []
    found = []
    for call in step.transaction.body.calls:
        size = sum(len(part) for part in _envelopes(call.arguments))
        if size:
            found.append(("sealed documents in the bundle", f"{size} bytes, unreadable without a recipient's key"))
    return found


def _envelopes(data: bytes) -> list[bytes]:
    """Envelopes inside the arguments of a call, wherever they stand."""
    import msgspec  # noqa: PLC0415 - only bundles with documents need it

    def walk(value: object) -> list[bytes]:
        if not isinstance(value, list):
            return []
        try:
            encoded = msgspec.msgpack.encode(value)
            envelope_codec.decode(encoded)
        except InvalidInput:
            return [part for item in value for part in walk(item)]
        return [encoded]

    try:
        return walk(msgspec.msgpack.decode(data))
    except (msgspec.DecodeError, RecursionError):
        return []


def _request_item(sent: Sent, chain: ProvedChain) -> Item:
    request: StageRequest = sent.payload
    return item_of(
        chain,
        sent.step,
        f"The supervision chain was asked: {request.stage}",
        ("packet", f"{sent.packet.sequence} to the supervision chain, {sent.digest.hex()}"),
        ("asked for", f"a {request.need} on {request.stage}, attempt {request.attempt}"),
        ("asked by", who(chain, request.actor)),
        ("commitment", request.commitment.hex()),
        ("sealed document", request.envelope.hex()),
        ("amount", amount_text(chain, request.amount, request.asset)),
        ("to be answered until", time_text(request.deadline_ms) if request.deadline_ms else ""),
    )


# --- the supervision chain ---------------------------------------------------------------------------------------

_TOLD: Final = {
    HELD_EVENT: "The rules left the decision to officers",
    SIGNED_EVENT: "An officer signed the decision",
    EXPIRED_EVENT: "Nobody decided in time",
    DISCLOSED_EVENT: "An authority opened the sealed document",
}


def _told_item(told: Told, chain: ProvedChain) -> Item:
    said = told.said
    facts = [("stage", f"{said.stage}, attempt {said.attempt}")]
    if isinstance(said, Disclosure):
        facts += [("opened by", who(chain, said.authority)), ("purpose", said.purpose)]
    else:
        facts += [("reason", getattr(said, "reason", "")), ("rule", getattr(said, "rule", ""))]
    return item_of(chain, told.step, _TOLD[told.name], *facts)


def _taken(found: CheckedFlow, sent: Sent) -> bool:
    return sent.digest in found.events.supervision_answers


def _taken_item(found: CheckedFlow, sent: Sent, chain: ProvedChain) -> Item:
    heard = found.events.supervision_answers[sent.digest]
    taken = heard.answer.code == "ok"
    title = "The request was taken" if taken else "The request was not taken"
    request: StageRequest = sent.payload
    facts = [
        ("request", f"{request.stage}, attempt {request.attempt}, packet {sent.packet.sequence}"),
        ("answer", heard.answer.code),
    ]
    return item_of(chain, heard.step, f"{title} by the supervision chain: {request.stage}", *facts)


def _verdict_item(found: CheckedFlow, sent: Sent, chain: ProvedChain) -> Item:
    said = sent.payload
    facts: list[tuple[str, str]] = [("packet", f"{sent.packet.sequence} to the business chain, {sent.digest.hex()}")]
    if isinstance(said, Decision):
        word = "authorised" if said.outcome == AUTHORISED else "refused"
        title = f"The regulator decided on {said.stage}: {word}"
        facts += [("stage", f"{said.stage}, attempt {said.attempt}"), ("reason", said.reason)]
        facts += [("document", said.commitment.hex()), ("decided by", deciders(found, sent, chain))]
    elif isinstance(said, Control):
        title = f"The regulator's officers decided to {said.action} the flow"
        facts += [("control", str(said.counter)), ("reason", said.reason), ("decided by", deciders(found, sent, chain))]
    elif isinstance(said, Grant):
        title = f"The supervision chain granted {said.stage}"
        facts += [
            ("stage", f"{said.stage}, attempt {said.attempt}"),
            ("for", who(chain, said.holder)),
            ("token", said.token.hex()),
            ("purpose", said.purpose),
            ("good until", time_text(said.not_after_ms)),
            ("rules", f"version {said.rule_version}"),
            ("decided by", deciders(found, sent, chain) or f"{_ALONE}, over what was attested at filing"),
        ]
    else:
        assert isinstance(said, StageRefusal)
        title = f"The supervision chain refused {said.stage}"
        facts += [
            ("stage", f"{said.stage}, attempt {said.attempt}"),
            ("reason", said.reason),
            ("rule", f"{said.rule}, version {said.rule_version}" if said.rule else ""),
            ("decided by", deciders(found, sent, chain) or _ALONE),
        ]
    heard = found.events.business_answers.get(sent.digest)
    facts.append(("taken by the business chain", heard.answer.code if heard else "not in this bundle"))
    return item_of(chain, sent.step, title, *facts)


def deciders(found: CheckedFlow, sent: Sent, chain: ProvedChain) -> str:
    """Who signed what a packet says, and as what; nothing where contracts alone said it."""
    evidence, said = sent.packet.evidence, sent.payload
    if isinstance(said, Grant | StageRefusal):
        # What the rules held, officers release or refuse; what an authority attested, the rules may still refuse.
        outcome = AUTHORISED if isinstance(said, Grant) else REFUSED
        about = (said.stage, said.attempt, outcome)
        if sent.step.tx_id in found.events.signed:
            evidence = tuple(tx_id for tx_id, (_, made) in found.events.signed.items() if _says(made) == about)
    keys: dict[bytes, None] = {}
    for tx_id in evidence:
        keys.update(dict.fromkeys(found.events.signed[tx_id][0].signers))
    return "; ".join(f"{who(chain, key)}, {capacity(chain, key)}" for key in keys)


def _says(made: Decision | Control) -> tuple[str, int, str] | None:
    return None if isinstance(made, Control) else (made.stage, made.attempt, made.outcome)


def capacity(chain: ProvedChain, key: bytes) -> str:
    """What the genesis file makes of a key of the supervision chain."""
    for policy, words in ((AUTHORITIES, "authority"), (OFFICERS, "officer")):
        text = next((doc.lock for doc in chain.genesis.policies if doc.name == policy), "")
        if text and key in keys_of(parse_lock(text)):
            return f"{words} by the genesis file"
    return "not named in the genesis file: made authority or officer later, or only a cosigner"


def flow_statements(found: CheckedFlow, business: ProvedChain, supervision: ProvedChain | None) -> list[str]:
    """What is proved of the flow, one sentence each."""
    record, name = found.record, business.genesis.name
    when = time_text(business.blocks[found.height].header.time_ms)
    lines = [
        (
            f"Flow {record.flow.hex()} of kind {record.kind} (version {record.kind_version}) is number {record.number} "
            f"on chain {name}; after block {found.height} ({when}) it is {status_words(found)}."
        ),
        f"It was filed by {who(business, record.filer)} with the commitment {record.commitment.hex()}.",
    ]
    if supervision is None:
        return lines
    for sent in found.events.verdicts:
        said, step = sent.payload, sent.step
        at = f"at height {step.height} of chain {supervision.genesis.name} ({time_text(step.time_ms)})"
        if isinstance(said, Decision):
            word = "authorised" if said.outcome == AUTHORISED else f"refused ({said.reason})"
            by = deciders(found, sent, supervision)
            lines.append(f"Stage {said.stage}, attempt {said.attempt}, was {word} by {by}, {at}.")
        elif isinstance(said, Control):
            by = deciders(found, sent, supervision)
            lines.append(f"{said.action.capitalize()} ({said.reason}) was decided by {by}, {at}.")
        elif isinstance(said, Grant):
            by = deciders(found, sent, supervision) or _ALONE
            lines.append(f"Stage {said.stage}, attempt {said.attempt}, was granted by {by}, {at}.")
        else:
            by = deciders(found, sent, supervision) or _ALONE
            lines.append(f"Stage {said.stage}, attempt {said.attempt}, was refused ({said.reason}) by {by}, {at}.")
    return lines


def status_words(found: CheckedFlow) -> str:
    """How the flow stands."""
    record = found.record
    suspended = ", suspended by the regulator" if record.suspended and record.alive else ""
    return f"{record.status}{suspended}"


def flow_gaps(found: CheckedFlow, business: ProvedChain, supervision: ProvedChain | None) -> list[str]:
    """What the bundle does not show of the flow."""
    record = found.record
    lines = []
    key = b"f" + record.flow
    standing = business.standing(business.address("flow"), key)
    kept = business.newest(business.address("flow"), key)
    if standing is not None and kept is not None and standing.value == kept.value:
        lines.append(
            f"The flow still stood so after block {standing.height} of chain {business.genesis.name}; what happened "
            "after that block is not shown."
        )
    else:
        lines.append(f"What happened after block {found.height} of chain {business.genesis.name} is not shown.")
    if supervision is None:
        lines.append(
            "The supervision chain is not in this bundle: that its decisions were proved to the business chain is "
            "shown by the business chain's own certified receipts alone."
        )
    if any(move.name in _SEALING and move.step.transaction is None for move in found.events.moves):
        lines.append("Sealed documents are left out; their commitments and digests are proved (--with-documents).")
    return lines
