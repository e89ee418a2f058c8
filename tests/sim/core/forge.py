"""Messages that the adversary signs with its own keys, and justifications as nobody should accept them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from consensus.messages import (
    EMPTY_JUSTIFICATION,
    Justification,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeVote,
    proposal_digest,
    round_change_digest,
)
from ledger.block import Block, block_id
from ledger.certificate import VoteKind, vote_digest
from tests.sim.core.material import CHAIN, Seats, verify

Random = Callable[[], float]


def vote(kind: type[Any], key: bytes, here: Seats, height: int, round_: int, name: bytes) -> Any:
    """A PREPARE or COMMIT of ``key``."""
    number = here.epoch.number
    what = VoteKind.PREPARE if kind is Prepare else VoteKind.COMMIT
    return kind(height, round_, number, key, key + vote_digest(CHAIN, number, what, height, round_, name), name)


def change(
    key: bytes, here: Seats, height: int, round_: int, prepared: PreparedCertificate | None = None
) -> RoundChange:
    """A ROUND-CHANGE of ``key``; nobody checks here whether the certificate is one."""
    digest = round_change_digest(
        CHAIN,
        here.epoch.number,
        height,
        round_,
        prepared_round=None if prepared is None else prepared.round,
        prepared_id=None if prepared is None else prepared.block_id,
    )
    return RoundChange(height, round_, here.epoch.number, key, key + digest, prepared)


def proposal(key: bytes, here: Seats, height: int, round_: int, block: Block, why: Justification) -> Proposal:
    """A PROPOSAL of ``key``."""
    number = here.epoch.number
    digest = proposal_digest(CHAIN, number, height, round_, block_id(block.header), justification=why)
    return Proposal(height, round_, number, key, key + digest, block, why)


def as_vote(message: RoundChange) -> RoundChangeVote:
    """A ROUND-CHANGE as a justification holds it."""
    held = message.prepared
    return RoundChangeVote(
        message.signer,
        message.signature,
        None if held is None else held.round,
        None if held is None else held.block_id,
    )


def justification(changes: Iterable[RoundChange], prepares: Any = ()) -> Justification:
    """In the order that is asked for: by signer."""
    return Justification(tuple(as_vote(one) for one in sorted(changes, key=lambda one: one.signer)), tuple(prepares))


def forged_certificate(
    random: Random, here: Seats, height: int, round_: int, name: bytes, seals: dict[bytes, bytes], own: Sequence[bytes]
) -> PreparedCertificate:
    """A certificate for (round, block) from too few real seals, eked out in one way or another."""
    digest = vote_digest(CHAIN, here.epoch.number, VoteKind.PREPARE, height, round_, name)
    real = {key: seal for key, seal in seals.items() if verify(key, digest, seal)}
    real |= {key: key + digest for key in own if key in here.validators}
    pairs = sorted(real.items())
    members = here.validators.keys
    way = int(random() * 4)
    if way == 0 and pairs:  # the same seals again
        pairs = sorted((pairs * len(members))[: here.quorum])
    elif way == 1:  # seals of others that are not theirs
        pairs += [(key, own[0] + digest) for key in members if key not in real][: max(0, here.quorum - len(pairs))]
    elif way == 2:  # one less than a quorum
        pairs = pairs[: here.quorum - 1]
    else:  # seals of everybody over something else
        pairs = [(key, seals.get(key, key + bytes(32))) for key in members[: here.quorum]]
    return PreparedCertificate(round_, name, tuple(sorted(pairs)))


def without_lock(changes: list[RoundChange]) -> list[RoundChange]:
    """The same claims with their locks left out; the signatures do not cover that."""
    return [RoundChange(one.height, one.round, one.epoch, one.signer, one.signature, None) for one in changes]


MAX_WAYS: Final = 12


def false_justification(
    random: Random, here: Seats, height: int, round_: int, changes: list[RoundChange], older: list[RoundChange]
) -> tuple[str, Justification, bytes | None]:
    """A justification that breaks the rule, how it does, and the block that it is for (None: any fresh one).

    Args:
        random: the schedule's.
        here: seats of the height.
        height: of the proposal.
        round_: of the proposal.
        changes: real ROUND-CHANGEs for it, the adversary's own among them.
        older: real ones of other rounds.
    """
    quorum = here.quorum
    locked = [one for one in changes if one.prepared is not None]
    highest = max(locked, key=lambda one: one.prepared.round if one.prepared else -1, default=None)
    seals = () if highest is None or highest.prepared is None else highest.prepared.prepares
    way = int(random() * MAX_WAYS)
    if way == 0:
        return "none", EMPTY_JUSTIFICATION, None
    if way == 1:
        few = [here.faulty + 1, quorum - 1, 2 * here.faulty + 1][int(random() * 3)]
        return "few", justification(changes[: min(few, quorum - 1)], ()), None
    if way == 2 and changes:
        repeated = (changes * quorum)[:quorum]
        return "repeated", justification(repeated, ()), None
    if way == 3 and highest is not None:
        return "ignores_lock", justification(changes, ()), None
    if way == 4 and highest is not None:
        return "stripped", justification(without_lock(changes), ()), None
    if way == 5 and len(locked) > 1:
        lowest = min(locked, key=lambda one: one.prepared.round if one.prepared else 0)
        assert lowest.prepared is not None
        return "lower_lock", justification(changes, lowest.prepared.prepares), lowest.prepared.block_id
    if way == 6 and older:
        return "other_round", justification((older + changes)[:quorum], ()), None
    if way == 7 and highest is not None and highest.prepared is not None:
        return "few_prepares", justification(changes, seals[: quorum - 1]), highest.prepared.block_id
    if way == 8 and highest is not None:
        return "lock_for_another", justification(changes, seals), None
    if way == 9 and changes:
        half = [as_vote(one) for one in sorted(changes, key=lambda one: one.signer)]
        first = half[0]
        half[0] = RoundChangeVote(first.signer, first.signature, 0, None)
        return "half", Justification(tuple(half), ()), None
    if way == 10 and locked:
        free = [one for one in changes if one.prepared is None]
        return "leaves_locks_out", justification((free + locked[: quorum - 1 - len(free)])[: quorum - 1], ()), None
    return "empty_of_quorum", justification(without_lock(changes[:quorum]), ()), None
