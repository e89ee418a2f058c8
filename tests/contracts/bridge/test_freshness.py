"""A relay that withholds a packet cannot make this chain believe that it knows everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bridge.clients import newest_time_ms
from contracts.bridge.freshness import MAX_POINTS, SPACING_MS, Freshness, Point, advance, freshness, freshness_codec
from contracts.bridge.records import BUSINESS, SUPERVISION, RoleQuery
from contracts.interface import StateSpace
from ledger.block import receipt_codec
from ledger.delivery import items_in, lane_head, tells_lane
from ledger.encoding import encode
from ledger.packet import Delivery
from ledger.state import Overlay, StoredState
from ledger.store_memory import MemoryStore
from tests.contracts.bridge.kit import BRIDGE, MEMBER, PROBE, Chain, call, deliver, pair, proof_of, relay, relays, renew
from tests.contracts.bridge.probe import Send


@pytest.fixture
def chains() -> tuple[Chain, Chain]:
    return pair()


def send(supervision: Chain) -> None:
    supervision.run(supervision.tx(MEMBER, call(PROBE, "send", Send(BUSINESS, "note"))))


def known(business: Chain) -> int:
    return newest_time_ms(business.context(PROBE), SUPERVISION)


def header_only(source: Chain, destination: Chain) -> Delivery:
    return Delivery(proof_of(source, destination, source.height), (), (), ())


def test_block_of_the_supervision_chain_ends_with_how_far_it_has_spoken(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    for sent in range(3):
        supervision.block()
        last = receipt_codec.decode(supervision.receipts[-1][-1])
        head = lane_head(last, bridge=BRIDGE, here=business.chain_id)
        assert head is not None
        assert head.sent == sent
        assert tells_lane(supervision.receipts[-1], bridge=BRIDGE, here=business.chain_id)
        assert not tells_lane(supervision.receipts[-1], bridge=BRIDGE, here=supervision.chain_id)
        send(supervision)


def test_business_chain_says_nothing_of_that_kind_when_its_blocks_end(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    business.block()
    assert not tells_lane(business.receipts[-1], bridge=BRIDGE, here=supervision.chain_id)


def test_new_header_alone_is_no_news_of_what_was_said(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    before = known(business)
    supervision.block(step_ms=60_000)
    deliver(business, header_only(supervision, business))
    assert business.view(BRIDGE, "client", RoleQuery(SUPERVISION)).state.latest.time_ms == supervision.time_ms
    assert known(business) == before


def test_end_of_the_block_is_news_when_no_packet_is_missing(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    supervision.block(step_ms=60_000)
    renew(supervision, business)
    assert known(business) == supervision.time_ms


def test_nothing_later_counts_when_a_packet_is_withheld(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    renew_at = supervision.time_ms
    renew(supervision, business)
    send(supervision)
    withheld = supervision.height
    for _ in range(5):
        supervision.block(step_ms=10_000)
        renew(supervision, business)
    assert known(business) == renew_at
    # It comes at last, and everything that was shown meanwhile counts at once.
    deliver(business, relay(supervision, business, withheld))
    assert known(business) == supervision.time_ms


def test_later_packet_does_not_make_up_for_a_withheld_one(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    before = known(business)
    send(supervision)
    supervision.block(step_ms=5_000)
    send(supervision)
    deliver(business, relay(supervision, business))
    assert known(business) == before


def test_end_of_an_older_block_can_be_news(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    supervision.block(step_ms=5_000)
    shown = supervision.height
    supervision.block(step_ms=5_000)
    deliver(business, header_only(supervision, business))
    deliver(business, relay(supervision, business, shown))
    assert known(business) == supervision.headers[shown].time_ms
    deliver(business, relay(supervision, business, shown), "bridge_nothing_new")


def test_lane_of_another_chain_is_no_news(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    other = Chain("another business")
    supervision.block()
    receipt = receipt_codec.decode(supervision.receipts[-1][-1])
    assert lane_head(receipt, bridge=BRIDGE, here=other.chain_id) is None
    assert lane_head(receipt, bridge="elsewhere", here=business.chain_id) is None


def test_transaction_cannot_speak_for_the_end_of_a_block(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    send(supervision)
    end = receipt_codec.decode(supervision.receipts[-1][-1])
    forged = type(end)(b"\x01" * 32, end.code, end.events, end.results)
    assert lane_head(forged, bridge=BRIDGE, here=business.chain_id) is None


def test_role_of_the_business_chain_counts_headers(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    business.block(step_ms=60_000)
    deliver(supervision, header_only(business, supervision))
    assert newest_time_ms(supervision.context(PROBE), BUSINESS) == business.time_ms


def test_delivery_shows_the_end_once_when_it_is_also_cargo(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    send(supervision)
    found = items_in(supervision.receipts[-1], bridge=BRIDGE, there=supervision.chain_id, here=business.chain_id)
    (delivery,) = relays(supervision, business, supervision.height, found)
    assert len(delivery.receipts) == 2
    assert delivery.receipts[-1].inclusion.index == supervision.headers[-1].transactions_count


# --- the arithmetic -------------------------------------------------------------------------------------------------


def space() -> StateSpace:
    return StateSpace(Overlay(StoredState(MemoryStore())), BRIDGE)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 3)), min_size=1, max_size=150),
    st.data(),
)
def test_known_time_never_covers_a_missing_packet(steps, data) -> None:
    """Whatever is shown and taken in whatever order: what is known is a shown time with all its packets taken."""
    points, time_ms, sent = [], 1_000, 0
    for wait, packets in steps:
        time_ms, sent = time_ms + wait, sent + packets
        points.append(Point(time_ms, sent))
    state, shown, watermark, before = space(), [], 0, 0
    for _ in range(20):
        chosen = data.draw(st.lists(st.sampled_from(points), max_size=12))
        shown += chosen
        watermark = data.draw(st.integers(watermark, sent))
        advanced = advance(state, SUPERVISION, watermark, chosen)
        found = freshness(state, SUPERVISION)
        assert found.known_ms >= before
        assert advanced == (found.known_ms > before)
        covered = [point.time_ms for point in shown if point.sent <= watermark]
        assert found.known_ms <= max(covered, default=0)
        assert len(found.waiting) <= MAX_POINTS
        assert list(found.waiting) == sorted(found.waiting, key=lambda point: point.time_ms)
        before = found.known_ms


@given(st.integers(1, 200), st.integers(20, 200))
def test_known_time_follows_within_spacing_when_packets_lag_behind(lag: int, step_ms: int) -> None:
    """While packets keep coming and are taken some blocks later, what is known follows them."""
    state, time_ms, times = space(), 1_000, []
    for sent in range(1, 600):
        time_ms += step_ms
        times.append(time_ms)
        advance(state, SUPERVISION, max(0, sent - lag), [Point(time_ms, sent)])
    taken = 599 - lag
    horizon = (MAX_POINTS - 2) * SPACING_MS
    if lag * step_ms < horizon and taken > SPACING_MS // step_ms + 1:
        assert freshness(state, SUPERVISION).known_ms >= times[taken - 1] - SPACING_MS - step_ms


def test_points_stay_in_order_when_one_takes_the_place_of_its_neighbour() -> None:
    state = space()
    for time_ms in (1_005, 1_505, 1_006, 1_505, 1_506):
        advance(state, SUPERVISION, 0, [Point(time_ms, 1)])
        times = [point.time_ms for point in freshness(state, SUPERVISION).waiting]
        assert times == sorted(set(times))


def test_record_is_bounded_when_it_is_full() -> None:
    full = Freshness(2**53 - 1, tuple(Point(2**53 - 1, 2**53 - 1) for _ in range(MAX_POINTS)))
    assert freshness_codec.decode(encode(full)) == full
