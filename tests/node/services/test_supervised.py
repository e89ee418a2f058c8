"""Commissions under supervision, end to end on two chains: reported below the limit, decided above it, paid once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.commission.answers import Books, BooksQuery
from contracts.commission.orders import booking_body, cancellation_body, proposal_body, signature_body
from contracts.commission.records import ANY, Agreement, MappingRow, Party, Sale, Triggers
from contracts.decisions import ControlFlow, Decide
from contracts.flow.answers import FlowsPage, FlowsQuery, FlowView, LimitsAnswer
from contracts.flow.answers import Nothing as NoQuestion
from contracts.messages import AUTHORISED, FILE, REFUSED, RESUME, SETTLE, SUSPEND, Control, Decision
from contracts.supervision.answers import PageQuery, RecordsPage, RecordView, RequestQuery, RequestsPage
from ledger.keys import key_text
from ledger.transaction import build
from node.consortium.plan import OFFICERS_NEEDED
from node.regulator import participants
from node.services.bodies import new_frame
from node.services.books import CommissionBooks
from node.services.rewrapping import open_record
from node.services.settlement import SettlementService
from tests.node.two_chains import INSURER, SELLER, World, two_chains

NAME = "B-C"


class Unlinked:
    """No other node to ask."""

    def serve(self, service, handler) -> None:
        pass

    async def request(self, node, service, payload, timeout_s=10.0) -> bytes:
        raise NotImplementedError


class Insured:
    """A world with a commission agreement: each booking is requested at once, at 3 %."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gateway = world.business.gateway
        self.books = CommissionBooks(self.gateway, "commission")
        self.platform = world.business.member(SELLER).member
        self.insurer = world.business.member(INSURER).member
        self.terms: Agreement | None = None

    async def _send(self, body, *keys) -> None:
        outcome = await self.gateway.submit_and_wait(build(body, keys), 20)
        assert (outcome.status, outcome.code) == ("committed", "ok")

    async def agree(self) -> None:
        height = (await self.gateway.info()).height
        self.terms = Agreement(
            agreement=NAME,
            version=1,
            platform=Party(SELLER, self.platform.public, f"key({key_text(self.platform.public)})"),
            insurer=Party(INSURER, self.insurer.public, f"key({key_text(self.insurer.public)})"),
            currency="CNY",
            scale=2,
            rate_ppm=30_000,
            base="premium",
            rounding="half_up",
            mapping=(MappingRow(ANY, ANY, ANY, ANY, "B pending", "B settled", "B clawback"),),
            conditions=(),
            triggers=Triggers(count=1),
            max_batch=1_000,
            clawback_window_s=1_000_000,
            activation_height=height + 5,
        )
        await self._send(proposal_body(await self._frame(self.platform), self.terms, "platform"), self.platform)
        await self._send(signature_body(await self._frame(self.insurer), self.terms, "insurer"), self.insurer)
        await self.world.until(lambda: self.world.business.core(0).chain.tip.height >= self.terms.activation_height, 30)

    async def _frame(self, key):
        return await new_frame(self.books, key.public)

    async def sell(self, policy: str, premium: int) -> None:
        sale = Sale(policy, SELLER, "health", "online", premium, 0, 20_260_101, insured=b"\x07" * 32)
        await self._send(booking_body(await self._frame(self.platform), self.terms, sale), self.platform)

    async def cancel(self, policy: str) -> None:
        booking = await self.books.booking(NAME, policy)
        await self._send(cancellation_body(await self._frame(self.platform), self.terms, booking), self.platform)

    def start(self) -> None:
        service = SettlementService(self.gateway, Unlinked(), self.insurer, INSURER)
        self.world.run_service("settlement", service.run())

    def now(self) -> Books:
        return self.world.view(self.world.business, "commission", "books", BooksQuery(NAME), Books)

    async def received(self) -> int:
        """What the platform was paid in the currency, in minor units."""
        found = await self.gateway.unspent(f"key({key_text(self.platform.public)})", asset="CNY")
        return sum(item.output.amount for item in found)

    def flows(self) -> tuple[FlowView, ...]:
        query = FlowsQuery("commission", "", b"", newest=False, after=0, limit=100)
        return self.world.view(self.world.business, "flow", "flows", query, FlowsPage).flows

    async def limit(self, amount: int, counter: int = 1) -> None:
        await self.world.set_limit(counter, amount)

        def arrived() -> bool:
            found = self.world.view(self.world.business, "flow", "limits", NoQuestion(), LimitsAnswer).limits
            return [limit.amount for limit in found] == [amount]

        await self.world.until(arrived)

    # --- the regulator ------------------------------------------------------------------------------------------------

    def pending(self):
        return self.world.view(
            self.world.supervision, "supervision", "pending", PageQuery(0, 100), RequestsPage
        ).requests

    async def decide(self, outcome: str, reason: str = "") -> None:
        await self.world.until(self.pending)
        request = self.pending()[0].request
        decision = Decision(request.flow, request.stage, request.attempt, request.commitment, outcome, reason)
        for index in range(OFFICERS_NEEDED):
            await self.world.officer(index).call("supervision", "decide", Decide(decision, b"", (), b""))

    async def control(self, flow: bytes, action: str, counter: int) -> None:
        for index in range(OFFICERS_NEEDED):
            order = ControlFlow(Control(flow, counter, action, "inspection"))
            await self.world.officer(index).call("supervision", "control", order)

    async def stored(self) -> list[tuple[RecordView, dict]]:
        """Sealed records of the supervision chain, opened with the authority's key."""
        gateway = self.world.supervision.gateway
        page = await gateway.view("supervision", "records", PageQuery(0, 100), RecordsPage)
        found = []
        for ref in page.records:
            query = RequestQuery(ref.flow, ref.stage, ref.attempt)
            record = await gateway.view("supervision", "record", query, RecordView)
            found.append((record, json.loads((await open_record(gateway, record, self.world.sealing[0])).body)))
        return found


@asynccontextmanager
async def insured(**options: int) -> AsyncIterator[Insured]:
    async with two_chains(empty_block_ms=200, **options) as world:
        made = Insured(world)
        await made.agree()
        made.start()
        yield made


async def paid(world: Insured, amount: int) -> None:
    await world.world.until(lambda: world.now().paid == amount)
    assert await world.received() == amount


async def test_settlement_is_paid_at_once_where_the_regulator_set_no_limit():
    async with insured() as world:
        await world.sell("P1", 300_000)
        await paid(world, 9_000)
        assert world.flows() == ()


async def test_settlement_at_the_limit_is_paid_and_reported_in_the_same_transaction():
    async with insured() as world:
        await world.limit(9_000)
        await world.sell("P1", 300_000)
        await paid(world, 9_000)
        (flow,) = world.flows()
        assert (flow.asset, flow.amount, flow.used) == ("CNY", 9_000, True)
        await world.world.calm()
        await world.world.until(lambda: next(s for s in world.flows()[0].stages if s.stage == SETTLE).status == "done")
        settled = next(stage for stage in world.flows()[0].stages if stage.stage == SETTLE)
        (found,) = await world.stored()
        record, content = found
        assert settled.hash == record.request.transaction, "the storage hash"
        assert (content["paid"], content["insurer"], content["records_total"]) == (9_000, INSURER, 1)
        assert record.request.status == AUTHORISED


async def test_settlement_above_the_limit_waits_for_officers_and_then_pays():
    async with insured() as world:
        await world.limit(8_999)
        await world.sell("P1", 300_000)
        await world.world.until(world.pending)
        assert (world.now().paid, await world.received()) == (0, 0)
        assert world.flows()[0].status == "filing"
        await world.decide(AUTHORISED)
        await paid(world, 9_000)
        (flow,) = world.flows()
        assert (flow.status, flow.used) == ("closed", True)
        ((_, content),) = await world.stored()
        assert content["paid"] == 9_000
        assert content["request"] == flow.subject.hex()


async def test_authority_alone_decides_when_the_insurer_is_on_the_white_list():
    async with insured() as world:
        officers = [world.world.officer(index) for index in range(OFFICERS_NEEDED)]
        assert await participants.set_class(officers, INSURER, "full")
        await world.limit(0)
        await world.sell("P1", 300_000)
        await paid(world, 9_000)
        assert world.pending() == ()


async def test_nothing_is_paid_when_the_regulator_refuses():
    async with insured() as world:
        await world.limit(0)
        await world.sell("P1", 300_000)
        await world.decide(REFUSED, "not_this_one")
        await world.world.until(lambda: world.flows()[0].status == "refused")
        await world.world.calm()
        filing = world.flows()[0].stages[0]
        assert (filing.stage, filing.reason) == (FILE, "not_this_one")
        # Another request passes meanwhile, and the refused one stays what it is.
        await world.sell("P2", 100_000)
        await world.decide(AUTHORISED)
        await paid(world, 3_000)
        assert world.now().pending == 9_000
        assert len(world.flows()) == 2


async def test_settlement_waits_when_the_limit_was_lowered_before_it_was_paid():
    async with insured() as world:
        await world.world.kill_service("settlement")
        await world.limit(10_000)
        await world.sell("P1", 300_000)
        await world.limit(5_000, counter=2)
        world.start()
        await world.world.until(world.pending)
        assert world.now().paid == 0
        await world.decide(AUTHORISED)
        await paid(world, 9_000)


async def test_settlement_is_reported_when_the_limit_was_raised_while_it_waited():
    async with insured() as world:
        await world.limit(1_000)
        await world.sell("P1", 300_000)
        await world.world.until(world.pending)
        await world.limit(9_000, counter=2)
        await paid(world, 9_000)
        assert (
            [flow.reported for flow in world.flows()] == [False, True] if hasattr(world.flows()[0], "reported") else 1
        )
        assert len(world.flows()) == 2


async def test_another_decision_is_asked_for_when_a_clawback_changed_the_amount_meanwhile():
    async with insured() as world:
        await world.sell("P0", 200_000)
        await paid(world, 6_000)
        await world.limit(1_000)
        await world.sell("P1", 300_000)
        await world.world.until(world.pending)
        await world.cancel("P0")
        await world.decide(AUTHORISED)
        # 9,000 was authorised, and 3,000 is what is to be paid now: that is another amount.
        await world.world.until(lambda: len(world.flows()) == 2)
        assert world.now().paid == 6_000
        assert [flow.amount for flow in world.flows()] == [9_000, 3_000]
        await world.decide(AUTHORISED)
        await world.world.until(lambda: world.now().paid == 9_000)
        assert await world.received() == 6_000 + 3_000


async def test_nothing_is_paid_while_the_authorised_flow_is_suspended():
    async with insured() as world:
        await world.limit(0)
        await world.world.kill_service("settlement")
        await world.sell("P1", 300_000)
        world.start()
        await world.world.until(world.pending)
        await world.world.kill_service("settlement")
        await world.decide(AUTHORISED)
        await world.world.until(lambda: world.flows()[0].status == "open")
        flow = world.flows()[0].flow
        await world.control(flow, SUSPEND, 1)
        await world.world.until(lambda: world.flows()[0].suspended)
        world.start()
        tip = world.world.business.core(0).chain.tip.height
        await world.world.until(lambda: world.world.business.core(0).chain.tip.height > tip + 4)
        assert world.now().paid == 0
        await world.control(flow, RESUME, 2)
        await paid(world, 9_000)


@pytest.mark.parametrize("restarts", [1, 3])
async def test_settlement_is_filed_once_when_the_service_restarts_while_it_waits(restarts: int):
    async with insured() as world:
        await world.limit(0)
        await world.sell("P1", 300_000)
        await world.world.until(world.pending)
        for _ in range(restarts):
            await world.world.kill_service("settlement")
            world.start()
        tip = world.world.business.core(0).chain.tip.height
        await world.world.until(lambda: world.world.business.core(0).chain.tip.height > tip + 3)
        assert len(world.flows()) == 1
        await world.decide(AUTHORISED)
        await paid(world, 9_000)
