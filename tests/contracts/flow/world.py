"""Two chains, the parties of a flow with their keys, and one method for each step that a party takes.

Every step returns the receipt; ``code`` is what the receipt must say. ``follow`` lets an honest regulator answer.
"""

from __future__ import annotations

from contracts import decisions
from contracts.bridge.clients import newest_time_ms
from contracts.flow import calls, kinds
from contracts.flow.answers import AuthorisationQuery, FlowQuery, FlowView, SealedQuery
from contracts.messages import KeyNotice
from ledger.block import Receipt
from ledger.encoding import Codec, Record, encode
from ledger.envelope import Envelope, EnvelopeContext, SealedDocument, commitment_of
from ledger.genesis import AssetDoc, SupplyDoc
from ledger.keys import SigningKey, key_text
from ledger.sealing import DecryptionKey, open_envelope, seal
from ledger.transaction import Body, Call, Output, Transaction, build, outpoint
from tests.contracts.bridge import kit
from tests.contracts.bridge.kit import Chain, call, lock_of
from tests.contracts.flow.cast import (
    AUTHORITIES_LOCK,
    AUTHORITY,
    CNY,
    COIN,
    COINS,
    FLOW,
    HOSPITAL,
    OFFICERS,
    OFFICERS_LOCK,
    OTHER_PATIENT,
    OTHER_PHARMACY,
    OTHER_REVIEWER,
    OUTSIDER,
    PATIENT,
    PAYER,
    PEOPLE,
    PHARMACY,
    PLATFORM,
    PRICE,
    REGULATORS,
    REVIEWER,
    SECOND_AUTHORITY,
    SUPERVISION,
    document,
)
from tests.contracts.flow.regulator import Regulator
from tests.contracts.flow.saying import Regulation

__all__ = [
    "AUTHORITIES_LOCK",
    "AUTHORITY",
    "CNY",
    "COIN",
    "COINS",
    "FLOW",
    "HOSPITAL",
    "OFFICERS",
    "OFFICERS_LOCK",
    "OTHER_PATIENT",
    "OTHER_PHARMACY",
    "OTHER_REVIEWER",
    "OUTSIDER",
    "PATIENT",
    "PAYER",
    "PEOPLE",
    "PHARMACY",
    "PLATFORM",
    "PRICE",
    "REGULATORS",
    "REVIEWER",
    "SECOND_AUTHORITY",
    "SUPERVISION",
    "World",
    "document",
]


class World(Regulation):
    """Attributes: business, supervision: the chains. boxes: decryption keys by owner. flow, authorisation, asked."""

    def __init__(self, **kind_changes: int) -> None:
        owners = (PATIENT, PAYER, OTHER_PATIENT)
        supply = tuple(SupplyDoc(amount=COIN, lock=lock_of(owner)) for owner in owners for _ in range(COINS))
        self.coins = {owner.public: list(range(i * COINS, (i + 1) * COINS)) for i, owner in enumerate(owners)}
        policies = {"supervision.officers": OFFICERS_LOCK, "supervision.authorities": AUTHORITIES_LOCK}
        self.business = Chain(
            "business",
            people=PEOPLE,
            kinds=("keyring", FLOW),
            policies=policies,
            assets=(
                AssetDoc(asset=CNY, issuers=(key_text(PAYER.public),), supply=supply),
                AssetDoc(
                    asset="EUR",
                    issuers=(key_text(PAYER.public),),
                    supply=(SupplyDoc(amount=COIN, lock=lock_of(PATIENT)),),
                ),
            ),
        )
        self.supervision = self.regulator()
        kit.pair(business=self.business, supervision=self.supervision)
        self.boxes: dict[bytes, DecryptionKey] = {}
        for owner in PEOPLE:
            self.publish(owner)
        self.publish(AUTHORITY)
        if kind_changes:
            self.define(kinds.prescription(**kind_changes), version=2)
        self.flow = self.authorisation = b""
        self.fresh()

    def regulator(self) -> Chain:
        """The supervision chain, before it knows the business chain."""
        return Chain(
            "supervision",
            people=REGULATORS,
            kinds=("keyring",),
            instances=[Regulator(SUPERVISION)],
            policies={"officers": OFFICERS_LOCK, "authorities": AUTHORITIES_LOCK},
        )

    # --- keys and time ----------------------------------------------------------------------------------------------

    def publish(self, owner: SigningKey, *, carry: bool = True) -> None:
        """The owner's encryption key of the next epoch."""
        chain = self.supervision if owner in REGULATORS else self.business
        before = self.boxes.get(owner.public)
        box = DecryptionKey.generate_x25519(1 if before is None else before.epoch + 1)
        self.boxes[owner.public] = box
        notice = KeyNotice(owner.public, box.suite, box.epoch, box.public.public, False)
        chain.run(chain.tx(owner, call("keyring", "publish", decisions.Publish(notice))))
        if chain is self.supervision and carry:
            self.carry()

    def key(self, owner: SigningKey) -> DecryptionKey:
        return self.boxes[owner.public]

    def fresh(self) -> None:
        """Brings a new supervision header, of the business chain's time."""
        self.supervision.block(step_ms=max(1, self.business.time_ms - self.supervision.time_ms))
        kit.renew(self.supervision, self.business, step_ms=1)

    def stale(self, by_ms: int = 1) -> None:
        """Lets so much time pass without news of the supervision chain that it is just too old, or (0) just not."""
        newest_ms = newest_time_ms(self.business.context(FLOW), SUPERVISION)
        # The next call is in a block 10 ms later.
        limit_ms = newest_ms + kinds.DEFAULT_STALENESS_MS + by_ms - 10
        self.business.block(step_ms=limit_ms - self.business.time_ms)

    def wait(self, ms: int, *, fresh: bool = True) -> None:
        """Lets time pass, and supervision with it unless ``fresh`` is False."""
        self.business.block(step_ms=ms)
        if fresh:
            self.fresh()

    def define(self, kind: kinds.FlowKind, code: str = "ok", *, version: int | None = None) -> Receipt:
        if version is not None:
            kind = kinds.FlowKind(kind.name, version, kind.stages, kind.max_staleness_ms, kind.masked)
        return self.business.govern(FLOW, calls.DEFINE_KIND, calls.DefineKind(kind), code)

    # --- transactions -----------------------------------------------------------------------------------------------

    def call(self, sender: SigningKey, name: str, arguments: Record, code: str = "ok", **more) -> Receipt:
        return self.business.run(self.tx(sender, call(FLOW, name, arguments), **more), code, step_ms=10)

    def tx(self, sender: SigningKey, *made: Call, inputs=(), outputs=(), cosigners=()) -> Transaction:
        chain = self.business
        chain._nonces += 1
        body = Body(
            version=1,
            chain_id=chain.chain_id,
            sender=sender.public,
            expiry_height=chain.height + 1_000,
            nonce=chain._nonces.to_bytes(16, "big"),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            calls=made,
            attachments=(),
            memo=b"",
        )
        return build(body, {key.public: key for key in (sender, *cosigners)}.values())

    # --- sealing ----------------------------------------------------------------------------------------------------

    def seal(self, text: str | SealedDocument, stage: str, sender: SigningKey, *to: SigningKey, **changes) -> Envelope:
        """An envelope of the current flow; by default to the authority, and with the document's own commitment."""
        made = text if isinstance(text, SealedDocument) else document(text)
        fields = {
            "chain_id": self.business.chain_id,
            "flow": self.flow,
            "stage": stage,
            "sender": sender.public,
            "commitment": commitment_of(made),
        }
        context = EnvelopeContext(**(fields | changes))
        same = context.commitment == commitment_of(made)
        keys = [self.key(owner).public for owner in (to or (AUTHORITY,))]
        return seal(made if same else encode(made), context, keys, sender)

    # --- the steps of the parties -----------------------------------------------------------------------------------

    def filing(self, text: str = "prescription", *, filer: SigningKey = HOSPITAL, **changes) -> calls.File:
        """Arguments of ``file``; the current flow is that one from now on."""
        made = document(text)
        commitment = commitment_of(made)
        self.flow = calls.flow_id(self.business.chain_id, filer.public, commitment)
        fields = {
            "kind": "prescription",
            "platform": PLATFORM.public,
            "patient": PATIENT.public,
            "commitment": commitment,
            "envelope": self.seal(made, "file", filer),
            "document": self.seal(made, "file_copy", filer, PLATFORM),
            "subject": b"",
            "asset": "",
            "amount": 0,
        }
        return calls.File(**(fields | changes))

    def file(self, code: str = "ok", *, text: str = "prescription", filer: SigningKey = HOSPITAL, **changes) -> Receipt:
        return self.call(filer, "file", self.filing(text, filer=filer, **changes), code)

    def request_review(self, code: str = "ok", *, by: SigningKey = REVIEWER, authorisation: bytes = b"") -> Receipt:
        return self.call(by, "request_review", calls.RequestReview(authorisation or self.authorisation), code)

    def release(
        self,
        code: str = "ok",
        *,
        by: SigningKey = PLATFORM,
        reviewer: SigningKey = REVIEWER,
        to: SigningKey | None = None,
        token: bytes | None = None,
        text: str = "prescription",
        envelope: Envelope | None = None,
    ) -> Receipt:
        commitment = commitment_of(document(text))
        sealed = envelope or self.seal("masked", "release", by, to or reviewer, commitment=commitment)
        presented = self.token("review") if token is None else token
        return self.call(by, "release", calls.Release(self.flow, reviewer.public, presented, sealed), code)

    def opinion(self, code: str = "ok", *, by: SigningKey = REVIEWER, approve: bool = True, text: str = "opinion"):
        made = document(text)
        envelope, copy = self.seal(made, "opinion", by), self.seal(made, "opinion_copy", by, PLATFORM)
        return self.call(by, "opinion", calls.Opinion(self.flow, approve, commitment_of(made), envelope, copy), code)

    def request_order(
        self, code: str = "ok", *, by: SigningKey = PATIENT, pharmacy: SigningKey = PHARMACY, text: str = "order"
    ) -> Receipt:
        order = commitment_of(document(text))
        return self.call(by, "request_order", calls.RequestOrder(self.authorisation, pharmacy.public, order), code)

    def place(
        self,
        code: str = "ok",
        *,
        by: SigningKey = PATIENT,
        to: SigningKey = PHARMACY,
        token: bytes | None = None,
        text: str = "order",
        also: tuple[SigningKey, ...] = (),
    ) -> Receipt:
        sealed = self.seal(text, "order", by, to, *also)
        presented = self.token("order") if token is None else token
        return self.call(by, "place", calls.Place(self.flow, presented, sealed), code)

    def accept(self, code: str = "ok", *, by: SigningKey = PHARMACY) -> Receipt:
        return self.call(by, "accept", calls.Accept(self.flow), code)

    def fulfil(self, code: str = "ok", *, by: SigningKey = PHARMACY, prices=(PRICE,), **changes) -> Receipt:
        items = tuple(calls.Item("drug", "medicare", price) for price in prices)
        fields = {
            "flow": self.flow,
            "asset": CNY,
            "items": items,
            "payer": PAYER.public,
            "link": "https://pay.example/1",
            "details": bytes(32),
        }
        return self.call(by, "fulfil", calls.Fulfil(**(fields | changes)), code)

    def coin(self, owner: SigningKey, number: int) -> bytes:
        return outpoint(self.business.genesis.hash, self.coins[owner.public][number])

    def settlement(self, text: str = "settlement", by: SigningKey = PATIENT, *copy_to: SigningKey) -> calls.Settle:
        made = document(text)
        copy = self.seal(made, "settle_copy", by, *(copy_to or (PLATFORM, PHARMACY, PAYER)))
        return calls.Settle(self.flow, commitment_of(made), self.seal(made, "settle", by), copy)

    def payment(self, patient_share: int, reimbursed: int, *, pharmacy: SigningKey = PHARMACY, first: int = 0):
        """Inputs and outputs that pay: each payer spends coins from ``first`` on and gets change."""
        inputs, outputs = [], [Output(CNY, patient_share + reimbursed, lock_of(pharmacy))]
        for owner, share in ((PATIENT, patient_share), (PAYER, reimbursed)):
            count = -(-share // COIN)
            inputs += [self.coin(owner, first + i) for i in range(count)]
            if count * COIN - share:
                outputs.append(Output(CNY, count * COIN - share, lock_of(owner)))
        return {"inputs": inputs, "outputs": outputs}

    def settle(self, code: str = "ok", *, by: SigningKey = PATIENT, cosigners=(PATIENT, PAYER), **more) -> Receipt:
        paid = more or self.payment(5_100, 20_401)
        return self.call(by, "settle", self.settlement(by=by), code, cosigners=cosigners, **paid)

    def deliver(self, code: str = "ok", *, by: SigningKey = PHARMACY) -> Receipt:
        return self.call(by, "deliver", calls.Deliver(self.flow), code)

    # --- looking ----------------------------------------------------------------------------------------------------

    def show(self, flow: bytes = b"") -> FlowView:
        shown: FlowView = self.business.view(FLOW, "flow", FlowQuery(flow or self.flow))
        return shown

    def stage(self, name: str, flow: bytes = b""):
        return next((stage for stage in self.show(flow).stages if stage.stage == name), None)

    def token(self, stage: str) -> bytes:
        return next((grant.token for grant in self.show().grants if grant.stage == stage), b"")

    def events(self, receipt: Receipt) -> list[str]:
        return [event.name for event in receipt.events if event.contract == FLOW]

    def balance(self, owner: SigningKey) -> int:
        codec = Codec(Output, 4_096)
        outputs = [codec.decode(data) for _, data in self.business.state.iterate(b"u")]
        return sum(output.amount for output in outputs if output.asset == CNY and output.lock == lock_of(owner))

    def opened(self, stage: str, owner: SigningKey) -> bytes:
        """What ``owner`` finds in the envelope of a stage."""
        copy = self.business.view(FLOW, "sealed", SealedQuery(self.flow, stage))
        context = EnvelopeContext(self.business.chain_id, self.flow, stage, copy.sender, copy.commitment)
        return open_envelope(copy.envelope, context, self.key(owner))

    def document_of(self, authorisation: bytes):
        return self.business.view(FLOW, "document", AuthorisationQuery(authorisation))

    # --- up to a stage ------------------------------------------------------------------------------------------------

    def authorised(self, **changes) -> World:
        self.file(**changes)
        self.decide("file")
        return self

    def granted(self, **changes) -> World:
        self.authorised(**changes)
        self.request_review()
        self.grant("review")
        return self

    def released(self) -> World:
        self.granted()
        self.release()
        return self

    def reviewed(self) -> World:
        self.released()
        self.opinion()
        self.decide("opinion")
        return self

    def orderable(self) -> World:
        self.reviewed()
        self.request_order()
        self.grant("order")
        return self

    def placed(self) -> World:
        self.orderable()
        self.place()
        return self

    def priced(self) -> World:
        self.placed()
        self.accept()
        self.fulfil()
        return self

    def paid(self) -> World:
        self.priced()
        self.settle()
        return self
