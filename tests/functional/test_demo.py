"""The demo as its users start it: real daemons, one of them killed; figures recomputed here from the file alone."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import tempfile
import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from ledger.keys import key_text
from node.demo import example, stage
from node.demo.agreeing import agree
from node.demo.cast import Member
from node.demo.stage import INSURER, PLATFORM
from node.devnet import Devnet
from node.network import NetworkPlan, create_network

pytestmark = [pytest.mark.functional, pytest.mark.timeout(480)]

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "scripts" / "demo"
CHARGES = ROOT / "node" / "demo" / "charges.csv"
CENT = Decimal("0.01")


def cents(premium: str) -> int:
    rounded = Decimal(premium).quantize(CENT, ROUND_HALF_UP)
    return int((rounded * Decimal("0.03")).quantize(CENT, ROUND_HALF_UP) * 100)


def run(tmp_path: Path, *arguments: str) -> dict:
    path = tmp_path / "demo.json"
    done = subprocess.run(
        [DEMO, "--json", path, *arguments],
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout, "a pipe gets plain text"
    return json.loads(path.read_text())


def check_books(found: dict) -> None:
    with CHARGES.open(newline="") as file:
        file_total = sum(cents(row["charges"]) for row in csv.DictReader(file))
    books = found["import"]
    # Each correction books a policy once more; the demo's two are in its own list of changes.
    corrected = cents("18372.37") + cents("38668.552")
    assert books["policies"] == 900
    assert books["booked"] == file_total + corrected
    assert books["booked"] == books["pending"] + books["settled"] + books["cancelled"]
    assert books["pending"] == 0
    assert books["paid"] == books["settled"]


def check_flows(found: dict) -> None:
    """The prescriptions' figures, from the files alone; which flows were settled is the demo's to say."""
    flows, refused = found["flows"], found["flows"]["refused"]
    assert flows["filed"] == 473
    assert set(refused) >= {
        "rules_reviewer_listed", "rules_subject_listed", "rules_subject_drug_listed", "rules_pharmacy_subject_listed",
        "no_cover_for_amount",
    }  # fmt: skip
    assert refused["no_cover_for_amount"] == 7, "every claim without insurance is above the rule's amount"
    assert flows["settled"] == flows["delivered"] == flows["ordered"] >= 473 - sum(refused.values()) - 1
    assert flows["filed"] >= flows["authorised"] >= flows["reviewed"] >= flows["ordered"]
    money = found["money"]
    assert money["claims_total"] == 255_00 * flows["settled"]
    assert money["paid_by_patients"] + money["reimbursed"] == money["claims_total"]
    assert found["tokens"]["pres"] >= flows["reviewed"]
    assert found["tokens"]["order"] >= flows["ordered"]
    relay = found["relay"]
    assert relay["packets"] == relay["answered"] > 5 * flows["settled"]
    assert relay["taken_over"] is True
    supervision = found["supervision"]
    assert (supervision["validators"], len(supervision["state_hash"]) >= 4) == (4, True)
    assert len(set(supervision["state_hash"].values())) == 1
    assert (supervision["committee"], supervision["epochs"]) == (4, 0), "nothing rotates unless it is asked for"
    assert set(found["latency_ms"]) >= {"file", "review", "opinion", "order", "settle"}


def test_demo_comes_out_exactly_when_a_validator_is_killed(tmp_path: Path):
    found = run(tmp_path)
    assert set(found) == {
        "example", "import", "validators", "height", "state_hash", "killed", "seconds", "checks",
        "flows", "tokens", "relay", "supervision", "latency_ms", "money",
    }  # fmt: skip
    example = found["example"]
    assert (example["pending"], example["settled"], example["paid"]) == ([9_000, 12_000, 6_000], 27_000, 27_000)
    assert len(bytes.fromhex(example["request_hash"])) == 32
    assert sorted(example["accounts"].values()) == [0, 0, 27_000]
    check_books(found)
    assert found["validators"] == 4
    assert sorted(found["state_hash"]) == ["node0", "node1", "node2", "node3"]
    assert len(set(found["state_hash"].values())) == 1
    assert found["killed"] == {"node": "node3", "caught_up": True}
    assert found["checks"]
    assert all(check["ok"] for check in found["checks"])
    check_flows(found)
    assert found["seconds"] < 240


def test_demo_says_so_when_no_quorum_would_be_left(tmp_path: Path):
    found = run(tmp_path, "--validators", "1", "--supervision-validators", "1")
    check_books(found)
    assert found["killed"] == {"node": None, "caught_up": None}
    assert sorted(found["state_hash"]) == ["node0", "node1"]


async def test_worked_example_comes_out_when_a_third_member_books():
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        plan = NetworkPlan(
            directory=Path(directory) / "n",
            organisations=(PLATFORM, INSURER),
            assets=stage.assets(),
            accounts=stage.accounts(),
            services={PLATFORM: ("transaction",), INSURER: ("settlement",), "Member D": ("bookkeeping",)},
            bookkeepers={PLATFORM: "Member D"},
        )
        network = create_network(plan)
        async with Devnet(network.directory) as devnet:
            await devnet.start()
            await devnet.wait_ready(peers=3)
            async with Member(network.nodes[0]) as platform, Member(network.nodes[1]) as insurer:
                await agree(platform, insurer, example.AGREEMENT, stage.EXAMPLE_LINE, count=3)
                played = await example.play(platform, insurer, PLATFORM)
                booked = await platform.client.transaction(played.bookings[0].record.transaction_id)
    assert [booking.commission for booking in played.bookings] == [9_000, 12_000, 6_000]
    assert (played.settled, played.paid) == (27_000, 27_000)
    assert key_text(booked.body.sender) == network.nodes[2].member


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_everything_stops_when_interrupted(signum: signal.Signals):
    # Not pytest's own directory: its path is too long for the sockets in it.
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        interrupt(Path(directory), signum)


def interrupt(tmp_path: Path, signum: signal.Signals) -> None:
    process = subprocess.Popen(
        [DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("tidegate-demo-*/net/*/node*/run/rpc.sock"))) < 10:
            assert time.monotonic() < deadline, "the daemons do not come up"
            assert process.poll() is None
            time.sleep(0.05)
        files = tmp_path.glob("tidegate-demo-*/net/*/node*/run/node.pid")
        pids = [json.loads(path.read_text())["pid"] for path in files]
        process.send_signal(signum)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, output
    assert not list(tmp_path.glob("tidegate-demo-*"))
    assert len(pids) == 10
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
