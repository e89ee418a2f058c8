"""The small bounded parts: outgoing queue, penalties, accept limit, rebuild policy."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import TransportFailed
from p2p.accept_limit import AcceptLimit, AcceptRate
from p2p.bounds import TransportBounds
from p2p.framing import HEADER_BYTES, FrameDecoder
from p2p.outbox import Outbox
from p2p.penalties import Penalties
from p2p.watchdog import RebuildPolicy, keep_alive
from tests.p2p.overlay_kit import QUICK, key

PEER = key(1).peer_id


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- outbox -----------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=200), max_size=50), st.integers(1, 1000))
def test_outbox_gives_all_frames_in_order_coalesced_up_to_the_limit(payloads: list[bytes], limit: int) -> None:
    outbox = Outbox(1 << 20)
    for payload in payloads:
        assert outbox.push(9, payload)
    decoder = FrameDecoder(lambda _: 200)
    got = []
    while data := outbox.take(limit):
        frames = decoder.feed(data)
        assert len(data) <= limit or len(frames) == 1
        got += frames
        outbox.written()
    assert got == [(9, payload) for payload in payloads]
    assert outbox.queued_bytes == 0
    assert outbox.written_bytes == sum(len(payload) + HEADER_BYTES for payload in payloads)


def test_outbox_refuses_what_exceeds_its_bound_and_counts_what_is_being_written() -> None:
    outbox = Outbox(100)
    assert outbox.push(1, bytes(95))
    assert not outbox.push(1, b"")
    outbox.take(1)
    assert not outbox.push(1, b"")
    outbox.written()
    assert outbox.push(1, bytes(95))


def test_outbox_wakes_its_writer_once_per_filling() -> None:
    outbox, woken = Outbox(1000), []
    outbox.wake = lambda: woken.append(1)
    outbox.push(1, b"a")
    outbox.push(1, b"b")
    assert len(woken) == 1
    outbox.take(1000)
    outbox.push(1, b"c")
    assert len(woken) == 2


# --- penalties ----------------------------------------------------------------------------------------------------


def test_penalties_double_up_to_the_longest_and_are_forgotten_after_a_quiet_time() -> None:
    clock = Clock()
    bounds = TransportBounds(penalty_min_s=2, penalty_max_s=15, penalty_memory_s=100)
    penalties = Penalties(bounds, clock)
    assert penalties.remaining_s(PEER) == 0
    assert [penalties.penalise(PEER) for _ in range(6)] == [2, 4, 8, 15, 15, 15]
    assert penalties.remaining_s(PEER) == 15
    clock.now += 14
    assert penalties.remaining_s(PEER) == 1
    clock.now += 101
    assert penalties.remaining_s(PEER) == 0
    assert penalties.penalise(PEER) == 2


def test_penalties_remember_a_bounded_number_of_peers() -> None:
    penalties = Penalties(TransportBounds(penalties_max=3), Clock())
    peers = [key(number).peer_id for number in range(1, 6)]
    for peer in peers:
        penalties.penalise(peer)
    assert [penalties.remaining_s(peer) > 0 for peer in peers] == [False, False, True, True, True]


# --- accept limit ---------------------------------------------------------------------------------------------------


def test_oldest_half_open_connection_gives_way_per_address_then_in_total() -> None:
    limit, aborted = AcceptLimit(2, 3), []
    tickets = {}

    def enter(name: str, address: str) -> None:
        tickets[name] = limit.enter(address, lambda: aborted.append(name))

    for name in ("a1", "a2", "a3"):
        enter(name, "a")
    assert aborted == ["a1"]
    enter("b1", "b")
    assert aborted == ["a1"]
    enter("c1", "c")
    assert aborted == ["a1", "a2"]
    assert len(limit) == 3
    for ticket in tickets.values():
        limit.leave(ticket)
        limit.leave(ticket)
    assert len(limit) == 0
    assert limit._by_address == {}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=200))
def test_accept_limit_holds_whatever_comes_and_goes(moves: list[tuple[bool, int]]) -> None:
    limit = AcceptLimit(3, 7)
    open_tickets: list[int] = []
    for enters, number in moves:
        if enters:
            open_tickets.append(limit.enter(str(number), lambda: None))
        elif open_tickets:
            limit.leave(open_tickets.pop(number % len(open_tickets)))
        assert len(limit) <= 7
        assert all(len(same) <= 3 for same in limit._by_address.values())
        assert sum(len(same) for same in limit._by_address.values()) == len(limit)


def test_one_address_connects_at_its_rate_after_a_burst_and_others_are_not_affected() -> None:
    clock = Clock()
    rate = AcceptRate(10, 5, 100, clock)
    assert [rate.allows("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert rate.allows("b")
    clock.now += 0.25
    assert [rate.allows("a") for _ in range(4)] == [True] * 2 + [False] * 2
    clock.now += 1000
    assert [rate.allows("a") for _ in range(6)] == [True] * 5 + [False]


def test_rates_remember_a_bounded_number_of_addresses() -> None:
    rate = AcceptRate(10, 1, 3, Clock())
    for address in "abcd":
        assert rate.allows(address)
    assert len(rate._tokens) == 3
    assert [rate.allows(address) for address in "dcb"] == [False] * 3
    assert rate.allows("a")


# --- watchdog -----------------------------------------------------------------------------------------------------


def test_policy_gives_up_after_failures_in_a_row_and_starts_anew_after_a_long_life() -> None:
    clock = Clock()
    bounds = TransportBounds(rebuilds_in_a_row=3, rebuild_pause_s=1, rebuild_reset_s=60)
    policy = RebuildPolicy(bounds, clock)
    policy.started()
    assert [policy.failed(), policy.failed(), policy.failed(), policy.failed()] == [1, 2, 4, None]
    policy.started()
    clock.now += 61
    assert policy.failed() == 1


async def test_overlay_is_run_again_until_it_ends_by_itself() -> None:
    lives: list[int] = []
    rebuilds: list[int] = []

    async def run() -> None:
        lives.append(1)
        if len(lives) < 3:
            raise RuntimeError("died")

    bounds = dataclasses.replace(QUICK, rebuild_pause_s=0)
    await keep_alive(run, RebuildPolicy(bounds, Clock()), lambda: rebuilds.append(1), node="x")
    assert (len(lives), len(rebuilds)) == (3, 2)


async def test_overlay_that_keeps_dying_is_given_up_with_its_own_error() -> None:
    async def run() -> None:
        raise RuntimeError("died")

    bounds = dataclasses.replace(QUICK, rebuild_pause_s=0, rebuilds_in_a_row=4)
    rebuilds: list[int] = []
    with pytest.raises(TransportFailed):
        await keep_alive(run, RebuildPolicy(bounds, Clock()), lambda: rebuilds.append(1), node="x")
    assert len(rebuilds) == 4
