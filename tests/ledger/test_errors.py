"""The error tree: stable codes, four families, data beside the text."""

import re

import pytest

from ledger import errors
from ledger.errors import Fatal, InvalidInput, LocalMisuse, NotFound, RemoteFault, TidegateError

FAMILIES = (InvalidInput, RemoteFault, LocalMisuse, Fatal)
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


def test_every_class_has_its_own_snake_case_code():
    codes = [vars(cls).get("code") for cls in CLASSES]
    assert all(code and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", code) for code in codes), codes
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not TidegateError])
def test_every_class_is_of_exactly_one_family_and_says_what_it_means(cls):
    assert sum(issubclass(cls, family) for family in FAMILIES) == 1
    assert cls.__doc__


def test_code_can_be_made_more_precise_without_changing_the_class():
    error = NotFound("no such thing", code="block_not_found", height=5)
    assert (error.code, NotFound.code) == ("block_not_found", "not_found")
    assert error.data == {"height": 5}
    assert error.message == str(error) == "no such thing"
    assert NotFound("x").code == "not_found"
    assert NotFound("x").data == {}
