"""What Byzantine validators say: anything that their own keys can sign, around signatures that exist."""

from __future__ import annotations

from consensus.justification import justify
from consensus.messages import (
    EMPTY_JUSTIFICATION,
    Commit,
    Justification,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    RoundChange,
    RoundChangeVote,
)
from consensus.verify import signed_bytes
from ledger.certificate import MAX_ROUND
from tests.scenarios.language import MessageName, ScenarioError, phrase
from tests.scenarios.player import WALL
from tests.scenarios.stage import Stage

NO_SIGNATURE = bytes(65)


@phrase("{one} makes {block}[ {time} ahead]")
def makes(stage: Stage, one: str, block: str, time: int | None) -> None:
    """A block by a validator whose core was not asked."""
    stage.make_block(block, one, stage.height, WALL + stage.now + (time or 0))


@phrase("{one} sends {message}[ in epoch {m}][ with prepares of {by}] to {to}")
def sends(
    stage: Stage, one: str, message: MessageName, m: int | None, by: list[str] | None, to: list[str] | str
) -> None:
    """A PROPOSAL without justification, a vote, or a ROUND-CHANGE with the certificate that the PREPAREs give."""
    held = None
    if message.prepared:
        round_, block = message.prepared
        held = PreparedCertificate(round_, stage.id_of(block), stage.seals(by or [], round_, block))
    _send(stage, one, _unsigned(stage, one, message, held, EMPTY_JUSTIFICATION, m), to)


@phrase("{one} sends {message} because of ROUND-CHANGE of {by}[ and PREPARE {n} of {who}] to {to}")
def sends_justified(
    stage: Stage,
    one: str,
    message: MessageName,
    by: list[str],
    n: int | None,
    who: list[str] | None,
    to: list[str] | str,
) -> None:
    """A PROPOSAL with these ROUND-CHANGEs, the latest of each for its round, and these PREPAREs of its block."""
    changes: list[RoundChange] = []
    for name in by:
        found = stage.sent(stage.player(name), MessageName("ROUND-CHANGE", message.round, None, None))
        if not found or not isinstance(found[-1], RoundChange):
            raise ScenarioError(f"{name} has not sent ROUND-CHANGE {message.round}")
        changes.append(found[-1])
    justification, _ = justify(changes)
    assert message.block is not None
    prepares = () if n is None else stage.seals(who or [], n, message.block)
    _send(stage, one, _unsigned(stage, one, message, None, Justification(justification.round_changes, prepares)), to)


@phrase("{one} sends {message} with forged prepares of {by} to {to}")
def sends_forged(stage: Stage, one: str, message: MessageName, by: list[str], to: list[str] | str) -> None:
    """A ROUND-CHANGE whose certificate holds signatures of the sender under other names."""
    assert message.prepared
    round_, block = message.prepared
    held = PreparedCertificate(round_, stage.id_of(block), stage.seals(by, round_, block, one))
    _send(stage, one, _unsigned(stage, one, message, held), to)


@phrase("{one} sends {message} because of forged ROUND-CHANGE of {by} to {to}")
def sends_forged_changes(stage: Stage, one: str, message: MessageName, by: list[str], to: list[str] | str) -> None:
    """A PROPOSAL justified by ROUND-CHANGEs that its sender signed under other names."""
    assert message.round is not None
    epoch = stage.seats_at(stage.height).epoch.number
    votes = []
    for name in by:
        key = stage.key_of(name).public
        change = RoundChange(stage.height, message.round, epoch, key, NO_SIGNATURE, None)
        signature = stage.key_of(one).sign(signed_bytes(change, stage.chain_id))
        votes.append(RoundChangeVote(key, signature, None, None))
    _send(stage, one, _unsigned(stage, one, message, None, Justification(tuple(votes), ())), to)


@phrase("{one} sends ROUND-CHANGE of a huge round to {to}")
def sends_huge(stage: Stage, one: str, to: list[str] | str) -> None:
    """The highest round that the encoding allows."""
    _send(stage, one, _unsigned(stage, one, MessageName("ROUND-CHANGE", MAX_ROUND, None, ()), None), to)


def _unsigned(
    stage: Stage,
    one: str,
    message: MessageName,
    held: PreparedCertificate | None,
    justification: Justification = EMPTY_JUSTIFICATION,
    epoch: int | None = None,
) -> Message:
    number = stage.seats_at(stage.height).epoch.number if epoch is None else epoch
    if one[0] not in stage.byzantine or message.round is None:
        raise ScenarioError("only Byzantine validators say what the scenario wants, and in a round")
    place = (stage.height, message.round, number, stage.key_of(one).public, NO_SIGNATURE)
    if message.kind == "ROUND-CHANGE":
        return RoundChange(*place, held)
    assert message.block is not None
    if message.kind == "PROPOSAL":
        return Proposal(*place, stage.blocks[message.block], justification)
    return {"PREPARE": Prepare, "COMMIT": Commit}[message.kind](*place, stage.id_of(message.block))


def _send(stage: Stage, one: str, message: Message, to: list[str] | str) -> None:
    from msgspec.structs import replace

    signature = stage.key_of(one).sign(signed_bytes(message, stage.chain_id))
    signed = replace(message, signature=signature)
    stage.post.append((stage.player(one), signed))
    stage.delivered.update((len(stage.post) - 1, name) for name in stage.players)
    for receiver in stage.named(to):
        receiver.receive(signed)
