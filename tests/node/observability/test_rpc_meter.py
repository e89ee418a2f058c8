"""Requests are counted by method and code, in bounded memory whatever is asked."""

from __future__ import annotations

from node.observability.rpc_meter import MAX_CODES, MAX_METHODS, OTHER, RpcMeter


def test_requests_are_counted_by_method_and_code_when_they_are_answered() -> None:
    meter = RpcMeter()
    meter.observe("tx.submit", "ok", 0.002)
    meter.observe("tx.submit", "ok", 0.004)
    meter.observe("tx.submit", "replayed", 0.001)
    assert meter.requests == {("tx.submit", "ok"): 2, ("tx.submit", "replayed"): 1}
    assert meter.seconds["tx.submit"].count == 3


def test_memory_stays_bounded_when_every_request_names_another_method() -> None:
    meter = RpcMeter()
    for number in range(10 * MAX_CODES):
        meter.observe(f"made.up{number}", f"code{number}", 0.001)
    assert len(meter.seconds) <= MAX_METHODS + 1
    assert len(meter.requests) <= MAX_CODES + 1
    assert sum(meter.requests.values()) == 10 * MAX_CODES
    assert meter.requests[OTHER, OTHER] > 0


def test_limits_are_counted_apart_when_no_method_was_called() -> None:
    meter = RpcMeter()
    meter.refuse("overloaded")
    meter.refuse("overloaded")
    assert (meter.refused, meter.requests) == ({"overloaded": 2}, {})
