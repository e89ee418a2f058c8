"""A whole network in one process: real chain, consensus, mempool and sync over memory stores and the memory overlay."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from ledger.admission import AdmissionCertificate, sign_certificate
from ledger.genesis import (
    AssetDoc,
    ContractDoc,
    Genesis,
    Parameters,
    SupplyDoc,
    certificate_doc,
    chain_id_of,
    format_genesis,
    parse_genesis,
)
from ledger.keys import SigningKey, key_text
from ledger.store import Store
from ledger.store_memory import MemoryStore
from ledger.transaction import Body, Output, Transaction, build, outpoint
from node.core import NodeCore
from node.mempool import MempoolLimits
from p2p.identity import TransportKey
from p2p.memory import MemoryNetwork
from p2p.transport import PeerAddress

FAR_FUTURE_MS = 2**50
SUPPLY = 1_000_000


class MemoryDisk(MemoryStore):
    """A store that survives the node that closes it."""

    def close(self) -> None:
        pass


class MemorySignerLog:
    """The signer log of a simulated disk; survives the node."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.needs_compaction = False

    def append(self, records: list[bytes]) -> None:
        self.records.extend(records)

    def sync(self) -> None:
        pass

    def compact(self, records: list[bytes]) -> None:
        self.records = list(records)


class Member:
    """One organisation: its keys and its disk."""

    def __init__(self, index: int) -> None:
        self.name = f"Member {index}"
        self.validator = SigningKey.generate()
        self.member = SigningKey.generate()
        self.transport = TransportKey(secrets.token_bytes(32))
        self.store: Store = MemoryDisk()
        self.signer_log = MemorySignerLog()
        self.signer_log_exists = False
        self.reporter: SigningKey | None = self.member
        self.evidence_file: Path | None = None


def make_genesis(
    members: Iterable[Member], validators: Iterable[Member], authority: SigningKey | None = None, **parameters: int
) -> Genesis:
    """A genesis for ``members`` with a currency of which each has ``SUPPLY`` in ten outputs."""
    authority = authority or SigningKey.generate()
    lock = f"key({key_text(authority.public)})"
    salt = secrets.token_hex(16)
    chain_id = chain_id_of("test", 1_700_000_000_000, salt, lock)
    docs, serial = [], 0
    for member in members:
        for key, transport, roles in (
            (member.validator.public, member.transport.public_key, ("validator",)),
            (member.member.public, b"", ("member",)),
        ):
            serial += 1
            certificate = AdmissionCertificate(chain_id, serial, key, transport, member.name, roles, 0, FAR_FUTURE_MS)
            docs.append(certificate_doc(sign_certificate(certificate, [authority])))
    supply = tuple(
        SupplyDoc(amount=SUPPLY // 10, lock=f"key({key_text(member.member.public)})")
        for member in members
        for _ in range(10)
    )
    genesis = Genesis(
        name="test",
        created_ms=1_700_000_000_000,
        salt=salt,
        suite="ed25519-sha256",
        authority=lock,
        validators=tuple(key_text(member.validator.public) for member in validators),
        certificates=tuple(docs),
        assets=(AssetDoc(asset="CNY", issuers=(), supply=supply),),
        contracts=tuple(
            ContractDoc(address=kind, kind=kind)
            for kind in ("admission", "governance", "validators", "accounts", "assets", "commission")
        ),
        parameters=Parameters(**parameters),
    )
    return parse_genesis(format_genesis(genesis))


class RunningNode:
    """A node of the cluster that is up."""

    def __init__(self, core: NodeCore, runner: asyncio.Task[None]) -> None:
        self.core = core
        self.runner = runner

    @property
    def height(self) -> int:
        return self.core.chain.tip.height


class Cluster:
    """Members 0 … n−1, the first ``validators`` of them validating, connected as ``links`` says (default: all)."""

    def __init__(
        self,
        count: int = 4,
        validators: int | None = None,
        links: Iterable[tuple[int, int]] | None = None,
        limits: MempoolLimits | None = None,
        **parameters: int,
    ) -> None:
        self.members = [Member(index) for index in range(count)]
        self.authority = SigningKey.generate()
        self.genesis = make_genesis(self.members, self.members[: validators or count], self.authority, **parameters)
        everybody = [(a, b) for a in range(count) for b in range(a + 1, count)]
        self.links = list(links) if links is not None else everybody
        self.network = MemoryNetwork()
        self.nodes: dict[int, RunningNode] = {}
        self.limits = limits or MempoolLimits()

    async def start(self, index: int) -> NodeCore:
        member = self.members[index]
        neighbours = [b if a == index else a for a, b in self.links if index in (a, b)]
        addresses = [PeerAddress(self.members[n].transport.peer_id, "memory", 1) for n in neighbours]

        def open_log() -> tuple[MemorySignerLog, list[bytes], bool]:
            created, member.signer_log_exists = not member.signer_log_exists, True
            return member.signer_log, list(member.signer_log.records), created

        core = NodeCore(
            self.genesis,
            member.store,
            member.validator,
            self.network.transport(member.transport.peer_id),
            addresses=addresses,
            limits=self.limits,
            open_signer_log=open_log,
            answer_service=_no_service,
            reporter=member.reporter,
            evidence_file=member.evidence_file,
        )
        await core.start()
        ready = asyncio.Event()

        async def run() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    core.spawn(group)
                    ready.set()
            finally:
                await core.stop()

        self.nodes[index] = RunningNode(core, asyncio.create_task(run()))
        await ready.wait()
        return core

    async def stop(self, index: int) -> None:
        """Ends a node at once; its disk stays."""
        node = self.nodes.pop(index)
        node.runner.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await node.runner

    async def wait(self, what: Callable[[], bool], seconds: float = 20.0) -> None:
        """Until ``what`` holds; a node that fails meanwhile fails the test."""
        async with asyncio.timeout(seconds):
            while not what():
                for node in self.nodes.values():
                    if node.runner.done():
                        await node.runner
                await asyncio.sleep(0.005)

    async def wait_height(self, height: int, indices: Iterable[int] | None = None, seconds: float = 20.0) -> None:
        wanted = list(self.nodes if indices is None else indices)
        await self.wait(lambda: all(self.nodes[i].height >= height for i in wanted), seconds)

    def core(self, index: int) -> NodeCore:
        return self.nodes[index].core

    def genesis_output(self, member: int, number: int = 0) -> bytes:
        """Outpoint of one of a member's outputs of SUPPLY // 10."""
        return outpoint(self.genesis.hash, member * 10 + number)

    def transfer(
        self,
        sender: int,
        receiver: int,
        amount: int,
        source: bytes | None = None,
        value: int = SUPPLY // 10,
        *,
        expiry: int = 1_000,
    ) -> Transaction:
        """A signed transfer from one of the sender's outputs, with change."""
        key = self.members[sender].member
        outputs = [Output("CNY", amount, f"key({key_text(self.members[receiver].member.public)})")]
        if value > amount:
            outputs.append(Output("CNY", value - amount, f"key({key_text(key.public)})"))
        body = Body(
            version=1,
            chain_id=self.genesis.chain_id,
            sender=key.public,
            expiry_height=expiry,
            nonce=secrets.token_bytes(16),
            inputs=(source or self.genesis_output(sender),),
            outputs=tuple(outputs),
            calls=(),
            attachments=(),
            memo=b"",
        )
        return build(body, [key])


async def _no_service(service: str, organisation: str, payload: bytes) -> bytes:
    raise NotImplementedError


@contextlib.asynccontextmanager
async def running(cluster: Cluster, *indices: int) -> AsyncIterator[Cluster]:
    """Starts the nodes (all by default) and stops whatever runs at the end."""
    try:
        for index in indices or range(len(cluster.members)):
            await cluster.start(index)
        yield cluster
    finally:
        for index in list(cluster.nodes):
            await cluster.stop(index)
