"""``tidegate admission issue``: a certificate, signed without a node."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from ledger.admission import FIRST_DELEGATED_SERIAL, ROLES, AdmissionCertificate, sign_certificate
from ledger.document import to_document
from ledger.errors import InvalidConfig, InvalidInput
from ledger.genesis import parse_genesis
from ledger.lock import check_name
from ledger.types import Hash32
from node.atomic_file import write_atomic
from node.cli.governance_session import read_signing_keys
from node.cli.output import Report, reporting
from node.cli.supervision_session import public_key, time_option, time_text

_moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@click.command("issue")
@click.option("--genesis", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Genesis file of the chain.")  # fmt: skip  # noqa: E501
@click.option("--chain-id", help="Or the chain's id, 64 hex digits.")
@click.option("--authority-key", "keys", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True, required=True, help="Key file of the admission authority; once for each that signs.")  # fmt: skip  # noqa: E501
@click.option("--serial", type=click.IntRange(1, FIRST_DELEGATED_SERIAL - 1), required=True, help="Number, used once.")
@click.option("--key", required=True, help="Who is admitted (ed25519:…).")
@click.option("--transport", default="", help="Transport key of a node, 64 hex digits.")
@click.option("--organisation", required=True, help="Who answers for the key.")
@click.option("--role", "roles", type=click.Choice(sorted(ROLES)), multiple=True, required=True, help="What it may do; repeatable.")  # fmt: skip  # noqa: E501
@click.option("--from", "begin", type=_moment, help="Valid from then on (UTC); from now on by default.")
@click.option("--until", type=_moment, required=True, help="Valid until then (UTC).")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write; must not exist.")  # fmt: skip  # noqa: E501
@reporting
def issue_command(
    report: Report,
    *,
    genesis: Path | None,
    chain_id: str | None,
    keys: tuple[Path, ...],
    serial: int,
    key: str,
    transport: str,
    organisation: str,
    roles: tuple[str, ...],
    begin: datetime | None,
    until: datetime,
    out: Path,
) -> None:
    """Make a certificate, signed with the admission authority's keys. Nothing is sent: the file is brought later."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    certificate = AdmissionCertificate(
        chain_of(genesis, chain_id),
        serial,
        public_key(key),
        _transport(transport),
        check_name(organisation, "organisation"),
        tuple(sorted(set(roles))),
        time_option(begin, now_ms),
        time_option(until, 0),
    )
    if certificate.not_after_ms <= certificate.not_before_ms:
        raise InvalidInput("--until: the certificate would end before it begins", code="time_invalid")
    signed = sign_certificate(certificate, read_signing_keys(keys))
    if out.exists():
        raise InvalidConfig(f"{out} exists already", code="file_exists")
    write_atomic(out, json.dumps(to_document(signed), indent=1, ensure_ascii=False).encode() + b"\n", replace=False)
    report.success(f"wrote {out}")
    report.fields(
        {
            "key": key,
            "organisation": organisation,
            "roles": " ".join(certificate.roles),
            "valid": f"{time_text(certificate.not_before_ms)} to {time_text(certificate.not_after_ms)}",
        }
    )
    report.line(f"next: tidegate admission admit {out} --home HOME")
    report.document({"file": str(out), "certificate": certificate})


def chain_of(genesis: Path | None, chain_id: str | None) -> Hash32:
    """The chain id that options say.

    Raises:
        InvalidGenesis: the file is none.
        InvalidInput: not 64 hex digits.
        UsageError: neither or both.
    """
    if (genesis is None) == (chain_id is None):
        raise click.UsageError("say which chain: --genesis FILE or --chain-id HEX")
    if genesis is not None:
        return Hash32(parse_genesis(genesis.read_bytes()).chain_id)
    assert chain_id is not None
    return Hash32(_hash(chain_id, "--chain-id"))


def _transport(text: str) -> bytes:
    return _hash(text, "--transport") if text else b""


def _hash(text: str, what: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput(f"{what}: 64 hex digits are needed", code="hex_invalid")
    return found
