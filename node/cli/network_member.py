"""``tidegate network member``, ``sign`` and ``join``: a member's part of a ceremony, where its keys are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import new_passphrase, passphrase_from_person, seal_option
from node.cli.output import Report, reporting

if TYPE_CHECKING:
    from node.networks.homes import Place

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW = click.Path(path_type=Path, dir_okay=False)
_organisation = click.option("--organisation", "seat", required=True, help="Whose seat; or the seat's own name.")
_who = click.option("--organisation", "seat", help="Whose seat, where the home does not say it.")
_home = click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Home of its node.")
_key = click.option("--key", type=NEW, help="Of a seat without a node: its key file.")
_authority = click.option("--authority-key", type=NEW, help="Its key of the admission authority, where that is elsewhere.")  # fmt: skip  # noqa: E501


@click.command("member")
@click.argument("proposal", type=FILE)
@_organisation
@_home
@_key
@_authority
@click.option("-o", "--out", type=NEW, help="File to write; member-SEAT.json by default.")
@seal_option
@reporting
def member_command(
    report: Report,
    proposal: Path,
    *,
    seat: str,
    home: Path | None,
    key: Path | None,
    authority_key: Path | None,
    out: Path | None,
    seal: bool,
) -> None:
    """Make the keys of a member of PROPOSAL, and its node's home. Only public halves are written to the file.

    Keys that are there already are kept. Read the proposal first: tidegate network show.

    \b
    tidegate network member proposal.json --organisation "Insurer C" --home /var/lib/tidegate/insurer-c
    """  # noqa: D301 - click's mark against rewrapping is a backslash
    from node.networks.ceremony_files import member_document, read_proposal, write_document  # noqa: PLC0415 - heavy
    from node.networks.homes import make_seat  # noqa: PLC0415
    from node.networks.member_file import statement_digest  # noqa: PLC0415

    place = _place(home, key, authority_key)
    member = make_seat(read_proposal(proposal), seat, place, new_passphrase(seal=seal), passphrase_from_person)
    target = out or Path(f"member-{member.keys.seat}.json")
    write_document(target, member_document(member))
    report.success(f"wrote {target}: send it to the coordinator; no secret is in it")
    fingerprint = statement_digest(member.keys).hex()
    report.fields(
        {
            "seat": f"{member.keys.organisation} ({member.keys.seat})",
            "keys": str(place.member.parent),
            "fingerprint": fingerprint,
        }
    )
    report.line("tell the others the fingerprint by another way than the file: by telephone, face to face")
    report.document({"file": str(target), "seat": member.keys.seat, "fingerprint": fingerprint})


@click.command("sign")
@click.argument("draft", type=FILE)
@_who
@_home
@_key
@_authority
@click.option("--draft-hash", help="What the draft's hash must be, as the others have read it out.")
@click.option("-o", "--out", type=NEW, help="File to write; sign-SEAT.json by default.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@reporting
def sign_command(
    report: Report,
    draft: Path,
    *,
    seat: str | None,
    home: Path | None,
    key: Path | None,
    authority_key: Path | None,
    draft_hash: str | None,
    out: Path | None,
    yes: bool,
) -> None:
    """Check DRAFT, whether our own keys are in it, and sign it: as a member, and for the authority where we are of it.

    The genesis is computed here from the proposal and the members' files; nothing of it is taken on trust.
    """
    from ledger.errors import InvalidInput  # noqa: PLC0415 - as above
    from node.networks.ceremony_files import read_founding, signature_document, write_document  # noqa: PLC0415
    from node.networks.homes import sign_seat  # noqa: PLC0415
    from node.networks.showing import founding_words  # noqa: PLC0415

    founding = read_founding(draft)
    words, rows = founding_words(founding)
    if draft_hash is not None and draft_hash != words["draft"]:
        raise InvalidInput(
            f"this draft's hash is {words['draft']}, and the others' is {draft_hash}: somebody has another file",
            code="draft_other",
        )
    report.fields(words)
    report.table(["seat", "organisation", "roles", "address", "key", "signed"], rows)
    if not yes and not report.json:
        click.confirm("Is this the network that was agreed on? Sign it?", abort=True, err=True)
    place = _place(home, key, authority_key)
    signature = sign_seat(founding, _seat(seat, home), place, passphrase_from_person)
    target = out or Path(f"sign-{signature.seat}.json")
    write_document(target, signature_document(signature))
    report.success(f"wrote {target}: send it to the coordinator")
    report.document({"file": str(target), "draft": signature.draft, "authority": bool(signature.authority)})


@click.command("join")
@click.argument("founding", type=FILE)
@_who
@click.option("--home", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True, help="Home of its node.")  # fmt: skip  # noqa: E501
@reporting
def join_command(report: Report, founding: Path, *, seat: str | None, home: Path) -> None:
    """Check everything in FOUNDING again, and complete the node's home: genesis, its hash, the peers."""
    from node.layout import HomeLayout  # noqa: PLC0415 - as above
    from node.networks.ceremony_files import read_founding  # noqa: PLC0415
    from node.networks.homes import join_home  # noqa: PLC0415

    layout = HomeLayout(home)
    genesis = join_home(read_founding(founding), _seat(seat, home), layout, passphrase_from_person)
    report.success(f"{layout.path} is ready to run")
    report.fields({"chain": genesis.name, "chain id": genesis.chain_id.hex(), "genesis": genesis.hash.hex()})
    report.line(f"next: tidegate node run --home {home}")
    report.document({"home": str(layout.path), "chain_id": genesis.chain_id, "genesis_hash": genesis.hash})


def _place(home: Path | None, key: Path | None, authority: Path | None) -> Place:
    from node.networks.homes import Place  # noqa: PLC0415 - as above

    if (home is None) == (key is None):
        raise click.UsageError("say where the keys are: --home of a node, or --key FILE of a seat without one")
    if home is not None:
        return Place.of_home(home, authority)
    assert key is not None
    return Place.of_file(key, authority)


def _seat(given: str | None, home: Path | None) -> str:
    """The seat that was named, or that the home's configuration names."""
    if given is not None:
        return given
    if home is None:
        raise click.UsageError("say whose seat it is: --organisation")
    from node.layout import HomeLayout, read_toml  # noqa: PLC0415 - as above

    return str(read_toml(HomeLayout(home).config_file).get("node", {}).get("name", ""))
