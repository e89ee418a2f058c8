"""docs/networks.md, command by command: three homes to a first settled record, and a ceremony of three members."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic

import pytest

from tests.functional.documented import reader
from tests.functional.load import until

pytestmark = pytest.mark.functional

NODES = ["platform-b", "insurer-c", "member-d"]


async def test_newcomer_settles_a_record_when_the_document_is_followed(tmp_path: Path) -> None:
    begun = monotonic()
    async with reader(tmp_path) as newcomer:
        await newcomer.follow("new")
        assert [command.split("/")[-1] for command in newcomer.commands("run")] == NODES
        await newcomer.start_all(NODES)
        checked, status = await newcomer.follow("look")
        assert "0 errors" in checked
        assert "platform-b of Platform B (validator)" in status
        *_, report = await newcomer.follow("settle")
        row = next(line for line in report.splitlines() if line.startswith("b-c"))
        assert row.split()[2:6] == ["90.00", "0.00", "90.00", "0.00"]
        print(f"first settled record after {monotonic() - begun:.1f} s, of commands and machines alone")


async def test_nodes_agree_when_each_member_has_made_its_own_keys(tmp_path: Path) -> None:
    async with reader(tmp_path) as members:
        await members.run("tidegate network example > network.toml")
        members.change_ports()
        for block in ("propose", "member", "draft", "sign", "join"):
            await members.follow(block)
        # Nothing that was passed around holds a secret.
        seeds = [
            json.loads(path.read_bytes())["secret"] for path in tmp_path.rglob("keys/*.key") if "homes" in path.parts
        ]
        passed = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("*.json"))
        assert len(seeds) == 12
        assert not [seed for seed in seeds if seed in passed]
        # A founding file that somebody has changed on the way is refused at every member.
        founding = (tmp_path / "founding.json").read_text(encoding="utf-8")
        (tmp_path / "forged.json").write_text(founding.replace("100000000", "100000001"), encoding="utf-8")
        refused = await members.run("tidegate network join forged.json --home homes/member-d", code=3)
        assert "member_file_foreign" in refused
        await members.start_all(NODES)

        async def decided() -> bool:
            found = [await members.status(name) for name in NODES]
            return all(status and status["chain"]["height"] >= 1 for status in found)

        await until(decided, "a block is decided", 120)
        await members.stop("member-d")
        # A node that does not run dials its peers and compares its clock with theirs.
        found = json.loads(await members.run("tidegate config check --home homes/member-d --json"))
        assert (found["errors"], found["warnings"]) == (0, 0), found
        codes = [finding["code"] for finding in found["findings"]]
        assert codes.count("peer.reachable") == 2
        assert "clock.offset" in codes
        pinned = await members.run("tidegate network show genesis.json --json")
        assert json.loads(pinned)["genesis"] in members.home("member-d").config_file.read_text(encoding="utf-8")
