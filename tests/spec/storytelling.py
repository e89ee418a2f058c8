"""Runs a story of ``tests/spec/stories.py`` with the specification or with the core as its hero."""

from __future__ import annotations

from typing import Protocol

from tests.spec.justification import Message
from tests.spec.notation import events, show
from tests.spec.qbft import Event, Sent, State, said_again, settle, step, timer_runs, wants


class Hero(Protocol):
    """One validator, that of the specification or the real one."""

    def begin(self) -> Sent: ...
    def take(self, event: Event) -> Sent: ...
    def wants(self) -> frozenset[tuple[str, str]]: ...
    def timer_runs(self) -> bool: ...
    def said_again(self) -> frozenset[Message]: ...


class SpecTeller:
    """The validator of the specification."""

    def __init__(self, state: State) -> None:
        self.state = state

    def begin(self) -> Sent:
        self.state, sent = settle(self.state)
        return sent

    def take(self, event: Event) -> Sent:
        self.state, sent = step(self.state, event)
        return sent

    def wants(self) -> frozenset[tuple[str, str]]:
        return wants(self.state)

    def timer_runs(self) -> bool:
        return timer_runs(self.state)

    def said_again(self) -> frozenset[Message]:
        return said_again(self.state)


def tell(script: str, hero: Hero, n: int) -> None:
    """Asserts after each line what it expects: all that is said; the rest where it says so."""
    heard = [line.strip() for line in script.strip().splitlines()]
    begun = hero.begin()
    for line in heard:
        event, _, outcome = (part.strip() for part in line.partition("->"))
        said = [*begun] if event == "begin" else [one for each in events(event, n) for one in hero.take(each)]
        expected = [part.strip() for part in outcome.split(",") if part.strip() != "nothing"]
        states = [part for part in expected if part.startswith(("wants", "timer", "again"))]
        assert [show(m) for m in said] == [part for part in expected if part not in states], line
        for state in states:
            kind, _, what = state.partition(" ")
            match kind:
                case "timer":
                    assert hero.timer_runs() is (what == "on"), line
                case "wants":
                    assert {" ".join(want) for want in hero.wants()} == ({what} - {"nothing"}), line
                case "again":
                    again = {show(m) for m in hero.said_again()}
                    assert again == {part.strip() for part in what.split("+")} - {"nothing"}, line
