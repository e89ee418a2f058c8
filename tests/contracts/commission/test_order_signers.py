"""Who signs an order is in its body: the party that it needs, and nobody on the way can change that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.commission import orders
from contracts.commission.records import Triggers
from ledger.errors import InvalidTransaction
from ledger.keys import SigningKey
from ledger.transaction import Body
from tests.contracts.commission.world import CURRENCY, INSURER, OTHER, PLATFORM, THIRD, World, agreement, lock_of, sale

Make = Callable[[World, SigningKey], Body]


def settled_terms():
    return agreement(triggers=Triggers())


def drafted(world: World, sender: SigningKey, party: str) -> Body:
    return orders.proposal_body(world.frame(sender), settled_terms(), party)


def signed(world: World, sender: SigningKey, party: str) -> Body:
    world.run(world.proposal(settled_terms(), {"platform": "insurer", "insurer": "platform"}[party]))
    return orders.signature_body(world.frame(sender), settled_terms(), party)


def booked(world: World, sender: SigningKey) -> Body:
    return orders.booking_body(world.frame(sender), world.agree(settled_terms()), sale())


def cancelled(world: World, sender: SigningKey) -> Body:
    terms = world.agree(settled_terms())
    world.run(world.booking(terms, sale()))
    return orders.cancellation_body(world.frame(sender), terms, world.booked())


def corrected(world: World, sender: SigningKey) -> Body:
    terms = world.agree(settled_terms())
    world.run(world.booking(terms, sale()))
    return orders.correction_body(world.frame(sender), terms, world.booked(), sale(premium=1_000))


def settled(world: World, sender: SigningKey) -> Body:
    terms = world.agree(settled_terms())
    world.run(world.booking(terms, sale()))
    world.run(world.early(terms))
    plan = world.plan(terms)
    chosen = orders.choose_currency(world.unspent(CURRENCY, lock_of(INSURER)), plan)
    return orders.settlement_body(world.frame(sender), terms, plan, chosen)


ORDERS: dict[str, tuple[Make, SigningKey]] = {
    "the platform drafts": (lambda world, sender: drafted(world, sender, "platform"), PLATFORM),
    "the insurer drafts": (lambda world, sender: drafted(world, sender, "insurer"), INSURER),
    "the platform signs": (lambda world, sender: signed(world, sender, "platform"), PLATFORM),
    "the insurer signs": (lambda world, sender: signed(world, sender, "insurer"), INSURER),
    "book": (booked, PLATFORM),
    "cancel": (cancelled, PLATFORM),
    "correct": (corrected, PLATFORM),
    "settle": (settled, INSURER),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_names_its_party_when_another_sends_it(name: str) -> None:
    make, party = ORDERS[name]
    world = World()
    body = make(world, THIRD)
    assert (body.sender, body.cosigners, body.preimage_hashes) == (THIRD.public, (party.public,), ())
    world.run(world.sign(body, party))


@pytest.mark.parametrize("name", ORDERS)
def test_order_names_nobody_beside_the_sender_when_the_party_sends_it(name: str) -> None:
    make, party = ORDERS[name]
    world = World()
    body = make(world, party)
    assert (body.sender, body.cosigners) == (party.public, ())
    world.run(world.sign(body))


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize(
    ("stripped", "added", "code"),
    [(True, False, "signature_missing"), (False, True, "signature_superfluous"), (True, True, "signature_superfluous")],
)
def test_order_is_no_transaction_when_its_signatures_are_not_those_it_names(
    name: str, *, stripped: bool, added: bool, code: str
) -> None:
    make, party = ORDERS[name]
    world = World()
    body = make(world, THIRD)
    with pytest.raises(InvalidTransaction) as caught:
        world.sign(body, *([] if stripped else [party]), *([OTHER] if added else []))
    assert caught.value.code == code
    world.run(world.sign(body, party))


@pytest.mark.parametrize("name", ORDERS)
def test_order_is_refused_when_it_names_a_cosigner_that_nothing_asks_for(name: str) -> None:
    make, party = ORDERS[name]
    world = World()
    world.run(world.signed_only_by(make(world, THIRD), party, OTHER), "signature_superfluous")


def test_request_needs_its_party_among_the_cosigners_when_another_sends_it() -> None:
    for party, key in (("platform", PLATFORM), ("insurer", INSURER)):
        world = World()
        terms = world.agree(settled_terms())
        world.run(world.booking(terms, sale()))
        bare = orders.request_body(world.frame(THIRD), terms.agreement, party)
        assert bare.cosigners == ()
        world.run(world.sign(bare), "not_permitted")
        body = orders.request_body(world.frame(THIRD, key), terms.agreement, party)
        with pytest.raises(InvalidTransaction) as caught:
            world.sign(body)
        assert caught.value.code == "signature_missing"
        world.run(world.sign(body, key))
        assert len(world.requested()) == 1


def test_cosigners_are_sorted_and_each_once_when_the_frame_has_them_in_any_order() -> None:
    world = World()
    frame = world.frame(THIRD, PLATFORM, OTHER, THIRD, INSURER, OTHER)
    body = orders.proposal_body(frame, settled_terms(), "platform")
    assert body.cosigners == tuple(sorted(key.public for key in (PLATFORM, OTHER, INSURER)))
    world.run(world.sign(body, PLATFORM, OTHER, INSURER), "signature_superfluous")
