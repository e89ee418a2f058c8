"""What the doctor says about a node that answers, for each fault in its status; and nothing about a healthy one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.doctor.catalogue import causes_first
from node.doctor.live import examine_status, overdue_ms
from tests.node.doctor.statuses import DAY_MS, WALL_MS, healthy, key, lose

Status = dict[str, Any]


def codes(status: Status) -> list[str]:
    return [finding.code for finding in causes_first(examine_status(status))]


def words_of(status: Status) -> str:
    return causes_first(examine_status(status))[0].words


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_nothing_is_found_when_all_is_well(count: int) -> None:
    assert codes(healthy(count)) == []


def test_nothing_is_found_when_an_idle_chain_makes_no_block_for_a_while() -> None:
    status = healthy()
    status["standing"]["tip_ms_ago"] = 11_000
    assert codes(status) == []


def test_nothing_is_found_when_nobody_has_sent_anything_since_the_start() -> None:
    status = healthy()
    status["uptime_s"], status["standing"]["tip_ms_ago"] = 9.0, None
    assert codes(status) == []


def test_an_observer_is_well_when_it_hears_the_validators() -> None:
    status = healthy()
    status["validator"] = False
    _, *others = status["standing"]["validators"]
    status["standing"]["validators"] = [*others, {**others[0], "key": key(9), "peer_id": "peer9"}]
    assert codes(status) == []


# --- whom it hears ----------------------------------------------------------------------------------------------------


def test_the_missing_one_is_named_with_how_many_more_may_fail() -> None:
    status = healthy(7)
    lose(status, 3)
    assert codes(status) == ["validator.missing"]
    assert "Member 3 (silent for 30 s; nobody listens on its port: its daemon does not run)" in words_of(status)
    assert "6 of 7 validators are heard, 5 are needed" in words_of(status)
    assert words_of(status).endswith("; 1 more may fail")


def test_the_quorum_is_lost_when_enough_daemons_do_not_run() -> None:
    status = healthy()
    lose(status, 2)
    lose(status, 3, ms_ago=None)
    assert codes(status) == ["quorum.lost"]
    assert "3 of 4 validators are needed, 2 heard" in words_of(status)
    assert "Member 3 (not heard since this node started" in words_of(status)


@pytest.mark.parametrize("why", ["no_answer", "unreachable", ""])
def test_a_partition_is_suspected_when_hosts_do_not_answer_and_some_are_heard(why: str) -> None:
    status = healthy()
    lose(status, 2, why)
    lose(status, 3, why)
    assert codes(status) == ["quorum.partition"]
    assert "2 heard" in words_of(status)


def test_no_partition_is_suspected_when_fewer_than_one_honest_can_be_heard() -> None:
    status = healthy(7)
    for number in range(2, 7):
        lose(status, number, "no_answer")
    assert codes(status) == ["quorum.lost"], "two of seven: both may be faulty"


def test_the_node_is_alone_when_nobody_is_connected_and_hosts_do_not_answer() -> None:
    status = healthy()
    for number in (1, 2, 3):
        lose(status, number, "unreachable")
    assert codes(status) == ["node.alone"]


def test_the_others_are_dead_when_every_port_is_closed() -> None:
    status = healthy()
    for number in (1, 2, 3):
        lose(status, number, "refused")
    assert codes(status) == ["quorum.lost"]


def test_another_chain_comes_before_the_loneliness_that_it_causes() -> None:
    status = healthy()
    for number in (1, 2, 3):
        lose(status, number, "other_network", ms_ago=None)
    assert codes(status)[0] == "peers.other_chain"


def test_one_is_heard_through_others_when_it_is_not_connected() -> None:
    status = healthy()
    status["standing"]["validators"][2].update(connected=False, heard_ms_ago=12_000)
    assert codes(status) == []
    status["standing"]["validators"][2].update(heard_ms_ago=26_000)
    assert codes(status) == ["validator.missing"]


def test_one_is_missing_when_it_is_connected_and_silent() -> None:
    status = healthy()
    status["standing"]["validators"][2].update(heard_ms_ago=9_000)
    assert codes(status) == ["validator.missing"]


@given(count=st.integers(2, 16), data=st.data())
def test_a_quorum_is_found_lost_exactly_when_it_is(count: int, data: st.DataObject) -> None:
    status = healthy(count)
    away = data.draw(st.sets(st.integers(1, count - 1)))
    for number in away:
        lose(status, number, data.draw(st.sampled_from(["refused", "no_answer", ""])))
    found = set(codes(status))
    stands = bool(found & {"quorum.lost", "quorum.partition", "node.alone"})
    assert stands == (count - len(away) < status["standing"]["quorum"])
    assert bool(found) == bool(away)


# --- everything else --------------------------------------------------------------------------------------------------


def _standing(**changes: Any) -> Callable[[Status], None]:
    return lambda status: status["standing"].update(changes)


def _part(part: str, **changes: Any) -> Callable[[Status], None]:
    return lambda status: status[part].update(changes)


def _whole(**changes: Any) -> Callable[[Status], None]:
    return lambda status: status.update(changes)


def _certificate(number: int, **changes: Any) -> Callable[[Status], None]:
    return lambda status: status["standing"]["validators"][number]["certificate"].update(changes)


def _coming(status: Status) -> None:
    status["coming"] = {
        "epoch": {"number": 3, "from_height": 102},
        "validators": [{"key": key(number), "organisation": f"Member {number}"} for number in (0, 1, 8, 9)],
    }


def _clock(offset_ms: int) -> Callable[[Status], None]:
    offsets = {key(number): offset_ms for number in (1, 2, 3)}
    return lambda status: status["clock"].update(offset_ms=offset_ms, offsets=offsets)


def _far_behind(status: Status) -> None:
    status.update(syncing=True, target_height=900)
    for peer in status["peers"]:
        peer["height"] = 900


def _slow_clock(status: Status) -> None:
    _clock(-2_000)(status)
    status["standing"]["refused"] = {"count": 4, "why": "time_implausible", "ms_ago": 900}


def _peer_behind(status: Status) -> None:
    status["peers"][1]["height"] = 40


FAULTS = (
    (_part("disk", scarce=True), "disk.scarce", "100,000 MB are free"),
    (_part("liveness", stuck_s=31.0), "disk.stuck", "31 s"),
    (_standing(own_certificate={"state": "revoked", "expires_ms": WALL_MS + DAY_MS}), "node.revoked", "revoked"),
    (_standing(own_certificate={"state": "missing", "expires_ms": None}), "certificate.lapsed", "missing"),
    (_standing(own_certificate={"state": "expired", "expires_ms": 1}), "certificate.lapsed", "expired"),
    (
        _standing(own_certificate={"state": "valid", "expires_ms": WALL_MS + 12 * DAY_MS}),
        "certificate.lapsing",
        "this node's key expires in 12 days",
    ),
    (_certificate(2, state="expired"), "validator.certificate", "Member 2 is expired"),
    (_certificate(3, expires_ms=WALL_MS + 3 * DAY_MS), "certificate.lapsing", "validator Member 3 expires in 3 days"),
    (_clock(1_500), "clock.drifts", "1.5 s ahead of"),
    (_clock(-9_000), "clock.off", "9.0 s behind"),
    (_slow_clock, "clock.off", "2.0 s behind"),
    (_part("clock", jumps=2, last_jump_ms=-3_000, jumped_ms_ago=5_000), "clock.jumped", "-3.0 s 5 s ago (2 times"),
    (
        _part("signer", observing="signer_state_lost", through_height=140),
        "validator.observing",
        "until height 140 is decided (signer state lost)",
    ),
    (
        _part("signer", observing="signer_state_lost", damaged_logs=["signer.log.damaged-1"]),
        "validator.observing",
        "until 3 of the 3 other validators have told it",
    ),
    (_coming, "set.below_quorum", "from block 102 on 3 of 4 validators are needed, and 2 are heard: missing Member 8"),
    (_far_behind, "node.behind", "height 100 and knows of 900: 800 blocks"),
    (_peer_behind, "validator.behind", "Member 2 is at height 40"),
    (
        _standing(skipped=[{"key": key(2), "organisation": "Member 2", "count": 3}]),
        "proposer.silent",
        "Member 2 (3 turns)",
    ),
    (
        _part("clock", offsets={key(1): 60, key(2): 60, key(3): -7_000}),
        "validator.clock_off",
        "Member 3 is 7.1 s ahead of",
    ),
    (_whole(evidence=1), "validator.misbehaved", "there is proof against"),
    (_standing(tip_ms_ago=60_000, round=4), "chain.stands", "round 4, whose proposer is Member 1"),
    (_standing(tip_ms_ago=20_000, waiting_ms=20_000), "chain.stands", "height 101 is not decided"),
)


@pytest.mark.parametrize(
    ("spoil", "code", "words"), FAULTS, ids=[f"{code}-{n}" for n, (_, code, _) in enumerate(FAULTS)]
)
def test_the_fault_is_found_first_and_alone_when_it_is_the_only_one(
    spoil: Callable[[Status], None], code: str, words: str
) -> None:
    status = healthy()
    spoil(status)
    assert codes(status) == [code]
    assert words in words_of(status)


def test_the_cause_comes_before_what_follows_from_it() -> None:
    status = healthy()
    status["standing"].update(tip_ms_ago=90_000, round=7, own_certificate={"state": "revoked", "expires_ms": 1})
    for number in (1, 2, 3):
        lose(status, number, "connection_failed")
    assert codes(status) == ["node.revoked", "node.alone"]


def test_a_chain_that_stands_is_no_finding_of_its_own_when_its_cause_is_found() -> None:
    status = healthy()
    status["standing"]["tip_ms_ago"] = 500_000
    for number in (1, 2):
        lose(status, number)
    assert codes(status) == ["quorum.lost"]


def test_a_silent_proposer_is_not_named_twice_when_it_is_missing_anyway() -> None:
    status = healthy()
    status["standing"]["skipped"] = [{"key": key(3), "organisation": "Member 3", "count": 9}]
    lose(status, 3)
    assert codes(status) == ["validator.missing"]


def test_a_kept_damaged_log_is_no_finding_when_the_validator_signs_again() -> None:
    status = healthy()
    status["signer"]["damaged_logs"] = ["signer.log.damaged-20260101"]
    assert codes(status) == []


@given(tip=st.integers(0, 17_000), waiting=st.none() | st.integers(0, 12_000))
def test_a_block_is_not_overdue_within_a_few_rounds(tip: int, waiting: int | None) -> None:
    status = healthy()
    status["standing"].update(tip_ms_ago=tip, waiting_ms=waiting)
    assert overdue_ms(status) is None
