"""Whatever relays do, each packet takes effect once and is answered once; and what that costs."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.bridge.records import RoleQuery
from ledger.encoding import encode
from ledger.errors import InvalidInput
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    FUSION,
    MEMBER,
    OTHER_FUSION,
    PROBE,
    SUPERVISION,
    call,
    items,
    pair,
    relays,
    settle,
)
from tests.contracts.bridge.probe import Query, Send

KINDS = ("note", "note", "refuse", "fail", "reply")
ALLOWED = {"ok", "bridge_nothing_new"}


def sends(chain, role, kinds):
    """A block whose transactions send packets of these kinds."""
    back = BUSINESS if role == SUPERVISION else SUPERVISION
    transactions = []
    for number, kind in enumerate(kinds):
        order = Send(
            role, kind, back.encode(), attachments=(bytes([number]) * 40,) * (kind == "note"), itself=number % 2 == 0
        )
        transactions.append(chain.tx(MEMBER, call(PROBE, "send", order)))
    chain.block(*transactions)


@st.composite
def deeds(draw):
    """What happens: packets are sent on one side, or something of an old or new block is relayed to one side."""
    sides = st.integers(0, 1)
    sending = st.tuples(st.just("send"), sides, st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    relaying = st.tuples(
        st.just("relay"), sides, st.tuples(st.integers(0, 40), st.integers(0, 2**6 - 1), st.booleans())
    )
    return draw(st.lists(st.one_of(sending, relaying, relaying), min_size=4, max_size=24))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds())
def test_each_packet_takes_effect_once_when_deliveries_come_in_any_order_parts_and_number(todo):
    chains = pair()
    roles = (SUPERVISION, BUSINESS)
    for what, side, detail in todo:
        chain, other = chains[side], chains[1 - side]
        if what == "send":
            sends(chain, roles[side], detail)
            continue
        back, part, twice = detail
        height = max(0, chain.height - back)
        found = items(chain, other, height)
        chosen = [item for index, item in enumerate(found) if part & (1 << index % 6)]
        transactions = [
            other.tx(key, call(BRIDGE, "deliver", delivery))
            for delivery in relays(chain, other, height, chosen)
            for key in ((FUSION, OTHER_FUSION) if twice else (FUSION,))
        ]
        assert {receipt.code for receipt in other.block(*transactions)} <= ALLOWED
    settle(*chains)
    for side, chain in enumerate(chains):
        lane = chain.view(BRIDGE, "lane", RoleQuery(roles[side]))
        there = chains[1 - side].view(BRIDGE, "lane", RoleQuery(roles[1 - side]))
        assert lane.sent == lane.answered == there.delivered == there.watermark
        for sequence in range(1, lane.sent + 1):
            heard = chain.view(PROBE, "heard", Query(sequence))
            took = chains[1 - side].view(PROBE, "took", Query(sequence))
            assert heard.answered == 1
            assert took.taken == (heard.code == "ok")


def test_both_validators_come_to_the_same_when_one_of_them_has_seen_the_signatures(chains):
    """What a node remembers of signatures changes how long it takes, and nothing else."""
    business, supervision = chains
    sends(business, SUPERVISION, ["note"] * 3)
    (delivery,) = relays(business, supervision, business.height)
    transaction = supervision.tx(FUSION, call(BRIDGE, "deliver", delivery))
    cache = supervision.rules.contracts[BRIDGE]._verify.__self__
    cold = cache.verified
    supervision.check(transaction)
    warm = cache.verified
    assert warm - cold == 4 + 2
    supervision.run(transaction)
    assert cache.verified == warm


def test_a_bad_signature_is_not_remembered_as_good(chains):
    business, supervision = chains
    sends(business, SUPERVISION, ["note"])
    (delivery,) = relays(business, supervision, business.height)
    wire = bytearray(encode(delivery))
    position = bytes(wire).index(delivery.proof.certificate.seals[0][1]) + 40
    wire[position] ^= 1
    broken = supervision.tx(FUSION, call(BRIDGE, "deliver", delivery))
    forged = type(broken.body.calls[0])(BRIDGE, "deliver", bytes(wire))
    for _ in range(2):
        with pytest.raises(InvalidInput) as found:
            supervision.check(supervision.tx(FUSION, forged))
        assert found.value.code == "bridge_certificate_invalid"
        supervision.check(broken)
