"""``FlowClient``: every step of a supervised flow, each as the party whose step it is (PROTOCOL.md 2).

    async with Client(socket) as gateway, FlowClient(gateway) as flows:
        filed = await flows.file(hospital, document, platform=platform.public, patient=patient.public)
        await flows.until_done(filed.flow, "file", timeout_s=60)

A method seals, commits, signs with the key that it is given, hands in, and returns once the call is in a block. What
the supervision chain says to it comes as an event; ``until_done``, ``until_granted`` and ``watch`` wait for that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.codes import INPUT_MISSING
from contracts.flow import calls, kinds
from contracts.flow.calls import Item, Moved, PaymentRequested
from contracts.messages import FILE, OPINION, ORDER, REVIEW, SETTLE
from ledger.encoding import encode
from ledger.envelope_document import SealedDocument, commitment_of
from ledger.errors import InvalidInput
from ledger.keys import SigningKey
from ledger.sealing import new_document, open_document, open_envelope
from ledger.sealing_keys import DecryptionKey
from ledger.transaction import Call
from node.calling import CallRefused
from node.flow import documents
from node.flow.funds import Funds
from node.flow.purse import Bank
from node.flow.session import ATTEMPTS, FlowSession
from node.flow.watcher import FLOW


@dataclass(frozen=True, slots=True)
class Filed:
    """A filing that is in a block: the flow's id, and the step."""

    flow: bytes
    moved: Moved


class FlowClient(FlowSession):
    """See the module. Use it as an async context manager, or ``start`` and ``close`` it.

    Args:
        gateway: a node of the business chain.
        on_commit: told of each committed call: method, and milliseconds until its block was seen.
    """

    def bank(self, key: SigningKey) -> Bank:
        """A bank that gives patients what they have to pay."""
        return Bank(self.submitter, self.purses, key)

    # --- file -------------------------------------------------------------------------------------------------------

    async def file(
        self,
        filer: SigningKey,
        document: SealedDocument,
        *,
        kind: str = kinds.PRESCRIPTION,
        platform: bytes = b"",
        patient: bytes = b"",
        subject: bytes = b"",
        asset: str = "",
        amount: int = 0,
        masked: bytes | None = None,
    ) -> Filed:
        """Files a document: sealed to the authorities, and, masked as the kind says, to the platform.

        Args:
            filer: who files.
            document: with its salt (``ledger.sealing.new_document``).
            kind: flow kind.
            platform: who gets the copy and releases it to reviewers; empty where the kind has no review.
            patient: who may order and pay; empty where the kind has no order.
            subject: fingerprint of what it stands for; empty for documents about a person.
            asset: of ``amount``.
            amount: minor units.
            masked: what the platform gets, where the caller has masked the document already.

        Raises:
            CallRefused: with the contract's code.
            NotFound: ``flow_key_missing``, or there is no such kind.
            InvalidInput: the document cannot be masked or is too large.
        """
        await self.start()
        commitment = commitment_of(document)
        flow = self.flow_id(filer.public, document)
        if masked is None:
            masked = documents.masked_body(document, (await self.kind(kind)).masked) if platform else b""

        copied = masked

        async def arguments() -> calls.File:
            copy = None
            if platform:
                recipients = (await self.keys.of(platform),)
                copy = self._seal(filer, copied, flow, kinds.FILE_COPY, commitment, recipients)
            envelope = await self._for_authorities(filer, document, flow, stage=FILE)
            return calls.File(kind, platform, patient, commitment, envelope, copy, subject, asset, amount)

        return Filed(flow, (await self._sealed(filer, "file", arguments)).moved())

    # --- review -----------------------------------------------------------------------------------------------------

    async def request_review(self, reviewer: SigningKey, authorisation: bytes) -> Moved:
        """Asks to review the document that is known by ``authorisation``. Raises ``CallRefused``."""
        return (await self.submitter.call(reviewer, "request_review", calls.RequestReview(authorisation))).moved()

    async def release(
        self, platform: SigningKey, sealing: DecryptionKey | Sequence[DecryptionKey], flow: bytes
    ) -> Moved:
        """Uses the reviewer's grant, as platform: opens its copy of the document and seals it for that reviewer alone.

        Raises:
            CallRefused: with the contract's code.
            InvalidInput: ``flow_grant_missing``: nobody holds a grant; or the copy does not open.
        """
        reviewer, token = await self._grant(flow, REVIEW)
        found = await self.sealed(flow, kinds.FILE_COPY)
        document = open_envelope(found.envelope, self._context(flow, found), sealing)

        async def arguments() -> calls.Release:
            recipients = (await self.keys.of(reviewer),)
            envelope = self._seal(platform, document, flow, kinds.RELEASE, found.commitment, recipients)
            return calls.Release(flow, reviewer, token, envelope)

        return (await self._sealed(platform, "release", arguments)).moved()

    async def review(self, sealing: DecryptionKey | Sequence[DecryptionKey], flow: bytes) -> bytes:
        """The document that was released to a reviewer, opened with the reviewer's key.

        Raises:
            NotFound: nothing was released.
            InvalidEnvelope: not to this key.
        """
        return await self.open(sealing, flow, kinds.RELEASE)

    async def opinion(
        self, reviewer: SigningKey, flow: bytes, *, approve: bool, salt: bytes = b"", platform: bytes = b""
    ) -> Moved:
        """The reviewer's opinion, sealed to the authorities and to the platform.

        Args:
            reviewer: to whom the document was released.
            flow: id.
            approve: an opinion that does not, once confirmed, ends the flow.
            salt: 32 bytes; fresh ones when none are given.
            platform: of the flow; looked up when it is not given.

        Raises:
            CallRefused: with the contract's code.
        """
        fresh = salt or new_document(b"", "").salt
        now_ms = time.time_ns() // 1_000_000
        document = documents.opinion_document(fresh, flow, approve=approve, reviewer=reviewer.public, time_ms=now_ms)
        commitment = commitment_of(document)
        platform = platform or (await self.show(flow)).platform

        async def arguments() -> calls.Opinion:
            envelope = await self._for_authorities(reviewer, document, flow, stage=OPINION)
            recipients = (await self.keys.of(platform),)
            copy = self._seal(reviewer, document, flow, kinds.OPINION_COPY, commitment, recipients)
            return calls.Opinion(flow, approve, commitment, envelope, copy)

        return (await self._sealed(reviewer, "opinion", arguments)).moved()

    # --- order ------------------------------------------------------------------------------------------------------

    async def request_order(
        self, patient: SigningKey, authorisation: bytes, pharmacy: bytes, order: SealedDocument
    ) -> Moved:
        """Asks, as patient, to order from ``pharmacy``; the grant is bound to it and to this order's commitment."""
        arguments = calls.RequestOrder(authorisation, pharmacy, commitment_of(order))
        return (await self.submitter.call(patient, "request_order", arguments)).moved()

    async def place(self, patient: SigningKey, flow: bytes, pharmacy: bytes, order: SealedDocument) -> Moved:
        """Uses the patient's grant: the order, sealed to the pharmacy alone. Raises as ``release``."""
        _, token = await self._grant(flow, ORDER)
        commitment = commitment_of(order)

        async def arguments() -> calls.Place:
            recipients = (await self.keys.of(pharmacy),)
            return calls.Place(flow, token, self._seal(patient, order, flow, ORDER, commitment, recipients))

        return (await self._sealed(patient, "place", arguments)).moved()

    async def open_order(self, sealing: DecryptionKey | Sequence[DecryptionKey], flow: bytes) -> SealedDocument:
        """The order, as the pharmacy opens it, once it is what the grant's commitment is to.

        Raises:
            InvalidEnvelope: ``envelope_not_for_us`` for every other key; ``commitment_mismatch``.
        """
        found = await self.sealed(flow, ORDER)
        return open_document(found.envelope, self._context(flow, found), sealing)

    async def accept(self, pharmacy: SigningKey, flow: bytes) -> Moved:
        """The pharmacy takes the order on."""
        return (await self.submitter.call(pharmacy, "accept", calls.Accept(flow))).moved()

    # --- fulfil, settle, deliver ------------------------------------------------------------------------------------

    async def fulfil(
        self,
        pharmacy: SigningKey,
        flow: bytes,
        *,
        asset: str,
        items: Sequence[Item],
        payer: bytes = b"",
        link: str = "",
        details: bytes = b"",
        accept: bool = False,
    ) -> PaymentRequested:
        """Prices the order item by item and asks for payment.

        Args:
            pharmacy: that accepted the order.
            flow: id.
            asset: currency.
            items: at least one.
            payer: who pays what is reimbursed; empty where that is nothing.
            link: where the patient pays.
            details: commitment to whatever else was agreed on; 32 zero bytes when none is given.
            accept: accept the order in the same transaction.

        Raises:
            CallRefused: with the contract's code.
        """
        priced = calls.Fulfil(flow, asset, tuple(items), payer, link, details or bytes(32))
        steps = [Call(FLOW, "accept", encode(calls.Accept(flow)))] if accept else []
        sent = await self.submitter.send(pharmacy, [*steps, Call(FLOW, "fulfil", encode(priced))])
        return sent.payment()

    async def pay(
        self,
        payment: PaymentRequested,
        patient: SigningKey,
        payer: SigningKey | None = None,
        *,
        bank: Bank | None = None,
        record: SealedDocument | None = None,
        platform: bytes = b"",
        claim: str = "",
    ) -> Moved:
        """Pays the pharmacy in one transaction: the patient and the payer their exact shares, change back to each.

        Args:
            payment: the request.
            patient: pays ``patient_share`` and sends the transaction.
            payer: pays ``reimbursed`` and signs too; None only where that is nothing.
            bank: gives the patient what it lacks; None: it has its own money.
            record: the settlement record; made here when none is given.
            platform: of the flow; looked up when it is not given.
            claim: id of the claim, for the record.

        Raises:
            CallRefused: with the contract's code.
            PurseEmpty: patient or payer has not enough.
            InvalidInput: ``payer_missing``: something is reimbursed, and no payer signs.
        """
        await self.start()
        if payment.reimbursed and payer is None:
            raise InvalidInput("something is reimbursed, so the payer signs too", code="payer_missing")
        platform = platform or (await self.show(payment.flow)).platform
        document = record or documents.settlement_document(new_document(b"", "").salt, payment, claim=claim)
        for attempt in range(ATTEMPTS):
            funds = Funds(self.purses, payment, patient, payer)
            try:
                await funds.take(bank)
                arguments = await self._settlement(patient, payment, document, platform)
                sent = await self.submitter.call(
                    patient,
                    "settle",
                    arguments,
                    cosigners=funds.cosigners,
                    inputs=funds.inputs,
                    outputs=funds.outputs,
                )
            except CallRefused as error:
                await funds.give_back()
                if attempt == ATTEMPTS - 1 or not (self.keys.outdated(error) or error.code == INPUT_MISSING):
                    raise
                await funds.rebuild()
            except BaseException:
                await funds.give_back()
                raise
            else:
                await funds.spent(sent)
                return sent.moved()
        raise AssertionError("the last attempt returns or raises")

    async def report(
        self, sender: SigningKey, payment: PaymentRequested, *, platform: bytes = b"", claim: str = ""
    ) -> Moved:
        """Reports a settlement once more, after its report was refused or ran out."""
        platform = platform or (await self.show(payment.flow)).platform
        document = documents.settlement_document(new_document(b"", "").salt, payment, claim=claim)

        async def arguments() -> calls.Report:
            made = await self._settlement(sender, payment, document, platform)
            assert made.envelope is not None
            return calls.Report(made.flow, made.commitment, made.envelope, made.copy)

        return (await self._sealed(sender, "report", arguments)).moved()

    async def deliver(self, party: SigningKey, flow: bytes) -> Moved:
        """Picked up, or delivered: pharmacy or patient say so."""
        return (await self.submitter.call(party, "deliver", calls.Deliver(flow))).moved()

    async def _settlement(
        self, sender: SigningKey, payment: PaymentRequested, document: SealedDocument, platform: bytes
    ) -> calls.Settle:
        commitment = commitment_of(document)
        owners = tuple(party for party in (platform, payment.pharmacy, payment.payer) if party)
        recipients = await self.keys.of_all(owners)
        copy = self._seal(sender, document, payment.flow, kinds.SETTLE_COPY, commitment, recipients)
        envelope = await self._for_authorities(sender, document, payment.flow, stage=SETTLE)
        return calls.Settle(payment.flow, commitment, envelope, copy)
