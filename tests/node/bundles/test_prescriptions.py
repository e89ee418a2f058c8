"""A whole prescription, over a supervision chain whose committee rotates, with state proved at checkpoints."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contracts.flow.state import flow_codec
from ledger.encoding import encode
from ledger.errors import InvalidProof
from node.bundles.records import ChainPart, EvidenceContent, part_of
from node.bundles.verifying import verify_record
from node.evidence_bundle import content_of, read_bundle, write_bundle
from tests.node.bundles.prescriptions import prescribed

pytestmark = pytest.mark.xdist_group("bundles")


def content(name: str = "prescription") -> EvidenceContent:
    return content_of(read_bundle(prescribed().bundles[name]), EvidenceContent)


def refusal(changed: EvidenceContent) -> InvalidProof:
    bundle = read_bundle(prescribed().bundles["prescription"])
    with pytest.raises(InvalidProof) as error:
        verify_record(read_bundle(write_bundle(bundle.kind, bundle.genesis, changed)), prescribed().geneses)
    return error.value


def with_part(index: int, part: ChainPart) -> EvidenceContent:
    whole = content()
    return replace(whole, chains=(*whole.chains[:index], part, *whole.chains[index + 1 :]))


def test_every_stage_is_told_in_its_order() -> None:
    titles = [item.title for item in prescribed().story("prescription").items]
    expected = [
        "The document was filed",
        "The regulator decided on file: authorised",
        "A reviewer asked to review the document",
        "The supervision chain refused review",
        "The stage review was refused",
        "The supervision chain granted review",
        "The document was released to its reviewer",
        "The reviewer gave an opinion",
        "The opinion was confirmed and stored; it approves",
        "The supervision chain granted order",
        "The order was placed",
        "The pharmacy priced the order and asked for payment",
        "It was settled",
        "The settlement record was stored by the authorities",
        "It was delivered; the flow is closed",
    ]
    places = [titles.index(title) for title in expected]
    assert places == sorted(places)
    priced = next(item for item in prescribed().story("prescription").items if "priced the order" in item.title)
    assert dict(priced.facts)["total"] == "255.01 USD"


def test_officers_who_release_a_held_grant_are_named() -> None:
    items = prescribed().story("prescription").items
    (granted,) = [item for item in items if item.title == "The supervision chain granted order"]
    deciders = dict(granted.facts)["decided by"].split("; ")
    assert len(deciders) == 2
    assert all("officer by the genesis file" in each for each in deciders)
    (alone,) = [item for item in items if item.title == "The supervision chain granted review"]
    assert dict(alone.facts)["decided by"].startswith("the contracts of the supervision chain alone")
    assert "The rules left the decision to officers" in [item.title for item in items]


def test_a_sealed_record_is_told_for_itself() -> None:
    story = prescribed().story("opinion")
    assert story.kind == "record"
    assert story.subject.startswith("sealed record opinion, attempt 1, of flow ")
    assert story.statements[0].startswith("Sealed record opinion, attempt 1")


def test_a_search_that_stops_at_the_flows_end_finds_all_of_it() -> None:
    whole, paged = content(), content("paged")
    assert [part.steps for part in paged.chains] == [part.steps for part in whole.chains]


def test_documents_that_are_put_in_are_recognised() -> None:
    story = prescribed().story("whole")
    facts = [dict(item.facts) for item in story.items]
    assert sum("sealed documents in the bundle" in each for each in facts) >= 4
    assert not any("left out" in gap for gap in story.gaps)


def test_the_state_at_a_checkpoint_says_until_when_nothing_happened() -> None:
    assert all(part.standings for part in content().chains)
    assert any(
        gap.startswith("The flow still stood so after block ") for gap in prescribed().story("prescription").gaps
    )
    (gap,) = prescribed().story("booked").gaps
    assert gap.startswith("The policy's record still stood so after block ")


def test_a_bundle_is_refused_when_an_epoch_is_left_out() -> None:
    part = content().chains[1]
    used = {each.height for each in (*part.steps, *part.changes, *part.standings)}
    handing_over = [
        i
        for i, step in enumerate(part.headers)
        if step.header.validators_hash != step.header.next_validators_hash and step.header.height not in used
    ]
    assert handing_over, "the committee rotated between the blocks that matter"
    for place in handing_over:
        headers = (*part.headers[:place], *part.headers[place + 1 :])
        found = refusal(with_part(1, part_of(part.chain_id, headers, part.steps, part.changes, part.standings)))
        assert found.data["field"].endswith(("validators", "certificate.seals")), found


def test_a_bundle_is_refused_when_a_header_is_put_in_that_nothing_needs() -> None:
    part = content().chains[0]
    checkpoints = {each.height for each in part.standings} - {each.height for each in (*part.steps, *part.changes)}
    assert checkpoints
    found = refusal(with_part(0, part_of(part.chain_id, part.headers, part.steps, part.changes, ())))
    assert "nothing in the bundle is in this block" in found.message


@pytest.mark.parametrize("section", ["steps", "changes"])
def test_no_step_and_no_record_can_be_left_out_unnoticed(section: str) -> None:
    for index, part in enumerate(content().chains):
        entries = getattr(part, section)
        for place in range(len(entries)):
            rest = {section: (*entries[:place], *entries[place + 1 :])}
            parts = {name: rest.get(name, getattr(part, name)) for name in ("steps", "changes", "standings")}
            if section == "changes":
                # What the state held at a checkpoint would say the same: it is left out too.
                key = entries[place].key
                parts["standings"] = tuple(each for each in part.standings if each.key != key)
            needed = {each.height for entries_ in parts.values() for each in entries_}
            headers = tuple(
                step
                for step in part.headers
                if step.header.height in needed or step.header.validators_hash != step.header.next_validators_hash
            )
            found = refusal(with_part(index, part_of(part.chain_id, headers, *parts.values())))
            assert found.code in ("bundle_incomplete", "bundle_mismatch", "bundle_superfluous"), found


def test_state_that_was_altered_is_refused_with_its_field() -> None:
    part = content().chains[0]
    record = flow_codec.decode(part.changes[0].value or b"")
    forged = encode(replace(record, approve=False))
    changed = (replace(part.changes[0], value=forged), *part.changes[1:])
    found = refusal(with_part(0, part_of(part.chain_id, part.headers, part.steps, changed, part.standings)))
    assert found.data["field"] == "chains[0].changes[0].value"
    standings = (replace(part.standings[0], value=None), *part.standings[1:])
    found = refusal(with_part(0, part_of(part.chain_id, part.headers, part.steps, part.changes, standings)))
    assert found.data["field"] == "chains[0].standings[0].value"
