"""The auditor's second part: recomputes the prescriptions from the FHIR files and both chains.

Standard library only, like ``audit``: the ratios and the rounding are those of the paper, written down here once more.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

from node.demo.audit import MAX_BATCH, Audit, Node

RATIOS: Final = {
    "medicare": Decimal("0.80"),
    "medicaid": Decimal("0.90"),
    "private": Decimal("0.70"),
    "dual_eligible": Decimal("0.90"),
    "no_insurance": Decimal(0),
}
CENT: Final = Decimal("0.01")
PAGE: Final = 100
SEALED_STAGES: Final = ("file", "opinion", "settle")
"""Stages whose documents the regulator keeps."""


@dataclass(frozen=True)
class Claim:
    """What a claim comes to by the file, in cents."""

    total: int
    reimbursed: int


def read_claims(directory: Path) -> dict[str, Claim]:
    """Claims by the id of the ``MedicationRequest`` that they are for."""
    found: dict[str, Claim] = {}
    with gzip.open(directory / "Claim.ndjson.gz", "rt", encoding="utf-8") as file:
        for line in file:
            claim = json.loads(line, parse_float=Decimal)
            request = claim["prescription"]["reference"].rpartition(":")[2]
            total = Decimal(claim["total"]["value"]).quantize(CENT)
            ratio = RATIOS[claim["insurance"][0]["coverage"]["display"]]
            reimbursed = (total * ratio).quantize(CENT, ROUND_HALF_UP)
            found[request] = Claim(int(total * 100), int(reimbursed * 100))
    return found


def view(node: Node, contract: str, name: str, **arguments: Any) -> Any:
    """Document of a view."""
    return node.ask("contract.view", contract=contract, view=name, arguments=arguments)["document"]


class FlowAudit:
    """Checks of the prescription story, added to those of ``audit``.

    Args:
        audit: of the business chain; collects the checks.
        supervision: of the supervision chain.
        claims: from ``read_claims``.
    """

    def __init__(self, audit: Audit, supervision: Audit, claims: Mapping[str, Claim]) -> None:
        self._audit = audit
        self._business = audit.nodes[0]
        self._supervision = supervision.nodes[0]
        self._claims = claims
        self.flows = self._all_flows()

    def _all_flows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = view(
                self._business, "flow", "flows",
                kind="prescription", stage="", party="", newest=False, after=after, limit=PAGE,
            )  # fmt: skip
            found += page["flows"]
            after = page["next"]
            if not after:
                return found

    def money(self, requests: Mapping[str, str], pharmacies: list[str], payer: str, funds: int) -> dict[str, int]:
        """What was paid, by the chain, by the outputs, and by the files; in cents.

        Args:
            requests: flow → ``MedicationRequest``.
            pharmacies: their locks.
            payer: its lock.
            funds: what the payer began with.
        """
        settled = [flow for flow in self.flows if flow["payment"] and _stage(flow, "settle")]
        wanted = [self._claims[requests[flow["flow"]]] for flow in settled]
        total = sum(claim.total for claim in wanted)
        reimbursed = sum(claim.reimbursed for claim in wanted)
        chain = [sum(flow["payment"][name] for flow in settled) for name in ("total", "reimbursed", "patient_share")]
        check = self._audit.check
        check("claims settled, recomputed from the files", chain[0], total)
        check("reimbursed, recomputed from the files", chain[1], reimbursed)
        check("paid by patients: the exact remainder", chain[2], total - reimbursed)
        held = sum(self._held(lock) for lock in pharmacies)
        check("the pharmacies' outputs hold all of it", held, total)
        check("the payer's outputs lack what was reimbursed", funds - self._held(payer), reimbursed)
        return {"paid_by_patients": total - reimbursed, "reimbursed": reimbursed, "claims_total": total}

    def _held(self, lock: str) -> int:
        return sum(item["output"]["amount"] for item in self._business.unspent(lock, "USD"))

    def records(self) -> int:
        """Every hash that came back is the id of a supervision transaction that says so. Returns how many records."""
        wanted = {
            (flow["flow"], stage["stage"]): stage["hash"]
            for flow in self.flows
            for stage in flow["stages"]
            if stage["stage"] in SEALED_STAGES and stage["status"] == "done"
        }
        names = list(wanted)
        found: dict[tuple[str, str], str] = {}
        for i in range(0, len(names), MAX_BATCH):
            part = names[i : i + MAX_BATCH]
            calls = [
                (
                    "contract.view",
                    {
                        "contract": "supervision",
                        "view": "request",
                        "arguments": {"flow": flow, "stage": stage, "attempt": 0},
                    },
                )
                for flow, stage in part
            ]
            for name, answer in zip(part, self._supervision.ask_many(calls), strict=True):
                request = answer["document"]
                if request["status"] == "authorised":
                    found[name] = request["transaction"]
        self._audit.check("sealed records that the business chain implies, on the supervision chain", found, wanted)
        # The names would fill the screen.
        last = self._audit.checks.pop()
        self._audit.checks.append(type(last)(last.name, last.ok, f"{len(found)} of {len(wanted)}"))
        return len(found)

    def packets(self) -> tuple[int, int]:
        """Every packet has its answer, both ways. Returns packets and answers."""
        lanes = [
            view(self._business, "bridge", "lane", role="supervision"),
            view(self._supervision, "bridge", "lane", role="business"),
        ]
        sent, answered = sum(lane["sent"] for lane in lanes), sum(lane["answered"] for lane in lanes)
        self._audit.check("packets that have their answer", answered, sent)
        delivered = sum(lane["delivered"] for lane in lanes)
        self._audit.check("packets that took effect, each once", delivered, sent)
        return sent, answered

    def tokens(self) -> dict[str, int]:
        """Grants that were used, by purpose; each is of the formula of the paper."""
        counters = view(self._supervision, "supervision", "counters")
        return {item["purpose"]: item["count"] for item in counters["tokens"]}


def _stage(flow: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    return next((stage for stage in flow["stages"] if stage["stage"] == name), None)
