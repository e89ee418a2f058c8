"""The specification agrees with itself: validators that follow it never decide differently, and decide in the end.

Up to f of them lie: they PREPARE and COMMIT whatever there is, hide what they prepared, and propose two blocks at once,
with any quorum of ROUND-CHANGEs that justifies it. The network loses, repeats and reorders.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from tests.spec import justification, qbft
from tests.spec.justification import (
    Commit,
    Decide,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    f,
    leader,
    quorum,
)
from tests.spec.notation import block
from tests.spec.qbft import Built, Executed, Fetched, Heard, State, TimerExpired, settle, step, timer_runs, wants


class Cluster:
    """Validators of one height; the first ``liars`` of them, in an order drawn by lot, are faulty."""

    def __init__(self, seed: int, n: int, liars: int) -> None:
        self.random = Random(seed)
        order = self.random.sample(range(n), n)
        self.loss, self.commit_loss = self.random.choice((0.03, 0.2)), self.random.choice((0, 0.6))
        self.n, self.liars, self.honest = n, order[:liars], sorted(order[liars:])
        self.states = {me: State(n, me, 1) for me in self.honest}
        self.all: list[Message] = []
        self.pending: list[tuple[int, Message]] = []
        self.decided: dict[int, str] = {}
        for me in self.honest:
            self._go_on(me, settle(self.states[me]))

    def _go_on(self, me: int, result: tuple[State, qbft.Sent]) -> None:
        """Keeps the state, sends what was said, and gives what is wanted at once."""
        self.states[me], sent = result
        for m in sent:
            if isinstance(m, Decide):
                self.decided[me] = m.value
            else:
                self.send(m, self.honest)
        for kind, what in sorted(wants(self.states[me])):
            made = block(f"{self.random.choice('ab')}{me}" if kind == "build" else what)
            answers = {"build": Built(self.states[me].round, made), "fetch": Fetched(made)}
            self._go_on(me, step(self.states[me], answers.get(kind, Executed(what, good=True))))
            return

    def send(self, m: Message, to: list[int]) -> None:
        self.all.append(m)
        self.pending += [(other, m) for other in to if other != m.signer]

    def hear(self, at: int) -> None:
        to, m = self.pending.pop(at)
        self._go_on(to, step(self.states[to], Heard(m)))

    def expire(self, me: int) -> None:
        self._go_on(me, step(self.states[me], TimerExpired()))

    def lie(self) -> None:
        """Tells each of the honest what it would like to hear; to each camp its own story."""
        liar = self.random.choice(self.liars)
        for me, s in self.states.items():
            if s.proposal is not None and self.random.random() < 0.8:
                value = s.proposal.block.name
                self.send(Prepare(1, s.round, value, liar), [me])
                self.send(Commit(1, s.round, value, liar), [me])
            elif s.round > 0:
                self.send(RoundChange(1, s.round, None, None, liar), [me])
        round_ = max(s.round for s in self.states.values())
        if leader(self.n, 1, round_) == liar:
            values = sorted({m.block.name for m in self.all if isinstance(m, Proposal)} | {f"a{liar}", f"b{liar}"})
            for camp, name in enumerate(self.random.sample(values, 2)):
                self.propose(liar, round_, name, [me for me in self.honest if me % 2 == camp])

    def propose(self, liar: int, round_: int, name: str, camp: list[int]) -> None:
        """``name``, if any of the ROUND-CHANGEs that there are justify it."""
        changes = {m for m in self.all if isinstance(m, RoundChange) and m.round == round_}
        changes |= {RoundChange(1, round_, None, None, other) for other in self.liars}
        ordered = sorted(changes, key=lambda m: (m.signer, m.pr or -1))
        for chosen in combinations(ordered, qbft.quorum(self.n) if round_ > 0 else 0):
            bare = tuple(replace(m, prepares=()) for m in chosen)
            for proof in ((), *(m.prepares for m in chosen)):
                m = Proposal(1, round_, block(name), liar, bare, proof)
                if justification.JustifyPrePrepare(m, self.n):
                    self.send(m, camp)
                    return

    def storm(self, events: int) -> None:
        """Messages in any order, some lost, some twice; timers; lies."""
        for _ in range(events):
            chance = self.random.random()
            if self.pending and chance < 0.8:
                at = self.random.randrange(len(self.pending))
                loss = self.commit_loss if isinstance(self.pending[at][1], Commit) else self.loss
                if self.random.random() < loss:
                    del self.pending[at]
                    continue
                if self.random.random() < 0.05:
                    self.pending.append(self.pending[at])
                self.hear(at)
            elif self.liars and chance > 0.84:
                self.lie()
            else:
                running = [me for me in self.honest if timer_runs(self.states[me])]
                if running:
                    self.expire(self.random.choice(running))

    def calm(self) -> None:
        """All that was sent in the current rounds arrives, again and again; timers only when nothing else happens."""
        for _ in range(30):
            for me in self.honest:
                for m in sorted(qbft.said_again(self.states[me]), key=repr):
                    self.send(m, self.honest)
            while self.pending:
                self.hear(0)
            if len(self.decided) >= 1:
                return
            for me in self.honest:
                if timer_runs(self.states[me]):
                    self.expire(me)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_nobody_decides_differently_and_somebody_decides(n):
    for seed in range(60 if n == 4 else 12):
        cluster = Cluster(seed, n, f(n))
        cluster.storm(40 * n)
        assert len(set(cluster.decided.values())) <= 1, (seed, cluster.decided)
        cluster.calm()
        assert len(set(cluster.decided.values())) == 1, (seed, cluster.decided)


def test_a_quorum_that_is_too_small_is_found_out(monkeypatch):
    monkeypatch.setattr(qbft, "quorum", lambda n: quorum(n) - 1)
    monkeypatch.setattr(justification, "quorum", lambda n: quorum(n) - 1)
    different = 0
    for seed in range(60):
        cluster = Cluster(seed, 4, 1)
        cluster.storm(160)
        different += len(set(cluster.decided.values())) > 1
    assert different > 0
