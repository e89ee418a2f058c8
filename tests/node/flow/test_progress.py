"""Events move a flow forward and never back, in whatever order view and stream tell of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.flow import answers as a
from contracts.flow import calls
from contracts.flow.calls import Item, PaymentRequested
from node.flow.progress import RANKS, STEPS, FlowProgress
from tests.node.flow.fakes import KEY, moved

FLOW = b"f" * 32
PAYMENT = PaymentRequested(
    FLOW, b"a" * 32, KEY, KEY, KEY, "USD", (Item("1", "medicare", 3),), 3, 2, 1, "", bytes(32)
)  # fmt: skip


def walked(*events):
    progress = FlowProgress(FLOW)
    for name, fields in events:
        progress.apply(name, moved(FLOW, **fields))
    return progress


def test_a_flow_goes_through_its_stages_when_its_events_come():
    progress = walked(
        (calls.FILED, {"deadline_ms": 9}),
        (calls.AUTHORISED, {"authorisation": b"a" * 32, "hash": b"a" * 32}),
        (calls.REVIEW_REQUESTED, {"deadline_ms": 9, "reviewer": KEY}),
        (calls.REVIEW_GRANTED, {"token": b"t" * 32}),
    )
    assert (progress.status, progress.authorisation, progress.reviewer) == (a.OPEN, b"a" * 32, KEY)
    assert progress.done("file")
    assert (progress.stage_status("review"), progress.stages["review"].token) == (a.GRANTED, b"t" * 32)
    progress.apply(calls.RELEASED, moved(FLOW))
    assert progress.done("review")
    assert progress.stages["review"].token == b"t" * 32


def test_an_old_event_says_nothing_when_the_view_was_newer():
    progress = walked((calls.REVIEW_REQUESTED, {"deadline_ms": 9}), (calls.REVIEW_GRANTED, {"token": b"t" * 32}))
    moves = progress.moves
    assert not progress.apply(calls.REVIEW_REQUESTED, moved(FLOW, deadline_ms=9))
    assert (progress.stage_status("review"), progress.moves) == (a.GRANTED, moves)


def test_a_refusal_is_forgotten_when_the_stage_is_asked_for_again():
    progress = walked(
        (calls.REVIEW_REQUESTED, {"deadline_ms": 9}),
        (calls.REFUSED, {"stage": "review", "reason": "list_denies", "rule": "reviewers", "rule_version": 3}),
    )
    found = progress.stages["review"]
    assert (found.status, found.reason, found.rule, found.rule_version) == (a.REFUSED, "list_denies", "reviewers", 3)
    progress.apply(calls.REVIEW_REQUESTED, moved(FLOW, attempt=2, deadline_ms=9))
    assert (progress.stage_status("review"), progress.stages["review"].attempt) == (a.PENDING, 2)
    assert not progress.apply(calls.REVIEW_GRANTED, moved(FLOW, attempt=1))


def test_a_stage_is_done_at_once_when_its_kind_asks_nobody():
    assert walked((calls.OPINION_GIVEN, {"deadline_ms": 0})).done("opinion")
    assert walked((calls.OPINION_GIVEN, {"deadline_ms": 5})).stage_status("opinion") == a.PENDING


def test_a_refused_filing_ends_the_flow_and_a_refused_review_does_not():
    filed = (calls.FILED, {"deadline_ms": 9})
    assert walked(filed, (calls.REFUSED, {"stage": "file", "reason": "x"})).over
    opened = walked(filed, (calls.AUTHORISED, {}), (calls.REFUSED, {"stage": "review", "reason": "x"}))
    assert opened.status == a.OPEN
    assert not opened.over


def test_controls_suspend_resume_and_terminate():
    progress = walked((calls.FILED, {}), (calls.AUTHORISED, {}), (calls.SUSPENDED, {"reason": "inspection"}))
    assert progress.suspended
    assert progress.reason == "inspection"
    progress.apply(calls.RESUMED, moved(FLOW, reason="done"))
    assert not progress.suspended
    progress.apply(calls.TERMINATED, moved(FLOW, reason="fraud"))
    assert (progress.status, progress.over) == (a.TERMINATED, True)


def test_a_payment_closes_fulfil_and_an_old_request_does_not_reopen_it():
    progress = walked((calls.ORDER_ACCEPTED, {}))
    assert progress.apply_payment(PAYMENT)
    assert progress.stage_status("fulfil") == a.PRICED
    progress.apply(calls.SETTLED, moved(FLOW, deadline_ms=5))
    assert (progress.stage_status("fulfil"), progress.stage_status("settle")) == (a.DONE, a.PENDING)
    assert not progress.apply_payment(PAYMENT)
    assert progress.stage_status("fulfil") == a.DONE


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 3), st.integers(0, 1)), max_size=40))
def test_a_stage_never_goes_back_whatever_comes(events):
    progress = FlowProgress(FLOW)
    seen: dict[str, tuple[int, int]] = {}
    for name, attempt, deadline_ms in events:
        progress.apply(name, moved(FLOW, "review", attempt=attempt, deadline_ms=deadline_ms))
        for stage, found in progress.stages.items():
            now = (found.attempt, RANKS[found.status])
            assert now >= seen.get(stage, (0, 0)), (stage, name)
            seen[stage] = now
