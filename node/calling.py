"""Signs calls of contracts, sends them, and waits until their fate is certain.

For services, commands and the SDK: a call either took effect, or an error says why not.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput, Overloaded, RemoteFault
from ledger.keys import SigningKey
from ledger.transaction import MAX_CALL_BYTES, Body, Call, Output, Transaction, build
from ledger.types import OutPoint
from node.clock import monotonic_s
from node.gateway import Gateway, Outcome

R = TypeVar("R", bound=Record)

LIFETIME_BLOCKS: Final = 500
"""Blocks that a call of ours may wait; less where the chain's window is shorter."""
HEIGHT_AGE_S: Final = 5.0
"""A height that old is asked for again before a transaction's expiry is set by it."""
WAIT_S: Final = 15.0
"""After so long without an outcome the transaction is handed in once more; that is idempotent."""
RETRY_S: Final = 0.3
MAX_RETRY_S: Final = 5.0


class CallRefused(InvalidInput):
    """The chain refused the call; ``code`` says why, ``data["outcome"]`` is the refused outcome where there is one."""

    code = "call_refused"


class CallUnresolved(RemoteFault):
    """The node could not be asked long enough to learn what became of a call; ``data["tx_id"]`` names it."""

    code = "call_unresolved"


class Caller:
    """Sends calls with one key.

    Args:
        gateway: a node of the chain.
        key: sender; admitted.
        give_up_s: how long an unreachable or overloaded node is tried again.
    """

    def __init__(self, gateway: Gateway, key: SigningKey, *, give_up_s: float = 120.0) -> None:
        self.gateway = gateway
        self.key = key
        self._give_up_s = give_up_s
        self._chain_id = b""
        self._window = LIFETIME_BLOCKS
        self._height = 0
        self._height_at = -HEIGHT_AGE_S

    async def call(
        self,
        contract: str,
        method: str,
        arguments: Record,
        *,
        cosigners: Iterable[SigningKey] = (),
        inputs: Sequence[OutPoint] = (),
        outputs: Sequence[Output] = (),
    ) -> Outcome:
        """Calls a method and waits until it is in a block.

        Args:
            contract: address.
            method: name.
            arguments: its argument record.
            cosigners: keys that sign too.
            inputs: outpoints to spend.
            outputs: outputs to create.

        Raises:
            CallRefused: it did not take effect; the code is the chain's.
            CallUnresolved: nobody can tell.
        """
        calls = (Call(contract, method, encode(arguments)),)
        return await self.send(calls, cosigners=cosigners, inputs=inputs, outputs=outputs)

    async def send(
        self,
        calls: Sequence[Call],
        *,
        cosigners: Iterable[SigningKey] = (),
        inputs: Sequence[OutPoint] = (),
        outputs: Sequence[Output] = (),
    ) -> Outcome:
        """Sends a transaction with these calls, inputs and outputs; as ``call``."""
        await self._look()
        body = Body(
            1,
            self._chain_id,
            self.key.public,
            self._height + min(LIFETIME_BLOCKS, self._window),
            secrets.token_bytes(16),
            tuple(inputs),
            tuple(outputs),
            tuple(calls),
            (),
            b"",
        )
        return await self.finish(build(body, [self.key, *cosigners]))

    async def finish(self, transaction: Transaction) -> Outcome:
        """Hands a signed transaction in, again where needed, until its fate is certain; as ``call``."""
        begun, pause = monotonic_s(), RETRY_S
        while True:
            try:
                outcome = await self.gateway.submit_and_wait(transaction, WAIT_S)
            except (Overloaded, RemoteFault) as error:
                if monotonic_s() - begun > self._give_up_s:
                    raise CallUnresolved(
                        f"transaction {transaction.tx_id.hex()}: {error.message}", tx_id=transaction.tx_id
                    ) from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_S)
                continue
            except InvalidInput as error:
                raise CallRefused(error.message, code=error.code, tx_id=transaction.tx_id) from error
            if outcome.status == "committed":
                self._saw(outcome.height)
                return outcome
            if outcome.status == "refused" or outcome.code:
                raise CallRefused(
                    f"the chain refused the call: {outcome.code}", code=outcome.code, outcome=outcome,
                    tx_id=transaction.tx_id,
                )  # fmt: skip
            if (await self.gateway.info()).height > transaction.body.expiry_height:
                last = await self.gateway.outcome(transaction.tx_id)
                if last.status != "committed":
                    raise CallRefused("the call's last block went by without it", code="expired", outcome=last)
                return last

    async def _look(self) -> None:
        if monotonic_s() - self._height_at < HEIGHT_AGE_S:
            return
        info = await self.gateway.info()
        self._chain_id, self._window = info.chain_id, info.expiry_window
        self._saw(info.height)

    def _saw(self, height: int) -> None:
        self._height, self._height_at = max(self._height, height), monotonic_s()


def result_of(outcome: Outcome, kind: type[R], call: int = 0) -> R:
    """Result record of a committed call."""
    return Codec(kind, MAX_CALL_BYTES, kind.__name__).decode(outcome.results[call])
