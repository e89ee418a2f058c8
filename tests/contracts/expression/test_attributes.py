"""Attributes: one encoding for one set of facts, every field bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.expression.attributes import (
    MAX_ATTRIBUTES,
    Attribute,
    Attributes,
    as_mapping,
    attributes_codec,
    from_mapping,
)
from ledger.encoding import Codec, Record, encode
from ledger.errors import InvalidInput, MalformedBytes, NonCanonicalBytes

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
facts = st.dictionaries(
    st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z"),
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), texts, st.lists(texts, max_size=5).map(tuple)),
    max_size=8,
)


@given(facts)
def test_attributes_come_back_when_they_are_encoded(values):
    made = from_mapping(values)
    back = attributes_codec.decode(attributes_codec.encode(made))
    assert back == made
    assert as_mapping(back) == values
    assert list(as_mapping(back)) == sorted(values)
    assert {name: type(value) for name, value in as_mapping(back).items()} == {
        name: type(value) for name, value in values.items()
    }, "true stays apart from 1"


@given(facts)
def test_bytes_are_equal_when_the_facts_come_in_another_order(values):
    turned = dict(reversed(values.items()))
    assert attributes_codec.encode(from_mapping(turned)) == attributes_codec.encode(from_mapping(values))


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a"), ("a", "B")])
def test_attributes_are_refused_when_names_are_doubled_or_out_of_order(names):
    wrong = tuple([Attribute(name, 1) for name in names])
    with pytest.raises(NonCanonicalBytes):
        attributes_codec.decode(attributes_codec.encode(wrong))
    with pytest.raises(NonCanonicalBytes) as raised:
        as_mapping(wrong)
    assert raised.value.code == "attributes_unsorted"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", 1),
        ("1a", 1),
        ("a-b", 1),
        ("a\n", 1),
        ("é", 1),
        ("a" * 65, 1),
        ("a", 2**53 + 1),
        ("a", -(2**53) - 1),
        ("a", "x" * 257),
        ("a", ("x",) * 257),
        ("a", ("x" * 257,)),
        ("a", (1,)),
        ("a", (("x",),)),
        ("a", 1.5),
        ("a", None),
        ("a", b"x"),
    ],
)
def test_attribute_is_refused_when_it_is_out_of_bounds(name, value):
    with pytest.raises(MalformedBytes):
        attributes_codec.decode(encode(((name, value),)))
    with pytest.raises(InvalidInput) as raised:
        from_mapping({name: value})
    assert raised.value.code == "attributes_invalid"


@pytest.mark.parametrize("value", [2**70, "\ud800", object()])
def test_attribute_is_refused_when_it_has_no_encoding(value):
    with pytest.raises(InvalidInput, match="attributes"):
        from_mapping({"a": value})


def test_attributes_are_refused_when_there_are_too_many_or_they_are_too_large():
    from_mapping({f"a{number:03}": 1 for number in range(MAX_ATTRIBUTES)})
    with pytest.raises(InvalidInput):
        from_mapping({f"a{number:03}": 1 for number in range(MAX_ATTRIBUTES + 1)})
    with pytest.raises(InvalidInput, match="bytes"):
        from_mapping({"a": ("x" * 256,) * 256})


def test_bytes_are_refused_when_they_are_another_encoding():
    data = attributes_codec.encode(from_mapping({"a": 1}))
    assert data == b"\x91\x92\xa1a\x01"
    with pytest.raises(NonCanonicalBytes):
        attributes_codec.decode(b"\x91\x92\xa1a\xcc\x01")
    with pytest.raises(MalformedBytes):
        attributes_codec.decode(data + b"\x00")


class Attested(Record, frozen=True):
    """A record that holds attributes, as those of contracts do."""

    attributes: Attributes


def test_record_is_refused_when_it_holds_too_many_attributes():
    codec = Codec(Attested, 65_536)
    fitting = Attested(from_mapping({f"a{number:03}": True for number in range(MAX_ATTRIBUTES)}))
    assert codec.decode(codec.encode(fitting)) == fitting
    with pytest.raises(MalformedBytes):
        codec.decode(codec.encode(Attested((*fitting.attributes, Attribute("b", True)))))
