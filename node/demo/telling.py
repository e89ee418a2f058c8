"""The demo in words and tables, amounts in major units as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contracts.commission.answers import Books, RequestSummary
from contracts.commission.records import Agreement
from node.cli.commission_session import Money, money
from node.cli.output import Report
from node.consortium.plan import Consortium
from node.demo.audit import Check
from node.demo.charges import Imported
from node.demo.example import REQUEST_NAME, SALES, Example
from node.demo.stage import CURRENCY, SCALE, quorum

if TYPE_CHECKING:
    from node.demo.prescriptions import Played


def heading(report: Report, text: str) -> None:
    """A chapter's title."""
    report.line()
    report.line(click.style(text, bold=True))


def amount(minor_units: int) -> str:
    """An amount as the paper writes it: ``90``, or ``51.77`` where there are cents."""
    return money(minor_units, SCALE).replace(",", "").removesuffix("." + "0" * SCALE)


def show_network(report: Report, consortium: Consortium, directory: Path) -> None:
    """Who takes part."""
    heading(report, "Two networks that share no validator, and the nodes that join them")
    rows = []
    for chain, network in (("business", consortium.business), ("supervision", consortium.supervision)):
        for node in network.nodes:
            role = "validator" if node.validates else "fusion" if node.name in consortium.fusion else "observer"
            if not node.hosted:
                rows.append([chain if role != "fusion" else "both", node.name, node.organisation, role])
    report.table(["chain", "node", "organisation", "role"], rows)
    deciding = sum(node.validates for node in consortium.business.nodes)
    report.line(f"{quorum(deciding)} of {deciding} validators decide; each organisation has its home in {directory}")
    if deciding < 4:
        report.line("With fewer than 4 validators a network tolerates none that lies; run the demo with 4 or more.")


def show_example(report: Report, played: Example) -> None:
    """The tables of PROTOCOL.md 1.4."""
    heading(report, "The worked example: 3 %, settled when 3 are pending")
    report.table(
        ["tx", "source", "premium", "pending", "account"],
        [
            [name, policy, amount(booking.record.inputs[0].amount), amount(booking.commission), booking.pending]
            for (name, policy, _), booking in zip(SALES, played.bookings, strict=True)
        ],
    )
    request = played.request
    report.line()
    report.table(
        ["request", "inputs", "sum", "settled to", "hash of the batch"],
        [
            [
                REQUEST_NAME,
                ", ".join(amount(item.amount) for item in request.items),
                amount(request.amount),
                request.totals[0].account,
                request.batch_hash.hex()[:16] + "…",
            ]
        ],
    )
    report.line(
        f"The insurer's service verified the hash and paid {amount(played.paid)} {CURRENCY}, in one transaction."
    )


def show_import(report: Report, imported: Imported, seconds: float) -> None:
    """How the import went."""
    heading(report, "A real file: charges.csv at 3 %, settled when 100 are pending")
    result, loss = imported.result, imported.loss
    report.line(
        f"{result.booked} policies booked in {seconds:.1f} s, {money(result.amount, SCALE)} {CURRENCY} commission"
    )
    if loss is not None:
        report.line(
            f"{loss.node} was killed (SIGKILL) when {loss.booked} were booked, at height {loss.height}; "
            f"the other {loss.rest} were booked without it"
        )


def show_loss(report: Report, imported: Imported, height: int) -> None:
    """That the killed validator is back."""
    assert imported.loss is not None
    report.line(f"{imported.loss.node} was started again and has the same block {height} as the others")


def show_requests(
    report: Report, terms: Agreement, requests: Sequence[RequestSummary], changed: Sequence[str], books: Books
) -> None:
    """Changes, settlements, books."""
    heading(report, "Second thoughts, and the rest settled")
    report.line(f"cancelled or corrected: {', '.join(changed)}")
    report.line()
    report.table(
        ["request", "reason", "records", "sum", "clawed back", "paid"],
        [
            [
                r.request,
                r.reason,
                r.count,
                Money(r.amount, SCALE),
                Money(r.amount - r.paid, SCALE),
                Money(r.paid, SCALE),
            ]
            for r in requests
        ],
    )
    report.line()
    clawbacks = books.clawbacks + books.clawbacks_waiting
    kinds = {"booked": books.booked, "pending": books.pending, "settled": books.settled, "cancelled": books.cancelled}
    kinds |= {"paid": books.paid, "clawbacks not netted": clawbacks}
    report.table(
        [f"books of {terms.agreement}", terms.currency],
        [[name, Money(minor_units, SCALE)] for name, minor_units in kinds.items()],
    )


def show_prescriptions(report: Report, played: Played) -> None:
    """What became of the prescriptions, and what the regulator did meanwhile."""
    done = played.report
    counts, money_of = done.counts, done.money
    report.line(
        f"{counts['filed']} filed, {counts['authorised']} authorised, {counts['reviewed']} reviewed, "
        f"{counts['ordered']} ordered, {counts['settled']} paid, {counts['delivered']} delivered "
        f"in {played.seconds:.0f} s"
    )
    report.line()
    rows: list[list[object]] = [["refused", reason, count] for reason, count in done.reasons.items()]
    rows.append(["held for officers, then approved", "control class of the hospital", len(played.regulator.approved)])
    rows.append(["authorised by a batch grant", "control class of the hospital", played.batch_used])
    rows.append(["suspended, then resumed", "routine_inspection", int(played.regulator.resumed)])
    rows.append(["expired", "nobody decided for a minute", done.outcomes.get("expired", 0)])
    report.table(["what", "why", "flows"], rows)
    report.line()
    report.table(
        ["step", "p50 ms", "p95 ms", "p99 ms"],
        [[name, each.p50, each.p95, each.p99] for name, each in done.latency.items()],
    )
    report.line()
    total, reimbursed, paid = (
        money(money_of[name], SCALE) for name in ("claims_total", "reimbursed", "paid_by_patients")
    )
    report.line(f"Claims of {total} {done.currency} were paid: {reimbursed} by the payer, {paid} by patients.")
    if played.killed:
        report.line(f"{played.killed}, the fusion node that relayed, was killed (SIGKILL); the other one took over.")
    opened = played.opened
    report.line(
        f"The authority opened all {opened.by_authority} sealed records; of the other parties, {opened.by_others} "
        f"opened one. An order to {played.order_pharmacy} opens for {', '.join(played.readers)} alone."
    )


def show_checks(report: Report, checks: Sequence[Check]) -> None:
    """What the auditor found."""
    heading(report, "The auditor recomputes everything from the file and the unspent outputs (amounts in cents)")
    for check in checks:
        mark = click.style("ok    ", fg="green") if check.ok else click.style("FAILED", fg="red", bold=True)
        report.line(f"{mark} {check.name}: {check.detail}")


def show_verdict(report: Report, checks: Sequence[Check], height: int, seconds: float) -> None:
    """The last line."""
    failed = sum(not check.ok for check in checks)
    report.line()
    if failed:
        report.line(click.style(f"{failed} of {len(checks)} checks failed", fg="red", bold=True))
    else:
        report.success(f"{len(checks)} checks passed; {height} blocks, {seconds:.1f} s")
