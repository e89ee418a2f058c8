"""Money that many settlements take from at once: no output twice, nothing lost, exactly what is needed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.flow.calls import Item, PaymentRequested
from ledger.keys import SigningKey
from ledger.transaction import Output, outpoint
from node.flow.errors import PurseEmpty
from node.flow.funds import Funds
from node.flow.purse import Bank, Purse, Purses, lock_of
from node.flow.submitting import Submitter
from node.flow.watcher import FlowWatcher
from tests.node.flow.fakes import FakeGateway

PATIENT, PAYER, BANK, PHARMACY = (SigningKey(bytes([number]) * 32) for number in range(1, 5))


def given_money(gateway, key, *amounts):
    for place, amount in enumerate(amounts):
        gateway.unspent_outputs[outpoint(bytes(key.public)[1:], place)] = Output("USD", amount, lock_of(key.public))


def payment(patient_share, reimbursed):
    return PaymentRequested(
        b"f" * 32, b"a" * 32, PHARMACY.public, PATIENT.public, PAYER.public if reimbursed else b"", "USD",
        (Item("1", "medicare", patient_share + reimbursed),), patient_share + reimbursed, reimbursed, patient_share,
        "", bytes(32),
    )  # fmt: skip


async def test_no_output_is_lent_twice():
    gateway = FakeGateway()
    given_money(gateway, PAYER, *([100] * 20))
    purse = Purse(gateway, PAYER.public, "USD")
    loans = await asyncio.gather(*(purse.take(60) for _ in range(20)))
    names = [name for loan in loans for name in loan.inputs]
    assert len(names) == len(set(names)) == 20
    assert all((loan.total, loan.change) == (100, 40) for loan in loans)


async def test_a_payment_waits_for_the_change_of_another_when_there_is_not_enough():
    gateway = FakeGateway()
    given_money(gateway, PAYER, 100)
    purse = Purse(gateway, PAYER.public, "USD")
    first = await purse.take(30)
    second = asyncio.create_task(purse.take(70))
    await asyncio.sleep(0)
    assert not second.done()
    await purse.spent(first, outpoint(b"t" * 32, 1))
    assert (await second).inputs == (outpoint(b"t" * 32, 1),)


async def test_a_purse_is_empty_when_all_that_the_key_has_is_less():
    gateway = FakeGateway()
    given_money(gateway, PAYER, 60, 30)
    purse = Purse(gateway, PAYER.public, "USD")
    with pytest.raises(PurseEmpty):
        await purse.take(91)
    assert len((await purse.take(90)).inputs) == 2


async def test_what_was_given_back_can_be_lent_again():
    gateway = FakeGateway()
    given_money(gateway, PAYER, 100)
    purse = Purse(gateway, PAYER.public, "USD")
    loan = await purse.take(100)
    await purse.give_back(loan)
    assert (await purse.take(100)).inputs == loan.inputs


async def test_a_rebuilt_purse_forgets_what_others_spent_and_keeps_what_is_lent():
    gateway = FakeGateway()
    given_money(gateway, PAYER, 100, 50)
    purse = Purse(gateway, PAYER.public, "USD")
    loan = await purse.take(100)
    gone = next(name for name, output in gateway.unspent_outputs.items() if output.amount == 50)
    del gateway.unspent_outputs[gone]
    await purse.rebuild()
    assert await purse.holds() == 0
    await purse.give_back(loan)
    assert await purse.holds() == 100


async def test_the_bank_pays_several_patients_in_one_transfer_and_exactly():
    gateway = FakeGateway()
    given_money(gateway, BANK, 1_000)
    async with FlowWatcher(gateway) as watcher:
        purses = Purses(gateway)
        bank = Bank(Submitter(gateway, watcher), purses, BANK)
        keys = [SigningKey(bytes([100 + number]) * 32) for number in range(10)]
        names = await asyncio.gather(*(bank.fund(key.public, "USD", 7 + place) for place, key in enumerate(keys)))
        assert len(gateway.submitted) == 1
        for place, (key, name) in enumerate(zip(keys, names, strict=True)):
            assert gateway.unspent_outputs[name] == Output("USD", 7 + place, lock_of(key.public))
        assert await purses.of(BANK.public, "USD").holds() == 1_000 - sum(range(7, 17))


async def test_the_bank_looks_again_when_an_output_is_gone():
    gateway = FakeGateway()
    given_money(gateway, BANK, 500, 400)
    async with FlowWatcher(gateway) as watcher:
        purses = Purses(gateway)
        await purses.of(BANK.public, "USD").holds()
        first = next(name for name, output in gateway.unspent_outputs.items() if output.amount == 500)
        del gateway.unspent_outputs[first]
        await Bank(Submitter(gateway, watcher), purses, BANK).fund(PATIENT.public, "USD", 10)
        assert await purses.of(BANK.public, "USD").holds() == 390


async def test_whoever_waits_for_money_hears_when_there_is_none():
    gateway = FakeGateway()
    async with FlowWatcher(gateway) as watcher:
        bank = Bank(Submitter(gateway, watcher), Purses(gateway), BANK)
        with pytest.raises(PurseEmpty):
            await bank.fund(PATIENT.public, "USD", 10)


async def test_two_settlements_of_one_patient_do_not_count_on_the_same_money():
    gateway = FakeGateway()
    given_money(gateway, BANK, 10_000)
    async with FlowWatcher(gateway) as watcher:
        purses = Purses(gateway)
        bank = Bank(Submitter(gateway, watcher), purses, BANK)
        both = [Funds(purses, payment(30, 0), PATIENT, None), Funds(purses, payment(50, 0), PATIENT, None)]
        await asyncio.gather(*(funds.take(bank) for funds in both))
        assert not set(both[0].inputs) & set(both[1].inputs)
        assert await purses.of(BANK.public, "USD").holds() == 10_000 - 80


async def test_a_patient_with_money_gets_only_what_it_lacks():
    gateway = FakeGateway()
    given_money(gateway, BANK, 100)
    given_money(gateway, PATIENT, 20)
    async with FlowWatcher(gateway) as watcher:
        purses = Purses(gateway)
        funds = Funds(purses, payment(30, 0), PATIENT, None)
        await funds.take(Bank(Submitter(gateway, watcher), purses, BANK))
        assert await purses.of(BANK.public, "USD").holds() == 90
        assert len(funds.inputs) == 2
        assert funds.outputs == (Output("USD", 30, lock_of(PHARMACY.public)),)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)).filter(lambda s: sum(s)), min_size=1, max_size=6),
    st.lists(st.integers(50, 300), min_size=4, max_size=8),
)
def test_every_settlement_balances_whatever_the_shares(shares, purse):
    async def run():
        gateway = FakeGateway()
        given_money(gateway, PAYER, *purse)
        given_money(gateway, BANK, 10_000)
        async with FlowWatcher(gateway) as watcher:
            purses = Purses(gateway)
            bank = Bank(Submitter(gateway, watcher), purses, BANK)
            submitter = Submitter(gateway, watcher)
            before = sum(purse)
            for patient_share, reimbursed in shares:
                if reimbursed > before:
                    continue
                funds = Funds(purses, payment(patient_share, reimbursed), PATIENT, PAYER)
                await funds.take(bank)
                spent = sum(gateway.unspent_outputs[name].amount for name in funds.inputs)
                assert spent == sum(output.amount for output in funds.outputs)
                assert funds.outputs[0].amount == patient_share + reimbursed
                assert (funds.cosigners == [PAYER]) == bool(reimbursed)
                sent = await submitter.send(
                    PATIENT, (), inputs=funds.inputs, outputs=funds.outputs, cosigners=funds.cosigners
                )
                await funds.spent(sent)
                before -= reimbursed
            assert await purses.of(PAYER.public, "USD").holds() == before
            held = [
                output.amount for output in gateway.unspent_outputs.values() if output.lock == lock_of(PAYER.public)
            ]
            assert sum(held) == before

    asyncio.run(run())
