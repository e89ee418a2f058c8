"""The driver: durable first, with one sync for all that a turn has to remember, then everything else in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from consensus.messages import Commit, Message, decode_message
from consensus.records import PreparedBlock, SignedVote, record_codec
from ledger.errors import StorageFault
from node.driver import Driver
from node.peers import Peers
from tests.node.cluster import Cluster, MemorySignerLog, running
from tests.node.test_cluster_faults import commit, level
from tests.node.test_driver import FAST


class WatchedLog(MemorySignerLog):
    """Knows what a power failure would leave."""

    def __init__(self) -> None:
        super().__init__()
        self.durable = 0
        self.syncs = 0

    def sync(self) -> None:
        self.durable = len(self.records)
        self.syncs += 1

    def votes(self) -> set[bytes]:
        found = [record_codec.decode(record) for record in self.records[: self.durable]]
        return {record.signature for record in found if isinstance(record, SignedVote)}

    def locks(self) -> set[tuple[int, int]]:
        found = [record_codec.decode(record) for record in self.records[: self.durable]]
        return {(lock.height, lock.certificate.round) for lock in found if isinstance(lock, PreparedBlock)}


def wrap(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, before: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        before(*arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, call)


async def test_nothing_is_said_before_it_is_durable_and_a_turn_has_one_sync(monkeypatch) -> None:
    cluster = Cluster(**FAST)
    logs = {}
    for member in cluster.members:
        member.signer_log = logs[member.validator.public] = WatchedLog()
    early: list[Message] = []
    said: list[Message] = []
    persisted: list[int] = []

    def look(_peers: Peers, payload: bytes) -> None:
        message = decode_message(payload)
        log = logs[message.signer]
        locked = not isinstance(message, Commit) or (message.height, message.round) in log.locks()
        (said if message.signature in log.votes() and locked else early).append(message)

    wrap(monkeypatch, Peers, "broadcast_vote", look)
    wrap(monkeypatch, Driver, "_persist", lambda _driver, records: persisted.append(len(records)))
    async with running(cluster):
        before = sum(log.syncs for log in logs.values())
        for number in range(5):
            await commit(cluster, 0, number)
        await level(cluster)
    assert early == []
    assert len(said) >= 5 * 4 * 2
    assert any(isinstance(message, Commit) for message in said)
    # Lock and COMMIT of one step are one write.
    assert max(persisted) >= 2
    assert sum(log.syncs for log in logs.values()) - before <= len(persisted)


async def test_the_node_stops_and_says_nothing_more_when_a_sync_fails(monkeypatch) -> None:
    cluster = Cluster(**FAST)
    log = cluster.members[3].signer_log = WatchedLog()
    said: list[bytes] = []
    me = cluster.members[3].validator.public

    def look(peers: Peers, payload: bytes) -> None:
        message = decode_message(payload)
        if message.signer == me and message.signature not in log.votes():
            said.append(payload)

    wrap(monkeypatch, Peers, "broadcast_vote", look)
    async with running(cluster):
        await commit(cluster, 0, 0)
        await level(cluster)

        def fail() -> None:
            raise StorageFault("the signer log's fdatasync failed")

        monkeypatch.setattr(log, "sync", fail)
        await commit(cluster, 0, 1)
        with pytest.raises(ExceptionGroup) as caught:
            await cluster.nodes[3].runner
        assert caught.group_contains(StorageFault)
        del cluster.nodes[3]
        await commit(cluster, 0, 2)
    assert said == []
