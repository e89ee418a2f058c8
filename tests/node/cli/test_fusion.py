"""``tidegate fusion status``: a relay's lag, or why there is none to show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli.app import root
from tests.node.cli.office_desk import OfficeDesk, office_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        yield found


def direction(**changes: Any) -> dict[str, Any]:
    usual = {
        "from": "business",
        "to": "supervision",
        "source_height": 40,
        "delivered_packets": 7,
        "delivered_answers": 5,
        "deliveries": 6,
        "taken_over": 1,
        "failures": 2,
        "under_way": 3,
        "connected": True,
        "frozen": False,
        "proved_height": 38,
        "lag_blocks": 2,
        "proved_ms_ago": 1_234,
        "sent": 9,
        "answered": 5,
        "unanswered": 4,
        "oldest_sequence": 6,
        "oldest_ms": 65_432,
    }
    return usual | changes


def status(*directions: dict[str, Any]) -> dict[str, Any]:
    return {"name": "node4", "organisation": "Fusion 1", "relay": {"directions": list(directions)}}


def test_status_shows_each_direction_when_the_node_relays(desk: OfficeDesk) -> None:
    both = direction(), direction(**{"from": "supervision", "to": "business", "unanswered": 0, "oldest_sequence": None})
    desk.rpc.plan("node.status", status(*both), status(*both))
    assert desk.json("fusion", "status") == {"name": "node4", "organisation": "Fusion 1", "directions": list(both)}
    first, second = desk.run("fusion", "status").stdout.splitlines()[2:]
    assert first.split("  ")[0] == "business → supervision"
    for part in ("2 blocks", "1234 ms", "6, 65.4 s", "7", "5", "1", "3"):
        assert part in first
    assert "none" in second


def test_status_warns_when_a_client_is_frozen_or_the_chains_are_strangers(desk: OfficeDesk) -> None:
    stranger = {"from": "supervision", "to": "business", "connected": False}
    desk.rpc.plan("node.status", status(direction(frozen=True), stranger))
    result = desk.run("fusion", "status")
    assert "frozen" in result.output
    assert "replace the client" in result.stderr
    assert "do not know each other yet" in result.stdout


def test_status_says_so_when_the_node_is_no_fusion_node(desk: OfficeDesk) -> None:
    assert desk.refused("fusion", "status") == "fusion_no_relay"
    assert "one chain only" in desk.run("fusion", "status", code=1).stderr


def test_status_ends_with_four_when_the_node_does_not_answer(tmp_path: Path) -> None:
    result = CliRunner().invoke(root, ["fusion", "status", "--socket", str(tmp_path / "nobody.sock")])
    assert result.exit_code == 4
