"""The regulator's whole story on real daemons: two networks of two validators, a fusion node, commands as people type.

Rules are proposed, approved by two officers, activated, change a decision, and are rolled back; what they hold waits
for officers; a flow is suspended, resumed and terminated, and the business chain hears of each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from contracts.flow import answers as flow_answers
from contracts.messages import FILE
from ledger.sealing import new_document
from node.consortium.bootstrap import Bootstrap
from node.consortium.plan import ConsortiumPlan, create_consortium
from node.consortium.running import ConsortiumNet
from node.flow.client import FlowClient
from node.flow.errors import StageRefused
from tests.functional.load import until

pytestmark = [pytest.mark.functional, pytest.mark.timeout(600)]

KIND = """
name = "permit"
version = 1
max_staleness_ms = 60000
masked = []
[[stages]]
stage = "file"
need = "decision"
purpose = ""
deadline_ms = 600000
window_ms = 0
"""
RULES = """
description = "units"
[attributes]
units = "int"
[lists.known]
kind = "subject"
stages = ["file"]
mode = "deny"
entries = [{id_number = "BAD 1"}]
[expressions.far_too_many]
when = "units > 10"
stages = ["file"]
reason = "too_many_units"
[expressions.many]
when = "units > 5"
stages = ["file"]
effect = "hold"
reason = "many_units"
"""
TWO = ("--officer", "Officer 1", "--officer", "Officer 2")
WAIT_S = 60.0


class Regulators:
    """The consortium as its regulator and a hospital see it."""

    def __init__(self, directory: Path, net: ConsortiumNet, flows: FlowClient) -> None:
        self.directory, self.net, self.flows = directory, net, flows
        self.hospital = net.consortium.parties.party("City Hospital").signing

    async def tidegate(self, *words: str, home: str = "", code: int = 0) -> Any:
        """The document that a command prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "node.cli", *words, "--json", "--home", str(self.directory / home),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        output, errors = await process.communicate()
        assert process.returncode == code, f"{words}: {process.returncode}: {errors.decode()}"
        return json.loads(output)

    async def file(self, units: int, subject: str = "S 1") -> bytes:
        """Files a permit; its flow's id."""
        body = json.dumps({"subject_id": subject, "attributes": {"units": units}}).encode()
        document = new_document(body, "application/json")
        return (await self.flows.file(self.hospital, document, kind="permit")).flow

    async def authorised(self, flow: bytes) -> bytes:
        """Waits for the authorisation and returns its hash."""
        return (await self.flows.until_done(flow, FILE, timeout_s=WAIT_S)).authorisation

    async def refused(self, flow: bytes) -> StageRefused:
        """Waits for the refusal."""
        with pytest.raises(StageRefused) as caught:
            await self.flows.until_done(flow, FILE, timeout_s=WAIT_S)
        return caught.value

    async def business_view(self, flow: bytes) -> flow_answers.FlowView:
        return await self.flows.show(flow)


@asynccontextmanager
async def regulators(directory: Path) -> AsyncIterator[Regulators]:
    create_consortium(
        ConsortiumPlan(
            directory=directory, validators=2, supervision_validators=2, fusion_nodes=1, reviewers=1, pharmacies=1
        )
    )
    async with ConsortiumNet(directory) as net:
        await net.start()
        async with net.business_client() as business, net.supervision_client() as supervision:
            await Bootstrap(net.consortium, business, supervision).run()
            async with FlowClient(business) as flows:
                yield Regulators(directory, net, flows)


async def test_regulator_decides_changes_rules_and_controls_flows_when_officers_agree(tmp_path: Path) -> None:
    # A socket's path is short, and a test's directory is not.
    with TemporaryDirectory(prefix="tg") as short:
        async with regulators(Path(short) / "c") as world:
            await _story(world, tmp_path)


async def _story(world: Regulators, tmp_path: Path) -> None:
    await _define_kind(world, tmp_path)
    free = await world.file(20)
    await world.authorised(free)
    version, digest = await _propose(world, tmp_path)
    await _approve_and_activate(world, version, digest)
    refusal = await world.refused(await world.file(20))
    assert (refusal.code, refusal.rule, refusal.rule_version) == ("too_many_units", "far_too_many", version)
    assert (await world.refused(await world.file(1, "bad-1"))).code == "rules_subject_listed"
    await world.authorised(await world.file(1))
    await _officers_decide(world)
    await _roll_back(world)
    await _look(world, free)
    await _control(world, free)


async def _define_kind(world: Regulators, directory: Path) -> None:
    (directory / "kind.toml").write_text(KIND, encoding="utf-8")
    key = world.directory / "business" / "authority" / "keys" / "authority.key"
    words = ("governance", "propose-kind", str(directory / "kind.toml"), "--key", str(key))
    made = await world.tidegate(*words, home="business")
    assert made["status"] == "executed"


async def _propose(world: Regulators, directory: Path) -> tuple[int, str]:
    (directory / "rules.toml").write_text(RULES.replace("units > 5", "unit > 5"), encoding="utf-8")
    words = ["rules", "propose", str(directory / "rules.toml"), "--officer", "Officer 1"]
    words += ["--authority-home", str(world.directory / "supervision" / "node0")]
    wrong = await world.tidegate(*words, code=3)
    assert "expressions.many (line 15): line 1, column 1: unknown name unit" in wrong["error"]["message"]
    (directory / "rules.toml").write_text(RULES, encoding="utf-8")
    made = await world.tidegate(*words)
    dry = await world.tidegate("rules", "dry-run", str(made["version"]))
    assert dry["by_rule"] == [{"rule": "far_too_many", "before": "allow", "after": "refuse", "requests": 1}]
    return made["version"], made["digest"]


async def _approve_and_activate(world: Regulators, version: int, digest: str) -> None:
    words = ("rules", "approve", str(version), "--digest", digest)
    assert not (await world.tidegate(*words, "--officer", "Officer 2"))["approved"]
    alone = await world.tidegate("rules", "activate", str(version), "--officer", "Officer 2", code=1)
    assert alone["error"]["code"] == "rules_status_wrong"
    await world.authorised(await world.file(20))
    assert (await world.tidegate(*words, "--officer", "Officer 3"))["approved"]
    await world.tidegate("rules", "activate", str(version), "--officer", "Officer 1")


async def _officers_decide(world: Regulators) -> None:
    approved, rejected = await world.file(7), await world.file(8)

    async def both_wait() -> bool:
        found = await world.tidegate("supervision", "pending")
        return {item["request"]["flow"] for item in found["pending"]} == {approved.hex(), rejected.hex()}

    await until(both_wait, "both requests wait for officers", WAIT_S)
    first = await world.tidegate("supervision", "approve", approved.hex(), "--officer", "Officer 1")
    assert first["status"] == "pending"
    assert (await world.business_view(approved)).authorisation == b""
    second = await world.tidegate("supervision", "approve", approved.hex()[:12], "--officer", "Officer 3")
    assert second["status"] == "authorised"
    assert (await world.authorised(approved)).hex() == second["transaction"]
    await world.tidegate("supervision", "reject", rejected.hex(), "--reason", "not_needed", *TWO)
    assert (await world.refused(rejected)).code == "not_needed"


async def _roll_back(world: Regulators) -> None:
    alone = await world.tidegate("rules", "rollback", "0", "--officer", "Officer 1")
    assert not alone["done"]
    assert (await world.refused(await world.file(30))).code == "too_many_units"
    assert (await world.tidegate("rules", "rollback", "0", "--officer", "Officer 2"))["done"]
    await world.authorised(await world.file(40))


async def _look(world: Regulators, flow: bytes) -> None:
    """What the regulator finds under a subject, opens, and leaves in the log."""
    home = "supervision/node0"
    by_id = ("--id-number", "s-1", "--authority-home", str(world.directory / home))
    records = (await world.tidegate("supervision", "subject", *by_id))["records"]
    assert flow.hex() in {record["flow"] for record in records}
    opening = ("supervision", "record", flow.hex(), "file", "--open", "--purpose", "court")
    opened = await world.tidegate(*opening, home=home)
    assert opened["document"] == {"subject_id": "S 1", "attributes": {"units": 20}}
    assert (await world.tidegate(*opening, home="supervision/node1", code=78))["error"]["code"]
    log = (await world.tidegate("supervision", "log"))["disclosures"]
    assert [entry["purpose"] for entry in log].count("court") == 1
    stages = (await world.tidegate("supervision", "watch", "--once"))["stages"]
    assert (stages["permit/file"]["refused"], stages["permit/file"]["held"]) == (4, 2)
    fusion = next(node for node in world.net.consortium.business.nodes if node.organisation.startswith("Fusion"))
    status = await world.tidegate("fusion", "status", home=f"business/{fusion.name}")
    assert [item["connected"] for item in status["directions"]] == [True, True]
    assert sum(item["delivered_packets"] for item in status["directions"]) > 0
    none = await world.tidegate("fusion", "status", home="business/node0", code=1)
    assert none["error"]["code"] == "fusion_no_relay"


async def _control(world: Regulators, flow: bytes) -> None:
    """A permit that is only filed has ended on the business chain; one that waits is controlled while it does."""
    version, digest = await _hold_all(world)
    await _approve_and_activate_quickly(world, version, digest)
    waiting = await world.file(6)

    async def held() -> bool:
        found = await world.tidegate("supervision", "pending")
        return waiting.hex() in {item["request"]["flow"] for item in found["pending"]}

    await until(held, "the request is held", WAIT_S)
    name = waiting.hex()
    await world.tidegate("supervision", "suspend", name, "--reason", "complaint", *TWO)
    await until(lambda: _suspended(world, waiting, wanted=True), "the business chain hears of it", WAIT_S)
    barred = await world.tidegate("supervision", "approve", name, *TWO, code=1)
    assert barred["error"]["code"] == "supervision_flow_suspended"
    await world.tidegate("supervision", "resume", name, *TWO)
    await until(lambda: _suspended(world, waiting, wanted=False), "the business chain hears of it", WAIT_S)
    assert (await world.tidegate("supervision", "show", name))["control"] == "open"
    await world.tidegate("supervision", "terminate", name, "--yes", "--reason", "fraud", *TWO)
    over = await world.tidegate("supervision", "resume", name, *TWO, code=1)
    assert over["error"]["code"] == "supervision_control_invalid"

    async def ended() -> bool:
        return (await world.business_view(waiting)).status == flow_answers.TERMINATED

    await until(ended, "the flow has ended", WAIT_S)
    assert (await world.business_view(waiting)).control_reason == "fraud"
    assert (await world.tidegate("supervision", "show", flow.hex()))["control"] == "open"


async def _suspended(world: Regulators, flow: bytes, *, wanted: bool) -> bool:
    return (await world.business_view(flow)).suspended is wanted


async def _hold_all(world: Regulators) -> tuple[int, str]:
    path = world.directory.parent / "hold.toml"
    path.write_text(
        'description = "hold all"\n[expressions.all]\nwhen = "true"\nstages = ["file"]\neffect = "hold"\n',
        encoding="utf-8",
    )
    made = await world.tidegate("rules", "propose", str(path), "--officer", "Officer 2")
    assert made["base"] == 0
    return made["version"], made["digest"]


async def _approve_and_activate_quickly(world: Regulators, version: int, digest: str) -> None:
    await world.tidegate("rules", "approve", str(version), "--digest", digest, *TWO)
    await world.tidegate("rules", "activate", str(version), "--officer", "Officer 3")
