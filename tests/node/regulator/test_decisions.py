"""Officers decide k of n, each with a transaction of its own."""

from __future__ import annotations

import pytest

from contracts import messages as m
from contracts.supervision.calls import GrantBatch
from ledger.errors import InvalidInput, LocalMisuse
from node.calling import CallRefused
from node.regulator import decisions
from tests.contracts.supervision.world import DOCTOR, LONG_MS, OFFICERS, STRANGER
from tests.node.regulator.office import Office


async def test_request_passes_when_two_officers_approve(office: Office) -> None:
    office.held()
    (waiting,) = await decisions.pending(office.gateway)
    decided = await decisions.approve(office.officers, waiting)
    assert (decided.status, decided.signatures) == ("authorised", 2)
    assert await decisions.pending(office.gateway) == []


async def test_third_officer_is_not_asked_when_two_are_enough(office: Office) -> None:
    office.held()
    before = office.gateway.submitted
    await decisions.approve(office.officers, (await decisions.pending(office.gateway))[0])
    assert office.gateway.submitted - before == 2


async def test_request_stays_pending_when_one_officer_approves_twice(office: Office) -> None:
    office.held()
    for _ in range(2):
        (waiting,) = await decisions.pending(office.gateway)
        decided = await decisions.approve(office.officers[:1], waiting)
        assert (decided.status, decided.signatures) == ("pending", 1)
    (waiting,) = await decisions.pending(office.gateway)
    assert [item.officer for item in waiting.approvals] == [OFFICERS[0].public]


async def test_second_officer_signs_the_first_ones_reason_when_none_is_given(office: Office) -> None:
    request = office.held()
    (waiting,) = await decisions.pending(office.gateway)
    await decisions.refuse(office.officers[:1], waiting, "dose_too_high")
    (waiting,) = await decisions.pending(office.gateway)
    decided = await decisions.refuse(office.officers[1:2], waiting)
    assert (decided.status, decided.reason) == ("refused", "dose_too_high")
    assert office.shown(request).reason == "dose_too_high"


async def test_refusals_do_not_add_up_when_reasons_differ(office: Office) -> None:
    office.held()
    (waiting,) = await decisions.pending(office.gateway)
    await decisions.refuse(office.officers[:1], waiting, "one")
    decided = await decisions.refuse(office.officers[1:2], waiting, "other")
    assert (decided.status, decided.signatures) == ("pending", 1)


async def test_decision_is_refused_before_sending_when_nothing_is_pending(office: Office) -> None:
    request = office.filed()
    before = office.gateway.submitted
    with pytest.raises(InvalidInput) as caught:
        await decisions.approve(office.officers, office.shown(request))
    assert caught.value.code == "request_not_pending"
    assert office.gateway.submitted == before


@pytest.mark.parametrize("key", [STRANGER, DOCTOR])
async def test_chain_refuses_when_who_signs_is_no_officer(office: Office, key) -> None:
    office.held()
    (waiting,) = await decisions.pending(office.gateway)
    with pytest.raises(CallRefused) as caught:
        await decisions.approve(office.callers(key), waiting)
    assert caught.value.code.startswith("supervision_")
    assert len(await decisions.pending(office.gateway)) == 1


async def test_nobody_signs_when_no_officer_is_given(office: Office) -> None:
    office.held()
    with pytest.raises(LocalMisuse):
        await decisions.approve([], (await decisions.pending(office.gateway))[0])


async def test_pending_pages_are_put_together_when_there_are_many(office: Office, monkeypatch) -> None:
    flows = [office.held(number).flow for number in range(5)]
    monkeypatch.setattr(decisions, "MAX_PAGE", 2)
    assert [view.request.flow for view in await decisions.pending(office.gateway)] == flows
    assert [view.request.flow for view in await decisions.pending(office.gateway, limit=3)] == flows[:3]


async def test_flow_is_suspended_resumed_and_terminated_when_officers_agree(office: Office) -> None:
    flow = office.filed().flow
    for action, state in ((m.SUSPEND, "suspended"), (m.RESUME, "open"), (m.TERMINATE, "terminated")):
        signed = await decisions.control(office.officers, flow, action, "inspection")
        assert (signed.complete, signed.signatures) == (True, 2)
        shown = await office.gateway.view(
            "supervision", "control_state", decisions.FlowQuery(flow), decisions.ControlView
        )
        assert shown.state == state


async def test_second_officer_completes_a_control_when_it_comes_later_and_says_no_reason(office: Office) -> None:
    flow = office.filed().flow
    first = await decisions.control(office.officers[:1], flow, m.SUSPEND, "complaint")
    second = await decisions.control(office.officers[2:], flow, m.SUSPEND)
    assert (first.complete, second.complete) == (False, True)
    shown = await office.gateway.view("supervision", "control_state", decisions.FlowQuery(flow), decisions.ControlView)
    assert shown.last is not None
    assert (shown.last.reason, shown.last.counter) == ("complaint", 1)


async def test_control_is_refused_when_it_changes_nothing(office: Office) -> None:
    flow = office.filed().flow
    with pytest.raises(CallRefused) as caught:
        await decisions.control(office.officers, flow, m.RESUME)
    assert caught.value.code == "supervision_control_invalid"


async def test_batch_is_granted_when_two_officers_sign_the_same(office: Office) -> None:
    batch = GrantBatch("hospital A", "prescription", 5, 0, office.now + LONG_MS)
    assert not (await decisions.grant_batch(office.officers[:1], batch)).complete
    signed = await decisions.grant_batch(office.officers[1:2], batch)
    assert (signed.complete, signed.number) == (True, 1)


async def test_limits_count_up_when_they_are_set_again(office: Office) -> None:
    for amount in (100, 200):
        assert (await decisions.set_limit(office.officers, "commission", "CNY", amount)).complete
    known = await office.gateway.view(
        "supervision", "limit", decisions.LimitQuery("commission", "CNY"), decisions.LimitView
    )
    assert known.limit is not None
    assert (known.limit.amount, known.limit.counter) == (200, 2)
