"""What the doctor says about a relay."""

from __future__ import annotations

from typing import Any

import pytest

from node.doctor.crossing import examine_relay
from node.relay.service import RelayService
from tests.node.doctor.statuses import direction
from tests.node.relay.test_idle import register
from tests.node.two_chains import two_chains


def found(*standing: str, **changes: Any) -> list[tuple[str, str]]:
    """Codes and words when the direction to the supervision chain is so."""
    relay = {"directions": [direction("business", "supervision"), direction("supervision", "business")]}
    relay["directions"][0].update(changes)
    return [(finding.code, finding.words) for finding in examine_relay(relay, standing)]


def test_nothing_is_found_when_packets_cross() -> None:
    assert found() == []
    assert found(unanswered=3, oldest_ms=2_000) == []


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"connected": False}, "relay.apart", "supervision does not know business"),
        ({"frozen": True}, "relay.frozen", "two certified blocks"),
        ({"proved_ms_ago": 45_000}, "relay.stale", "45 s old, 30 s are allowed"),
        ({"unanswered": 7, "oldest_ms": 200_000, "failures": 4}, "relay.stuck", "7 packets are not answered"),
    ],
)
def test_the_fault_is_found_when_one_direction_has_it(changes: dict[str, Any], code: str, words: str) -> None:
    ((found_code, found_words),) = found(**changes)
    assert found_code == code
    assert words in found_words


def test_only_the_standing_chain_is_named_when_it_explains_what_waits() -> None:
    assert [code for code, _ in found("supervision", unanswered=7, oldest_ms=200_000, proved_ms_ago=99_000)] == [
        "relay.chain_stands"
    ]


def test_nothing_is_said_of_what_waits_while_the_node_catches_up() -> None:
    assert found(catching_up=True, unanswered=7, oldest_ms=200_000) == []


async def test_real_relays_are_judged_as_they_are() -> None:
    async with two_chains(introduce=False, authorities=1, empty_block_ms=300) as world:
        await world.kill_authority(0)
        watching = RelayService(*world.ends(0))

        def codes() -> set[str]:
            return {finding.code for finding in examine_relay(watching.document(), [])}

        assert codes() == {"relay.apart"}
        await register(world, 3_000)
        await world.until(lambda: codes() == set())
        await world.kill_relay(0)
        await world.until(lambda: codes() == {"relay.stale"})
        world.start_relay(0)
        await world.until(lambda: codes() == set())
