"""The largest batches fit into every bound, the same history always writes the same, and nothing makes it fail."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commission import answers as a
from contracts.commission import codes, orders
from contracts.commission.contract import Commission
from contracts.commission.records import Triggers
from ledger.encoding import encode
from ledger.genesis import ContractDoc
from ledger.transaction import MAX_TRANSACTION_BYTES
from tests.contracts.commission.world import CLAIM, INSURER, PLATFORM, SETTLED, World, agreement, altered, genesis, sale


def test_largest_batch_is_requested_cancelled_and_settled_within_the_bounds():
    world = World()
    terms = world.agree(agreement(triggers=Triggers(count=1_000)))
    for start in (0, 250, 500, 750):
        world.block(*[world.booking(terms, sale(f"P{number}")) for number in range(start, start + 250)])
    (request,) = world.requested()
    assert (len(request.items), request.amount) == (1_000, 9_000_000)
    for start in (0, 250, 500):
        receipts = world.block(*[world.cancellation(terms, f"P{number}") for number in range(start, start + 250)])
        assert {receipt.code for receipt in receipts} == {"ok"}
    settlement = world.settlement(terms)
    assert settlement.size_bytes < MAX_TRANSACTION_BYTES
    assert len(settlement.body.inputs) == 1_751
    world.run(settlement)
    assert world.total(CLAIM, SETTLED) == world.books().paid == 2_250_000
    assert len(world.view("settlement", a.RequestQuery("B-C health", 1)).inputs) == 1_750
    assert len(world.view("bookings", a.BookingsQuery("B-C health", "settled", 700, 256)).bookings) == 206


def test_sixteen_batches_in_line_stay_within_the_bounds_of_a_blocks_end():
    world = World()
    terms = world.agree(agreement(triggers=Triggers()))
    receipts = world.block(*[world.booking(terms, sale(f"P{number}")) for number in range(4_200)])
    assert {receipt.code for receipt in receipts} == {"ok"}
    second = agreement(version=2, triggers=Triggers(count=1), activation_height=world.height + 3)
    world.run(world.proposal(second))
    world.run(world.signature(second))
    world.block()
    assert [len(request.items) for request in world.requested()] == [1_000] * 4
    assert world.next_due_ms() <= world.time_ms
    world.block()
    assert [len(request.items) for request in world.requested()] == [200]


def history(seed: int) -> tuple[list, dict]:
    rng = random.Random(seed)
    world = World()
    terms = world.agree(agreement(triggers=Triggers(count=4, age_s=20), max_batch=3))
    live: list[str] = []
    for number in range(40):
        policy = f"P{number}"
        transactions = [world.booking(terms, sale(policy, rng.randrange(100, 10**6)))]
        if live and rng.random() < 0.4:
            transactions.append(world.cancellation(terms, live.pop(rng.randrange(len(live)))))
        if live and rng.random() < 0.4:
            transactions.append(world.correction(terms, sale(rng.choice(live), rng.randrange(100, 10**6))))
        world.block(*transactions, step_ms=rng.randrange(1, 9_000))
        live.append(policy)
        for request in world.view("open_requests", a.OpenRequestsQuery()).requests:
            if rng.random() < 0.5:
                world.run(world.settlement(terms, request.request))
    return world.history, world.state.values


def test_same_history_writes_the_same():
    assert history(7) == history(7)
    assert history(7)[0] != history(8)[0]


def test_every_code_is_provoked_by_a_test():
    declared = {value for name, value in vars(codes).items() if name.isupper()}
    assert all(re.fullmatch(r"commission_[a-z_]+", code) for code in declared)
    assert len(declared) == sum(name.isupper() for name in vars(codes))
    here = Path(__file__)
    text = "".join(path.read_text() for path in here.parent.glob("test_*.py") if path != here)
    assert sorted(code for code in declared if f'"{code}"' not in text) == []
    sources = "".join(path.read_text() for path in Path("contracts/commission").glob("*.py"))
    unused = [name for name in vars(codes) if name.isupper() and f"codes.{name}" not in sources]
    assert unused == ["AGREEMENT_UNKNOWN"], "that one is imported by name"


def test_every_method_and_view_is_declared_with_words():
    assert list(Commission.methods) == ["propose", "sign", "book", "cancel", "correct", "request", "settle"]
    assert list(Commission.views) == [
        "agreement",
        "agreements",
        "drafts",
        "booking",
        "record",
        "bookings",
        "request_details",
        "requests",
        "open_requests",
        "settlement_plan",
        "settlement",
        "clawbacks",
        "books",
        "quote",
    ]
    for declared in (*Commission.methods.values(), *Commission.views.values()):
        assert declared.summary.endswith(".")
        assert declared.result is not None


FUZZED = World()
FUZZED.agree()


def _arguments():
    """Values of the right shape, bytes of any, and values a little off."""
    names = st.sampled_from(("B-C health", "", "another", "P1", "x" * 200, "a\x00b", "B-C health\x00"))
    hashes = st.one_of(st.just(bytes(32)), st.binary(max_size=40))
    numbers = st.one_of(st.integers(-1, 3), st.integers(0, 2**64 - 1))
    row = st.tuples(names, names, names, names, numbers, numbers, numbers, numbers, names, st.just(()), hashes)
    return st.one_of(
        st.binary(max_size=40),
        st.lists(st.one_of(names, hashes, numbers, row, st.none()), max_size=5).map(encode),
    )


@settings(max_examples=150, deadline=None)
@given(method=st.sampled_from(sorted(Commission.methods)), arguments=_arguments())
def test_arbitrary_arguments_are_refused_and_break_nothing(method, arguments):
    world = FUZZED
    template = orders.request_body(world.frame(PLATFORM), "B-C health", "platform")
    call = msgspec.structs.replace(template.calls[0], method=method, arguments=arguments)
    (receipt,) = world.block(world.signed_only_by(msgspec.structs.replace(template, calls=(call,)), INSURER))
    assert receipt.code not in ("ok", "contract_failed")


def test_addresses_do_not_share_anything():
    world = World(genesis(contracts=(ContractDoc(address="second", kind="commission"),)))
    terms = world.agree()
    transaction = world.booking(terms, sale())
    call = msgspec.structs.replace(transaction.body.calls[0], contract="second")
    world.run(altered(world, transaction, calls=(call,)), "commission_agreement_unknown")
    world.run(transaction)
