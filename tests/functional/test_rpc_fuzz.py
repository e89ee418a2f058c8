"""Requests made from the OpenRPC document of a live node, and broken ones: every answer is as documented, or says why.

Parameters come from each method's own schemas, from the schemas of every contract's views and methods, from the
document's examples with one value replaced, and from anything that JSON can say. Nothing may come back as an internal
error, as another form than documented, too late, or not at all; and the node must have nothing to complain of.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.client import Client
from node.devnet import Devnet
from node.network_file import Network
from node.rpc.areas import described_areas
from node.rpc.codes import table
from tests.functional.daemons import log_lines
from tests.functional.load import make_network, purses_of
from tests.functional.schema_values import values

pytestmark = [pytest.mark.functional, pytest.mark.timeout(400)]

ANSWERS_S = 30.0
METHODS = [*(method.name for area in described_areas() for method in area.table()), "rpc.discover"]
ASKS_CONTRACTS = ("contract.view", "tx.submit", "tx.submit_and_wait")
"""Where a contract's own reason codes come through; docs/rpc.md has the table of all."""
DEAR = {"rpc.discover": 2, "chain.state_hash": 3}
FUZZ = settings(
    max_examples=int(os.environ.get("TIDEGATE_FUZZ_EXAMPLES", "20")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=80)
    | st.sampled_from(["00" * 32, "ff" * 36, "ed25519:" + "0" * 64, "account(A)", "-1", "", "\ud800", "0\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


class Target:
    """A running node and its document."""

    def __init__(self, runner: asyncio.Runner, devnet: Devnet) -> None:
        self._runner, self._devnet = runner, devnet
        self.node = devnet.network.nodes[0]
        self.document: dict[str, Any] = {}
        self.methods: dict[str, dict[str, Any]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._id = 0

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.node.socket)))
        self.document = (await self._post({"jsonrpc": "2.0", "id": 0, "method": "rpc.discover"}))[1]["result"]
        self.methods = {method["name"]: method for method in self.document["methods"]}

    async def close(self) -> None:
        assert self._session is not None
        await self._session.close()

    async def _post(self, request: Any) -> tuple[int, Any]:
        assert self._session is not None
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        async with asyncio.timeout(ANSWERS_S), self._session.post("http://node/", data=body, headers=headers) as reply:
            content = await reply.read()
            return reply.status, json.loads(content) if content else None

    async def _say(self, request: dict[str, Any]) -> Any:
        assert self._session is not None
        # A connection for each: one that is not read between two calls would be cut off as a slow reader's.
        async with asyncio.timeout(ANSWERS_S), self._session.ws_connect("http://node/ws") as socket:
            await socket.send_str(json.dumps(request))
            while True:
                message = await socket.receive_json()
                if "method" not in message:
                    return message

    def post(self, request: Any) -> tuple[int, Any]:
        return self._runner.run(self._post(request))

    def call(self, name: str, params: Any) -> dict[str, Any]:
        """The answer, after all that holds of every answer has been checked."""
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": name, "params": params}
        if self.methods[name].get("x-connected"):
            answer = self._runner.run(self._say(request))
        else:
            status, answer = self._runner.run(self._post(request))
            assert status == 200, (status, answer)
        assert answer["id"] == self._id
        self.check(name, answer)
        return answer

    def check(self, name: str, answer: dict[str, Any]) -> None:
        method = self.methods[name]
        if "error" not in answer:
            schema = {**method["result"]["schema"], "components": self.document["components"]}
            jsonschema.validate(answer["result"], schema)
            return
        error = answer["error"]
        code = error["data"]["code"]
        numbers = {known["data"]["code"]: known["code"] for known in method["errors"]}
        if name in ASKS_CONTRACTS and code not in numbers and code in table():
            numbers[code] = table()[code].number
        assert code != "internal_error", error
        # JSON-RPC's own faults belong to no method.
        assert code in numbers or code == "request_invalid", f"{name} does not document {code}: {error}"
        assert error["message"]
        assert error["code"] == numbers.get(code, -32_600)

    def params_of(self, name: str) -> st.SearchStrategy[dict[str, Any]]:
        """Parameters of a method that fit its schemas."""
        made = {entry["name"]: values(entry["schema"], self.document) for entry in self.methods[name]["params"]}
        required = {entry["name"] for entry in self.methods[name]["params"] if entry["required"]}
        return st.fixed_dictionaries(
            {key: each for key, each in made.items() if key in required},
            optional={key: each for key, each in made.items() if key not in required},
        )

    def example_of(self, name: str) -> dict[str, Any]:
        (example,) = self.methods[name].get("examples") or [{"params": []}]
        return {entry["name"]: entry["value"] for entry in example["params"] if entry["value"] is not None}


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="tg-") as directory, asyncio.Runner() as runner:
        network = make_network(Path(directory) / "n", validators=1)
        config = network.nodes[0].home / "config.toml"
        text = config.read_text().replace("[rpc]\n", "[rpc]\ncost_per_second = 10000000\ncost_burst = 10000000\n", 1)
        config.write_text(text)
        devnet = Devnet(network.directory)
        runner.run(devnet.__aenter__())
        try:
            runner.run(devnet.start())
            runner.run(devnet.wait_ready(peers=0, timeout_s=120))
            target = Target(runner, devnet)
            runner.run(_some_blocks(network))
            runner.run(target.open())
            yield target
            assert devnet.pid("node0") is not None, "the node is gone"
            runner.run(target.close())
            bad = [line for line in log_lines(target.node) if line.get("level") in ("error", "critical")]
            assert bad == []
        finally:
            runner.run(devnet.__aexit__(None, None, None))


async def _some_blocks(network: Network) -> None:
    """Transactions to ask for."""
    async with Client(network.nodes[0].socket) as client:
        for purse in purses_of(network)[:3]:
            assert (await client.submit_and_wait(purse.transfer())).status == "committed"


def patient(params: Any) -> Any:
    """The same, waiting for no more than a moment."""
    if isinstance(params, dict) and isinstance(params.get("timeout_ms"), int | float):
        return {**params, "timeout_ms": min(params["timeout_ms"], 20)}
    return params


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_as_documented_when_parameters_fit_the_schema(target: Target, name: str):
    @settings(FUZZ, max_examples=DEAR.get(name, FUZZ.max_examples))
    @given(target.params_of(name))
    def check(params: dict[str, Any]) -> None:
        waits = {"timeout_ms": 0} if "timeout_ms" in _names(target, name) else {}
        answer = target.call(name, {**waits, **patient(params)})
        # What fits the schema is never refused for its form.
        assert "error" not in answer or answer["error"]["data"]["code"] != "params_invalid" or _says_more(answer)

    check()


def _names(target: Target, name: str) -> set[str]:
    return {entry["name"] for entry in target.methods[name]["params"]}


def _says_more(answer: dict[str, Any]) -> bool:
    """A rule between parameters, or a line end that the pattern lets pass: the sentence names it."""
    words = answer["error"]["message"]
    return "either" in words or "hexadecimal" in words or "\\n" in words


@pytest.mark.parametrize("name", METHODS)
def test_answers_are_as_documented_when_parameters_are_broken(target: Target, name: str):
    names = sorted(_names(target, name)) or ["none"]
    example = target.example_of(name)
    broken = st.one_of(
        ANYTHING,
        st.lists(ANYTHING, max_size=3),
        st.builds(lambda key, value: {**example, key: value}, st.sampled_from(names), ANYTHING),
        st.builds(lambda key: {k: v for k, v in example.items() if k != key}, st.sampled_from(names)),
        st.builds(lambda key, value: {**example, key: value}, st.text(max_size=10), ANYTHING),
    )

    @settings(FUZZ, max_examples=DEAR.get(name, FUZZ.max_examples))
    @given(broken)
    def check(params: Any) -> None:
        target.call(name, patient(params))

    check()


def test_every_view_and_method_of_every_contract_answers_as_documented(target: Target):
    for line in target.call("contract.list", {})["result"]:
        described = target.call("contract.describe", {"contract": line["address"]})["result"]
        for kind, entries in (("view", described["views"]), ("method", described["methods"])):
            for entry in entries:
                _fuzz_contract(target, line["address"], kind, entry, described["schemas"])


def _fuzz_contract(target: Target, address: str, kind: str, entry: dict[str, Any], schemas: dict[str, Any]) -> None:
    sender = target.example_of("tx.prepare")["sender"]

    @settings(FUZZ, max_examples=6)
    @given(values(entry["arguments"], {"schemas": schemas}))
    def check(arguments: Any) -> None:
        if kind == "view":
            target.call("contract.view", {"contract": address, "view": entry["name"], "arguments": arguments})
        else:
            call = {"contract": address, "method": entry["name"], "arguments": arguments}
            target.call("tx.prepare", {"sender": sender, "calls": [call]})

    check()


REQUESTS = st.one_of(
    ANYTHING,
    st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0") | ANYTHING, "method": st.sampled_from(METHODS) | ANYTHING},
        optional={"id": ANYTHING, "params": ANYTHING, "more": ANYTHING},
    ),
    st.lists(
        st.fixed_dictionaries(
            {"jsonrpc": st.just("2.0"), "method": st.just("chain.info"), "id": st.integers() | ANYTHING}
        ),
        max_size=5,
    ),
)


@settings(FUZZ, max_examples=150)
@given(request_document=REQUESTS)
def test_any_json_is_answered_when_it_is_posted(target: Target, request_document: Any):
    status, answer = target.post(request_document)
    assert status in (200, 204), status
    for each in answer if isinstance(answer, list) else [answer]:
        if each is not None:
            assert each["jsonrpc"] == "2.0"
            assert ("result" in each) != ("error" in each)
            assert each.get("error", {}).get("code") != -32_603, each


@settings(FUZZ, max_examples=100)
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_answered_when_they_are_posted(target: Target, body: bytes):
    status, answer = target.post(body)
    assert status in (200, 204, 400), status
    if isinstance(answer, dict):
        assert answer["error"]["data"]["code"] in ("json_invalid", "request_invalid")
