"""Unspent outputs of a key, lent to many payments at once so that no two spend the same; and money for patients.

A purse keeps what it lends until the payment is in a block, takes the change back then, and reads the chain anew when a
node says that an output is gone (somebody else spends with the same key).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.codes import INPUT_MISSING
from ledger.keys import SigningKey, key_text
from ledger.transaction import Output, outpoint
from ledger.types import OutPoint, PublicKey
from node.calling import CallRefused
from node.flow.errors import PurseEmpty
from node.flow.submitting import Submitter
from node.gateway import Gateway

PAGE: Final = 500
MAX_OUTPUTS: Final = 4_000
"""Outputs of one key that a purse looks at."""
MAX_INPUTS: Final = 64
"""Outputs that one payment takes from one purse."""
MAX_FUNDED: Final = 64
"""Patients that one transfer of the bank pays."""


def lock_of(key: PublicKey) -> str:
    """The lock of what one key owns."""
    return f"key({key_text(key)})"


@dataclass(slots=True)
class Loan:
    """Outputs that a payment may spend.

    Attributes:
        amount: that it has to pay.
        inputs: outpoints.
        total: what they hold; the rest of it is change.
    """

    amount: int
    inputs: tuple[OutPoint, ...] = ()
    total: int = 0
    _taken: dict[OutPoint, int] = field(default_factory=dict)

    @property
    def change(self) -> int:
        """What goes back to the owner."""
        return self.total - self.amount


class Purse:
    """The outputs of one key in one asset.

    Args:
        gateway: a node of the business chain.
        key: whose.
        asset: which.

    Attributes:
        asset: as given.
        lock: of its outputs.
        turn: held by who finds out what the purse lacks, and has it filled.
    """

    def __init__(self, gateway: Gateway, key: PublicKey, asset: str) -> None:
        self.turn = asyncio.Lock()
        self._gateway = gateway
        self.asset = asset
        self.lock = lock_of(key)
        self._free: OrderedDict[OutPoint, int] = OrderedDict()
        self._lent: dict[OutPoint, int] = {}
        self._spent: set[OutPoint] = set()
        self._loaded = False
        self._changed = asyncio.Condition()

    async def take(self, amount: int) -> Loan:
        """Outputs that hold ``amount`` at least; waits for the change of other payments where there is not enough.

        Raises:
            PurseEmpty: all that the key has, lent or not, is less.
        """
        async with self._changed:
            if not self._loaded:
                await self._load()
            while True:
                chosen = self._choose(amount)
                if chosen is not None:
                    loan = Loan(amount, tuple(chosen), sum(chosen.values()), chosen)
                    for name, value in chosen.items():
                        del self._free[name]
                        self._lent[name] = value
                    return loan
                if not self._lent:
                    raise PurseEmpty(
                        f"{self.lock} holds {sum(self._free.values())} minor units of {self.asset}, "
                        f"{amount} are needed",
                        holds=sum(self._free.values()),
                        needed=amount,
                    )
                await self._changed.wait()

    async def holds(self) -> int:
        """Minor units that are not lent."""
        async with self._changed:
            if not self._loaded:
                await self._load()
            return sum(self._free.values())

    async def give_back(self, loan: Loan) -> None:
        """The payment did not happen: what was lent can be spent again."""
        async with self._changed:
            for name in loan.inputs:
                value = self._lent.pop(name, None)
                if value is not None:
                    self._free[name] = value
            self._changed.notify_all()

    async def spent(self, loan: Loan, change: OutPoint | None) -> None:
        """The payment is in a block; ``change`` is the outpoint of what came back, None where nothing did."""
        async with self._changed:
            for name in loan.inputs:
                self._lent.pop(name, None)
                self._spent.add(name)
            if change is not None:
                self._free[change] = loan.change
            self._changed.notify_all()

    async def received(self, name: OutPoint, amount: int) -> None:
        """Somebody paid: an output that the purse may not have seen yet."""
        async with self._changed:
            if self._loaded and name not in self._lent and name not in self._spent:
                self._free[name] = amount
                self._changed.notify_all()

    async def rebuild(self) -> None:
        """Reads the chain anew; what is lent stays lent."""
        async with self._changed:
            await self._load()
            self._changed.notify_all()

    def _choose(self, amount: int) -> dict[OutPoint, int] | None:
        """The oldest output that is enough, else several: outputs take turns, so that many can be under way."""
        if amount == 0:
            return {}
        for name, value in self._free.items():
            if value >= amount:
                return {name: value}
        chosen: dict[OutPoint, int] = {}
        for name, value in sorted(self._free.items(), key=lambda item: -item[1])[:MAX_INPUTS]:
            chosen[name] = value
            if sum(chosen.values()) >= amount:
                return chosen
        return None

    async def _load(self) -> None:
        found: OrderedDict[OutPoint, int] = OrderedDict()
        after: OutPoint | None = None
        while len(found) < MAX_OUTPUTS:
            page = await self._gateway.unspent(self.lock, asset=self.asset, after=after, limit=PAGE)
            for item in page:
                name = OutPoint(item.outpoint)
                if name not in self._lent and name not in self._spent:
                    found[name] = item.output.amount
            if len(page) < PAGE:
                break
            after = OutPoint(page[-1].outpoint)
        self._free, self._loaded = found, True


class Purses:
    """The purses of a client, by key and asset."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._purses: dict[tuple[PublicKey, str], Purse] = {}

    def of(self, key: PublicKey, asset: str) -> Purse:
        """The purse of a key in an asset, made when it is first asked for."""
        found = self._purses.get((key, asset))
        if found is None:
            found = self._purses[key, asset] = Purse(self._gateway, key, asset)
        return found

    def drop(self, key: PublicKey, asset: str) -> None:
        """Forgets a purse that is not needed any more."""
        self._purses.pop((key, asset), None)


class Bank:
    """Gives patients exactly what they have to pay, several in one transfer.

    Args:
        submitter: hands transfers in.
        purses: of the client.
        key: the bank's.
    """

    def __init__(self, submitter: Submitter, purses: Purses, key: SigningKey) -> None:
        self._submitter = submitter
        self._purses = purses
        self._key = key
        self._queue: list[tuple[PublicKey, str, int, asyncio.Future[OutPoint]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def fund(self, receiver: PublicKey, asset: str, amount: int) -> OutPoint:
        """Pays ``amount`` to ``receiver``; the outpoint of it.

        Raises:
            PurseEmpty, CallRefused, CallUnresolved: the transfer did not happen, or nobody knows.
        """
        future: asyncio.Future[OutPoint] = asyncio.get_running_loop().create_future()
        self._queue.append((receiver, asset, amount, future))
        task = asyncio.create_task(self._pay())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await future

    async def _pay(self) -> None:
        # One turn of the loop, so that settlements that move on with the same block share a transfer.
        await asyncio.sleep(0)
        while self._queue:
            asset = self._queue[0][1]
            batch = [item for item in self._queue if item[1] == asset][:MAX_FUNDED]
            self._queue = [item for item in self._queue if item not in batch]
            try:
                names = await self._transfer(asset, [(receiver, amount) for receiver, _, amount, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits for the money gets to know why
                for _, _, _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, _, _, future), name in zip(batch, names, strict=True):
                    if not future.done():
                        future.set_result(name)

    async def _transfer(self, asset: str, payments: Sequence[tuple[PublicKey, int]]) -> list[OutPoint]:
        purse = self._purses.of(self._key.public, asset)
        total = sum(amount for _, amount in payments)
        for last in (False, False, True):
            loan = await purse.take(total)
            outputs = [Output(asset, amount, lock_of(receiver)) for receiver, amount in payments]
            if loan.change:
                outputs.append(Output(asset, loan.change, purse.lock))
            try:
                sent = await self._submitter.send(self._key, (), inputs=loan.inputs, outputs=outputs)
            except CallRefused as error:
                await purse.give_back(loan)
                if last or error.code != INPUT_MISSING:
                    raise
                await purse.rebuild()
                continue
            await purse.spent(loan, outpoint(sent.tx_id, len(payments)) if loan.change else None)
            return [outpoint(sent.tx_id, place) for place in range(len(payments))]
        raise AssertionError("the last attempt returns or raises")
