"""Settlements and the regulator, as far as the commission contract itself decides; the rest is the gate's."""

from __future__ import annotations

from msgspec.structs import replace

from contracts.commission.calls import Settle, SettlementReport
from contracts.commission.codes import REPORT_UNASKED
from contracts.flow.calls import flow_id
from contracts.messages import SETTLE
from ledger.encoding import Codec, encode
from ledger.envelope import EnvelopeContext, commitment_of
from ledger.sealing import new_document, seal
from ledger.sealing_keys import DecryptionKey
from ledger.transaction import MAX_CALL_BYTES
from tests.contracts.commission.world import CURRENCY, INSURER, World, agreement, lock_of, sale, with_call

settle_codec = Codec(Settle, MAX_CALL_BYTES)


def reported(world: World, body: bytes = b"{}") -> SettlementReport:
    """A report as an insurer under supervision makes it."""
    document = new_document(body, "application/json")
    commitment = commitment_of(document)
    flow = flow_id(world.chain_id, INSURER.public, commitment)
    context = EnvelopeContext(world.chain_id, flow, SETTLE, INSURER.public, commitment)
    return SettlementReport(commitment, seal(document, context, [DecryptionKey.generate_x25519(1).public], INSURER))


def due() -> tuple[World, object]:
    world = World()
    terms = world.agree(agreement())
    world.block(*[world.booking(terms, sale(f"P{number}")) for number in range(3)])
    return world, terms


def test_report_is_refused_where_nobody_asks_for_one():
    """Without contract ``flow`` there is no regulator, and nobody who would store what was sealed."""
    world, terms = due()
    settlement = world.settlement(terms)
    arguments = settle_codec.decode(settlement.body.calls[0].arguments)
    with_report = with_call(world, settlement, replace(arguments, report=reported(world)))
    world.run(with_report, "commission_report_unasked")
    assert REPORT_UNASKED == "commission_report_unasked"
    assert world.books().paid == 0
    assert world.total(CURRENCY, lock_of(INSURER)) == 2 * 10**12, "nothing was paid"
    world.run(settlement)
    assert world.books().paid == 27_000


def test_report_is_refused_where_nothing_is_paid():
    world, terms = due()
    world.run(world.settlement(terms))
    for number in range(3):
        world.run(world.cancellation(terms, f"P{number}"))
    world.run(world.booking(terms, sale("small", 10_000)))
    world.run(world.early(terms))
    settlement = world.settlement(terms, 2)
    arguments = settle_codec.decode(settlement.body.calls[0].arguments)
    assert world.plan(terms, 2).paid == 0
    world.run(with_call(world, settlement, replace(arguments, report=reported(world))), "commission_report_unasked")
    world.run(settlement)


def test_settlement_without_report_is_what_it_was_before_there_were_reports():
    """The last field of ``settle`` is optional: what insurers without a regulator send stays the same call."""
    world, terms = due()
    arguments = settle_codec.decode(world.settlement(terms).body.calls[0].arguments)
    assert arguments.report is None
    assert settle_codec.decode(encode(arguments)) == arguments
