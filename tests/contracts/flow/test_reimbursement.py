"""The reimbursement table on chain: who pays what comes from it, and governance alone changes it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.codes import Refusal
from contracts.flow.amounts import DEFAULT_RATIOS, Ratio
from contracts.flow.answers import ReimbursementQuery
from contracts.flow.calls import SET_REIMBURSEMENT, Item, RatioKey, SetReimbursement
from contracts.flow.reimbursement import put_rows, shares
from tests.contracts.flow.world import World

INVALID = "flow_ratio_invalid"


def change(world, *rows, remove=(), code="ok"):
    return world.business.govern("flow", SET_REIMBURSEMENT, SetReimbursement(tuple(remove), tuple(rows)), code)


def paid(world, coverage, drug="drug", price=10_001):
    return shares(world.business.context("flow"), (Item(drug, coverage, price),))


def table(world, limit=100, after=None):
    return world.business.view("flow", "reimbursement", ReimbursementQuery(after, limit))


def test_the_table_begins_with_the_default_ratios():
    world = World()
    assert table(world).rows == DEFAULT_RATIOS
    expected = {"medicare": 8_001, "medicaid": 9_001, "private": 7_001, "dual_eligible": 9_001, "no_insurance": 0}
    assert {coverage: paid(world, coverage)[0] for coverage in expected} == expected


def test_a_drugs_own_ratio_goes_before_its_coverages():
    world = World()
    change(world, Ratio("medicare", "aspirin", 0), Ratio("medicare", "insulin", 1_000_000))
    assert paid(world, "medicare", "aspirin") == (0, 10_001)
    assert paid(world, "medicare", "insulin") == (10_001, 0)
    assert paid(world, "medicare", "other") == (8_001, 2_000)
    assert paid(world, "private", "insulin") == (7_001, 3_000)
    change(world, remove=[RatioKey("medicare", "aspirin")])
    assert paid(world, "medicare", "aspirin") == (8_001, 2_000)


def test_an_order_is_refused_when_its_coverage_has_no_ratio():
    world = World().placed()
    world.accept()
    world.fulfil("flow_ratio_unknown", items=(Item("drug", "medicore", 100),))
    world.fulfil("flow_amount_invalid", items=(Item("drug", "medicare", 2**62), Item("drug", "medicare", 2**62)))


def test_a_change_of_the_table_is_refused_when_a_row_is_doubled_unknown_or_unnameable():
    world = World()
    change(world, Ratio("medicare", "a", 1), Ratio("medicare", "a", 2), code=INVALID)
    change(world, remove=[RatioKey("medicare", "nothing")], code=INVALID)
    change(world, Ratio("a\x00b", "", 1), code=INVALID)
    assert table(world).rows == DEFAULT_RATIOS


def test_a_change_of_the_table_does_not_change_what_was_asked_for():
    world = World().priced()
    change(world, Ratio("medicare", "", 0))
    assert world.show().payment.reimbursed == 20_401
    world.settle()


def test_the_table_is_read_page_by_page():
    world = World()
    first = table(world, 2)
    assert first.more
    rest = table(world, 10, RatioKey(first.rows[-1].coverage, first.rows[-1].drug_code))
    assert (first.rows + rest.rows, rest.more) == (DEFAULT_RATIOS, False)


def test_the_table_has_a_bound():
    state = World().business.context("flow").state
    for start in range(0, 4_096 - len(DEFAULT_RATIOS), 128):
        rows = tuple(Ratio("c", str(i), 1) for i in range(start, min(start + 128, 4_096 - len(DEFAULT_RATIOS))))
        state.writes = state.written_bytes = state.reads = 0
        put_rows(state, SetReimbursement((), rows))
    put_rows(state, SetReimbursement((), (Ratio("c", "0", 2),)))
    with pytest.raises(Refusal) as caught:
        put_rows(state, SetReimbursement((), (Ratio("c", "one too many", 1),)))
    assert caught.value.code == INVALID


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["medicare", "private", "no_insurance"]), st.integers(1, 2**40)),
        min_size=1,
        max_size=8,
    )
)
def test_shares_by_the_table_close_to_the_minor_unit(lines):
    ppm = {row.coverage: row.ppm for row in DEFAULT_RATIOS}
    reimbursed, patient = shares(CONTEXT, tuple(Item("drug", coverage, price) for coverage, price in lines))
    assert reimbursed + patient == sum(price for _, price in lines)
    assert reimbursed == sum((price * ppm[coverage] + 500_000) // 1_000_000 for coverage, price in lines)
    CONTEXT.state.reads = 0


CONTEXT = World().business.context("flow")
