"""Agreements: drafted, signed, changed, listed (PROTOCOL.md 1.2); what cannot be agreed on is refused."""

from __future__ import annotations

import pytest

from contracts.commission import answers as a
from contracts.commission import orders
from contracts.commission.agreements import MAX_ACTIVATIONS_PER_HEIGHT, MAX_VERSIONS_AHEAD
from contracts.commission.amounts import agreement_hash
from contracts.commission.calls import Propose, Sign
from contracts.commission.records import Condition, Party, Triggers
from ledger.errors import InvalidInput, NotFound
from tests.contracts.commission.world import (
    ADDRESS,
    CASH,
    EXPIRING,
    EXPIRING_UNTIL_MS,
    INSURER,
    OTHER,
    PLATFORM,
    SPARE,
    THIRD,
    World,
    agreement,
    lock_of,
    row,
    sale,
    with_call,
)


@pytest.mark.parametrize("drafter", ["platform", "insurer"])
def test_either_side_may_draft_and_the_other_signs(drafter):
    world, terms = World(), agreement()
    other = {"platform": "insurer", "insurer": "platform"}[drafter]
    world.run(world.proposal(terms, drafter))
    (draft,) = world.view("drafts", a.DraftsQuery("B-C health")).drafts
    assert (draft.agreement, draft.signed_by) == (terms, drafter)
    assert draft.agreement_hash == agreement_hash(world.chain_id, ADDRESS, terms)
    world.run(world.signature(terms, drafter), "commission_already_signed")
    with pytest.raises(NotFound):
        world.view("agreement", a.AgreementQuery("B-C health"))
    world.run(world.proposal(agreement(activation_height=50), drafter))
    world.run(world.signature(agreement(activation_height=50), other))
    (left,) = world.view("drafts", a.DraftsQuery("B-C health")).drafts
    assert left.agreement == terms
    shown = world.view("agreement", a.AgreementQuery("B-C health"))
    assert (shown.agreement.activation_height, shown.in_force, shown.address) == (50, 0, ADDRESS)


def test_booking_waits_for_the_activation_height():
    world, terms = World(), agreement(activation_height=5)
    booking = world.booking(terms, sale())
    assert world.refusal(booking).startswith("commission_agreement_unknown")
    world.run(world.proposal(terms))
    world.run(world.signature(terms))
    world.run(world.booking(terms, sale()), "commission_agreement_not_in_force")
    with pytest.raises(NotFound):
        world.view("quote", a.QuoteQuery("B-C health", sale()))
    world.block()
    world.run(booking)
    assert world.height == 5


def test_both_signatures_are_needed():
    world, terms = World(), agreement(activation_height=20)
    for keys in ((), (INSURER,)):
        body = orders.proposal_body(world.frame(THIRD), terms, "platform")
        world.run(world.signed_only_by(body, *keys), "not_permitted")
    world.run(world.sign(orders.proposal_body(world.frame(THIRD), terms, "platform"), PLATFORM))
    for keys in ((), (PLATFORM,)):
        body = orders.signature_body(world.frame(THIRD), terms, "insurer")
        world.run(world.signed_only_by(body, *keys), "not_permitted")
    world.run(world.sign(orders.signature_body(world.frame(THIRD), terms, "insurer"), INSURER))


def test_signature_counts_for_one_text_only():
    world, terms = World(), agreement(activation_height=20)
    world.run(world.proposal(terms))
    world.run(world.signature(agreement(activation_height=21)), "commission_draft_unknown")
    arguments = Sign("B-C health", 2, agreement_hash(world.chain_id, ADDRESS, terms), "insurer")
    world.run(with_call(world, world.signature(terms), arguments), "commission_draft_unknown")
    world.run(world.proposal(terms), "commission_draft_exists")


def test_change_is_a_new_version_and_old_records_keep_theirs():
    world = World()
    first = world.agree(agreement(triggers=Triggers()))
    second = agreement(version=2, rate_ppm=50_000, activation_height=8, triggers=Triggers())
    world.run(world.proposal(second, "insurer"))
    world.run(world.signature(second, "platform"))
    world.run(world.booking(first, sale("old")))
    while world.height < 7:
        world.block()
    world.run(world.booking(first, sale("new")), "commission_amount_wrong")
    world.run(world.booking(second, sale("new")))
    old, new = world.booked("old"), world.booked("new")
    assert (old.version, old.commission, new.version, new.commission) == (1, 9_000, 2, 15_000)
    assert new.record.inputs[0].information.rate_ppm == 50_000
    # A correction stays under the version of what it corrects.
    world.run(world.correction(second, sale("old", 100_000)))
    assert (world.booked("old").version, world.booked("old").commission) == (1, 3_000)
    world.run(world.early(second))
    assert [item.amount for item in world.requested()[0].items] == [15_000, 3_000]
    world.run(world.settlement(second))
    assert world.books().paid == 18_000
    shown = world.view("agreement", a.AgreementQuery("B-C health", 1))
    assert shown.agreement == first
    assert [(entry.version, entry.activation_height) for entry in shown.versions] == [(1, 3), (2, 8)]
    assert world.view("agreement", a.AgreementQuery("B-C health")).agreement == second
    assert world.view("quote", a.QuoteQuery("B-C health", sale("x"))).version == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 1, "activation_height": 9}, "commission_version_wrong"),
        ({"version": 3, "activation_height": 9}, "commission_version_wrong"),
        ({"version": 2, "activation_height": 3}, "commission_activation_past"),
        ({"version": 2, "activation_height": 0}, "commission_activation_order"),
        ({"version": 2, "activation_height": 6}, "commission_activation_order"),
        ({"version": 2, "activation_height": 9, "currency": "EUR"}, "commission_currency_changed"),
        (
            {"version": 2, "activation_height": 9, "insurer": Party("D", OTHER.public, lock_of(OTHER))},
            "commission_parties_changed",
        ),
    ],
)
def test_version_is_refused_when_it_does_not_follow(changes, code):
    world = World()
    terms = agreement(activation_height=6)
    world.run(world.proposal(terms))
    world.run(world.signature(terms))
    world.run(world.proposal(agreement(**changes)), code)


def test_version_holds_from_the_block_after_both_have_signed_when_it_names_no_height():
    world, terms = World(), agreement(activation_height=0)
    world.run(world.proposal(terms))
    world.run(world.signature(terms))
    shown = world.view("agreement", a.AgreementQuery("B-C health", 1))
    assert (shown.in_force, shown.agreement) == (1, terms)
    assert [entry.activation_height for entry in shown.versions] == [world.height + 1]
    world.run(world.booking(terms, sale("x")))


def test_draft_that_came_too_late_cannot_be_signed():
    world, terms = World(), agreement(activation_height=2)
    world.run(world.proposal(terms))
    world.run(world.signature(terms), "commission_activation_past")


@pytest.mark.parametrize(
    "changes",
    [
        {"base": "profit"},
        {"rounding": "up"},
        {"currency": "assets:gold"},
        {"currency": "X" * 50},
        {"platform": Party("C", PLATFORM.public, lock_of(PLATFORM))},
        {"platform": Party("B", INSURER.public, lock_of(PLATFORM))},
        {"platform": Party("B", b"\x02" + bytes(32), lock_of(PLATFORM))},
        {"platform": Party("B", PLATFORM.public, "key(nobody)")},
        {"insurer": Party("C", INSURER.public, "any( key(x))")},
        {"mapping": (row(type="cancel"),)},
        {"mapping": (row(clawback=row().pending),)},
        {"conditions": (Condition("mood", "good"),)},
        {"conditions": (Condition("state", "in_force", "==", 1),)},
        {"conditions": (Condition("state", "in_force", ">="),)},
        {"conditions": (Condition("trigger", "age", ">=", 1),)},
        {"conditions": (Condition("trigger", "premium", "~", 1),)},
        {"triggers": Triggers(schedule_first_ms=5)},
        {"agreement": "ü" * 64},
    ],
)
def test_agreement_is_refused_when_its_text_cannot_be(changes):
    world, terms = World(), agreement(**changes)
    with pytest.raises(InvalidInput) as caught:
        orders.proposal_body(world.frame(), terms, "platform")
    assert caught.value.code == "commission_agreement_invalid"
    good = world.proposal(agreement())
    world.run(with_call(world, good, Propose(terms, "platform")), "commission_agreement_invalid")


@pytest.mark.parametrize("changes", [{"agreement": "A,B"}, {"mapping": (row(pending=" x"),)}])
def test_agreement_is_refused_when_a_name_cannot_be(changes):
    world = World()
    transaction = with_call(world, world.proposal(agreement()), Propose(agreement(**changes), "platform"))
    world.run(transaction, "commission_name_invalid")


@pytest.mark.parametrize(
    "changes",
    [{"rate_ppm": 0}, {"rate_ppm": 1_000_001}, {"max_batch": 1_001}, {"max_batch": 0}, {"mapping": ()}, {"scale": 19}],
)
def test_agreement_is_refused_when_a_number_is_out_of_bounds(changes):
    world = World()
    transaction = with_call(world, world.proposal(agreement()), Propose(agreement(**changes), "platform"))
    world.run(transaction, "arguments_invalid")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"currency": "gold"}, "commission_currency_unknown"),
        ({"mapping": (row(pending="BD-pending"),)}, "commission_account_lock"),
        ({"mapping": (row(clawback="BD-clawback"),)}, "commission_account_lock"),
        ({"mapping": (row(clawback=CASH),)}, "commission_account_lock"),
        ({"mapping": (row(), row(settled="R-settled"))}, "commission_account_owner"),
        ({"mapping": (row(settled="nowhere"),)}, "commission_account_owner"),
        ({"mapping": (row(pending="nowhere"),)}, "account_unknown"),
        ({"platform": Party("B", PLATFORM.public, "account(nowhere)")}, "account_unknown"),
        ({"platform": Party("pharmacy", PLATFORM.public, lock_of(PLATFORM))}, "commission_party_not_admitted"),
    ],
)
def test_agreement_is_refused_when_the_registers_do_not_bear_it(changes, code):
    world, terms = World(), agreement(**changes)
    if code == "commission_party_not_admitted":
        world.run(world.proposal(terms), code)
        return
    world.run(world.proposal(terms))
    world.run(world.signature(terms), code)


def test_party_is_unknown_when_it_is_neither():
    world = World()
    transaction = with_call(world, world.proposal(agreement()), Propose(agreement(), "regulator"))
    world.run(transaction, "commission_party_unknown")


def test_key_that_expired_signs_nothing_even_for_another_sender():
    world = World()
    terms = world.agree(
        agreement(
            platform=Party("B", EXPIRING.public, lock_of(PLATFORM)),
            mapping=(row(pending="expiring-pending", clawback="expiring-clawback"),),
        )
    )
    world.run(world.booking(terms, sale("a"), THIRD))
    world.block(step_ms=EXPIRING_UNTIL_MS - world.time_ms)
    world.run(world.booking(terms, sale("b"), THIRD), "commission_party_not_admitted")


def test_draft_of_a_key_that_expired_meanwhile_cannot_be_completed():
    world = World()
    platform = Party("B", EXPIRING.public, lock_of(PLATFORM))
    rows = (row(pending="expiring-pending", clawback="expiring-clawback"),)
    terms = agreement(platform=platform, mapping=rows, activation_height=20)
    world.run(world.proposal(terms))
    world.block(step_ms=EXPIRING_UNTIL_MS - world.time_ms)
    world.run(world.signature(terms), "commission_party_not_admitted")


def test_new_key_needs_the_old_one_beside_it():
    world = World()
    first = world.agree()
    world.run(world.booking(first, sale("before")))
    second = agreement(
        version=2,
        platform=Party("B", SPARE.public, lock_of(SPARE)),
        mapping=(row(pending="spare-pending", clawback="spare-clawback"),),
        activation_height=9,
    )
    world.run(world.proposal(second), "not_permitted")
    world.run(world.proposal(second, "platform", PLATFORM))
    world.run(world.signature(second))
    while world.height < 8:
        world.block()
    world.run(world.booking(second, sale("after")))
    transaction = world.signed_only_by(orders.booking_body(world.frame(THIRD), second, sale("old key")), PLATFORM)
    world.run(transaction, "not_permitted")
    # What stands on the old account is cancelled with the new key for the agreement, the old one for the account.
    world.run(world.cancellation(second, "before", THIRD), "lock_unsatisfied")
    body = orders.cancellation_body(world.frame(THIRD), second, world.booked("before"))
    world.run(world.signed_only_by(body, PLATFORM), "not_permitted")
    body = orders.cancellation_body(world.frame(THIRD, PLATFORM), second, world.booked("before"))
    world.run(world.sign(body, SPARE, PLATFORM))


def test_agreements_are_listed_page_by_page_with_their_versions():
    world = World()
    for number in range(5):
        world.agree(agreement(agreement=f"agreement {number}", activation_height=world.height + 3))
    page = world.view("agreements", a.AgreementsQuery(limit=3))
    assert [line.agreement for line in page.agreements] == ["agreement 0", "agreement 1", "agreement 2"]
    assert page.more
    page = world.view("agreements", a.AgreementsQuery("agreement 2", 3))
    assert [(line.agreement, line.platform, line.insurer, line.latest) for line in page.agreements] == [
        ("agreement 3", "B", "C", 1),
        ("agreement 4", "B", "C", 1),
    ]
    assert not page.more
    with pytest.raises(NotFound):
        world.view("agreement", a.AgreementQuery("agreement 1", 2))
    with pytest.raises(NotFound):
        world.view("agreement", a.AgreementQuery("nothing"))


def test_drafts_are_listed_page_by_page():
    world = World()
    for height in (10, 11, 12):
        world.run(world.proposal(agreement(activation_height=height)))
    first = world.view("drafts", a.DraftsQuery("B-C health", limit=2))
    second = world.view("drafts", a.DraftsQuery("B-C health", first.drafts[-1].agreement_hash, 2))
    assert (len(first.drafts), first.more, len(second.drafts), second.more) == (2, True, 1, False)
    heights = {draft.agreement.activation_height for draft in (*first.drafts, *second.drafts)}
    assert heights == {10, 11, 12}


def test_versions_ahead_are_bounded():
    world = World()
    for version in range(1, MAX_VERSIONS_AHEAD + 2):
        terms = agreement(version=version, activation_height=100 + version)
        world.run(world.proposal(terms))
        world.run(world.signature(terms), "ok" if version <= MAX_VERSIONS_AHEAD else "commission_activation_full")


def test_activations_at_one_height_are_bounded():
    world = World()
    for number in range(MAX_ACTIVATIONS_PER_HEIGHT + 1):
        terms = agreement(agreement=f"agreement {number}", activation_height=100)
        world.run(world.proposal(terms))
        world.run(world.signature(terms), "ok" if number < MAX_ACTIVATIONS_PER_HEIGHT else "commission_activation_full")
