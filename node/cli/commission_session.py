"""What the commission commands share: a connection to the node, the home's key, and carrying out an order with it."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import click
import structlog

from contracts.admission import CertificatePage, KeyArguments, PageArguments
from contracts.assets import AssetArguments, AssetRecord
from contracts.commission.records import INSURER, PLATFORM, Agreement
from ledger.admission import AdmissionCertificate
from ledger.errors import NotFound, PeerUnavailable
from ledger.keys import SigningKey, key_text
from ledger.transaction import Body, build
from node.cli.exit_codes import Refused
from node.cli.options import Target
from node.client import Client
from node.gateway import Outcome, ServiceHandler
from node.services.books import CommissionBooks

F = TypeVar("F", bound=Callable[..., Any])
TIMEOUT_S: Final = 30.0
OVERLOAD_RETRIES: Final = 20


def contract_option(function: F) -> F:
    """Adds ``--contract``, the address of the commission contract."""
    option = click.option(
        "--contract", default="commission", show_default=True, help="Address of the commission contract."
    )
    return option(function)


def agreement_option(function: F) -> F:
    """Adds ``--agreement``, an agreement's id."""
    return click.option("--agreement", required=True, help="Id of the agreement.")(function)


@dataclass(frozen=True, slots=True)
class Session:
    """A command's connection.

    Attributes:
        client: to the node.
        books: of the commission contract.
        target: where keys are read from, when one is needed.
    """

    client: Client
    books: CommissionBooks
    target: Target

    def key(self) -> SigningKey:
        """The member key of the home. Raises ``InvalidConfig``."""
        return self.target.member_key()

    async def organisation_of(self, key: bytes) -> str:
        """Whose key that is, by its admission certificate. Raises ``NotFound``."""
        query = KeyArguments(key)
        return (await self.client.view("admission", "certificate", query, AdmissionCertificate)).organisation

    async def member_key_of(self, organisation: str) -> bytes:
        """The key that an organisation submits with: its first certificate with the role ``member``.

        Raises:
            NotFound: it has none.
        """
        after = 0
        while True:
            page = await self.client.view("admission", "certificates", PageArguments(after, 200), CertificatePage)
            for certificate in page.certificates:
                if certificate.organisation == organisation and "member" in certificate.roles:
                    return certificate.key
            if not page.certificates:
                raise NotFound(f"no organisation {organisation!r} is admitted here with a key that submits")
            after = page.certificates[-1].serial

    async def scale_of(self, asset: str) -> int:
        """Decimal places of an asset. Raises ``NotFound``."""
        return (await self.client.view("assets", "asset", AssetArguments(asset), AssetRecord)).scale

    async def submit(self, body: Body, key: SigningKey) -> Outcome:
        """Signs, submits, and waits for the block.

        Raises:
            Refused: the chain refused it.
            InvalidInput: the node did.
        """
        return require_committed(await self.client.submit_and_wait(build(body, (key,)), TIMEOUT_S))


@asynccontextmanager
async def open_session(target: Target, contract: str = "commission") -> AsyncIterator[Session]:
    """Connects to the node that ``--home`` or ``--socket`` means."""
    with quiet_services():
        async with Client(target.socket, overload_retries=OVERLOAD_RETRIES) as client:
            yield Session(client, CommissionBooks(client, contract), target)


@contextmanager
def quiet_services() -> Iterator[None]:
    """Commands carry orders out with the code of the services, whose log lines are no part of a command's result."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def require_committed(outcome: Outcome) -> Outcome:
    """The outcome itself when the transaction took effect.

    Raises:
        Refused: it did not, or it is not known yet; ``code`` says which.
    """
    if outcome.status == "committed":
        return outcome
    tx_id = outcome.tx_id.hex()
    if outcome.status == "refused":
        raise Refused(f"the chain refused the transaction ({outcome.code})", code=outcome.code, tx_id=tx_id)
    raise Refused(
        f"it is not known yet whether the transaction took effect; ask with `tidegate tx wait {tx_id}`",
        code="outcome_unknown",
        tx_id=tx_id,
    )


def party_of_key(agreement: Agreement, key: SigningKey) -> str:
    """Which side of the agreement the key signs for.

    Raises:
        Refused: neither.
    """
    if key.public == agreement.platform.key:
        return PLATFORM
    if key.public == agreement.insurer.key:
        return INSURER
    raise Refused(
        f"this home's key {key_text(key.public)} is neither side's of agreement {agreement.agreement!r}: use the home "
        f"of {agreement.platform.organisation} or {agreement.insurer.organisation}",
        code="not_permitted",
    )


def require_platform(agreement: Agreement, key: SigningKey) -> None:
    """Refuses to sign for the platform with another key than the agreement names."""
    if party_of_key(agreement, key) != PLATFORM:
        raise Refused(
            f"only {agreement.platform.organisation} books under {agreement.agreement!r}: use its home",
            code="not_permitted",
        )


class NoLink:
    """The ``ServiceLink`` of a command: there are no other members' services to ask."""

    async def request(self, node: str, service: str, payload: bytes, timeout_s: float = 10.0) -> bytes:
        """Always raises ``PeerUnavailable``."""
        del payload, timeout_s
        raise PeerUnavailable(f"a command cannot ask service {service!r} of {node}; its node can")

    def serve(self, service: str, handler: ServiceHandler) -> None:
        """Does nothing: nobody can ask a command."""


class Money(int):
    """An amount of minor units that reads like ``money`` and stands in a table like the number that it is."""

    scale: int

    def __new__(cls, amount: int, scale: int) -> Self:
        """Args: minor units, and the decimal places of the minor unit."""
        found = super().__new__(cls, amount)
        found.scale = scale
        return found

    def __str__(self) -> str:
        return money(int(self), self.scale)


def money(amount: int, scale: int) -> str:
    """Minor units as people write them: ``money(1234567, 2) == "12,345.67"``."""
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return f"{sign}{int(whole):,}{'.' if scale else ''}{fraction}"
