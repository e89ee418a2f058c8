"""The books close at every height, whatever happens in whatever order, checked against a model that knows no contract.

The model keeps plain dictionaries and Decimals in major units, and computes every sum anew from them.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.commission import answers as a
from contracts.commission.records import Agreement, Triggers
from tests.contracts.commission.world import (
    CASH,
    CLAIM,
    CLAWBACK,
    CURRENCY,
    INSURER,
    PLATFORM,
    THIRD,
    World,
    agreement,
    row,
    sale,
)

CENT = Decimal("0.01")
ROUNDINGS = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
NAMES = ("first", "second", "third")
SPECIAL = {"pending": "B2-pending", "settled": "B2-settled", "clawback": "B2-clawback"}
WINDOW_S = 600


class ModelRecord:
    """A booking: its commission in major units, and what became of it."""

    def __init__(self, policy: str, commission: Decimal, version: int, first_s: float) -> None:
        self.policy = policy
        self.commission = commission
        self.version = version
        self.first_s = first_s
        self.request = 0
        self.cancelled = ""


class ModelAgreement:
    """One agreement, the slow way."""

    def __init__(self) -> None:
        self.versions: dict[int, tuple[Decimal, str, int, int]] = {}
        self.records: list[ModelRecord] = []
        self.settled: set[int] = set()
        self.requests = 0
        self.paid = Decimal(0)
        self.owed_back = Decimal(0)

    def live(self, policy: str) -> ModelRecord | None:
        return next((r for r in self.records if r.policy == policy and not r.cancelled), None)

    def status(self, record: ModelRecord) -> str:
        if not record.request:
            return "pending"
        return "settled" if record.request in self.settled else "requested"

    def sum(self, *statuses: str, cancelled: bool = False) -> Decimal:
        chosen = [r for r in self.records if bool(r.cancelled) is cancelled and self.status(r) in statuses]
        return sum((r.commission for r in chosen), Decimal(0))

    def unrequested(self) -> list[ModelRecord]:
        return [r for r in self.records if not r.request and not r.cancelled]

    def end_block(self, count: int, max_batch: int, *, early: bool) -> int:
        """Fires what the count trigger and an early request fire; how many requests."""
        fired = 0
        while (count and len(self.unrequested()) >= count) or (early and self.unrequested()):
            self.requests += 1
            fired += 1
            early = False
            for record in self.unrequested()[:max_batch]:
                record.request = self.requests
        return fired

    def settle(self, request: int) -> Decimal:
        """What is paid."""
        members = [r for r in self.records if r.request == request]
        gross = sum(r.commission for r in members if r.cancelled != "pending")
        self.owed_back += sum((r.commission for r in members if r.cancelled == "requested"), Decimal(0))
        netted = min(gross, self.owed_back)
        self.owed_back -= netted
        self.settled.add(request)
        self.paid += gross - netted
        return gross - netted


class Books(RuleBasedStateMachine):
    """Random histories over several agreements, on the real executor."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.models: dict[str, ModelAgreement] = {}
        self.in_force: dict[str, Agreement] = {}
        self.policies = 0

    @initialize(rates=st.lists(st.integers(1_000, 700_000), min_size=3, max_size=3), batch=st.integers(1, 4))
    def agree(self, rates, batch):
        for name, rate in zip(NAMES, rates, strict=True):
            self.models[name] = ModelAgreement()
            self.change(name, rate=rate, rounding="half_up", count=0 if name == "third" else 4, batch=batch)

    def change(self, name, *, rate, rounding, count, batch):
        """Both sign a version, and it comes into force."""
        model = self.models[name]
        version = len(model.versions) + 1
        terms = agreement(
            agreement=name,
            version=version,
            rate_ppm=rate,
            rounding=rounding,
            triggers=Triggers(count=count),
            max_batch=batch,
            mapping=(row(product="special", **SPECIAL), row()),
            clawback_window_s=WINDOW_S,
            activation_height=self.world.height + 3,
        )
        self.world.run(self.world.proposal(terms))
        self.world.run(self.world.signature(terms))
        model.versions[version] = (Decimal(rate) / 1_000_000, rounding, count, batch)
        self.in_force[name] = terms
        self.world.block()
        self.fired(name)

    def fired(self, name, *, early=False):
        """What the last block's end emitted is what the model says."""
        model = self.models[name]
        _, _, count, batch = model.versions[len(model.versions)]
        before = model.requests
        fired = model.end_block(count, batch, early=early)
        emitted = [request for request in self.world.requested() if request.agreement == name]
        assert [request.request for request in emitted] == list(range(before + 1, before + fired + 1))
        for request in emitted:
            members = [r for r in model.records if r.request == request.request]
            assert [Decimal(item.amount) * CENT for item in request.items] == [r.commission for r in members]

    def commission(self, name, version, premium):
        rate, rounding, _, _ = self.models[name].versions[version]
        return (Decimal(premium) * CENT * rate).quantize(CENT, ROUNDINGS[rounding])

    def now_s(self):
        return self.world.time_ms / 1000

    def choose(self, model, number):
        return model.records[number % len(model.records)]

    any_name = st.sampled_from(NAMES)
    any_number = st.integers(0, 10**6)
    any_premium = st.integers(1, 99_999)

    @rule(
        name=any_name,
        premiums=st.lists(any_premium, min_size=1, max_size=4),
        special=st.booleans(),
        sender=st.sampled_from((PLATFORM, INSURER, THIRD)),
    )
    def book(self, name, premiums, special, sender):
        model, terms = self.models[name], self.in_force[name]
        for premium in premiums:
            commission = self.commission(name, terms.version, premium)
            if not commission:
                continue
            self.policies += 1
            policy = f"P{self.policies}"
            sold = sale(policy, premium, product="special" if special else "usual")
            self.world.run(self.world.booking(terms, sold, sender))
            model.records.append(ModelRecord(policy, commission, terms.version, self.now_s()))
            self.fired(name)

    @rule(name=any_name, number=any_number)
    def cancel(self, name, number):
        model, terms = self.models[name], self.in_force[name]
        if not model.records:
            return
        record = model.live(self.choose(model, number).policy)
        if record is None:
            return
        transaction = self.world.cancellation(terms, record.policy)
        if self.now_s() + 1 - record.first_s > WINDOW_S:
            self.world.run(transaction, "commission_window_closed")
            return
        self.world.run(transaction)
        self.withdraw(model, record)
        self.fired(name)

    @rule(number=any_number)
    def cancel_requested(self, number):
        """A record that waits for its settlement: rare when records are chosen at random."""
        names = [name for name in NAMES if self.open_records(name)]
        if not names:
            return
        name = names[number % len(names)]
        records = self.open_records(name)
        self.world.run(self.world.cancellation(self.in_force[name], records[number % len(records)].policy))
        self.withdraw(self.models[name], records[number % len(records)])
        self.fired(name)

    def open_records(self, name):
        model = self.models.get(name, ModelAgreement())
        return [
            r
            for r in model.records
            if not r.cancelled and model.status(r) == "requested" and self.now_s() + 1 - r.first_s <= WINDOW_S
        ]

    def withdraw(self, model, record):
        record.cancelled = model.status(record)
        if record.cancelled == "settled":
            model.owed_back += record.commission

    @rule(name=any_name, number=any_number, premium=any_premium)
    def correct(self, name, number, premium):
        model, terms = self.models[name], self.in_force[name]
        if not model.records:
            return
        record = model.live(self.choose(model, number).policy)
        if record is None or not self.commission(name, record.version, premium):
            return
        transaction = self.world.correction(terms, sale(record.policy, premium))
        if self.now_s() + 1 - record.first_s > WINDOW_S:
            self.world.run(transaction, "commission_window_closed")
            return
        self.world.run(transaction)
        self.withdraw(model, record)
        commission = self.commission(name, record.version, premium)
        model.records.append(ModelRecord(record.policy, commission, record.version, record.first_s))
        self.fired(name)

    @rule(name=any_name, party=st.sampled_from(("platform", "insurer")))
    def request(self, name, party):
        model, terms = self.models[name], self.in_force[name]
        waiting = model.unrequested()
        self.world.run(self.world.early(terms, party), "ok" if waiting else "commission_nothing_pending")
        self.fired(name, early=bool(waiting))

    @rule(name=any_name, number=any_number)
    def settle(self, name, number):
        model, terms = self.models[name], self.in_force[name]
        waiting = sorted(set(range(1, model.requests + 1)) - model.settled)
        if not waiting:
            return
        request = waiting[number % len(waiting)]
        transaction = self.world.settlement(terms, request)
        before = self.world.total(CURRENCY, f"account({CASH})")
        self.world.run(transaction)
        paid = self.world.total(CURRENCY, f"account({CASH})") - before
        assert Decimal(paid) * CENT == model.settle(request)

    @rule(
        name=any_name,
        rate=st.integers(1_000, 700_000),
        rounding=st.sampled_from(sorted(ROUNDINGS)),
        count=st.integers(0, 5),
        batch=st.integers(1, 4),
    )
    def new_version(self, name, rate, rounding, count, batch):
        if len(self.models[name].versions) < 4:
            self.change(name, rate=rate, rounding=rounding, count=count, batch=batch)

    @rule(seconds=st.integers(1, WINDOW_S))
    def wait(self, seconds):
        self.world.block(step_ms=seconds * 1_000)
        assert self.world.requested() == []

    @invariant()
    def books_close(self):
        world = self.world
        paid = clawbacks = pending = Decimal(0)
        for name, model in self.models.items():
            books = world.books(name)
            assert books.booked == books.pending + books.settled + books.cancelled
            assert books.paid == books.settled + books.clawbacks
            for shown, expected in (
                (books.booked, sum((r.commission for r in model.records), Decimal(0))),
                (books.pending, model.sum("pending", "requested")),
                (books.settled, model.sum("settled")),
                (books.cancelled, model.sum("pending", "requested", "settled", cancelled=True)),
                (books.paid, model.paid),
                (books.clawbacks, model.owed_back),
                (books.unrequested, sum((r.commission for r in model.unrequested()), Decimal(0))),
            ):
                assert Decimal(shown) * CENT == expected
            assert books.booked_count == len(model.records)
            assert books.requests_open == model.requests - len(model.settled)
            paid += model.paid
            clawbacks += books.clawbacks + books.clawbacks_waiting
            pending += books.pending + books.clawbacks_waiting
        assert world.total(CLAIM, "B-health insurance-online sales-settled") + world.total(CLAIM, "B2-settled") == int(
            paid / CENT
        )
        assert world.total(CLAWBACK) == clawbacks
        assert world.total(CLAIM) == pending + int(paid / CENT)
        assert Decimal(world.total(CURRENCY, f"account({CASH})")) * CENT == paid

    def teardown(self):
        for name, model in self.models.items():
            page = self.world.view("bookings", a.BookingsQuery(name, limit=256)).bookings
            shown = [(view.policy, view.status) for view in page]
            assert shown == [(r.policy, "cancelled" if r.cancelled else model.status(r)) for r in model.records]


Books.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestBooksClose = Books.TestCase
