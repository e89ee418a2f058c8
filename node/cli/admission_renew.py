"""``tidegate admission renew``: the same certificates with another end."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from contracts.admission.calls import MAX_PAGE, CertificatePage, PageArguments
from ledger.admission import FIRST_DELEGATED_SERIAL, AdmissionCertificate, sign_certificate
from ledger.errors import NotFound
from ledger.keys import key_text
from node.calling import Caller
from node.cli.admission_issue import NEW, end_of
from node.cli.governance_session import read_signing_keys
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, public_key, time_text
from node.client import Client
from node.networks.certificates_file import fresh_serials, renewed, write_certificates

CONTRACT: Final = "admission"
DAY_MS: Final = 24 * 3600 * 1000


@click.command("renew")
@click.argument("keys", nargs=-1, metavar="[KEY]…")
@target_options
@click.option("--organisation", help="All certificates of this organisation.")
@click.option("--expiring", type=click.IntRange(0, 36_500), metavar="DAYS", help="All that end within DAYS, or have.")
@click.option("--authority-key", "files", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True, required=True, help="Key file of the admission authority; once for each that signs.")  # fmt: skip  # noqa: E501
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Valid until then (UTC).")
@click.option("--days", type=click.IntRange(1, 36_500), help="Or for so many days from now.")
@click.option("-o", "--out", type=NEW, help="Write the certificates here, for others to sign, and send nothing.")
@reporting
async def renew_command(
    report: Report,
    target: Target,
    *,
    keys: tuple[str, ...],
    organisation: str | None,
    expiring: int | None,
    files: tuple[Path, ...],
    until: datetime | None,
    days: int | None,
    out: Path | None,
) -> None:
    """Make certificates hold longer; whom they admit, and as what, stays. Those that were revoked stay revoked.

    \b
    tidegate admission renew --expiring 60 --days 365 --authority-key a1.key --authority-key a2.key --home HOME
    tidegate admission renew ed25519:… --days 365 --authority-key a1.key -o renewed.json --home HOME
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    if not keys and organisation is None and expiring is None:
        raise click.UsageError("say which: KEY, --organisation or --expiring")
    wanted = frozenset(bytes(public_key(text)) for text in keys)
    now_ms = int(time.time() * 1000)
    end_ms = end_of(now_ms, until, days)
    signers = read_signing_keys(files)
    async with open_chain(target) as client:
        present = [
            certificate
            for certificate in await _all(client)
            if (not wanted or certificate.key in wanted)
            and (organisation is None or certificate.organisation == organisation)
            and (expiring is None or certificate.not_after_ms < now_ms + expiring * DAY_MS)
        ]
        missing = wanted - {certificate.key for certificate in present}
        if missing or not present:
            words = ", ".join(key_text(key) for key in sorted(missing)) or "nothing that fits"
            raise NotFound(f"no certificate on this chain: {words}")
        serials = fresh_serials(len(present), above=max(certificate.serial for certificate in present))
        signed = [
            sign_certificate(renewed(certificate, serial, end_ms), signers)
            for certificate, serial in zip(present, serials, strict=True)
        ]
        if out is not None:
            write_certificates(out, signed)
        else:
            caller = Caller(client, target.member_key())
            for one in signed:
                await caller.call(CONTRACT, "admit", one)
    report.success(f"{len(signed)} certificates {'renewed' if out is None else f'written to {out}'}")
    report.table(
        ["key", "organisation", "roles", "until"],
        [
            [key_text(c.key), c.organisation, " ".join(c.roles), time_text(c.not_after_ms)]
            for c in (one.certificate for one in signed)
        ],
    )
    if out is not None:
        report.line(f"next: tidegate admission sign {out} …, then tidegate admission admit")
    report.document({"certificates": [one.certificate for one in signed], "file": None if out is None else str(out)})


async def _all(client: Client) -> list[AdmissionCertificate]:
    """Every certificate that the authority signed; patients' are their platform's."""
    found: list[AdmissionCertificate] = []
    after = 0
    while True:
        page = await client.view(CONTRACT, "certificates", PageArguments(after, MAX_PAGE), CertificatePage)
        found += [certificate for certificate in page.certificates if certificate.serial < FIRST_DELEGATED_SERIAL]
        if len(page.certificates) < MAX_PAGE or page.certificates[-1].serial >= FIRST_DELEGATED_SERIAL:
            return found
        after = page.certificates[-1].serial
