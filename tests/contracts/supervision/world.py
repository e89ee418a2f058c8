"""A supervision chain with everything but rules and relays: packets are handed to the contract as a bridge would."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from contracts import messages as m
from contracts.builtin import KINDS
from contracts.codes import Refusal
from contracts.decisions import ControlFlow, Decide, SetLimit
from contracts.expression.attributes import Attribute, from_mapping
from contracts.interface import CallContext, Contract, method
from contracts.registry import participants as people
from contracts.registry.contract import Registry
from contracts.rulebook.check import ALLOW, Facts, Verdict
from contracts.supervision import answers as a
from contracts.supervision import standing
from contracts.supervision.calls import Disclose, GrantBatch
from ledger.encoding import Codec, Record, encode
from ledger.envelope import (
    CHACHA20_POLY1305,
    HPKE_X25519,
    Envelope,
    EnvelopeContext,
    Stanza,
    envelope_digest,
    header_hash,
    sender_signed,
)
from ledger.keys import SigningKey
from ledger.packet import (
    ANSWER_OK,
    PACKET_EVENT,
    Answer,
    Packet,
    PacketOrigin,
    attachment_ref,
    packet_codec,
    packet_digest,
)
from ledger.state import contract_prefix
from ledger.transaction import Call, Transaction
from tests.contracts.bridge.kit import BUSINESS, Chain, call, introduce, key_of, lock_of

SUPERVISION = "supervision"
FILER, PLATFORM, REVIEWER, PATIENT, PHARMACY, STRANGER = map(
    key_of, ("hospital", "platform", "reviewer", "patient", "pharmacy", "stranger")
)
DOCTOR, SECOND_DOCTOR = key_of("authority 1"), key_of("authority 2")
OFFICERS = tuple(key_of(f"officer {i}") for i in range(3))
SUBJECT = sha256(b"subject").digest()
DAY_MS = 86_400_000
LONG_MS = 10 * DAY_MS
ORGANISATIONS = {
    FILER: ("hospital A", people.HOSPITAL),
    PLATFORM: ("platform B", people.PLATFORM),
    REVIEWER: ("reviewers R", people.REVIEWER),
    PHARMACY: ("pharmacy P", people.PHARMACY),
}


class Hand(Record, frozen=True):
    packet: Packet
    attachments: tuple[bytes, ...]


class Handed(Record, frozen=True):
    code: str
    note: str


class HandAnswer(Record, frozen=True):
    packet: Packet
    answer: Answer


class Hands(Contract):
    """Hands packets and answers to ``supervision`` as a bridge does once they are proved."""

    kind = "hands"

    @method
    def hand(self, context: CallContext, arguments: Hand) -> Handed:
        """A packet."""
        target, own = context.directory.contract(SUPERVISION), context.enter(SUPERVISION)
        files = {sha256(data).digest(): data for data in arguments.attachments}
        origin = PacketOrigin(1, context.block.time_ms, bytes(32), 0, files, {})
        done = context.attempt(lambda: target.on_packet(own, arguments.packet, origin))
        return Handed(done.code, "") if isinstance(done, Refusal) else Handed(ANSWER_OK, done.note)

    @method
    def answer(self, context: CallContext, arguments: HandAnswer) -> None:
        """An answer."""
        context.directory.contract(SUPERVISION).on_answer(
            context.enter(SUPERVISION), arguments.packet, arguments.answer
        )


class RulesOfTest(Contract):
    """Stands where the chain's rules are; what they say is ``World.says``."""

    kind = "rules"


def sealed(request: m.StageRequest, sender: SigningKey, chain_id: bytes, recipients: int = 1) -> Envelope:
    """An envelope that looks right from outside, which is all that contracts can see."""
    context = EnvelopeContext(chain_id, request.flow, request.stage, request.actor, request.commitment)
    names = sorted(sha256(bytes([i])).digest() for i in range(recipients))
    stanzas = tuple(Stanza(name, HPKE_X25519, 1, bytes(80)) for name in names)
    nonce, ciphertext = bytes(12), sha256(request.commitment + request.stage.encode()).digest()
    header = header_hash(CHACHA20_POLY1305, nonce, ciphertext, context)
    signature = sender.sign(sender_signed(context, header, stanzas))
    return Envelope(CHACHA20_POLY1305, nonce, ciphertext, stanzas, signature)


def attested(**values: Any) -> tuple[Attribute, ...]:
    return from_mapping({"drugs": ("860975",), "prescriber": "doctor", **values})


class World:
    """The chain, and a business chain that is only known of.

    Attributes:
        chain: the supervision chain.
        source: chain id of the business chain.
        says: what the rules answer; tests replace it.
        asked: facts that the rules were asked about.
    """

    def __init__(self, monkeypatch=None) -> None:
        members = {
            DOCTOR: ("regulator", ("authority",)),
            SECOND_DOCTOR: ("regulator", ("authority",)),
            STRANGER: ("somebody", ("member",)),
            **dict.fromkeys(OFFICERS, ("regulator", ("officer",))),
        }
        kinds = [kind for kind in ("keyring", "rewraps", SUPERVISION) if kind in KINDS]
        self.chain = Chain(
            "supervision",
            people=members,
            kinds=kinds,
            instances=[Hands("hands"), Registry("registry"), RulesOfTest("rules")],
            policies={"officers": lock_of(*OFFICERS, needed=2), "authorities": lock_of(DOCTOR, SECOND_DOCTOR)},
        )
        business = Chain("business")
        introduce(self.chain, business, BUSINESS)
        self.source = bytes(business.chain_id)
        self.says: Verdict = Verdict(ALLOW, "", "", 3)
        self.asked: list[Facts] = []
        if monkeypatch is not None:
            monkeypatch.setattr(standing.rules, "check", self._check)
        self._sequence = 0
        for key in ORGANISATIONS:
            self.register(key)
        self.classify("hospital A", people.FULL)

    def _check(self, context, facts: Facts) -> Verdict:
        self.asked.append(facts)
        return self.says

    # --- who takes part -------------------------------------------------------------------------------------------

    def write(self, contract: str, key: bytes, value: Record) -> None:
        self.chain.state.apply({contract_prefix(contract) + key: encode(value)})

    def register(self, key: SigningKey, status: str = people.ACTIVE, kind: str = "") -> None:
        organisation, usual = ORGANISATIONS.get(key, ("somebody", people.OTHER))
        self.write(
            "registry",
            people.participant_key(key.public),
            people.Participant(
                key.public, organisation, kind or usual, status, bytes(32), bytes(32), key.public, 0, b"", 0, ""
            ),
        )

    def classify(self, organisation: str, control_class: str) -> None:
        self.write("registry", people.class_key(organisation), people.ControlClass(organisation, control_class, 1, 0))

    # --- packets --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.chain.time_ms

    def request(self, stage: str = m.FILE, number: int = 0, **changes: Any) -> m.StageRequest:
        """A request of flow ``number`` as contract flow would make it."""
        need = {m.REVIEW: m.NEED_GRANT, m.ORDER: m.NEED_GRANT, m.SETTLE: m.NEED_REPORT}.get(stage, m.NEED_DECISION)
        document = sha256(b"document %d" % number).digest()
        flow = sha256(b"flow" + document).digest()
        usual: dict[str, Any] = {
            "flow": flow,
            "kind": "prescription",
            "kind_version": 1,
            "stage": stage,
            "attempt": 1,
            "need": need,
            "actor": {m.FILE: FILER, m.REVIEW: REVIEWER, m.OPINION: REVIEWER}.get(stage, PATIENT).public,
            "filer": FILER.public,
            "platform": PLATFORM.public,
            "authorisation": b"" if stage == m.FILE else self.authorisation(flow),
            "commitment": sha256(document + stage.encode()).digest() if stage in (m.OPINION, m.SETTLE) else document,
            "envelope": b"",
            "purpose": {m.REVIEW: "pres", m.ORDER: "order"}.get(stage, ""),
            "pharmacy": PHARMACY.public if stage == m.ORDER else b"",
            "order": sha256(b"order").digest() if stage == m.ORDER else b"",
            "subject": b"",
            "asset": "",
            "amount": 0,
            "requested_ms": self.now - 500,
            "deadline_ms": self.now + LONG_MS,
            "envelope_epoch": 0 if need == m.NEED_GRANT else 1,
            "approves": stage == m.OPINION,
        }
        return m.StageRequest(**{**usual, **changes})

    def authorisation(self, flow: bytes) -> bytes:
        context = self.chain.context(SUPERVISION)
        from contracts.supervision.state import load_flow

        found = load_flow(context.state, flow)
        return b"" if found is None else found.authorisation

    def handing(
        self,
        request: m.StageRequest,
        *,
        sealer: SigningKey | None = None,
        envelope: Envelope | None = None,
        attachments: tuple[bytes, ...] | None = None,
        **packet: Any,
    ) -> tuple[m.StageRequest, Transaction]:
        """The request with its envelope's digest, and the transaction that hands it over."""
        files: tuple[bytes, ...] = ()
        if request.need != m.NEED_GRANT:
            keys = {key.public: key for key in (FILER, PLATFORM, REVIEWER, PATIENT, PHARMACY, STRANGER)}
            made = envelope or sealed(request, sealer or keys[request.actor], self.source)
            request = msgspec.structs.replace(request, envelope=request.envelope or envelope_digest(made))
            files = (encode(made),)
        files = files if attachments is None else attachments
        self._sequence += 1
        fields: dict[str, Any] = {
            "source": self.source,
            "destination": bytes(self.chain.chain_id),
            "sequence": self._sequence,
            "sender": "flow",
            "receiver": SUPERVISION,
            "kind": m.REQUEST,
            "payload": encode(request),
            "attachments": tuple(attachment_ref(data) for data in files),
            "deadline_ms": request.deadline_ms,
            "evidence": (),
        }
        handed = Hand(Packet(**{**fields, **packet}), files)
        return request, self.chain.tx(STRANGER, call("hands", "hand", handed))

    def ask(self, request: m.StageRequest, expected: str = "queued", **options: Any) -> m.StageRequest:
        """Hands a request over; ``expected`` is the note of the answer, or its code."""
        request, transaction = self.handing(request, **options)
        receipt = self.chain.run(transaction)
        self.events = receipt.events
        handed = Codec(Handed, 512).decode(receipt.results[0])
        assert expected in (handed.note, handed.code), f"{handed.code} {handed.note}"
        return request

    def answered(self, packet: Packet, code: str) -> None:
        answer = Answer(packet.source, packet.destination, packet.sequence, packet_digest(packet), code, b"")
        self.chain.run(self.chain.tx(STRANGER, call("hands", "answer", HandAnswer(packet, answer))))

    def sent(self, receipt=None) -> list[tuple[str, Any]]:
        """Packets of the last call: kind and payload."""
        codecs: Mapping[str, Codec[Any]] = {
            m.DECISION: m.decision_codec,
            m.GRANT: m.grant_codec,
            m.REFUSAL: m.refusal_codec,
            m.CONTROL: m.control_codec,
            m.LIMIT: m.limit_codec,
        }
        return [(packet.kind, codecs[packet.kind].decode(packet.payload)) for packet in self.packets(receipt)]

    def packets(self, receipt=None) -> list[Packet]:
        events = self.events if receipt is None else receipt.events
        return [packet_codec.decode(event.data) for event in events if event.name == PACKET_EVENT]

    # --- transactions ---------------------------------------------------------------------------------------------

    def call(self, sender: SigningKey, name: str, arguments: Record, *cosigners: SigningKey) -> Transaction:
        return self.chain.tx(sender, call(SUPERVISION, name, arguments), cosigners=cosigners)

    def decision(self, request: m.StageRequest, outcome: str = m.AUTHORISED, reason: str = "") -> m.Decision:
        return m.Decision(request.flow, request.stage, request.attempt, request.commitment, outcome, reason)

    def opening(self, request: m.StageRequest, outcome: str = m.AUTHORISED, reason: str = "", **changes: Any) -> Decide:
        """What an authority says of a request that it opened."""
        files = request.stage == m.FILE
        usual = {"subject": SUBJECT if files else b"", "attributes": attested() if files else ()}
        fields = {**usual, "opened": request.envelope, **changes}
        return Decide(decision=self.decision(request, outcome, reason), **fields)

    def attest(self, request: m.StageRequest, *said: str, code: str = "ok", by: SigningKey = DOCTOR, **changes: Any):
        transaction = self.call(by, "decide", self.opening(request, *said, **changes))
        return self._ran(transaction, code)

    def vote(self, request: m.StageRequest, *said: str, by: SigningKey, code: str = "ok", cosigners=()):
        arguments = Decide(self.decision(request, *said), b"", (), b"")
        return self._ran(self.call(by, "decide", arguments, *cosigners), code)

    def control(self, flow: bytes, counter: int, action: str, code: str = "ok", signers=OFFICERS[:2]):
        arguments = ControlFlow(m.Control(flow, counter, action, "inspection"))
        return self._ran(self.call(signers[0], "control", arguments, *signers[1:]), code)

    def limit(self, limit: m.Limit, code: str = "ok", signers=OFFICERS[:2]):
        return self._ran(self.call(signers[0], "set_limit", SetLimit(limit), *signers[1:]), code)

    def batch(self, quota: int, code: str = "ok", signers=OFFICERS[:2], **changes: Any):
        usual = {"not_before_ms": 0, "not_after_ms": self.now + LONG_MS, "organisation": "hospital A"}
        arguments = GrantBatch(kind="prescription", quota=quota, **{**usual, **changes})
        return self._ran(self.call(signers[0], "grant_batch", arguments, *signers[1:]), code)

    def disclose(self, request: m.StageRequest, purpose: str = "court", code: str = "ok", by: SigningKey = DOCTOR):
        return self._ran(self.call(by, "disclose", Disclose(request.flow, request.stage, 0, purpose)), code)

    def _ran(self, transaction: Transaction, code: str):
        receipt = self.chain.run(transaction, code)
        self.events = receipt.events
        return receipt

    # --- ways through ---------------------------------------------------------------------------------------------

    def filed(self, number: int = 0, **changes: Any) -> m.StageRequest:
        """A filing that an authority authorised."""
        request = self.ask(self.request(number=number, **changes))
        self.attest(request)
        assert self.status(request) == "authorised"
        return request

    def reviewed(self, number: int = 0) -> m.StageRequest:
        """A flow with a confirmed opinion."""
        filing = self.filed(number)
        self.ask(self.request(m.REVIEW, number), "granted")
        opinion = self.ask(self.request(m.OPINION, number))
        self.attest(opinion)
        return filing

    # --- questions ------------------------------------------------------------------------------------------------

    def view(self, name: str, arguments: Record) -> Any:
        return self.chain.view(SUPERVISION, name, arguments)

    def shown(self, request: m.StageRequest) -> a.RequestView:
        return self.view("request", a.RequestQuery(request.flow, request.stage, request.attempt))

    def status(self, request: m.StageRequest) -> str:
        return self.shown(request).status

    @property
    def counters(self) -> a.Counters:
        return self.view("counters", a.Nothing())

    def next_due_ms(self) -> int | None:
        context = self.chain.context(SUPERVISION)
        return self.chain.rules.contracts[SUPERVISION].next_due_ms(context.state)


def with_call(transaction: Transaction) -> Call:
    """The only call of a transaction."""
    (only,) = transaction.body.calls
    return only
