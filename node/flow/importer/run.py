"""``import_directory``: reads and checks everything, then drives every prescription through all stages.

It acts as platform, hospitals, reviewers, pharmacies, payers and bank with the keys of a ``PartyBook``, and as patients
with keys of its own; it has no authority's and no officer's. Killed at any point and run again, it finishes, and no
document is filed twice: a request's flow id is fixed before anything is sent, and how far a flow is, the chain says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from contracts.admission.calls import AdmitPatient, DelegationRecord, OrganisationArguments
from contracts.assets import AssetArguments, AssetRecord
from contracts.flow.kinds import PRESCRIPTION
from ledger.errors import InvalidConfig, NotFound
from node.consortium.parties import PartyBook
from node.fhir.money import CURRENCY_SCALES
from node.fhir.prescription import Prescription
from node.flow.client import FlowClient
from node.flow.importer import report as r
from node.flow.importer.context import ImportContext, ImportOptions, OnStage
from node.flow.importer.driving import FlowDriver
from node.flow.importer.journal import StateDirectory
from node.flow.importer.mapping import require_roles
from node.flow.importer.planning import Planned, Steer, patient_key, plan_requests
from node.flow.importer.report import ImportReport, RequestResult
from node.gateway import Gateway

ADMITTED_AT_ONCE: Final = 64
ADMISSIONS_UNDER_WAY: Final = 4
VALIDITY_MS: Final = 365 * 86_400_000
MAX_WAITING: Final = 4_096
"""Flows that wait for an officer beside those under way; the import begins no others while there are so many."""


def _silent(count: int) -> None:
    del count


@dataclass(slots=True, kw_only=True)
class ImportRun:
    """One run of an import.

    Attributes:
        gateway: a node of the business chain; ``node.flow.failover.FailoverGateway`` for several.
        book: parties.
        state: what is remembered between runs.
        options: how it runs.
        steer: chooses parties and opinions.
        on_stage: told what flows have reached.
        on_result: told of each request that ends.
        progress: called with the number of requests that are done since the last call.
        report: what has come of it so far; true also of a run that was interrupted.
        planned: flow → what is to be done; from the beginning of ``run`` on.
    """

    gateway: Gateway
    book: PartyBook
    state: StateDirectory
    options: ImportOptions = field(default_factory=ImportOptions)
    steer: Steer = field(default_factory=Steer)
    on_stage: OnStage | None = None
    on_result: Callable[[RequestResult], None] | None = None
    progress: Callable[[int], None] = _silent
    report: ImportReport = field(default_factory=ImportReport)
    planned: dict[bytes, Planned] = field(default_factory=dict)
    _results: dict[str, RequestResult] = field(default_factory=dict)
    _waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_WAITING))

    async def run(self, prescriptions: Sequence[Prescription]) -> ImportReport:
        """Drives every prescription that an earlier run has not finished.

        Raises:
            InvalidInput: something is wrong with the data or the directories; nothing was sent.
            RemoteFault: the node cannot be reached.
        """
        begun = monotonic()
        require_roles(self.book, bank=self.options.funding)
        async with FlowClient(self.gateway, on_commit=self._on_commit) as client:
            todo = await self._plan(client, prescriptions)
            context = await self._context(client)
            flushing = asyncio.create_task(self.state.keep_flushing())
            try:
                await self._admit(client, todo)
                await self._drive(context, todo)
            finally:
                flushing.cancel()
                await asyncio.gather(flushing, return_exceptions=True)
                self.state.flush()
                self._order(prescriptions)
                self.report.seconds = monotonic() - begun
        return self.report

    # --- before anything is sent ------------------------------------------------------------------------------------

    async def _plan(self, client: FlowClient, prescriptions: Sequence[Prescription]) -> list[Planned]:
        remembered, chain_id = self.state.remembered, client.watcher.chain_id
        self.state.begin(chain_id)
        planned = plan_requests(prescriptions, self.book, self.state.secret, chain_id, remembered, self.steer)
        currencies = {each.currency for each in prescriptions}
        self.report.currency = currencies.pop() if len(currencies) == 1 else ""
        fresh = [each for each in planned if each.prescription.request_id not in remembered.flows]
        self.state.plan((each.prescription.request_id, each.flow, each.hospital.name) for each in fresh)
        self.planned = {each.flow: each for each in planned}
        todo = []
        for each in planned:
            name = each.prescription.request_id
            ended = remembered.ended.get(name)
            if ended is not None and self._is_final(ended.get("outcome")):
                self._results[name] = _remembered_result(ended)
                self.report.already += 1
            else:
                todo.append(each)
        self.progress(self.report.already)
        return todo

    def _is_final(self, outcome: object) -> bool:
        return outcome in r.FINAL and not (outcome == r.REFUSED and self.options.retry_refused)

    async def _context(self, client: FlowClient) -> ImportContext:
        kind = await client.kind(PRESCRIPTION)
        bank = client.bank(self.book.of_kind("bank")[0].signing) if self.options.funding else None
        return ImportContext(
            client,
            self.state.secret,
            self.options,
            bank,
            {bytes(party.key): party for party in self.book},
            {spec.stage: spec.purpose for spec in kind.stages if spec.purpose},
            self.on_stage,
        )

    # --- patients ---------------------------------------------------------------------------------------------------

    async def _admit(self, client: FlowClient, todo: Sequence[Planned]) -> None:
        """Has the platform admit the patients that it has not admitted yet."""
        known = self.state.remembered.admitted
        patients = sorted({each.prescription.patient_id for each in todo} - known)
        if not patients:
            return
        platform = self.book.of_kind("platform")[0]
        query = OrganisationArguments(platform.organisation)
        try:
            record = await self.gateway.view("admission", "delegation", query, DelegationRecord)
        except NotFound as error:
            raise InvalidConfig(
                f"{platform.organisation} may not admit patients: the consortium delegates that to it first",
                code="admission_not_delegated",
            ) from error
        not_after_ms = min(record.delegation.not_after_ms, client.watcher.time_ms + VALIDITY_MS)
        places = asyncio.Semaphore(ADMISSIONS_UNDER_WAY)

        async def admit(names: list[str]) -> None:
            keys = tuple(bytes(patient_key(self.state.secret, name).public) for name in names)
            async with places:
                arguments = AdmitPatient(keys, not_after_ms)
                await client.submitter.call(platform.signing, "admit_patient", arguments, contract="admission")
            self.state.admitted(names)
            self.report.patients += len(names)

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(patients), ADMITTED_AT_ONCE):
                group.create_task(admit(patients[start : start + ADMITTED_AT_ONCE]))

    # --- driving ----------------------------------------------------------------------------------------------------

    async def _drive(self, context: ImportContext, todo: Sequence[Planned]) -> None:
        before = self.state.remembered.flows
        async with asyncio.TaskGroup() as group:
            for each in todo:
                await self._waiting.acquire()
                await context.enter()
                driver = FlowDriver(context, each, resumed=each.prescription.request_id in before)
                self._results[each.prescription.request_id] = driver.result
                group.create_task(self._one(context, driver))

    async def _one(self, context: ImportContext, driver: FlowDriver) -> None:
        try:
            result = await driver.drive()
        finally:
            context.leave()
            self._waiting.release()
        self.report.resumed += result.resumed
        for step, milliseconds in result.latency_ms.items():
            self.report.samples.setdefault(step, []).append(milliseconds)
        self.state.ended(result.request_id, _document(result))
        self.progress(1)
        if self.on_result is not None:
            self.on_result(result)

    def _on_commit(self, method: str, milliseconds: float) -> None:
        self.report.commits.setdefault(method, []).append(milliseconds)

    def _order(self, prescriptions: Sequence[Prescription]) -> None:
        found = (self._results.get(each.request_id) for each in prescriptions)
        self.report.results = [result for result in found if result is not None]


async def import_directory(
    directory: Path,
    gateway: Gateway,
    book: PartyBook,
    state: Path,
    *,
    options: ImportOptions | None = None,
    steer: Steer | None = None,
    on_stage: OnStage | None = None,
    progress: Callable[[int], None] = _silent,
) -> ImportReport:
    """Imports a directory of FHIR Bulk Data files; see the module.

    Args:
        directory: of NDJSON files.
        gateway: a node of the business chain.
        book: parties.
        state: directory that remembers what was done; one for each chain and party book.
        options: how it runs.
        steer: chooses parties and opinions.
        on_stage: told what flows have reached.
        progress: called with the number of requests that are done since the last call.

    Raises:
        InvalidInput: as ``load_prescriptions`` and ``ImportRun.run``; nothing was sent.
        RemoteFault: the node cannot be reached.
    """
    prescriptions = await load_prescriptions(directory, gateway)
    with StateDirectory(state) as remembered:
        run = ImportRun(
            gateway=gateway,
            book=book,
            state=remembered,
            options=options or ImportOptions(),
            steer=steer or Steer(),
            on_stage=on_stage,
            progress=progress,
        )
        return await run.run(prescriptions)


async def load_prescriptions(
    directory: Path, gateway: Gateway, progress: Callable[[str, int], None] | None = None
) -> tuple[Prescription, ...]:
    """The prescriptions of a directory, in currencies that the chain has, all checked.

    Raises:
        InvalidFhir: up to 20 faults, each with file, line and path.
        InvalidInput: ``file_unreadable``.
        RemoteFault: the node cannot be reached.
    """
    from node.fhir.reading import load_directory  # noqa: PLC0415 - brings the FHIR models: a quarter of a second

    scales: dict[str, int] = {}
    for currency in CURRENCY_SCALES:
        try:
            asset = await gateway.view("assets", "asset", AssetArguments(currency), AssetRecord)
        except NotFound:
            continue
        scales[currency] = asset.scale
    return load_directory(directory, progress, scales=scales).prescriptions


def _document(result: RequestResult) -> dict[str, object]:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name in RequestResult.__slots__
        if (value := getattr(result, name)) not in ("", b"", 0, [], {})
    }


def _remembered_result(fields: dict[str, object]) -> RequestResult:
    read = dict(fields)
    for name in ("flow", "authorisation"):
        read[name] = bytes.fromhex(str(read.get(name, "")))
    read["resumed"] = False
    try:
        return msgspec.convert(read, RequestResult)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"the journal is damaged: {error}", code="import_state_invalid") from error
