"""``tidegate admission list`` and ``show``."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from contracts.admission.calls import (
    MAX_PAGE,
    AuthorityRecord,
    CertificatePage,
    KeyArguments,
    Nothing,
    PageArguments,
    RevocationRecord,
)
from ledger.admission import AdmissionCertificate
from ledger.errors import NotFound
from ledger.keys import key_text
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, public_key, time_text

CONTRACT = "admission"
DAY_MS = 24 * 3600 * 1000


@click.command("list")
@target_options
@click.option("--organisation", help="Only of this organisation.")
@click.option("--role", help="Only with this role.")
@click.option("--expiring", type=click.IntRange(0, 36_500), metavar="DAYS", help="Only those that end within DAYS, or have.")  # fmt: skip  # noqa: E501
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Certificates at most.")
@reporting
async def list_command(
    report: Report, target: Target, *, organisation: str | None, role: str | None, expiring: int | None, limit: int
) -> None:
    """List certificates in order of their serials, and who may sign new ones."""
    before_ms = None if expiring is None else int(time.time() * 1000) + expiring * DAY_MS
    found: list[AdmissionCertificate] = []
    async with open_chain(target) as client:
        authority = await client.view(CONTRACT, "authority", Nothing(), AuthorityRecord)
        after = 0
        while len(found) < limit:
            page = await client.view(CONTRACT, "certificates", PageArguments(after, MAX_PAGE), CertificatePage)
            found += [
                certificate
                for certificate in page.certificates
                if (organisation is None or certificate.organisation == organisation)
                and (role is None or role in certificate.roles)
                and (before_ms is None or certificate.not_after_ms < before_ms)
            ]
            if len(page.certificates) < MAX_PAGE:
                break
            after = page.certificates[-1].serial
    found = found[:limit]
    report.line(f"admission authority: {authority.lock}")
    report.table(
        ["serial", "key", "organisation", "roles", "until"],
        [[c.serial, key_text(c.key), c.organisation, " ".join(c.roles), time_text(c.not_after_ms)] for c in found],
    )
    report.document({"authority": authority.lock, "certificates": found})


@click.command("show")
@click.argument("key")
@target_options
@reporting
async def show_command(report: Report, target: Target, key: str) -> None:
    """Show the certificate of KEY (ed25519:…), and its last revocation."""
    public = public_key(key)
    certificate: AdmissionCertificate | None = None
    revocation: RevocationRecord | None = None
    async with open_chain(target) as client:
        with suppress(NotFound):
            certificate = await client.view(CONTRACT, "certificate", KeyArguments(public), AdmissionCertificate)
        with suppress(NotFound):
            revocation = await client.view(CONTRACT, "revocation", KeyArguments(public), RevocationRecord)
    if certificate is None and revocation is None:
        raise NotFound(f"{key} was never admitted to this chain")
    if certificate is not None:
        report.fields(
            {
                "key": key,
                "organisation": certificate.organisation,
                "roles": " ".join(certificate.roles),
                "serial": certificate.serial,
                "valid": f"{time_text(certificate.not_before_ms)} to {time_text(certificate.not_after_ms)}",
                "transport": certificate.transport.hex() or "none",
            }
        )
    else:
        report.line(f"{key} is not admitted")
    if revocation is not None:
        report.fields(
            {
                "revoked": f"up to serial {revocation.revocation.serial} ({revocation.revocation.reason})",
                "at height": revocation.height,
            }
        )
    report.document({"certificate": certificate, "revocation": revocation})
