"""Seeded schedules over whole clusters: safe under any faults, live once they stop."""

from __future__ import annotations

import pytest

from consensus.timing import Parameters
from tests.consensus.liar import Liar
from tests.consensus.network import Network

SCHEDULES = 240


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_height_takes_one_round_when_nothing_fails(count):
    net = Network(count, count)
    net.start()
    net.run_to_height(20, within_ms=20_000)
    assert all(node.max_round == 0 for node in net.nodes)
    assert not any(node.refused for node in net.nodes)


def disturb(net: Network) -> None:
    """Some mixture of faults for a while; the seed picks it."""
    pick = net.random
    net.drop = pick.choice([0, 0.05, 0.2, 0.5])
    net.duplicate = pick.choice([0, 0.2])
    net.delay_ms = pick.choice([(1, 20), (1, 300), (1, 2_500)])
    net.crash_rate = pick.choice([0, 0, 0.002, 0.02])
    if pick.random() < 0.5:
        net.groups = {id(node): pick.randrange(2) for node in net.nodes}
    elif pick.random() < 0.3:
        deaf = {id(node) for node in net.nodes if pick.random() < 0.3}
        net.filter = lambda _sender, receiver: id(receiver) not in deaf


def calm(net: Network) -> None:
    net.drop = net.duplicate = net.crash_rate = 0
    net.delay_ms = (1, 20)
    net.groups = {}
    net.filter = lambda _sender, _receiver: True


def run_schedule(seed: int, faulty: str) -> None:
    count = [2, 3, 4, 4, 4, 5, 7][seed % 7]
    bad = (count - 1) // 3
    net = Network(
        seed,
        count,
        twins=bad if faulty == "twins" else 0,
        liars=dict.fromkeys(range(bad), Liar) if faulty == "liars" else None,
    )
    net.start()
    for _ in range(net.random.randrange(1, 4)):
        disturb(net)
        net.run(net.now + net.random.randrange(500, 8_000))
    calm(net)
    net.run(net.now + 4_500)  # whoever crashed is back
    goal = max(node.height for node in net.honest()) + 3
    net.run_to_height(goal, within_ms=90_000)


@pytest.mark.parametrize("block", range(8))
@pytest.mark.parametrize("faulty", ["", "twins", "liars"])
def test_clusters_stay_safe_and_recover_when_disturbed(block, faulty):
    size = SCHEDULES // 24
    for seed in range(block * size, (block + 1) * size):
        try:
            run_schedule(seed, faulty)
        except BaseException as error:
            error.add_note(f"seed {seed}, faulty: {faulty or 'none'}")
            raise


def test_a_replay_is_the_same_when_the_seed_is():
    def trace() -> tuple[object, ...]:
        net = Network(5, 4)
        net.start()
        disturb(net)
        net.run(5_000)
        return net.messages, net.decided, net.now, sorted(map(repr, net.said))

    assert trace() == trace()


@pytest.mark.parametrize("dead", [0, 1, 2, 3])
def test_a_dead_proposer_costs_little_when_the_others_are_busy(dead):
    net = Network(1, 4)
    net.start()
    net.run_to_height(8, within_ms=5_000)
    net.nodes[dead].crash()
    net.nodes[dead].chain = [*net.nodes[dead].chain] * 100  # it does not count towards the goal
    net.run(net.now + 10_000)
    before, since = min(node.height for node in net.nodes), net.now
    net.run_to_height(before + 40, within_ms=60_000)
    lost = (net.now - since) / 10
    assert lost < 600, f"{lost} ms lost at each height of the dead proposer"


def test_an_idle_chain_makes_an_empty_block_at_the_interval_only():
    net = Network(3, 4, auto_work=False)
    net.start()
    net.run(35_000)
    assert {node.height for node in net.nodes} == {3}
    assert all(node.max_round == 0 for node in net.nodes)


def test_a_dead_proposer_of_an_idle_chain_is_noticed():
    net = Network(3, 4, auto_work=False)
    net.start()
    net.nodes[0].crash()  # proposer of height 1 is index 0
    net.nodes[0].chain = [None] * 100  # type: ignore[list-item]
    net.run_to_height(1, within_ms=13_000)


def test_a_cluster_recovers_from_a_long_outage_within_seconds():
    net = Network(7, 4)
    net.start()
    net.run_to_height(3, within_ms=5_000)
    net.groups = {id(node): i for i, node in enumerate(net.nodes)}
    net.run(3_600_000)
    rounds = [node.place[1] for node in net.nodes]
    assert max(rounds) <= 2, rounds  # the timer is gated: nobody races ahead alone
    net.groups = {}
    net.run_to_height(6, within_ms=15_000)


def test_a_cluster_recovers_when_all_restart_in_different_rounds():
    net = Network(9, 4, parameters=Parameters())
    net.start()
    net.run_to_height(2, within_ms=5_000)
    net.drop = 1.0
    for turn in range(6):
        for node in net.nodes[: 1 + turn % 4]:
            node.crash()
            node.start()
        net.run(net.now + 5_000)
    net.drop = 0.0
    net.run_to_height(5, within_ms=60_000)


@pytest.mark.parametrize("seed", range(12))
def test_a_validator_restored_from_a_backup_does_not_sign_twice(seed):
    """Its signer log lost the newest records; what its peers return keeps it silent until that height is decided."""
    net = Network(seed, 4)
    net.may_observe = True
    net.start()
    net.run_to_height(2 + seed % 4, within_ms=10_000)
    height = max(node.height for node in net.nodes) + 1
    victim = net.nodes[(height - 1) % 4]  # proposer of that height
    net.run(net.now + 5_000, lambda: victim.height == height - 1)
    backup = list(victim.disk)
    net.run(net.now + 5_000, lambda: victim.place == (height, 0) and bool(victim.state.current.own))
    net.run(net.now + net.random.randrange(3, 30))
    victim.crash()
    victim.disk = backup
    returned = [node.state.latest.get(victim.key) for node in net.nodes if node is not victim]
    victim.start(first=[message for message in returned if message is not None])
    net.run_to_height(height + 4, within_ms=60_000)
    assert not any(node.refused for node in net.nodes)
    assert victim.key in {record[0] for record in net.said if record[1] > height + 1}  # it signs again later
