"""``tidegate rpc call|discover|docs`` against a node's socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli.app import root
from node.rpc.method import Scope
from tests.node.bare import Bare
from tests.node.rpc.gate import gate
from tests.node.rpc_client import serve


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    """A node in a thread of its own: the commands run a loop themselves."""
    path, ready, done = tmp_path / "rpc.sock", threading.Event(), threading.Event()

    async def run() -> None:
        async for _ in serve(Bare(), path):
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(60)
        yield path
    finally:
        done.set()
        thread.join(60)


def run(socket: Path, *arguments: str) -> Result:
    return CliRunner().invoke(root, ["rpc", *arguments, "--socket", str(socket)])


def test_any_method_is_called_when_it_is_named(socket: Path) -> None:
    found = run(socket, "call", "block.header", '{"height": 0}')
    assert (found.exit_code, "block_id" in json.loads(found.stdout)) == (0, True)
    assert json.loads(run(socket, "call", "chain.info", "--json").stdout)["height"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "stable"),
    [
        (("block.header", '{"height": 9}'), 5, "not_found"),
        (("block.header", '{"height": -1}'), 3, "params_invalid"),
        (("nothing",), 5, "rpc_method_unknown"),
        (("chain.info", "{"), 3, "json_invalid"),
        (("chain.info", "[]"), 3, "params_invalid"),
        (("chain.info", "[" * 100_000), 3, "json_invalid"),
    ],
    ids=range(6),
)
def test_refusal_is_told_with_its_code_when_a_call_is_wrong(
    socket: Path, arguments: tuple[str, ...], code: int, stable: str
) -> None:
    found = run(socket, "call", *arguments)
    assert (found.exit_code, f"[{stable}]" in found.stderr) == (code, True)


def test_document_is_printed_or_written_when_asked(socket: Path, tmp_path: Path) -> None:
    shown = json.loads(run(socket, "discover").stdout)
    file = tmp_path / "openrpc.json"
    assert run(socket, "discover", "-o", str(file)).exit_code == 0
    written = json.loads(file.read_text())
    assert [method["name"] for method in written["methods"]] == [method["name"] for method in shown["methods"]]


def test_documents_are_written_when_no_node_is_there(tmp_path: Path) -> None:
    found = CliRunner().invoke(root, ["rpc", "docs", "-o", str(tmp_path)])
    assert found.exit_code == 0
    assert "`tx.submit`" in (tmp_path / "rpc.md").read_text()
    assert json.loads((tmp_path / "openrpc.json").read_text())["openrpc"]


def test_node_elsewhere_is_called_when_its_address_and_a_token_are_given(tmp_path: Path) -> None:
    ready, done, found = threading.Event(), threading.Event(), {}

    async def run() -> None:
        async with gate(tmp_path) as door:
            found["url"], found["token"] = door.url, door.tokens[Scope.READ]
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(60)
        runner = CliRunner(env={"TIDEGATE_RPC_TOKEN": found["token"]})
        good = runner.invoke(root, ["rpc", "call", "chain.info", "--url", found["url"]])
        assert (good.exit_code, json.loads(good.stdout)["height"]) == (0, 0)
        bad = CliRunner().invoke(root, ["rpc", "call", "chain.info", "--url", found["url"]])
        assert bad.exit_code != 0
        assert found["token"] not in bad.output
    finally:
        done.set()
        thread.join(60)
