"""A corrupt supervision quorum can let out any packet: what it cannot do is sign for authorities and officers."""

import pytest

from contracts import decisions, messages
from contracts.codes import METHOD_UNKNOWN, Refusal
from contracts.flow.evidence import require_decision
from contracts.flow.packets import take
from contracts.keyring import Nothing
from contracts.messages import Control, Limit
from ledger.encoding import encode
from ledger.packet import Packet, PacketOrigin
from tests.contracts.bridge.kit import call
from tests.contracts.flow.regulator import Forge
from tests.contracts.flow.world import AUTHORITY, CNY, OFFICERS, SECOND_AUTHORITY, SUPERVISION, World

UNSIGNED = "flow_decision_unsigned"


def filed():
    world = World()
    world.file()
    world.carry()
    return world


def test_a_decision_is_refused_when_no_authority_signed_it():
    world = filed()
    decision = world.decision("file")
    world.say(messages.DECISION, decision, UNSIGNED)
    world.say(messages.DECISION, decision, UNSIGNED, itself=True)
    world.decide("file", UNSIGNED, by=(OFFICERS[0],))
    assert world.show().status == "filing"


def test_a_decision_is_refused_when_the_transaction_that_emits_it_is_not_the_authoritys():
    """Its id would become the authorisation hash, which is to be the authorising transaction's."""
    world = filed()
    world.mute()
    decision = world.decision("file")
    good = bytes(world.regulate("decide", decisions.Decide(decision, b"", (), b""), AUTHORITY).tx_id)
    world.say(messages.DECISION, decision, UNSIGNED, evidence=[good])
    world.say(messages.DECISION, decision, UNSIGNED, evidence=[good], itself=True)
    assert world.show().status == "filing"


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "refused", "reason": "no"},
        {"flow": b"f" * 32},
        {"attempt": 2},
        {"commitment": b"c" * 32},
        {"stage": "opinion"},
        {"reason": "other"},
    ],
)
def test_a_decision_is_refused_when_the_authority_signed_another_one(changes):
    world = filed()
    world.mute()
    decision = world.decision("file")
    signed_calls = call(SUPERVISION, "decide", decisions.Decide(world.decision("file", **changes), b"", (), b""))
    forged = call(SUPERVISION, "forge", Forge(messages.DECISION, encode(decision), (), itself=True))
    world.supervision.run(world.supervision.tx(AUTHORITY, signed_calls, forged))
    assert world.answered() == UNSIGNED
    # The very same way with the very same decision is taken: nothing else was wrong.
    signed_calls = call(SUPERVISION, "decide", decisions.Decide(decision, b"", (), b""))
    world.supervision.run(world.supervision.tx(AUTHORITY, signed_calls, forged))
    assert world.answered() == "ok"


@pytest.mark.parametrize("decided", [call("keyring", "announce", Nothing()), None])
def test_a_decision_is_refused_when_the_authority_signed_something_else(decided):
    world = filed()
    forged = call(SUPERVISION, "forge", Forge(messages.DECISION, encode(world.decision("file")), (), itself=True))
    world.supervision.run(world.supervision.tx(AUTHORITY, *([decided] if decided else []), forged))
    assert world.answered() == UNSIGNED


def test_one_of_several_authorities_is_enough():
    world = filed()
    world.decide("file", by=(SECOND_AUTHORITY,))
    assert world.show().status == "open"


def test_officers_decide_when_there_are_as_many_as_the_policy_says():
    world = filed()
    world.decide("file", UNSIGNED, by=(OFFICERS[0],))
    world.decide("file", by=OFFICERS[1:])
    assert world.show().status == "open"


def test_an_authoritys_decision_for_an_earlier_attempt_does_not_count():
    world = filed()
    world.refuse("file", "quota_exhausted")
    early = world.decision("file")
    world.file()
    world.carry()
    assert world.stage("file").attempt == 2
    world.say(messages.DECISION, early, "flow_attempt_wrong")
    world.decide("file", "flow_attempt_wrong", attempt=1)
    world.decide("file")


def test_a_decision_is_refused_when_it_is_about_another_document():
    world = filed()
    world.decide("file", "flow_commitment_wrong", commitment=b"c" * 32)


def test_a_decision_has_one_of_two_outcomes():
    world = filed()
    world.decide("file", "flow_packet_invalid", outcome="perhaps")


def test_one_transaction_authorises_one_document():
    world = filed()
    first, decision = world.flow, decisions.Decide(world.decision("file"), b"", (), b"")
    world.file(text="second")
    world.carry()
    second = decisions.Decide(world.decision("file"), b"", (), b"")
    both = [call(SUPERVISION, "decide", decision), call(SUPERVISION, "decide", second)]
    world.supervision.run(world.supervision.tx(AUTHORITY, *both))
    assert world.answered() == "flow_authorisation_taken"
    assert (world.show(first).status, world.show().status) == ("open", "filing")


def test_a_signed_refusal_is_final_and_an_unsigned_one_is_not():
    world = filed()
    world.decide("file", outcome="refused", reason="commitment_mismatch")
    assert (world.show().status, world.stage("file").reason) == ("refused", "commitment_mismatch")
    world.file("flow_filed_already")
    world.request_review("flow_unknown", authorisation=world.stage("file").hash)


def test_packets_count_only_from_contract_supervision():
    world = filed()
    # The keyring of the supervision chain has no way to send such a packet; a contract at another address would.

    def packet(**changes):
        fields = {
            "source": bytes(world.supervision.chain_id),
            "destination": bytes(world.business.chain_id),
            "sequence": 99,
            "sender": SUPERVISION,
            "receiver": "flow",
            "kind": messages.DECISION,
            "payload": encode(world.decision("file")),
            "attachments": (),
            "deadline_ms": 0,
            "evidence": (),
        }
        return Packet(**(fields | changes))

    origin = PacketOrigin(1, world.supervision.time_ms, b"t" * 32, 0, {}, {})
    context = world.business.context("flow")
    for changes, code in (
        ({"sender": "registry"}, "flow_packet_foreign"),
        ({"source": b"x" * 32}, "flow_packet_foreign"),
        ({"kind": "greeting"}, METHOD_UNKNOWN),
        ({"payload": b"\x90"}, "flow_packet_invalid"),
        ({}, UNSIGNED),
    ):
        with pytest.raises(Refusal) as caught:
            take(context, packet(**changes), origin)
        assert caught.value.code == code


def test_evidence_of_another_chain_does_not_count():
    world = filed()
    decision = world.decision("file")

    made = world.supervision.tx(AUTHORITY, call(SUPERVISION, "decide", decisions.Decide(decision, b"", (), b"")))
    tx_id = bytes(made.tx_id)
    origin = PacketOrigin(1, 1, tx_id, 0, {}, {tx_id: made})
    source = bytes(world.supervision.chain_id)
    context = world.business.context("flow")
    packet = Packet(source, b"d" * 32, 1, SUPERVISION, "flow", "decision", b"", (), 0, (tx_id,))
    require_decision(context, packet, origin, decision)
    foreign = Packet(b"x" * 32, b"d" * 32, 1, SUPERVISION, "flow", "decision", b"", (), 0, (tx_id,))
    with pytest.raises(Refusal) as caught:
        require_decision(context, foreign, origin, decision)
    assert caught.value.code == UNSIGNED


@pytest.mark.parametrize("signers", [(OFFICERS[0],), (AUTHORITY,), (AUTHORITY, SECOND_AUTHORITY)])
def test_a_control_is_refused_when_too_few_officers_signed(signers):
    world = World().authorised()
    world.control("suspend", 1, "flow_control_unsigned", by=signers)
    assert not world.show().suspended
    world.control("suspend", 1)
    assert world.show().suspended


def test_a_control_is_refused_when_officers_signed_another_one():
    world = World().authorised()
    said = Control(world.flow, 1, "suspend", "under_inspection")
    made = world.regulate("control", decisions.ControlFlow(said), *OFFICERS[:2])
    assert world.answered() == "ok"
    resumed = Control(world.flow, 2, "resume", "under_inspection")
    world.say(messages.CONTROL, resumed, "flow_control_unsigned", evidence=[bytes(made.tx_id)])
    assert world.show().suspended


def test_two_officers_may_sign_in_two_transactions():
    world = World().authorised()
    said = Control(world.flow, 1, "suspend", "under_inspection")
    alone = []
    for officer in OFFICERS[:2]:
        made = world.supervision.tx(officer, call(SUPERVISION, "control", decisions.ControlFlow(said)))
        world.supervision.run(made)
        world.answered()
        alone.append(bytes(made.tx_id))
    assert not world.show().suspended
    world.say(messages.CONTROL, said, evidence=alone)
    assert world.show().suspended


def test_a_limit_is_refused_when_too_few_officers_signed():
    world = World()
    world.limit(100, code="flow_limit_unsigned", by=(OFFICERS[0],))
    world.limit(100)


def test_a_limit_is_refused_when_officers_signed_another_one():
    world = World()
    made = world.regulate("set_limit", decisions.SetLimit(Limit("commission", CNY, 1, 100)), *OFFICERS[:2])
    assert world.answered() == "ok"
    other = Limit("commission", CNY, 2, 2**60)
    world.say(messages.LIMIT, other, "flow_limit_unsigned", evidence=[bytes(made.tx_id)])


@pytest.mark.parametrize(("contract", "method"), [("registry", "decide"), (SUPERVISION, "control")])
def test_the_same_words_said_to_another_contract_or_method_do_not_count(contract, method):
    world = filed()
    decision = world.decision("file")
    made = world.supervision.tx(AUTHORITY, call(contract, method, decisions.Decide(decision, b"", (), b"")))
    tx_id = bytes(made.tx_id)
    origin = PacketOrigin(1, 1, tx_id, 0, {}, {tx_id: made})
    packet = Packet(
        bytes(world.supervision.chain_id), b"d" * 32, 1, SUPERVISION, "flow", "decision", b"", (), 0, (tx_id,)
    )
    with pytest.raises(Refusal) as caught:
        require_decision(world.business.context("flow"), packet, origin, decision)
    assert caught.value.code == UNSIGNED
