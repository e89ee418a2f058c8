"""Binary bulk submission: the body of ``/v1/transactions`` and its answer. The hot path: nothing here is per client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from ledger.errors import MalformedBytes, Overloaded, TidegateError
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction
from ledger.types import TxId
from node.gateway import Outcome
from node.intake import Intake
from node.local import LocalGateway
from node.rpc.fields import MAX_TIMEOUT_MS

MAX_BULK_TRANSACTIONS: Final = 1_000

_bulk_encoder = msgspec.msgpack.Encoder()


class BulkSubmission:
    """Takes many transactions at once.

    Args:
        gateway: of the daemon.
        intake: the way in.

    Attributes:
        requests: bodies taken so far; for metrics.
        transactions: in them.
    """

    def __init__(self, gateway: LocalGateway, intake: Intake) -> None:
        self._gateway = gateway
        self._intake = intake
        self.requests = 0
        self.transactions = 0

    async def answer(self, body: bytes, wait: str) -> tuple[bool, bytes]:
        """(whether anything was taken, MessagePack array of ``[tx_id, status, code]``).

        Args:
            body: u32 big-endian length and wire for each transaction.
            wait: milliseconds to wait for the block, as the query says.

        Raises:
            MalformedBytes: a length is wrong, there are too many, or ``wait`` is no number; nothing was taken.
        """
        try:
            wait_ms = min(max(0, int(wait)), MAX_TIMEOUT_MS)
        except ValueError as error:
            raise MalformedBytes("wait_ms is a number of milliseconds", code="params_invalid") from error
        wires = _split(body)
        self.requests += 1
        self.transactions += len(wires)
        answers = await self._submit_and_wait(wires, wait_ms) if wait_ms else await self._submit(wires)
        taken = not answers or any(status != "overloaded" for _, status, _ in answers)
        return taken, _bulk_encoder.encode(answers)

    async def _submit(self, wires: list[bytes]) -> list[tuple[bytes, str, str]]:
        return [_immediate(answer) for answer in await self._intake.submit_many(wires)]

    async def _submit_and_wait(self, wires: list[bytes], wait_ms: int) -> list[tuple[bytes, str, str]]:
        watched: dict[TxId, asyncio.Future[Outcome]] = {}

        def watch(tx_id: TxId) -> None:
            with contextlib.suppress(Overloaded):  # too many wait: the answer is what is known at the end
                watched[tx_id] = self._gateway.watch(tx_id)

        try:
            answers = await self._intake.submit_many(wires, on_admit=watch)
            for answer in answers:
                if isinstance(answer, Transaction) and answer.tx_id not in watched:
                    outcome = await self._gateway.outcome(answer.tx_id)
                    if outcome.status == "pending":  # it was here before
                        watch(answer.tx_id)
            if watched:
                await asyncio.wait(watched.values(), timeout=wait_ms / 1000)
            found: list[tuple[bytes, str, str]] = []
            for answer in answers:
                future = watched.get(answer.tx_id) if isinstance(answer, Transaction) else None
                if future is not None and future.done():
                    outcome = future.result()
                    found.append((outcome.tx_id, outcome.status, outcome.code))
                elif isinstance(answer, Transaction):
                    outcome = await self._gateway.outcome(answer.tx_id)
                    found.append((outcome.tx_id, outcome.status, outcome.code))
                else:
                    found.append(_immediate(answer))
            return found
        finally:
            for tx_id, future in watched.items():
                self._gateway.unwatch(tx_id, future)


def _immediate(answer: Transaction | TidegateError) -> tuple[bytes, str, str]:
    if isinstance(answer, Transaction):
        return answer.tx_id, "pending", ""
    return b"", "overloaded" if isinstance(answer, Overloaded) else "rejected", answer.code


def _split(body: bytes) -> list[bytes]:
    wires: list[bytes] = []
    position = 0
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        wire = body[position + 4 : position + 4 + size]
        if len(wire) != size or not 0 < size <= MAX_TRANSACTION_BYTES:
            raise MalformedBytes(f"transaction {len(wires)}: bad length {size}")
        wires.append(wire)
        if len(wires) > MAX_BULK_TRANSACTIONS:
            raise MalformedBytes(f"at most {MAX_BULK_TRANSACTIONS} transactions at once")
        position += 4 + size
    return wires
