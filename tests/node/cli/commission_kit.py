"""Homes with keys, a fake daemon, and commands run against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from node.cli.app import root
from node.keyfile import write_key
from tests.node.services.fake_rpc import FakeRpc, served
from tests.node.services.members import B, C, D, Members, members


class Desk:
    """Where commands are typed.

    Attributes:
        world: the chain and its members.
        rpc: the fake daemon.
    """

    def __init__(self, directory: Path, world: Members, rpc: FakeRpc) -> None:
        self.directory, self.world, self.rpc = directory, world, rpc
        for organisation in (B, C, D):
            keys = self.home(organisation) / "keys"
            keys.mkdir(mode=0o700, parents=True)
            write_key(keys / "member.key", "member", world.keys[organisation].seed)

    def home(self, organisation: str) -> Path:
        return self.directory / organisation.replace(" ", "-")

    def run(self, *arguments: str, by: str = B, code: int = 0, text: str | None = None) -> Result:
        """Runs ``tidegate …`` with the home of ``by``; checks the exit code."""
        command = [*arguments, "--home", str(self.home(by)), "--socket", str(self.directory / "rpc.sock")]
        result = CliRunner().invoke(root, command, input=text)
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: str, by: str = B, code: int = 0) -> Any:
        """The document that ``tidegate … --json`` writes."""
        return json.loads(self.run(*arguments, "--json", by=by, code=code).stdout)


@contextmanager
def desk(directory: Path) -> Iterator[Desk]:
    world = members()
    rpc = FakeRpc(world.chain)
    with served(rpc, directory / "rpc.sock"):
        yield Desk(directory, world, rpc)
