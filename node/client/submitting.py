"""Submitting until a transaction is in a block: again and again, at whichever node answers, and always harmlessly.

A transaction is named by what it says, so handing it in twice is handing it in once (DESIGN.md 8). It ends when it is
in a block, when the time is up (the third answer: not known yet), or when no block may contain it any more.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from msgspec.structs import replace

from ledger.errors import InvalidInput, NotFound, Overloaded, RpcUnavailable
from ledger.transaction import Transaction
from node.client.http import NodeHttp
from node.client.nodes import BEHIND, Nodes
from node.client.reading import read, retry_after_s
from node.client.verifying import Verifier
from node.gateway import ChainInfo, Outcome

LONG_POLL_S: Final = 20.0
FIRST_PAUSE_S: Final = 0.05
MAX_PAUSE_S: Final = 1.0
SETTLED_STATUSES: Final = ("committed", "refused")
"""Statuses that do not change any more."""
EXPIRED: Final = "expired"
"""Code of an ``unknown`` outcome that will never be another: no block may contain the transaction any more."""


class Submission:
    """One transaction on its way.

    Args:
        nodes: to hand it in at.
        verifier: proves what nodes say; None: they are believed.
        transaction: signed.
        overload_retries: how often it is handed in again after a node had no room.
        timeout_s: for all of it; None: until it expires.
    """

    def __init__(
        self,
        nodes: Nodes,
        verifier: Verifier | None,
        transaction: Transaction,
        *,
        overload_retries: int,
        timeout_s: float | None,
    ) -> None:
        self._nodes = nodes
        self._verifier = verifier
        self._transaction = transaction
        self._retries = max(overload_retries, len(nodes) - 1)
        self._ends = None if timeout_s is None else monotonic() + timeout_s
        self._maybe_sent = False
        self._denials = 0
        self._pause = FIRST_PAUSE_S

    @property
    def _rest_s(self) -> float:
        return LONG_POLL_S if self._ends is None else max(0.0, self._ends - monotonic())

    async def run(self) -> Outcome:
        """See ``Client.submit_and_wait``."""
        latest = Outcome(self._transaction.tx_id, "unknown", "", 0, 0, (), ())
        while True:
            expired = self._ends is None and await self._has_expired()
            try:
                latest = await self._nodes.run(self._once)
                self._pause = FIRST_PAUSE_S if latest.status == "pending" else min(2 * self._pause, MAX_PAUSE_S)
            except Overloaded as error:
                self._on_overload(error)
            except NotFound as error:
                if error.code != BEHIND:
                    raise
                # It is in a block of a node that knows less than we do: another one may prove it, or this one later.
                self._pause = min(2 * self._pause, MAX_PAUSE_S)
            except InvalidInput as error:
                if error.code != EXPIRED or not self._maybe_sent:
                    raise
                latest = replace(latest, status="unknown", code="")
                expired = True
            except RpcUnavailable as error:
                self._maybe_sent = self._maybe_sent or error.data.get("sent") is True
                if not self._maybe_sent:
                    raise
                self._pause = min(2 * self._pause, MAX_PAUSE_S)
            if latest.status in SETTLED_STATUSES or self._rest_s == 0:
                return latest
            if expired and latest.status == "unknown":
                self._denials += 1
                if self._denials >= len(self._nodes):
                    return replace(latest, code=EXPIRED)
            # The long poll does the waiting; this only keeps a node that answers at once from being asked in a loop.
            await asyncio.sleep(min(self._pause, self._rest_s))
            self._nodes.rotate()  # whoever withholds an answer delays it by one poll

    async def _once(self, node: NodeHttp) -> Outcome:
        wait = min(self._rest_s, LONG_POLL_S)
        params = {"transaction": self._transaction.wire.hex(), "timeout_ms": int(wait * 1000)}
        outcome = read(await node.call("tx.submit_and_wait", params, wait_s=wait), Outcome)
        self._maybe_sent = True
        if self._verifier is not None and outcome.status in SETTLED_STATUSES:
            outcome = await self._verifier.outcome(node, outcome)
        return outcome

    def _on_overload(self, error: Overloaded) -> None:
        if self._retries == 0 or self._rest_s == 0:
            raise error
        self._retries -= 1
        self._pause = retry_after_s(error)

    async def _has_expired(self) -> bool:
        """Whether no block above those that are known can contain the transaction."""
        verifier, expiry = self._verifier, self._transaction.body.expiry_height
        try:
            if verifier is not None:
                if verifier.light.height < expiry:
                    await self._nodes.run(verifier.light.follow)
                return verifier.light.height >= expiry
            return read(await self._nodes.call("chain.info"), ChainInfo).height >= expiry
        except (RpcUnavailable, Overloaded, NotFound):
            return False
