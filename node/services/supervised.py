"""Settlements under supervision, from the insurer's side: files those above the limit, reports those below it.

The chain enforces it (``contracts.flow.commission_gate``); here is what an honest insurer does about it. Nothing is
remembered: what was filed is looked up on the chain.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import structlog

from contracts.commission.answers import SettlementPlan
from contracts.commission.calls import SettlementReport
from contracts.commission.records import Agreement
from contracts.flow.answers import FILING, OPEN, REFUSED, FlowsPage, FlowsQuery, FlowView, LimitsAnswer, Nothing
from contracts.flow.calls import File, flow_id
from contracts.flow.kinds import COMMISSION
from contracts.keyring import KeyPage
from contracts.keyring import Nothing as NoQuestion
from contracts.messages import FILE, SETTLE, Limit
from ledger.envelope import EnvelopeContext, commitment_of
from ledger.envelope_key import EncryptionKey
from ledger.errors import InvalidInput, NotFound
from ledger.keys import SigningKey
from node.calling import Caller
from node.gateway import Gateway

if TYPE_CHECKING:
    from ledger.envelope import Envelope

log = structlog.get_logger(__name__)

FLOW: Final = "flow"
DECISION_AWAITED: Final = "settlement_decision_awaited"
DECISION_REFUSED: Final = "settlement_decision_refused"
LOOKED_AT: Final = 100
SHOWN_RECORDS: Final = 300
"""Records that a report lists one by one: as many as a sealed document has room for, whatever their amounts."""
REFILE_MS: Final = 60_000
"""After so long a settlement is filed again that the contracts, not the regulator, refused: reasons of theirs pass."""


class DecisionAwaited(InvalidInput):
    """The regulator has to decide first; ``data["flow"]`` is the flow that was filed."""

    code = DECISION_AWAITED


class SupervisedSettlement:
    """See the module.

    Args:
        gateway: the own node.
        key: the insurer's.
    """

    def __init__(self, gateway: Gateway, key: SigningKey) -> None:
        self._gateway = gateway
        self._key = key
        self._caller = Caller(gateway, key)

    async def prepare(self, agreement: Agreement, plan: SettlementPlan) -> SettlementReport | None:
        """What the settlement of ``plan`` must carry: its report, or nothing.

        Raises:
            DecisionAwaited: it is above the limit, and filed, now or before; try again when the flow is authorised.
            InvalidInput: ``settlement_decision_refused``: the regulator said no; or as the chain refuses the filing.
        """
        if not plan.paid:
            return None
        limit = await self._limit(agreement.currency)
        if limit is None:
            return None
        if plan.paid <= limit.amount:
            return await self._report(agreement, plan)
        found = await self._filed(agreement, plan)
        if found is None:
            flow = await self._file(agreement, plan)
            raise DecisionAwaited("the settlement is above the regulator's limit and was filed", flow=flow)
        if found.status == OPEN:
            return None
        if found.status == FILING:
            raise DecisionAwaited("the regulator has not decided yet", flow=found.flow)
        filing = next((stage for stage in found.stages if stage.stage == FILE), None)
        if found.status == REFUSED and filing is not None and not filing.hash:
            now_ms = (await self._gateway.info()).time_ms
            if now_ms - filing.asked_ms > REFILE_MS:
                flow = await self._file(agreement, plan)
                raise DecisionAwaited("the settlement was filed once more", flow=flow)
        reason = "" if filing is None else filing.reason
        raise InvalidInput(
            f"the regulator refuses this settlement: {reason or found.status}", code=DECISION_REFUSED, flow=found.flow
        )

    async def _limit(self, asset: str) -> Limit | None:
        try:
            answer = await self._gateway.view(FLOW, "limits", Nothing(), LimitsAnswer)
        except NotFound:
            return None  # this chain is not supervised
        return next((limit for limit in answer.limits if (limit.kind, limit.asset) == (COMMISSION, asset)), None)

    async def _filed(self, agreement: Agreement, plan: SettlementPlan) -> FlowView | None:
        """The newest flow of this very settlement; one that ran out undecided does not count."""
        query = FlowsQuery(COMMISSION, "", self._key.public, newest=True, after=0, limit=LOOKED_AT)
        while True:
            page = await self._gateway.view(FLOW, "flows", query, FlowsPage)
            for flow in page.flows:
                same = (flow.subject, flow.asset, flow.amount) == (
                    plan.request.batch_hash,
                    agreement.currency,
                    plan.paid,
                )
                if same and flow.status != "expired":
                    return flow
            if not page.next:
                return None
            query = FlowsQuery(COMMISSION, "", self._key.public, newest=True, after=page.next, limit=LOOKED_AT)

    async def _file(self, agreement: Agreement, plan: SettlementPlan) -> bytes:
        commitment, envelope = await self._seal(agreement, plan, FILE)
        arguments = File(
            kind=COMMISSION,
            platform=b"",
            patient=b"",
            commitment=commitment,
            envelope=envelope,
            document=None,
            subject=plan.request.batch_hash,
            asset=agreement.currency,
            amount=plan.paid,
        )
        await self._caller.call(FLOW, "file", arguments)
        flow = flow_id((await self._gateway.info()).chain_id, self._key.public, commitment)
        log.info("settlement_filed", agreement=agreement.agreement, request=plan.request.request, flow=flow.hex())
        return flow

    async def _report(self, agreement: Agreement, plan: SettlementPlan) -> SettlementReport:
        return SettlementReport(*await self._seal(agreement, plan, SETTLE))

    async def _seal(self, agreement: Agreement, plan: SettlementPlan, stage: str) -> tuple[bytes, Envelope]:
        from ledger.sealing import new_document, seal  # noqa: PLC0415 - only supervised insurers need the library

        chain_id = (await self._gateway.info()).chain_id
        page = await self._gateway.view("keyring", "authorities", NoQuestion(), KeyPage)
        keys = [EncryptionKey(each.notice.suite, each.notice.epoch, each.notice.public) for each in page.keys]
        # The flow's id follows from the commitment, so the document names the request instead of the flow.
        document = new_document(settlement_record(agreement, plan), "application/json")
        commitment = commitment_of(document)
        flow = flow_id(chain_id, self._key.public, commitment)
        context = EnvelopeContext(chain_id, flow, stage, self._key.public, commitment)
        return commitment, seal(document, context, keys, self._key)


def settlement_record(agreement: Agreement, plan: SettlementPlan) -> bytes:
    """What the regulator reads of a settlement: canonical JSON; amounts in minor units."""
    request = plan.request
    content = {
        "request": request.batch_hash.hex(),
        "agreement": agreement.agreement,
        "number": request.request,
        "reason": request.reason,
        "platform": agreement.platform.organisation,
        "insurer": agreement.insurer.organisation,
        "currency": agreement.currency,
        "records": [
            {"record": item.outpoint[:32].hex(), "amount": item.amount} for item in request.items[:SHOWN_RECORDS]
        ],
        "records_total": len(request.items),
        "gross": request.amount,
        "clawed_back": plan.clawed_back,
        "paid": plan.paid,
        "attributes": {
            "agreement": agreement.agreement,
            "counterparty": agreement.platform.organisation,
            "currency": agreement.currency,
            "records": len(request.items),
            "total_minor": plan.paid,
        },
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
