"""A prescription from filing to delivery, and its bundle, over a supervision chain whose committee rotates."""

from __future__ import annotations

import asyncio
import tempfile
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from contracts.admission.calls import AdmitPatient
from contracts.decisions import Decide
from contracts.flow.calls import Item
from contracts.messages import AUTHORISED, Decision
from contracts.supervision.answers import PageQuery, RequestsPage, RequestView
from ledger.keys import SigningKey
from ledger.rotation import GroupDoc, RotationDoc
from ledger.sealing import new_document
from node.bundles.exporting import Exporter
from node.calling import Caller
from node.consortium.plan import OFFICERS_NEEDED
from node.flow.client import FlowClient
from node.flow.documents import order_document
from node.flow.errors import StageRefused
from node.regulator import participants
from tests.node.bundles.made import Made, sources
from tests.node.flow.imports import sample
from tests.node.services.test_supervised import NAME, Insured
from tests.node.two_chains import World, two_chains

PATIENT = SigningKey(b"p" * 32)
GROUPS = (
    GroupDoc(name="regulator", organisations=(), exempt=True),
    GroupDoc(name="operations", organisations=("Regulator 4",), seats=1),
)
INTERVAL = 4


async def release_held(world: World, officers: list[Caller]) -> None:
    """Officers release the request that waits for them."""

    def pending() -> tuple[RequestView, ...]:
        return world.view(world.supervision, "supervision", "pending", PageQuery(0, 100), RequestsPage).requests

    await world.until(pending, 60)
    asked = pending()[0].request
    decision = Decision(asked.flow, asked.stage, asked.attempt, asked.commitment, AUTHORISED, "")
    for officer in officers:
        await officer.call("supervision", "decide", Decide(decision, b"", (), b""))


async def prescribe(world: World) -> bytes:
    """The flow's id; it is delivered."""
    party = world.party
    hospital, platform, reviewer = party("City Hospital"), party("Prescription Platform P"), party("Reviewer 1")
    pharmacy, payer = party("Pharmacy 1"), party("Payer")
    async with FlowClient(world.business.gateway) as client:
        arguments = AdmitPatient((bytes(PATIENT.public),), client.watcher.time_ms + 86_400_000)
        await client.submitter.call(platform.signing, "admit_patient", arguments, contract="admission")
        document = new_document(sample()[0].document, "application/fhir+json")
        filed = await client.file(hospital.signing, document, platform=platform.key, patient=PATIENT.public)
        flow = filed.flow
        authorisation = (await client.until_done(flow, "file", timeout_s=60)).authorisation
        await client.request_review(pharmacy.signing, authorisation)
        with pytest.raises(StageRefused):
            await client.until_granted(flow, "review", timeout_s=60)
        await client.request_review(reviewer.signing, authorisation)
        await client.until_granted(flow, "review", timeout_s=60)
        await client.release(platform.signing, platform.sealing, flow)
        await client.opinion(reviewer.signing, flow, approve=True)
        await client.until_done(flow, "opinion", timeout_s=60)
        order = order_document(bytes(32), flow, pharmacy.key, sample()[0].document)
        # Orders from that pharmacy are held from now on: officers release this one.
        officers = [world.officer(index) for index in range(OFFICERS_NEEDED)]
        assert await participants.set_class(officers, pharmacy.organisation, "controlled")
        await client.request_order(PATIENT, authorisation, pharmacy.key, order)
        await release_held(world, officers)
        await client.until_granted(flow, "order", timeout_s=60)
        await client.place(PATIENT, flow, pharmacy.key, order)
        items = (Item("310965", "medicare", 25_500), Item("1", "medicare", 1))
        payment = await client.fulfil(
            pharmacy.signing, flow, asset="USD", items=items, payer=bytes(payer.key), accept=True
        )
        await client.pay(payment, PATIENT, payer.signing, bank=client.bank(party("Bank").signing))
        await client.until_done(flow, "settle", timeout_s=60)
        await client.deliver(pharmacy.signing, flow)
        return flow


async def _make() -> Made:
    rotation = RotationDoc(committee=4, epoch_blocks=4, groups=GROUPS)
    options = {"empty_block_ms": 100, "checkpoint_interval": INTERVAL}
    async with two_chains(supervision_validators=5, rotation=rotation, **options) as world:
        flow = await prescribe(world)
        insured = Insured(world)
        await insured.agree()
        insured.start()
        await insured.sell("P1", 300_000)
        await world.until(lambda: insured.now().paid == 9_000, 60)
        booking = await insured.books.booking(NAME, "P1")
        assert booking is not None
        await world.calm(60)
        chains = [net.core(0).chain for net in (world.business, world.supervision)]
        goals = [chain.tip.height + 3 * INTERVAL for chain in chains]
        await world.until(lambda: all(c.tip.height > goal for c, goal in zip(chains, goals, strict=True)), 60)
        with tempfile.TemporaryDirectory() as directory:
            async with sources(world, Path(directory)) as (business, supervision):
                bundles = {
                    "prescription": await Exporter(business, supervision).flow(flow),
                    "whole": await Exporter(business, supervision, documents=True).flow(flow),
                    "opinion": await Exporter(business, supervision).sealed_record(flow, "opinion", 1),
                }
                record = booking.record.transaction_id
                bundles["booked"] = await Exporter(business, supervision).booking("commission", record)
                with patch("node.bundles.source.PAGE_BLOCKS", 4), patch("node.bundles.exporting.PAGE_BLOCKS", 4):
                    bundles["paged"] = await Exporter(business, supervision).flow(flow)
        return Made(world.business.genesis, world.supervision.genesis, bundles)


@cache
def prescribed() -> Made:
    """The bundles; once a process."""
    return asyncio.run(_make())
