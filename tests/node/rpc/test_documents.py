"""The documents are those that the tables say; every code that the source names is in the table."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ledger.transaction import Transaction
from node.rpc.codes import GENERAL, number_of, rows, table
from node.rpc.docs_page import described_methods, methods_part, openrpc_text, page_text, static_document
from node.rpc.openrpc import COMMON_ERRORS, without_examples
from tests.node.bare import Bare
from tests.node.rpc.tree_codes import ROOT, codes_by_place
from tests.node.rpc_client import Client, serve

DOCS = ROOT / "docs"
AGAIN = "run `tidegate rpc docs -o docs`"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async for made in serve(Bare(), tmp_path / "rpc.sock"):
        yield made


# --- codes ------------------------------------------------------------------------------------------------------------


def test_every_code_of_the_source_is_in_the_table_when_the_source_is_walked() -> None:
    missing = {code: sorted(places) for code, places in codes_by_place().items() if code not in table()}
    assert not missing, f"add these to node/rpc/codes_*.py: {missing}"


def test_walk_finds_codes_of_every_form_when_the_source_is_walked() -> None:
    found = codes_by_place()
    assert {"overloaded", "replayed", "flow_unknown", "input_duplicate", "host_foreign", "account_exists"} <= set(found)
    assert len(found) > 400


def test_every_code_of_a_method_is_in_the_table_when_the_methods_are_listed() -> None:
    used = {code for method in described_methods() for code in method.errors} | set(COMMON_ERRORS)
    assert used <= set(table())


def test_numbers_are_distinct_and_outside_the_standards_range_when_the_table_is_read() -> None:
    numbers = [row.number for row in table().values()]
    assert len(set(numbers)) == len(numbers)
    assert all(number > 0 or number in range(-32_768, -32_599) for number in numbers)
    assert all(row.meaning and row.remedy for row in table().values())
    assert number_of("of_a_later_release") == GENERAL


def test_place_of_a_code_is_kept_when_it_is_not_used_any_more() -> None:
    found = rows("x", 1, "wait", "a | first\n | gone\nc | third | do")
    assert [(row.code, row.number, row.remedy) for row in found] == [("a", 1, "wait"), ("c", 3, "do")]


# --- documents --------------------------------------------------------------------------------------------------------


def test_openrpc_file_is_what_the_types_say_when_compared() -> None:
    kept = json.loads((DOCS / "openrpc.json").read_text(encoding="utf-8"))
    assert without_examples(kept) == without_examples(json.loads(openrpc_text())), AGAIN


def test_page_has_the_tables_when_compared() -> None:
    page = (DOCS / "rpc.md").read_text(encoding="utf-8")
    assert page_text(page) == page, AGAIN
    assert "| `tx.submit` |" in methods_part()


def test_page_is_refused_when_its_marks_are_gone() -> None:
    with pytest.raises(ValueError, match="methods"):
        page_text("# RPC\n")


async def test_served_document_is_the_kept_one_when_examples_are_left_out(client: Client) -> None:
    await client.node.commit(client.node.pay())
    served = await client.result("rpc.discover")
    kept = json.loads((DOCS / "openrpc.json").read_text(encoding="utf-8"))
    assert without_examples(served) == without_examples(kept), AGAIN


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


def test_every_reference_leads_somewhere_and_every_schema_is_draft_7_when_followed() -> None:
    found = static_document()
    for reference in _references(found):
        place: Any = found
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for schema in found["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    for method in found["methods"]:
        names = [param["name"] for param in method["params"]]
        assert len(set(names)) == len(names)
        assert [param["required"] for param in method["params"]] == sorted(
            (param["required"] for param in method["params"]), reverse=True
        )
        assert method["examples"], method["name"]
        for param in method["params"]:
            assert param.get("description") or "$ref" in json.dumps(param["schema"]), (method["name"], param["name"])
        numbers = [error["code"] for error in method["errors"]]
        assert len(set(numbers)) == len(numbers), method["name"]


def test_static_examples_fit_their_schemas_when_validated() -> None:
    found = static_document()
    for method in found["methods"]:
        schemas = {param["name"]: param for param in method["params"]}
        given = {param["name"]: param["value"] for param in method["examples"][0]["params"]}
        assert {name for name, param in schemas.items() if param["required"]} <= set(given), method["name"]
        for name, value in given.items():
            if value is None and not schemas[name]["required"]:  # keeps the place of one that is left out
                continue
            _validate(value, schemas[name]["schema"], found)


def _validate(value: Any, schema: Any, document: Any) -> None:
    jsonschema.Draft7Validator({**schema, "components": document["components"]}).validate(value)


async def test_every_example_succeeds_and_fits_its_schema_when_it_is_run_against_the_node_that_gave_it(
    client: Client,
) -> None:
    await client.node.commit(client.node.pay())
    found = await client.result("rpc.discover")
    made_up = {"chain.state_hash", "rpc.discover"}
    for method in found["methods"]:
        if method["name"] in ("proof.state", "proof.change", "node.status", "db.snapshot"):
            continue  # a chain of two blocks has no checkpoint yet, the status here is a stand-in, a copy takes long
        example = method["examples"][0]
        if method.get("x-connected"):
            continue
        params = {param["name"]: param["value"] for param in example["params"]}
        reply = await client.ask(method["name"], params)
        assert "error" not in reply, (method["name"], reply)
        _validate(reply["result"], method["result"]["schema"], found)
        if method["name"] not in made_up:
            assert reply["result"] == example["result"]["value"], method["name"]


async def test_submit_example_repeats_a_committed_transaction_when_there_is_one(client: Client) -> None:
    transaction = client.node.pay()
    await client.node.commit(transaction)
    methods = {method["name"]: method for method in (await client.result("rpc.discover"))["methods"]}
    example = methods["tx.submit"]["examples"][0]
    assert example["params"] == [{"name": "transaction", "value": transaction.wire.hex()}]
    assert example["result"]["value"] == {"tx_id": transaction.tx_id.hex()}
    assert len(client.node.mempool) == 0


# --- the worked example -----------------------------------------------------------------------------------------------


async def test_worked_example_is_true_when_recomputed_as_the_page_says(client: Client) -> None:
    part = (DOCS / "rpc.md").read_text(encoding="utf-8").split("<!-- example -->")[1].split("<!-- /example -->")[0]
    cells = dict(re.findall(r"^\| (\w+) \| `([0-9a-f]+)`", part, re.MULTILINE))
    asked = json.loads(part.split("```json")[1].split("```")[0])
    body, chain = bytes.fromhex(cells["body"]), bytes([0x11]) * 32
    tag = b"tidegate/tx"
    parts = (bytes([len(tag)]), tag, bytes([len(chain)]), chain, len(body).to_bytes(4, "big"), body)
    assert hashlib.sha256(b"".join(parts)).hexdigest() == cells["tx_id"]
    transaction = Transaction.decode(bytes.fromhex(cells["transaction"]))
    assert transaction.tx_id.hex() == cells["tx_id"]
    assert transaction.witness.signatures[0][1][1:].hex() == cells["signature"]
    prepared = await client.result("tx.prepare", **asked)
    own = client.node.chain.chain_id
    assert bytes.fromhex(prepared["body"]).replace(own, chain) == body
