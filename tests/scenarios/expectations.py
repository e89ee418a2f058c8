"""What a scenario expects of its validators."""

from __future__ import annotations

from consensus import effects as do
from consensus.inputs import TimerKind
from consensus.state import HeightState
from ledger.certificate import VoteKind
from tests.scenarios.language import KINDS, MessageName, ScenarioError, phrase
from tests.scenarios.player import Player
from tests.scenarios.stage import Stage

Who = list[str] | str


def expect(wanted: bool, words: str) -> None:
    """Raises ``ScenarioError`` unless ``wanted``."""
    if not wanted:
        raise ScenarioError(words)


def current(player: Player) -> HeightState:
    """The height that the player decides now."""
    assert player.state.current is not None
    return player.state.current


@phrase("expect {who} sends {message}")
def expect_sends(stage: Stage, who: Who, message: MessageName) -> None:
    if who == "nobody":
        found = [name for name, player in stage.players.items() if stage.sent(player, message)]
        expect(not found, f"{found} sent {message}")
    for player in stage.named(who):
        expect(bool(stage.sent(player, message)), f"{player.name} has not sent {message}")


@phrase("expect {who} does not send {message}")
def expect_not_sends(stage: Stage, who: list[str], message: MessageName) -> None:
    for player in stage.named(who):
        expect(not stage.sent(player, message), f"{player.name} sent {message}")


@phrase("expect {who} sends {message} {n} times")
def expect_times(stage: Stage, who: list[str], message: MessageName, n: int) -> None:
    for player in stage.named(who):
        found = len(stage.sent(player, message))
        expect(found == n, f"{player.name} sent {message} {found} times")


@phrase("expect {who} decides {block}")
def expect_decides(stage: Stage, who: Who, block: str) -> None:
    wanted = stage.id_of(block)
    height = stage.blocks[block].header.height
    if who == "nobody":
        expect(stage.decided.get(height) != wanted, f"{block} was decided")
        return
    for player in stage.named(who):
        stored = player.chain[height - 1][1] if len(player.chain) >= height else None
        expect(stored is not None and stored.block_id == wanted, f"{player.name} has not decided {block}")


@phrase("expect {who} has not decided")
def expect_undecided(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        expect(len(player.chain) < stage.height, f"{player.name} decided height {stage.height}")


@phrase("expect nothing is decided")
def expect_nothing(stage: Stage) -> None:
    expect(stage.height not in stage.decided, f"height {stage.height} was decided")


@phrase("expect the decision of {one} names round {n} and {m} signers")
def expect_certificate(stage: Stage, one: str, n: int, m: int) -> None:
    certificate = stage.player(one).chain[stage.height - 1][1]
    found = certificate.round, len(certificate.seals)
    expect(found == (n, m), f"round {found[0]}, {found[1]} signers")


@phrase("expect {who} is in round {n}")
def expect_round(stage: Stage, who: Who, n: int) -> None:
    for player in stage.named(who):
        place = (current(player).height, current(player).round)
        expect(place == (stage.height, n), f"{player.name} is in {place}")


@phrase("expect {who} is locked on {block} of round {n}")
def expect_lock(stage: Stage, who: Who, block: str, n: int) -> None:
    for player in stage.named(who):
        held = current(player).prepared
        found = None if held is None else (held.certificate.round, stage.name_of(held.certificate.block_id))
        expect(found == (n, block), f"{player.name} is locked on {found}")


@phrase("expect {who} is not locked")
def expect_no_lock(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        expect(current(player).prepared is None, f"{player.name} is locked")


@phrase("expect {who} refuses {block} as {word}")
def expect_refuses(stage: Stage, who: Who, block: str, word: str) -> None:
    for player in stage.named(who):
        found = [
            (stage.block_name(one.proposal), one.reason) for one in player.ordered if isinstance(one, do.RefuseBlock)
        ]
        expect((block, word) in found, f"{player.name} refused {found}")


@phrase("expect {who} rejects that as {word}")
def expect_rejects(stage: Stage, who: Who, word: str) -> None:
    """What was received last did not pass verification."""
    for player in stage.named(who):
        expect(player.rejected[-1:] == [word], f"{player.name} rejected {player.rejected}")
        player.rejected.clear()


@phrase("expect {who} rejects nothing")
def expect_rejects_nothing(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        expect(not player.rejected, f"{player.name} rejected {player.rejected}")


@phrase("expect evidence of {who} names {one} for {word}")
def expect_evidence(stage: Stage, who: Who, one: str, word: str) -> None:
    for player in stage.named(who):
        found = [(effect.signer, effect.kind) for effect in player.ordered if isinstance(effect, do.ReportEvidence)]
        expect(found.count((stage.key_of(one).public, word)) == 1, f"{player.name} reported {found}")


@phrase("expect no evidence")
def expect_no_evidence(stage: Stage) -> None:
    for player in stage.players.values():
        expect(player.last(do.ReportEvidence) is None, f"{player.name} reported evidence")


@phrase("expect {who} observes as {word}")
def expect_observes(stage: Stage, who: Who, word: str) -> None:
    for player in stage.named(who):
        found = player.state.observing
        expect(found is not None and found.reason == word, f"{player.name}: {found}")


@phrase("expect {who} signs")
def expect_signs(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        expect(player.state.can_sign, f"{player.name} does not sign")


@phrase("expect the guard of {one} refuses {message}")
def expect_guard(stage: Stage, one: str, message: MessageName) -> None:
    kind = VoteKind(KINDS.index(message.kind))
    wanted = do.ReportSigningRefused(kind, stage.height, message.round or 0)
    expect(wanted in stage.player(one).ordered, f"the guard of {one} did not refuse {message}")


@phrase("expect the round timer of {who} in {time}")
def expect_timer(stage: Stage, who: Who, time: int) -> None:
    for player in stage.named(who):
        armed = player.state.timers.get(TimerKind.ROUND)
        found = None if armed is None else armed[2] - stage.now
        expect(found == time, f"the timer of {player.name} fires in {found} ms")


@phrase("expect {who} has no round timer")
def expect_no_timer(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        found = player.state.timers.get(TimerKind.ROUND)
        expect(found is None, f"{player.name}: {found}")


@phrase("expect {one} asks {who} for {block}")
def expect_fetch(stage: Stage, one: str, who: list[str], block: str) -> None:
    asked = stage.player(one).last(do.FetchBlock)
    expect(isinstance(asked, do.FetchBlock), f"{one} fetches nothing")
    assert isinstance(asked, do.FetchBlock)
    sources = sorted(map(stage.letter_of, asked.sources))
    expect(asked.block_id == stage.id_of(block) and sources == who, f"{one} asks {sources}")


@phrase("expect {one} asked {n} times for {block}")
def expect_fetches(stage: Stage, one: str, n: int, block: str) -> None:
    asked = [effect for effect in stage.player(one).ordered if isinstance(effect, do.FetchBlock)]
    found = sum(effect.block_id == stage.id_of(block) for effect in asked)
    expect(found == n, f"{one} asked {found} times")


@phrase("expect {one} answers {other} with height {n}")
def expect_answers(stage: Stage, one: str, other: str, n: int) -> None:
    wanted = do.SendDecided(stage.key_of(other).public, n)
    expect(wanted in stage.player(one).ordered, f"{one} does not answer {other}")


@phrase("expect {one} answered {other} {n} times")
def expect_answered(stage: Stage, one: str, other: str, n: int) -> None:
    answers = [effect for effect in stage.player(one).ordered if isinstance(effect, do.SendDecided)]
    found = sum(effect.to == stage.key_of(other).public for effect in answers)
    expect(found == n, f"{one} answered {found} times")


@phrase("expect {one} is asked for a block")
def expect_build(stage: Stage, one: str) -> None:
    asked = stage.player(one).last(do.BuildBlock)
    place = (stage.height, current(stage.player(one)).round)
    expect(isinstance(asked, do.BuildBlock) and (asked.height, asked.round) == place, f"{one} was asked: {asked}")


@phrase("expect {one} is not asked for a block")
def expect_no_build(stage: Stage, one: str) -> None:
    asked = stage.player(one).last(do.BuildBlock)
    place = (stage.height, current(stage.player(one)).round)
    expect(not isinstance(asked, do.BuildBlock) or (asked.height, asked.round) != place, f"{one} was asked: {asked}")


@phrase("expect {one} halts")
def expect_halts(stage: Stage, one: str) -> None:
    expect(stage.player(one).state.halted, f"{one} goes on")
