"""``tidegate supervision rewrap``: after a rotation the newest key opens all that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts import decisions
from contracts.messages import KeyNotice
from ledger.sealing_keys import DecryptionKey
from node.cli.app import root
from node.keyfile import read_key
from tests.contracts.bridge.kit import call
from tests.contracts.supervision.world import DOCTOR
from tests.node.cli.office_desk import OfficeDesk, office_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OfficeDesk]:
    with office_desk(tmp_path) as found:
        yield found


def publish(desk: OfficeDesk, key: DecryptionKey) -> None:
    notice = KeyNotice(DOCTOR.public, key.suite, key.epoch, key.public.public, False)
    chain = desk.office.chain
    chain.run(chain.tx(DOCTOR, call("keyring", "publish", decisions.Publish(notice))))


def test_newest_key_opens_everything_when_the_records_were_rewrapped(desk: OfficeDesk) -> None:
    keys = desk.directory / "authority" / "keys"
    publish(desk, desk.sealing[0])
    flows = [
        desk.office.filed_for(desk.sealing, b'{"n": %d}' % number, number=number)[0].flow.hex() for number in (1, 2)
    ]
    new = keys / "sealing-2.key"
    made = CliRunner().invoke(root, ["key", "new", "--kind", "sealing", "--epoch", "2", str(new)])
    assert made.exit_code == 0, made.output
    publish(desk, DecryptionKey.from_bytes(read_key(new, "sealing")))
    assert desk.json("supervision", "rewrap") == {"epoch": 2, "last": 2, "rewrapped": 2, "left": 0}
    assert desk.json("supervision", "rewrap")["rewrapped"] == 0, "again: nothing is left to do"
    (keys / "sealing-1.key").unlink()
    assert desk.json("supervision", "record", flows[1], "file", "--open")["document"] == {"n": 2}


def test_records_that_stay_shut_are_told_when_no_key_of_the_home_opens_them(desk: OfficeDesk) -> None:
    publish(desk, desk.sealing[0])
    desk.office.filed_for([DecryptionKey.generate_x25519(1)], b"{}", number=1)
    assert desk.json("supervision", "rewrap", code=1)["left"] == 1
    assert "keep the older keys" in desk.run("supervision", "rewrap", code=1).output


def test_nothing_is_rewrapped_when_the_home_is_no_authoritys(desk: OfficeDesk) -> None:
    assert desk.refused("supervision", "rewrap", by="member", code=78) == "authority_keys_missing"
