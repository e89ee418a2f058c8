"""A value that fits a schema: the least one, for examples where nothing real can be shown."""

from __future__ import annotations

from typing import Any, Final

_BY_PATTERN: Final = {"^ed25519:[0-9a-f]{64}$": "ed25519:" + "0" * 64}
MAX_DEPTH: Final = 12
"""A schema that holds itself ends here: with an empty list, or null."""


def sample(schema: dict[str, Any], components: dict[str, Any], depth: int = 0) -> Any:
    """The least value of a schema of ``node.rpc.schema``.

    Args:
        schema: with references into ``components`` by their last part.
        components: schemas by name.
        depth: how deep this value stands.
    """
    if "$ref" in schema:
        return sample(components[schema["$ref"].rpartition("/")[2]], components, depth)
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        nullable = any(choice.get("type") == "null" for choice in schema["anyOf"])
        return None if nullable else sample(schema["anyOf"][0], components, depth)
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {name: sample(schema["properties"][name], components, depth + 1) for name in required}
        case "array":
            return _array(schema, components, depth)
        case "string":
            return _BY_PATTERN.get(schema.get("pattern", ""), "0" * schema.get("minLength", 0))
        case "integer" | "number":
            return max(schema.get("minimum", 0), 0)
        case "boolean":
            return False
        case _:
            return None


def _array(schema: dict[str, Any], components: dict[str, Any], depth: int) -> list[Any]:
    items = schema.get("items", {})
    if isinstance(items, list):
        return [sample(item, components, depth + 1) for item in items]
    count = schema.get("minItems", 0) or (1 if depth < 1 else 0)
    return [sample(items, components, depth + 1) for _ in range(count if depth < MAX_DEPTH else 0)]
