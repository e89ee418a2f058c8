"""The transactions of a locked block survive a power failure everywhere."""

from types import SimpleNamespace

import pytest

from consensus.records import record_codec
from node.locked_body import PART_BYTES, LockedBodies
from tests.node.cluster import Cluster
from tests.sim.node.load import Load
from tests.sim.node.net import Net
from tests.sim.node.stage import stage
from tests.sim.node.world import World


def lose_power_after_the_lock(count, compacting=False):
    """All validators of a chain die at once: most have decided the block, none has stored it."""
    world = World(1, tracing=False)

    async def story():
        net = Net(world, stage(count, count))
        net.log_bound_bytes = 0 if compacting else 1 << 24
        world.nets.append(net)
        net.start()
        await world.until(lambda: len(net.running) == count, 5, "not all nodes came up")
        await world.sleep(2.5)
        for machine in net.machines:
            machine.crash_at("chain.commit.before", 1)
        made = Load(net).transfer()
        assert Load(net).hand_in(net.machines[0], made)
        await world.until(lambda: 2 * len(net.running) < count, 30, "most nodes did not die")
        for machine in net.running:
            machine.crash("the power fails")
        assert made.tx_id not in net.watch.placed
        net.start()
        await world.until(lambda: made.tx_id in net.watch.placed, 30, "the locked block was not decided")
        await world.until(lambda: len({machine.height for machine in net.machines}) == 1, 30, "not one tip")
        await net.stop()
        net.watch.check_stores()

    outcome = world.play(story)
    assert outcome.violation is None
    assert outcome.situations["restart_with_prepared_certificate"] > count // 2


@pytest.mark.parametrize("count", [1, 4])
def test_locked_block_is_decided_when_power_failed_everywhere(count):
    lose_power_after_the_lock(count)


def test_locked_block_is_decided_when_log_was_compacted_before():
    lose_power_after_the_lock(4, compacting=True)


def test_body_is_written_in_parts_once_when_its_transactions_are_large():
    cluster = Cluster(2)
    sources = [cluster.genesis_output(0, number) for number in range(3)]
    small = [cluster.transfer(0, 1, 5, source) for source in sources]
    wide = [SimpleNamespace(wire=each.wire + bytes(PART_BYTES), size_bytes=PART_BYTES + 1) for each in small]
    chain = SimpleNamespace(candidate=lambda _name: SimpleNamespace(transactions=wide))
    prepared = SimpleNamespace(height=3, certificate=SimpleNamespace(block_id=bytes(32)))
    bodies = LockedBodies(chain, None)

    records = bodies.of(prepared)

    found = [record_codec.decode(record) for record in records]
    assert [record.part for record in found] == [0, 1, 2]
    assert [wire for record in found for wire in record.transactions] == [each.wire for each in wide]
    assert bodies.of(prepared) == []
