"""The regulator's part in the demo: rules before, decisions and a suspension while business is under way."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from msgspec.structs import replace

from contracts.flow.kinds import FlowKind, prescription
from contracts.messages import FILE, RESUME, SUSPEND
from contracts.rulebook.calls import Entry
from contracts.rulebook.fingerprints import fingerprint
from contracts.rulebook.records import DENY, REFUSE, ExpressionRule, ListRule
from ledger.envelope_document import pseudonym
from ledger.errors import InvalidInput, RemoteFault
from node.calling import Caller
from node.consortium.plan import OFFICERS_NEEDED, Consortium
from node.demo.picks import BARRED_PHARMACY, BARRED_REVIEWER, Picks
from node.gateway import Gateway
from node.layout import HomeLayout
from node.node_keys import read_authority_keys
from node.regulator import decisions
from node.regulator.rulebook import Change, RulePlan, install

log = structlog.get_logger(__name__)

EXPRESSION: Final = "large_without_cover"
EXPRESSION_SOURCE: Final = 'coverage == "no_insurance" && total_minor > 10000'
EXPRESSION_REASON: Final = "no_cover_for_amount"
ATTRIBUTES: Final = {
    "authored_on": "string",
    "coverage": "string",
    "currency": "string",
    "items": "int",
    "prescriber": "string",
    "provider": "string",
    "total_minor": "int",
}
FILING_DEADLINE_MS: Final = 60_000
"""In the demo a filing that nobody decides expires after a minute."""
POLL_S: Final = 0.5
SUSPENDED_S: Final = 3.0


class Regulator:
    """See the module.

    Args:
        consortium: whose regulator.
        gateway: a node of the supervision chain.
    """

    def __init__(self, consortium: Consortium, gateway: Gateway) -> None:
        self._gateway = gateway
        self._consortium = consortium
        self.officers = [Caller(gateway, party.signing) for party in consortium.officers][:OFFICERS_NEEDED]
        node = consortium.supervision.nodes[0]
        self.keys = read_authority_keys(HomeLayout(node.home))
        self.approved: set[bytes] = set()
        self.left_alone: bytes = b""
        self.suspended: bytes = b""
        self.resumed = False

    async def set_rules(self, picks: Picks) -> int:
        """Puts the demo's lists and expression in force; returns the version."""
        parties, key = self._consortium.parties, self.keys.pseudonym
        reviewer, pharmacy = parties.party(BARRED_REVIEWER).key, parties.party(BARRED_PHARMACY).key
        entries = {
            "barred_reviewers": fingerprint("reviewer", reviewer),
            "barred_subjects": fingerprint("subject", pseudonym(picks.subject, key)),
            "barred_drugs": fingerprint("subject_drug", pseudonym(picks.pair[0], key), picks.pair[1]),
            "barred_pharmacies": fingerprint("pharmacy_subject", pharmacy, pseudonym(picks.pharmacy_subject, key)),
        }
        kinds = {
            "barred_reviewers": "reviewer",
            "barred_subjects": "subject",
            "barred_drugs": "subject_drug",
            "barred_pharmacies": "pharmacy_subject",
        }
        plan = RulePlan(
            description="lists and one expression",
            attributes=ATTRIBUTES,
            lists=tuple(ListRule(name, kind, DENY, REFUSE) for name, kind in kinds.items()),
            expressions=(ExpressionRule(EXPRESSION, EXPRESSION_SOURCE, REFUSE, EXPRESSION_REASON, (FILE,)),),
            changes=tuple(Change(name, True, (Entry(entry, 0),)) for name, entry in entries.items()),
        )
        return await install(self.officers, plan)

    async def decide_pending(self) -> None:
        """Approves what is left to officers, as it comes; but the very first request is left to expire."""
        while True:
            try:
                for request in await decisions.pending(self._gateway):
                    flow = bytes(request.request.flow)
                    if not self.left_alone:
                        self.left_alone = flow
                    if flow == self.left_alone or flow in self.approved:
                        continue
                    await decisions.approve(self.officers, request)
                    self.approved.add(flow)
            except (InvalidInput, RemoteFault) as error:
                log.warning("demo_officers_postponed", code=error.code)
            await asyncio.sleep(POLL_S)

    async def suspend_and_resume(self, flow: bytes) -> None:
        """Suspends a flow for a few seconds."""
        await decisions.control(self.officers, flow, SUSPEND, "routine_inspection")
        self.suspended = flow
        await asyncio.sleep(SUSPENDED_S)
        await decisions.control(self.officers, flow, RESUME, "inspection_closed")
        self.resumed = True


def demo_kind() -> FlowKind:
    """Version 2 of ``prescription``: as version 1, but a filing expires after a minute."""
    first = prescription()
    stages = tuple(
        replace(spec, deadline_ms=FILING_DEADLINE_MS) if spec.stage == FILE else spec for spec in first.stages
    )
    return replace(first, version=2, stages=stages)
