"""JSON schemas of the types that methods take and give, as JSON over the RPC has them.

msgspec's own schemas describe records as they are encoded (arrays, base64); over the RPC records are objects by field
name and bytes are hex, so the schemas are made here, from what msgspec knows of the types. They use what JSON Schema
draft 7 knows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import inspect as mi

_HEX: Final = "^(?:[0-9a-f]{2})*$"
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")
_LITERAL_TYPES: Final = {str: "string", int: "integer", bool: "boolean"}


class Schemas:
    """Schemas of types; structs are gathered as components and referred to.

    Args:
        prefix: of references, such as ``#/components/schemas/``.
        taken: names that no component gets.

    Attributes:
        components: schema of each struct met so far, by name.
    """

    def __init__(self, prefix: str, taken: Collection[str] = ()) -> None:
        self._prefix = prefix
        self._taken = taken
        self._names: dict[type, str] = {}
        self.components: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """Schema of a type: a reference where it is a struct."""
        return self._schema(mi.type_info(kind))

    def _schema(self, info: mi.Type) -> dict[str, Any]:
        match info:
            case mi.Metadata():
                inner = self._schema(info.type)
                # Draft 7 ignores what stands beside a reference.
                return inner if "$ref" in inner else {**inner, **(info.extra_json_schema or {})}
            case mi.AnyType() | mi.RawType():
                return {}
            case mi.NoneType():
                return {"type": "null"}
            case mi.BoolType():
                return {"type": "boolean"}
            case mi.IntType():
                return {"type": "integer", **_bounds(info)}
            case mi.FloatType():
                return {"type": "number", **_bounds(info)}
            case mi.StrType():
                return _text(info)
            case mi.BytesType():
                return _bytes(info)
            case mi.StructType():
                return {"$ref": self._prefix + self._struct(info)}
            case mi.LiteralType():
                return {"type": _LITERAL_TYPES[type(info.values[0])], "enum": list(info.values)}
            case mi.EnumType():
                return {"enum": [member.value for member in info.cls]}
            case mi.DictType():
                return {"type": "object", **self._values(info)}
            case mi.ListType() | mi.VarTupleType():
                return _lengths({"type": "array", "items": self._schema(info.item_type)}, info, "Items")
            case mi.TupleType():
                # Which one stands where is left out: drafts 7 and 2020-12 write that differently.
                items = [self._schema(item) for item in info.item_types]
                return {"type": "array", "items": {"anyOf": items}, "minItems": len(items), "maxItems": len(items)}
            case mi.UnionType():
                found = [self._schema(kind) for kind in info.types]
                return found[0] if len(found) == 1 else {"anyOf": found}
            case _:
                raise TypeError(f"no JSON schema for {info}")

    def _values(self, info: mi.DictType) -> dict[str, Any]:
        return (
            {} if isinstance(info.value_type, mi.AnyType) else {"additionalProperties": self._schema(info.value_type)}
        )

    def _struct(self, info: mi.StructType) -> str:
        kind: type[msgspec.Struct] = info.cls
        known = self._names.get(kind)
        if known is not None:
            return known
        name = kind.__name__
        if name in self._taken:
            name += "Document"
        if name in self.components:  # two modules, one name
            name = "".join(part.capitalize() for part in kind.__module__.split(".")) + name
        self._names[kind] = name
        self.components[name] = {}  # holds the place: a struct may hold itself
        words, described = describe(kind)
        schema: dict[str, Any] = {"title": name, "type": "object"}
        if words:
            schema["description"] = words
        schema["properties"] = {field.encode_name: self.field(field, described) for field in info.fields}
        required = [field.encode_name for field in info.fields if not _optional(field, info)]
        if required:
            schema["required"] = required
        if info.forbid_unknown_fields:
            schema["additionalProperties"] = False
        self.components[name] = schema
        return name

    def field(self, field: mi.Field, described: dict[str, str]) -> dict[str, Any]:
        """Schema of a struct's field, with the words of the docstring and its default.

        Args:
            field: as msgspec gives it.
            described: words by field name.
        """
        schema = self._schema(field.type)
        if "$ref" in schema:
            return schema
        words = described.get(field.name)
        if words:
            schema = {**schema, "description": words}
        if isinstance(field.default, str | int):
            schema = {**schema, "default": field.default}
        elif field.default == () or field.default_factory in (list, dict):
            schema = {**schema, "default": {} if field.default_factory is dict else []}
        return schema


def _optional(field: mi.Field, info: mi.StructType) -> bool:
    # A record's document has every field; parameters may leave out what has a default.
    return not field.required and (not info.array_like or field.default is msgspec.UNSET)


def _bounds(info: mi.IntType | mi.FloatType) -> dict[str, Any]:
    names = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
    return {name: getattr(info, bound) for bound, name in names.items() if getattr(info, bound) is not None}


def _text(info: mi.StrType) -> dict[str, Any]:
    schema = _lengths({"type": "string"}, info, "Length")
    return schema if info.pattern is None else {**schema, "pattern": info.pattern}


def _bytes(info: mi.BytesType) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": _HEX}
    if info.min_length is not None:
        schema["minLength"] = 2 * info.min_length
    if info.max_length is not None:
        schema["maxLength"] = 2 * info.max_length
    return schema


def _lengths(schema: dict[str, Any], info: Any, what: str) -> dict[str, Any]:
    if info.min_length is not None:
        schema[f"min{what}"] = info.min_length
    if info.max_length is not None:
        schema[f"max{what}"] = info.max_length
    return schema


@lru_cache(maxsize=1_024)
def describe(kind: type) -> tuple[str, dict[str, str]]:
    """(what a struct is, words of each field), from its docstring."""
    text = inspect.cleandoc(kind.__doc__ or "")
    head, _, tail = text.partition("Attributes:\n")
    fields: dict[str, str] = {}
    name = ""
    for line in tail.splitlines():
        found = _ATTRIBUTE.match(line)
        if found:
            name = found[1]
            fields[name] = found[2]
        elif name and line.startswith(" " * 8):
            fields[name] += " " + line.strip()
        elif line.strip():
            break
    words = " ".join(head.split()).replace("``", "`")
    return words, {name: _sentence(text) for name, text in fields.items()}


def _sentence(text: str) -> str:
    text = text.replace("``", "`")
    return text[0].upper() + text[1:] if text else text
