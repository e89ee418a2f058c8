"""What is proved by real bundles of everything that happens between two chains."""

from __future__ import annotations

import json

import pytest

from ledger.errors import InvalidProof
from node.bundles.records import EvidenceContent, Step
from node.bundles.verifying import verify_record
from node.evidence_bundle import content_of, read_bundle
from tests.node.bundles.made import made
from tests.node.cluster import make_genesis
from tests.node.misbehaving import MEMBERS
from tests.node.misbehaving import written as fault

pytestmark = pytest.mark.xdist_group("bundles")
OUTCOMES = {
    "note": "closed",
    "early": "open",
    "suspended": "closed",
    "terminated": "terminated",
    "refused": "refused",
    "alone": "closed",
    "documents": "closed",
    "sealed": "authorised",
    "cancelled": "cancelled after it was settled",
    "reported": "settled and paid",
    "decided": "settled and paid",
    "requested": "requested, not settled",
    "pending": "pending",
    "corrected": "cancelled before it was requested",
    "expired": "expired",
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_bundle_is_proof_when_nothing_was_touched(name: str) -> None:
    story = made().story(name)
    assert story.outcome == OUTCOMES[name]
    assert story.items == tuple(sorted(story.items, key=lambda item: item.time_ms))
    assert all(" of " in item.certified and "validators: " in item.certified for item in story.items)
    assert all("after block" in gap or "left out" in gap or "not in this bundle" in gap for gap in story.gaps)


def test_a_flows_story_names_who_decided_when_at_which_height_and_who_certified_it() -> None:
    story = made().story("note")
    (decision,) = [item for item in story.items if item.title == "The regulator decided on file: authorised"]
    assert decision.chain == made().supervision.name
    assert dict(decision.facts)["decided by"].startswith("Regulator 0 (ed25519:")
    assert dict(decision.facts)["decided by"].endswith("authority by the genesis file")
    assert decision.certified == "1 of 1 validators: Regulator 0"
    sentence = next(line for line in story.statements if line.startswith("Stage file, attempt 1, was authorised by "))
    assert f"at height {decision.height} of chain supervision" in sentence
    filed = next(item for item in story.items if item.title == "The document was filed")
    assert filed.signers[0].startswith("City Hospital (ed25519:")


def test_officers_who_decide_on_a_settlement_are_all_named() -> None:
    story = made().story("decided")
    decisions = [item for item in story.items if item.title.startswith("The regulator decided on file")]
    deciders = dict(decisions[-1].facts)["decided by"].split("; ")
    assert len(deciders) == 2
    assert all("officer by the genesis file" in each for each in deciders)
    paid = next(item for item in story.items if "settled and paid" in item.title)
    assert dict(paid.facts)["paid"] == "180.00 CNY"


def test_controls_of_the_regulator_stand_in_the_story() -> None:
    titles = [item.title for item in made().story("suspended").items]
    for sentence in (
        "The regulator's officers decided to suspend the flow",
        "The flow was suspended by the regulator",
        "The regulator's officers decided to resume the flow",
        "The flow was resumed by the regulator",
    ):
        assert sentence in titles
    assert any("inspection" in line and line.startswith("Terminate") for line in made().story("terminated").statements)


def test_documents_are_in_the_bundle_only_when_they_are_asked_for() -> None:
    def whole(name: str) -> list[bool]:
        content = content_of(read_bundle(made().bundles[name]), EvidenceContent)
        return [bool(step.transaction) for step in content.chains[0].steps if step.reference_inclusion]

    assert whole("note").count(True) < whole("documents").count(True)
    facts = [dict(item.facts) for item in made().story("documents").items]
    assert any("sealed documents in the bundle" in each for each in facts)
    assert not any("sealed documents in the bundle" in dict(item.facts) for item in made().story("note").items)
    assert any("left out" in gap for gap in made().story("note").gaps)
    assert not any("left out" in gap for gap in made().story("documents").gaps)


def test_signatures_are_checked_where_the_transaction_is_left_out() -> None:
    content = content_of(read_bundle(made().bundles["note"]), EvidenceContent)
    left_out = [step for step in content.chains[0].steps if isinstance(step, Step) and step.witness]
    assert left_out
    filed = next(item for item in made().story("note").items if item.title == "The document was filed")
    assert len(filed.signers) == 1


def test_genesis_files_may_come_in_any_order_and_more_of_them_than_needed() -> None:
    bundle, other = read_bundle(made().bundles["note"]), make_genesis(MEMBERS, MEMBERS)
    assert verify_record(bundle, [other, *reversed(made().geneses)]).outcome == "closed"


def test_a_bundle_is_refused_when_a_genesis_file_is_missing_or_anothers() -> None:
    bundle, other = read_bundle(made().bundles["note"]), make_genesis(MEMBERS, MEMBERS)
    for given in ([made().business], [other, made().supervision], []):
        with pytest.raises(InvalidProof) as error:
            verify_record(bundle, given)
        assert error.value.code == "bundle_genesis_other"
        assert error.value.data["field"].startswith("genesis[")


def test_a_bundle_of_misbehaviour_is_no_record() -> None:
    with pytest.raises(InvalidProof) as error:
        verify_record(read_bundle(fault()), made().geneses)
    assert error.value.data["field"] == "kind"


def test_a_bundle_says_its_kind() -> None:
    kinds = {name: json.loads(data)["kind"] for name, data in made().bundles.items()}
    assert {kinds[name] for name in ("note", "suspended", "alone", "refused")} == {"flow"}
    assert {kinds[name] for name in ("sealed", "cancelled", "reported", "decided")} == {"record"}
