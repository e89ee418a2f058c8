"""Registering and replacing the other chain's client: governance alone, and only what can be."""

import pytest
from msgspec.structs import replace

from contracts.bridge.clients import chain_of, has_client, newest_time_ms
from contracts.bridge.records import REGISTER_CLIENT, REPLACE_CLIENT, ConflictingHeaders, NoQuery, RoleQuery
from contracts.codes import Refusal
from contracts.governance.calls import ProposalId, Propose
from ledger.encoding import encode
from ledger.errors import NotFound
from tests.contracts.bridge.forging import next_header, proof
from tests.contracts.bridge.kit import (
    BRIDGE,
    BUSINESS,
    FUSION,
    GOVERNORS,
    MEMBER,
    PROBE,
    SUPERVISION,
    Chain,
    call,
    deliver,
    introduce,
    key_of,
    pair,
    proof_of,
    registration,
    relay,
    settle,
)
from tests.contracts.bridge.probe import Probe, Query, Send
from tests.contracts.bridge.test_round_trip import send


def alone():
    return Chain("business", instances=[Probe(PROBE)]), Chain("supervision", instances=[Probe(PROBE)])


def unknown(chain, role=SUPERVISION):
    with pytest.raises(NotFound):
        chain.view(BRIDGE, "client", RoleQuery(role))
    return not has_client(chain.context(PROBE), role)


def test_one_governor_alone_registers_nothing():
    business, supervision = alone()
    order = Propose(BRIDGE, REGISTER_CLIENT, encode(registration(supervision, SUPERVISION)), "")
    receipt = business.run(business.tx(GOVERNORS[0], call("governance", "propose", order)))
    assert unknown(business)
    proposal = ProposalId(receipt.results[0][2:34])
    business.block(business.tx(GOVERNORS[0], call("governance", "approve", proposal)))
    assert unknown(business)


@pytest.mark.parametrize("sender", [MEMBER, FUSION, GOVERNORS[0]])
def test_nobody_registers_a_client_with_a_call_of_the_bridge(sender):
    business, supervision = alone()
    for name in (REGISTER_CLIENT, REPLACE_CLIENT, "govern"):
        business.run(business.tx(sender, call(BRIDGE, name, registration(supervision, SUPERVISION))), "method_unknown")
    order = Propose(BRIDGE, REGISTER_CLIENT, encode(registration(supervision, SUPERVISION)), "")
    if sender not in GOVERNORS:
        business.run(business.tx(sender, call("governance", "propose", order)), "governance_not_governor")
    assert unknown(business)


def test_a_client_is_registered_once_for_a_role_and_once_for_a_chain():
    business, supervision = alone()
    introduce(business, supervision, SUPERVISION)
    third = Chain("third")
    for order in (
        registration(supervision, SUPERVISION),
        registration(supervision, BUSINESS),
        registration(third, SUPERVISION),
    ):
        business.govern(BRIDGE, REGISTER_CLIENT, order, "bridge_client_exists")
    introduce(business, third, BUSINESS)
    listed = business.view(BRIDGE, "clients", NoQuery()).clients
    assert [(client.role, client.state.name) for client in listed] == [
        (BUSINESS, "third"),
        (SUPERVISION, "supervision"),
    ]
    assert chain_of(business.context(PROBE), BUSINESS) == third.chain_id


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "friend"},
        {"header": b""},
        {"validators": (bytes(key_of("stranger").public),)},
        {"validators": (b"\x02" + bytes(32),)},
        {"name": ""},
        {"bridge": ""},
        {"max_staleness_ms": 0},
    ],
)
def test_a_client_is_not_registered_when_the_order_is_wrong(changes):
    business, supervision = alone()
    business.govern(
        BRIDGE, REGISTER_CLIENT, replace(registration(supervision, SUPERVISION), **changes), "bridge_client_invalid"
    )
    assert unknown(business)


def test_a_chain_is_no_client_of_itself():
    business, _ = alone()
    business.govern(BRIDGE, REGISTER_CLIENT, registration(business, SUPERVISION), "bridge_client_invalid")
    business.govern(BRIDGE, "retire_client", registration(business, SUPERVISION), "bridge_action_unknown")


def test_nothing_is_sent_or_delivered_without_a_client():
    business, supervision = alone()
    introduce(supervision, business, BUSINESS)
    assert "bridge_no_client" in business.refusal(send_tx(business))
    deliver(
        business,
        replace(relay(business, supervision), proof=proof(next_header(supervision), supervision.validators)),
        "bridge_no_client",
    )
    context = business.context(PROBE)
    assert (newest_time_ms(context, SUPERVISION), has_client(context, SUPERVISION)) == (0, False)
    with pytest.raises(Refusal) as found:
        chain_of(context, SUPERVISION)
    assert found.value.code == "bridge_no_client"


def send_tx(chain):
    return chain.tx(MEMBER, call(PROBE, "send", Send(SUPERVISION, "note")))


def frozen_pair():
    business, supervision = pair()
    send(business)
    send(supervision, role=BUSINESS)
    height = supervision.height
    deliver(business, relay(supervision, business))
    one, two = next_header(supervision), next_header(supervision, receipts_root=b"\x05" * 32)
    shown = ConflictingHeaders(proof(one, supervision.validators), proof(two, supervision.validators))
    business.run(business.tx(MEMBER, call(BRIDGE, "report_conflict", shown)))
    return business, supervision, height


def test_a_frozen_client_is_replaced_and_its_lanes_go_on():
    business, supervision, height = frozen_pair()
    business.govern(BRIDGE, REGISTER_CLIENT, registration(supervision, SUPERVISION), "bridge_client_exists")
    supervision.block()
    business.govern(BRIDGE, REPLACE_CLIENT, registration(supervision, SUPERVISION))
    assert not business.view(BRIDGE, "client", RoleQuery(SUPERVISION)).state.frozen
    settle(business, supervision)
    assert business.view(PROBE, "took", Query(1)).taken == 1
    assert business.view(PROBE, "heard", Query(1)).code == "ok"
    again = relay(supervision, business, height)
    deliver(business, again, "bridge_nothing_new")


def test_headers_kept_before_count_no_more_when_a_client_is_replaced():
    business, supervision = pair()
    for _ in range(3):
        supervision.block()
        deliver(business, relay(supervision, business))
    before = proof_of(supervision, business, 2)
    supervision.block()
    business.govern(BRIDGE, REPLACE_CLIENT, registration(supervision, SUPERVISION))
    state = business.context(BRIDGE).state
    assert sum(1 for _ in state.iterate(b"h")) == sum(1 for _ in state.iterate(b"k")) == 1
    delivery = replace(relay(supervision, business), proof=before)
    deliver(business, delivery, "bridge_anchor_unknown")


def test_a_client_is_not_replaced_by_one_of_another_chain():
    business, _, _ = frozen_pair()
    third = Chain("third")
    for other, role, code in (
        (third, SUPERVISION, "bridge_client_invalid"),
        (third, BUSINESS, "bridge_no_client"),
        (business, SUPERVISION, "bridge_client_invalid"),
    ):
        business.govern(BRIDGE, REPLACE_CLIENT, registration(other, role), code)
    assert business.view(BRIDGE, "client", RoleQuery(SUPERVISION)).state.frozen
