"""``tidegate key``: make and show key files."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.errors import InvalidConfig
from ledger.keys import SigningKey
from node.cli.options import new_passphrase, seal_option
from node.cli.output import Report, reporting
from node.keyfile import KINDS, read_public, write_key
from node.layout import HomeLayout
from node.node_keys import NODE_KINDS
from p2p.identity import public_key_of_peer_id


@click.group()
def command() -> None:
    """Make and show keys.

    A key file holds one secret key, is readable by its owner only, and can be sealed with a passphrase.

    \b
    tidegate key new member.key
    tidegate key show devnet/node0
    """  # noqa: D301 - click's mark against rewrapping is a backslash


@command.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--kind", type=click.Choice(KINDS), default="member", show_default=True, help="What the key is for.")
@click.option("--epoch", type=click.IntRange(1, 2**31 - 1), help="Of a sealing key: one more than the last.")
@seal_option
@reporting
def new(report: Report, file: Path, kind: str, epoch: int | None, *, seal: bool) -> None:
    """Make a new key and write it to FILE, which must not exist.

    \b
    tidegate key new member.key
    tidegate key new --kind authority --seal authority.key
    tidegate key new --kind sealing --epoch 2 sealing-2.key
    """  # noqa: D301
    if (kind == "sealing") != (epoch is not None):
        raise click.UsageError("--epoch is given with a sealing key, and only there")
    secret = SigningKey.generate().seed if epoch is None else _sealing_secret(epoch)
    public = write_key(file, kind, secret, passphrase=new_passphrase(seal=seal))
    report.success(f"wrote {file}")
    report.fields(_described(kind, public, sealed=seal))
    report.document({"file": str(file), **_described(kind, public, sealed=seal)})


@command.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@reporting
def show(report: Report, path: Path) -> None:
    """Show the public half of the key file at PATH, or of every key of the home directory at PATH.

    The secret is not read: no passphrase is needed.

    \b
    tidegate key show member.key
    tidegate key show devnet/node0
    """  # noqa: D301
    files = [path]
    if path.is_dir():
        layout = HomeLayout(path)
        files = [layout.key_file(kind) for kind in NODE_KINDS] if layout.keys_dir.is_dir() else []
        if layout.keys_dir.is_dir() and not any(file.exists() for file in files):
            files = sorted(layout.keys_dir.glob("*.key"))
    if not files:
        raise InvalidConfig(f"{path} has no keys/ directory with key files", code="key_missing")
    found = [read_public(file) for file in files]
    described = [_described(kind, public, sealed=sealed) for kind, public, sealed in found]
    for number, fields in enumerate(described):
        if number:
            report.line()
        report.fields(fields)
    report.document(described if path.is_dir() else described[0])


def _sealing_secret(epoch: int) -> bytes:
    from ledger.sealing_keys import DecryptionKey  # noqa: PLC0415 - only who seals needs the library behind it

    return DecryptionKey.generate_x25519(epoch).to_bytes()


def _described(kind: str, public: str, *, sealed: bool) -> dict[str, object]:
    fields: dict[str, object] = {"kind": kind}
    if kind == "transport":
        # Certificates carry the bare key, peers and people use the id that libp2p makes of it.
        fields |= {"peer_id": public, "public_key": public_key_of_peer_id(public).hex()}
    else:
        fields["public_key"] = public
    return {**fields, "sealed": sealed}
