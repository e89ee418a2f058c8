"""Bundles of everything that happens between two chains, made once for all tests, by nodes behind real sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from contracts.commission.answers import BookingsPage, BookingsQuery
from contracts.commission.orders import booking_body, correction_body, proposal_body, signature_body
from contracts.commission.records import Sale, Triggers
from contracts.messages import AUTHORISED, RESUME, SUSPEND, TERMINATE
from ledger.genesis import Genesis
from node.bundles.exporting import Exporter
from node.bundles.source import ChainSource
from node.bundles.story import Story
from node.bundles.verifying import verify_record
from node.client import Client
from node.evidence_bundle import read_bundle
from node.rpc.areas import areas_of
from node.rpc.server import RpcServer
from node.services.bodies import new_frame
from tests.node import traffic
from tests.node.services.test_supervised import NAME, Insured
from tests.node.two_chains import SELLER, Net, World, two_chains


@dataclass(frozen=True)
class Made:
    """Genesis files of both chains, and bundles by name."""

    business: Genesis
    supervision: Genesis
    bundles: dict[str, bytes]

    @property
    def geneses(self) -> list[Genesis]:
        return [self.business, self.supervision]

    def story(self, name: str) -> Story:
        return verify_record(read_bundle(self.bundles[name]), self.geneses)


class Status:
    def document(self) -> dict[str, object]:
        return {"ready": True}


@asynccontextmanager
async def source_of(net: Net, path: Path) -> AsyncIterator[ChainSource]:
    """A chain as its first node's RPC shows it."""
    core = net.core(0)
    server = RpcServer(areas_of(core.chain, core.gateway, Status(), None), core.gateway, core.intake, path)  # type: ignore[arg-type]
    await server.start()
    try:
        async with Client(path) as client:
            yield await ChainSource.open(client)
    finally:
        await server.stop()


@asynccontextmanager
async def sources(world: World, directory: Path) -> AsyncIterator[tuple[ChainSource, ChainSource]]:
    """Both chains."""
    async with AsyncExitStack() as stack:
        business = await stack.enter_async_context(source_of(world.business, directory / "b.sock"))
        supervision = await stack.enter_async_context(source_of(world.supervision, directory / "s.sock"))
        yield business, supervision


async def status_of(world: World, flow: bytes, wanted: str) -> None:
    async with asyncio.timeout(60):
        while (await traffic.flow_view(world.business.gateway, flow)).status != wanted:
            await asyncio.sleep(0.01)


async def controlled(world: Insured, flow: bytes, *actions: str) -> None:
    for counter, action in enumerate(actions, 1):
        await world.control(flow, action, counter)
        await world.world.calm()


async def _make() -> Made:
    async with two_chains(empty_block_ms=200) as world:
        await traffic.define(world)
        insured, hospital = Insured(world), world.party("City Hospital").signing
        flows: dict[str, bytes] = {}
        for name in ("note", "suspended", "terminated"):
            flows[name] = await traffic.file_note(world.business.gateway, hospital)
            await status_of(world, flows[name], "open")
        await world.calm()
        bundles = {"early": await _early(world, flows["note"])}
        await controlled(insured, flows["suspended"], SUSPEND, RESUME)
        await controlled(insured, flows["terminated"], SUSPEND, TERMINATE)
        for name in ("note", "suspended"):
            await traffic.deliver_note(world.business.gateway, hospital, flows[name])
        bad = traffic.note(subject_id="A123456789", attributes={"urgent": False})
        flows["refused"], arguments = traffic.filing(
            (await world.business.gateway.info()).chain_id,
            hospital,
            bad,
            await traffic.authority_keys(world.business.gateway),
            commitment=b"\x01" * 32,
        )
        await world.business_caller("City Hospital").call("flow", "file", arguments)
        await status_of(world, flows["refused"], "refused")
        records = await _commissions(insured)
        await world.kill_authority()
        await traffic.define(world, version=2, deadline_ms=1_000)
        flows["expired"] = await traffic.file_note(world.business.gateway, hospital)
        await status_of(world, flows["expired"], "expired")
        await world.calm()
        with tempfile.TemporaryDirectory() as directory:
            async with sources(world, Path(directory)) as (business, supervision):
                for name, flow in flows.items():
                    bundles[name] = await Exporter(business, supervision).flow(flow)
                bundles["alone"] = await Exporter(business, None).flow(flows["suspended"])
                bundles["documents"] = await Exporter(business, supervision, documents=True).flow(flows["note"])
                bundles["sealed"] = await Exporter(business, supervision).sealed_record(flows["note"], "file", 1)
                for name, record in records.items():
                    bundles[name] = await Exporter(business, supervision).booking("commission", record)
        return Made(world.business.genesis, world.supervision.genesis, bundles)


async def _early(world: World, flow: bytes) -> bytes:
    """A bundle of a flow that is not closed yet."""
    with tempfile.TemporaryDirectory() as directory:
        async with sources(world, Path(directory)) as (business, supervision):
            return await Exporter(business, supervision).flow(flow)


async def _commissions(insured: Insured) -> dict[str, bytes]:
    """Settled without a limit, reported, decided, and cancelled bookings."""
    await insured.agree()
    insured.start()
    await insured.sell("P1", 300_000)
    await insured.world.until(lambda: insured.now().paid == 9_000)
    await insured.limit(9_000)
    await insured.sell("P2", 300_000)
    await insured.world.until(lambda: insured.now().paid == 18_000)
    await insured.sell("P3", 600_000)
    await insured.decide(AUTHORISED)
    await insured.world.until(lambda: insured.now().paid == 36_000)
    await insured.cancel("P1")
    await insured.world.kill_service("settlement")
    await insured.sell("P4", 100_000)
    page = await insured.gateway.view("commission", "bookings", BookingsQuery(NAME), BookingsPage)
    names = {"P1": "cancelled", "P2": "reported", "P3": "decided", "P4": "requested"}
    found = {names[booking.policy]: booking.record.transaction_id for booking in page.bookings}
    return {**found, **await _slow_commissions(insured)}


async def _slow_commissions(insured: Insured) -> dict[str, bytes]:
    """A booking that nothing requests, and one that was corrected, under an agreement of its own."""
    assert insured.terms is not None
    height = (await insured.gateway.info()).height
    terms = replace(insured.terms, agreement="slow", triggers=Triggers(count=100), activation_height=height + 5)
    for key, body in ((insured.platform, proposal_body), (insured.insurer, signature_body)):
        side = "platform" if key is insured.platform else "insurer"
        await insured._send(body(await new_frame(insured.books, key.public), terms, side), key)
    await insured.world.until(lambda: insured.world.business.core(0).chain.tip.height >= terms.activation_height)
    sale = Sale("S1", SELLER, "health", "online", 100_000, 0, 20_260_101)
    frame = await new_frame(insured.books, insured.platform.public)
    await insured._send(booking_body(frame, terms, sale), insured.platform)
    first = await insured.books.booking("slow", "S1")
    assert first is not None
    frame = await new_frame(insured.books, insured.platform.public)
    body = correction_body(frame, terms, first, replace(sale, premium=200_000))
    await insured._send(body, insured.platform)
    second = await insured.books.booking("slow", "S1")
    assert second is not None
    return {"corrected": first.record.transaction_id, "pending": second.record.transaction_id}


@cache
def made() -> Made:
    """The bundles; they take some seconds, once a process."""
    return asyncio.run(_make())
