"""The members of PROTOCOL.md 1.4 on a chain in memory, each with a key, a gateway, and its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.commission.orders import Frame, proposal_body, signature_body
from contracts.commission.records import ANY, Agreement, MappingRow, Party, Triggers
from ledger.genesis import AccountDoc
from ledger.keys import SigningKey, key_text
from ledger.transaction import build
from node.services import BookkeepingService, ServiceSwitch, SettlementService, TransactionService
from node.services.books import CommissionBooks
from node.services.sales import RawSale, SaleOrder
from tests.node.services.fake_chain import FakeChain, FakeGateway, FakeOverlay, make_genesis, seeded_key

B, C, D = "Platform B", "Insurer C", "Member D"
PENDING = "B-health insurance-online sales-settlement pending"
SETTLED = "B-health insurance-online sales-settled"
CLAWBACK = "B-health insurance-online sales-clawback"
CASH_B, CASH_C = "B cash", "C cash"
SUPPLY = 10_000_000_00


def account_docs(keys: dict[str, SigningKey]) -> tuple[AccountDoc, ...]:
    key_b, key_c = (f"key({key_text(keys[name].public)})" for name in (B, C))
    both = f"any({key_b},{key_c})"
    return (
        AccountDoc(name=PENDING, organisation=B, lock=both),
        AccountDoc(name=SETTLED, organisation=B, lock=key_b),
        AccountDoc(name=CLAWBACK, organisation=B, lock=both),
        AccountDoc(name=CASH_B, organisation=B, lock=key_b),
        AccountDoc(name=CASH_C, organisation=C, lock=key_c),
    )


@dataclass
class Members:
    """Attributes: chain, overlay, keys by organisation, and the services that run (by organisation)."""

    chain: FakeChain
    overlay: FakeOverlay
    keys: dict[str, SigningKey]

    def gateway(self) -> FakeGateway:
        return FakeGateway(self.chain)

    @property
    def books(self) -> CommissionBooks:
        return CommissionBooks(self.gateway())

    def switch(self, organisation: str) -> ServiceSwitch:
        return ServiceSwitch(self.overlay.link(organisation), organisation)

    def frame(self, organisation: str, nonce: int = 0, address: str = "commission") -> Frame:
        sender = self.keys[organisation].public
        nonce_bytes = nonce.to_bytes(16, "big")
        return Frame(self.chain.rules.chain_id, address, sender, self.chain.height + 100, nonce_bytes)

    async def agree(self, agreement: Agreement) -> None:
        propose = build(proposal_body(self.frame(B), agreement, "platform"), (self.keys[B],))
        await self.chain.make_block(propose)
        sign = build(signature_body(self.frame(C), agreement, "insurer"), (self.keys[C],))
        await self.chain.make_block(sign)
        assert self.chain.outcomes[sign.tx_id].code == "ok", self.chain.outcomes[sign.tx_id].code
        while self.chain.height < agreement.activation_height:
            await self.chain.make_block()


def members(extra_supply: tuple[tuple[int, str], ...] | None = None) -> Members:
    keys = {name: seeded_key(name) for name in (B, C, D)}
    supply = ((SUPPLY, f"account({CASH_C})"),) if extra_supply is None else extra_supply
    return Members(FakeChain(make_genesis(keys, supply, account_docs(keys))), FakeOverlay(), keys)


def agreement_of(keys: dict[str, SigningKey], **changes: object) -> Agreement:
    found = Agreement(
        agreement="B-C-health",
        version=1,
        platform=Party(B, keys[B].public, f"account({CASH_B})"),
        insurer=Party(C, keys[C].public, f"account({CASH_C})"),
        currency="CNY",
        scale=2,
        rate_ppm=30_000,
        base="premium",
        rounding="half_up",
        mapping=(MappingRow(ANY, ANY, ANY, ANY, PENDING, SETTLED, CLAWBACK),),
        conditions=(),
        triggers=Triggers(count=3),
        max_batch=1_000,
        clawback_window_s=30 * 86_400,
        activation_height=5,
    )
    return structs_replace(found, **changes)


def structs_replace(record: Agreement, **changes: object) -> Agreement:
    import msgspec

    return msgspec.structs.replace(record, **changes)


def sale(policy: str, premium: str, **changes: object) -> SaleOrder:
    raw = RawSale(policy, B, "health insurance", "online sales", premium, 20_260_101, **changes)  # type: ignore[arg-type]
    return SaleOrder(1, "book", "B-C-health", b"", raw)


@asynccontextmanager
async def running(*services: TransactionService | BookkeepingService | SettlementService) -> AsyncIterator[None]:
    """Runs services in a task group, as the daemon does, and cancels them at the end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service.run()) for service in services]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def settled(world: Members, agreement: str = "B-C-health", requests: int = 1) -> None:
    """Waits until that many settlement events are in the chain."""
    async with asyncio.timeout(10):
        while len(world.chain.events_named("commission_settled")) < requests:
            await world.chain.wait_above(world.chain.height + 1)
