"""New keys for a node that stays: made beside the old ones, certified while those still work, then put in their place.

``keys/next/`` holds the new keys until they count; the old ones go to ``keys/old-TIME/`` and are kept, because what is
locked to an old member key is spent with it alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ledger.errors import InvalidConfig, InvalidInput
from ledger.keys import SigningKey, key_text
from ledger.transaction import VERSION, Body, Output, build
from node.gateway import Gateway
from node.keyfile import PassphraseSource, environment_passphrase, read_key, read_public, write_key
from node.layout import KEYS_MODE, HomeLayout
from node.networks.member_file import MemberFile, state_keys

NEXT: Final = "next"
NODE_KEYS: Final = ("validator", "transport")
MEMBER: Final = "member"
SPEND_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A change of keys that has been prepared.

    Attributes:
        request: public halves with proofs, for the authority; the member key in it is the new one where that changes.
        kinds: of the keys that change.
    """

    request: MemberFile
    kinds: tuple[str, ...]


def next_key(layout: HomeLayout, kind: str) -> Path:
    """Where the new key of that kind waits."""
    return layout.keys_dir / NEXT / f"{kind}.key"


def waiting_kinds(layout: HomeLayout) -> tuple[str, ...]:
    """Of which kinds new keys are waiting."""
    return tuple(kind for kind in (*NODE_KEYS, MEMBER) if next_key(layout, kind).exists())


def prepare_change(
    layout: HomeLayout,
    chain_id: bytes,
    organisation: str,
    name: str,
    *,
    member: bool,
    passphrase: str | None = None,
    source: PassphraseSource = environment_passphrase,
) -> KeyChange:
    """Makes new keys beside the present ones, or takes those that wait already.

    Args:
        layout: the home.
        chain_id: of its chain.
        organisation: that answers for it.
        name: of the node.
        member: whether the organisation's key changes too.
        passphrase: seals the new files, when given.
        source: opens sealed files.

    Raises:
        InvalidConfig: a file cannot be used or written.
    """
    kinds = (*NODE_KEYS, MEMBER) if member else NODE_KEYS
    (layout.keys_dir / NEXT).mkdir(mode=KEYS_MODE, exist_ok=True)
    for kind in kinds:
        if not next_key(layout, kind).exists():
            write_key(next_key(layout, kind), kind, SigningKey.generate().seed, passphrase=passphrase)

    def read(path: Path, kind: str) -> bytes:
        return read_key(path, kind, source if passphrase is None else lambda: passphrase)

    member_file = next_key(layout, MEMBER) if member else layout.key_file(MEMBER)
    request = state_keys(
        chain_id,
        organisation,
        name,
        member=SigningKey(read(member_file, MEMBER)),
        validator=SigningKey(read(next_key(layout, "validator"), "validator")),
        transport_seed=read(next_key(layout, "transport"), "transport"),
    )
    return KeyChange(request, kinds)


def put_in_place(layout: HomeLayout, now: datetime | None = None) -> Path:
    """Puts the waiting keys in the place of the present ones; returns the directory with the old ones.

    The daemon reads its keys when it starts: it has to be restarted. Interrupted, it goes on where it stopped.

    Raises:
        InvalidConfig: ``rotation_missing``: no keys wait.
    """
    kinds = waiting_kinds(layout)
    if not kinds:
        raise InvalidConfig(
            f"no new keys wait in {layout.keys_dir / NEXT}: tidegate admission rotate makes them",
            code="rotation_missing",
        )
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    old = layout.keys_dir / f"old-{stamp}"
    old.mkdir(mode=KEYS_MODE, exist_ok=True)
    for kind in kinds:
        # A key that waits is one of which the old file was not moved yet, or was moved and the new one not put there.
        if layout.key_file(kind).exists():
            layout.key_file(kind).rename(old / f"{kind}.key")
        next_key(layout, kind).rename(layout.key_file(kind))
    (layout.keys_dir / NEXT).rmdir()
    return old


def public_of(path: Path) -> str:
    """Public half in a key file, as text."""
    return read_public(path)[1]


async def locked_to(gateway: Gateway, key: bytes) -> list[tuple[bytes, Output]]:
    """Unspent outputs that exactly ``key`` spends: (outpoint, output), 200 at most."""
    return [
        (item.outpoint, item.output) for item in await gateway.unspent(f"key({key_text(key)})", limit=SPEND_AT_ONCE)
    ]


async def move_funds(gateway: Gateway, old: SigningKey, new: SigningKey) -> int:
    """Moves what is locked to ``old`` alone to ``new``; the number of outputs moved. Either has to be admitted.

    Raises:
        InvalidInput: the chain refused.
        RemoteFault: the node cannot be asked.
    """
    moved = 0
    while found := await locked_to(gateway, old.public):
        info = await gateway.info()
        body = Body(
            VERSION,
            info.chain_id,
            new.public,
            info.height + min(100, info.expiry_window),
            secrets.token_bytes(16),
            tuple(outpoint for outpoint, _ in found),
            _relocked((output for _, output in found), new),
            (),
            (),
            b"key change",
        )
        outcome = await gateway.submit_and_wait(build(body, (new, old)), 30)
        if outcome.status != "committed" or outcome.code != "ok":
            raise InvalidInput(f"the funds were not moved: {outcome.status} {outcome.code}", code="funds_unmoved")
        moved += len(found)
    return moved


def _relocked(outputs: Iterable[Output], new: SigningKey) -> tuple[Output, ...]:
    """One output an asset."""
    sums: dict[str, int] = {}
    for output in outputs:
        sums[output.asset] = sums.get(output.asset, 0) + output.amount
    return tuple(Output(asset, amount, f"key({key_text(new.public)})") for asset, amount in sorted(sums.items()))
