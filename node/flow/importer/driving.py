"""Takes one flow through its stages: looks at how far it is, does the next thing as whoever's turn it is, and waits.

Every decision comes from the flow's progress, which comes from the chain, so that it makes no difference who made the
steps before: this run, one that was killed, or somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from contracts.flow import answers as a
from contracts.flow.kinds import PRESCRIPTION
from contracts.messages import DELIVER, FILE, FULFIL, OPINION, ORDER, REVIEW, SETTLE, STAGES
from ledger.envelope_document import SealedDocument
from ledger.errors import InvalidInput, RemoteFault
from ledger.keys import SigningKey
from node.calling import CallRefused, CallUnresolved
from node.consortium.parties import Party
from node.flow import documents
from node.flow.documents import derived_salt
from node.flow.errors import PurseEmpty
from node.flow.importer import report as r
from node.flow.importer.context import ImportContext
from node.flow.importer.milestones import MILESTONES, STAGE_OF, WAIT_LONGER, Stopped
from node.flow.importer.planning import Planned
from node.flow.progress import FlowProgress, StageProgress

PARK_S: Final = 10.0
"""A flow that waits longer than that gives its place to another one."""
SLOW_S: Final = 5.0
SILENCE_S: Final = 600.0
"""A supervision chain that cannot be heard for so long: the flow is left as it is, for a later run."""
LOST_S: Final = 120.0
"""So long a node that cannot be reached is tried again."""
BACKOFF_S: Final = 0.25
MAX_BACKOFF_S: Final = 5.0
MAX_STRIKES: Final = 5
"""Refusals in a row after which nothing had changed."""


class FlowDriver:
    """One request on its way.

    Args:
        context: of the run.
        planned: what is to be done.
        resumed: whether the chain may know the flow already.

    Attributes:
        result: what has become of it so far.
    """

    def __init__(self, context: ImportContext, planned: Planned, *, resumed: bool) -> None:
        self._context = context
        self._client = context.client
        self._planned = planned
        self._progress: FlowProgress = context.client.watcher.track(planned.flow)
        self._resumed = resumed
        self._masked: bytes | None = None
        self._asked: dict[str, float] = {}
        self._told: set[str] = set()
        self._strikes = 0
        self._lost_at = 0.0
        self._ways = (
            (FILE, self._file_step),
            (REVIEW, self._review_step),
            (OPINION, self._opinion_step),
            (ORDER, self._order_step),
            (FULFIL, self._fulfil_step),
            (SETTLE, self._settle_step),
            (DELIVER, self._deliver_step),
        )
        prescription = planned.prescription
        self.result = r.RequestResult(
            prescription.request_id,
            prescription.claim_id,
            planned.flow,
            hospital=planned.hospital.name,
            reviewer=planned.reviewer.name,
            pharmacy=planned.pharmacy.name,
            payer=planned.payer.name,
            total=sum(item.price_minor for item in prescription.items),
        )

    async def drive(self) -> r.RequestResult:
        """Goes on until the flow is delivered or goes no further; never raises but for cancellation and bugs."""
        try:
            while True:
                try:
                    await self._advance()
                    self._lost_at = 0.0
                except CallUnresolved:
                    raise
                except RemoteFault as error:
                    await self._lost(error)
        except Stopped as stopped:
            self._finish(stopped)
        except (InvalidInput, RemoteFault) as error:
            self._finish(Stopped(r.FAILED, self._stage(), error.code))
        finally:
            self._client.watcher.untrack(self._planned.flow)
        return self.result

    async def _advance(self) -> None:
        """One step, or one wait. Raises ``Stopped`` when there is neither."""
        if self._resumed:
            await self._load()
            self.result.resumed, self._resumed = bool(self._progress.status), False
        await self._tell()
        step = self._next()
        if step is not None:
            await self._attempt(step)
        elif not await self._wait():
            raise self._stuck()

    async def _lost(self, error: RemoteFault) -> None:
        """The node cannot be reached: that passes, or after ``LOST_S`` the flow is left for a later run."""
        now = monotonic()
        self._lost_at = self._lost_at or now
        if now - self._lost_at > LOST_S:
            raise error
        await asyncio.sleep(BACKOFF_S)

    # --- what comes next --------------------------------------------------------------------------------------------

    def _next(self) -> Callable[[], Awaitable[object]] | None:
        """The next step, or None to wait. Raises ``Stopped`` when there is none."""
        progress = self._progress
        self._check_over(progress)
        if progress.suspended:
            return None
        for stage, step_for in self._ways:
            found = progress.stages.get(stage)
            status = "" if found is None else found.status
            if status == a.DONE and not (stage == REVIEW and not self._opined()):
                continue
            if found is not None and status in (a.REFUSED, a.EXPIRED) and not self._may_repeat(stage, status):
                raise Stopped(r.REFUSED if status == a.REFUSED else r.EXPIRED, stage, found.reason, found)
            return step_for(status)
        raise Stopped(r.DELIVERED)

    def _opined(self) -> bool:
        return self._progress.stage_status(OPINION) in (a.PENDING, a.DONE, a.REFUSED, a.EXPIRED)

    def _check_over(self, progress: FlowProgress) -> None:
        if progress.status == a.CLOSED:
            raise Stopped(r.DELIVERED)
        if progress.status == a.TERMINATED:
            raise Stopped(r.TERMINATED, self._stage(), progress.reason)
        if progress.status == a.REJECTED or (progress.done(OPINION) and not self._planned.approve):
            raise Stopped(r.REJECTED, OPINION)

    def _may_repeat(self, stage: str, status: str) -> bool:
        """What an earlier run left as expired is asked for again; a report may always be, once."""
        if stage in self._asked:
            return stage == SETTLE and "report" not in self._asked
        return status == a.EXPIRED or self._context.options.retry_refused or stage == SETTLE

    def _file_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return None if status == a.PENDING else self._file

    def _review_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return {a.PENDING: None, a.GRANTED: self._release, a.DONE: self._opinion}.get(status, self._request_review)

    def _opinion_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return None if status == a.PENDING else self._opinion

    def _order_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return {a.PENDING: None, a.GRANTED: self._place}.get(status, self._request_order)

    def _fulfil_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return self._pay if status == a.PRICED else self._fulfil

    def _settle_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        return None if status == a.PENDING else self._report

    def _deliver_step(self, status: str) -> Callable[[], Awaitable[object]] | None:
        del status
        return self._deliver

    def _stage(self) -> str:
        """The first stage that is not done."""
        return next((stage for stage in STAGES if not self._progress.done(stage)), "")

    # --- the steps --------------------------------------------------------------------------------------------------

    async def _file(self) -> None:
        planned = self._planned
        await self._client.file(
            planned.hospital.signing,
            planned.document,
            kind=PRESCRIPTION,
            platform=planned.platform.key,
            patient=planned.patient.public,
            masked=await self._masked_document(),
        )

    async def _request_review(self) -> None:
        self.result.reviewer = self._planned.reviewer.name
        await self._client.request_review(self._planned.reviewer.signing, self._progress.authorisation)

    async def _release(self) -> None:
        platform = self._planned.platform
        await self._client.release(platform.signing, platform.sealing, self._planned.flow)

    async def _opinion(self) -> None:
        reviewer = self._party(self._progress.reviewer, self._planned.reviewer, "reviewer")
        flow = self._planned.flow
        await self._client.review(reviewer.sealing, flow)
        salt = derived_salt(self._context.secret, b"opinion", flow, reviewer.key)
        await self._client.opinion(
            reviewer.signing, flow, approve=self._planned.approve, salt=salt, platform=self._planned.platform.key
        )

    async def _request_order(self) -> None:
        pharmacy = self._planned.pharmacy
        self.result.pharmacy = pharmacy.name
        order = await self._order(pharmacy)
        await self._client.request_order(self._planned.patient, self._progress.authorisation, pharmacy.key, order)

    async def _place(self) -> None:
        pharmacy = self._pharmacy()
        order = await self._order(pharmacy)
        await self._client.place(self._planned.patient, self._planned.flow, pharmacy.key, order)

    async def _fulfil(self) -> None:
        pharmacy, planned = self._pharmacy(), self._planned
        await self._client.open_order(pharmacy.sealing, planned.flow)
        insured = planned.prescription.coverage != "no_insurance"
        await self._client.fulfil(
            pharmacy.signing,
            planned.flow,
            asset=planned.prescription.currency,
            items=planned.items,
            payer=planned.payer.key if insured else b"",
            link=f"pay:{self._progress.authorisation.hex()}",
            accept=self._progress.stage_status(FULFIL) != a.ACCEPTED,
        )

    async def _pay(self) -> None:
        planned, payment = self._planned, self._progress.payment
        if payment is None:
            await self._load()
            return
        payer: SigningKey | None = None
        if payment.payer:
            payer = self._party(payment.payer, planned.payer, "payer").signing
        salt = derived_salt(self._context.secret, b"settle", planned.flow)
        claim = planned.prescription.claim_id
        await self._client.pay(
            payment,
            planned.patient,
            payer,
            bank=self._context.bank,
            record=documents.settlement_document(salt, payment, claim=claim),
            platform=planned.platform.key,
        )

    async def _report(self) -> None:
        payment = self._progress.payment
        if payment is None:
            await self._load()
            return
        planned = self._planned
        self._asked["report"] = monotonic()
        claim = planned.prescription.claim_id
        await self._client.report(planned.patient, payment, platform=planned.platform.key, claim=claim)

    async def _deliver(self) -> None:
        await self._client.deliver(self._pharmacy().signing, self._planned.flow)

    async def _masked_document(self) -> bytes:
        if self._masked is None:
            kind = await self._client.kind(PRESCRIPTION)
            self._masked = documents.masked_body(self._planned.document, kind.masked)
        return self._masked

    async def _order(self, pharmacy: Party) -> SealedDocument:
        salt = derived_salt(self._context.secret, b"order", self._planned.flow, pharmacy.key)
        masked = await self._masked_document()
        return documents.order_document(salt, self._planned.flow, pharmacy.key, masked)

    def _pharmacy(self) -> Party:
        return self._party(self._progress.pharmacy, self._planned.pharmacy, "pharmacy")

    def _party(self, key: bytes, expected: Party, role: str) -> Party:
        """Whom the chain names, which in a resumed flow may be another one than would be chosen now."""
        found = expected if key in (b"", expected.key) else self._context.by_key.get(key)
        if found is None:
            raise Stopped(r.FAILED, self._stage(), f"{role}_unknown")
        setattr(self.result, role, found.name)
        return found

    # --- doing and waiting ------------------------------------------------------------------------------------------

    async def _attempt(self, step: Callable[[], Awaitable[object]]) -> None:
        """Does a step; a refusal is looked into: perhaps the chain is further than was known."""
        stage = STAGE_OF.get(getattr(step, "__name__", ""), "")
        before = self._signature()
        begun = monotonic()
        try:
            if stage:
                self._asked[stage] = begun
            await step()
        except PurseEmpty as error:
            raise Stopped(r.FAILED, SETTLE, error.code) from error
        except CallRefused as error:
            await self._refused(error, before)
        else:
            # Its event is on the way, if it is not here yet; a step is never made twice in a row.
            self._strikes = 0
            if self._signature() == before:
                await self._client.watcher.changed(self._planned.flow, self._progress.moves, SLOW_S)
            if self._signature() == before:
                await self._load()

    async def _refused(self, error: CallRefused, before: tuple[object, ...]) -> None:
        await self._load()
        if self._signature() != before:
            self._strikes = 0
            return
        if error.code in WAIT_LONGER:
            if self._progress.suspended:
                return
            await self._pause(error)
            return
        self._strikes += 1
        if self._strikes >= MAX_STRIKES:
            raise Stopped(r.FAILED, self._stage(), error.code)
        await asyncio.sleep(min(BACKOFF_S * 2**self._strikes, MAX_BACKOFF_S))

    async def _pause(self, error: CallRefused) -> None:
        """Supervision is stale: its time comes back with a relay; nothing is lost meanwhile."""
        begun = self._asked.setdefault("pause", monotonic())
        if monotonic() - begun > SILENCE_S:
            raise Stopped(r.FAILED, self._stage(), error.code)
        await asyncio.sleep(min(BACKOFF_S * 2 ** min(self._strikes + 2, 5), MAX_BACKOFF_S))

    def _signature(self) -> tuple[object, ...]:
        progress = self._progress
        return (
            progress.status,
            progress.suspended,
            *((name, stage.attempt, stage.status) for name, stage in sorted(progress.stages.items())),
        )

    async def _load(self) -> None:
        await self._client.watcher.load(self._planned.flow)

    async def _wait(self) -> bool:
        """Waits until the flow moves; False when it does not for as long as patience lasts.

        A flow that is held gives its place to another; one that is merely in a queue does not, or the queue would only
        grow.
        """
        context, watcher, flow = self._context, self._client.watcher, self._planned.flow
        stage, moves, begun, parked = self._stage(), self._progress.moves, monotonic(), False
        asked = self._asked.get(stage, begun)
        patience, before = context.options.patience_s, self._signature()
        try:
            while not await watcher.changed(flow, moves, min(SLOW_S if parked else PARK_S, max(patience, 0.01))):
                lively, now = await watcher.lively(), monotonic()
                if not lively:
                    if now - max(begun, watcher.heard_at) > SILENCE_S:
                        raise Stopped(r.FAILED, stage, "supervision_silent")
                    continue
                if not parked and (self._progress.suspended or context.is_held(stage, asked)):
                    parked = True
                    context.leave()
                since = begun if self._progress.suspended else context.waits_since(stage, asked)
                if now - max(begun, since, watcher.lively_since) >= patience:
                    await self._load()
                    return self._signature() != before
            if stage in self._asked:
                context.answered(stage, asked)
        finally:
            if parked:
                await context.enter()
        return True

    def _stuck(self) -> Stopped:
        if self._progress.suspended:
            return Stopped(r.SUSPENDED, self._stage(), self._progress.reason)
        return Stopped(r.WAITING, self._stage())

    # --- telling ----------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Notes what has been reached since: latencies, and whoever wants to hear of it."""
        for stage, reached in MILESTONES:
            found = self._progress.stages.get(stage)
            if stage in self._told or found is None or found.status not in reached:
                continue
            self._told.add(stage)
            asked = self._asked.get(stage)
            if stage in r.STEPS and asked is not None:
                self.result.latency_ms[stage] = (found.seen_at - asked) * 1000
            self._note(stage, found)
            await self._context.tell(self._planned.flow, stage)

    def _note(self, stage: str, found: StageProgress) -> None:
        if stage in (REVIEW, ORDER) and found.token:
            purpose = self._context.purposes.get(stage, stage)
            self.result.tokens[purpose] = found.token.hex()

    def _finish(self, stopped: Stopped) -> None:
        result, progress = self.result, self._progress
        result.outcome, result.stage, result.code = stopped.outcome, stopped.stage, stopped.code
        if stopped.found is not None:
            result.rule, result.rule_version = stopped.found.rule, stopped.found.rule_version
        result.filed = bool(progress.status)
        result.authorisation = progress.authorisation
        result.stages = [stage for stage in STAGES if progress.done(stage)]
        if progress.payment is not None and progress.done(FULFIL):
            result.settled = True
            payment = progress.payment
            result.total, result.reimbursed, result.patient_share = (
                payment.total,
                payment.reimbursed,
                payment.patient_share,
            )
        if stopped.outcome == r.DELIVERED and FILE in self._asked:
            result.latency_ms["total"] = (monotonic() - self._asked[FILE]) * 1000
