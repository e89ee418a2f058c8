"""Checks a bundle of kind ``record`` or ``flow`` against genesis files and nothing else, and tells what it proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from contracts.supervision.state import RequestRecord
from ledger.errors import InvalidInput, InvalidProof
from ledger.genesis import Genesis
from node.bundles.booking_rules import check_booking
from node.bundles.booking_story import booking_gaps, booking_items, booking_outcome, booking_statements
from node.bundles.chains import ProvedChain, prove_part
from node.bundles.flow_events import events_of_flow
from node.bundles.flow_rules import CheckedFlow, check_flow
from node.bundles.flow_story import flow_gaps, flow_items, flow_statements, status_words
from node.bundles.records import (
    KIND_FLOW,
    KIND_RECORD,
    SUBJECT_BOOKING,
    SUBJECT_FLOW,
    SUBJECT_SEALED,
    EvidenceContent,
    Subject,
)
from node.bundles.story import Item, Story, facts_of, time_text
from node.evidence_bundle import Bundle, content_of, refuse

KINDS: Final = (KIND_RECORD, KIND_FLOW)
_KIND_OF_SUBJECT: Final = {
    SUBJECT_FLOW: KIND_FLOW,
    SUBJECT_BOOKING: KIND_RECORD,
    SUBJECT_SEALED: KIND_RECORD,
}


def verify_record(bundle: Bundle, geneses: Sequence[Genesis]) -> Story:
    """What a bundle of kind ``record`` or ``flow`` proves.

    Args:
        bundle: of right form (``node.evidence_bundle.read_bundle``).
        geneses: genesis files of its chains from a trusted source, in any order; others do no harm.

    Raises:
        InvalidProof: it proves nothing; the text and ``data["field"]`` name what is wrong.
    """
    if bundle.kind not in KINDS:
        refuse("kind", f"{bundle.kind!r} is neither {' nor '.join(KINDS)}")
    content = content_of(bundle, EvidenceContent)
    chains = _chains(bundle, content, geneses)
    try:
        return _story(bundle.kind, content.subject, chains)
    except InvalidProof:
        raise
    except InvalidInput as error:  # certified, and yet no record of this program
        refuse("content", error.message, error.code)


def _chains(bundle: Bundle, content: EvidenceContent, geneses: Sequence[Genesis]) -> list[ProvedChain]:
    if len(bundle.genesis) != len(content.chains):
        refuse("genesis", f"{len(bundle.genesis)} genesis hashes for {len(content.chains)} chains")
    by_hash = {bytes(genesis.hash): genesis for genesis in geneses}
    proved = []
    for i, (name, part) in enumerate(zip(bundle.genesis, content.chains, strict=True)):
        genesis = by_hash.get(name)
        if genesis is None:
            refuse(
                f"genesis[{i}]",
                f"no genesis file with the hash {name.hex()} was given, only "
                f"{', '.join(f'that of {known.name}' for known in geneses) or 'none'}",
                "bundle_genesis_other",
            )
        proved.append(prove_part(part, genesis, f"chains[{i}]"))
    for i, (chain, wanted) in enumerate(zip(proved, ("business", "supervision"), strict=False)):
        supervises = bool(chain.address("supervision"))
        if supervises != (wanted == "supervision"):
            refuse(f"chains[{i}]", f"{chain.genesis.name} is no {wanted} chain")
    return proved


def _story(kind: str, subject: Subject, chains: list[ProvedChain]) -> Story:
    if _KIND_OF_SUBJECT.get(subject.kind) != kind:
        refuse("subject.kind", f"{subject.kind!r} is nothing that a bundle of kind {kind} is about")
    if subject.kind != SUBJECT_SEALED:
        for field in ("stage", "attempt"):
            if getattr(subject, field):
                refuse(f"subject.{field}", f"a {subject.kind} has none")
    business, supervision = chains[0], chains[1] if len(chains) > 1 else None
    if subject.kind == SUBJECT_BOOKING:
        story, used = _booking(subject, business, supervision)
    else:
        story, used = _flow(subject.id, business, supervision)
        if subject.kind == SUBJECT_SEALED:
            story = _sealed(subject, story, business, supervision)
    for chain in chains:
        for step in chain.steps:
            if step.path not in used:
                refuse(step.path, f"nothing of {subject.kind} {subject.id.hex()} is in it", "bundle_superfluous")
    items = tuple(sorted(story.items, key=_order))
    return replace(story, kind=kind, items=items, chains=tuple(facts_of(chain) for chain in chains))


def _order(item: Item) -> tuple[int, str, int, str]:
    return item.time_ms, item.chain, item.height, item.path


def _checked(flow: bytes, business: ProvedChain, supervision: ProvedChain | None) -> CheckedFlow:
    return check_flow(flow, events_of_flow(flow, business, supervision), business, supervision)


def _flow(flow: bytes, business: ProvedChain, supervision: ProvedChain | None) -> tuple[Story, set[str]]:
    found = _checked(flow, business, supervision)
    story = Story(
        KIND_FLOW,
        f"flow {flow.hex()} of kind {found.record.kind}",
        status_words(found),
        tuple(flow_statements(found, business, supervision)),
        tuple(flow_items(found, business, supervision)),
        tuple(flow_gaps(found, business, supervision)),
        (),
    )
    return story, found.events.used


def _booking(subject: Subject, business: ProvedChain, supervision: ProvedChain | None) -> tuple[Story, set[str]]:
    found = check_booking(subject.id, business)
    used = set(found.used)
    statements, gaps = booking_statements(found, business), booking_gaps(found, business)
    items = booking_items(found, business)
    for flow in found.flows:
        settlement = _checked(flow, business, supervision)
        used |= settlement.events.used
        statements += flow_statements(settlement, business, supervision)
        items += flow_items(settlement, business, supervision)
        gaps += flow_gaps(settlement, business, supervision)
    story = Story(
        KIND_RECORD,
        f"commission record {subject.id.hex()} under agreement {found.agreement.agreement}",
        booking_outcome(found),
        tuple(statements),
        tuple(items),
        tuple(dict.fromkeys(gaps)),
        (),
    )
    return story, used


def _sealed(subject: Subject, story: Story, business: ProvedChain, supervision: ProvedChain | None) -> Story:
    """The story of a flow, told for one sealed record of it."""
    if supervision is None:
        refuse("chains", "a sealed record is on the supervision chain, which is missing", "bundle_incomplete")
    found = _checked(subject.id, business, supervision)
    record: RequestRecord | None = found.requests.get((subject.stage, subject.attempt))
    if record is None or not record.request.envelope:
        refuse("subject", f"no sealed record of {subject.stage}, attempt {subject.attempt}", "bundle_incomplete")
    request = record.request
    attested = f", attested by an authority's key {record.attested_by.hex()}" if record.attested_by else ""
    sentence = (
        f"Sealed record {subject.stage}, attempt {subject.attempt}, of flow {subject.id.hex()} came to chain "
        f"{supervision.genesis.name} at {time_text(record.received_ms)}; it is {record.status}{attested}. Its "
        f"commitment is {request.commitment.hex()}, the sealed document's digest {request.envelope.hex()}."
    )
    return replace(
        story,
        subject=f"sealed record {subject.stage}, attempt {subject.attempt}, of flow {subject.id.hex()}",
        outcome=record.status,
        statements=(sentence, *story.statements),
    )
