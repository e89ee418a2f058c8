"""The adversary: faulty validators that know each other and everything that was ever said.

A puppet runs the honest state machine and bends what it says; which scripts it uses the seed picks. The network's
faults are not its doing, but rules that starve some receivers of some kinds give it the locks that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from consensus import effects as do
from consensus import inputs as on
from consensus.messages import Commit, Message, Prepare, Proposal, RoundChange
from ledger.block import Block, block_id
from ledger.certificate import MAX_ROUND
from tests.sim.core import forge
from tests.sim.core.material import GENESIS, WALL, make_block, proposer
from tests.sim.core.outsiders import OUTSIDERS
from tests.sim.core.process import Packet, Process, table

if TYPE_CHECKING:
    from tests.sim.core.cluster import Cluster

MAX_DEEDS: Final = 60
"""Of one schedule, so that it stays short."""


class Adversary:
    """What the puppets share.

    Attributes:
        scripts: names of those in use.
        honesty: how likely a puppet is to tell the truth where it could bend it.
        bold: how likely it is to act on hearing something.
    """

    def __init__(self, cluster: Cluster, keys: Sequence[bytes], scripts: Sequence[str]) -> None:
        self.cluster = cluster
        self.keys = keys
        self.scripts = scripts
        self.honesty = 0.2 + 0.5 * cluster.random()
        self.bold = 0.3 * cluster.random()
        self.deeds = 0
        self.rivals: dict[int, list[Block]] = {}
        self.changes: dict[tuple[int, int], dict[bytes, RoundChange]] = {}

    def may_act(self) -> bool:
        """Whether there is a deed left."""
        return self.deeds < MAX_DEEDS

    def deed(self, name: str) -> None:
        """Counts one."""
        self.deeds += 1
        self.cluster.faults += 1
        self.cluster.count(f"byzantine_{name}")

    def blocks(self, height: int) -> list[Block]:
        """Blocks of a height that somebody proposed, the adversary's own first."""
        known = [block for block in self.cluster.oracle.bodies.values() if block.header.height == height]
        return [*self.rivals.get(height, ()), *known]

    def rival(self, puppet: Process, height: int, *, bad: bool = False) -> Block:
        """A new block of a puppet's."""
        chain = puppet.chain
        parent, time_ms = (chain[-1].id, chain[-1].block.header.time_ms) if chain else (GENESIS, WALL)
        cluster = self.cluster
        made = make_block(
            cluster.plan,
            height,
            puppet.key,
            parent,
            max(WALL + cluster.now, time_ms + 1),
            serial=cluster.serial(),
            bad=bad,
        )
        self.rivals.setdefault(height, []).append(made)
        return made

    def known_changes(self, height: int, round_: int) -> list[RoundChange]:
        """ROUND-CHANGEs for (height, round), of the honest and of puppets."""
        found: dict[bytes, Any] = dict(self.cluster.oracle.record.get((height, round_, RoundChange), {}))
        return list({**self.changes.get((height, round_), {}), **found}.values())

    def seals(self, height: int, round_: int, name: bytes) -> dict[bytes, bytes]:
        """Real PREPARE signatures of (height, round, block)."""
        said = self.cluster.oracle.record.get((height, round_, Prepare), {})
        return {key: one.signature for key, one in said.items() if isinstance(one, Prepare) and one.block_id == name}


class Puppet(Process):
    """A faulty validator."""

    faulty = True

    def join(self, adversary: Adversary) -> None:
        """Takes orders from ``adversary``."""
        self.adversary = adversary

    def repent(self) -> None:
        self.adversary.deeds = MAX_DEEDS

    # --- what it says ----------------------------------------------------------------------------------------------

    def _broadcast(self, effect: do.Broadcast) -> None:
        message, adversary, random = effect.message, self.adversary, self.cluster.random
        if isinstance(message, RoundChange):
            adversary.changes.setdefault((message.height, message.round), {})[message.signer] = message
        if isinstance(message, Proposal):
            adversary.rivals.setdefault(message.height, []).append(message.block)
        if random() < adversary.honesty or not adversary.may_act():
            self.cluster.broadcast(self, message)
            return
        script = adversary.scripts[int(random() * len(adversary.scripts))]
        told = SCRIPTS[script](self, message)
        if told is None:
            self.cluster.broadcast(self, message)
            return
        adversary.deed(script)
        self.tell(told, message)

    def tell(self, lies: Sequence[Message], truth: Message | None) -> None:
        """Each of the others hears a lie, the truth, both or nothing."""
        random = self.cluster.random
        lying = 0.4 + 0.6 * random()
        for other in self.cluster.processes:
            if other.key is not self.key:
                if lies and random() < lying:
                    self.send(other, lies[int(random() * len(lies))])
                    if random() < 0.9:
                        continue
                if truth is not None and random() < 0.8:
                    self.send(other, truth)

    def send(self, other: Process, message: Message) -> None:
        """To one."""
        self.cluster.to_process(self, other, Process.on_packet, Packet(message, honest=False))

    def _send_to(self, effect: do.SendTo) -> None:
        if self.cluster.random() < 0.7:
            self.cluster.to_key(self, effect.to, Process.on_packet, Packet(effect.message, honest=False))

    def _return_latest(self, effect: do.ReturnLatest) -> None:
        pick = self.cluster.random()
        if pick < 0.5:
            super()._return_latest(effect)
        elif pick < 0.8:
            self.cluster.to_key(self, effect.to, Process.on_latest, (self.index, None))

    def _evidence(self, effect: do.ReportEvidence) -> None:
        """A puppet reports nobody."""

    def _enter_observe(self, effect: do.EnterObserve) -> None:
        """Of no interest."""

    def _halt(self, effect: do.Halt) -> None:
        """Of no interest: its own lies may have led it astray."""

    # --- what it hears ---------------------------------------------------------------------------------------------

    def give(self, event: on.Input) -> None:
        """Acts on what it hears, besides what the protocol does."""
        super().give(event)
        adversary = self.adversary
        if type(event) is on.MessageReceived and self.alive and adversary.may_act():
            random = self.cluster.random
            message = event.message.message
            if isinstance(message, RoundChange) and "false_justification" in adversary.scripts:
                place = self.cluster.plan.at(message.height)
                mine = proposer(place, message.height, message.round) == self.key
                if mine and random() < 0.3:
                    lie = false_justification(self, message)
                    if lie:
                        adversary.deed("false_justification")
                        self.tell(lie, None)
                    return
            if random() < adversary.bold:
                script = adversary.scripts[int(random() * len(adversary.scripts))]
                told = SPONTANEOUS[script](self, message) if script in SPONTANEOUS else None
                if told:
                    adversary.deed(script)
                    self.tell(told, None)


Puppet.performs = table(Puppet)


class Twin(Process):
    """One of two processes with one key and no common memory: each follows the protocol."""

    faulty = True

    def repent(self) -> None:
        if self.name.endswith("'"):
            self.stop()

    def _broadcast(self, effect: do.Broadcast) -> None:
        self.cluster.broadcast(self, effect.message)

    def _send_to(self, effect: do.SendTo) -> None:
        packet = Packet(effect.message, honest=False)
        self.cluster.to_key(self, effect.to, Process.on_packet, packet)

    def _evidence(self, effect: do.ReportEvidence) -> None:
        """Its own twin's deeds confuse it."""

    def _enter_observe(self, effect: do.EnterObserve) -> None:
        """It met a message of its twin."""

    def _halt(self, effect: do.Halt) -> None:
        """Of no interest."""


Twin.performs = table(Twin)


# --- scripts: None where a script has nothing to say -----------------------------------------------------------------


def equivocate(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Another message at the same height, round and kind."""
    adversary, here = puppet.adversary, puppet.cluster.plan.at(message.height)
    key, height, round_ = puppet.key, message.height, message.round
    if key not in here.validators:
        return None
    match message:
        case Proposal():
            rival = adversary.rival(puppet, height)
            return [forge.proposal(key, here, height, round_, rival, message.justification)]
        case RoundChange():
            return [forge.change(key, here, height, round_, None)]
        case _:
            names = [block_id(block.header) for block in adversary.blocks(height)[:4]] or [b"\x55" * 32]
            return [forge.vote(type(message), key, here, height, round_, name) for name in names]


def withhold(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """The truth, for some."""
    return [] if puppet.cluster.random() < 0.5 else [message]


def forget_lock(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A ROUND-CHANGE that claims to have prepared nothing."""
    if not isinstance(message, RoundChange) or message.prepared is None:
        return None
    return [forge.change(puppet.key, puppet.cluster.plan.at(message.height), message.height, message.round, None)]


def huge_round(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Far ahead."""
    here, random = puppet.cluster.plan.at(message.height), puppet.cluster.random
    if puppet.key not in here.validators:
        return None
    far = min(MAX_ROUND, (MAX_ROUND, message.round + 2, message.round + 1 + int(random() * 1000))[int(random() * 3)])
    name = b"\x66" * 32
    return [
        forge.change(puppet.key, here, message.height, far),
        forge.vote(Prepare, puppet.key, here, message.height, far, name),
        forge.vote(Commit, puppet.key, here, message.height, far, name),
    ]


def bad_certificate(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A ROUND-CHANGE with a prepared certificate that is none."""
    cluster, adversary = puppet.cluster, puppet.adversary
    here, height = cluster.plan.at(message.height), message.height
    if puppet.key not in here.validators:
        return None
    round_ = message.round if isinstance(message, RoundChange) else min(MAX_ROUND, message.round + 1)
    blocks = adversary.blocks(height) or [adversary.rival(puppet, height)]
    name = block_id(blocks[int(cluster.random() * len(blocks))].header)
    held = int(cluster.random() * (round_ + 1))
    seals = adversary.seals(height, held, name)
    made = forge.forged_certificate(cluster.random, here, height, held, name, seals, adversary.keys)
    lie = forge.change(puppet.key, here, height, round_, made)
    adversary.changes.setdefault((height, round_), {})[puppet.key] = lie
    return [lie]


def false_justification(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A proposal of a later round that its ROUND-CHANGEs do not allow."""
    if not isinstance(message, Proposal | RoundChange):
        return None
    cluster, adversary = puppet.cluster, puppet.adversary
    height, round_ = message.height, message.round
    here = cluster.plan.at(height)
    if round_ == 0 or puppet.key not in here.validators:
        return None
    if height != len(puppet.chain) + 1:
        return None
    changes = adversary.known_changes(height, round_)
    signers = {one.signer for one in changes}
    changes += [forge.change(key, here, height, round_) for key in adversary.keys if key not in signers]
    changes = [one for one in changes if one.signer in here.validators]
    older = [one for r in range(max(1, round_ - 8), round_) for one in adversary.known_changes(height, r)]
    way, why, name = forge.false_justification(cluster.random, here, height, round_, changes, older)
    block = next((one for one in adversary.blocks(height) if block_id(one.header) == name), None)
    if block is None:
        block = adversary.rival(puppet, height)
    cluster.count(f"false_justification_{way}")
    lie = forge.proposal(puppet.key, here, height, round_, block, why)
    votes = [forge.vote(Prepare, key, here, height, round_, block_id(block.header)) for key in adversary.keys]
    return [lie, lie, *votes]


def bad_block(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A block that execution refuses, or whose header does not fit."""
    if not isinstance(message, Proposal):
        return None
    adversary, random = puppet.adversary, puppet.cluster.random
    made = adversary.rival(puppet, message.height, bad=random() < 0.4)
    header = made.header
    change: dict[str, Any] = [
        {},
        {"time_ms": header.time_ms + 3_600_000},
        {"time_ms": WALL},
        {"parent": b"\x77" * 32},
        {"epoch": header.epoch + 1},
        {"validators_hash": b"\x78" * 32},
        {"height": header.height + 1},
        {"next_validators_hash": b"\x79" * 32},
        {"proposer": adversary.cluster.processes[0].key},
    ][int(random() * 9)]
    block = msgspec.structs.replace(made, header=msgspec.structs.replace(header, **change))
    here = puppet.cluster.plan.at(message.height)
    return [forge.proposal(puppet.key, here, message.height, message.round, block, message.justification)]


def stale(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Old messages of others, said again: of earlier rounds, heights and epochs."""
    record = puppet.cluster.oracle.record
    places = list(record)
    random = puppet.cluster.random
    if not places:
        return None
    told = [one for _ in range(3) for one in record[places[int(random() * len(places))]].values()]
    return told[:6]


def garbage(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Messages that verification has to refuse: of others, without their signatures."""
    cluster, random = puppet.cluster, puppet.cluster.random
    others = [one for one in cluster.processes if not one.faulty]
    victim = others[int(random() * len(others))]
    replace = msgspec.structs.replace
    return [
        replace(message, signer=victim.key),
        replace(message, signature=bytes(65)),
        replace(message, epoch=message.epoch + 1),
        replace(
            message,
            signature=victim.key + message.signature[33:],
            signer=victim.key,
            round=message.round + (1 if message.round < MAX_ROUND else -1),  # never the signed one
        ),
    ]


def mutate(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """One field changed, and signed again."""
    cluster, random = puppet.cluster, puppet.cluster.random
    here, key = cluster.plan.at(message.height), puppet.key
    if key not in here.validators:
        return None
    height = max(1, message.height + int(random() * 3) - 1)
    round_ = min(MAX_ROUND, max(0, message.round + int(random() * 4) - 1))
    blocks = puppet.adversary.blocks(message.height)
    match message:
        case Proposal():
            return [forge.proposal(key, here, height, round_, message.block, message.justification)]
        case RoundChange():
            held = message.prepared
            if held is not None and random() < 0.5:
                held = msgspec.structs.replace(held, round=int(random() * (round_ + 2)))
            return [forge.change(key, here, height, round_, held)]
        case _:
            name = block_id(blocks[int(random() * len(blocks))].header) if blocks else message.block_id
            return [forge.vote(type(message), key, here, height, round_, name)]


def amplify(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Votes of all kinds for whatever block somebody else votes for or proposes, in several rounds."""
    here, height = puppet.cluster.plan.at(message.height), message.height
    if puppet.key not in here.validators or isinstance(message, RoundChange):
        return None
    name = block_id(message.block.header) if isinstance(message, Proposal) else message.block_id
    return [
        forge.vote(kind, key, here, height, min(MAX_ROUND, message.round + ahead), name)
        for kind in (Prepare, Commit)
        for key in puppet.adversary.keys
        if key in here.validators
        for ahead in (0, 1)
    ]


SCRIPTS: Final = {
    "equivocate": equivocate,
    "withhold": withhold,
    "forget_lock": forget_lock,
    "huge_round": huge_round,
    "bad_certificate": bad_certificate,
    "false_justification": false_justification,
    "bad_block": bad_block,
    "stale": stale,
    "garbage": garbage,
    "mutate": mutate,
    "amplify": amplify,
    **OUTSIDERS,
}
SPONTANEOUS: Final = {
    "stale": stale,
    "garbage": garbage,
    "mutate": mutate,
    "amplify": amplify,
    "huge_round": huge_round,
    "bad_certificate": bad_certificate,
    "equivocate": equivocate,
    **OUTSIDERS,
}
