"""``tidegate evidence export``: one file that proves a record, a flow, or a validator's fault."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from contracts.flow.answers import AuthorisationQuery, FlowQuery, FlowView
from contracts.supervision.answers import DocumentQuery, RecordsPage
from ledger.errors import InvalidInput, NotFound
from ledger.keys import key_text
from node.atomic_file import write_atomic
from node.bundles.exporting import Exporter
from node.bundles.source import ChainSource
from node.cli.commission_session import contract_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain
from node.evidence_bundle import read_bundle
from node.misbehaviour_bundle import export_misbehaviour, find_evidence
from node.network_file import FILE as NETWORK_FILE

HASH_DIGITS: Final = 64


@click.command("export")
@click.argument("evidence", required=False)
@click.option(
    "--record", help="A commission record's id; a sealed record's id, hash or commitment; FLOW:STAGE:ATTEMPT."
)
@click.option("--flow", help="A flow's id, or the authorisation hash that it is known by.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The new file.")
@target_options
@click.option(
    "--supervision-home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Home of a node of the supervision chain; within a consortium's directory it is found by itself.",
)
@click.option("--supervision-socket", type=click.Path(path_type=Path), help="Its RPC socket instead.")
@click.option(
    "--with-documents", is_flag=True, help="Take the sealed documents in; only their recipients can open them."
)
@contract_option
@reporting
async def export_command(
    report: Report,
    target: Target,
    contract: str,
    *,
    evidence: str | None,
    record: str | None,
    flow: str | None,
    output: Path,
    supervision_home: Path | None,
    supervision_socket: Path | None,
    with_documents: bool,
) -> None:
    """Write a proof to a file that anybody can verify who has the genesis files: no node, no network, no database.

    EVIDENCE names a validator's recorded fault by number or the beginning of its id. With --record or --flow the file
    proves a record or a flow; --home is then a node of the business chain, and the supervision chain's part goes in
    where a node of it is named.
    """
    if sum(name is not None for name in (evidence, record, flow)) != 1:
        raise click.UsageError("name one thing: EVIDENCE, --record or --flow")
    if evidence is not None:
        await _export_fault(report, target, evidence, output)
        return
    business, supervision = _targets(target, supervision_home, supervision_socket)
    async with AsyncExitStack() as stack:
        source = await ChainSource.open(await stack.enter_async_context(open_chain(business)))
        guard = None
        if supervision is not None:
            guard = await ChainSource.open(await stack.enter_async_context(open_chain(supervision)))
        exporter = Exporter(source, guard, documents=with_documents)
        if flow is not None:
            data = await exporter.flow(await _flow_of(source, _hash(flow, "a flow")))
        else:
            assert record is not None
            data = await _record(exporter, source, guard, contract, record)
    write_atomic(output, data)
    bundle = read_bundle(data)
    geneses = [chain.genesis.name for chain in (source, guard) if chain and chain.genesis.hash in bundle.genesis]
    shown: dict[str, Any] = {
        "file": str(output),
        "kind": bundle.kind,
        "subject": f"{bundle.content['subject']['kind']} {bundle.content['subject']['id']}",
        "chains": ", ".join(geneses),
        "bytes": len(data),
    }
    report.success(f"{output} holds the proof")
    report.fields(shown)
    options = " ".join(f"--genesis {name}-GENESIS" for name in geneses)
    report.line(f"next: tidegate evidence verify {output} {options}")
    report.document(shown)


def _targets(target: Target, home: Path | None, socket: Path | None) -> tuple[Target, Target | None]:
    """The nodes of the two chains; a consortium's directory stands for both of its networks."""
    business, inside = target, target.home / "supervision"
    if (target.home / "business" / NETWORK_FILE).exists():
        business = replace(target, home=target.home / "business")
    if home is not None or socket is not None:
        return business, Target((home or target.home).expanduser().absolute(), socket)
    return business, Target(inside) if (inside / NETWORK_FILE).exists() else None


def _hash(text: str, what: str) -> bytes:
    if len(text) != HASH_DIGITS or not set(text) <= set("0123456789abcdef"):
        raise InvalidInput(
            f"{what} is named by {HASH_DIGITS} lower-case hex digits, not {text[:80]!r}", code="id_invalid"
        )
    return bytes.fromhex(text)


async def _flow_of(source: ChainSource, name: bytes) -> bytes:
    """Id of the flow with that id or authorisation hash. Raises ``NotFound``."""
    try:
        return (await source.client.view("flow", "flow", FlowQuery(name), FlowView)).flow
    except NotFound:
        try:
            return (await source.client.view("flow", "authorised", AuthorisationQuery(name), FlowView)).flow
        except NotFound as error:
            raise NotFound(f"chain {source.genesis.name} has no flow or authorisation {name.hex()}") from error


async def _record(
    exporter: Exporter, source: ChainSource, guard: ChainSource | None, contract: str, text: str
) -> bytes:
    if ":" in text:
        name, stage, attempt = (*text.split(":"), "1")[:3]
        if not attempt.isdigit():
            raise InvalidInput("a sealed record is named FLOW:STAGE:ATTEMPT", code="id_invalid")
        return await exporter.sealed_record(await _flow_of(source, _hash(name, "a flow")), stage, int(attempt))
    name_hash = _hash(text, "a record")
    try:
        return await exporter.booking(contract, name_hash)
    except NotFound as error:
        if guard is None:
            raise NotFound(
                f"{error.message}; for a sealed record name a node of the supervision chain (--supervision-home)",
                code=error.code,
            ) from error
    page = await guard.client.view("supervision", "by_document", DocumentQuery(name_hash), RecordsPage)
    found = [ref for ref in page.records if ref.record == name_hash] or list(page.records)
    if len(found) != 1:
        places = ", ".join(f"{ref.flow.hex()}:{ref.stage}:{ref.attempt}" for ref in found[:4])
        raise NotFound(f"{len(found)} records are called {text}{'; name one: ' * bool(places)}{places}")
    return await exporter.sealed_record(found[0].flow, found[0].stage, found[0].attempt)


async def _export_fault(report: Report, target: Target, evidence: str, output: Path) -> None:
    async with open_chain(target) as client:
        found = await find_evidence(client, evidence)
        data = await export_misbehaviour(client, found.id)
    write_atomic(output, data)
    shown: dict[str, Any] = {
        "file": str(output),
        "kind": "misbehaviour",
        "id": found.id.hex(),
        "fault": found.fault,
        "validator": key_text(found.signer),
        "height": found.height,
        "bytes": len(data),
    }
    report.success(f"{output} holds the proof")
    report.fields(shown)
    report.line(f"next: tidegate evidence verify {output} --genesis GENESIS")
    report.document(shown)
