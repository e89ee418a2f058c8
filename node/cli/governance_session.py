"""What the governors' and the admission authority's commands share: keys in files, and how a proposal is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from contracts.governance.calls import EXECUTED, WITHDRAWN, Approval
from ledger.errors import InvalidConfig
from ledger.keys import SigningKey
from node.cli.options import passphrase_from_person
from node.cli.output import Report
from node.keyfile import read_key, read_public

F = TypeVar("F", bound=Callable[..., Any])
SIGNING_KINDS: Final = ("authority", "member", "issuer", "validator")


def keys_option(function: F) -> F:
    """Adds ``--key`` (repeatable), as ``keys: tuple[Path, …]``."""
    option = click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Key file of a governor who signs; once for each.",
    )
    return option(function)


def words_option(function: F) -> F:
    """Adds ``--description``."""
    return click.option("--description", default="", help="Words for people.")(function)


def read_signing_keys(files: Iterable[Path]) -> list[SigningKey]:
    """The signing keys in key files.

    Raises:
        InvalidConfig: a file is unusable, or its key signs no transactions.
    """
    found = []
    for file in files:
        kind = read_public(file)[0]
        if kind not in SIGNING_KINDS:
            raise InvalidConfig(f"{file}: a {kind} key signs no transactions", code="key_kind_wrong")
        found.append(SigningKey(read_key(file, kind, passphrase_from_person)))
    return found


def tell(report: Report, approval: Approval, what: str) -> None:
    """Says where a proposal stands after a transaction."""
    if approval.status == EXECUTED:
        report.success(f"{what} has taken effect")
    elif approval.status == WITHDRAWN:
        report.success(f"{what} is withdrawn")
    else:
        report.success(f"{what} has {len(approval.approvals)} approvals; more governors have to approve it")
    report.fields({"proposal": approval.proposal.hex(), "number": approval.number, "status": approval.status})
    if approval.status not in (EXECUTED, WITHDRAWN):
        report.line(f"next: tidegate governance approve {approval.proposal.hex()[:16]} --key FILE")
    report.document(approval)
