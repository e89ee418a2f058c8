"""What a bundle proves, for people: what happened in order, who signed, who certified it, and what it does not show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ledger.keys import key_text
from ledger.types import ZERO_HASH
from node.bundles.chains import ProvedChain, ProvedStep

SHOWN_HEX: Final = 16


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happened, proved.

    Attributes:
        time_ms: of its block.
        chain: name of the chain.
        height: of its block.
        tx_id: of its transaction in hex; empty where contracts did it at the end of the block.
        title: what happened, as a sentence.
        signers: who signed the transaction, one text each.
        facts: (what, value) in the order in which they are told.
        certified: who certified the block, in words.
        path: of its step in the bundle.
    """

    time_ms: int
    chain: str
    height: int
    tx_id: str
    title: str
    signers: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    certified: str
    path: str


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """A chain of the bundle: its name, chain id, genesis hash, blocks shown, and the newest of them."""

    name: str
    chain_id: str
    genesis_hash: str
    blocks: int
    newest_height: int
    newest_time_ms: int


@dataclass(frozen=True, slots=True)
class Story:
    """What a bundle proves.

    Attributes:
        kind: of the bundle.
        subject: what it is about, in words.
        outcome: how it stands at the end of the bundle, in words.
        statements: what is proved, one sentence each, the most important first.
        items: what happened, by time.
        gaps: what the bundle does not show, one sentence each.
        chains: that it is about.
    """

    kind: str
    subject: str
    outcome: str
    statements: tuple[str, ...]
    items: tuple[Item, ...]
    gaps: tuple[str, ...]
    chains: tuple[ChainFacts, ...]


def time_text(time_ms: int) -> str:
    """A block's time as people read it, UTC, to the millisecond."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03d} UTC"


def who(chain: ProvedChain, key: bytes) -> str:
    """A key as people read it: the organisation that the genesis file admits it for, and the whole key."""
    if not key:
        return "nobody"
    name = chain.names.get(bytes(key))
    return f"{name or 'a key admitted after genesis'} ({key_text(key)})"


def item_of(chain: ProvedChain, step: ProvedStep, title: str, *facts: tuple[str, str]) -> Item:
    """The item of a step."""
    tx_id = "" if step.tx_id == ZERO_HASH else step.tx_id.hex()
    signers = tuple(who(chain, key) for key in step.signers)
    shown = tuple((name, value) for name, value in facts if value)
    certified = certified_by(chain, step.height)
    return Item(step.time_ms, chain.genesis.name, step.height, tx_id, title, signers, shown, certified, step.path)


def certified_by(chain: ProvedChain, height: int) -> str:
    """Who certified a block, in words."""
    block = chain.blocks[height]
    names = sorted({chain.names.get(bytes(key), key_text(key)) for key in block.sealers})
    return f"{len(block.sealers)} of {block.validators} validators: {', '.join(names)}"


def facts_of(chain: ProvedChain) -> ChainFacts:
    """What is said of a chain."""
    newest = max(chain.blocks)
    genesis = chain.genesis
    return ChainFacts(
        genesis.name,
        genesis.chain_id.hex(),
        genesis.hash.hex(),
        len(chain.blocks),
        newest,
        chain.blocks[newest].header.time_ms,
    )


def money_text(amount: int, asset: str, scale: int) -> str:
    """Minor units as people write them, with the asset."""
    digits = str(abs(amount)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return f"{'-' if amount < 0 else ''}{int(whole):,}{'.' if scale else ''}{fraction} {asset}"


def scale_of(chain: ProvedChain, asset: str) -> int:
    """Decimal places of an asset, as the genesis file says; 0 for one that came later."""
    return next((doc.scale for doc in chain.genesis.assets if doc.asset == asset), 0)


def amount_text(chain: ProvedChain, amount: int, asset: str) -> str:
    """An amount; where the genesis file does not know the asset, in minor units."""
    if not asset:
        return ""
    known = any(doc.asset == asset for doc in chain.genesis.assets)
    return money_text(amount, asset if known else f"minor units of {asset}", scale_of(chain, asset))
