"""What clients of foreign generators need: names that are identifiers, parameters by place, examples by place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.rpc.areas import described_areas
from node.rpc.dispatch import places
from node.rpc.openrpc import RESERVED, alias_of, document
from tests.node.bare import Bare
from tests.node.rpc_client import Client, serve


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async for each in serve(Bare(), tmp_path / "rpc.sock"):
        yield each


async def test_method_answers_to_its_alias_when_called_by_it(client: Client):
    assert await client.result("chain_info") == await client.result("chain.info")
    arguments = {"asset": "CNY"}
    plain = await client.result("contract.view", contract="assets", view="asset", arguments=arguments)
    assert await client.result("contract_view", contract="assets", view="asset", arguments_=arguments) == plain
    assert (await client.error("contract.view", {"contract": "assets", "view": "asset", "arguments_": {}}))[1] == (
        "params_invalid"
    ), "only where the name is an alias"


async def test_parameters_have_places_when_they_come_as_an_array(client: Client):
    lock = "account(A)"
    by_name = await client.ask("utxo.list", {"lock": lock, "limit": 1})
    assert (await client.ask("utxo.list", [lock, None, None, 1]))["result"] == by_name["result"]
    assert (await client.error("utxo.list", [lock, None, None, 1, 2]))[1] == "params_invalid"
    assert (await client.error("utxo.list", [None]))[1] == "params_invalid"


async def test_document_has_identifiers_when_asked_for_them(client: Client):
    found = await client.result("rpc.discover", identifiers=True)
    names = [name for method in found["methods"] for name in (method["name"], *(p["name"] for p in method["params"]))]
    assert all(name.isidentifier() and name not in RESERVED for name in names)
    plain = await client.result("rpc.discover")
    assert [alias_of(method["name"]) for method in plain["methods"]] == [method["name"] for method in found["methods"]]


def test_no_component_has_the_name_of_a_methods_type():
    methods = [method for area in described_areas() for method in area.table()]
    types = {alias_of(method.name).title().replace("_", "") for method in methods}
    assert types.isdisjoint(document(methods)["components"]["schemas"])


def test_examples_and_parameters_stand_in_the_same_places():
    methods = {method.name: method for area in described_areas() for method in area.table()}
    found = document(methods.values())
    for described in found["methods"]:
        order = [entry["name"] for entry in described["params"]]
        assert order == list(places(methods[described["name"]].params))
        for example in described.get("examples", []):
            given = [entry["name"] for entry in example["params"]]
            assert given == order[: len(given)], "tools zip an example's values with the parameters"
            assert "result" in example
    # Tools that know draft 7 and tools that know 2020-12 read the same.
    assert '"items": [' not in json.dumps(found)
