"""Commands about validators, typed against a fake daemon in front of a governed chain; its status is what tests say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from contracts.validators.schedule import epoch_at
from ledger.document import to_document
from ledger.encoding import Record
from ledger.keys import SigningKey, key_text
from ledger.transaction import Transaction
from node.cli.app import root
from node.gateway import ChainInfo, Outcome
from node.keyfile import write_key
from tests.contracts.bench import ALICE, BOB, START_MS, Bench
from tests.contracts.validators.changing import Changing, validator
from tests.node.services.fake_rpc import FakeRpc, served


class BenchGateway:
    """One node's ``Gateway`` to a chain without consensus: a block for each transaction."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.chain = self
        self.rules = bench.rules
        self.submitted = 0

    async def info(self) -> ChainInfo:
        bench = self.bench
        return ChainInfo("bench", bench.genesis.chain_id, bench.height, bytes(32), START_MS + bench.height, 20)

    async def submit_and_wait(self, transaction: Transaction, timeout_s: float = 30.0) -> Outcome:
        del timeout_s
        self.submitted += 1
        receipt = self.bench.block(transaction)[0]
        status = "committed" if receipt.code == "ok" else "refused"
        return Outcome(transaction.tx_id, status, receipt.code, self.bench.height, 0, receipt.events, receipt.results)

    async def view(self, contract: str, name: str, arguments: Record, result: type) -> Any:
        values = [getattr(arguments, field) for field in arguments.__struct_fields__]
        answer = self.bench.view(contract, name, *values)
        assert isinstance(answer, result)
        return answer


class SetRpc(FakeRpc):
    """Attributes: online (numbers of the members that are there), heights of those that are behind.

    The daemon is that of member 0.
    """

    def __init__(self, gateway: BenchGateway, members: Sequence[bytes]) -> None:
        super().__init__(gateway)  # type: ignore[arg-type]
        self.gateway: Any = gateway
        self.members = members
        self.online: set[int] = set(range(7))
        self.heights: dict[int, int] = {}

    async def node_status(self) -> Any:
        bench = self.gateway.bench
        epoch, coming = (epoch_at(bench.state, "validators", bench.height + ahead) for ahead in (1, 2))

        def members(keys: tuple[bytes, ...]) -> list[dict[str, Any]]:
            return [
                {"key": key_text(key), "organisation": None, "heard_ms_ago": None, "lost_ms_ago": None} for key in keys
            ]

        return {
            "name": "node0",
            "key": key_text(self.members[0]),
            "observing": False,
            "target_height": bench.height,
            "chain": to_document(await self.gateway.info()),
            "epoch": {"number": epoch.number, "from_height": epoch.start},
            "validators": members(epoch.keys),
            "coming": None
            if coming == epoch
            else {
                "epoch": {"number": coming.number, "from_height": coming.start},
                "validators": members(coming.keys),
            },
            "parameters": {"empty_block_ms": 1_000},
            "peers": [
                {
                    "key": key_text(self.members[number]),
                    "organisation": None,
                    "height": self.heights.get(number, bench.height),
                    "heard_ms_ago": 10,
                }
                for number in sorted(self.online - {0})
            ],
        }


class SetDesk:
    """Where commands are typed.

    Attributes:
        chain: whose validators they are about.
        rpc: the fake daemon.
    """

    def __init__(self, directory: Path, chain: Any, rpc: SetRpc) -> None:
        self.directory, self.chain, self.rpc = directory, chain, rpc
        (directory / "keys").mkdir(mode=0o700)
        write_key(directory / "keys" / "member.key", "member", ALICE.seed)
        self.governor(BOB)

    def governor(self, key: SigningKey) -> None:
        """Puts a governor's key where ``--key`` finds it."""
        write_key(self.directory / "governor.key", "authority", key.seed)

    @property
    def signed(self) -> list[str]:
        """Has the second governor sign as well; the first one, alice, is the sender."""
        return ["--key", str(self.directory / "governor.key")]

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Runs ``tidegate …``; checks the exit code."""
        where = ["--home", str(self.directory), "--socket", str(self.directory / "rpc.sock")]
        result = CliRunner().invoke(root, [*arguments, *where])
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The document that ``tidegate … --json`` writes."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def refused(self, *arguments: str, code: int) -> str:
        """The reason code that a command ends with."""
        return str(self.json(*arguments, code=code)["error"]["code"])


@contextmanager
def set_desk(directory: Path, chain: Bench | None = None, members: Sequence[bytes] = ()) -> Iterator[SetDesk]:
    """A desk at a chain; by default four validators of whom seven are admitted."""
    found = chain or Changing(first=4, admitted=7)
    rpc = SetRpc(BenchGateway(found), members or [validator(number).public for number in range(7)])
    with served(rpc, directory / "rpc.sock"):
        yield SetDesk(directory, found, rpc)
