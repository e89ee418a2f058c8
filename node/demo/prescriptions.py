"""The second chapter: 473 prescriptions under the regulator's eyes, while a fusion node is killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from contracts.flow.answers import FlowQuery, FlowView
from contracts.flow.calls import DEFINE_KIND, DefineKind
from contracts.governance.calls import Propose
from contracts.messages import FILE, OPINION
from contracts.supervision.answers import BatchesPage, PageQuery
from ledger.encoding import encode
from node.calling import Caller
from node.cli.output import Report
from node.client import Client
from node.consortium.bootstrap import Bootstrap
from node.consortium.parties import Party
from node.consortium.plan import PLATFORM
from node.consortium.running import ConsortiumNet
from node.demo.audit import Audit
from node.demo.picks import BARRED_PHARMACY, BARRED_REVIEWER, Picks, pick
from node.demo.records import Opened, open_all, order_readers
from node.demo.regulator import EXPRESSION_REASON, Regulator, demo_kind
from node.fhir.prescription import Prescription
from node.flow.importer.context import ImportOptions
from node.flow.importer.journal import StateDirectory
from node.flow.importer.planning import Steer
from node.flow.importer.report import ImportReport
from node.flow.importer.run import ImportRun, load_prescriptions

DATA: Final = Path(__file__).with_name("fhir")
CONCURRENCY: Final = 32
PATIENCE_S: Final = 120.0
KILL_AT: Final = 100
"""Filings authorised when the fusion node that relays is killed."""
POLL_S: Final = 0.05
CATCH_UP_S: Final = 300.0
REASONS: Final = (
    "rules_reviewer_listed",
    "rules_subject_listed",
    "rules_subject_drug_listed",
    "rules_pharmacy_subject_listed",
    EXPRESSION_REASON,
)
"""Every way in which the regulator's rules refuse in this story."""


@dataclass(slots=True)
class Played:
    """What came of the chapter.

    Attributes:
        report: of the import.
        picks: who met what.
        regulator: what officers did.
        killed: fusion node that was killed; empty where none was.
        taken_over: whether the other one delivered from then on.
        caught_up: whether the killed one, started again, came to have the blocks of both chains.
        batch_used: filings that a batch authorised.
        readers: who could open an order, beside the pharmacy that it is for and in the same order of trying.
        order_pharmacy: that one.
        opened: the regulator's records.
        seconds: of the import.
    """

    report: ImportReport
    picks: Picks
    regulator: Regulator
    killed: str = ""
    taken_over: bool = False
    caught_up: bool = False
    batch_used: int = 0
    readers: list[str] = field(default_factory=list)
    order_pharmacy: str = ""
    opened: Opened = field(default_factory=lambda: Opened(0, 0, 0))
    seconds: float = 0.0


class Prescriptions:
    """See the module.

    Args:
        report: where it is told.
        net: running.
        directory: for what the import remembers.
    """

    def __init__(self, report: Report, net: ConsortiumNet, directory: Path) -> None:
        self._report = report
        self._net = net
        self._directory = directory
        self._authorised = 0
        self._delivered_before = 0
        self._other = ""
        self._kill: asyncio.Task[None] | None = None
        self._resume: asyncio.Task[None] | None = None

    async def play(self) -> Played:
        """Plays the chapter.

        Raises:
            TidegateError: a step did not go as it must.
        """
        net, consortium = self._net, self._net.consortium
        async with AsyncExitStack() as stack:
            business = await stack.enter_async_context(net.business_client())
            supervision = await stack.enter_async_context(net.supervision_client())
            with self._report.progress("introducing the chains, the parties and the regulator"):
                await Bootstrap(consortium, business, supervision).run()
                await self._define_kind(business)
            prescriptions = await load_prescriptions(DATA, business)
            picks = pick(prescriptions)
            regulator = Regulator(consortium, supervision)
            with self._report.progress("two officers put lists and a rule in force"):
                await regulator.set_rules(picks)
            played = Played(ImportReport(), picks, regulator)
            await self._import(played, business, prescriptions)
            await self._look_back(played, business, supervision)
            return played

    async def _define_kind(self, business: Client) -> None:
        """Governors make version 2 of the flow kind: a filing that nobody decides expires after a minute."""
        consortium = self._net.consortium
        governors = consortium.business.signing_authority()
        sender = Caller(business, consortium.parties.party(PLATFORM).signing)
        proposal = Propose("flow", DEFINE_KIND, encode(DefineKind(demo_kind())), "filings expire after a minute")
        await sender.call("governance", "propose", proposal, cosigners=governors)

    # --- the import -------------------------------------------------------------------------------------------------

    async def _import(self, played: Played, business: Client, prescriptions: Sequence[Prescription]) -> None:
        began = monotonic()
        officers = asyncio.create_task(played.regulator.decide_pending())
        try:
            with (
                StateDirectory(self._directory) as state,
                self._report.progress("prescriptions", len(prescriptions)) as advance,
            ):
                run = ImportRun(
                    gateway=business,
                    book=self._net.consortium.parties,
                    state=state,
                    options=ImportOptions(concurrency=CONCURRENCY, patience_s=PATIENCE_S),
                    steer=_steer(played.picks),
                    progress=advance,
                )

                async def on_stage(flow: bytes, stage: str) -> None:
                    await self._on_stage(played, run, business, flow, stage)

                run.on_stage = on_stage
                played.report = await run.run(prescriptions)
        finally:
            officers.cancel()
            tasks = [task for task in (officers, self._kill, self._resume) if task is not None]
            await asyncio.gather(*tasks, return_exceptions=True)
        played.seconds = monotonic() - began

    async def _on_stage(self, played: Played, run: ImportRun, business: Client, flow: bytes, stage: str) -> None:
        if stage == FILE:
            self._authorised += 1
            if self._authorised == KILL_AT and len(self._net.consortium.fusion) > 1:
                self._kill = asyncio.create_task(self._kill_relay(played))
        elif stage == OPINION and run.planned[flow].prescription.request_id == played.picks.suspended:
            self._resume = asyncio.create_task(played.regulator.suspend_and_resume(flow))
            while not (await business.view("flow", "flow", FlowQuery(flow), FlowView)).suspended:
                if self._resume.done():
                    break
                await asyncio.sleep(POLL_S)

    async def _kill_relay(self, played: Played) -> None:
        """Kills, with SIGKILL, the fusion daemon that has delivered more."""
        delivered = {name: await self._deliveries(name) for name in self._net.consortium.fusion}
        victim = max(delivered, key=lambda name: delivered[name])
        self._net.business.signal(victim, signal.SIGKILL)
        played.killed = victim
        self._other = next(name for name in delivered if name != victim)
        self._delivered_before = delivered[self._other]

    async def _deliveries(self, name: str) -> int:
        async with Client(self._net.consortium.business.node(name).socket) as client:
            directions = (await client.status())["relay"]["directions"]
        return sum(direction["delivered_packets"] + direction["delivered_answers"] for direction in directions)

    # --- afterwards -------------------------------------------------------------------------------------------------

    async def _look_back(self, played: Played, business: Client, supervision: Client) -> None:
        consortium = self._net.consortium
        if played.killed:
            played.taken_over = await self._deliveries(self._other) > self._delivered_before
            with self._report.progress(f"restarting {played.killed}"):
                await self._net.business.kill(played.killed)
                await self._net.business.start_one(played.killed, timeout_s=60.0)
                played.caught_up = await self._catches_up(played.killed)
        batches = await supervision.view("supervision", "batches", PageQuery(0, 100), BatchesPage)
        played.batch_used = sum(batch.used for batch in batches.batches)
        ordered = next((each for each in played.report.results if each.settled), None)
        if ordered is not None:
            pharmacies = [party for party in consortium.parties if party.kind in ("pharmacy", "platform", "reviewer")]
            played.readers = await order_readers(business, ordered.flow, pharmacies)
            played.order_pharmacy = ordered.pharmacy
        with self._report.progress("the authority opens every record, everybody else tries"):
            played.opened = await open_all(supervision, played.regulator.keys.sealing, consortium.parties)

    async def _catches_up(self, name: str) -> bool:
        """Whether a fusion node gets to where both chains are now, in good time."""
        consortium = self._net.consortium
        organisation = consortium.business.node(name).organisation
        wanted = [
            (network.node(organisation).socket, await _height(network.nodes[0].socket))
            for network in (consortium.business, consortium.supervision)
        ]
        deadline = monotonic() + CATCH_UP_S
        while monotonic() < deadline:
            if all([await _height(socket) >= height for socket, height in wanted]):
                return True
            await asyncio.sleep(4 * POLL_S)
        return False


async def _height(socket: Path) -> int:
    async with Client(socket) as client:
        return (await client.info()).height


def _steer(picks: Picks) -> Steer:
    def reviewer(prescription: Prescription, parties: Sequence[Party]) -> Party | None:
        barred = prescription.request_id in picks.reviewed_by_barred
        fit = [party for party in parties if (party.name == BARRED_REVIEWER) == barred]
        return fit[sum(prescription.request_id.encode()) % len(fit)]

    def pharmacy(prescription: Prescription, parties: Sequence[Party]) -> Party | None:
        if prescription.request_id not in picks.sent_to_barred_pharmacy:
            return None
        return next(party for party in parties if party.name == BARRED_PHARMACY)

    return Steer(reviewer=reviewer, pharmacy=pharmacy)


def check_prescriptions(audit: Audit, played: Played) -> None:
    """What must have happened at least once, and what must never."""
    report, regulator = played.report, played.regulator
    check = audit.check
    check("prescriptions filed", report.counts["filed"], len(report.results))
    for reason in REASONS:
        check(f"refused at least once: {reason}", report.reasons.get(reason, 0) > 0, wanted=True)
    check("held for officers and approved", len(regulator.approved) > 0, wanted=True)
    check("authorised by a batch grant", played.batch_used > 0, wanted=True)
    alone = next((each.outcome for each in report.results if each.flow == regulator.left_alone), "")
    check("left to itself by the officers, and expired", alone, "expired")
    suspended = next(each for each in report.results if each.request_id == played.picks.suspended)
    check("suspended, resumed, and delivered", (regulator.resumed, suspended.outcome), (True, "delivered"))
    check("no flow failed", report.failures, {})
    ended = sum(report.outcomes.get(name, 0) for name in ("delivered", "refused", "expired"))
    check("every flow was delivered, refused, or expired", ended, len(report.results))
    if played.killed:
        check(f"{played.killed} was killed, the other fusion node carried on", played.taken_over, wanted=True)
        check(f"{played.killed}, started again, caught up with both chains", played.caught_up, wanted=True)
    check("an order opens for its pharmacy and nobody else", played.readers, [played.order_pharmacy])
    check("records that the authority opens", played.opened.by_authority, played.opened.records)
    check("records that anybody else opens", played.opened.by_others, 0)


def document(played: Played, packets: tuple[int, int], tokens: dict[str, int], supervision: Any) -> dict[str, Any]:
    """The chapter's part of ``--json``, money apart.

    Args:
        played: what came of it.
        packets: sent and answered, both ways.
        tokens: granted, by purpose.
        supervision: height, validators and state hashes of the supervision chain.
    """
    report = played.report
    return {
        "flows": {**report.counts, "refused": report.reasons},
        "tokens": tokens,
        "relay": {"packets": packets[0], "answered": packets[1], "taken_over": played.taken_over},
        "supervision": supervision,
        "latency_ms": {name: {"p50": each.p50, "p99": each.p99} for name, each in report.latency.items()},
    }
