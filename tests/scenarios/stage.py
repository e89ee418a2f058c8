"""What the players of a scenario share: keys, names, time, the post and the blocks; and what may never happen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from consensus import effects as do
from consensus.epoch import Epoch
from consensus.evidence import misbehaviour_of
from consensus.messages import Message, Prepare, Proposal, RoundChange
from consensus.timing import Parameters
from consensus.verify import kind_of, signed_bytes
from ledger.block import Block, Header, block_id, transactions_root
from ledger.certificate import CommitCertificate
from ledger.keys import SigningKey
from ledger.misbehaviour import check
from ledger.types import ZERO_HASH, Hash32
from ledger.validators import ValidatorSet
from tests.scenarios.language import KINDS, NAMES, MessageName, ScenarioError
from tests.scenarios.player import WALL, Player

CHAIN = Hash32(bytes(range(32)))
GENESIS = Hash32(b"\x47" * 32)
KEYS = sorted((SigningKey(bytes([i]) * 32) for i in range(1, 1 + len(NAMES))), key=lambda key: key.public)
"""Keys in order, so that names are in the order of keys."""


class Seats(NamedTuple):
    """Who decides from a height on."""

    epoch: Epoch
    names: list[str]
    validators: ValidatorSet


class Stage:
    """A scenario being played.

    Args:
        folder: empty; for the players' logs.
    """

    chain_id = CHAIN

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0
        self.height = 1
        """The height that the scenario speaks of."""
        self.idle = False
        self.parameters = Parameters()
        self.seats: list[Seats] = []
        self.players: dict[str, Player] = {}
        self.byzantine: set[str] = set()
        self.post: list[tuple[Player, Message]] = []
        """All broadcasts of everybody, oldest first."""
        self.delivered: set[tuple[int, str]] = set()
        self.blocks: dict[str, Block] = {}
        self.bad_for: dict[str, list[str]] = {}
        self.decided: dict[int, bytes] = {}
        self.signed: dict[tuple[object, ...], bytes] = {}
        self.backups: dict[str, bytes] = {}

    @staticmethod
    def key_of(name: str) -> SigningKey:
        """The key of a validator or its twin."""
        return KEYS[NAMES.index(name[0])]

    @staticmethod
    def letter_of(key: bytes) -> str:
        return next(NAMES[i] for i, one in enumerate(KEYS) if one.public == key)

    def set_seats(self, start: int, names: list[str], epoch: int) -> None:
        validators = ValidatorSet(self.key_of(name).public for name in names)
        self.seats.append(Seats(Epoch(epoch, start, 0), names, validators))

    def seats_at(self, height: int) -> Seats:
        return next(seats for seats in reversed(self.seats) if seats.epoch.start <= height)

    def player(self, name: str) -> Player:
        if name not in self.players:
            faulty = name[0] in self.byzantine
            self.players[name] = Player(self, name, self.folder / name.replace("'", "_twin"), faulty=faulty)
        return self.players[name]

    def named(self, names: list[str] | str) -> list[Player]:
        """The players of a list; ``all``: those that run."""
        if names == "all":
            return [player for player in self.players.values() if player.alive]
        return [] if names == "nobody" else [self.player(name) for name in names]

    def parent_of(self, chain: list[tuple[Block, CommitCertificate]]) -> tuple[Hash32, int]:
        return (block_id(chain[-1][0].header), chain[-1][0].header.time_ms) if chain else (GENESIS, WALL)

    def make_block(self, name: str, proposer: str, height: int, time_ms: int, epoch: int | None = None) -> Block:
        """The block called ``name``; its body is its name, so that each differs."""
        if name in self.blocks:
            raise ScenarioError(f"there is a block {name} already")
        seats = self.seats_at(height)
        longest = max((player.chain for player in self.players.values()), key=len, default=[])
        parent, parent_ms = self.parent_of(longest[: height - 1])
        refs = name.encode().ljust(64, b".")
        header = Header(
            version=1,
            chain_id=CHAIN,
            height=height,
            time_ms=max(time_ms, parent_ms + 1),
            parent=parent,
            history_root=ZERO_HASH,
            history_size=height,
            proposer=self.key_of(proposer).public,
            epoch=seats.epoch.number if epoch is None else epoch,
            validators_hash=seats.validators.hash(CHAIN),
            next_validators_hash=self.seats_at(height + 1).validators.hash(CHAIN),
            transactions_root=transactions_root([refs]),
            transactions_count=1,
            receipts_root=ZERO_HASH,
            changes_root=ZERO_HASH,
            changes_count=0,
            checkpoint_height=0,
            checkpoint_root=ZERO_HASH,
        )
        self.blocks[name] = Block(header, refs)
        return self.blocks[name]

    def id_of(self, name: str) -> Hash32:
        if name not in self.blocks:
            raise ScenarioError(f"there is no block {name} yet")
        return block_id(self.blocks[name].header)

    def name_of(self, id_: bytes) -> str:
        return next((name for name in self.blocks if self.id_of(name) == id_), id_.hex()[:8])

    def matches(self, message: Message, wanted: MessageName) -> bool:
        """Whether ``message``, of the scenario's height, is one of those named."""
        if message.height != self.height or KINDS[kind_of(message)] != wanted.kind:
            return False
        if wanted.round is not None and message.round != wanted.round:
            return False
        if isinstance(message, RoundChange):
            held = message.prepared
            claim = () if held is None else (held.round, self.name_of(held.block_id))
            return wanted.block is None and wanted.prepared in (None, claim)
        return wanted.prepared is None and wanted.block in (None, self.block_name(message))

    def block_name(self, message: Message) -> str | None:
        match message:
            case Proposal():
                return self.name_of(block_id(message.block.header))
            case RoundChange():
                return None
            case _:
                return self.name_of(message.block_id)

    def sent(self, player: Player, wanted: MessageName) -> list[Message]:
        return [message for sender, message in self.post if sender is player and self.matches(message, wanted)]

    def seals(
        self, names: Iterable[str], round_: int, block: str, forger: str | None = None
    ) -> tuple[tuple[bytes, bytes], ...]:
        """PREPARE signatures that exist: those of the honest were sent, the Byzantine sign whatever they like.

        With a ``forger``: signatures of its key under these names, which do not verify.
        """
        found: list[tuple[bytes, bytes]] = []
        seats = self.seats_at(self.height)
        for name in names:
            key = self.key_of(name)
            wanted = Prepare(self.height, round_, seats.epoch.number, key.public, bytes(65), self.id_of(block))
            signed = signed_bytes(wanted, CHAIN)
            known = self.signed.get((name[0], *_place(wanted)))
            if forger is not None:
                found.append((key.public, self.key_of(forger).sign(signed)))
                continue
            if name[0] not in self.byzantine and known != signed:
                raise ScenarioError(f"{name} never signed PREPARE {round_} {block}: nobody can forge it")
            found.append((key.public, key.sign(signed)))
        return tuple(sorted(found))

    def check_no_equivocation(self, message: Message) -> None:
        signed = signed_bytes(message, CHAIN)
        place = (self.letter_of(message.signer), *_place(message))
        if self.signed.setdefault(place, signed) != signed:
            raise ScenarioError(f"{place[0]} signed two things: {KINDS[kind_of(message)]} {message.round}")

    def check_agreement(self, name: str, certificate: CommitCertificate) -> None:
        if self.decided.setdefault(certificate.height, certificate.block_id) != certificate.block_id:
            first, second = self.name_of(self.decided[certificate.height]), self.name_of(certificate.block_id)
            raise ScenarioError(f"two decisions at height {certificate.height}: {first}, and {second} by {name}")

    def check_evidence(self, effect: do.ReportEvidence) -> None:
        name = self.letter_of(effect.signer)
        if name not in self.byzantine:
            raise ScenarioError(f"evidence names {name}, which is honest: {effect.kind}")
        seats = self.seats_at(effect.first.height)
        check(misbehaviour_of(effect, CHAIN), CHAIN, seats.epoch.number, seats.validators)


def _place(message: Message) -> tuple[int, int, int]:
    return int(kind_of(message)), message.height, message.round
