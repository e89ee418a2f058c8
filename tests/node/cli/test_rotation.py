"""``tidegate validators --candidates``, ``governance propose-salt`` and ``propose-removal`` on a rotating chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from contracts.validators.schedule import epoch_at
from ledger.keys import key_text
from ledger.rotation import GroupDoc, RotationDoc
from node.cli.app import root
from tests.contracts.bridge.kit import Chain, key_of
from tests.node.cli.office_desk import OfficeDesk
from tests.node.regulator.office import OfficeGateway
from tests.node.services.fake_rpc import FakeRpc, served

VALIDATORS = [key_of(f"candidate {number}") for number in range(7)]
GROUPS = (
    GroupDoc(name="operations", organisations=("validator 5", "validator 6"), seats=1),
    GroupDoc(name="regulator", exempt=True),
)


def chain(*, rotates: bool = True) -> Chain:
    rotation = RotationDoc(committee=4, epoch_blocks=10, groups=GROUPS) if rotates else None
    return Chain("supervision", kinds=["validators"], validators=VALIDATORS, rotation=rotation)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    kit = chain()
    gateway = OfficeGateway(kit)
    rpc = FakeRpc(gateway)  # type: ignore[arg-type]
    rpc.gateway = gateway  # type: ignore[assignment]
    with served(rpc, tmp_path / "rpc.sock"):
        yield OfficeDesk(tmp_path, SimpleNamespace(gateway=gateway, chain=kit), rpc)  # type: ignore[arg-type]


def keys(desk: OfficeDesk) -> list[str]:
    return [part for number in (0, 1) for part in ("--key", str(desk.directory / f"governor{number}.key"))]


def committee(desk: OfficeDesk) -> tuple[bytes, ...]:
    kit = desk.office.chain
    return epoch_at(kit.state, "validators", kit.height + 2).keys


def test_candidates_are_listed_with_who_enters_next(desk: OfficeDesk) -> None:
    shown = desk.json("validators", "--candidates")
    assert (shown["committee"], shown["epoch_blocks"], shown["seats_changed"]) == (4, 10, 1)
    how = [candidate["how"] for candidate in shown["candidates"]]
    assert how == ["seated from 1"] * 4 + ["waits, place 1", "waits, place 2", "waits, place 3"]
    assert {each["key"] for each in shown["candidates"][:4]} == {key_text(key) for key in committee(desk)}
    assert {each["group"] for each in shown["candidates"]} == {"operations", "regulator"}
    text = desk.run("validators", "--candidates").stdout
    assert "operations 1" in text
    following = shown["candidates"][4:]
    for _ in range(10):
        desk.office.chain.block()
    entered = {key_text(key) for key in committee(desk)} - {each["key"] for each in shown["candidates"][:4]}
    assert entered <= {each["key"] for each in following[:2]}


def test_a_validator_loses_its_seat_at_once_when_two_governors_say_so(desk: OfficeDesk) -> None:
    gone = committee(desk)[0]
    done = desk.json("governance", "propose-removal", key_text(gone), *keys(desk), by="member")
    assert done["status"] == "executed"
    assert gone not in committee(desk)
    again = desk.refused("governance", "propose-removal", key_text(gone), *keys(desk), by="member")
    assert again == "validators_not_in"


def test_a_removal_is_refused_when_the_validator_has_no_seat(desk: OfficeDesk) -> None:
    outside = next(key.public for key in VALIDATORS if key.public not in committee(desk))
    code = desk.refused("governance", "propose-removal", key_text(outside), *keys(desk), by="member")
    assert code == "validators_not_seated"


def test_a_salt_is_set_when_two_governors_say_so(desk: OfficeDesk) -> None:
    salt = "5a" * 32
    done = desk.json("governance", "propose-salt", salt, *keys(desk), by="member")
    assert done["status"] == "executed"
    shown = desk.json("validators", "--candidates")["salt"]
    assert shown == {"value": salt, "height": desk.office.chain.height}
    assert desk.refused("governance", "propose-salt", salt, *keys(desk), by="member") == "validators_salt_same"


@pytest.mark.parametrize("salt", ["", "5a", "zz" * 32, "5a" * 33])
def test_a_salt_is_refused_before_sending_when_it_is_none(desk: OfficeDesk, salt: str) -> None:
    assert desk.refused("governance", "propose-salt", salt, *keys(desk), by="member", code=3) == "salt_invalid"
    assert desk.office.gateway.submitted == 0


def test_candidates_are_refused_when_the_set_does_not_rotate(desk: OfficeDesk) -> None:
    desk.office.gateway.kit = chain(rotates=False)
    assert desk.refused("validators", "--candidates", code=5) == "not_found"


def test_a_committee_is_refused_when_the_devnet_is_not_supervised(tmp_path: Path) -> None:
    home = str(tmp_path / "d")
    result = CliRunner().invoke(root, ["devnet", "init", "--committee", "4", "--home", home])
    assert result.exit_code == 2
    assert "--supervised" in result.output
    short = ["devnet", "init", "--supervised", "--supervision-validators", "4", "--committee", "4", "--home", home]
    result = CliRunner().invoke(root, short)
    assert result.exit_code != 0
    assert "rotation_committee_short" in result.output
    assert not Path(home).exists()
