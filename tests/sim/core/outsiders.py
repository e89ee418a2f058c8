"""Byzantine scripts about seats: votes of another epoch, of strangers, of those who left; and forged decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from consensus.messages import (
    Commit,
    Justification,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeVote,
)
from ledger.block import block_id
from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from tests.sim.core import executing, forge
from tests.sim.core.executing import Decided
from tests.sim.core.material import CHAIN, KEYS, Seats, proposer

if TYPE_CHECKING:
    from tests.sim.core.adversary import Puppet

STRANGERS = KEYS[-3:]
"""Nobody of them ever has a seat."""


def _elsewhen(here: Seats, ahead: int) -> Seats:
    """The same seats under another epoch's number."""
    number = max(0, here.epoch.number + ahead)
    return here._replace(epoch=msgspec.structs.replace(here.epoch, number=number))


def _name_of(puppet: Puppet, message: Message) -> bytes:
    """The block that a message is about, or one of its height."""
    if isinstance(message, Proposal):
        return block_id(message.block.header)
    if isinstance(message, Prepare | Commit):
        return message.block_id
    blocks = puppet.adversary.blocks(message.height)
    return block_id(blocks[0].header) if blocks else b"\x5a" * 32


def other_epoch(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Votes with the number of another epoch, signed as they should be."""
    here, key = puppet.cluster.plan.at(message.height), puppet.key
    if key not in here.validators:
        return None
    wrong = _elsewhen(here, -1 if here.epoch.number and puppet.cluster.random() < 0.8 else 1)
    name, height, round_ = _name_of(puppet, message), message.height, message.round
    return [
        forge.vote(Prepare, key, wrong, height, round_, name),
        forge.vote(Commit, key, wrong, height, round_, name),
        forge.change(key, wrong, height, round_ + 1),
    ]


def strangers(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Votes of keys without a seat at that height: of nobody's, and of the adversary's own from other sets."""
    here, height, round_ = puppet.cluster.plan.at(message.height), message.height, message.round
    keys = [*STRANGERS, *(key for key in puppet.adversary.keys if key not in here.validators)]
    name = _name_of(puppet, message)
    votes = [forge.vote(kind, key, here, height, round_, name) for kind in (Prepare, Commit) for key in keys]
    return [*votes, *(forge.change(key, here, height, round_ + 1) for key in keys)]


def strange_certificate(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A quorum in a ROUND-CHANGE that counts strangers, and one in a round that is not below."""
    here, height, round_ = puppet.cluster.plan.at(message.height), message.height, message.round
    key, adversary = puppet.key, puppet.adversary
    if key not in here.validators:
        return None
    name = _name_of(puppet, message)
    digest = vote_digest(CHAIN, here.epoch.number, VoteKind.PREPARE, height, round_, name)
    real = {**adversary.seals(height, round_, name), **{one: one + digest for one in adversary.keys}}
    real = {one: seal for one, seal in real.items() if one in here.validators}
    told: list[Message] = []
    if len(real) < here.quorum:
        eked = {**real, **{one: one + digest for one in STRANGERS}}
        seals = tuple(sorted(eked.items())[: max(here.quorum, 1)])
        told.append(forge.change(key, here, height, round_ + 1, PreparedCertificate(round_, name, seals)))
    else:
        certificate = PreparedCertificate(round_, name, tuple(sorted(real.items())))
        told += [forge.change(key, here, height, max(0, round_ - back), certificate) for back in (0, 1)]
    return told


def invented_lock(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """A proposal whose ROUND-CHANGEs name a block of ours as prepared, with PREPAREs that nobody signed."""
    if not isinstance(message, Proposal | RoundChange) or message.round == 0:
        return None
    adversary, height, round_ = puppet.adversary, message.height, message.round
    here = puppet.cluster.plan.at(height)
    if proposer(here, height, round_) != puppet.key or height != len(puppet.chain) + 1:
        return None
    rival = adversary.rival(puppet, height)
    name = block_id(rival.header)
    claim = forge.change(puppet.key, here, height, round_, PreparedCertificate(round_ - 1, name, ()))
    others = [one for one in adversary.known_changes(height, round_) if one.signer != puppet.key]
    votes = {one.signer: forge.as_vote(one) for one in [*others, claim] if one.signer in here.validators}
    if len(votes) < here.quorum and puppet.cluster.random() < 0.5:
        for key in STRANGERS:
            votes[key] = forge.as_vote(forge.change(key, here, height, round_))
    elif len(votes) < here.quorum:
        for key in here.validators.keys:
            votes.setdefault(key, RoundChangeVote(key, puppet.key + bytes(32), None, None))
    chosen = dict(sorted(votes.items())[: here.quorum])
    chosen[puppet.key] = votes[puppet.key]
    digest = vote_digest(CHAIN, here.epoch.number, VoteKind.PREPARE, height, round_ - 1, name)
    seals = tuple((key, puppet.key + digest) for key in here.validators.keys[: here.quorum])
    why = Justification(tuple(one for _, one in sorted(chosen.items())), seals)
    lie = forge.proposal(puppet.key, here, height, round_, rival, why)
    return [lie, *(forge.vote(Prepare, key, here, height, round_, name) for key in adversary.keys)]


def forged_decision(puppet: Puppet, message: Message) -> Sequence[Message] | None:
    """Tells everybody of a decided block whose certificate is none; nothing that travels as a message."""
    cluster = puppet.cluster
    made = _false_decision(puppet, message.height, cluster.random)
    if made is None:
        return None
    for other in cluster.processes:
        if other.key != puppet.key:
            cluster.to_process(puppet, other, executing.on_decided, [made])
    puppet.adversary.deed("forged_decision")
    return None


def _false_decision(puppet: Puppet, height: int, random: Callable[[], float]) -> Decided | None:
    """A block of ours with the same seals again, with strangers' seals, or with too few."""
    adversary, here = puppet.adversary, puppet.cluster.plan.at(height)
    own = [key for key in adversary.keys if key in here.validators]
    if height != len(puppet.chain) + 1 or not own:
        return None
    rival = adversary.rival(puppet, height)
    name, number = block_id(rival.header), here.epoch.number
    digest = vote_digest(CHAIN, number, VoteKind.COMMIT, height, 0, name)
    way = int(random() * 3)
    keys = (own * len(here.validators) if way == 0 else [*own, *STRANGERS] if way == 1 else own)[: max(1, here.quorum)]
    seals = tuple(sorted((key, key + digest) for key in keys))
    if way == 2 and len(seals) >= here.quorum:
        return None
    return Decided(rival, CommitCertificate(height, number, 0, name, seals), name, forged=True)


OUTSIDERS = {
    "other_epoch": other_epoch,
    "strangers": strangers,
    "strange_certificate": strange_certificate,
    "invented_lock": invented_lock,
    "forged_decision": forged_decision,
}
