"""Attributes: what an authority attests about a document, and what rule expressions read (PROTOCOL.md 2, 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from ledger.encoding import Codec, Record
from ledger.errors import InvalidInput, MalformedBytes, NonCanonicalBytes

MAX_NAME: Final = 64
MAX_TEXT: Final = 256
"""Code points in a string."""
MAX_ITEMS: Final = 256
"""Strings in a list: what ``all`` and ``exists`` go over."""
MAX_ATTRIBUTES: Final = 64
MAX_NUMBER: Final = 2**53
"""JSON readers must be able to hold a number exactly."""
MAX_ATTRIBUTES_BYTES: Final = 65_536

Value: TypeAlias = bool | int | str | tuple[str, ...]
"""What an attribute can be: the types ``bool``, ``int``, ``string`` and ``strings`` of the language."""

# \Z, for $ would let a line feed follow.
AttributeName = Annotated[str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z", max_length=MAX_NAME)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Number = Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=MAX_ITEMS)]


class Attribute(Record, frozen=True):
    """One fact about a document.

    Attributes:
        name: identifier by which expressions call it.
        value: truth value, number, string, or list of strings in the document's order.
    """

    name: AttributeName
    value: bool | Number | Text | Texts


Attributes = Annotated[tuple[Attribute, ...], Meta(max_length=MAX_ATTRIBUTES)]
"""Sorted by name, names distinct. A record that holds them is checked by ``as_mapping``."""


class _AttributesCodec(Codec[tuple[Attribute, ...]]):
    """Bytes of attributes; one set of facts has one encoding."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Attributes, MAX_ATTRIBUTES_BYTES, "attributes")

    def decode(self, data: bytes) -> tuple[Attribute, ...]:
        """As ``Codec.decode``; attributes out of order or doubled are ``NonCanonicalBytes``."""
        attributes = super().decode(data)
        as_mapping(attributes)
        return attributes


attributes_codec: Final = _AttributesCodec()


def as_mapping(attributes: tuple[Attribute, ...]) -> dict[str, Value]:
    """Name → value, in the order of the names.

    Raises:
        NonCanonicalBytes: names are not sorted, or one occurs twice.
    """
    values: dict[str, Value] = {attribute.name: attribute.value for attribute in attributes}
    names = list(values)
    if len(names) != len(attributes) or names != sorted(names):
        raise NonCanonicalBytes("attributes: names must be distinct and sorted", code="attributes_unsorted")
    return values


def from_mapping(values: Mapping[str, Value]) -> tuple[Attribute, ...]:
    """The attributes with these values, sorted by name: the inverse of ``as_mapping``.

    Raises:
        InvalidInput: a name is no identifier, a value is of another type or beyond its bounds, there are too many, or
            together they are too large.
    """
    # A boolean is a number to Python; decoding the encoding keeps them apart and applies every bound.
    try:
        data = attributes_codec.encode(tuple(Attribute(name, values[name]) for name in sorted(values)))
        return attributes_codec.decode(data)
    except (MalformedBytes, UnicodeEncodeError, TypeError, OverflowError, msgspec.EncodeError) as error:
        raise InvalidInput(f"attributes: {error}", code="attributes_invalid") from error
