"""``tidegate governance propose-policy``, ``propose-kind``, ``propose-client`` and ``delegate``."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from contracts.admission.calls import DELEGATE, DELEGATED_ROLES, MAX_DELEGATED_CERTIFICATES, Delegation
from contracts.bridge.records import ROLES
from contracts.codes import Refusal
from contracts.flow.calls import DEFINE_KIND, DefineKind
from contracts.flow.kinds import FlowKind, StageSpec, check_kind
from contracts.governance.calls import SET_POLICY, SetPolicy
from contracts.governance.policies import check_policy
from ledger.document import from_document
from ledger.encoding import Record
from ledger.errors import InvalidInput
from node.calling import Caller
from node.cli.governance_session import keys_option, read_signing_keys, tell, words_option
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.cli.supervision_session import open_chain, time_option
from node.client import Client
from node.regulator import governing

MAX_FILE_BYTES: Final = 64 * 1024


async def _propose(
    report: Report,
    target: Target,
    keys: tuple[Path, ...],
    contract: str,
    action: str,
    data: Record,
    words: str,
) -> None:
    governors = read_signing_keys(keys)
    async with open_chain(target) as client:
        sender = Caller(client, target.member_key())
        approval = await governing.propose(sender, governors, contract, action, data, words)
    tell(report, approval, f"proposal {approval.number} ({words})")


@click.command("propose-policy")
@click.argument("name")
@click.argument("lock")
@target_options
@keys_option
@words_option
@reporting
async def propose_policy_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, name: str, lock: str, description: str
) -> None:
    """Propose that policy NAME becomes LOCK: keys and thresholds, as in threshold(2,key(ed25519:…),key(ed25519:…)).

    An empty LOCK takes the policy away.
    """
    if lock:
        try:
            check_policy(lock)
        except Refusal as error:
            raise InvalidInput(f"LOCK: {error.message}", code=error.code) from error
    await _propose(
        report, target, keys, "governance", SET_POLICY, SetPolicy(name, lock), description or f"policy {name}"
    )


@click.command("propose-kind")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@target_options
@keys_option
@words_option
@reporting
async def propose_kind_command(
    report: Report, target: Target, keys: tuple[Path, ...], *, file: Path, description: str
) -> None:
    """Propose the flow kind in FILE (TOML or JSON), or a kind's next version.

    \b
    name = "visa"
    version = 1
    max_staleness_ms = 30000
    masked = []
    [[stages]]
    stage = "file"               # file, review, opinion, order, fulfil, settle, deliver
    need = "decision"            # none, decision, grant, report
    purpose = ""                 # of the token, where need is grant
    deadline_ms = 86400000       # for decision and grant
    window_ms = 0                # for review and order
    """  # noqa: D301
    kind = _kind(file)
    await _propose(
        report,
        target,
        keys,
        "flow",
        DEFINE_KIND,
        DefineKind(kind),
        description or f"flow kind {kind.name}, version {kind.version}",
    )


def _kind(file: Path) -> FlowKind:
    try:
        return check_kind(from_document(_read(file), FlowKind))
    except Refusal as error:
        raise InvalidInput(f"{file}: {error.message}", code=error.code) from error
    except InvalidInput as error:
        if error.message.startswith(str(file)):
            raise
        raise InvalidInput(f"{file}: {_named(error.message)}", code=error.code) from error


def _named(words: str) -> str:
    """Words about an array's places with the names of the fields that these are."""
    words = re.sub(r"`\$\[(\d+)\]", lambda found: f"`{FlowKind.__struct_fields__[int(found[1])]}", words)
    return re.sub(
        r"`stages\[(\d+|\.\.\.)\]\[(\d+)\]",
        lambda found: f"`stages[{found[1]}].{StageSpec.__struct_fields__[int(found[2])]}",
        words,
    )


def _read(file: Path) -> Any:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{file}: over {MAX_FILE_BYTES} bytes", code="file_invalid")
    try:
        text = file.read_bytes().decode()
        return json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: {error}", code="file_invalid") from error


@click.command("propose-client")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the other chain is to this one.")
@click.option("--other", type=click.Path(path_type=Path), required=True, help="Home or RPC socket of a node of the other chain.")  # fmt: skip  # noqa: E501
@click.option("--replace", is_flag=True, help="In place of a client that is frozen.")
@click.option("--height", type=click.IntRange(0), help="Block to begin with; else the newest one.")
@click.option("--max-staleness-ms", type=click.IntRange(1_000), default=governing.MAX_STALENESS_MS, show_default=True, help="Relays renew it at half of this.")  # fmt: skip  # noqa: E501
@target_options
@keys_option
@words_option
@reporting
async def propose_client_command(
    report: Report,
    target: Target,
    keys: tuple[Path, ...],
    *,
    role: str,
    other: Path,
    replace: bool,
    height: int | None,
    max_staleness_ms: int,
    description: str,
) -> None:
    """Propose that this chain believes the other one's headers, from a block on that a node of one's own shows."""
    async with Client(_socket(other)) as client:
        order = await governing.client_order(client, role, max_staleness_ms=max_staleness_ms, height=height)
    action = governing.client_action(replace=replace)
    await _propose(report, target, keys, "bridge", action, order, description or f"light client of {order.name}")


def _socket(path: Path) -> Path:
    return Target(path.absolute()).socket if path.is_dir() else path


@click.command("delegate")
@click.argument("organisation")
@click.option("--role", "roles", type=click.Choice(DELEGATED_ROLES), multiple=True, default=DELEGATED_ROLES, show_default=True, help="Role that it may give.")  # fmt: skip  # noqa: E501
@click.option("--max", "most", type=click.IntRange(0, MAX_DELEGATED_CERTIFICATES), required=True, help="Certificates in all; 0 ends it.")  # fmt: skip  # noqa: E501
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), required=True, help="Until then (UTC).")  # fmt: skip  # noqa: E501
@target_options
@keys_option
@words_option
@reporting
async def delegate_command(
    report: Report,
    target: Target,
    keys: tuple[Path, ...],
    *,
    organisation: str,
    roles: tuple[str, ...],
    most: int,
    until: datetime,
    description: str,
) -> None:
    """Propose that ORGANISATION admits people of its own, its patients, without the admission authority."""
    order = Delegation(organisation, tuple(sorted(set(roles))), most, time_option(until, 0))
    await _propose(
        report, target, keys, "admission", DELEGATE, order, description or f"{organisation} admits its patients"
    )
