"""``tidegate admission issue`` and ``sign``: certificates, signed without a node."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from ledger.admission import (
    FIRST_DELEGATED_SERIAL,
    ROLES,
    AdmissionCertificate,
    SignedCertificate,
    sign_certificate,
)
from ledger.errors import InvalidInput
from ledger.genesis import parse_genesis
from ledger.keys import key_text
from ledger.lock import check_name
from ledger.types import Hash32
from node.cli.governance_session import read_signing_keys
from node.cli.output import Report, reporting
from node.cli.supervision_session import public_key, time_option, time_text
from node.networks.ceremony_files import read_member
from node.networks.certificates_file import add_signatures, fresh_serials, read_certificates, write_certificates
from node.networks.member_file import MemberKeys, check_member

_moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW = click.Path(path_type=Path, dir_okay=False)
DAY_MS: Final = 24 * 3600 * 1000
NODE_ROLES: Final = {"validator": ("validator",), "observer": ("observer",), "candidate": ("observer", "validator")}
_authority_keys = click.option("--authority-key", "keys", type=FILE, multiple=True, required=True, help="Key file of the admission authority; once for each that signs.")  # fmt: skip  # noqa: E501


@dataclass(frozen=True, slots=True)
class Terms:
    """What all certificates of one command have in common."""

    chain_id: Hash32
    not_before_ms: int
    not_after_ms: int


@click.command("issue")
@click.option("--genesis", type=FILE, help="Genesis file of the chain.")
@click.option("--chain-id", help="Or the chain's id, 64 hex digits.")
@_authority_keys
@click.option("--request", "request_file", type=FILE, help="Keys with proofs, as network add-node and admission rotate write them.")  # fmt: skip  # noqa: E501
@click.option("--node-role", type=click.Choice(sorted(NODE_ROLES)), default="candidate", show_default=True, help="With --request: of the node.")  # fmt: skip  # noqa: E501
@click.option("--node-only", is_flag=True, help="With --request: the organisation's key has a certificate already.")
@click.option("--key", help="Or who is admitted (ed25519:…).")
@click.option("--transport", default="", help="Transport key of a node, 64 hex digits.")
@click.option("--organisation", help="Who answers for the key.")
@click.option("--role", "roles", type=click.Choice(sorted(ROLES)), multiple=True, help="What it may do; repeatable. With --request: the organisation's key, member and service by default.")  # fmt: skip  # noqa: E501
@click.option("--serial", type=click.IntRange(1, FIRST_DELEGATED_SERIAL - 1), help="Number, used once; the time in milliseconds by default.")  # fmt: skip  # noqa: E501
@click.option("--from", "begin", type=_moment, help="Valid from then on (UTC); from now on by default.")
@click.option("--until", type=_moment, help="Valid until then (UTC).")
@click.option("--days", type=click.IntRange(1, 36_500), help="Or for so many days.")
@click.option("-o", "--out", type=NEW, required=True, help="File to write; must not exist.")
@reporting
def issue_command(
    report: Report,
    *,
    genesis: Path | None,
    chain_id: str | None,
    keys: tuple[Path, ...],
    request_file: Path | None,
    node_role: str,
    node_only: bool,
    key: str | None,
    transport: str,
    organisation: str | None,
    roles: tuple[str, ...],
    serial: int | None,
    begin: datetime | None,
    until: datetime | None,
    days: int | None,
    out: Path,
) -> None:
    """Make certificates, signed with the admission authority's keys. Nothing is sent: the file is brought later.

    Where more keys of the authority have to sign than are here, the file goes to them: tidegate admission sign.
    """
    terms = _terms(chain_of(genesis, chain_id), begin, until, days)
    if request_file is not None:
        if key or transport or organisation:
            raise click.UsageError("--request says the keys and the organisation")
        stated = check_member(read_member(request_file), terms.chain_id)
        member_roles = () if node_only else roles or ("member", "service")
        found = requested(stated, terms, NODE_ROLES[node_role], member_roles, serial)
    else:
        if key is None or organisation is None or not roles:
            raise click.UsageError("give --request, or --key, --organisation and --role")
        number = fresh_serials(1)[0] if serial is None else serial
        name = check_name(organisation, "organisation")
        found = [_certificate(terms, number, public_key(key), _transport(transport), name, roles)]
    signers = read_signing_keys(keys)
    write_certificates(out, [sign_certificate(certificate, signers) for certificate in found])
    report.success(f"wrote {out}")
    for certificate in found:
        report.fields(
            {
                "key": key_text(certificate.key),
                "organisation": certificate.organisation,
                "roles": " ".join(certificate.roles),
                "valid": f"{time_text(certificate.not_before_ms)} to {time_text(certificate.not_after_ms)}",
            }
        )
    report.line(f"next: tidegate admission admit {out} --home HOME")
    one = found[0] if len(found) == 1 else None
    report.document({"file": str(out), "certificate": one, "certificates": found})


@click.command("sign")
@click.argument("file", type=FILE)
@_authority_keys
@click.option("-o", "--out", type=NEW, required=True, help="File to write; must not exist.")
@reporting
def sign_command(report: Report, *, file: Path, keys: tuple[Path, ...], out: Path) -> None:
    """Add signatures to the certificates in FILE, after reading what they say.

    \b
    tidegate admission sign cert.json --authority-key mine.key -o cert-2.json
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    signers = read_signing_keys(keys)
    signed = [add_signatures(one, signers) for one in read_certificates(file)]
    write_certificates(out, signed)
    report.success(f"wrote {out}")
    report.table(
        ["key", "organisation", "roles", "until", "signatures"],
        [_row(one) for one in signed],
    )
    report.document({"file": str(out), "certificates": [one.certificate for one in signed]})


def requested(
    stated: MemberKeys,
    terms: Terms,
    node_roles: tuple[str, ...],
    member_roles: tuple[str, ...],
    serial: int | None = None,
) -> list[AdmissionCertificate]:
    """The certificates that a checked request asks for: of the node, and of the organisation's key where it has roles.

    Args:
        stated: keys, their proofs checked.
        terms: chain and validity.
        node_roles: of the node's key.
        member_roles: of the organisation's key; none: it gets no certificate.
        serial: of the first; fresh ones by default.

    Raises:
        InvalidInput: ``request_empty``: nothing is asked for.
    """
    wanted: list[tuple[bytes, bytes, tuple[str, ...]]] = []
    if stated.has_node:
        wanted.append((stated.validator, stated.transport, node_roles))
    if member_roles:
        wanted.append((stated.member, b"", member_roles))
    if not wanted:
        raise InvalidInput("the request has no node, and the organisation's key gets no role", code="request_empty")
    serials = fresh_serials(len(wanted)) if serial is None else range(serial, serial + len(wanted))
    return [
        _certificate(terms, number, key, transport, stated.organisation, roles)
        for number, (key, transport, roles) in zip(serials, wanted, strict=True)
    ]


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


def end_of(begin_ms: int, until: datetime | None, days: int | None) -> int:
    """The last moment of validity that ``--until`` or ``--days`` says.

    Raises:
        UsageError: neither or both.
        InvalidInput: ``time_invalid``: it is not after the beginning.
    """
    if (until is None) == (days is None):
        raise click.UsageError("say how long: --until DAY or --days COUNT")
    end_ms = time_option(until, 0) if days is None else begin_ms + days * DAY_MS
    if end_ms <= begin_ms:
        raise InvalidInput("--until: the certificate would end before it begins", code="time_invalid")
    return end_ms


def _terms(chain_id: Hash32, begin: datetime | None, until: datetime | None, days: int | None) -> Terms:
    begin_ms = time_option(begin, int(time.time() * 1000))
    return Terms(chain_id, begin_ms, end_of(begin_ms, until, days))


def _certificate(
    terms: Terms, serial: int, key: bytes, transport: bytes, organisation: str, roles: tuple[str, ...]
) -> AdmissionCertificate:
    return AdmissionCertificate(
        terms.chain_id,
        serial,
        key,
        transport,
        organisation,
        tuple(sorted(set(roles))),
        terms.not_before_ms,
        terms.not_after_ms,
    )


def _row(signed: SignedCertificate) -> list[object]:
    certificate = signed.certificate
    until = time_text(certificate.not_after_ms)
    roles = " ".join(certificate.roles)
    return [key_text(certificate.key), certificate.organisation, roles, until, len(signed.signatures)]


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
