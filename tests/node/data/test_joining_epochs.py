"""Joining and archives where the set of validators has changed: trust goes from set to set."""

from __future__ import annotations

from pathlib import Path

from node.chain import Chain
from node.data.archives import export, verify
from node.data.joining import Joined, Joiner
from tests.node.cluster import Cluster, MemoryDisk, running
from tests.node.data.grown import INTERVAL, Answering
from tests.node.sets import PATIENCE_S, assert_one_chain, change, transfers
from tests.node.test_driver import FAST


async def test_a_node_joins_over_changes_of_the_set_and_becomes_a_validator(tmp_path: Path) -> None:
    cluster = Cluster(5, validators=1, **FAST, empty_block_ms=100, checkpoint_interval=INTERVAL)
    async with running(cluster, 0, 1, 2, 3):
        await change(cluster, 0, add=[1, 2])
        height = await change(cluster, 1, add=[3], remove=[0])
        await cluster.wait_height(height + 2 * INTERVAL + 1, seconds=PATIENCE_S)
        # Node 4 takes the state of a checkpoint from node 1 and is then started on it.
        core, stores, peers = cluster.core(1), [], Answering()
        peers.serving["one"] = lambda kind, payload: core.snapshots.serve(payload)  # type: ignore[index]

        def empty() -> MemoryDisk:
            stores.append(MemoryDisk())
            return stores[-1]

        how, joined = await Joiner(cluster.genesis, peers, empty).run()
        assert how is Joined.SNAPSHOT
        cluster.members[4].store = stores[-1]
        chain = Chain(cluster.genesis, stores[-1])
        assert chain.store.verify_all(lambda height: chain.seats_at(height).validators).ok
        assert len(chain.store.kept_below_base()) == 3  # block 0, and the two headers that changed the set
        await cluster.start(4)
        async with transfers(cluster, 2):
            first = await change(cluster, 1, add=[4], remove=[2])
            await cluster.wait_height(first + 2, seconds=PATIENCE_S)
        assert joined
        tip = cluster.core(1).chain.tip.height
        await cluster.wait_height(tip, seconds=PATIENCE_S)
        own = cluster.members[4].validator.public
        sealed = [
            own in {key for key, _ in cluster.core(4).chain.store.certificate(height).seals}
            for height in range(first, cluster.core(4).chain.tip.height + 1)
        ]
        assert any(sealed)
        # An archive over the same changes proves itself from the genesis file; without one of them it does not.
        file = tmp_path / "all.archive"
        export(cluster.core(1).chain, 1, first + 1, file)
        assert verify(file, cluster.genesis).to_height == first + 1
        file = tmp_path / "end.archive"
        export(cluster.core(1).chain, first, first + 1, file)
        assert verify(file, cluster.genesis).from_height == first


async def test_a_set_that_was_not_handed_over_to_is_refused_when_a_header_is_left_out() -> None:
    from ledger.encoding import encode
    from node.data.snapshot_wire import EpochProofs, Part, epochs_codec, wanted_codec

    cluster = Cluster(4, validators=1, **FAST, empty_block_ms=100, checkpoint_interval=INTERVAL)
    async with running(cluster, 0, 1, 2, 3):
        await change(cluster, 0, add=[1, 2])
        height = await change(cluster, 1, add=[3], remove=[0])
        await cluster.wait_height(height + 2 * INTERVAL + 1, seconds=PATIENCE_S)
        core, peers = cluster.core(1), Answering()

        async def leaving_out(kind: object, payload: bytes) -> bytes:
            answer = await core.snapshots.serve(payload)
            wanted = wanted_codec.decode(payload)
            if wanted.part == Part.EPOCHS and wanted.number == 0:
                return encode(EpochProofs(epochs_codec.decode(answer).proofs[1:]))
            return answer

        peers.serving["liar"] = leaving_out  # type: ignore[index]
        joiner = Joiner(cluster.genesis, peers, MemoryDisk, patience_s=0)
        offers = await joiner._offers()
        (peer,) = offers
        assert await joiner._attempt(peer, offers[peer]) is None
        assert joiner.refused == {"liar": "client_set_wrong"}
        await assert_one_chain(cluster)
