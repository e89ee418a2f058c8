"""The demo from the first key to the last check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

from ledger.keys import key_text
from node.cli.output import Report
from node.consortium.plan import EPOCH_BLOCKS, PURSE_MINOR, PURSES, create_consortium
from node.consortium.running import ConsortiumNet
from node.demo import changes, charges, epochs, example
from node.demo.agreeing import agree
from node.demo.audit import Audit, expected
from node.demo.cast import Member
from node.demo.flow_audit import FlowAudit, read_claims
from node.demo.prescriptions import DATA, Played, Prescriptions, check_prescriptions, document
from node.demo.stage import (
    CASH_B,
    CASH_C,
    EXAMPLE_LINE,
    FUNDS,
    IMPORT_LINE,
    INSURER,
    PLATFORM,
    account_names,
    plan,
    survives_a_loss,
)
from node.demo.telling import (
    heading,
    show_checks,
    show_example,
    show_import,
    show_loss,
    show_network,
    show_prescriptions,
    show_requests,
    show_verdict,
)
from node.devnet import Devnet

T = TypeVar("T")
READY_S: Final = 60.0


class Story:
    """One performance.

    Args:
        report: where it is told.
        directory: an empty directory for homes and keys.
        validators: nodes that decide on the business chain.
        supervision_validators: the same on the supervision chain.
        committee: how many of those decide at a time; 0: all.
        epoch_blocks: heights that a committee decides.
    """

    def __init__(
        self,
        report: Report,
        directory: Path,
        validators: int,
        supervision_validators: int,
        *,
        committee: int = 0,
        epoch_blocks: int = EPOCH_BLOCKS,
    ) -> None:
        self._report = report
        self._directory = directory
        self._validators = validators
        self._supervision_validators = supervision_validators
        self._committee, self._epoch_blocks = committee, epoch_blocks
        self._began = monotonic()

    async def play(self) -> dict[str, Any]:
        """Plays everything; the result is what ``--json`` writes. Every daemon is stopped when this returns.

        Raises:
            TidegateError: a step did not go as it must. Failed checks do not raise, they are in ``checks``.
        """
        report = self._report
        with report.progress("making keys, certificates and genesis"):
            setting = replace(
                plan(self._directory, self._validators, self._supervision_validators),
                committee=self._committee,
                epoch_blocks=self._epoch_blocks,
            )
            consortium = await asyncio.to_thread(create_consortium, setting)
        show_network(report, consortium, self._directory)
        async with AsyncExitStack() as stack:
            net = await stack.enter_async_context(ConsortiumNet(self._directory))
            devnet = net.business
            with report.progress("starting daemons"):
                await net.start(timeout_s=READY_S)
                await devnet.wait_ready(timeout_s=READY_S, peers=len(consortium.business.nodes) - 1)
            by_name = {node.organisation: node for node in consortium.business.nodes}
            platform = await stack.enter_async_context(Member(by_name[PLATFORM]))
            insurer = await stack.enter_async_context(Member(by_name[INSURER]))
            return await self._play(net, platform, insurer)

    async def _play(self, net: ConsortiumNet, platform: Member, insurer: Member) -> dict[str, Any]:
        devnet = net.business
        played = await self._example(platform, insurer)
        imported, caught_up = await self._import(devnet, platform, insurer)
        supervised = await self._prescriptions(net)
        acknowledged = [tx_id.hex() for member in (platform, insurer) for tx_id in member.acknowledged]
        with self._report.progress("auditing"):
            audit = Audit({node.name: str(node.socket) for node in devnet.network.nodes})
            books, height, hashes = await asyncio.to_thread(self._audit, audit, acknowledged, played.paid)
            accounts = await asyncio.to_thread(self._accounts, audit)
            flows = await asyncio.to_thread(self._audit_flows, net, audit, supervised)
        show_checks(self._report, audit.checks)
        seconds = round(monotonic() - self._began, 1)
        show_verdict(self._report, audit.checks, height, seconds)
        return {
            "example": {
                "pending": [booking.commission for booking in played.bookings],
                "settled": played.settled,
                "paid": played.paid,
                "request_hash": played.request.batch_hash.hex(),
                "accounts": accounts,
            },
            "import": {
                "policies": len(imported.plan.sales),
                **books,
                # What is not in the file and is needed to recompute the books: None is a cancellation.
                "changes": [{"row": change.row, "premium": change.premium} for change in changes.CHANGES],
            },
            "validators": self._validators,
            "height": height,
            "state_hash": {name: found for name, found in hashes.items() if name not in net.consortium.fusion},
            "killed": {"node": None if imported.loss is None else imported.loss.node, "caught_up": caught_up},
            **flows,
            "seconds": seconds,
            "checks": [{"name": check.name, "ok": check.ok} for check in audit.checks],
        }

    async def _example(self, platform: Member, insurer: Member) -> example.Example:
        with self._report.progress("agreeing on 3 % of health insurance"):
            await agree(platform, insurer, example.AGREEMENT, EXAMPLE_LINE, count=3)
        with self._report.progress("selling three policies"):
            played = await example.play(platform, insurer, PLATFORM)
        show_example(self._report, played)
        return played

    async def _import(self, devnet: Devnet, platform: Member, insurer: Member) -> tuple[charges.Imported, bool | None]:
        report = self._report
        with report.progress("agreeing on 3 % of medical insurance"):
            terms = await agree(platform, insurer, charges.AGREEMENT, IMPORT_LINE, count=100)
        victim = f"node{self._validators - 1}" if survives_a_loss(self._validators) else None
        began = monotonic()
        with report.progress(f"booking {charges.FILE.name}", 900) as advance:
            imported = await charges.import_charges(platform, terms, devnet, victim, advance)
        show_import(report, imported, monotonic() - began)
        caught_up: bool | None = None
        if victim is not None:
            reached = await self._told(f"restarting {victim}", charges.bring_back(platform, devnet, victim))
            caught_up = True
            show_loss(report, imported, reached)
        elif self._validators < 4:
            report.line(f"No validator is killed: with {self._validators}, no quorum would be left.")
        policies = await self._told(
            "cancelling and correcting", changes.make_changes(platform, terms.agreement, imported.plan)
        )
        books = await self._told("settling everything", changes.settle_everything(platform, terms.agreement))
        requests = [summary async for summary in platform.books.requests(terms.agreement)]
        insurer.acknowledged.extend(summary.settled_by for summary in requests)
        show_requests(report, terms, requests, policies, books)
        return imported, caught_up

    async def _prescriptions(self, net: ConsortiumNet) -> Played:
        heading(self._report, "473 prescriptions, under the regulator's eyes")
        played = await Prescriptions(self._report, net, self._directory / "import").play()
        show_prescriptions(self._report, played)
        return played

    def _audit_flows(self, net: ConsortiumNet, audit: Audit, played: Played) -> dict[str, Any]:
        consortium = net.consortium
        supervision = Audit({node.name: str(node.socket) for node in consortium.supervision.nodes})
        flows = FlowAudit(audit, supervision, read_claims(DATA))
        requests = {result.flow.hex(): result.request_id for result in played.report.results}
        locks = {party.name: f"key({key_text(party.key)})" for party in consortium.parties}
        pharmacies = [locks[party.name] for party in consortium.parties.of_kind("pharmacy")]
        money = flows.money(requests, pharmacies, locks["Payer"], PURSES * PURSE_MINOR)
        flows.records()
        packets, tokens = flows.packets(), flows.tokens()
        check_prescriptions(audit, played)
        height, hashes = supervision.chains()
        rotated = epochs.look_at(supervision, consortium, height)
        if rotated is not None:
            epochs.show_epochs(self._report, rotated, self._supervision_validators)
        audit.checks += [replace(check, name=f"supervision: {check.name}") for check in supervision.checks]
        state = {
            "height": height,
            "validators": self._supervision_validators,
            "committee": rotated.committee if rotated else self._supervision_validators,
            "epochs": rotated.passed if rotated else 0,
            "state_hash": hashes,
        }
        return {**document(played, packets, tokens, state), "money": money}

    async def _told(self, what: str, step: Awaitable[T]) -> T:
        with self._report.progress(what):
            return await step

    def _audit(
        self, audit: Audit, acknowledged: list[str], paid_before: int
    ) -> tuple[dict[str, int], int, dict[str, str]]:
        wanted = expected(charges.FILE, changes.CHANGES)
        audit.example(example.AGREEMENT, EXAMPLE_LINE)
        books = audit.books(charges.AGREEMENT, IMPORT_LINE, wanted)
        audit.check("nothing is pending", books["pending"], 0)
        audit.currency(CASH_B, CASH_C, sum(FUNDS), paid_before + books["paid"])
        audit.transactions(acknowledged)
        height, hashes = audit.chains()
        return books, height, hashes

    def _accounts(self, audit: Audit) -> dict[str, int]:
        """What stands on the example's three accounts, minor units."""
        kinds = ("claim", "claim", "clawback")
        names = account_names(EXAMPLE_LINE)
        return {name: audit.held(name, kind) for name, kind in zip(names, kinds, strict=True)}
