"""Whatever is sent, the answer is JSON-RPC; and the published schemas mean what the types mean."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from node.rpc.connection import Client
from node.rpc.dispatch import Caller, Dispatcher, read_params
from node.rpc.docs_page import described_methods, static_document
from node.rpc.limits import Budgets
from node.rpc.method import Method, Params, Result, Scope
from node.rpc.schema import Schemas
from node.rpc.schema_samples import sample
from tests.functional.schema_values import values

CALLER = Caller(Client("test", Scope.ADMIN, "unix"), "r")
METHODS = {method.name: method for method in described_methods()}
DOCUMENT = static_document()
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


class Echoed(Result, frozen=True):
    """What was said."""

    said: str


class Echo:
    """A method that says what it was told."""

    def table(self) -> tuple[Method, ...]:
        return (
            Method(
                name="echo",
                scope=Scope.READ,
                summary="Echoes.",
                params=Words,
                result=Echoed,
                call=self._echo,
            ),
        )

    async def _echo(self, params: Words) -> Echoed:
        return Echoed(said=params.words)


class Words(Params, frozen=True):
    """Words."""

    words: str = ""


def answer(body: bytes) -> Any:
    dispatcher = Dispatcher([Echo()], Budgets(1e9, 1e9), 10)
    reply = asyncio.run(dispatcher.answer(body, CALLER))
    return None if reply is None else json.loads(reply)


def check_reply(reply: Any) -> None:
    assert reply["jsonrpc"] == "2.0"
    assert "id" in reply
    assert ("result" in reply) != ("error" in reply)
    if "error" in reply:
        assert isinstance(reply["error"]["code"], int)
        assert reply["error"]["message"]
        assert reply["error"]["data"]["code"]


@given(st.binary(max_size=200))
def test_answer_is_json_rpc_when_the_body_is_anything(body: bytes) -> None:
    found = answer(body)
    for reply in found if isinstance(found, list) else [found]:
        check_reply(reply)


@given(
    st.one_of(
        JSON,
        st.fixed_dictionaries(
            {"jsonrpc": st.just("2.0"), "method": st.just("echo") | st.text(max_size=5)},
            optional={"id": SCALARS, "params": JSON},
        ),
        st.lists(
            st.fixed_dictionaries(
                {"jsonrpc": st.sampled_from(["2.0", "1.0"]), "method": st.just("echo")},
                optional={"id": st.integers() | st.text(max_size=5), "params": st.just({"words": "x"}) | JSON},
            ),
            max_size=12,
        ),
    )
)
def test_every_call_gets_one_answer_when_the_body_is_any_json(document: Any) -> None:
    found = answer(json.dumps(document).encode())
    if isinstance(document, list) and 0 < len(document) <= 10:
        due = [item for item in document if not (isinstance(item, dict) and _is_notification(item))]
        assert len(found or []) == len(due)
    for reply in found if isinstance(found, list) else [found]:
        if reply is not None:
            check_reply(reply)


def _is_notification(item: dict[str, Any]) -> bool:
    params = item.get("params", {})
    return (
        item.get("jsonrpc") == "2.0"
        and isinstance(item.get("method"), str)
        and isinstance(params, list | dict)
        and "id" not in item
    )


@given(st.integers(min_value=-(10**30), max_value=10**30) | st.text(alphabet=st.characters(), max_size=10))
def test_id_comes_back_as_it_came_when_it_is_a_number_or_text(number: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "echo", "params": {"words": "w"}}).encode()
    found = answer(body)
    assert (found["id"], found["result"]) == (number, {"said": "w"})


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_taken_when_they_fit_the_published_schema(name: str) -> None:
    described = next(method for method in DOCUMENT["methods"] if method["name"] == name)
    made = {param["name"]: values(param["schema"], DOCUMENT) for param in described["params"]}
    required = {param["name"] for param in described["params"] if param["required"]}
    fitting = st.fixed_dictionaries(
        {key: each for key, each in made.items() if key in required},
        optional={key: each for key, each in made.items() if key not in required},
    )

    @QUICK
    @given(fitting)
    def taken(params: Any) -> None:
        read_params(METHODS[name], params)

    taken()


@pytest.mark.parametrize("name", METHODS)
@QUICK
@given(data=st.data())
def test_parameters_are_refused_when_the_published_schema_refuses_them(name: str, data: st.DataObject) -> None:
    described = next(method for method in DOCUMENT["methods"] if method["name"] == name)
    names = [param["name"] for param in described["params"]]
    keys = st.sampled_from(names) | st.text(max_size=3) if names else st.text(max_size=3)
    params = data.draw(st.dictionaries(keys, JSON, max_size=3))
    schema = {
        "type": "object",
        "properties": {param["name"]: param["schema"] for param in described["params"]},
        "required": [param["name"] for param in described["params"] if param["required"]],
        "additionalProperties": False,
        "components": DOCUMENT["components"],
    }
    if jsonschema.Draft7Validator(schema).is_valid(params):
        return
    with pytest.raises(InvalidInput) as caught:
        read_params(METHODS[name], params)
    assert caught.value.code == "params_invalid"


@pytest.mark.parametrize("name", METHODS)
def test_sample_fits_when_it_is_made_up_from_a_schema(name: str) -> None:
    schemas = Schemas("#/components/schemas/")
    schema = schemas.of(METHODS[name].result)
    value = sample(schema, schemas.components)
    jsonschema.Draft7Validator({**schema, "components": {"schemas": schemas.components}}).validate(value)
