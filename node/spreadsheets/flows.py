"""Supervised flows as a table: each flow with its parties, stages and payments, with running totals for each asset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from contracts.admission.calls import KeyArguments
from contracts.assets import AssetArguments, AssetRecord
from contracts.flow.answers import MAX_PAGE, FlowsPage, FlowsQuery, FlowView
from contracts.messages import DELIVER, FILE, OPINION, ORDER, REVIEW, SETTLE
from ledger.admission import AdmissionCertificate
from ledger.errors import NotFound
from ledger.keys import key_text
from node.client import Client
from node.spreadsheets.table import Amount, Column, Kind, Line, TableWriter, moment

STAGES: Final = (FILE, REVIEW, OPINION, ORDER, SETTLE, DELIVER)
_A = Kind.AMOUNT
COLUMNS: Final = (
    Column("line", width=8),
    Column("number", Kind.INTEGER, width=9),
    Column("flow", width=66),
    Column("kind", width=14),
    Column("status", width=12),
    Column("suspended", width=10),
    Column("filer", width=24),
    Column("platform", width=24),
    Column("reviewer", width=24),
    Column("pharmacy", width=24),
    Column("payer", width=24),
    *(Column(stage, width=11) for stage in STAGES),
    Column("refused because of", width=24),
    Column("asset", width=8),
    Column("amount filed", _A, summed=True),
    Column("payment", _A, summed=True),
    Column("reimbursed", _A, summed=True),
    Column("patient pays", _A, summed=True),
    Column("running flows", Kind.INTEGER),
    Column("running payments of the asset", _A, width=18),
    Column("filed at (UTC)", Kind.TIME, width=20),
    Column("authorisation", width=66),
)
_ASSET: Final = next(index for index, column in enumerate(COLUMNS) if column.title == "asset")
TOTAL_COLUMNS: Final = (
    Column("asset", width=8),
    Column("flows", Kind.INTEGER),
    Column("amount filed", _A),
    Column("payments", _A),
    Column("reimbursed", _A),
    Column("patients pay", _A),
)


@dataclass(slots=True)
class AssetSums:
    """Sums of one asset, minor units."""

    flows: int = 0
    filed: int = 0
    paid: int = 0
    reimbursed: int = 0
    patients: int = 0


@dataclass(slots=True)
class FlowSums:
    """How many flows there are, and the sums by asset; the empty asset: flows without a payment or amount."""

    flows: int = 0
    assets: dict[str, AssetSums] = field(default_factory=dict)


class FlowTable:
    """Writes flows.

    Args:
        client: of a node of the business chain.
        contract: address of the flow contract.
    """

    def __init__(self, client: Client, contract: str = "flow") -> None:
        self._client = client
        self._contract = contract
        self._names: dict[bytes, str] = {}
        self._scales: dict[str, int] = {"": 0}

    async def write(self, writer: TableWriter, *, kind: str = "", party: bytes = b"") -> FlowSums:
        """Writes all flows in the order of filing, then the totals by asset in a table of their own.

        Args:
            writer: fresh; the caller closes it.
            kind: only of this kind; empty: all.
            party: only of this party; empty: all.
        """
        sums = FlowSums()
        writer.sheet("Flows", COLUMNS)
        after = 0
        while True:
            query = FlowsQuery(kind, "", party, newest=False, after=after, limit=MAX_PAGE)
            page = await self._client.view(self._contract, "flows", query, FlowsPage)
            for flow in page.flows:
                writer.line(await self._line(flow, sums))
            after = page.next
            if not after:
                break
        for place, asset in enumerate(sorted(sums.assets)):
            writer.line(await self._total(asset, sums, place))
        writer.sheet("Totals", TOTAL_COLUMNS)
        for asset in sorted(sums.assets):
            total = sums.assets[asset]
            scale = await self.scale(asset)
            amounts = (total.filed, total.paid, total.reimbursed, total.patients)
            writer.line(Line((asset, total.flows, *(Amount(amount, scale) for amount in amounts))))
        return sums

    async def _line(self, flow: FlowView, sums: FlowSums) -> Line:
        payment = flow.payment
        asset = payment.asset if payment is not None else flow.asset
        scale = await self.scale(asset)
        total = sums.assets.setdefault(asset, AssetSums())
        sums.flows += 1
        total.flows += 1
        total.filed += flow.amount
        paid = payment is not None and any(stage.stage == SETTLE for stage in flow.stages)
        if payment is not None and paid:
            total.paid += payment.total
            total.reimbursed += payment.reimbursed
            total.patients += payment.patient_share
        shares: tuple[Amount | None, ...] = (None, None, None)
        if payment is not None and paid:
            shares = tuple(Amount(x, scale) for x in (payment.total, payment.reimbursed, payment.patient_share))
        stages = {stage.stage: stage for stage in flow.stages}
        refused = [f"{stage.stage}: {stage.reason}" for stage in flow.stages if stage.reason]
        parties = (flow.filer, flow.platform, flow.reviewer, flow.pharmacy, flow.payer)
        return Line(
            (
                "flow",
                flow.number,
                flow.flow.hex(),
                flow.kind,
                flow.status,
                "yes" if flow.suspended else "",
                *[await self._name(key) for key in parties],
                *[stages[name].status if name in stages else "" for name in STAGES],
                "; ".join([*refused, *([f"regulator: {flow.control_reason}"] if flow.control_reason else [])]),
                asset,
                Amount(flow.amount, scale) if flow.amount else None,
                *shares,
                sums.flows,
                Amount(total.paid, scale) if asset else None,
                moment(flow.filed_ms),
                flow.authorisation.hex(),
            )
        )

    async def _total(self, asset: str, sums: FlowSums, place: int) -> Line:
        """The total line of an asset; ``place`` others stand before it."""
        total, scale = sums.assets[asset], await self.scale(asset)
        amounts = (total.filed, total.paid, total.reimbursed, total.patients)
        shown = [Amount(amount, scale) if asset else None for amount in amounts]
        empty: list[None] = [None] * (4 + 5 + len(STAGES) + 1)
        return Line(
            ("total", total.flows, *empty, asset, *shown, None, shown[1], None, None), sums.flows, place, _ASSET
        )

    async def _name(self, key: bytes) -> str:
        """Organisation of a key, or the key where it is admitted no more."""
        if not key:
            return ""
        found = self._names.get(key)
        if found is None:
            try:
                arguments = KeyArguments(key)
                found = (
                    await self._client.view("admission", "certificate", arguments, AdmissionCertificate)
                ).organisation
            except NotFound:
                found = key_text(key)
            self._names[key] = found
        return found

    async def scale(self, asset: str) -> int:
        """Decimal places of an asset; 0 of none."""
        found = self._scales.get(asset)
        if found is None:
            found = (await self._client.view("assets", "asset", AssetArguments(asset), AssetRecord)).scale
            self._scales[asset] = found
        return found
