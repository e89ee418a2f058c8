"""Bundles that somebody has tampered with: bytes flipped, entries left out, doubled, swapped, put in from elsewhere."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.errors import InvalidProof
from node.bundles.records import ChainPart, EvidenceContent, Subject, part_of
from node.bundles.verifying import verify_record
from node.evidence_bundle import content_of, read_bundle, write_bundle
from tests.node.bundles.made import made

pytestmark = pytest.mark.xdist_group("bundles")
NAMES = (
    "note",
    "suspended",
    "refused",
    "alone",
    "sealed",
    "cancelled",
    "reported",
    "decided",
    "terminated",
    "requested",
    "pending",
    "corrected",
    "expired",
)


def content(name: str) -> EvidenceContent:
    return content_of(read_bundle(made().bundles[name]), EvidenceContent)


def refusal(data: bytes) -> InvalidProof:
    with pytest.raises(InvalidProof) as error:
        verify_record(read_bundle(data), made().geneses)
    assert error.value.data["field"], error.value
    return error.value


def written(name: str, changed: EvidenceContent) -> bytes:
    """The bundle with another content, in the one right form, every digest recomputed."""
    bundle = read_bundle(made().bundles[name])
    return write_bundle(bundle.kind, bundle.genesis, changed)


def rebuilt(part: ChainPart, **sections: tuple) -> ChainPart:
    """A part with other sections, its digests and headers brought in order as a careful forger would."""
    parts = {name: sections.get(name, getattr(part, name)) for name in ("headers", "steps", "changes", "standings")}
    needed = {each.height for name in ("steps", "changes", "standings") for each in parts[name]}
    if "headers" not in sections:
        parts["headers"] = (
            tuple(
                step
                for step in part.headers
                if step.header.height in needed or step.header.validators_hash != step.header.next_validators_hash
            )
            or part.headers[:1]
        )
    return part_of(part.chain_id, *parts.values())


def with_chain(whole: EvidenceContent, index: int, part: ChainPart) -> EvidenceContent:
    return replace(whole, chains=(*whole.chains[:index], part, *whole.chains[index + 1 :]))


@pytest.mark.parametrize("name", ["note", "decided"])
def test_every_flipped_byte_is_refused(name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    pick, data = random.Random(seed), made().bundles[name]
    for place in [*pick.sample(range(len(data)), 100), *range(40), len(data) - 1]:
        mask = pick.choice([1, 2, 0x20, pick.randrange(1, 256)])
        refusal(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(NAMES), st.integers(0, 2**40), st.integers(1, 255))
def test_any_flipped_byte_of_any_bundle_is_refused(name: str, place: int, mask: int) -> None:
    data = made().bundles[name]
    place %= len(data)
    refusal(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict | list):
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from leaves(document[key], (*path, key))
    else:
        yield path


def other_values(value: Any) -> list[Any]:
    """What a forger may write instead, in the same form and in others."""
    if isinstance(value, str):
        place = len(value) // 2
        flipped = value[:place] + ("0" if value[place : place + 1] != "0" else "1") + value[place + 1 :]
        return [flipped, "", value + "00", None, 1]
    return [1 if value is None else value + 1, 2**63, -1, "", [], {}]


def test_every_field_counts_and_every_wrong_one_is_named() -> None:
    """Each value is changed in turn and the file written anew: refused every time, with a field, never a crash."""
    document = json.loads(made().bundles["note"])
    pick = random.Random(7)
    for path in leaves(document):
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        kept = inner[path[-1]]
        inner[path[-1]] = pick.choice(other_values(kept))
        if inner[path[-1]] != kept:
            refusal(json.dumps(document, indent=1).encode() + b"\n")
        inner[path[-1]] = kept


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_entries_that_are_dropped_doubled_or_moved_are_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    whole = content(name)
    index = data.draw(st.integers(0, len(whole.chains) - 1))
    part = whole.chains[index]
    section = data.draw(st.sampled_from([each for each in ("headers", "steps", "changes") if getattr(part, each)]))
    entries = list(getattr(part, section))
    place = data.draw(st.integers(0, len(entries) - 1))
    what = data.draw(st.sampled_from(["drop", "double", "move"]))
    if what == "drop":
        del entries[place]
    elif what == "double":
        entries.insert(place, entries[place])
    else:
        entries.insert(data.draw(st.integers(0, len(entries) - 1)), entries.pop(place))
        if tuple(entries) == getattr(part, section):
            return
    changed = rebuilt(part, **{section: tuple(entries)})
    if not changed.headers:
        return
    refusal(written(name, with_chain(whole, index, changed)))


@pytest.mark.parametrize("name", NAMES)
def test_no_step_and_no_record_can_be_left_out_unnoticed(name: str) -> None:
    """The attack: the forger keeps every proof that is left right, and leaves one thing out that harms the case."""
    whole = content(name)
    for index, part in enumerate(whole.chains):
        for section in ("steps", "changes"):
            entries = getattr(part, section)
            for place in range(len(entries)):
                rest = (*entries[:place], *entries[place + 1 :])
                error = refusal(written(name, with_chain(whole, index, rebuilt(part, **{section: rest}))))
                assert error.code in ("bundle_incomplete", "bundle_mismatch", "bundle_superfluous"), error


def test_a_whole_chain_cannot_be_left_out_and_the_genesis_hash_stay() -> None:
    whole = content("note")
    assert refusal(written("note", replace(whole, chains=whole.chains[:1]))).data["field"] == "genesis"
    assert refusal(written("note", replace(whole, chains=whole.chains[::-1]))).data["field"] == "chains[0].chain_id"


def supervision_of(name: str) -> ChainPart:
    return content(name).chains[1]


@dataclass(frozen=True)
class Swap:
    """An attack: another content of a bundle, and the codes that may refuse it."""

    name: str
    change: Callable[[EvidenceContent], EvidenceContent]
    codes: tuple[str, ...]


def _swapped_receipts(whole: EvidenceContent) -> EvidenceContent:
    part = whole.chains[0]
    first, second = part.steps[0], part.steps[1]
    swapped = (
        replace(first, receipt=second.receipt, receipt_inclusion=second.receipt_inclusion),
        replace(second, receipt=first.receipt, receipt_inclusion=first.receipt_inclusion),
    )
    return with_chain(whole, 0, rebuilt(part, steps=(*swapped, *part.steps[2:])))


def _swapped_paths(whole: EvidenceContent) -> EvidenceContent:
    """The path of a transaction for that of its receipt, and the other way round."""
    part = whole.chains[0]
    first = part.steps[0]
    assert first.reference_inclusion is not None
    swapped = replace(first, receipt_inclusion=first.reference_inclusion, reference_inclusion=first.receipt_inclusion)
    return with_chain(whole, 0, rebuilt(part, steps=(swapped, *part.steps[1:])))


def _swapped_certificates(whole: EvidenceContent) -> EvidenceContent:
    part = whole.chains[0]
    first, second = part.headers[0], part.headers[1]
    swapped = (replace(first, certificate=second.certificate), replace(second, certificate=first.certificate))
    return with_chain(whole, 0, rebuilt(part, headers=(*swapped, *part.headers[2:])))


def _without_a_seal(whole: EvidenceContent) -> EvidenceContent:
    part = whole.chains[0]
    first = part.headers[0]
    fewer = replace(first, certificate=replace(first.certificate, seals=first.certificate.seals[:1]))
    return with_chain(whole, 0, rebuilt(part, headers=(fewer, *part.headers[1:])))


def _more_bodies(whole: EvidenceContent) -> EvidenceContent:
    """Steps of a real flow that is not the one that the bundle is about."""
    part, other = whole.chains[0], content("suspended").chains[0]
    heights = {step.header.height for step in part.headers}
    headers = tuple(
        sorted(
            (*part.headers, *(each for each in other.headers if each.header.height not in heights)),
            key=lambda each: each.header.height,
        )
    )
    places = {(step.height, step.index) for step in part.steps}
    more = [step for step in other.steps if (step.height, step.index) not in places]
    steps = tuple(sorted((*part.steps, *more), key=lambda step: (step.height, step.index)))
    return with_chain(whole, 0, part_of(part.chain_id, headers, steps, part.changes, part.standings))


ATTACKS = {
    "another flow's approval": Swap(
        "note",
        lambda whole: with_chain(whole, 1, supervision_of("suspended")),
        ("bundle_incomplete",),
    ),
    "an approval of a filing that was refused": Swap(
        "refused", lambda whole: with_chain(whole, 1, supervision_of("note")), ("bundle_incomplete",)
    ),
    "an older record of the flow beside newer steps": Swap(
        "note",
        lambda whole: with_chain(
            whole, 0, rebuilt(whole.chains[0], changes=content("early").chains[0].changes, headers=_joined(whole))
        ),
        ("bundle_mismatch",),
    ),
    "newer record beside older steps": Swap(
        "early",
        lambda whole: with_chain(
            whole,
            0,
            rebuilt(whole.chains[0], changes=content("note").chains[0].changes, headers=_joined(whole)),
        ),
        ("bundle_incomplete",),
    ),
    "another flow's record": Swap(
        "note",
        lambda whole: with_chain(
            whole,
            0,
            rebuilt(
                whole.chains[0],
                changes=content("suspended").chains[0].changes,
                headers=tuple(
                    sorted(
                        {
                            each.header.height: each
                            for each in (*whole.chains[0].headers, *content("suspended").chains[0].headers)
                            if each.header.height in _heights(whole, "suspended")
                        }.values(),
                        key=lambda each: each.header.height,
                    )
                ),
            ),
        ),
        ("bundle_incomplete",),
    ),
    "receipts of two transactions swapped": Swap(
        "note", _swapped_receipts, ("bundle_invalid", "bundle_unproved", "bundle_mismatch")
    ),
    "paths of transaction and receipt swapped": Swap("note", _swapped_paths, ("bundle_invalid", "bundle_unproved")),
    "certificates of two blocks swapped": Swap("note", _swapped_certificates, ("bundle_invalid",)),
    "a certificate below the quorum": Swap("note", _without_a_seal, ("certificate_invalid",)),
    "steps of another flow put in": Swap("note", _more_bodies, ("bundle_superfluous",)),
    "another flow named": Swap(
        "note",
        lambda whole: replace(whole, subject=content("suspended").subject),
        ("bundle_incomplete",),
    ),
    "a flow told as a booking": Swap(
        "note",
        lambda whole: replace(whole, subject=Subject("booking", whole.subject.id, "", 0)),
        ("bundle_invalid",),
    ),
    "a sealed record that is none": Swap(
        "sealed",
        lambda whole: replace(whole, subject=replace(whole.subject, stage="order")),
        ("bundle_incomplete",),
    ),
    "a sealed record's other attempt": Swap(
        "sealed", lambda whole: replace(whole, subject=replace(whole.subject, attempt=2)), ("bundle_incomplete",)
    ),
    "another booking named": Swap(
        "reported", lambda whole: replace(whole, subject=content("decided").subject), ("bundle_incomplete",)
    ),
    "the settlement of another booking": Swap(
        "reported", lambda whole: with_chain(whole, 0, content("decided").chains[0]), ("bundle_incomplete",)
    ),
    "chains of two records": Swap(
        "reported", lambda whole: with_chain(whole, 1, supervision_of("decided")), ("bundle_incomplete",)
    ),
    "digests of another part": Swap(
        "note",
        lambda whole: with_chain(whole, 0, replace(whole.chains[0], digests=whole.chains[1].digests)),
        ("bundle_digest_wrong",),
    ),
}


def _heights(whole: EvidenceContent, other: str) -> set[int]:
    heights = {step.height for step in whole.chains[0].steps}
    return heights | {change.height for change in content(other).chains[0].changes}


def _joined(whole: EvidenceContent) -> tuple:
    """Headers of the two exports of one flow that the parts need."""
    del whole
    both = {each.header.height: each for name in ("note", "early") for each in content(name).chains[0].headers}
    return tuple(both[height] for height in sorted(both))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_bundle_is_refused_that_holds(name: str) -> None:
    attack = ATTACKS[name]
    error = refusal(written(attack.name, attack.change(content(attack.name))))
    assert error.code in attack.codes, error
