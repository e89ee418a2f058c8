"""After a supervision chain that contradicted itself was replaced, nothing of what its liars showed still counts."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.bridge.clients import newest_time_ms
from contracts.bridge.records import REPLACE_CLIENT
from contracts.flow.codes import SUPERVISION_FROZEN, SUPERVISION_STALE
from contracts.flow.kinds import DEFAULT_STALENESS_MS
from ledger.block import OK, Event, Receipt, receipts_root
from ledger.encoding import encode
from ledger.packet import LANE_EVENT, Delivery, LaneHead
from ledger.types import ZERO_HASH
from tests.attacks.test_withheld_control import Withheld
from tests.contracts.bridge import kit
from tests.contracts.bridge.forging import next_header, proof, show
from tests.contracts.bridge.kit import BRIDGE, FUSION, SUPERVISION, call, certify

YEARS_MS = 10 * 366 * 86_400_000


def block_of_the_future(chains: Withheld) -> Delivery:
    """A certified block of ten years from now, by whose end nothing new has been said."""
    supervision = chains.supervision
    sent = chains.business.view(BRIDGE, "lane", kit.RoleQuery(SUPERVISION)).watermark
    head = Event(BRIDGE, LANE_EVENT, encode(LaneHead(chains.business.chain_id, sent)))
    end = encode(Receipt(ZERO_HASH, OK, (head,), ()))
    header = next_header(supervision, receipts_root=receipts_root([end]), time_ms=supervision.time_ms + YEARS_MS)
    return Delivery(proof(header, supervision.deciders[-1]), (show([end], 0),), (), ())


def test_withheld_suspend_still_stops_a_flow_when_liars_had_shown_a_block_of_the_future() -> None:
    chains = Withheld()
    chains.placed()
    chains.fresh()
    future = block_of_the_future(chains)
    kit.deliver(chains.business, future, step_ms=10)
    assert newest_time_ms(chains.business.context("flow"), SUPERVISION) > chains.business.time_ms + YEARS_MS // 2
    # Another block of that height, as certified: the client freezes, and governance replaces it.
    chains.supervision.block()
    other = replace(future.proof.header, time_ms=future.proof.header.time_ms + 1)
    contradiction = Delivery(
        replace(future.proof, header=other, certificate=certify(other, chains.supervision.deciders[-2])), (), (), ()
    )
    chains.business.run(chains.business.tx(FUSION, call(BRIDGE, "deliver", contradiction)))
    chains.accept(SUPERVISION_FROZEN)
    chains.business.govern(BRIDGE, REPLACE_CLIENT, kit.registration(chains.supervision, SUPERVISION))
    assert newest_time_ms(chains.business.context("flow"), SUPERVISION) <= chains.supervision.time_ms
    chains.suspend_in_secret()
    chains.headers_alone(chains.supervision.time_ms + DEFAULT_STALENESS_MS + 1, chains.end_of_block)
    chains.accept(SUPERVISION_STALE)
