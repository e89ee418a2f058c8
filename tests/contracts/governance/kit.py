"""A chain that is governed: two of alice, bob and carol, and a contract that does what a proposal says."""

from __future__ import annotations

from contracts.admission.calls import Delegation
from contracts.codes import Refusal
from contracts.governance.calls import Approval, ProposalId, ProposalPage, ProposalsQuery, Propose, SetPolicy
from contracts.interface import CallContext, Contract
from ledger.block import Receipt
from ledger.encoding import Codec, Record, encode
from ledger.genesis import ContractDoc, PolicyDoc
from ledger.keys import SigningKey
from ledger.transaction import Transaction
from tests.contracts.bench import ALICE, BOB, CAROL, Bench, call, lock, make_genesis

KINDS = ("admission", "governance", "accounts", "assets", "keyring", "bridge")
GOVERNORS = f"threshold(2,{lock(ALICE)},{lock(BOB)},{lock(CAROL)})"

approval_codec = Codec(Approval, 64 * 1024)


class Word(Record, frozen=True):
    text: str


class Box(Contract):
    """Keeps the last word that governance gave it; refuses some."""

    kind = "box"

    def govern(self, context: CallContext, action: str, data: bytes) -> None:
        word = Codec(Word, 100, "word").decode(data)
        context.state.put(b"word", data)
        context.emit("heard", word)
        if word.text == "no":
            raise Refusal("box_refused", "not that word")
        if word.text == "again":
            # What a proposal does must not find itself still open.
            governance = context.directory.contract("governance")
            assert governance is not None
            inner = context.enter("governance")
            latest = governance.views["proposals"].run(governance, inner, ProposalsQuery(0, 100, False))
            assert isinstance(latest, ProposalPage)
            approve_ = governance.methods["approve"]
            approve_.run(governance, inner, ProposalId(latest.proposals[-1].proposal))


def word_of(bench: Bench) -> str | None:
    data = bench.state.get(b"cbox\x00word")
    return None if data is None else Codec(Word, 100).decode(data).text


def governed_bench(governors: str = GOVERNORS, **policies: str) -> Bench:
    docs = [PolicyDoc(name="governors", lock=governors)] if governors else []
    docs += [PolicyDoc(name=name, lock=text) for name, text in policies.items()]
    kinds = tuple(ContractDoc(address=kind, kind=kind) for kind in KINDS)
    return Bench(Box("box"), genesis=make_genesis(contracts=kinds, policies=tuple(docs)))


def propose(
    bench: Bench, contract: str, action: str, data: Record | bytes, *keys: SigningKey, words: str = ""
) -> Transaction:
    """A transaction that proposes, sent by the first key."""
    raw = data if isinstance(data, bytes) else encode(data)
    proposal = Propose(contract, action, raw, words)
    calls = [call("governance", "propose", proposal.contract, action, raw, words)]
    return bench.make(calls=calls, sender=keys[0], keys=keys)


def say(bench: Bench, text: str, *keys: SigningKey) -> Transaction:
    return propose(bench, "box", "say", Word(text), *keys)


def approve(bench: Bench, proposal: bytes, *keys: SigningKey) -> Transaction:
    return bench.make(calls=[call("governance", "approve", proposal)], sender=keys[0], keys=keys)


def withdraw(bench: Bench, proposal: bytes, *keys: SigningKey) -> Transaction:
    return bench.make(calls=[call("governance", "withdraw", proposal)], sender=keys[0], keys=keys)


def outcome(receipt: Receipt) -> Approval:
    assert receipt.code == "ok", receipt.code
    return approval_codec.decode(receipt.results[0])


def proposed(bench: Bench, transaction: Transaction) -> bytes:
    """Puts a proposal into a block; its id."""
    return outcome(bench.block(transaction)[0]).proposal


def decide(bench: Bench, contract: str, action: str, data: Record | bytes, *keys: SigningKey) -> Receipt:
    """Has the governors (alice and bob, or those given) decide something at once; the receipt."""
    return bench.block(propose(bench, contract, action, data, *(keys or (ALICE, BOB))))[0]


def set_policy(bench: Bench, name: str, text: str, *keys: SigningKey) -> str:
    return decide(bench, "governance", "set_policy", SetPolicy(name, text), *keys).code


def delegate(bench: Bench, organisation: str, count: int, not_after_ms: int, *roles: str) -> str:
    data = Delegation(organisation, roles or ("patient",), count, not_after_ms)
    return decide(bench, "admission", "delegate", data).code
