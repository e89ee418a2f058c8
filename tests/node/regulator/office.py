"""The regulator's office: the world of the supervision contract with real rules, behind a ``Gateway``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from contracts import messages as m
from contracts.rulebook.contract import RuleBook
from ledger.block import Header, block_id
from ledger.encoding import Record
from ledger.envelope import EnvelopeContext
from ledger.envelope_document import SealedDocument, commitment_of
from ledger.errors import Overloaded
from ledger.keys import SigningKey
from ledger.sealing import new_document, seal
from ledger.sealing_keys import DecryptionKey
from ledger.transaction import Transaction
from node.calling import Caller
from node.gateway import BlockEvents, ChainInfo, Outcome
from tests.contracts.bridge.kit import Chain
from tests.contracts.supervision.world import FILER, OFFICERS, World


class OfficeGateway:
    """One node's ``Gateway`` to a chain of the kit: a block for each transaction.

    Attributes:
        chain: in the shape that the fake daemon wants too.
        fail_after: submissions that are taken; each one after that is refused as ``Overloaded``. None: all are taken.
        submitted: how many were.
    """

    def __init__(self, chain: Chain) -> None:
        self.kit = chain
        self.chain = self
        self.rules, self.genesis = chain.rules, chain.genesis
        self.outcomes: dict[bytes, Outcome] = {}
        self.blocks = [BlockEvents(0, bytes(32), chain.time_ms, ())] * (chain.height + 1)
        self.fail_after: int | None = None
        self.submitted = 0

    @property
    def height(self) -> int:
        return self.kit.height

    async def info(self) -> ChainInfo:
        tip = self.kit.tip
        return ChainInfo(self.kit.name, self.kit.chain_id, self.kit.height, block_id(tip), tip.time_ms, 1_000)

    async def submit(self, transaction: Transaction) -> bytes:
        await self.submit_and_wait(transaction)
        return transaction.tx_id

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        if transaction.tx_id in self.outcomes:
            return self.outcomes[transaction.tx_id]
        if self.fail_after is not None and self.submitted >= self.fail_after:
            raise Overloaded("the mempool is full", retry_after_ms=1)
        self.kit.check(transaction)
        self.submitted += 1
        (receipt,) = self.kit.block(transaction)
        status = "committed" if receipt.code == "ok" else "refused"
        outcome = Outcome(transaction.tx_id, status, receipt.code, self.kit.height, 0, receipt.events, receipt.results)
        self.outcomes[transaction.tx_id] = outcome
        while len(self.blocks) < self.kit.height:
            self.blocks.append(BlockEvents(len(self.blocks), bytes(32), self.kit.time_ms, ()))
        events = tuple((transaction.tx_id, event) for event in receipt.events)
        self.blocks.append(BlockEvents(self.kit.height, block_id(self.kit.tip), self.kit.time_ms, events))
        return outcome

    async def outcome(self, tx_id: bytes) -> Outcome:
        return self.outcomes.get(tx_id, Outcome(tx_id, "unknown", "", 0, 0, (), ()))

    async def transaction(self, tx_id: bytes) -> Transaction:
        return Transaction.decode(self.kit.transactions[tx_id])

    async def unspent(self, lock: str, **_: Any) -> list[Any]:
        return []

    async def view(self, contract: str, name: str, arguments: Record, result: type) -> Any:
        answer = self.kit.view(contract, name, arguments)
        assert isinstance(answer, result)
        return answer

    async def header(self, height: int) -> tuple[Header, bytes]:
        header = self.kit.headers[height]
        return header, block_id(header)

    async def events(self, from_height: int) -> AsyncIterator[BlockEvents]:
        for block in self.blocks[from_height:]:
            yield block


class Office(World):
    """Attributes: gateway; officers, as callers; and what ``World`` has."""

    def __init__(self) -> None:
        super().__init__()
        self.chain.rules.contracts["rules"] = RuleBook("rules")
        self.gateway = OfficeGateway(self.chain)
        self.officers = self.callers(*OFFICERS)

    def callers(self, *keys: SigningKey) -> list[Caller]:
        return [Caller(self.gateway, key, give_up_s=0.0) for key in keys]

    def held(self, number: int = 0, organisation: str = "hospital A", **changes: Any) -> m.StageRequest:
        """A filing of an organisation of class ``controlled``: an authority has opened it, officers decide."""
        self.classify(organisation, "controlled")
        request = self.ask(self.request(number=number, **changes))
        self.attest(request)
        assert self.status(request) == "pending"
        return request

    def filed_for(self, keys: Sequence[DecryptionKey], body: bytes, number: int = 0) -> tuple[m.StageRequest, Any]:
        """An authorised filing whose envelope can really be opened with ``keys``; and the document."""
        document: SealedDocument = new_document(body, "application/json")
        request = self.request(number=number, commitment=commitment_of(document))
        context = EnvelopeContext(self.source, request.flow, request.stage, request.actor, request.commitment)
        envelope = seal(document, context, [key.public for key in keys], FILER)
        request = self.ask(request, envelope=envelope)
        self.attest(request)
        return request, document
