"""The authority service: opens what is sealed to it, says what it has read, refuses what does not hold."""

from __future__ import annotations

import asyncio
import json

import pytest

from contracts.flow.codes import ENVELOPE_EPOCH
from contracts.governance.calls import SET_POLICY, SetPolicy
from contracts.keyring import KeyPage, OwnerQuery, Published
from contracts.keyring import Nothing as NoQuestion
from contracts.messages import OPINION
from contracts.rewraps import (
    EXISTS,
    NOT_AUTHORITY,
    NOT_RECIPIENT,
    RECIPIENT_WRONG,
    RECORD_UNKNOWN,
    REWRAP_INVALID,
    StoreRewrap,
)
from contracts.supervision.answers import DisclosuresPage, FlowQuery, FlowView, PageQuery, RecordView, RequestQuery
from ledger.envelope import envelope_codec
from ledger.envelope_document import pseudonym
from ledger.errors import InvalidEnvelope
from ledger.keys import SigningKey
from ledger.sealing import new_document, rewrap
from ledger.sealing_keys import DecryptionKey
from node.calling import Caller, CallRefused
from node.services.rewrapping import context_of, open_record, rewrap_records
from tests.node import traffic
from tests.node.two_chains import World, lock_of, two_chains

WHO = "City Hospital"


async def filed(world: World, document, *, who: str = WHO, recipients=None, **options) -> bytes:
    """Files a document, waits for its answer; its flow."""
    key, gateway = world.party(who).signing, world.business.gateway
    keys = recipients or await traffic.authority_keys(gateway)
    flow, arguments = traffic.filing(world.business.genesis.chain_id, key, document, keys, **options)
    await Caller(gateway, key).call("flow", "file", arguments)
    await world.calm()
    return flow


async def stage(world: World, flow: bytes):
    return (await traffic.flow_view(world.business.gateway, flow)).stages[0]


async def regulators_view(world: World, flow: bytes) -> FlowView:
    return await world.supervision.gateway.view("supervision", "flow", FlowQuery(flow), FlowView)


async def test_document_is_attested_and_its_opening_recorded_when_it_is_filed():
    async with two_chains() as world:
        await traffic.define(world)
        flow = await filed(world, traffic.note(subject_id="A123456789", attributes={"urgent": True, "drugs": ["x1"]}))
        assert (await stage(world, flow)).status == "done"
        seen = await regulators_view(world, flow)
        assert seen.subject == pseudonym("A123456789", world.pseudonym_key)
        assert [(each.name, each.value) for each in seen.attributes] == [("drugs", ("x1",)), ("urgent", True)]
        log = await world.supervision.gateway.view("supervision", "disclosures", PageQuery(0, 10), DisclosuresPage)
        assert [(each.flow, each.purpose) for each in log.disclosures] == [(flow, "decision")]
        assert world.authorities[0].document() == {"decided": 1, "refused": 0, "waiting": 0, "under_way": 0}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"no json", "document_invalid"),
        (b"[1]", "document_invalid"),
        (b"[" * 30_000, "document_invalid"),
        (b'{"attributes": [1]}', "document_invalid"),
        (b'{"attributes": {"a": 1.5}}', "document_invalid"),
        (b'{"attributes": {"a": null}}', "document_invalid"),
        (b'{"attributes": {"a": {"b": 1}}}', "document_invalid"),
        (json.dumps({"attributes": {"a": 2**70}}).encode(), "document_invalid"),
        (b'{"attributes": {"a": "\\ud800"}}', "document_invalid"),
        (b'{"subject_id": 5}', "document_invalid"),
    ],
)
async def test_unreadable_document_is_refused(body: bytes, reason: str, world_of_notes: World):
    flow = await filed(world_of_notes, new_document(body, "application/json"))
    found = await stage(world_of_notes, flow)
    assert (found.status, found.reason) == ("refused", reason)


async def test_document_is_refused_when_it_is_not_the_one_committed_to(world_of_notes: World):
    flow = await filed(world_of_notes, traffic.note(a=1), commitment=b"c" * 32)
    assert (await stage(world_of_notes, flow)).reason == "commitment_mismatch"


async def test_envelope_is_refused_when_what_was_wrapped_for_the_authority_does_not_open_it(world_of_notes: World):
    world = world_of_notes
    key, gateway, chain_id = world.party(WHO).signing, world.business.gateway, world.business.genesis.chain_id
    import msgspec

    from ledger.envelope import EnvelopeContext, commitment_of, header_hash, sender_signed

    document = traffic.note(a=1)
    commitment = commitment_of(document)
    flow, arguments = traffic.filing(chain_id, key, document, await traffic.authority_keys(gateway))
    envelope = arguments.envelope
    spoilt = tuple(msgspec.structs.replace(stanza, wrapped=bytes(len(stanza.wrapped))) for stanza in envelope.stanzas)
    context = EnvelopeContext(chain_id, flow, "file", key.public, commitment)
    header = header_hash(envelope.suite, envelope.nonce, envelope.ciphertext, context)
    signature = key.sign(sender_signed(context, header, spoilt))
    bad = msgspec.structs.replace(envelope, stanzas=spoilt, signature=signature)
    await Caller(gateway, key).call("flow", "file", msgspec.structs.replace(arguments, envelope=bad))
    await world.calm()
    assert (await stage(world, flow)).reason == "envelope_unopenable"


def request_at(stage_name: str, flow: bytes, subject: bytes = b""):
    from contracts.messages import NEED_DECISION, StageRequest

    key = bytes(33)
    return StageRequest(
        flow, "note", 1, stage_name, 1, NEED_DECISION, key, key, key, b"", bytes(32), bytes(32), "", b"", b"", subject,
        "", 0, 0, 1, 1,
    )  # fmt: skip


def test_later_document_is_refused_when_it_names_another_flow_or_none():
    from ledger.errors import InvalidInput
    from node.services.attestation import DOCUMENT_WRONG, attest

    flow = b"\xab" * 32
    assert (
        attest(request_at(OPINION, flow), traffic.note(flow=flow.hex(), decision="rejected"), bytes(32)).subject == b""
    )
    for content in ({"flow": "00" * 32}, {}, {"flow": flow.hex().upper()}):
        with pytest.raises(InvalidInput) as refused:
            attest(request_at(OPINION, flow), traffic.note(**content), bytes(32))
        assert refused.value.code == DOCUMENT_WRONG
    with pytest.raises(InvalidInput) as refused:
        attest(request_at("file", flow, b"s" * 32), traffic.note(request="00" * 32), bytes(32))
    assert refused.value.code == DOCUMENT_WRONG


@pytest.mark.parametrize("approves", [True, False])
def test_opinion_is_refused_when_it_says_something_else_than_the_chain_was_told(approves: bool):
    import msgspec

    from ledger.errors import InvalidInput
    from node.flow.documents import opinion_document
    from node.services.attestation import DOCUMENT_CONTRADICTS, attest

    flow = b"\xab" * 32
    request = msgspec.structs.replace(request_at(OPINION, flow), approves=approves)
    honest = opinion_document(bytes(32), flow, approve=approves, reviewer=request.actor, time_ms=1)
    assert attest(request, honest, bytes(32)).attributes == ()
    lying = opinion_document(bytes(32), flow, approve=not approves, reviewer=request.actor, time_ms=1)
    for document in (lying, traffic.note(flow=flow.hex()), traffic.note(flow=flow.hex(), decision=approves)):
        with pytest.raises(InvalidInput) as refused:
            attest(request, document, bytes(32))
        assert refused.value.code == DOCUMENT_CONTRADICTS


def test_settlement_record_is_refused_when_its_sum_is_not_what_was_paid():
    import msgspec

    from contracts.messages import SETTLE
    from ledger.errors import InvalidInput
    from node.services.attestation import DOCUMENT_CONTRADICTS, attest

    flow = b"\xab" * 32
    request = msgspec.structs.replace(request_at(SETTLE, flow), asset="USD", amount=1)
    assert attest(request, traffic.note(flow=flow.hex(), asset="USD", total=1), bytes(32)).subject == b""
    for wrong in ({"total": 2}, {"asset": "CNY"}, {"total": "1"}, {"total": True}, {"total": None}):
        document = traffic.note(**({"flow": flow.hex(), "asset": "USD", "total": 1} | wrong))
        with pytest.raises(InvalidInput) as refused:
            attest(request, document, bytes(32))
        assert refused.value.code == DOCUMENT_CONTRADICTS


@pytest.fixture
async def world_of_notes():
    async with two_chains() as world:
        await traffic.define(world)
        yield world


# --- coming and going, several of them -------------------------------------------------------------------------------


async def test_what_waited_is_decided_when_the_service_comes_back(world_of_notes: World):
    world = world_of_notes
    await world.kill_authority()
    key, gateway = world.party(WHO).signing, world.business.gateway
    flows = await asyncio.gather(*[traffic.file_note(gateway, key) for _ in range(20)])
    await world.calm()
    assert {(await stage(world, flow)).status for flow in flows} == {"pending"}
    service = world.start_authority()
    await world.until(lambda: service.decided == 20)
    await world.calm()
    assert {(await stage(world, flow)).status for flow in flows} == {"done"}


async def test_two_authorities_share_the_work_and_the_first_valid_decision_counts():
    async with two_chains(supervision_validators=2, authorities=2) as world:
        await traffic.define(world)
        key, gateway = world.party(WHO).signing, world.business.gateway
        assert len(await traffic.authority_keys(gateway)) == 2
        flows = await asyncio.gather(*[traffic.file_note(gateway, key) for _ in range(24)])
        await world.calm()
        assert {(await stage(world, flow)).status for flow in flows} == {"done"}
        counts = [service.decided for service in world.authorities.values()]
        assert sum(counts) == 24, "none was decided twice"
        assert min(counts) > 0


async def test_one_authority_decides_for_both_when_the_other_is_dead():
    async with two_chains(supervision_validators=2, authorities=2) as world:
        await traffic.define(world)
        await world.kill_authority(1)
        key, gateway = world.party(WHO).signing, world.business.gateway
        flows = await asyncio.gather(*[traffic.file_note(gateway, key) for _ in range(8)])
        await world.calm()
        await world.until(lambda: world.authorities[0].decided == 8)
        await world.calm()
        assert {(await stage(world, flow)).status for flow in flows} == {"done"}


async def test_authority_leaves_alone_what_it_has_no_key_for_when_another_one_can_open_it():
    """A refusal for want of a key would stop what the other authority can open."""
    async with two_chains(supervision_validators=2, authorities=2) as world:
        await traffic.define(world)
        for index in (0, 1):
            await world.kill_authority(index)
        key, gateway = world.party(WHO).signing, world.business.gateway
        flows = [await traffic.file_note(gateway, key) for _ in range(3)]
        await world.until(lambda: world.lane(world.supervision).delivered == 3)
        world.sealing[0] = [DecryptionKey.generate_x25519(1)]
        forgetful = world.start_authority(0)
        await world.until(lambda: not forgetful._queue and not forgetful._under_way)
        world.start_authority(1)
        await world.until(lambda: world.authorities[1].decided == 3)
        await world.calm()
        assert {(await stage(world, flow)).status for flow in flows} == {"done"}
        assert forgetful.refused == 0


# --- keys that change -------------------------------------------------------------------------------------------------


async def rotate(world: World) -> None:
    """The authority restarts with one more key."""
    await world.kill_authority()
    world.sealing[0].append(DecryptionKey.generate_x25519(len(world.sealing[0]) + 1))
    world.start_authority()
    owner = OwnerQuery(world.supervision.members[0].member.public)

    def arrived() -> bool:
        known = world.find(world.business, "keyring", "key", owner, Published)
        return known is not None and known.notice.epoch == len(world.sealing[0])

    await world.until(arrived)


async def test_new_key_is_published_and_announced_when_the_service_restarts_with_it(world_of_notes: World):
    world = world_of_notes
    old = await traffic.authority_keys(world.business.gateway)
    waiting = traffic.note(a=1)
    await world.kill_relay(0)
    key, gateway, chain_id = world.party(WHO).signing, world.business.gateway, world.business.genesis.chain_id
    before, arguments = traffic.filing(chain_id, key, waiting, old)
    await Caller(gateway, key).call("flow", "file", arguments)
    await world.kill_authority()
    world.start_relay(0)
    await world.calm()
    await rotate_from_dead(world)
    await world.calm()
    assert (await stage(world, before)).status == "done", "what was sealed to the old key still opens"
    with pytest.raises(CallRefused) as refused:
        await filed(world, traffic.note(a=2), recipients=old)
    assert refused.value.code == ENVELOPE_EPOCH
    flow = await filed(world, traffic.note(a=3))
    assert (await stage(world, flow)).status == "done"
    page = await world.supervision.gateway.view("keyring", "authorities", NoQuestion(), KeyPage)
    assert [each.notice.epoch for each in page.keys] == [2]


async def rotate_from_dead(world: World) -> None:
    world.start_authority()
    await world.until(lambda: world.authorities[0].decided == 1)
    await rotate(world)


async def test_every_epoch_is_published_in_order_when_several_are_new(world_of_notes: World):
    world = world_of_notes
    world.sealing[0].append(DecryptionKey.generate_x25519(2))
    await rotate(world)
    flow = await filed(world, traffic.note(a=1))
    assert (await stage(world, flow)).status == "done"


async def sealed_record(world: World, flow: bytes) -> RecordView:
    return await world.supervision.gateway.view("supervision", "record", RequestQuery(flow, "file", 0), RecordView)


async def rewrap_all(world: World) -> list[bool]:
    caller = Caller(world.supervision.gateway, world.supervision.members[0].member)
    return [done async for _, done in rewrap_records(caller, world.sealing[0])]


async def test_stored_records_open_with_the_new_key_alone_when_they_are_rewrapped(world_of_notes: World):
    world = world_of_notes
    flows = [await filed(world, traffic.note(n=n)) for n in range(3)]
    await rotate(world)
    after = await filed(world, traffic.note(n=3))
    gateway = world.supervision.gateway
    new = world.sealing[0][1:]
    before = await sealed_record(world, flows[0])
    with pytest.raises(InvalidEnvelope):
        await open_record(gateway, before, new)
    assert await rewrap_all(world) == [True, True, True, False]
    assert await rewrap_all(world) == [False] * 4, "again: nothing is left to do"
    for number, flow in enumerate([*flows, after]):
        record = await sealed_record(world, flow)
        assert json.loads((await open_record(gateway, record, new)).body) == {"n": number}
    assert (await sealed_record(world, flows[0])).envelope == before.envelope, "no ciphertext was touched"
    await rotate(world)
    assert await rewrap_all(world) == [True] * 4, "by the rewraps, where the first key is gone"
    assert json.loads((await open_record(gateway, before, world.sealing[0][2:])).body) == {"n": 0}


async def test_rewrap_is_refused_when_it_is_not_an_authoritys_for_an_authoritys_current_key(world_of_notes: World):
    world = world_of_notes
    flow = await filed(world, traffic.note(n=1))
    await rotate(world)
    record = await sealed_record(world, flow)
    envelope, context = envelope_codec.decode(record.envelope), context_of(record)
    old, new = world.sealing[0]
    authority, officer = world.supervision.members[0].member, world.officers[0].signing
    thief = DecryptionKey.generate_x25519(2)

    async def store(sender: SigningKey, made, where: bytes = flow) -> str:
        try:
            await Caller(world.supervision.gateway, sender).call(
                "rewraps", "store", StoreRewrap(where, "file", 1, made)
            )
        except CallRefused as error:
            return error.code
        return "ok"

    good = rewrap(envelope, context, old, new.public, authority)
    assert await store(officer, rewrap(envelope, context, old, new.public, officer)) == NOT_AUTHORITY
    assert await store(officer, good) == NOT_AUTHORITY
    assert await store(authority, rewrap(envelope, context, old, thief.public, authority)) == RECIPIENT_WRONG
    assert await store(authority, rewrap(envelope, context, old, old.public, authority)) == RECIPIENT_WRONG
    assert await store(authority, good, b"x" * 32) == RECORD_UNKNOWN
    other = await filed(world, traffic.note(n=2))
    assert await store(authority, good, other) == REWRAP_INVALID
    assert await store(authority, good) == "ok"
    assert await store(authority, good) == EXISTS


async def test_one_authority_can_rewrap_for_the_other_when_it_could_open():
    async with two_chains(supervision_validators=2, authorities=2) as world:
        await traffic.define(world)
        await world.kill_authority(1)
        flow = await filed(world, traffic.note(n=1))
        record = await sealed_record(world, flow)
        envelope, context = envelope_codec.decode(record.envelope), context_of(record)
        second = world.supervision.members[1].member
        assert second.public in {each.notice.owner for each in (await authorities(world)).keys}
        await rotate(world)
        new = world.sealing[0][1]
        made = rewrap(envelope, context, world.sealing[1][0], new.public, second)
        caller = Caller(world.supervision.gateway, second)
        await caller.call("rewraps", "store", StoreRewrap(flow, "file", 1, made))
        assert json.loads((await open_record(world.supervision.gateway, record, [new])).body) == {"n": 1}


async def authorities(world: World) -> KeyPage:
    return await world.supervision.gateway.view("keyring", "authorities", NoQuestion(), KeyPage)


async def test_rewrap_is_refused_when_its_wrapper_could_never_open_the_record(world_of_notes: World):
    """It would be rubbish under an authority's name: only a recipient has the content key."""
    world = world_of_notes
    flow = await filed(world, traffic.note(n=1))
    record = await sealed_record(world, flow)
    envelope, context = envelope_codec.decode(record.envelope), context_of(record)
    await rotate(world)
    old, new = world.sealing[0]
    first, late = world.supervision.members[0].member, world.officers[0].signing
    lock = lock_of([first, late])
    await world.govern(world.supervision, "governance", SET_POLICY, SetPolicy("authorities", lock))
    made = rewrap(envelope, context, old, new.public, late)
    with pytest.raises(CallRefused) as refused:
        await Caller(world.supervision.gateway, late).call("rewraps", "store", StoreRewrap(flow, "file", 1, made))
    assert refused.value.code == NOT_RECIPIENT
