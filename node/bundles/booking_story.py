"""Tells what a checked commission booking's evidence shows, in words, each thing with the step that proves it."""

from __future__ import annotations

from contracts.commission.calls import Booked, Cancelled, Settled, SettlementRequest
from contracts.commission.state import policy_key
from node.bundles.booking_rules import CheckedBooking
from node.bundles.chains import ProvedChain
from node.bundles.flow_story import sealed_facts
from node.bundles.story import Item, item_of, money_text, time_text, who


def booking_items(found: CheckedBooking, chain: ProvedChain) -> list[Item]:
    """What happened to the booking, in no particular order."""
    agreement, said = found.agreement, found.booked.said
    terms = f"{agreement.agreement}, version {agreement.version}"
    parties = [
        ("agreement", terms),
        ("platform", f"{agreement.platform.organisation}: {who(chain, agreement.platform.key)}"),
        ("insurer", f"{agreement.insurer.organisation}: {who(chain, agreement.insurer.key)}"),
        ("hash of the terms", found.completed.said.agreement_hash.hex()),
    ]
    rate = f"{agreement.rate_ppm / 10_000:g} % of the {agreement.base}, rounded {agreement.rounding}"
    sale = found.sale
    items = [
        item_of(chain, found.proposed.step, "The agreement was drafted and signed by one party", *parties),
        item_of(chain, found.completed.step, "The agreement was signed by the other party", *parties, ("rate", rate)),
        item_of(
            chain,
            found.booked.step,
            "The commission was booked",
            ("policy", said.policy),
            ("product", f"{sale.product}, sold by {sale.seller} through {sale.channel}"),
            ("premium", _money(sale.premium, found)),
            ("rate", rate),
            ("commission", _money(said.commission, found)),
            ("stands on account", said.pending),
            ("place in the agreement", f"{said.sequence}, revision {said.revision}"),
        ),
    ]
    if found.request is not None:
        items.append(_request_item(found, found.request.said, chain))
    if found.settled is not None:
        items.append(_settled_item(found, found.settled.said, chain))
    if found.cancelled is not None:
        cancelled: Cancelled = found.cancelled.said
        title = "The booking was cancelled, or corrected by a later one"
        facts = (("it was", cancelled.status), ("commission taken back", _money(cancelled.commission, found)))
        items.append(item_of(chain, found.cancelled.step, title, *facts))
    return items


def _request_item(found: CheckedBooking, request: SettlementRequest, chain: ProvedChain) -> Item:
    assert found.request is not None
    return item_of(
        chain,
        found.request.step,
        f"Settlement request {request.request} was made by the contract",
        ("because of", f"trigger {request.reason}"),
        ("records in it", str(len(request.items))),
        ("sum", _money(request.amount, found)),
        ("hash of the batch", request.batch_hash.hex()),
    )


def _settled_item(found: CheckedBooking, settled: Settled, chain: ProvedChain) -> Item:
    assert found.settled is not None
    transaction = found.settled.step.transaction
    assert transaction is not None
    currency = found.agreement.currency
    payments = [out for out in transaction.body.outputs if out.asset == currency and out.amount == settled.paid]
    return item_of(
        chain,
        found.settled.step,
        f"Settlement request {settled.request} was settled and paid in one transaction",
        ("records settled", str(settled.count)),
        ("their sum", _money(settled.gross, found)),
        ("clawed back", _money(settled.clawed_back, found) if settled.clawbacks else ""),
        ("paid", _money(settled.paid, found)),
        ("paid to", payments[0].lock if payments and settled.paid else ""),
        *sealed_facts(found.settled.step),
    )


def booking_outcome(found: CheckedBooking) -> str:
    """How the booking stands, in a few words."""
    if found.cancelled is not None:
        status = found.cancelled.said.status
        return "cancelled before it was requested" if status == "pending" else f"cancelled after it was {status}"
    if found.settled is not None:
        return "settled and paid"
    return "requested, not settled" if found.request is not None else "pending"


def booking_statements(found: CheckedBooking, chain: ProvedChain) -> list[str]:
    """What is proved of the booking, one sentence each."""
    said: Booked = found.booked.said
    agreement, step = found.agreement, found.booked.step
    lines = [
        (
            f"Commission {_money(said.commission, found)} on policy {said.policy} is {booking_outcome(found)} "
            f"(record {said.record.hex()})."
        ),
        (
            f"Agreement {agreement.agreement}, version {agreement.version}, was signed by "
            f"{agreement.platform.organisation} and {agreement.insurer.organisation} "
            f"by height {found.completed.step.height} of chain {chain.genesis.name}."
        ),
        (
            f"It was booked at height {step.height} ({time_text(step.time_ms)}); the commission was recomputed "
            "from the agreement and the sale and is right."
        ),
    ]
    if found.settled is not None:
        at = found.settled.step
        signers = "; ".join(who(chain, key) for key in at.signers)
        lines.append(
            f"It was settled at height {at.height} ({time_text(at.time_ms)}) by {signers}, who paid "
            f"{_money(found.settled.said.paid, found)} for {found.settled.said.count} records at once."
        )
    return lines


def booking_gaps(found: CheckedBooking, chain: ProvedChain) -> list[str]:
    """What the bundle does not show of the booking."""
    said: Booked = found.booked.said
    key = policy_key(said.agreement, said.policy)
    standing, kept = chain.standing(found.address, key), chain.newest(found.address, key)
    if standing is not None and kept is not None and standing.value == kept.value:
        return [
            (
                f"The policy's record still stood so after block {standing.height} of chain {chain.genesis.name}; "
                "whether the booking was cancelled or corrected after that block is not shown."
            )
        ]
    return [
        (
            f"Whether the booking was cancelled or corrected after block {found.head_height} of chain "
            f"{chain.genesis.name} is not shown."
        )
    ]


def _money(amount: int, found: CheckedBooking) -> str:
    return money_text(amount, found.agreement.currency, found.agreement.scale)
