"""A node that makes blocks when a test says so, whole sets of validators signing, and its RPC on a real socket.

``lies`` maps a method to what is done to its answers: ``lie(params, answer)`` gives another answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from ledger.certificate import CommitCertificate, VoteKind, vote_digest
from ledger.document import to_document
from ledger.errors import InvalidInput, NotFound, Overloaded, RemoteFault, TidegateError
from ledger.genesis import Genesis, format_genesis, parse_genesis
from ledger.rotation import RotationDoc
from ledger.transaction import Transaction
from node.chain import Candidate
from node.rpc.method import Method
from node.rpc.methods_chain import ChainMethods
from node.rpc.methods_prepare import PrepareMethods
from node.rpc.methods_transactions import TransactionMethods
from node.rpc.proofs import ProofMethods
from tests.node.bare import Bare, _impossible
from tests.node.cluster import Cluster

Lie = Callable[[dict[str, Any], Any], Any]
FAMILIES = (
    (Overloaded, "overloaded"),
    (NotFound, "not_found"),
    (InvalidInput, "invalid_input"),
    (RemoteFault, "remote_fault"),
)


def rotating(cluster: Cluster, committee: int = 4, epoch_blocks: int = 4) -> Cluster:
    """The cluster with committees that take turns."""
    rotation = RotationDoc(committee=committee, epoch_blocks=epoch_blocks)
    cluster.genesis = parse_genesis(format_genesis(msgspec.structs.replace(cluster.genesis, rotation=rotation)))
    return cluster


class Door:
    """One RPC socket of a node; lies are its own.

    Args:
        methods: of the node.

    Attributes:
        lies: by method.
        calls: methods asked, in order.
        faults: by method, raised instead of an answer, once each.
        down: the connection ends without an answer.
    """

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = methods
        self.lies: dict[str, Lie] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[TidegateError]] = {}
        self.down = False

    async def answer(self, method: str, params: dict[str, Any]) -> Any:
        if self.faults.get(method):
            raise self.faults[method].pop(0)
        known = self.methods[method]
        result = to_document(await known.call(msgspec.convert(params, known.params)))
        lie = self.lies.get(method)
        return result if lie is None else lie(params, result)

    async def _json_rpc(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        self.calls.append(call["method"])
        if self.down:
            request.transport.close()  # type: ignore[union-attr]
            return web.Response()
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            reply["result"] = await self.answer(call["method"], call.get("params") or {})
        except TidegateError as error:
            family = next((name for kind, name in FAMILIES if isinstance(error, kind)), "error")
            facts = {key: value for key, value in error.data.items() if isinstance(value, str | int)}
            data = {**facts, "code": error.code, "family": family}
            reply["error"] = {"code": -32000, "message": error.message, "data": data}
        return web.Response(body=json.dumps(reply), content_type="application/json")

    async def serve(self, path: Path) -> web.AppRunner:
        """Serves on a Unix socket; the caller cleans the runner up."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_post("/", self._json_rpc)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        return runner


class Node(Bare, Door):
    """See the module."""

    def __init__(self, cluster: Cluster) -> None:
        self.waiting = asyncio.Event()
        Bare.__init__(self, cluster=cluster)
        self.keys = {bytes(member.validator.public): member.validator for member in cluster.members}
        areas = (
            ChainMethods(self.chain, self.gateway),
            TransactionMethods(self.chain, self.gateway),
            PrepareMethods(self.chain),
            ProofMethods(self.chain),
        )
        Door.__init__(self, {method.name: method for area in areas for method in area.table()})

    @property
    def genesis(self) -> Genesis:
        return self.cluster.genesis

    def _on_waiting(self) -> None:
        self.waiting.set()

    async def build(self, transactions: Sequence[Transaction]) -> tuple[Candidate, CommitCertificate]:
        height = self.chain.tip.height + 1
        proposer = self.chain.seats_at(height).validators.keys[0]
        time_ms = self.chain.tip.header.time_ms + 1
        candidate = await self.chain.build(transactions, proposer, time_ms, _impossible)
        return candidate, self.certificate(candidate.block.header, candidate.id)

    def certificate(self, header: Any, name: bytes) -> CommitCertificate:
        """Of everybody who decides the header's height."""
        signed = vote_digest(header.chain_id, header.epoch, VoteKind.COMMIT, header.height, 0, name)
        keys = self.chain.seats_at(header.height).validators.keys
        seals = tuple((bytes(key), self.keys[bytes(key)].sign(signed)) for key in keys)
        return CommitCertificate(header.height, header.epoch, 0, name, seals)

    async def grow(self, blocks: int) -> None:
        """Empty blocks, or what waits."""
        for _ in range(blocks):
            await self.commit()
            while not self.chain.checkpoints.run_slice(64):
                pass

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A block for whatever is handed in."""

        async def work() -> None:
            while True:
                await self.waiting.wait()
                self.waiting.clear()
                await self.grow(1)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def pay_soon(self, number: int = 0, **changes: int) -> Transaction:
        """A payment that waits in the mempool."""
        transaction = self.pay(number, **changes)
        await self.gateway.submit(transaction)
        return transaction
