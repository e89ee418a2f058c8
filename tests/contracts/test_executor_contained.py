"""Contracts that fail, exceed their bounds or answer nonsense: contained alike on every validator."""

from __future__ import annotations

import pytest

from contracts import codes
from contracts.block_result import BlockFull
from contracts.executor import MAX_BLOCK_RECEIPT_BYTES, MAX_BLOCK_WRITES
from contracts.interface import (
    MAX_EVENTS_PER_CALL,
    MAX_READS_PER_CALL,
    MAX_WRITES_PER_CALL,
    MAX_WRITTEN_BYTES_PER_CALL,
)
from ledger.block import Receipt, receipt_codec
from ledger.errors import BrokenInvariant
from ledger.state import contract_prefix
from ledger.transaction import Call, Output
from tests.contracts.bench import ALICE, CNY, SUPPLY, Bench, call, lock
from tests.contracts.probe import Probe


@pytest.fixture
def probe() -> Probe:
    return Probe("probe")


@pytest.fixture
def bench(probe: Probe) -> Bench:
    return Bench(probe, Probe("second"))


def called(bench: Bench, *calls: Call) -> Receipt:
    """Puts one transaction with these calls into a block."""
    return bench.block(bench.make([], [], calls=calls))[0]


def mark(bench: Bench, address: str = "probe") -> bytes | None:
    return bench.state.get(contract_prefix(address) + b"mark")


@pytest.mark.parametrize("error", ["KeyError", "ValueError", "RecursionError", "MemoryError", "AssertionError"])
def test_chain_goes_on_when_a_contract_has_a_bug(bench: Bench, error: str) -> None:
    failing = bench.make([bench.coin(0)], [Output(CNY, SUPPLY, lock(ALICE))], calls=[call("probe", "fail", error)])
    receipts = bench.block(failing, bench.pay(0))
    assert receipts[0] == Receipt(failing.tx_id, "contract_failed", (), ())
    assert receipts[1].code == "ok"
    assert mark(bench) is None


def test_node_stops_when_the_state_itself_is_broken(bench: Bench) -> None:
    with pytest.raises(BrokenInvariant):
        called(bench, call("probe", "fail", "Fatal"))


def test_no_text_of_an_error_gets_into_a_receipt_when_a_contract_refuses(bench: Bench) -> None:
    assert called(bench, call("probe", "fail", "Refusal")).code == "probe_refused"
    result = bench.run([bench.make([], [], calls=[call("probe", "fail", "ValueError")])])
    assert b"secret detail" not in b"".join(result.receipts)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("read", MAX_READS_PER_CALL),
        ("write", MAX_WRITES_PER_CALL),
        ("delete", MAX_WRITES_PER_CALL),
        ("fill", MAX_WRITTEN_BYTES_PER_CALL),
        ("emit", MAX_EVENTS_PER_CALL),
    ],
)
def test_call_is_refused_when_it_goes_one_beyond_a_bound(bench: Bench, name: str, allowed: int) -> None:
    assert called(bench, call("probe", name, allowed + 1)).code == codes.LIMIT_EXCEEDED
    assert list(bench.state.iterate(contract_prefix("probe"))) == []
    assert called(bench, call("probe", name, allowed)).code == "ok"


def test_call_is_refused_when_it_iterates_over_too_much(bench: Bench) -> None:
    called(bench, call("probe", "write", MAX_READS_PER_CALL))
    assert called(bench, call("probe", "iterate")).code == "ok"
    prefix = b"s" + contract_prefix("probe")
    bench.store.write({prefix + b"w99999999": b""})
    assert called(bench, call("probe", "iterate")).code == codes.LIMIT_EXCEEDED


def test_bounds_are_counted_anew_when_the_next_call_begins(bench: Bench) -> None:
    calls = [call("probe", "write", MAX_WRITES_PER_CALL), call("probe", "write", MAX_WRITES_PER_CALL)]
    assert called(bench, *calls).code == "ok"


def test_bound_holds_when_a_contract_swallows_its_refusal(bench: Bench) -> None:
    result = bench.run([bench.make([], [], calls=[call("probe", "stubborn")])])
    assert len(result.writes) == 2  # one record and the id: what went beyond the bound was not written
    assert receipt_codec.decode(result.receipts[0]).code == "ok"


@pytest.mark.parametrize("name", ["shout", "answer"])
def test_call_is_refused_when_its_receipt_could_not_be_read_again(bench: Bench, name: str) -> None:
    assert called(bench, call("probe", name, 60_000)).code == "ok"
    result = bench.run([bench.make([], [], calls=[call("probe", name, 5 * 1024 * 1024)])])
    assert receipt_codec.decode(result.receipts[0]).code == codes.LIMIT_EXCEEDED


def test_event_is_refused_when_its_data_is_longer_than_an_event_can_hold(bench: Bench) -> None:
    result = bench.run([bench.make([], [], calls=[call("probe", "shout", 64 * 1024)])])
    assert receipt_codec.decode(result.receipts[0]).code == codes.LIMIT_EXCEEDED


def test_receipt_stays_readable_when_many_calls_together_say_much(bench: Bench) -> None:
    result = bench.run([bench.make([], [], calls=[call("probe", "answer", 900_000)] * 16)])
    assert receipt_codec.decode(result.receipts[0]).code == codes.LIMIT_EXCEEDED


def test_chain_goes_on_when_a_contract_answers_what_has_no_bytes(bench: Bench) -> None:
    assert called(bench, call("probe", "nonsense")).code == "contract_failed"
    assert mark(bench) is None


def test_contract_cannot_make_or_burn_what_is_not_its_own_when_it_tries(bench: Bench) -> None:
    for asset in (CNY, "second:thing", "probe", "probing:thing", ":thing"):
        assert called(bench, call("probe", "mint", asset)).code == codes.NOT_PERMITTED
        assert called(bench, call("probe", "burn", asset)).code == codes.NOT_PERMITTED


def test_contract_asset_is_conserved_when_it_is_minted_and_burnt(bench: Bench) -> None:
    minted = bench.make([], [Output("probe:thing", 1, lock(ALICE))], calls=[call("probe", "mint", "probe:thing")])
    assert bench.code(minted) == "ok"
    assert bench.totals()["probe:thing"] == 1
    unmatched = bench.make([], [], calls=[call("probe", "mint", "probe:thing")])
    assert bench.code(unmatched) == codes.UNBALANCED
    burn = [call("probe", "burn", "probe:thing")]
    assert bench.code(bench.make([], [], calls=burn)) == codes.UNBALANCED
    assert bench.code(bench.make([minted.tx_id + bytes(4)], [], calls=burn)) == "ok"
    assert "probe:thing" not in bench.totals()


def test_contract_writes_only_its_own_records_when_its_name_begins_like_another(bench: Bench) -> None:
    called(bench, call("probe", "write", 3))
    assert len(list(bench.state.iterate(contract_prefix("second")))) == 0
    assert len(list(bench.state.iterate(contract_prefix("probe")))) == 3


def test_block_is_full_when_it_has_written_its_bound() -> None:
    assert MAX_BLOCK_WRITES == 16 * MAX_WRITES_PER_CALL
    probes = [Probe(f"probe{number}") for number in range(16)]
    bench = Bench(*probes)
    execution = bench.execution()
    calls = [call(probe.address, "write", MAX_WRITES_PER_CALL - 1) for probe in probes]
    assert execution.add(bench.make([], [], calls=calls)) is None
    for number in range(15):  # one write each: its id
        assert execution.add(bench.make([], [], memo=bytes([number]))) is not None
    assert len(execution.overlay.writes) == MAX_BLOCK_WRITES
    assert execution.add(bench.pay(0)) is None
    writes = dict(execution.overlay.writes)
    with pytest.raises(BlockFull):
        execution.add(bench.pay(1))
    assert execution.overlay.writes == writes


def test_block_is_full_when_its_receipts_have_their_bound(bench: Bench) -> None:
    execution = bench.execution()
    for _ in range(1 + MAX_BLOCK_RECEIPT_BYTES // 1_000_000):
        assert execution.add(bench.make([], [], calls=[call("probe", "answer", 1_000_000)])) is None
    with pytest.raises(BlockFull):
        execution.add(bench.pay(0))
    assert len(execution.finish().receipts) == 2 + MAX_BLOCK_RECEIPT_BYTES // 1_000_000


# --- the end of a block -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["KeyError", "Refusal", "Limit", "write", "RecursionError"])
def test_block_ends_without_a_contract_when_that_one_fails_at_the_end(bench: Bench, probe: Probe, failure: str) -> None:
    second = bench.rules.contracts["second"]
    assert isinstance(second, Probe)
    probe.at_end, second.at_end = failure, "fine"
    receipts = bench.block(bench.pay(0))
    assert [receipt.code for receipt in receipts] == ["ok", "ok"]
    assert [(event.contract, event.name) for event in receipts[-1].events] == [("second", "at_end")]
    assert mark(bench, "probe") is None
    assert mark(bench, "second") == b"left behind"
    assert bench.output(bench.coin(0)) is None


def test_contracts_after_the_first_are_left_out_when_the_end_of_the_block_says_too_much() -> None:
    probes = [Probe(f"probe{number:02}") for number in range(20)]
    for probe in probes:
        probe.at_end = "shout"
    bench = Bench(*probes)
    (receipt,) = bench.block()
    said = [event.contract for event in receipt.events if event.name == "shout"]
    assert said == [probe.address for probe in probes[: len(said)]]
    assert 15 <= len(said) < 20
    assert [mark(bench, probe.address) is not None for probe in probes] == [True] * len(said) + [False] * (
        20 - len(said)
    )


def test_node_stops_when_the_state_breaks_at_the_end_of_a_block(bench: Bench, probe: Probe) -> None:
    probe.at_end = "Fatal"
    with pytest.raises(BrokenInvariant):
        bench.run([])


def test_block_counts_as_worth_making_when_only_its_end_did_something(bench: Bench, probe: Probe) -> None:
    assert not bench.run([]).calls_made
    probe.at_end = "fine"
    assert bench.run([]).calls_made
