"""Records as JSON documents and back: what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from ledger.document import from_document, to_document
from ledger.encoding import Record
from ledger.errors import InvalidInput
from ledger.transaction import Attachment, Body, Call, Output
from ledger.types import MAX_AMOUNT


class Pair(Record, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=8)]
    data: bytes


class Holder(Record, frozen=True):
    pairs: Annotated[tuple[Pair, ...], Meta(max_length=3)]
    maybe: Pair | None
    two: tuple[int, bytes]
    flag: bool


class Optional(Record, frozen=True):
    first: int
    second: int = 20
    third: int = 30


HOLDER = Holder((Pair("a", b"\x00\xff"), Pair("b", b"")), None, (1, b"x"), flag=True)
outputs = st.builds(Output, st.text(min_size=1, max_size=64), st.integers(1, MAX_AMOUNT), st.text(min_size=1))
bodies = st.builds(
    Body,
    st.integers(0, 255),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=33, max_size=33),
    st.integers(0, 2**53 - 1),
    st.binary(min_size=16, max_size=16),
    st.lists(st.binary(min_size=36, max_size=36), max_size=3).map(tuple),
    st.lists(outputs, max_size=3).map(tuple),
    st.lists(st.builds(Call, st.text(min_size=1), st.text(min_size=1), st.binary(max_size=40)), max_size=2).map(tuple),
    st.lists(
        st.builds(Attachment, st.binary(min_size=32, max_size=32), st.integers(1, 2**32 - 1), st.integers(0, 255)),
        max_size=2,
    ).map(tuple),
    st.binary(max_size=256),
)


@settings(max_examples=80, deadline=None)
@given(bodies)
def test_record_is_itself_again_when_it_went_through_json(body: Body) -> None:
    document = to_document(body)
    assert from_document(json.loads(json.dumps(document)), Body) == body
    assert document["nonce"] == body.nonce.hex()


def test_document_is_for_people_when_a_record_is_shown() -> None:
    assert to_document(HOLDER) == {
        "pairs": [{"name": "a", "data": "00ff"}, {"name": "b", "data": ""}],
        "maybe": None,
        "two": [1, "78"],
        "flag": True,
    }
    assert to_document({1: b"\x01", "x": (HOLDER.pairs[1],)}) == {"1": "01", "x": [{"name": "b", "data": ""}]}
    assert from_document(to_document(HOLDER), Holder) == HOLDER
    with_pair = Holder((), Pair("c", b"c"), (0, b""), flag=False)
    assert from_document(to_document(with_pair), Holder) == with_pair


GOOD = {"pairs": [], "maybe": None, "two": [1, "78"], "flag": True}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": 1}, "more"),
        ({"pairs": 5}, "array"),
        ({"pairs": [{"name": "a"}]}, "data"),
        ({"pairs": [{"name": "a", "data": "0"}]}, "data"),
        ({"pairs": [{"name": "a", "data": "zz"}]}, "data"),
        ({"pairs": [{"name": "a", "data": 5}]}, "bytes"),
        ({"pairs": [{"name": "", "data": ""}]}, "length"),
        ({"pairs": [{"name": "a" * 9, "data": ""}]}, "length"),
        ({"pairs": [{"name": "a", "data": "", "more": 1}]}, "more"),
        ({"pairs": [{"name": "a", "data": ""}] * 4}, "length"),
        ({"maybe": {"name": "a"}}, "data"),
        ({"maybe": 5}, "array"),
        ({"two": [1]}, "length"),
        ({"two": [1, "78", 2]}, "length"),
        ({"two": ["1", "78"]}, "int"),
        ({"two": [1.0, "78"]}, "int"),
        ({"two": [True, "78"]}, "int"),
        ({"flag": 1}, "bool"),
        ({"flag": "true"}, "bool"),
    ],
    ids=str,
)
def test_document_is_refused_with_the_place_when_a_field_is_wrong(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_document({**GOOD, **changes}, Holder)
    assert caught.value.code == "document_invalid"
    assert words in caught.value.message


@pytest.mark.parametrize("field", list(GOOD))
def test_document_is_refused_when_a_field_is_missing(field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_document({name: value for name, value in GOOD.items() if name != field}, Holder)
    assert field in caught.value.message


@pytest.mark.parametrize("document", [None, 5, "x", True, [[]], [1, 2, 3, 4, 5]])
def test_document_is_refused_when_it_is_no_object(document: object) -> None:
    with pytest.raises(InvalidInput):
        from_document(document, Holder)


def test_fields_keep_their_default_when_the_last_ones_are_left_out() -> None:
    assert from_document({"first": 1}, Optional) == Optional(1)
    assert from_document({"first": 1, "second": 2}, Optional) == Optional(1, 2)


def test_fields_keep_their_places_when_one_in_the_middle_is_left_out() -> None:
    assert from_document({"first": 1, "third": 3}, Optional) == Optional(1, third=3)
