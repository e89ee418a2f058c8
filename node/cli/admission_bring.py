"""``tidegate admission admit`` and ``revoke``: the admission authority's word comes onto the chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from contracts.admission.calls import KeyArguments
from ledger.admission import (
    AdmissionCertificate,
    Revocation,
    SignedRevocation,
    sign_revocation,
)
from ledger.document import from_document, to_document
from ledger.encoding import Record
from ledger.errors import InvalidConfig, InvalidInput, NotFound
from ledger.keys import key_text
from node.atomic_file import write_atomic
from node.calling import Caller
from node.cli.governance_session import read_signing_keys
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, public_key
from node.client import Client
from node.networks.certificates_file import read_certificates

R = TypeVar("R", bound=Record)
CONTRACT: Final = "admission"
MAX_FILE_BYTES: Final = 64 * 1024


@click.command("admit")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@reporting
async def admit_command(report: Report, target: Target, file: Path) -> None:
    """Bring the certificates in FILE, as tidegate admission issue and renew write it. Any member of the chain may.

    Of several, those that are on the chain already are passed over, so that the command can be run again.
    """
    found = read_certificates(file)
    async with open_chain(target) as client:
        caller = Caller(client, target.member_key())
        for signed in found:
            certificate = signed.certificate
            if len(found) > 1 and await _present(client, certificate.key) == certificate:
                report.line(f"{key_text(certificate.key)} of {certificate.organisation} is admitted already")
                continue
            await caller.call(CONTRACT, "admit", signed)
            report.success(f"{key_text(certificate.key)} of {certificate.organisation} is admitted")
    certificates = [signed.certificate for signed in found]
    report.document(certificates[0] if len(certificates) == 1 else {"certificates": certificates})


@click.command("revoke")
@click.argument("key", required=False)
@target_options
@click.option("--authority-key", "keys", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True, help="Key file of the admission authority; once for each that signs.")  # fmt: skip  # noqa: E501
@click.option("--serial", type=click.IntRange(1), help="Certificates up to this are void; the key's present one by default.")  # fmt: skip  # noqa: E501
@click.option("--reason", default="key_lost", show_default=True, help="A word for the record.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the signed revocation here, and send nothing.")  # fmt: skip  # noqa: E501
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Bring this signed revocation.")  # fmt: skip  # noqa: E501
@reporting
async def revoke_command(
    report: Report,
    target: Target,
    *,
    key: str | None,
    keys: tuple[Path, ...],
    serial: int | None,
    reason: str,
    out: Path | None,
    file: Path | None,
) -> None:
    """Revoke KEY (ed25519:…), signed with the admission authority's keys; or bring a revocation signed before."""
    if (key is None) == (file is None):
        raise click.UsageError("give a key, with --authority-key, or --file")
    async with open_chain(target) as client:
        if file is not None:
            signed = _read(file, SignedRevocation)
        else:
            assert key is not None
            if not keys:
                raise click.UsageError("the admission authority signs this: --authority-key FILE")
            signed = sign_revocation(await _revocation(client, key, serial, reason), read_signing_keys(keys))
        revocation = signed.revocation
        if out is None:
            await Caller(client, target.member_key()).call(CONTRACT, "revoke", signed)
        else:
            _write(out, signed)
    words = f"{key_text(revocation.key)}, certificates up to {revocation.serial}"
    report.success(f"revoked: {words}" if out is None else f"wrote {out}: {words}")
    report.document(revocation)


async def _present(client: Client, key: bytes) -> AdmissionCertificate | None:
    try:
        return await client.view(CONTRACT, "certificate", KeyArguments(key), AdmissionCertificate)
    except NotFound:
        return None


async def _revocation(client: Client, key: str, serial: int | None, reason: str) -> Revocation:
    public = public_key(key)
    if serial is None:
        found = await client.view(CONTRACT, "certificate", KeyArguments(public), AdmissionCertificate)
        serial = found.serial
    if not 1 <= len(reason) <= 64:
        raise InvalidInput("--reason: 1 to 64 characters", code="reason_invalid")
    return Revocation((await client.info()).chain_id, public, serial, reason)


def _write(out: Path, signed: Record) -> None:
    if out.exists():
        raise InvalidConfig(f"{out} exists already", code="file_exists")
    write_atomic(out, json.dumps(to_document(signed), indent=1, ensure_ascii=False).encode() + b"\n", replace=False)


def _read(file: Path, kind: type[R]) -> R:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{file}: over {MAX_FILE_BYTES} bytes", code="file_invalid")
    try:
        document: Any = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: {error}", code="file_invalid") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{file}: a JSON object is needed", code="file_invalid")
    try:
        return from_document(document, kind)
    except InvalidInput as error:
        raise InvalidInput(f"{file}: {error.message}", code=error.code) from error
