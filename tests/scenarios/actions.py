"""What can happen in a scenario: the sentences that are not expectations."""

from __future__ import annotations

import msgspec

from consensus import effects as do
from consensus import inputs as event
from consensus.inputs import TimerKind
from consensus.verify import authenticate, verify_block
from ledger.certificate import VoteKind
from ledger.keys import verify
from ledger.types import Height
from tests.scenarios.language import KINDS, MessageName, ScenarioError, phrase
from tests.scenarios.player import WALL, Player
from tests.scenarios.stage import Stage

Who = list[str] | str


@phrase("validators {n}")
def validators(stage: Stage, n: int) -> None:
    stage.set_seats(1, list("ABCDEFGHIJ"[:n]), 0)


@phrase("from height {n} validators {who} in epoch {m}")
def change_set(stage: Stage, n: int, who: list[str], m: int) -> None:
    stage.set_seats(n, who, m)


@phrase("byzantine {who}")
def byzantine(stage: Stage, who: list[str]) -> None:
    """Has no core of its own unless it is started (then it may be a twin); its key signs what the scenario says."""
    stage.byzantine.update(name[0] for name in who)


@phrase("parameter {word} {n}")
def parameter(stage: Stage, word: str, n: int) -> None:
    stage.parameters = msgspec.structs.replace(stage.parameters, **{word: n})


@phrase("there is nothing to do")
def idle(stage: Stage) -> None:
    stage.idle = True


@phrase("there is work for {who}")
def work(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        player.give(event.WorkAvailable(stage.now))


@phrase("block {block} is bad for {who}")
def bad(stage: Stage, block: str, who: list[str]) -> None:
    stage.bad_for[block] = who


@phrase("the clock of {one} is {time} ahead")
def clock(stage: Stage, one: str, time: int) -> None:
    stage.player(one).clock_ahead_ms = time


@phrase("{who} is slow to check")
def slow(stage: Stage, who: list[str]) -> None:
    for player in stage.named(who):
        player.holds_checks = True


@phrase("{one} finishes checking {block}")
def finishes(stage: Stage, one: str, block: str) -> None:
    stage.player(one).answer_check(stage.id_of(block))


@phrase("start {who}")
def start(stage: Stage, who: Who) -> None:
    names = stage.seats_at(1).names if who == "all" else who
    for name in names:
        if name not in stage.byzantine or who != "all":
            stage.player(name).start()


@phrase("height {n}")
def height(stage: Stage, n: int) -> None:
    """From here on the scenario speaks of this height."""
    stage.height = n


@phrase("{one} proposes {block}")
def proposes(stage: Stage, one: str, block: str) -> None:
    """Answers the block that the core asked for last."""
    player = stage.player(one)
    asked = player.last(do.BuildBlock)
    if not isinstance(asked, do.BuildBlock):
        raise ScenarioError(f"{one} was not asked for a block")
    made = stage.make_block(block, one, asked.height, WALL + stage.now + player.clock_ahead_ms)
    player.give(event.BlockBuilt(asked.height, asked.round, made))
    if not stage.sent(player, MessageName("PROPOSAL", asked.round, block, None)):
        raise ScenarioError(f"{one} did not propose {block}")


@phrase("deliver {message} of {who} to {to}")
def deliver(stage: Stage, message: MessageName, who: Who, to: Who) -> None:
    """The latest such message of each, to each of the others, however often."""
    for sender in stage.named(who):
        found = stage.sent(sender, message)
        if not found:
            raise ScenarioError(f"{sender.name} has not sent {message}")
        for receiver in stage.named(to):
            if receiver is not sender:
                receiver.receive(found[-1])


@phrase("deliver everything[ among {who}]")
def deliver_everything(stage: Stage, who: Who | None) -> None:
    """What was not delivered yet and what follows from it, until all is quiet."""
    players = stage.named("all" if who is None else who)
    place = 0
    while place < len(stage.post):
        sender, message = stage.post[place]
        for receiver in players:
            if sender in players and receiver is not sender and (place, receiver.name) not in stage.delivered:
                stage.delivered.add((place, receiver.name))
                receiver.receive(message)
        place += 1


@phrase("lose everything")
def lose(stage: Stage) -> None:
    """What was sent and is not delivered by name is delivered to nobody."""
    for place in range(len(stage.post)):
        stage.delivered.update((place, name) for name in stage.players)


@phrase("wait {time}")
def wait(stage: Stage, time: int) -> None:
    stage.now += time


@phrase("timeout {who} round {n}")
def timeout(stage: Stage, who: Who, n: int) -> None:
    for player in stage.named(who):
        player.fire(TimerKind.ROUND, n)


@phrase("{time} pass for {who}")
def pass_time(stage: Stage, time: int, who: Who) -> None:
    """Every timer fires in its order; nothing is delivered."""
    until = stage.now + time
    while True:
        due = min(
            (armed[2], player.name, kind, player)
            for player in stage.named(who)
            for kind, armed in player.state.timers.items()
        )
        if due[0] > until:
            break
        due[3].fire(due[2])
    stage.now = until


@phrase("rebroadcast of {who}")
def rebroadcast(stage: Stage, who: Who) -> None:
    """A rebroadcast interval after whatever was said last."""
    for player in stage.named(who):
        stage.now += stage.parameters.rebroadcast_ms
        player.fire(TimerKind.REBROADCAST)


@phrase("crash {who}")
def crash(stage: Stage, who: Who) -> None:
    for player in stage.named(who):
        player.crash()


@phrase("restart {one}[ after {who} returned its latest message]")
def restart(stage: Stage, one: str, who: list[str] | None) -> None:
    stage.player(one).start(stage.named(who or []))


@phrase("{one} will crash before sending {message}")
def crash_before_sending(stage: Stage, one: str, message: MessageName) -> None:
    stage.player(one).crash_when = lambda effect: (
        isinstance(effect, do.Broadcast) and stage.matches(effect.message, message)
    )


@phrase("{one} will crash before storing its lock")
def crash_before_lock(stage: Stage, one: str) -> None:
    stage.player(one).crash_when = lambda effect: (
        isinstance(effect, do.Persist) and hasattr(effect.record, "certificate")
    )


@phrase("{one} will crash before storing its {message}")
def crash_before_storing(stage: Stage, one: str, message: MessageName) -> None:
    kind = VoteKind(KINDS.index(message.kind))
    stage.player(one).crash_when = lambda effect: (
        isinstance(effect, do.Persist) and getattr(effect.record, "kind", None) == kind
    )


@phrase("{one} may have signed through height {n}")
def may_have_signed(stage: Stage, one: str, n: int) -> None:
    """What ``node.votes`` concludes from its chain and the claims of others, for a validator whose log was lost."""
    stage.player(one).give(event.ObserveThrough(Height(n)))


@phrase("tear the log of {one} by {n} bytes")
def tear(stage: Stage, one: str, n: int) -> None:
    path = _stopped(stage, one).log_path
    path.write_bytes(path.read_bytes()[:-n])


@phrase("damage the log of {one} in the middle")
def damage(stage: Stage, one: str) -> None:
    """One byte of its first record."""
    path = _stopped(stage, one).log_path
    data = bytearray(path.read_bytes())
    data[60] ^= 0x40
    path.write_bytes(data)


@phrase("delete the log of {one}")
def delete(stage: Stage, one: str) -> None:
    _stopped(stage, one).log_path.unlink()


@phrase("back up the log of {one}")
def back_up(stage: Stage, one: str) -> None:
    stage.backups[one] = stage.player(one).log_path.read_bytes()


@phrase("restore the log of {one}")
def restore(stage: Stage, one: str) -> None:
    _stopped(stage, one).log_path.write_bytes(stage.backups[one])


@phrase("cut the chain of {one} to height {n}")
def cut(stage: Stage, one: str, n: int) -> None:
    del _stopped(stage, one).chain[n:]


@phrase("compact the log of {one}")
def compact(stage: Stage, one: str) -> None:
    """As the driver does when it has grown."""
    from consensus.records import record_codec
    from consensus.state import live_records

    player = stage.player(one)
    assert player.log is not None
    player.log.compact([record_codec.encode(record) for record in live_records(player.state)])


@phrase("connect {one} and {other}")
def connect(stage: Stage, one: str, other: str) -> None:
    """Each says again to the other, and returns the other's latest message."""
    for here, there in ((stage.player(one), stage.player(other)), (stage.player(other), stage.player(one))):
        before = len(here.ordered)
        here.give(event.PeerConnected(there.key))
        for effect in here.ordered[before:]:
            if isinstance(effect, do.SendTo) and effect.to == there.key:
                there.receive(effect.message)
            elif isinstance(effect, do.ReturnLatest) and effect.message is not None:
                there.give(event.LatestOwnMessage(authenticate(effect.message, stage.chain_id, verify)))


@phrase("{one} fetches {block} from {other}")
def fetches(stage: Stage, one: str, block: str, other: str) -> None:
    """Answers its latest request, which must be for this block and name that source."""
    player, source = stage.player(one), stage.player(other)
    asked = player.last(do.FetchBlock)
    if not isinstance(asked, do.FetchBlock) or asked.block_id != stage.id_of(block) or source.key not in asked.sources:
        raise ScenarioError(f"{one} did not ask {other} for {block}")
    body = source.body(asked.block_id)
    if body is None:
        raise ScenarioError(f"{other} no longer has {block}")
    player.fetched(body)


@phrase("{one} imports height {n} from {other}")
def imports(stage: Stage, one: str, n: int, other: str) -> None:
    """As after a ``SendDecided``, or by sync: the block with its certificate."""
    made, certificate = stage.player(other).chain[n - 1]
    if n != len(stage.player(one).chain) + 1:
        raise ScenarioError(f"{one} does not need height {n}")
    stage.player(one).decide(verify_block(made).block, certificate)


@phrase("{one} hears that {who} are alive")
def hears(stage: Stage, one: str, who: list[str]) -> None:
    for name in who:
        stage.player(one).give(event.ValidatorHeard(stage.key_of(name).public))


def _stopped(stage: Stage, name: str) -> Player:
    player = stage.player(name)
    if player.alive:
        raise ScenarioError(f"{name} is running")
    return player
