"""Authorities' keys on their way to the business chain: with what they signed themselves, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import keyring
from contracts.bridge import outbox
from contracts.bridge.codes import EVIDENCE_TOO_LARGE, OUTBOX_FULL
from contracts.codes import METHOD_UNKNOWN, NOT_PERMITTED
from contracts.decisions import Publish
from contracts.governance.calls import SetPolicy
from contracts.interface import CallContext, Contract, method
from contracts.keyring import EVIDENCE_MISSING, NOT_AUTHORITY, Announced, Nothing, OwnerQuery, Sent
from contracts.messages import KEY_NOTICE, KeyNotice
from ledger.block import receipt_codec
from ledger.encoding import Codec, Record
from ledger.envelope_key import HPKE_X25519, EncryptionKey
from ledger.errors import NotFound
from ledger.keys import SigningKey
from ledger.packet import ANSWER_EVENT, answer_codec
from tests.contracts.bridge.kit import (
    BUSINESS,
    MEMBER,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    carry,
    deliver,
    introduce,
    key_of,
    lock_of,
    relay,
    settle,
)
from tests.contracts.bridge.probe import Data, Probe, Send

ONE, TWO, OUTSIDER = (key_of(name) for name in ("authority one", "authority two", "not an authority"))
PEOPLE = {
    ONE: ("regulator", ("authority",)),
    TWO: ("regulator", ("authority",)),
    OUTSIDER: ("somebody", ("member",)),
}
AUTHORITIES = lock_of(ONE, TWO)


class Forge(Record, frozen=True):
    """A packet as a corrupt quorum would have it."""

    notice: KeyNotice
    evidence: tuple[bytes, ...]
    itself: bool
    kind: str = KEY_NOTICE
    payload: bytes = b""
    role: str = BUSINESS


class Raw(Record, frozen=True):
    data: bytes


class Forger(Contract):
    """Stands where the keyring of the supervision chain should, and sends what its master wants."""

    kind = "forger"

    @method
    def publish(self, context: CallContext, arguments: Publish) -> None:
        """Takes every notice, whoever signed it, and does nothing."""

    @method
    def forge(self, context: CallContext, arguments: Forge) -> None:
        """Sends it."""
        evidence = (*arguments.evidence, *([bytes(context.transaction.tx_id)] if arguments.itself else []))
        payload = Raw(arguments.payload) if arguments.payload else arguments.notice
        outbox.send(
            context, role=arguments.role, receiver="keyring", kind=arguments.kind, payload=payload, evidence=evidence
        )


def business_chain(policy: str | None = AUTHORITIES) -> Chain:
    policies = {} if policy is None else {"supervision.authorities": policy}
    return Chain("business", people=PEOPLE, kinds=("keyring",), policies=policies)


def honest_chain() -> Chain:
    return Chain(
        "supervision",
        people=PEOPLE,
        kinds=("keyring",),
        instances=[Probe(PROBE)],
        policies={"authorities": AUTHORITIES},
    )


def introduced(business: Chain, supervision: Chain) -> tuple[Chain, Chain]:
    introduce(business, supervision, SUPERVISION)
    introduce(supervision, business, BUSINESS)
    return business, supervision


@pytest.fixture
def chains() -> tuple[Chain, Chain]:
    return introduced(business_chain(), honest_chain())


@pytest.fixture
def corrupt() -> tuple[Chain, Chain]:
    """(business, supervision), the latter with a quorum that runs what it likes at the keyring's address."""
    return introduced(business_chain(), Chain("supervision", people=PEOPLE, instances=[Forger("keyring")]))


def public(number: int) -> bytes:
    return bytes([number]) + b"\x07" * 31


def notice(owner: SigningKey, epoch: int, **changes: object) -> KeyNotice:
    fields = {"owner": owner.public, "suite": HPKE_X25519, "epoch": epoch, "public": public(epoch), "retired": False}
    return KeyNotice(**(fields | changes))


def publish(chain: Chain, owner: SigningKey, epoch: int, by: SigningKey | None = None, **changes: object) -> bytes:
    """A transaction that publishes, in a block; its id."""
    transaction = chain.tx(by or owner, call("keyring", "publish", Publish(notice(owner, epoch, **changes))))
    chain.run(transaction)
    return bytes(transaction.tx_id)


def announce(chain: Chain) -> int:
    receipt = chain.run(chain.tx(MEMBER, call("keyring", "announce", Nothing())))
    return Codec(Sent, 100).decode(receipt.results[0]).sent


def announced(chain: Chain, owner: SigningKey) -> Announced:
    found = chain.view("keyring", "announced", OwnerQuery(owner.public))
    assert isinstance(found, Announced)
    return found


def forge(chain: Chain, made: KeyNotice, evidence: Sequence[bytes] = (), **changes: object) -> None:
    chain.run(chain.tx(MEMBER, call("keyring", "forge", Forge(made, tuple(evidence), False, **changes))))


def keys(chain: Chain) -> dict[bytes, int]:
    """Epoch of each authority's key that the chain would seal to."""
    return {bytes(owner): key.epoch for owner, key in keyring.authority_keys(chain.context("bridge"))}


def answers(source: Chain, destination: Chain) -> list[str]:
    """Delivers everything; the codes of the answers of ``destination``."""
    before = destination.height
    carry(source, destination)
    return [
        answer_codec.decode(event.data).code
        for receipts in destination.receipts[before + 1 :]
        for receipt in receipts
        for event in receipt_codec.decode(receipt).events
        if event.name == ANSWER_EVENT
    ]


# --- the way it should be ---------------------------------------------------------------------------------------------


def test_business_chain_seals_to_an_authority_when_it_has_published_its_key(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    tx_id = publish(supervision, ONE, 1)
    assert keys(business) == {}
    settle(business, supervision)
    assert keyring.authority_keys(business.context("bridge")) == (
        (ONE.public, EncryptionKey(HPKE_X25519, 1, public(1))),
    )
    assert keys(supervision) == keys(business)
    assert keyring.current_key(business.context("bridge"), ONE.public) == EncryptionKey(HPKE_X25519, 1, public(1))
    assert business.view("keyring", "key", OwnerQuery(ONE.public)).tx_id == tx_id
    assert announced(supervision, ONE).code == "ok"


def test_both_chains_have_the_newest_epoch_when_authorities_rotate(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    for epoch in (1, 2, 3):
        publish(supervision, ONE, epoch)
    publish(supervision, TWO, 1)
    settle(business, supervision)
    assert keys(business) == {ONE.public: 3, TWO.public: 1} == keys(supervision)
    assert keyring.key_at(business.context("bridge"), ONE.public, 2) == EncryptionKey(HPKE_X25519, 2, public(2))
    publish(supervision, ONE, 4, retired=True)
    settle(business, supervision)
    assert keys(business) == {TWO.public: 1}
    assert keyring.current_key(business.context("bridge"), ONE.public) is None


def test_key_of_a_member_stays_on_its_chain_when_it_is_no_authority(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    publish(supervision, OUTSIDER, 1)
    assert carry(supervision, business) == 0
    with pytest.raises(NotFound):
        supervision.view("keyring", "announced", OwnerQuery(OUTSIDER.public))


def test_announcing_brings_keys_that_were_published_before_the_chains_knew_each_other() -> None:
    business, supervision = business_chain(), honest_chain()
    publish(supervision, ONE, 1)
    publish(supervision, ONE, 2)
    publish(supervision, TWO, 1)
    introduced(business, supervision)
    settle(business, supervision)
    assert keys(business) == {}
    assert announce(supervision) == 2
    settle(business, supervision)
    assert keys(business) == {ONE.public: 2, TWO.public: 1}


def test_announcing_again_sends_nothing_when_the_other_chain_has_it_or_will(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    publish(supervision, ONE, 1)
    assert announce(supervision) == 0
    settle(business, supervision)
    assert announce(supervision) == 0
    assert carry(supervision, business) == 0


def test_announcing_repeats_a_key_when_the_business_chain_did_not_know_its_owner_then() -> None:
    business, supervision = introduced(business_chain(policy=None), honest_chain())
    publish(supervision, ONE, 1)
    settle(business, supervision)
    assert announced(supervision, ONE).code == NOT_AUTHORITY
    business.govern("governance", "set_policy", SetPolicy("supervision.authorities", AUTHORITIES))
    assert keys(business) == {}
    assert announce(supervision) == 1
    settle(business, supervision)
    assert keys(business) == {ONE.public: 1}


def test_authority_publishes_when_nothing_can_be_sent_and_is_announced_later(
    chains: tuple[Chain, Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    business, supervision = chains
    with monkeypatch.context() as full:
        full.setattr(outbox, "MAX_OUTBOX", 0)
        publish(supervision, ONE, 1)
        supervision.run(supervision.tx(MEMBER, call("keyring", "announce", Nothing())), OUTBOX_FULL)
    assert keys(supervision) == {ONE.public: 1}
    assert announce(supervision) == 1
    settle(business, supervision)
    assert keys(business) == {ONE.public: 1}


def test_authoritys_key_is_refused_when_no_delivery_could_carry_its_transaction(chains: tuple[Chain, Chain]) -> None:
    _, supervision = chains
    padding = call(PROBE, "shout", Data(bytes(9_000)))
    calls = [call("keyring", "publish", Publish(notice(ONE, 1))), padding]
    supervision.run(supervision.tx(ONE, *calls), EVIDENCE_TOO_LARGE)
    assert keys(supervision) == {}


def test_former_authority_gets_nothing_when_the_policy_no_longer_names_it(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    publish(supervision, ONE, 1)
    publish(supervision, TWO, 1)
    settle(business, supervision)
    business.govern("governance", "set_policy", SetPolicy("supervision.authorities", lock_of(TWO)))
    assert keys(business) == {TWO.public: 1}


def test_stale_notice_changes_nothing_when_packets_come_in_the_wrong_order(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    publish(supervision, ONE, 1)
    first = supervision.height
    publish(supervision, ONE, 2)
    deliver(business, relay(supervision, business))
    assert keys(business) == {ONE.public: 2}
    deliver(business, relay(supervision, business, first))
    assert keys(business) == {ONE.public: 2}
    settle(business, supervision)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.sampled_from([ONE, TWO]), st.booleans()),
            st.tuples(st.sampled_from(["announce", "there", "back"]), st.just(ONE), st.just(False)),
        ),
        max_size=12,
    )
)
def test_both_chains_seal_to_the_same_keys_when_everything_has_been_carried(
    steps: list[tuple[str, SigningKey, bool]],
) -> None:
    business, supervision = introduced(business_chain(), honest_chain())
    epochs = {ONE: 0, TWO: 0}
    for what, owner, retired in steps:
        if what == "publish":
            epochs[owner] += 1
            publish(supervision, owner, epochs[owner], retired=retired)
        elif what == "announce":
            announce(supervision)
        elif what == "there":
            carry(supervision, business)
        else:
            carry(business, supervision)
    settle(business, supervision)
    assert keys(business) == keys(supervision)
    assert announce(supervision) == 0


# --- attacks ----------------------------------------------------------------------------------------------------------


def test_key_is_refused_when_its_owner_is_no_authority(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    tx_id = publish(supervision, OUTSIDER, 1)
    forge(supervision, notice(OUTSIDER, 1), [tx_id])
    assert answers(supervision, business) == [NOT_AUTHORITY]
    assert keyring.current_key(business.context("bridge"), OUTSIDER.public) is None


def test_key_is_refused_when_no_evidence_comes_with_it(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    forge(supervision, notice(ONE, 1))
    assert answers(supervision, business) == [EVIDENCE_MISSING]
    assert keys(business) == {}


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 2}, {"public": public(9)}, {"retired": True}, {"suite": 2}, {"owner": TWO}],
    ids=str,
)
def test_key_is_refused_when_the_evidence_is_of_another_notice(
    corrupt: tuple[Chain, Chain], changes: dict[str, object]
) -> None:
    business, supervision = corrupt
    tx_id = publish(supervision, ONE, 1)
    forged = notice(changes.pop("owner", ONE), changes.pop("epoch", 1), **changes)
    forge(supervision, forged, [tx_id])
    assert answers(supervision, business) == [EVIDENCE_MISSING]
    assert keys(business) == {}


def test_key_is_refused_when_somebody_else_signed_the_evidence(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    tx_id = publish(supervision, ONE, 1, by=OUTSIDER)
    forge(supervision, notice(ONE, 1), [tx_id])
    assert answers(supervision, business) == [EVIDENCE_MISSING]
    transaction = supervision.tx(MEMBER, call("keyring", "forge", Forge(notice(ONE, 1), (), True)))
    supervision.run(transaction)
    assert answers(supervision, business) == [EVIDENCE_MISSING]
    assert keys(business) == {}


def test_key_is_refused_when_the_evidence_calls_another_contract_or_method(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    arguments = Publish(notice(ONE, 1))
    calls = [call("accounts", "publish", arguments), call("keyring", "unpublish", arguments)]
    evidence = [supervision.tx(ONE, each) for each in calls]
    supervision.block(*evidence)
    forge(supervision, notice(ONE, 1), [bytes(transaction.tx_id) for transaction in evidence])
    assert answers(supervision, business) == [EVIDENCE_MISSING]
    assert keys(business) == {}


def test_old_epoch_changes_nothing_when_it_is_sent_again_with_its_own_evidence(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    old, new = publish(supervision, ONE, 1), publish(supervision, ONE, 2)
    forge(supervision, notice(ONE, 1), [old])
    forge(supervision, notice(ONE, 2), [new])
    settle(business, supervision)
    assert keys(business) == {ONE.public: 2}
    forge(supervision, notice(ONE, 1), [old])
    assert answers(supervision, business) == ["ok"]
    assert keys(business) == {ONE.public: 2}
    # A second key of the same epoch, though signed, cannot take the place of the first.
    other = publish(supervision, ONE, 2, public=public(9))
    forge(supervision, notice(ONE, 2, public=public(9)), [other])
    settle(business, supervision)
    assert keyring.current_key(business.context("bridge"), ONE.public) == EncryptionKey(HPKE_X25519, 2, public(2))


def test_key_is_refused_when_nothing_should_be_sealed_to_it(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    tx_id = publish(supervision, ONE, 1, public=bytes(32))
    forge(supervision, notice(ONE, 1, public=bytes(32)), [tx_id])
    assert answers(supervision, business) == [keyring.KEY_INVALID]
    assert keys(business) == {}


def test_packet_is_refused_when_it_is_no_key_notice(corrupt: tuple[Chain, Chain]) -> None:
    business, supervision = corrupt
    forge(supervision, notice(ONE, 1), kind="decision")
    forge(supervision, notice(ONE, 1), payload=b"nonsense")
    assert answers(supervision, business) == [METHOD_UNKNOWN, keyring.PACKET_INVALID]


def test_key_is_refused_when_another_contract_of_the_supervision_chain_sends_it(chains: tuple[Chain, Chain]) -> None:
    business, supervision = chains
    arguments = Send(BUSINESS, KEY_NOTICE, b"x", receiver="keyring")
    supervision.run(supervision.tx(MEMBER, call(PROBE, "send", arguments)))
    assert answers(supervision, business) == [NOT_PERMITTED]


def test_supervision_chain_takes_no_keys_when_the_business_chain_sends_them() -> None:
    business, supervision = introduced(
        Chain("business", people=PEOPLE, instances=[Forger("keyring")]),
        Chain("supervision", people=PEOPLE, kinds=("keyring",), policies={"supervision.authorities": AUTHORITIES}),
    )
    tx_id = publish(business, ONE, 1)
    forge(business, notice(ONE, 1), [tx_id], role=SUPERVISION)
    assert answers(business, supervision) == [NOT_PERMITTED]
    assert keys(supervision) == {}
