"""The regulator's commands typed against a fake daemon in front of the office's chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ledger.keys import SigningKey
from ledger.sealing_keys import DecryptionKey
from node.cli.app import root
from node.consortium.parties import Party, PartyBook
from node.keyfile import write_key
from tests.contracts.bridge.kit import AUTHORITY, GOVERNORS, MEMBER
from tests.contracts.supervision.world import DOCTOR, OFFICERS
from tests.node.regulator.office import Office
from tests.node.services.fake_rpc import FakeRpc, served

PSEUDONYM_KEY = b"p" * 32


class OfficeDesk:
    """Where commands are typed.

    Attributes:
        office: the chain and who acts on it.
        rpc: the fake daemon.
        sealing: what opens documents for the authority.
    """

    def __init__(self, directory: Path, office: Office, rpc: FakeRpc) -> None:
        self.directory, self.office, self.rpc = directory, office, rpc
        self.sealing = [DecryptionKey.generate_x25519(1)]
        book = PartyBook(directory / "officers")
        book.add(
            [
                Party(f"Officer {number}", "officer", "Regulator", key, DecryptionKey.generate_x25519(1))
                for number, key in enumerate(OFFICERS, 1)
            ]
        )
        self._home("authority", DOCTOR)
        keys = directory / "authority" / "keys"
        write_key(keys / "sealing-1.key", "sealing", self.sealing[0].to_bytes())
        write_key(keys / "pseudonym.key", "pseudonym", PSEUDONYM_KEY)
        self._home("member", MEMBER)
        for name, key in (("authority", AUTHORITY), ("governor0", GOVERNORS[0]), ("governor1", GOVERNORS[1])):
            write_key(directory / f"{name}.key", "authority", key.seed)

    def _home(self, name: str, key: SigningKey) -> None:
        keys = self.directory / name / "keys"
        keys.mkdir(mode=0o700, parents=True)
        write_key(keys / "member.key", "member", key.seed)

    def run(self, *arguments: str, by: str = "authority", code: int = 0, officers: int = 0) -> Result:
        """Runs ``tidegate …`` with a home; ``officers`` sign. Checks the exit code."""
        signing = [part for number in range(1, officers + 1) for part in ("--officer", f"Officer {number}")]
        where = ["--home", str(self.directory / by), "--socket", str(self.directory / "rpc.sock")]
        result = CliRunner().invoke(root, [*arguments, *signing, *where])
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: str, by: str = "authority", code: int = 0, officers: int = 0) -> Any:
        """The document that ``tidegate … --json`` writes."""
        return json.loads(self.run(*arguments, "--json", by=by, code=code, officers=officers).stdout)

    def refused(self, *arguments: str, by: str = "authority", code: int = 1, officers: int = 0) -> str:
        """The reason code that a command ends with."""
        document = self.json(*arguments, by=by, code=code, officers=officers)
        return str(document["error"]["code"])


@contextmanager
def office_desk(directory: Path) -> Iterator[OfficeDesk]:
    office = Office()
    rpc = FakeRpc(office.gateway)  # type: ignore[arg-type]
    rpc.gateway = office.gateway  # type: ignore[assignment]
    with served(rpc, directory / "rpc.sock"):
        yield OfficeDesk(directory, office, rpc)
