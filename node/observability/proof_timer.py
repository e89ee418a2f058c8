"""Measures how long deliveries and followed headers take to execute, from outside: contracts have no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

from contracts.interface import CallContext, Contract
from ledger.encoding import Record
from node.chain import Chain
from node.observability.histogram import WORK_S, Histogram

METHODS: Final = ("deliver", "follow")


def time_proofs(chain: Chain) -> Mapping[str, Histogram]:
    """Puts a stopwatch around the bridge's methods that verify proofs; their seconds by method, none without a bridge.

    Every execution counts: the mempool's check, the proposal's, and that of others' proposals. Signatures are only
    verified in the first of them.
    """
    contract = chain.rules.contracts.get(chain.rules.address_of("bridge"))
    if contract is None:
        return {}
    seconds = {name: Histogram(WORK_S) for name in METHODS}
    timed = {name: _timed(contract, name, seconds[name]) for name in METHODS}
    # This instance's table shadows that of its class: other instances, of other chains, have their own.
    vars(contract)["methods"] = {**contract.methods, **timed}
    return seconds


def _timed(contract: Contract, name: str, seconds: Histogram) -> Any:
    method = contract.methods[name]

    def run(instance: Contract, context: CallContext, arguments: Record) -> Record | None:
        begun = perf_counter()
        try:
            return method.run(instance, context, arguments)
        finally:
            seconds.observe(perf_counter() - begun)

    return replace(method, run=run)
