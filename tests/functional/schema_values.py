"""Values that fit a JSON schema of the RPC's documents: leaves by hypothesis-jsonschema, objects and arrays here.

(hypothesis-jsonschema's own objects and arrays need internals that the present hypothesis does not have.)
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

MAX_ITEMS: Final = 5
MAX_BYTES: Final = 80
HEX: Final = "^(?:[0-9a-f]{2})*$"
"""Pattern of bytes in hex; made from bytes, for few texts of a certain length fit it by chance."""
JSON: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def values(schema: Any, root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a schema.

    Args:
        schema: with references into ``root``.
        root: the document that ``#/…`` references begin at.
    """
    if schema is True or schema == {}:
        return JSON
    if "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return st.deferred(lambda: values(found, root))
    if "anyOf" in schema:
        return st.one_of([values(choice, root) for choice in schema["anyOf"]])
    if schema.get("type") == "object":
        return _objects(schema, root)
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        most = max(least, min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS))
        return st.lists(values(schema.get("items", {}), root), min_size=least, max_size=most)
    if schema.get("pattern") == HEX:
        least = schema.get("minLength", 0) // 2
        most = max(least, min(schema.get("maxLength", 2 * MAX_BYTES) // 2, MAX_BYTES))
        return st.binary(min_size=least, max_size=most).map(bytes.hex)
    return from_schema({key: value for key, value in schema.items() if key not in ("default", "title", "description")})


def _objects(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema.get("properties")
    if properties is None:
        more = schema.get("additionalProperties", {})
        return st.dictionaries(st.text(max_size=8), values(more, root), max_size=3)
    made = {name: values(each, root) for name, each in properties.items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: each for name, each in made.items() if name in required},
        optional={name: each for name, each in made.items() if name not in required},
    )
