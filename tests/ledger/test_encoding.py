"""Canonical bytes: one encoding a value; everything else is refused with its code."""

import hashlib
from typing import Annotated

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Meta

from ledger.encoding import Codec, Record, digest, encode
from ledger.errors import InvalidInput, MalformedBytes, NonCanonicalBytes


class Inner(Record, frozen=True):
    flag: bool
    note: str | None


class Outer(Record, frozen=True):
    number: Annotated[int, Meta(ge=0, le=2**53)]
    data: Annotated[bytes, Meta(max_length=300)]
    text: Annotated[str, Meta(max_length=300)]
    inner: Inner
    many: Annotated[tuple[int, ...], Meta(max_length=70_000)]


codec = Codec(Outer, 400_000)
number = Codec(int, 100, "number")
data = Codec(bytes, 100_000, "data")
text = Codec(str, 100_000, "text")
several = Codec(tuple[int, ...], 100_000, "several")
VALUE = Outer(1, b"ab", "c", Inner(True, None), (1, 2))

OUTER = st.builds(
    Outer,
    st.integers(0, 2**53),
    st.binary(max_size=300),
    st.text(max_size=60),
    st.builds(Inner, st.booleans(), st.none() | st.text(max_size=40)),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20).map(tuple),
)


@given(OUTER)
@example(Outer(2**53, bytes(300), "é" * 150, Inner(False, "x" * 300), tuple(range(-70, 70))))
def test_value_and_back(value):
    encoded = codec.encode(value)
    assert codec.decode(encoded) == value
    assert encode(value) == encoded


def refused(of, encoded, kind, code=None):
    with pytest.raises(kind) as error:
        of.decode(encoded)
    assert type(error.value) is kind
    assert error.value.code == (code or kind.code)
    return error.value


NON_CANONICAL_INTEGERS = {
    "positive in uint8": "cc05",
    "positive in uint16": "cd0005",
    "positive in uint32": "ce00000005",
    "positive in uint64": "cf0000000000000005",
    "positive in int8": "d005",
    "positive in int16": "d10100",
    "255 in uint16": "cd00ff",
    "65535 in uint32": "ce0000ffff",
    "2^32-1 in uint64": "cf00000000ffffffff",
    "negative in int8": "d0ff",
    "negative in int16": "d1ff80",
    "negative in int64": "d3ffffffffffffffff",
}


@pytest.mark.parametrize("encoded", NON_CANONICAL_INTEGERS.values(), ids=NON_CANONICAL_INTEGERS)
def test_integers_in_more_bytes_than_they_need(encoded):
    refused(number, bytes.fromhex(encoded), NonCanonicalBytes)


@pytest.mark.parametrize(
    ("of", "encoded"),
    [
        (text, b"\xd9\x01a"),
        (text, b"\xda\x00\x01a"),
        (text, b"\xdb\x00\x00\x00\x01a"),
        (text, b"\xda\x00\x20" + b"a" * 32),
        (data, b"\xc5\x00\x01a"),
        (data, b"\xc6\x00\x00\x00\x01a"),
        (data, b"\xc6\x00\x00\x01\x00" + b"a" * 256),
        (several, b"\xdc\x00\x01\x05"),
        (several, b"\xdd\x00\x00\x00\x01\x05"),
        (several, b"\xdd\x00\x00\x00\x10" + bytes(16)),
    ],
)
def test_strings_bytes_and_arrays_with_longer_headers(of, encoded):
    refused(of, encoded, NonCanonicalBytes)


def test_every_length_of_string_bytes_and_array_has_one_form():
    for length in (0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536):
        for of, value in ((text, "a" * length), (data, b"a" * length), (several, (1,) * length)):
            assert of.decode(of.encode(value)) == value


@pytest.mark.parametrize("value", [True, False, 1.0, "1", b"1", None, [1]])
def test_integer_is_not_a_bool_float_string_or_nothing(value):
    refused(number, encode(value), MalformedBytes)


@pytest.mark.parametrize("value", [0, 1, "true", None, b"\x01"])
def test_bool_is_not_an_integer(value):
    refused(codec, encode((1, b"", "", (value, None), ())), MalformedBytes)


def test_bytes_are_not_a_string_and_a_string_not_bytes():
    refused(data, encode("ab"), MalformedBytes)
    refused(text, encode(b"ab"), MalformedBytes)


@pytest.mark.parametrize("tail", [b"\x00", b"\xc0", encode(VALUE)])
def test_trailing_bytes(tail):
    refused(codec, encode(VALUE) + tail, MalformedBytes)


def test_every_truncation():
    encoded = encode(VALUE)
    for end in range(len(encoded)):
        refused(codec, encoded[:end], MalformedBytes)


def test_unknown_and_missing_fields():
    refused(codec, encode((1, b"ab", "c", (True, None), (1, 2), 3)), MalformedBytes)
    refused(codec, encode((1, b"ab", "c", (True, None, 1), (1, 2))), MalformedBytes)
    refused(codec, encode((1, b"ab", "c", (True, None))), MalformedBytes)


@pytest.mark.parametrize("value", [-1, 2**53 + 1, 2**64 - 1, -(2**63)])
def test_numbers_out_of_bounds(value):
    refused(codec, encode((value, b"", "", (True, None), ())), MalformedBytes)


def test_fields_over_their_length():
    refused(codec, encode((1, bytes(301), "", (True, None), ())), MalformedBytes)
    refused(codec, encode((1, b"", "a" * 301, (True, None), ())), MalformedBytes)


def test_input_over_the_limit_is_refused_before_it_is_looked_at():
    error = refused(number, bytes(101), MalformedBytes, "oversized")
    assert error.data == {"size_bytes": 101, "max_bytes": 100}
    refused(codec, b"\xc1" * 400_001, MalformedBytes, "oversized")


def test_maps_are_refused_where_arrays_stand():
    refused(codec, encode({"number": 1}), MalformedBytes)
    refused(several, encode({}), MalformedBytes)


def test_extension_types_and_reserved_bytes_are_refused():
    for encoded in (b"\xc1", b"\xd4\x01\x00", b"\xc7\x00\x01", b"\xd6\xff\x00\x00\x00\x00", b""):
        for of in (number, data, text, several, codec):
            refused(of, encoded, MalformedBytes)


@pytest.mark.parametrize("encoded", [b"\xa1\xff", b"\xa2\xc3\x28", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80"])
def test_strings_that_are_not_utf_8(encoded):
    refused(text, encoded, MalformedBytes)


@pytest.mark.parametrize("opening", [b"\x91", b"\xdc\x00\x01", b"\x81\x01"])
def test_nesting_deeper_than_any_type_is_refused_and_harmless(opening):
    for of in (several, codec, Codec(object, 2_000_000, "anything")):
        with pytest.raises(MalformedBytes):
            of.decode(opening * (min(of.max_bytes, 300_000) // len(opening)))


def test_claimed_lengths_far_beyond_the_input_are_refused():
    for encoded in (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"):
        for of in (data, text, several, codec):
            refused(of, encoded, MalformedBytes)


@given(st.binary(max_size=200))
@example(encode(VALUE))
def test_any_bytes_decode_to_a_value_that_gives_them_back_or_are_refused(encoded):
    for of in (codec, number, data, text, several):
        try:
            value = of.decode(encoded)
        except InvalidInput:
            continue
        assert of.encode(value) == encoded


@given(OUTER, st.integers(0, 2**32), st.integers(1, 255))
def test_changed_bytes_never_decode_to_the_same_value(value, position, change):
    encoded = bytearray(encode(value))
    encoded[position % len(encoded)] ^= change
    try:
        found = codec.decode(bytes(encoded))
    except MalformedBytes:
        return
    assert found != value


def test_name_of_what_is_refused_is_in_the_text():
    assert "number" in refused(number, b"", MalformedBytes).message
    assert "Outer" in refused(codec, b"", MalformedBytes).message


def test_records_are_immutable():
    with pytest.raises((AttributeError, msgspec.ValidationError)):
        VALUE.number = 2


def test_digest_is_what_its_docstring_says():
    expected = hashlib.sha256(b"\x03tag" + b"\x02ch" + b"\x00\x00\x00\x01a" + b"\x00\x00\x00\x00").digest()
    assert digest(b"tag", b"ch", b"a", b"") == expected


@given(st.lists(st.binary(max_size=4), max_size=3), st.lists(st.binary(max_size=4), max_size=3))
def test_digest_keeps_its_parts_apart(one, two):
    assert (digest(b"t", b"c", *one) == digest(b"t", b"c", *two)) == (one == two)


def test_digest_depends_on_tag_and_chain():
    assert len({digest(b"a", b"b"), digest(b"ab", b""), digest(b"", b"ab"), digest(b"a", b"b", b"")}) == 4
