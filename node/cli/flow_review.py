"""``tidegate flow file``, ``review``, ``release``, ``opinion`` and ``patient``: from the document to the opinion."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from contracts.admission.calls import AdmitPatient, DelegationRecord, OrganisationArguments
from contracts.flow.kinds import PRESCRIPTION
from contracts.messages import FILE, OPINION, REVIEW
from ledger.errors import InvalidInput
from ledger.keys import key_text
from ledger.sealing import new_document
from node.cli.flow_session import (
    HASH,
    Acting,
    acting_options,
    flow_named,
    key_of,
    open_flows,
    read_bytes,
    waiting_options,
)
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.consortium.parties import new_party
from node.flow.documents import FHIR_MEDIA, JSON_MEDIA
from node.flow.importer.run import VALIDITY_MS

PATIENT: Final = "patient"


@click.command("file")
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@acting_options
@click.option("--kind", default=PRESCRIPTION, show_default=True, help="Flow kind.")
@click.option("--platform", default="", help="Who gets the document and releases it: a party, or a key.")
@click.option("--patient", default="", help="Who may order and pay: a party, or a key.")
@click.option("--asset", default="", help="Asset of --amount, and of the payment.")
@click.option("--amount", type=click.IntRange(0), default=0, help="Amount in minor units.")
@waiting_options
@reporting
async def file_command(
    report: Report, /, target: Target, acting: Acting, document: Path, *, wait: bool, timeout: float, **options: Any
) -> None:
    """File a document, and wait until it is authorised.

    A prescription is a FHIR R4 Bundle with a MedicationRequest, its Claim and what they refer to.
    """
    body = read_bytes(document)
    media = _media(body, options["kind"])
    book = acting.book()
    party = book.party(acting.name)
    platform, patient = (key_of(options[name], book) if options[name] else b"" for name in ("platform", "patient"))
    async with open_flows(target) as flows:
        filed = await flows.file(
            party.signing,
            new_document(body, media),
            kind=options["kind"],
            platform=platform,
            patient=patient,
            asset=options["asset"],
            amount=options["amount"],
        )
        authorisation = b""
        if wait:
            authorisation = (await flows.until_done(filed.flow, FILE, timeout_s=timeout)).authorisation
    report.success("filed and authorised" if authorisation else "filed")
    report.fields({"flow": filed.flow.hex(), "authorisation": authorisation.hex() or "-"})
    report.document({"flow": filed.flow, "authorisation": authorisation})


def _media(body: bytes, kind: str) -> str:
    """Media type of a document, which is checked as far as its kind is known here."""
    if kind == PRESCRIPTION:
        from node.fhir.document import read_document  # noqa: PLC0415 - brings the FHIR models: a quarter of a second

        read_document(body)
        return FHIR_MEDIA
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the document is not JSON: {error}", code="document_invalid") from error
    if not isinstance(content, dict):
        raise InvalidInput("the document is not a JSON object", code="document_invalid")
    return FHIR_MEDIA if "resourceType" in content else JSON_MEDIA


@click.command("review")
@click.argument("authorisation", type=HASH)
@target_options
@acting_options
@click.option("--read", is_flag=True, help="Do not ask: write the released document to stdout.")
@waiting_options
@reporting
async def review_command(
    report: Report, target: Target, acting: Acting, authorisation: bytes, *, read: bool, wait: bool, timeout: float
) -> None:
    """Ask to review the document known by AUTHORISATION, and wait for the grant; or (--read) read it."""
    party = acting.party()
    async with open_flows(target) as flows:
        if read:
            view = await flow_named(flows, authorisation)
            write_content(report, await flows.review(party.sealing, view.flow))
            return
        moved = await flows.request_review(party.signing, authorisation)
        token = b""
        if wait:
            progress = await flows.until_granted(moved.flow, REVIEW, timeout_s=timeout)
            token = progress.stages[REVIEW].token
    report.success("granted" if wait else "asked")
    report.fields({"flow": moved.flow.hex(), "token": token.hex() or "-"})
    report.document({"flow": moved.flow, "authorisation": authorisation, "token": token})


@click.command("release")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@reporting
async def release_command(report: Report, target: Target, acting: Acting, flow: bytes) -> None:
    """Use the reviewer's grant: open the platform's copy of the document and seal it for that reviewer alone."""
    party = acting.party()
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        moved = await flows.release(party.signing, party.sealing, view.flow)
    report.success(f"released to {key_text(moved.reviewer)}")
    report.document({"flow": moved.flow, "reviewer": key_text(moved.reviewer), "token": moved.token})


@click.command("opinion")
@click.argument("flow", type=HASH)
@target_options
@acting_options
@click.option("--approve/--reject", default=None, help="What the opinion says; one of the two.")
@waiting_options
@reporting
async def opinion_command(
    report: Report, target: Target, acting: Acting, flow: bytes, *, approve: bool | None, wait: bool, timeout: float
) -> None:
    """Give an opinion on a released document, and wait until it is confirmed."""
    if approve is None:
        raise click.UsageError("an opinion says --approve or --reject")
    party = acting.party()
    async with open_flows(target) as flows:
        view = await flow_named(flows, flow)
        await flows.opinion(party.signing, view.flow, approve=approve, platform=view.platform)
        confirmation = b""
        if wait:
            progress = await flows.until_done(view.flow, OPINION, timeout_s=timeout)
            confirmation = progress.stages[OPINION].hash
    report.success("the opinion is confirmed" if confirmation else "the opinion is given")
    report.fields({"flow": view.flow.hex(), "confirmation": confirmation.hex() or "-"})
    report.document({"flow": view.flow, "approve": approve, "confirmation": confirmation})


@click.command("patient")
@click.argument("patient_name")
@target_options
@acting_options
@reporting
async def patient_command(report: Report, target: Target, acting: Acting, patient_name: str) -> None:
    """Make keys for a patient in the parties' directory, and admit it to the chain as one of the platform's."""
    book = acting.book()
    platform = book.party(acting.name)
    if patient_name not in book:
        book.add([new_party(patient_name, PATIENT, platform.organisation)])
    patient = book.party(patient_name)
    async with open_flows(target) as flows:
        query = OrganisationArguments(platform.organisation)
        delegated = await flows.gateway.view("admission", "delegation", query, DelegationRecord)
        until_ms = min(delegated.delegation.not_after_ms, flows.watcher.time_ms + VALIDITY_MS)
        arguments = AdmitPatient((bytes(patient.key),), until_ms)
        await flows.submitter.call(platform.signing, "admit_patient", arguments, contract="admission")
    report.success(f"{patient_name} is a patient of {platform.organisation}")
    report.fields({"key": key_text(patient.key)})
    report.document({"name": patient_name, "organisation": platform.organisation, "key": key_text(patient.key)})


def write_content(report: Report, content: bytes) -> None:
    """An opened document: as it is on stdout, or inside the JSON document."""
    if report.json:
        report.document({"document": _readable(content)})
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.write(b"\n")


def _readable(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.hex()
