"""Records as JSON documents for people and RPC, and back. JSON is never hashed or signed.

Structs become objects by field name, bytes lower-case hex, tuples arrays.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from ledger.errors import InvalidInput

T = TypeVar("T")


def to_document(value: Any) -> Any:
    """JSON-able form of a record or of plain values."""
    if isinstance(value, msgspec.Struct):
        return {name: to_document(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [to_document(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_document(item) for key, item in value.items()}
    return value


def from_document(document: Any, kind: type[T]) -> T:
    """The ``kind`` that a document says; objects may name fields, bytes are hex.

    Raises:
        InvalidInput: ``document_invalid``: a missing, unknown, ill-typed or out-of-bounds field; the text names it.
    """
    try:
        return msgspec.convert(_arrange(document, _type_info(kind), "$"), kind)  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{kind.__name__}: {error}", code="document_invalid") from error


@lru_cache(maxsize=256)
def _type_info(kind: Any) -> msgspec.inspect.Type:
    """What msgspec knows of a type; finding that out takes a millisecond, and a client reads thousands of answers."""
    return msgspec.inspect.type_info(kind)


def _field(value: dict[str, Any], field: msgspec.inspect.Field, path: str) -> Any:
    """The field's document, or its default: in an array every earlier field has its place."""
    if field.name in value:
        return _arrange(value[field.name], field.type, f"{path}.{field.name}")
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _arrange(value: Any, info: msgspec.inspect.Type, path: str) -> Any:
    match info:
        case msgspec.inspect.StructType() if isinstance(value, dict):
            names = {field.name for field in info.fields}
            unknown = sorted(set(value) - names)
            if unknown:
                raise InvalidInput(f"{path}: unknown field {unknown[0]!r}", code="document_invalid")
            missing = [field.name for field in info.fields if field.required and field.name not in value]
            if missing:
                raise InvalidInput(f"{path}: missing field {missing[0]!r}", code="document_invalid")
            if info.array_like:
                return [_field(value, field, path) for field in info.fields]
            return {field.name: _field(value, field, path) for field in info.fields if field.name in value}
        case msgspec.inspect.BytesType() if isinstance(value, str):
            try:
                return bytes.fromhex(value)
            except ValueError as error:
                raise InvalidInput(f"{path}: not hexadecimal", code="document_invalid") from error
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType() if isinstance(value, list | tuple):
            return tuple(_arrange(item, info.item_type, f"{path}[{i}]") for i, item in enumerate(value))
        case msgspec.inspect.TupleType() if isinstance(value, list | tuple) and len(value) == len(info.item_types):
            return tuple(
                _arrange(item, kind, f"{path}[{i}]")
                for i, (item, kind) in enumerate(zip(value, info.item_types, strict=True))
            )
        case msgspec.inspect.UnionType() if value is not None:
            for kind in info.types:
                if not isinstance(kind, msgspec.inspect.NoneType):
                    return _arrange(value, kind, path)
            return value
        case _:
            return value
