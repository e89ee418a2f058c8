"""The client's steps: keys that change, what is waited for, nodes that go away."""

from __future__ import annotations

import asyncio
import json

import pytest

from contracts.codes import Refusal
from contracts.decisions import Publish
from contracts.flow import calls, codes
from contracts.flow.kinds import prescription
from contracts.keyring import KeyPage
from contracts.messages import KeyNotice
from ledger.envelope import envelope_codec, key_id
from ledger.errors import InvalidEnvelope, InvalidInput, LocalMisuse, NotFound, RpcUnavailable
from ledger.keys import SigningKey
from ledger.sealing import new_document
from ledger.sealing_keys import DecryptionKey
from ledger.token import token
from node.calling import CallRefused
from node.flow.client import FlowClient
from node.flow.documents import derived_salt, masked_body, opinion_document, order_document
from node.flow.errors import FlowEnded, FlowTimeout, StageExpired, StageRefused
from node.flow.failover import FailoverGateway
from tests.node.flow.fakes import FakeGateway, moved, published
from tests.node.flow.imports import sample
from tests.node.two_chains import two_chains

HOSPITAL, PLATFORM, AUTHORITY, PATIENT = (SigningKey(bytes([number]) * 32) for number in range(1, 5))
OLD, NEW, COPY = (DecryptionKey.generate_x25519(epoch) for epoch in (1, 2, 1))
FLOW = b"f" * 32


def chain_with_keys() -> FakeGateway:
    gateway = FakeGateway()
    gateway.views["flow", "kind_of"] = prescription()
    gateway.views["keyring", "authorities"] = KeyPage((published(AUTHORITY, OLD),))
    gateway.views["keyring", "key"] = published(PLATFORM, COPY)
    return gateway


def fhir():
    return new_document(sample()[0].document, "application/fhir+json")


def file_of(transaction) -> calls.File:
    import msgspec

    return msgspec.msgpack.decode(transaction.body.calls[0].arguments, type=calls.File)


async def test_a_document_is_sealed_anew_when_the_authorities_key_has_changed():
    gateway = chain_with_keys()

    def on_call(transaction):
        found = file_of(transaction)
        if found.envelope.stanzas[0].recipient != key_id(NEW.public):
            gateway.views["keyring", "authorities"] = KeyPage((published(AUTHORITY, NEW),))
            raise Refusal(codes.ENVELOPE_EPOCH, "an old key")
        return [(calls.FILED, moved(FLOW, deadline_ms=1))]

    gateway.on_call = on_call
    async with FlowClient(gateway) as client:
        await client.file(HOSPITAL, fhir(), platform=PLATFORM.public, patient=PATIENT.public)
        assert len(gateway.submitted) == 2
        await client.file(HOSPITAL, fhir(), platform=PLATFORM.public, patient=PATIENT.public)
        assert len(gateway.submitted) == 3, "the new key is remembered"
        assert gateway.asked.count(("keyring", "authorities")) == 2


async def test_it_gives_up_when_fresh_keys_are_refused_too():
    gateway = chain_with_keys()

    def on_call(transaction):
        raise Refusal(codes.ENVELOPE_RECIPIENTS, "never good")

    gateway.on_call = on_call
    async with FlowClient(gateway) as client:
        with pytest.raises(CallRefused) as error:
            await client.file(HOSPITAL, fhir(), platform=PLATFORM.public, patient=PATIENT.public)
        assert error.value.code == codes.ENVELOPE_RECIPIENTS
        assert len(gateway.submitted) == 3


async def test_nothing_is_sent_when_no_authority_has_a_key():
    gateway = chain_with_keys()
    gateway.views["keyring", "authorities"] = KeyPage(())
    async with FlowClient(gateway) as client:
        with pytest.raises(NotFound) as error:
            await client.file(HOSPITAL, fhir(), platform=PLATFORM.public, patient=PATIENT.public)
        assert error.value.code == codes.KEY_MISSING
        assert gateway.submitted == []


async def test_the_platforms_copy_has_no_direct_identifier():
    gateway = chain_with_keys()
    gateway.on_call = lambda _: [(calls.FILED, moved(FLOW, deadline_ms=1))]
    async with FlowClient(gateway) as client:
        document = fhir()
        await client.file(HOSPITAL, document, platform=PLATFORM.public, patient=PATIENT.public)
        masked = masked_body(document, prescription().masked)
        assert sample()[0].id_number.encode() in document.body
        assert sample()[0].id_number.encode() not in masked
        found = file_of(gateway.submitted[0])
        assert found.document is not None
        assert len(found.document.stanzas) == 1, "for the platform alone"
        assert len(found.document.ciphertext) < len(envelope_codec.encode(found.envelope))


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([(calls.REFUSED, {"reason": "rule_denies", "rule": "r", "rule_version": 2})], StageRefused),
        ([(calls.STAGE_EXPIRED, {})], StageExpired),
        ([(calls.TERMINATED, {"stage": "", "reason": "fraud"})], FlowEnded),
        ([], FlowTimeout),
    ],
)
async def test_waiting_for_a_stage_ends_with_what_became_of_it(events, error):
    gateway = FakeGateway()
    async with FlowClient(gateway) as client:
        waiting = asyncio.create_task(client.until_done(FLOW, "review", timeout_s=0.2 if not events else 5))
        await asyncio.sleep(0.01)
        await gateway.emit((calls.FILED, moved(FLOW, deadline_ms=1)), (calls.AUTHORISED, moved(FLOW)))
        for name, fields in events:
            await gateway.emit((name, moved(FLOW, **{"stage": "review", **fields})))
        with pytest.raises(error) as raised:
            await waiting
        if error is StageRefused:
            found = raised.value
            assert (found.code, found.rule, found.rule_version) == ("rule_denies", "r", 2)
        assert client.watcher.known(FLOW) is None, "what nobody waits for is forgotten"


def test_documents_name_their_flow_and_salts_are_nobodys_guess():
    opinion = json.loads(opinion_document(bytes(32), FLOW, approve=True, reviewer=HOSPITAL.public, time_ms=5).body)
    assert (opinion["flow"], opinion["decision"], opinion["time_ms"]) == (FLOW.hex(), "approved", 5)
    order = json.loads(order_document(bytes(32), FLOW, PLATFORM.public, b'{"a":1}').body)
    assert (order["flow"], order["document"]) == (FLOW.hex(), {"a": 1})
    assert json.loads(order_document(bytes(32), FLOW, PLATFORM.public, b"\xff").body)["document"] == "ff"
    salts = {derived_salt(bytes(32), *parts) for parts in ((b"a", b"bc"), (b"ab", b"c"), (b"abc",), (b"a", b"b", b"c"))}
    assert len(salts) == 4
    assert all(len(salt) == 32 for salt in salts)


def test_a_document_that_is_to_be_masked_is_json():
    with pytest.raises(InvalidInput) as error:
        masked_body(new_document(b"\xff", ""), prescription().masked)
    assert error.value.code == "document_not_maskable"


async def test_two_chains_refuse_what_a_client_does_wrong():
    """Attacks with other people's keys and tokens, each from a client that means ill."""
    async with two_chains() as world:
        gateway = world.business.gateway
        party = world.party
        async with FlowClient(gateway) as client:
            patient = SigningKey(b"p" * 32)
            platform = party("Prescription Platform P")
            from contracts.admission.calls import AdmitPatient

            until_ms = client.watcher.time_ms + 86_400_000
            arguments = AdmitPatient((bytes(patient.public),), until_ms)
            await client.submitter.call(platform.signing, "admit_patient", arguments, contract="admission")
            filed = await client.file(
                party("City Hospital").signing, fhir(), platform=platform.key, patient=patient.public
            )
            flow = filed.flow
            progress = await client.until_done(flow, "file", timeout_s=30)
            reviewer = party("Reviewer 1")

            made_up = token("2026-01-01", progress.authorisation, "pres")
            forged = calls.Release(flow, reviewer.key, made_up, (await client.sealed(flow, "file_copy")).envelope)
            with pytest.raises(CallRefused) as error:
                await client.submitter.call(platform.signing, "release", forged)
            assert error.value.code == codes.GRANT_MISSING

            await client.request_review(reviewer.signing, progress.authorisation)
            await client.until_granted(flow, "review", timeout_s=30)
            with pytest.raises(CallRefused) as error:
                await client.release(party("Reviewer 2").signing, platform.sealing, flow)
            assert error.value.code == codes.PARTY_WRONG
            await client.release(platform.signing, platform.sealing, flow)
            with pytest.raises(InvalidEnvelope):
                await client.review(party("Reviewer 2").sealing, flow)
            with pytest.raises(CallRefused) as error:
                await client.opinion(party("Reviewer 2").signing, flow, approve=True)
            assert error.value.code == codes.NOT_RELEASED

            rotated = DecryptionKey.generate_x25519(2)
            public = rotated.public
            notice = KeyNotice(bytes(platform.key), public.suite, 2, public.public, retired=False)
            await world.business_caller("Prescription Platform P").call("keyring", "publish", Publish(notice))
            await client.opinion(reviewer.signing, flow, approve=True)
            assert await client.open(rotated, flow, "opinion_copy"), "sealed anew to the platform's new key"
            await client.until_done(flow, "opinion", timeout_s=30)
            assert (await client.show(progress.authorisation)).flow == flow
            assert flow in [view.flow async for view in client.list(party=bytes(reviewer.key))]
            assert [entry async for entry in client.pool()] == []


class Node(FakeGateway):
    """A fake node that can go away."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False

    async def info(self):
        if self.gone:
            raise RpcUnavailable("gone", sent=False)
        return await super().info()

    async def close(self) -> None:
        self.gone = True


async def test_the_next_node_is_asked_when_one_is_gone():
    first, second = Node(), Node()
    first.gone = True
    gateway = FailoverGateway([first, second])  # type: ignore[list-item]
    assert (await gateway.info()).height == 0
    assert second.infos == 1
    await gateway.info()
    assert second.infos == 2, "it stays with the one that answers"
    second.gone = True
    with pytest.raises(RpcUnavailable):
        await gateway.info()
    with pytest.raises(LocalMisuse):
        FailoverGateway([])


async def test_events_go_on_at_the_next_height_when_the_node_changes():
    first, second = Node(), Node()
    gateway = FailoverGateway([first, second])  # type: ignore[list-item]
    for node in (first, second):
        await node.emit((calls.FILED, moved(FLOW)))
    await second.emit((calls.AUTHORISED, moved(FLOW)))
    heights = []
    async with asyncio.timeout(5):
        async for block in gateway.events(1):
            heights.append(block.height)
            if block.height == 1:
                first.gone = True
                await gateway.info()
            else:
                break
    assert heights == [1, 2]
