"""Calls that wait until their fate is certain: refused, committed, overloaded, lost, or expired."""

from __future__ import annotations

import pytest

from contracts.accounts import Accounts
from ledger.encoding import Record
from ledger.errors import InvalidInput, Overloaded, RpcUnavailable
from ledger.keys import SigningKey
from ledger.transaction import Transaction
from node.calling import Caller, CallRefused, CallUnresolved, result_of
from node.gateway import ChainInfo, Outcome

KEY = SigningKey(b"k" * 32)


class Nothing(Record, frozen=True):
    """No arguments."""


class Number(Record, frozen=True):
    """A result."""

    value: int


class Scripted:
    """A gateway that answers ``submit_and_wait`` as the test says, in order; the last answer stays."""

    def __init__(self, *answers: object, heights: tuple[int, ...] = (10,), later: str = "unknown") -> None:
        self.answers = list(answers)
        self.heights = list(heights)
        self.later = later
        self.sent: list[Transaction] = []
        self.looked = 0

    async def info(self) -> ChainInfo:
        self.looked += 1
        height = self.heights.pop(0) if len(self.heights) > 1 else self.heights[0]
        return ChainInfo("test", bytes(32), height, bytes(32), 0, 100)

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        self.sent.append(transaction)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(transaction)

    async def outcome(self, tx_id: bytes) -> Outcome:
        return Outcome(tx_id, self.later, "", 0, 0, (), ())


def says(status: str, code: str = "", *results: bytes):
    return lambda transaction: Outcome(transaction.tx_id, status, code, 11, 0, (), results)


async def call(gateway: Scripted, **options: float) -> Outcome:
    return await Caller(gateway, KEY, **options).call("accounts", "anything", Nothing())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.calling.RETRY_S", 0.001)
    monkeypatch.setattr("node.calling.MAX_RETRY_S", 0.002)


async def test_outcome_is_returned_when_the_call_is_committed():
    gateway = Scripted(says("committed", "ok", b"\x91\x07"))
    outcome = await call(gateway)
    assert result_of(outcome, Number) == Number(7)
    (sent,) = gateway.sent
    assert (sent.body.sender, sent.body.expiry_height) == (KEY.public, 10 + 100)
    assert [item.contract for item in sent.body.calls] == ["accounts"]
    assert Accounts.kind == "accounts"


async def test_code_is_the_chains_when_the_receipt_refuses():
    with pytest.raises(CallRefused) as refused:
        await call(Scripted(says("refused", "flow_suspended")))
    assert refused.value.code == "flow_suspended"
    assert refused.value.data["outcome"].status == "refused"


async def test_code_is_the_mempools_when_it_does_not_admit_the_call():
    with pytest.raises(CallRefused) as refused:
        await call(Scripted(InvalidInput("no", code="not_permitted")))
    assert refused.value.code == "not_permitted"


async def test_code_is_said_when_the_waiting_call_was_dropped():
    with pytest.raises(CallRefused) as refused:
        await call(Scripted(says("unknown", "input_missing")))
    assert refused.value.code == "input_missing"


@pytest.mark.parametrize("trouble", [Overloaded("full"), RpcUnavailable("away")])
async def test_very_same_transaction_is_handed_in_again_when_the_node_is(trouble: Exception):
    gateway = Scripted(trouble, trouble, says("committed", "ok"))
    assert (await call(gateway)).status == "committed"
    assert len({transaction.tx_id for transaction in gateway.sent}) == 1
    assert len(gateway.sent) == 3


async def test_call_is_unresolved_when_the_node_stays_away():
    gateway = Scripted(RpcUnavailable("away"))
    with pytest.raises(CallUnresolved) as unresolved:
        await call(gateway, give_up_s=0.0)
    assert unresolved.value.data["tx_id"] == gateway.sent[0].tx_id


async def test_call_is_handed_in_again_while_it_waits_for_a_block():
    gateway = Scripted(says("pending"), says("unknown"), says("committed", "ok"))
    assert (await call(gateway)).status == "committed"
    assert len(gateway.sent) == 3


async def test_call_is_refused_as_expired_when_its_last_block_went_by():
    gateway = Scripted(says("pending"), heights=(10, 111))
    with pytest.raises(CallRefused) as refused:
        await call(gateway)
    assert refused.value.code == "expired"


async def test_call_counts_when_it_was_in_its_very_last_block():
    gateway = Scripted(says("pending"), heights=(10, 111), later="committed")
    assert (await call(gateway)).status == "committed"


async def test_height_is_asked_once_for_calls_that_follow_each_other():
    gateway = Scripted(says("committed", "ok"))
    caller = Caller(gateway, KEY)
    for _ in range(5):
        await caller.call("accounts", "anything", Nothing())
    assert gateway.looked == 1
    assert {transaction.body.expiry_height for transaction in gateway.sent} == {110, 111}


async def test_cosigners_sign_too():
    other = SigningKey(b"o" * 32)
    gateway = Scripted(says("committed", "ok"))
    await Caller(gateway, KEY).call("accounts", "anything", Nothing(), cosigners=[other])
    assert {key for key, _ in gateway.sent[0].witness.signatures} == {KEY.public, other.public}
