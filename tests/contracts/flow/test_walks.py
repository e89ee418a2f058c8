"""Random walks: parties, regulator and clock do anything in any order; what must hold of the state always holds."""

from __future__ import annotations

import random
from collections import Counter

from contracts.flow.answers import DONE, EXPIRED, GRANTED, PENDING, REFUSED
from contracts.flow.calls import Report
from contracts.flow.state import copy_codec, due_of, find_flow, find_grant, flow_codec, load_kind
from contracts.messages import STAGES
from ledger.state import contract_prefix
from tests.contracts.flow import world as w
from tests.contracts.flow.world import COIN, COINS, World

MINUTE_MS = 60_000
STEPS = 60
PREFIX = contract_prefix("flow")


class Walk(World):
    """Every step may be refused, with a code of the contract or of the bridge, never otherwise."""

    def call(self, sender, name, arguments, code="ok", **more):
        self.tried = self.business.block(self.tx(sender, w.call(w.FLOW, name, arguments), **more), step_ms=10)[0]
        assert self.tried.code == "ok" or self.tried.code.startswith(("flow_", "not_permitted")), self.tried.code
        self.codes.add(self.tried.code)
        return self.tried

    def pay(self, pharmacy):
        """Pays where nothing is paid, else reports what was."""
        settled = self.settlement("settlement", w.PATIENT, w.PLATFORM, pharmacy, w.PAYER)
        if self.stage("settle") is None:
            paid = self.payment(5_100, 20_401, pharmacy=pharmacy)
            return self.call(w.PATIENT, "settle", settled, cosigners=(w.PATIENT, w.PAYER), **paid)
        return self.call(w.PATIENT, "report", Report(self.flow, settled.commitment, settled.envelope, settled.copy))

    def regulated(self, *arguments, **options):
        """What the regulator does where there may be nothing to do."""
        try:
            return getattr(self, arguments[0])(*arguments[1:], **options)
        except AssertionError as error:
            # The regulator was not asked, or the answer was another one: the walk goes on.
            self.codes.add(str(error)[:40])
            return None


def moves(chance: random.Random, walk: Walk):
    reviewer = chance.choice((w.REVIEWER, w.REVIEWER, w.OTHER_REVIEWER))
    pharmacy = chance.choice((w.PHARMACY, w.PHARMACY, w.OTHER_PHARMACY))
    chosen = next((key for key in (w.PHARMACY, w.OTHER_PHARMACY) if key.public == walk.show().pharmacy), pharmacy)
    pharmacy = chosen if chance.random() < 0.8 else pharmacy
    counter = walk.show().control_counter + chance.choice((0, 1, 1))
    outcome = chance.choice(("authorised",) * 6 + ("refused",))
    return {
        "file": walk.file,
        "decide file": lambda: walk.regulated("decide", "file", outcome=outcome),
        "request review": lambda: walk.authorisation and walk.request_review(by=reviewer),
        "grant review": lambda: walk.regulated("grant", "review"),
        "refuse": lambda: walk.regulated("refuse", chance.choice(("review", "order"))),
        "release": lambda: walk.release(reviewer=reviewer),
        "opinion": lambda: walk.opinion(by=reviewer, approve=chance.random() < 0.9),
        "decide opinion": lambda: walk.regulated("decide", "opinion", outcome=outcome),
        "request order": lambda: walk.authorisation and walk.request_order(pharmacy=pharmacy),
        "grant order": lambda: walk.regulated("grant", "order"),
        "place": lambda: walk.place(to=pharmacy),
        "accept": lambda: walk.accept(by=pharmacy),
        "fulfil": lambda: walk.fulfil(by=pharmacy),
        "settle": lambda: walk.pay(pharmacy),
        "decide settle": lambda: walk.regulated("decide", "settle", outcome=outcome),
        "deliver": lambda: walk.deliver(by=pharmacy),
        "suspend": lambda: walk.regulated("control", "suspend", counter or 1),
        "resume": lambda: walk.regulated("control", "resume", counter or 1),
        "terminate": lambda: chance.random() < 0.05 and walk.regulated("control", "terminate", counter or 1),
        "wait": lambda: walk.wait(chance.choice((1, 6, 31)) * MINUTE_MS, fresh=chance.random() < 0.8),
        "fresh": walk.fresh,
    }


def check(walk: Walk) -> None:
    state = walk.business.context("flow").state
    rows = dict(walk.business.state.iterate(PREFIX))
    flows = [flow_codec.decode(data) for key, data in rows.items() if key[len(PREFIX) :][:1] == b"f"]
    due = {due_of(key[len(PREFIX) :]) for key in rows if key[len(PREFIX) :][:1] == b"x"}
    waiting = {key[len(PREFIX) + 1 :] for key in rows if key[len(PREFIX) :][:1] == b"p"}
    assert due == {
        (stage.deadline_ms + 1, flow.flow, stage.stage) for flow in flows for stage in flow.stages if stage.deadline_ms
    }
    for flow in flows:
        kind = load_kind(state, flow.kind, flow.kind_version)
        names = [stage.stage for stage in flow.stages]
        assert names == [stage for stage in STAGES if stage in names]
        review = flow.stage("review")
        free = review is None or review.status in (REFUSED, EXPIRED)
        eligible = flow.status == "open" and not flow.suspended and free
        assert (flow.number.to_bytes(8, "big") in waiting) == eligible
        assert (flow.status == "closed") == all(flow.done(spec.stage) for spec in kind.stages)
        if flow.done("order"):
            assert flow.done("opinion")
            assert flow.approve
        for stage, copied in (("review", "release"), ("order", "order")):
            grant = find_grant(state, flow.flow, stage)
            if flow.done(stage):
                assert grant is not None
                assert grant.uses_left == 0
                assert PREFIX + b"e" + flow.flow + copied.encode() in rows
        if flow.stage("settle") is not None:
            assert flow.stage("fulfil").status == DONE
            assert walk.balance(w.PHARMACY) + walk.balance(w.OTHER_PHARMACY) == w.PRICE
    assert sum(walk.balance(party) for party in (w.PATIENT, w.PAYER, w.PHARMACY, w.OTHER_PHARMACY)) == 2 * COIN * COINS
    assert all(copy_codec.decode(data) for key, data in rows.items() if key[len(PREFIX) :][:1] == b"e")
    assert find_flow(state, b"f" * 32) is None


def sensible(walk: Walk) -> str:
    """What parties and regulator would do next."""
    shown = walk.show()
    if shown.suspended:
        return "resume"
    stages = {stage.stage: stage.status for stage in shown.stages}
    stage = shown.next_stage
    if stage in ("file", "opinion", "settle"):
        asked = {"file": "file", "opinion": "opinion", "settle": "settle"}[stage]
        return f"decide {stage}" if stages.get(stage) == PENDING else asked
    if stage in ("review", "order"):
        use = {"review": "release", "order": "place"}[stage]
        return {PENDING: f"grant {stage}", GRANTED: use}.get(stages.get(stage, ""), f"request {stage}")
    if stage == "fulfil":
        return {"accepted": "fulfil", "priced": "settle"}.get(stages.get(stage, ""), "accept")
    return "deliver" if stage else "file"


def walked(seed: int) -> Walk:
    chance = random.Random(seed)
    walk = Walk(deadline_ms=5 * MINUTE_MS, window_ms=30 * MINUTE_MS)
    walk.codes = set()
    walk.file()
    for step in range(STEPS):
        choices = moves(chance, walk)
        move = sensible(walk) if chance.random() < 0.8 else chance.choice(list(choices))
        choices[move]()
        try:
            check(walk)
        except AssertionError:
            print(f"seed {seed}, step {step}: {move}")
            raise
    return walk


def test_the_state_holds_together_whatever_happens():
    ends, codes = Counter(), set()
    for seed in range(8):
        walk = walked(seed)
        ends[walk.show().status] += 1
        codes |= walk.codes
    # The walks got somewhere, and went wrong in many ways.
    assert ends["closed"] > 2
    assert len(ends) > 1
    assert len([code for code in codes if code.startswith("flow_")]) >= 8
