"""Transactions are handed in together, known by their events, and looked for when the events do not tell."""

from __future__ import annotations

import asyncio

import pytest

from contracts.codes import Refusal
from contracts.flow import calls
from contracts.flow.calls import Accept
from ledger.keys import SigningKey
from node.calling import CallRefused
from node.flow import submitting
from node.flow.submitting import Submitter
from node.flow.watcher import FlowWatcher
from tests.node.flow.fakes import BulkFake, FakeGateway, moved

KEY = SigningKey(b"k" * 32)
FLOW = b"f" * 32


def accepted(transaction):
    del transaction
    return [(calls.ORDER_ACCEPTED, moved(FLOW, "fulfil"))]


@pytest.fixture(params=[FakeGateway, BulkFake])
def gateway(request):
    return request.param(accepted)


async def test_a_call_answers_with_its_step_and_asks_nothing(gateway):
    async with FlowWatcher(gateway) as watcher:
        heard = []
        sent = await Submitter(gateway, watcher, lambda *news: heard.append(news)).call(KEY, "accept", Accept(FLOW))
        assert sent.moved().flow == FLOW
        assert sent.height == 1
        assert heard[0][0] == "accept"
        assert (gateway.infos, gateway.asked, len(gateway.submitted)) == (1, [], 1)


async def test_calls_of_one_moment_share_a_request():
    gateway = BulkFake(accepted)
    async with FlowWatcher(gateway) as watcher:
        submitter = Submitter(gateway, watcher)
        await asyncio.gather(*(submitter.call(KEY, "accept", Accept(FLOW)) for _ in range(40)))
        assert sum(gateway.requests) == 40
        assert len(gateway.requests) <= 3


async def test_a_refusal_is_raised_with_the_chains_code(gateway):
    def refuse(transaction):
        raise Refusal("flow_party_wrong", "only the pharmacy")

    gateway.on_call = refuse
    async with FlowWatcher(gateway) as watcher:
        with pytest.raises(CallRefused) as error:
            await Submitter(gateway, watcher).call(KEY, "accept", Accept(FLOW))
        assert error.value.code == "flow_party_wrong"


async def test_a_transaction_is_asked_for_when_its_events_do_not_come(gateway, monkeypatch):
    monkeypatch.setattr(submitting, "CHECK_S", 0.01)
    gateway.hide_events = True
    async with FlowWatcher(gateway) as watcher:
        sent = await Submitter(gateway, watcher).call(KEY, "accept", Accept(FLOW))
        assert sent.moved().flow == FLOW


async def test_a_transaction_is_handed_in_again_when_the_node_forgot_it(monkeypatch):
    monkeypatch.setattr(submitting, "CHECK_S", 0.01)
    gateway = BulkFake(accepted)
    real, forgotten = gateway.submit, []

    async def submit(transaction):
        if not forgotten:
            forgotten.append(transaction.tx_id)
            return transaction.tx_id
        return await real(transaction)

    gateway.submit = submit  # type: ignore[method-assign]
    async with FlowWatcher(gateway) as watcher:
        sent = await Submitter(gateway, watcher).call(KEY, "accept", Accept(FLOW))
        assert forgotten == [sent.tx_id], "the same transaction, not another one"


async def test_a_full_node_is_tried_again(monkeypatch):
    monkeypatch.setattr(submitting, "RETRY_S", 0.001)
    gateway = BulkFake(accepted)
    gateway.overloads = 2
    async with FlowWatcher(gateway) as watcher:
        assert (await Submitter(gateway, watcher).call(KEY, "accept", Accept(FLOW))).height == 1
        assert len({transaction.tx_id for transaction in gateway.submitted}) == 1


async def test_it_is_refused_when_its_last_block_went_by(monkeypatch):
    monkeypatch.setattr(submitting, "CHECK_S", 0.01)
    gateway = BulkFake(accepted)

    async def swallow(transaction):
        return transaction.tx_id

    gateway.submit = swallow  # type: ignore[method-assign]
    async with FlowWatcher(gateway) as watcher:
        task = asyncio.create_task(Submitter(gateway, watcher).call(KEY, "accept", Accept(FLOW)))
        await asyncio.sleep(0)
        watcher.height += 501
        with pytest.raises(CallRefused) as error:
            await task
        assert error.value.code == "expired"
