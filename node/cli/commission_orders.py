"""``tidegate commission book``, ``cancel`` and ``correct``: single orders of the platform.

Signed here with the home's key, or (``--service``) left to the node's own transaction service, which has them booked by
whichever member's bookkeeping service it is set to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from contracts.commission.answers import BookingView
from contracts.commission.records import Sale
from ledger.errors import NotFound
from ledger.keys import SigningKey
from node.cli.commission_session import (
    NoLink,
    Session,
    agreement_option,
    contract_option,
    money,
    open_session,
    require_platform,
)
from node.cli.exit_codes import Refused
from node.cli.options import Target, target_options
from node.cli.output import Report, reporting
from node.importer.plan import Common, default_common
from node.services.bookkeeping import BookkeepingService
from node.services.messages import BOOK, CANCEL, CORRECT, MESSAGE_VERSION, SALES, OrderDone, order_done_codec
from node.services.sales import RawSale, SaleOrder, order_of, sale_order_codec

F = TypeVar("F", bound=Callable[..., Any])
SERVICE_TIMEOUT_S: Final = 90.0


def _sale_options(function: F) -> F:
    options = (
        click.option("--premium", required=True, help="Premium in major units, such as 3000.00."),
        click.option("--amount-insured", default="", help="Amount insured in major units."),
        click.option("--seller", help="By default as booked before, or as the agreement's first mapping row."),
        click.option("--product", help="Likewise."),
        click.option("--channel", help="Likewise."),
        click.option(
            "--sold-on", type=click.DateTime(["%Y-%m-%d"]), help="Day of the sale; as booked before, or today."
        ),
        click.option("--state", "policy_state", default="in_force", show_default=True, help="State of the policy."),
        click.option("--event", "events", multiple=True, help="What has happened to it, such as paid; repeatable."),
    )
    for option in reversed(options):
        function = option(function)
    return function


_service = click.option("--service", is_flag=True, help="Leave it to the node's transaction service.")


@click.command("book")
@target_options
@contract_option
@agreement_option
@click.option("--policy", required=True, help="Policy number.")
@_sale_options
@_service
@reporting
async def book_command(
    report: Report, /, target: Target, contract: str, agreement: str, policy: str, *, service: bool, **sale: Any
) -> None:
    """Book one sale."""
    async with open_session(target, contract) as session:
        raw = await _raw_sale(session, agreement, policy, sale)
        done = await _carry_out(session, SaleOrder(MESSAGE_VERSION, BOOK, agreement, b"", raw), service=service)
        await _show(report, session, [done])


@click.command("cancel")
@target_options
@contract_option
@agreement_option
@click.option("--policy", "policies", required=True, multiple=True, help="Policy number; repeatable.")
@_service
@reporting
async def cancel_command(
    report: Report, target: Target, contract: str, agreement: str, policies: tuple[str, ...], *, service: bool
) -> None:
    """Cancel the latest bookings of policies."""
    async with open_session(target, contract) as session:
        done: list[OrderDone] = []
        for policy in policies:
            booking = await _booking(session, agreement, policy)
            order = SaleOrder(MESSAGE_VERSION, CANCEL, agreement, booking.record.transaction_id, None)
            done.append(await _carry_out(session, order, service=service))
            report.success(f"cancelled {policy}: {_words(done[-1])}")
        report.document({"orders": done})


@click.command("correct")
@target_options
@contract_option
@agreement_option
@click.option("--policy", required=True, help="Policy number.")
@_sale_options
@_service
@reporting
async def correct_command(
    report: Report, /, target: Target, contract: str, agreement: str, policy: str, *, service: bool, **sale: Any
) -> None:
    """Replace the latest booking of a policy by a corrected sale."""
    async with open_session(target, contract) as session:
        booking = await _booking(session, agreement, policy)
        raw = await _raw_sale(session, agreement, policy, sale, booking)
        order = SaleOrder(MESSAGE_VERSION, CORRECT, agreement, booking.record.transaction_id, raw)
        done = await _carry_out(session, order, service=service)
        await _show(report, session, [done])


async def _raw_sale(
    session: Session, agreement: str, policy: str, sale: dict[str, Any], booked: BookingView | None = None
) -> RawSale:
    """The sale that the options say; what they leave out is as booked before, or as the agreement suggests."""
    defaults: Common | Sale = default_common(await session.books.agreement(agreement), "")
    information = None if booked is None else booked.record.inputs[0].information
    if information is not None:
        defaults = information.sale
    parts = {name: sale[name] or getattr(defaults, name) for name in ("seller", "product", "channel")}
    day: datetime | None = sale["sold_on"]
    return RawSale(
        policy=policy,
        premium=sale["premium"],
        sold_on=defaults.sold_on if day is None else int(day.strftime("%Y%m%d")),
        amount_insured=sale["amount_insured"],
        policy_state=sale["policy_state"],
        events=tuple(sale["events"]),
        **parts,
    )


async def _booking(session: Session, agreement: str, policy: str) -> BookingView:
    booking = await session.books.booking(agreement, policy)
    if booking is None:
        raise NotFound(f"policy {policy!r} is not booked under {agreement!r}")
    return booking


async def _carry_out(session: Session, order: SaleOrder, *, service: bool) -> OrderDone:
    if service:
        answer = await session.client.service(SALES, sale_order_codec.encode(order), SERVICE_TIMEOUT_S)
        return _accepted(order_done_codec.decode(answer))
    return await sign_order(session, order, session.key())


async def sign_order(session: Session, order: SaleOrder, key: SigningKey) -> OrderDone:
    """Carries out an order with the platform's key, in this process.

    Raises:
        Refused: another key than the platform's, the chain refused it, or its outcome is not known yet.
        InvalidInput: the order cannot be.
    """
    agreement = await session.books.agreement(order.agreement)
    require_platform(agreement, key)
    organisation = agreement.platform.organisation
    own = BookkeepingService(session.client, NoLink(), key, organisation, contract=session.books.contract)
    return _accepted(await own.execute(organisation, order_of(order, agreement)))


def _accepted(done: OrderDone) -> OrderDone:
    if done.status == "committed":
        return done
    if done.status == "refused":
        raise Refused(f"the chain refused it ({done.code})", code=done.code, tx_id=done.tx_id.hex())
    raise Refused(
        f"it is not known yet whether it took effect; ask with `tidegate tx wait {done.tx_id.hex()}`",
        code="outcome_unknown",
    )


def _words(done: OrderDone) -> str:
    return f"{done.tx_id.hex()}, {'done before' if done.already else f'height {done.height}'}"


async def _show(report: Report, session: Session, orders: list[OrderDone]) -> None:
    for done in orders:
        booking = await session.books.record(done.tx_id)
        scale = (await session.books.agreement(booking.agreement)).scale
        report.success(f"booked {booking.policy}: {_words(done)}")
        report.fields({"pending": money(booking.commission, scale), "on account": booking.pending})
        report.document({"order": done, "booking": booking})
