"""``tidegate network propose``, ``draft``, ``assemble`` and ``show``: the coordinator's part of a ceremony."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ledger.errors import InvalidConfig, InvalidInput
from node.cli.output import Report, reporting

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW = click.Path(path_type=Path, dir_okay=False)


@click.command("propose")
@click.argument("plan", type=FILE)
@click.option("--chain", "kind", type=click.Choice(["business", "supervision"]), help="Which one, where PLAN has both.")
@click.option("-o", "--out", type=NEW, required=True, help="File to write; must not exist.")
@reporting
def propose_command(report: Report, plan: Path, kind: str | None, out: Path) -> None:
    """Begin a ceremony for the chain in PLAN (network.toml). The proposal goes to every member.

    \b
    tidegate network propose network.toml -o proposal.json
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    from node.networks.blueprint import read_blueprint  # noqa: PLC0415 - brings the whole daemon's records
    from node.networks.ceremony import propose  # noqa: PLC0415
    from node.networks.ceremony_files import proposal_document, write_document  # noqa: PLC0415
    from node.networks.rehearsal import rehearse  # noqa: PLC0415

    blueprint = read_blueprint(plan)
    chains = blueprint.chains()
    if kind is None and len(chains) > 1:
        raise click.UsageError("PLAN has two chains, each with a ceremony of its own: --chain business|supervision")
    kind = kind or next(iter(chains))
    if kind not in chains:
        raise InvalidConfig(f"{plan} has no [{kind}]", code="plan_invalid")
    rehearse(blueprint)
    proposal = propose(kind, chains[kind])
    write_document(out, proposal_document(proposal))
    report.success(f"wrote {out}: ceremony {proposal.id.hex()[:16]} of chain {proposal.chain.name}")
    report.line("next, each member, where its node will run:")
    for seat in proposal.chain.seats:
        where = "--home HOME" if seat in proposal.chain.node else "--key FILE"
        report.line(f'  tidegate network member {out.name} --organisation "{seat.organisation}" {where}')
    report.document({"file": str(out), "ceremony": proposal.id, "chain": proposal.chain.name, "kind": kind})


@click.command("draft")
@click.argument("proposal", type=FILE)
@click.argument("members", type=FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW, required=True, help="File to write; must not exist.")
@reporting
def draft_command(report: Report, proposal: Path, members: tuple[Path, ...], out: Path) -> None:
    """Put PROPOSAL and all MEMBERS files together. The draft goes to every member, who checks and signs it.

    \b
    tidegate network draft proposal.json member-*.json -o draft.json
    """  # noqa: D301
    from node.networks.ceremony import make_draft  # noqa: PLC0415 - as above
    from node.networks.ceremony_files import (  # noqa: PLC0415
        founding_document,
        read_member,
        read_proposal,
        write_document,
    )

    founding = make_draft(read_proposal(proposal), [read_member(path) for path in members])
    write_document(out, founding_document(founding))
    draft = founding.draft()
    report.success(f"wrote {out}: draft {draft.hash.hex()}")
    report.line("next, each member: tidegate network show, compare the draft's hash, then")
    for member in founding.members:
        where = "--home HOME" if member.keys.has_node else f"--key FILE --organisation {member.keys.seat}"
        report.line(f"  tidegate network sign {out.name} {where}")
    report.document({"file": str(out), "draft": draft.hash, "chain_id": draft.chain_id})


@click.command("assemble")
@click.argument("draft", type=FILE)
@click.argument("signatures", type=FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW, required=True, help="Founding file to write; must not exist.")
@click.option("--genesis", type=NEW, help="The genesis file too; genesis.json beside the founding file by default.")
@reporting
def assemble_command(
    report: Report, draft: Path, signatures: tuple[Path, ...], out: Path, genesis: Path | None
) -> None:
    """Put DRAFT and all SIGNATURES together. The founding file goes to every member, who joins with it.

    \b
    tidegate network assemble draft.json sign-*.json -o founding.json
    """  # noqa: D301
    from ledger.genesis import format_genesis  # noqa: PLC0415 - as above
    from node.atomic_file import write_atomic  # noqa: PLC0415
    from node.networks.ceremony import assemble, finish  # noqa: PLC0415
    from node.networks.ceremony_files import (  # noqa: PLC0415
        founding_document,
        read_founding,
        read_signature,
        write_document,
    )

    founding = assemble(read_founding(draft), [read_signature(path) for path in signatures])
    made = finish(founding)
    target = genesis or out.with_name("genesis.json")
    write_document(out, founding_document(founding))
    write_atomic(target, format_genesis(made))
    report.success(f"wrote {out} and {target}")
    report.fields({"chain": made.name, "chain id": made.chain_id.hex(), "genesis": made.hash.hex()})
    report.line(f"next, each member: tidegate network join {out.name} --home HOME, then tidegate node run --home HOME")
    report.document({"file": str(out), "genesis": str(target), "genesis_hash": made.hash, "chain_id": made.chain_id})


@click.command("show")
@click.argument("file", type=FILE)
@reporting
def show_command(report: Report, file: Path) -> None:
    """Show what FILE says: a proposal, member file, draft, founding file, or a genesis file. Everything is checked."""
    from node.networks import ceremony_files as files  # noqa: PLC0415 - as above
    from node.networks.showing import (  # noqa: PLC0415
        founding_words,
        genesis_words,
        member_words,
        proposal_words,
        signature_words,
    )

    document = files.read_document(file)
    words: dict[str, Any]
    rows: list[list[object]] = []
    if files.PROPOSAL in document:
        words, rows = proposal_words(files.read_proposal(file))
    elif files.MEMBER in document:
        words = member_words(files.read_member(file))
    elif files.SIGNATURE in document:
        words = signature_words(files.read_signature(file))
    elif files.FOUNDING in document:
        words, rows = founding_words(files.read_founding(file))
    elif "certificates" in document and "suite" in document:
        words, rows = genesis_words(file.read_bytes())
    else:
        known = "; ".join(files.KINDS.values())
        raise InvalidInput(f"{file} is none of these: {known}; a genesis file", code="file_invalid")
    report.fields(words)
    if rows:
        report.line()
        report.table(["seat", "organisation", "roles", "address", "key", "signed"], rows)
    report.document({**words, "seats": rows})
