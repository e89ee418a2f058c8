"""Homes of a network's seats: made where the keys are to be used, and completed when the network is founded."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig, InvalidInput
from ledger.genesis import Genesis, format_genesis
from ledger.keys import SigningKey
from node.atomic_file import write_atomic
from node.config import check_config_text
from node.config_text import NodeSettings
from node.home import Home
from node.keyfile import PassphraseSource, environment_passphrase, read_key, write_key
from node.layout import HomeLayout, read_toml
from node.networks.blueprint import NodePlan
from node.networks.ceremony import Founding, MemberSignature, Proposal, authority_seats, finish, sign_draft
from node.networks.member_file import MemberFile, state_keys
from node.node_keys import read_keys
from p2p.identity import peer_id_of_public_key

AUTHORITY: Final = "authority"
_PEERS: Final = re.compile(r"^peers\s*=\s*\[[^\]]*\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a seat has its keys.

    Attributes:
        member: file of its member key; of a node, within its home.
        home: of its node, or None.
        authority: file of its key of the admission authority; made only where the seat has one.
    """

    member: Path
    authority: Path
    home: HomeLayout | None = None

    @classmethod
    def of_home(cls, home: Path | str, authority: Path | None = None) -> Place:
        """A node's: everything in its home."""
        layout = HomeLayout(home)
        return cls(layout.key_file("member"), authority or layout.key_file(AUTHORITY), layout)

    @classmethod
    def of_file(cls, file: Path, authority: Path | None = None) -> Place:
        """A holder's: a key file, and beside it the authority's where it has one."""
        return cls(file, authority or file.with_name(f"{file.stem}-authority.key"))


def make_seat(
    proposal: Proposal,
    name: str,
    place: Place,
    passphrase: str | None = None,
    ask: PassphraseSource = environment_passphrase,
) -> MemberFile:
    """Makes the keys of a seat, with a home where it has a node, and states their public halves.

    Keys that are there already are kept.

    Args:
        proposal: of the ceremony.
        name: of the seat.
        place: where its keys are or will be.
        passphrase: seals and opens key files, when given.
        ask: opens files that are sealed already, where none is given.

    Raises:
        InvalidConfig: ``member_unknown``, a home of another organisation, or a file cannot be used.
    """
    seat = proposal.chain.seat(name)
    if isinstance(seat, NodePlan):
        if place.home is None:
            raise InvalidConfig(f"{seat.name} is a node: its keys are in a home", code="home_needed")
        _make_home(place.home, seat, passphrase)
    elif not place.member.exists():
        _write_new(place.member, "member", passphrase)
    wanted = seat.name in authority_seats(proposal.chain)
    if wanted and not place.authority.exists():
        _write_new(place.authority, AUTHORITY, passphrase)

    def source() -> str | None:
        return passphrase or ask()

    authority = SigningKey(read_key(place.authority, AUTHORITY, source)) if wanted else None
    if place.home is None or not isinstance(seat, NodePlan):
        member = SigningKey(read_key(place.member, "member", source))
        return state_keys(proposal.id, seat.organisation, seat.name, member=member, authority=authority)
    keys = read_keys(place.home, source)
    return state_keys(
        proposal.id,
        seat.organisation,
        seat.name,
        member=keys.member,
        validator=keys.validator,
        transport_seed=keys.transport_seed,
        authority=authority,
    )


def sign_seat(
    founding: Founding, name: str, place: Place, passphrase: PassphraseSource = environment_passphrase
) -> MemberSignature:
    """What a seat signs of a draft, as ``sign_draft``, with the keys at ``place``.

    Raises:
        InvalidInput: as ``sign_draft``.
        InvalidConfig: a key file cannot be used.
    """
    seat = founding.proposal.chain.seat(name).name
    member = SigningKey(read_key(place.member, "member", passphrase))
    authority = None
    if seat in authority_seats(founding.proposal.chain):
        authority = SigningKey(read_key(place.authority, AUTHORITY, passphrase))
    return sign_draft(founding, seat, member, authority)


def join_home(
    founding: Founding, name: str, home: HomeLayout, passphrase: PassphraseSource = environment_passphrase
) -> Genesis:
    """Completes a node's home: checks the whole founding, and writes genesis and peers.

    Raises:
        InvalidInput: as ``finish``; ``own_keys_missing``: under its name stand other keys than those in the home.
        InvalidGenesis: the home was made for another chain.
        InvalidConfig: a file cannot be used or written.
    """
    genesis = finish(founding)
    seat = founding.proposal.chain.seat(name)
    stated, keys = founding.keys_of(seat.name), read_keys(home, passphrase)
    own = (keys.validator.public, keys.transport.public_key, keys.member.public)
    if own != (stated.validator, stated.transport, stated.member):
        raise InvalidInput(
            f"under {stated.organisation} ({stated.seat}) stand other keys than those in {home.path}: do not join",
            code="own_keys_missing",
        )
    text = home.config_file.read_text(encoding="utf-8")
    write_atomic(home.config_file, with_peers(text, peers_of(founding, seat.name)).encode(), replace=True)
    # What else is in the settings is kept: only a home without config.toml would take them.
    settings = NodeSettings(name=seat.name, organisation=seat.organisation)
    Home.create(home.path, settings, genesis=format_genesis(genesis))
    return genesis


def peers_of(founding: Founding, but: str = "") -> tuple[str, ...]:
    """``PEERID@HOST:PORT`` of every node, without the one named."""
    return tuple(
        f"{peer_id_of_public_key(founding.keys_of(node.name).transport)}@{node.address}"
        for node in founding.proposal.chain.node
        if node.name != but
    )


def with_peers(text: str, peers: tuple[str, ...]) -> str:
    """The text of a ``config.toml`` with these peers in place of those that it has.

    Raises:
        InvalidConfig: its list of peers is not found where it should be.
    """
    lines = "".join(f'    "{peer}",\n' for peer in peers)
    start = text.find("[p2p]")
    new = f"peers = [\n{lines}]" if peers else "peers = []"
    changed = text[:start] + _PEERS.sub(lambda _: new, text[start:], count=1) if start >= 0 else text
    check_config_text(changed)
    if tuple(tomllib.loads(changed).get("p2p", {}).get("peers", ())) != peers:
        raise InvalidConfig(
            "config.toml has no peers = […] under [p2p]; write one, and join again", code="peers_unwritten"
        )
    return changed


def settings_of(node: NodePlan, peers: tuple[str, ...] = ()) -> NodeSettings:
    """What the plan says of a node, for its ``config.toml``."""
    host, port = node.listening()
    return NodeSettings(
        name=node.name,
        organisation=node.organisation,
        listen_host=host,
        listen_port=port,
        peers=peers,
        services=frozenset(node.services),
        bookkeeper=node.bookkeeper or None,
        log_level=node.log_level,
        supervision_home=node.supervision_home,
        rpc_listen=node.rpc_listen,
        metrics_listen=node.metrics_listen,
    )


def _make_home(home: HomeLayout, node: NodePlan, passphrase: str | None) -> None:
    if home.config_file.exists():
        organisation = read_toml(home.config_file).get("node", {}).get("organisation")
        if organisation != node.organisation:
            raise InvalidConfig(
                f"{home.path} is a home of {organisation!r}, and {node.name} is the node of {node.organisation!r}",
                code="home_foreign",
            )
    Home.create(home.path, settings_of(node), passphrase=passphrase)
    if AUTHORITY in node.services and not list(home.keys_dir.glob("sealing-*.key")):
        from ledger.sealing_keys import DecryptionKey  # noqa: PLC0415 - only authorities need the library behind it

        secret = DecryptionKey.generate_x25519(1).to_bytes()
        write_key(home.keys_dir / "sealing-1.key", "sealing", secret, passphrase=passphrase)


def _write_new(file: Path, kind: str, passphrase: str | None) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_key(file, kind, SigningKey.generate().seed, passphrase=passphrase)
