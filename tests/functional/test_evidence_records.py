"""Evidence of a flow out of a consortium of real daemons, checked after they are gone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.supervised import consortium
from tests.node import traffic as notes

pytestmark = [pytest.mark.functional, pytest.mark.timeout(300)]

PATIENCE_S = 120


def tidegate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "node.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


async def test_a_flows_evidence_outlives_the_daemons(tmp_path: Path) -> None:
    bundle, page = tmp_path / "flow.json", tmp_path / "flow.pdf"
    async with consortium(tmp_path) as net:
        key = net.party("City Hospital").signing
        flow = await notes.file_note(net.business, key)
        async with asyncio.timeout(PATIENCE_S):
            while (await notes.flow_view(net.business, flow)).status != "open":
                await asyncio.sleep(0.05)
        await notes.deliver_note(net.business, key, flow)
        home = str(net.consortium.directory)
        made = await asyncio.to_thread(
            tidegate, "evidence", "export", "--flow", flow.hex(), "-o", str(bundle), "--home", home
        )
        assert made.returncode == 0, made.stderr
        genesis = [
            part
            for name in ("business", "supervision")
            for part in ("--genesis", str(next((net.consortium.directory / name).glob("**/genesis.json"))))
        ]
    checked = tidegate("evidence", "verify", str(bundle), *genesis, "--json")
    assert checked.returncode == 0, checked.stderr
    proved = json.loads(checked.stdout)
    assert (proved["kind"], proved["outcome"], len(proved["chains"])) == ("flow", "closed", 2)
    assert any("was authorised by" in sentence for sentence in proved["statements"])
    assert tidegate("evidence", "report", str(bundle), *genesis, "-o", str(page)).returncode == 0
    assert page.read_bytes().startswith(b"%PDF-")
