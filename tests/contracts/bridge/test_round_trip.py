"""Packets there, answers back: what a relay that does its work brings about."""

from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import BRIDGE, MEMBER, PROBE, SUPERVISION, call, carry, deliver, pair, relay, settle
from tests.contracts.bridge.probe import Query, Send


def send(chain, kind="note", role=SUPERVISION, **changes):
    return chain.run(chain.tx(MEMBER, call(PROBE, "send", Send(role, kind, **changes))))


def test_a_packet_is_taken_and_answered_when_it_is_relayed():
    business, supervision = pair()
    send(business, data=b"hello", attachments=(b"one", b"two"), itself=True)
    outcome = deliver(supervision, relay(business, supervision))
    assert (outcome.taken, outcome.refused, outcome.left) == (1, 0, 0)
    seen = supervision.view(PROBE, "took", Query(1))
    assert (seen.taken, seen.sender, seen.data, seen.attachments) == (1, PROBE, b"hello", (b"one", b"two"))
    settle(business, supervision)
    heard = business.view(PROBE, "heard", Query(1))
    assert (heard.answered, heard.code) == (1, "ok")
    lane = business.view(BRIDGE, "lane", kit.RoleQuery(SUPERVISION))
    assert (lane.sent, lane.answered, lane.held_bytes, lane.oldest_sequence) == (1, 1, 0, 0)
    assert carry(business, supervision) == 0
