"""The figures of docs/scale.md come from runs that decide, and what they count is there."""

from __future__ import annotations

import pytest

from tests.sim.scale import World, main


@pytest.mark.parametrize("count", [1, 4, 7])
def test_every_height_is_decided_in_round_zero_when_nobody_is_slow(count):
    found = World(count, 50).run(5)
    assert set(found.rounds.values()) == {0}
    assert found.cpu_ms > 0
    assert min(found.interval_ms) >= 3 * 47 or count == 1
    assert found.sent_bytes > 0 or count == 1


def test_a_dead_proposer_costs_a_round_when_it_is_its_turn():
    world = World(4, 10, dead=(2,))
    found = world.run(8)
    rounds = {world.proposer_index(height, 0) == 2: found.rounds[height] for height in found.rounds}
    assert rounds == {True: 1, False: 0}


def test_more_validators_send_more_bytes_and_take_more_processor_time():
    few, many = World(4, 10).run(3), World(16, 10).run(3)
    assert many.sent_bytes > few.sent_bytes
    assert many.certificate_bytes > few.certificate_bytes


def test_the_command_prints_its_tables(capsys):
    assert main(["--sizes", "4", "--delays", "10", "--heights", "4"]) == 0
    printed = capsys.readouterr().out
    assert "| 4 | 10 |" in printed
    assert "dead from the start" in printed
