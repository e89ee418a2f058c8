"""The OpenRPC document, made from the methods' types and the table of codes; nothing in it is written twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from node.rpc.codes import table
from node.rpc.method import Method
from node.rpc.schema import Schemas, describe
from node.rpc.schema_samples import sample

OPENRPC: Final = "1.2.6"
API_VERSION: Final = "1.0.0"
"""Of the methods: the first number changes when a client must be changed."""
COMMON_ERRORS: Final = ("params_invalid", "scope_insufficient", "overloaded", "internal_error")
"""What every method may answer."""
EXAMPLE: Final = "example"
RESERVED: Final = frozenset(
    {"arguments", "class", "default", "delete", "from", "function", "import", "in", "new", "type"}
)
"""Words that cannot name a parameter in some language."""

ServedExample = tuple[Mapping[str, Any], Any]
"""(parameters, result). Tools want both: where a result cannot be had (``None``), one is made up from its schema; where
the parameters fail on this node (``msgspec.UNSET``), there is no example."""


def document(
    methods: Iterable[Method], examples: Mapping[str, ServedExample] | None = None, *, identifiers: bool = False
) -> dict[str, Any]:
    """The whole document.

    Args:
        methods: in the order of the document.
        examples: of a live chain, by method; the others' are those of their tables.
        identifiers: names methods ``area_verb`` and ends parameters that are reserved words with an underscore, for
            generators that make identifiers of names as they are.
    """
    known = tuple(methods)
    # Generators name a method's type after the method.
    schemas = Schemas("#/components/schemas/", {alias_of(method.name).title().replace("_", "") for method in known})
    served = examples or {}
    listed = [_method(method, schemas, served.get(method.name)) for method in known]
    if identifiers:
        listed = [_as_identifiers(method) for method in listed]
    used = {error["data"]["code"]: error for method in listed for error in method["errors"]}
    return {
        "openrpc": OPENRPC,
        "info": {
            "title": "Tidegate",
            "version": API_VERSION,
            "description": "JSON-RPC of a Tidegate node: HTTP POST to /, WebSocket at /ws.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"name": "node", "url": "http://127.0.0.1:7400/"}],
        "methods": listed,
        "components": {"schemas": schemas.components, "errors": dict(sorted(used.items()))},
    }


def alias_of(name: str) -> str:
    """``area_verb`` for ``area.verb``: every method answers to both."""
    return name.replace(".", "_")


def named_plainly(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a call by its alias, under their own names."""
    return {name.removesuffix("_"): value for name, value in params.items()}


def _as_identifiers(method: dict[str, Any]) -> dict[str, Any]:
    def renamed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**entry, "name": entry["name"] + "_" * (entry["name"] in RESERVED)} for entry in entries]

    found = {**method, "name": alias_of(method["name"]), "params": renamed(method["params"])}
    if "examples" in method:
        found["examples"] = [{**example, "params": renamed(example["params"])} for example in method["examples"]]
    return found


def error_entry(code: str) -> dict[str, Any]:
    """A stable code as OpenRPC's error object."""
    row = table()[code]
    return {"code": row.number, "message": row.meaning, "data": {"code": row.code, "remedy": row.remedy}}


def _method(method: Method, schemas: Schemas, served: ServedExample | None) -> dict[str, Any]:
    params = _params(method, schemas)
    errors = dict.fromkeys((*COMMON_ERRORS, *(("connection_required",) if method.connected else ()), *method.errors))
    found: dict[str, Any] = {
        "name": method.name,
        "summary": method.summary.replace("``", "`"),
        "tags": [{"name": method.name.partition(".")[0]}],
        "paramStructure": "either",
        "params": params,
        "result": {"name": "result", "schema": schemas.of(method.result)},
        # Whole, not by reference: generators do not all follow those.
        "errors": [error_entry(code) for code in errors],
        "x-scope": method.scope.word,
        "x-cost": method.cost,
    }
    if method.connected:
        found["x-connected"] = True
    values, result = served or (method.example, None)
    if result is None:
        made_up = method.example_result is msgspec.UNSET
        result = sample(found["result"]["schema"], schemas.components) if made_up else method.example_result
    if result is not msgspec.UNSET:
        found["examples"] = [_example(method, params, values, result)]
    return found


def _params(method: Method, schemas: Schemas) -> list[dict[str, Any]]:
    _, described = describe(method.params)
    found = []
    for field in msgspec.inspect.type_info(method.params).fields:  # type: ignore[attr-defined]
        schema = schemas.field(field, described)
        entry: dict[str, Any] = {"name": field.encode_name, "required": field.required, "schema": schema}
        words = described.get(field.name) or _words(schema)
        if words:
            entry["description"] = words
        found.append(entry)
    # Required ones first, for languages where parameters have places.
    return sorted(found, key=lambda entry: not entry["required"])


def _words(schema: dict[str, Any]) -> str:
    choices = (schema, *schema.get("anyOf", ()))
    return next((str(choice["description"]) for choice in choices if "description" in choice), "")


def _example(method: Method, params: list[dict[str, Any]], values: Mapping[str, Any], result: Any) -> dict[str, Any]:
    last = max((place for place, entry in enumerate(params) if entry["name"] in values), default=-1)
    # Tools give an example's values by place: what is left out between two of them is said with its default.
    given = [(entry["name"], values.get(entry["name"], entry["schema"].get("default"))) for entry in params[: last + 1]]
    return {
        "name": EXAMPLE,
        "summary": method.summary.replace("``", "`"),
        "params": [{"name": name, "value": value} for name, value in given],
        "result": {"name": "result", "value": result},
    }


def without_examples(found: dict[str, Any]) -> dict[str, Any]:
    """The document without its examples: the part that is the same on every node of a release."""
    methods = [{key: value for key, value in method.items() if key != "examples"} for method in found["methods"]]
    return {**found, "methods": methods}
