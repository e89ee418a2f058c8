"""A small language for what one validator hears and says, so that expectations can be written, and read, by hand.

An event a line: ``prepare 0 a0 by 1 2``, ``timeout``, ``executed a0``. A round change that has prepared says so in
brackets: ``round-change 2 [0 a0] by 1``. A proposal of a later round lists its round changes: ``propose 1 a0 because
0[0 a0] 1 2``, and the signers of its PREPAREs when they are not the first quorum: ``with 0 1``, or
``with nobody``.

A block is named for what it is and who made it: ``a0`` and ``b0`` are good, ``late0`` is not timely, ``odd0`` does not
fit the height, ``bad0`` does not execute well.
"""

from __future__ import annotations

import re

from tests.spec.justification import (
    Block,
    Commit,
    Decide,
    Halt,
    HighestPrepared,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    leader,
    quorum,
)
from tests.spec.qbft import Built, Event, Executed, Fetched, Heard, Restarted, TimerExpired


def block(name: str) -> Block:
    kind, maker = name.rstrip("0123456789"), re.search(r"\d+$", name)
    assert maker is not None, name
    return Block(name, int(maker[0]), fits=kind != "odd", timely=kind != "late")


def proof(height: int, pr: int, pv: str, signers: list[int] | range) -> tuple[Prepare, ...]:
    return tuple(Prepare(height, pr, pv, signer) for signer in signers)


def proposal(text: str, n: int, height: int = 1) -> Proposal:
    """``1 a0 because 0[0 a0] 1 2 with 0 1 2``"""
    found = re.fullmatch(r"(\d+) (\w+)(?: because (.*?))?(?: with ([\d ]+|nobody))?", text)
    assert found is not None, text
    round_, because = int(found[1]), found[3] or ""
    changes = tuple(
        RoundChange(height, round_, int(pr) if pr.isdigit() else None, pv if pv and pv != "-" else None, int(signer))
        for signer, pr, pv in re.findall(r"(\d+)(?:\[(\S+) (\S+)\])?(?= |$)", because)
    )
    signers = [int(signer) for signer in re.findall(r"\d+", found[4])] if found[4] else range(quorum(n))
    prepares: tuple[Prepare, ...] = ()
    for pr, pv in sorted(HighestPrepared(changes))[:1]:
        prepares = proof(height, pr, pv, signers)
    if found[4] and not prepares:
        prepares = proof(height, 0, found[2], signers)
    return Proposal(height, round_, block(found[2]), leader(n, height, round_), changes, prepares)


def events(line: str, n: int, height: int = 1) -> list[Event]:
    """What one line says that happens, in order."""
    verb, _, rest = line.partition(" ")
    words = rest.split()
    match verb:
        case "timeout":
            return [TimerExpired()]
        case "restart":
            return [Restarted()]
        case "built":
            return [Built(int(words[0]), block(words[1]))]
        case "executed":
            return [Executed(words[0], words[1:] != ["no"])]
        case "fetched":
            return [Fetched(block(words[0]))]
        case "propose":
            return [Heard(proposal(rest, n, height))]
    what, _, by = rest.partition(" by ")
    heard: list[Message] = []
    for signer in map(int, by.split()):
        match verb:
            case "prepare":
                heard.append(Prepare(height, int(words[0]), words[1], signer))
            case "commit":
                heard.append(Commit(height, int(words[0]), words[1], signer))
            case "round-change":
                found = re.fullmatch(r"(\d+)(?: \[(\d+) (\w+)\])?", what)
                assert found is not None, line
                round_, pr, pv = int(found[1]), found[2], found[3]
                if pr is None:
                    heard.append(RoundChange(height, round_, None, None, signer))
                else:
                    prepares = proof(height, int(pr), pv, range(quorum(n)))
                    heard.append(RoundChange(height, round_, int(pr), pv, signer, prepares))
    assert heard, line
    return [Heard(message) for message in heard]


def show(m: Message | Decide | Halt) -> str:
    """A message as the language writes it, without its signer."""
    match m:
        case Prepare():
            return f"prepare {m.round} {m.value}"
        case Commit():
            return f"commit {m.round} {m.value}"
        case Decide():
            return f"decide {m.round} {m.value}"
        case Halt():
            return f"halt {m.value}"
        case RoundChange():
            return f"round-change {m.round}" + ("" if m.pr is None and m.pv is None else f" [{m.pr} {m.pv}]")
        case Proposal():
            text = f"propose {m.round} {m.block.name}"
            changes = [f"{rc.signer}" + ("" if rc.pr is None else f"[{rc.pr} {rc.pv}]") for rc in m.round_changes]
            return text + (f" because {' '.join(changes)}" if changes else "")


def show_event(event: Event) -> str:
    """An event as the language writes it."""
    match event:
        case Heard(message):
            proven = "" if not getattr(message, "prepares", ()) else f" with {[p.signer for p in message.prepares]}"
            return f"{show(message)} by {message.signer}{proven} (height {message.height})"
        case TimerExpired():
            return "timeout"
        case Restarted():
            return "restart"
        case Built(round_, made):
            return f"built {round_} {made.name}"
        case Executed(value, good):
            return f"executed {value}" + ("" if good else " no")
        case Fetched(made):
            return f"fetched {made.name}"
