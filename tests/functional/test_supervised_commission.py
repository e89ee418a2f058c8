"""A commission above the regulator's limit, with real daemons: it waits for the officers, and then pays at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.commission.answers import Books, BooksQuery
from contracts.commission.orders import booking_body, proposal_body, signature_body
from contracts.commission.records import ANY, Agreement, MappingRow, Party, Sale, Triggers
from contracts.decisions import Decide, SetLimit
from contracts.flow.answers import FlowsPage, FlowsQuery, FlowView, LimitsAnswer
from contracts.flow.answers import Nothing as NoQuestion
from contracts.messages import AUTHORISED, SETTLE, Decision, Limit
from contracts.supervision.answers import PageQuery, RequestsPage
from ledger.genesis import Parameters
from ledger.keys import key_text
from ledger.transaction import build
from node.calling import Caller
from node.consortium.plan import OFFICERS_NEEDED
from node.network import AccountPlan
from node.services.bodies import new_frame
from node.services.books import CommissionBooks
from tests.functional.load import until
from tests.functional.supervised import Supervised, consortium

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

NAME = "B-C"
EITHER = "any(key({Platform B}),key({Insurer C}))"
ACCOUNTS = tuple(AccountPlan(f"B {use}", "Platform B", EITHER) for use in ("pending", "settled", "clawback"))


class Commissions:
    """Platform B and Insurer C of a consortium, with an agreement that requests each booking at once."""

    def __init__(self, net: Supervised) -> None:
        self.net = net
        self.client = net.business
        self.books = CommissionBooks(net.business, "commission")
        self.platform, self.insurer = (
            net.consortium.business.node(name).keys().member for name in ("Platform B", "Insurer C")
        )
        self.terms: Agreement | None = None

    async def _send(self, body, key) -> None:
        outcome = await self.client.submit_and_wait(build(body, [key]), 60)
        assert (outcome.status, outcome.code) == ("committed", "ok")

    async def agree(self) -> None:
        height = (await self.client.info()).height
        self.terms = Agreement(
            agreement=NAME,
            version=1,
            platform=Party("Platform B", self.platform.public, f"key({key_text(self.platform.public)})"),
            insurer=Party("Insurer C", self.insurer.public, f"key({key_text(self.insurer.public)})"),
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

        async def in_force() -> bool:
            return (await self.client.info()).height >= height + 5

        await until(in_force, "the agreement is in force", 60)

    async def _frame(self, key):
        return await new_frame(self.books, key.public)

    async def sell(self, policy: str, premium: int) -> None:
        assert self.terms is not None
        sale = Sale(policy, "Platform B", "health", "online", premium, 0, 20_260_101, insured=b"\x07" * 32)
        await self._send(booking_body(await self._frame(self.platform), self.terms, sale), self.platform)

    async def paid(self) -> int:
        return (await self.client.view("commission", "books", BooksQuery(NAME), Books)).paid

    async def until_paid(self, amount: int) -> None:
        async def there() -> bool:
            return await self.paid() == amount

        await until(there, f"{amount} is paid", 90)

    async def flows(self) -> tuple[FlowView, ...]:
        query = FlowsQuery("commission", "", b"", newest=False, after=0, limit=100)
        return (await self.client.view("flow", "flows", query, FlowsPage)).flows

    def officers(self) -> list[Caller]:
        parties = list(self.net.consortium.officers)[:OFFICERS_NEEDED]
        return [Caller(self.net.supervision, party.signing) for party in parties]

    async def limit(self, counter: int, amount: int) -> None:
        for officer in self.officers():
            await officer.call("supervision", "set_limit", SetLimit(Limit("commission", "CNY", counter, amount)))

        async def arrived() -> bool:
            found = (await self.client.view("flow", "limits", NoQuestion(), LimitsAnswer)).limits
            return [limit.amount for limit in found] == [amount]

        await until(arrived, "the limit holds on the business chain", 60)

    async def approve(self) -> None:
        async def waiting():
            return (await self.net.supervision.view("supervision", "pending", PageQuery(0, 10), RequestsPage)).requests

        (held,) = await until(waiting, "the settlement waits for officers", 60)
        asked = held.request
        decision = Decision(asked.flow, asked.stage, asked.attempt, asked.commitment, AUTHORISED, "")
        for officer in self.officers():
            await officer.call("supervision", "decide", Decide(decision, b"", (), b""))


async def test_settlements_are_reported_below_the_limit_and_decided_above_it(tmp_path: Path) -> None:
    quick = Parameters(empty_block_ms=500)
    async with consortium(tmp_path, fusion_nodes=1, accounts=ACCOUNTS, parameters=quick) as net:
        world = Commissions(net)
        await world.agree()
        await world.limit(1, 9_000)
        await world.sell("P1", 300_000)
        await world.until_paid(9_000)
        (reported,) = await world.flows()
        assert (reported.amount, reported.used) == (9_000, True)

        async def stored() -> bytes:
            (flow,) = await world.flows()
            return next(stage.hash for stage in flow.stages if stage.stage == SETTLE)

        storage_hash = await until(stored, "the report's storage hash is on the business chain", 60)
        assert (await net.supervision.outcome(storage_hash)).status == "committed"

        await world.sell("P2", 400_000)

        async def filed() -> bool:
            return len(await world.flows()) == 2

        await until(filed, "the settlement above the limit is filed", 60)
        assert await world.paid() == 9_000
        # The insurer's node dies while the regulator thinks, and remembers nothing.
        insurer = net.consortium.business.node("Insurer C").name
        await net.net.business.kill(insurer)
        await net.net.business.start_one(insurer)
        await world.approve()
        await world.until_paid(21_000)
        assert [flow.status for flow in await world.flows()] == ["closed", "closed"]
        assert len(await world.flows()) == 2
