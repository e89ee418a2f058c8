"""Sources that are refused: each kind with its line and column, and words that say what is wrong."""

import pytest

from contracts.expression.errors import ExpressionInvalid
from contracts.expression.expression import compile_expression
from ledger.errors import InvalidInput
from tests.contracts.expression.grammar import SCHEMA


def refused(source, schema=SCHEMA):
    with pytest.raises(ExpressionInvalid) as raised:
        compile_expression(source, schema)
    error = raised.value
    assert isinstance(error, InvalidInput)
    assert error.code == "expression_invalid"
    assert error.message.startswith(f"line {error.data['line']}, column {error.data['column']}: ")
    return error


CHARACTERS = [
    ("amount > 5 / 2", 1, 12, "no division"),
    ("amount % 2 == 0", 1, 8, "no remainder"),
    ("urgent ? true : false", 1, 8, "&& and ||"),
    ("{'a': 1}", 1, 1, "no maps"),
    ("amount = 5", 1, 8, "write =="),
    ("urgent & urgent", 1, 8, "write &&"),
    ("urgent | urgent", 1, 8, "write ||"),
    ("true &&\n amount > 5 # why", 2, 13, "not of this language"),
    ("true && é", 1, 9, "'\\xe9' is not of this language"),
    ("drug == 'abc", 1, 9, "not closed on its line"),
    ("drug == 'é' ||\r\n\tdrug == \"abc\n\"", 2, 10, "not closed on its line"),
    ("drug == 'abc\\'", 1, 9, "not closed"),
    ("drug == '''abc'''", 1, 9, "triple-quoted"),
    ('drug == """abc"""', 1, 9, "triple-quoted"),
    ("drug == r'abc'", 1, 9, "no raw strings and no bytes"),
    ('drug == b"abc"', 1, 9, "no raw strings and no bytes"),
    ("drug == 'ab\\q'", 1, 12, "unknown escape '\\\\q'"),
    ("drug == '\\0'", 1, 10, "unknown escape"),
    ("drug == '\\400'", 1, 10, "unknown escape"),
    ("drug == 'é\\x4'", 1, 11, "unknown escape"),
    ("drug == 'a\\ud800'", 1, 11, "no Unicode character"),
    ("drug == '\\U00110000'", 1, 10, "no Unicode character"),
    ("drug == '\\UFFFFFFFF'", 1, 10, "no Unicode character"),
    ("drug == 'a' ||\ndrug == '\ud800'", 2, 10, "surrogate"),
    ("drug == 'a\u202eb'", 1, 11, "hidden character '\\u202e'"),
    ("true // \u2066 || false", 1, 9, "hidden character '\\u2066'"),
    ("true // fine\r && false", 1, 13, "hidden character '\\r'"),
    ("true // fine\f && false", 1, 13, "hidden character '\\x0c'"),
    ("true\x00", 1, 5, "hidden character '\\x00'"),
    ("drug == 'a\u200bb'", 1, 11, "hidden character"),
    ("true && drug.\u00a0size() == 1", 1, 14, "not of this language"),
    ("amount > 1.5", 1, 10, "whole"),
    ("amount > 1.", 1, 10, "whole"),
    ("amount > 1e3", 1, 10, "whole"),
    ("amount > 0x1F", 1, 10, "whole"),
    ("amount > 5u", 1, 10, "whole"),
    ("amount > 1_000", 1, 10, "whole"),
    ("amount > 007", 1, 10, "leading zeros"),
    ("amount > 9223372036854775808", 1, 10, "at most 9223372036854775807"),
    ("amount > -9223372036854775809", 1, 11, "between -9223372036854775808"),
    ("amount > --9223372036854775808", 1, 11, "at most 9223372036854775807"),
    ("amount > " + "9" * 900, 1, 10, "between"),
]
SYNTAX = [
    ("", 1, 1, "empty"),
    ("\n  // nothing\n ", 3, 2, "empty"),
    ("true &&", 1, 8, "expected a value, not the end"),
    ("&& true", 1, 1, "expected a value, not '&&'"),
    ("true true", 1, 6, "expected an operator or the end, not 'true'"),
    ("urgent drug", 1, 8, "expected an operator or the end, not 'drug'"),
    ("true)", 1, 5, "expected an operator or the end, not ')'"),
    ("(true", 1, 6, "expected ')' to close the parenthesis, not the end"),
    ("()", 1, 2, "expected a value"),
    ("if == 1", 1, 1, "reserved word"),
    ("true && null", 1, 9, "reserved word"),
    ("in == 1", 1, 1, "expected a value, not 'in'"),
    ("drug.length == 1", 1, 6, "no fields"),
    ("drug.in == 1", 1, 6, "expected a function after '.'"),
    ("drugs[0] == 'a'", 1, 6, "expected an operator or the end, not '['"),
    ("drug in []", 1, 10, "at least one item"),
    ("drug in ['a'", 1, 13, "to close the list"),
    ("drug in ['a' 'b']", 1, 14, "to close the list"),
    ("drug in ['a', 1]", 1, 15, "all strings or all numbers"),
    ("drug in [true]", 1, 10, "strings or numbers"),
    ("drug in ['a', subject]", 1, 15, "strings or numbers"),
    ("amount in [-amount]", 1, 12, "nothing computed"),
    ("drug in [['a']]", 1, 10, "strings or numbers"),
    ("drug.matches('a+')", 1, 6, "unknown function 'matches'; known: size, startsWith, all, exists"),
    ("true && timestamp('x') == 1", 1, 9, "unknown function 'timestamp'"),
    ("startsWith(drug, 'a')", 1, 1, "x.startsWith(…)"),
    ("exists(drugs, d, true)", 1, 1, "x.exists(…)"),
    ("size() == 1", 1, 1, "takes 1 argument, not 0"),
    ("size(drug, drug) == 1", 1, 1, "takes 1 argument, not 2"),
    ("drug.size(1) == 1", 1, 6, "takes 0 arguments, not 1"),
    ("drug.startsWith()", 1, 6, "takes 1 arguments, not 0"),
    ("size(drug,) == 1", 1, 11, "expected a value"),
    ("size(drug == 1", 1, 15, "after the arguments of size"),
    ("drug.size().size() == 1", 1, 12, "the result of size has no functions"),
    ("drugs.all(d, true).size() == 1", 1, 19, "the result of all has no functions"),
    ("drugs.all('d', true)", 1, 11, "begins with a name for the item"),
    ("drugs.all(true)", 1, 11, "begins with a name for the item"),
    ("drugs.all(d)", 1, 12, "after the variable of all"),
    ("drugs.all(d, true, true)", 1, 18, "after the condition of all"),
    ("drugs.all(d, codes.exists(c, c == d))", 1, 20, "at most one all(…) or exists(…)"),
    ("drugs.all(d, true) &&\ncodes.exists(c, true)", 2, 7, "at most one"),
]
TYPES = [
    ("amount", 1, 1, "an expression is true or false, this one is an int"),
    (" (drugs)", 1, 3, "this one is a strings"),
    ("1 + size(drug)", 1, 1, "this one is an int"),
    ("'a'", 1, 1, "this one is a string"),
    ("['a']", 1, 1, "this one is a strings"),
    ("amount == drug", 1, 8, "== compares values of one type, not int and string"),
    ("urgent == 1", 1, 8, "not bool and int"),
    ("1 < 2 < 3", 1, 7, "< compares values of one type, not bool and int"),
    ("drugs == codes", 1, 7, "lists are not compared"),
    ("drugs == ['a']", 1, 7, "lists are not compared"),
    ("drug + 'a' == 'ab'", 1, 6, "+ takes int, not string"),
    ("1 + 'a' == 2", 1, 3, "+ takes int, not string"),
    ("urgent * 2 == 2", 1, 8, "* takes int, not bool"),
    ("-drug == 'a'", 1, 1, "- takes int, not string"),
    ("true && !amount", 1, 9, "! takes bool, not int"),
    ("true && amount", 1, 9, "&& takes bool, not int"),
    ("true && (amount + 1) || 1 == 1", 1, 10, "&& takes bool, not int"),
    ("amount || true", 1, 1, "|| takes bool, not int"),
    ("amount in drugs", 1, 8, "drugs holds string, and on the left of 'in' is an int"),
    ("amount in blocked", 1, 8, "blocked holds string"),
    ("amount in ['a']", 1, 8, "this list holds string"),
    ("drug in [1]", 1, 6, "this list holds int"),
    ("drug in subject", 1, 9, "subject is a string"),
    ("drug in 'abc'", 1, 9, "this is none"),
    ("drug in drugs in codes", 1, 15, "is a bool"),
    ("blocked == 'a'", 1, 1, "only on the right of 'in'"),
    ("size(blocked) == 0", 1, 6, "only on the right of 'in'"),
    ("blocked.exists(b, true)", 1, 1, "only on the right of 'in'"),
    ("size(amount) == 1", 1, 1, "size takes a string or a list, not int"),
    ("amount.startsWith('a')", 1, 8, "startsWith is of string, not of int"),
    ("drug.startsWith(1)", 1, 6, "startsWith takes string, not int"),
    ("drug.all(d, true)", 1, 6, "all goes over a list, not a string"),
    ("drugs.all(d, d)", 1, 14, "the condition of all takes bool, not string"),
    ("drugs.all(d, d > 1)", 1, 16, "not string and int"),
    ("drugs.all(d, 'x' in d)", 1, 21, "d is a string"),
    ("drugs.all(drugs, 'x' in drugs)", 1, 25, "drugs is a string"),
    ("drugs.all(blocked, 'x' in blocked)", 1, 27, "blocked is a string"),
    ("[1, 2].exists(n, n == 'a')", 1, 20, "not int and string"),
]
NAMES = [
    ("true ||\n  weight > 5", 2, 3, "unknown name weight"),
    ("drug in banned", 1, 9, "unknown name banned"),
    ("drugs.all(d, e == d)", 1, 14, "unknown name e"),
    ("drugs.all(d, true) && d == 'a'", 1, 23, "unknown name d"),
    ("d == 'a' && drugs.all(d, true)", 1, 1, "unknown name d"),
    ("Amount > 5", 1, 1, "unknown name Amount"),
    ("weight.exists(w, true)", 1, 1, "unknown name weight"),
    ("size == 1", 1, 1, "unknown name size"),
]


@pytest.mark.parametrize(("source", "line", "column", "words"), CHARACTERS + SYNTAX + TYPES + NAMES)
def test_source_is_refused_with_its_place_when_it_is_not_of_the_language(source, line, column, words):
    error = refused(source)
    assert (error.data["line"], error.data["column"]) == (line, column)
    assert words in error.message


def test_error_says_what_is_known_when_a_name_is_not():
    assert refused("weight > 5").message == (
        "line 1, column 1: unknown name weight; attributes: amount, codes, count, drug, drugs, plain, subject, urgent;"
        " lists: blocked, watched"
    )
    assert refused("weight > 5", {}).message.endswith("attributes: none; lists: none")


def test_error_is_short_when_there_are_many_names_or_a_long_one():
    schema = {f"name_{number:04}": "int" for number in range(5_000)}
    message = refused("x" * 1_000 + " > 5", schema).message
    assert "name_0019, … (5000 in all)" in message
    assert len(message) < 600
    assert len(refused("true '" + "x" * 1_000 + "'").message) < 150


@pytest.mark.parametrize("declared", ["double", "map", "ints", ""])
def test_source_is_refused_when_a_name_is_declared_as_something_unknown(declared):
    error = refused("x == 1", {"x": declared})
    assert "known types: bool, int, string, strings" in error.message


def test_older_rule_compiles_when_the_schema_has_grown():
    source = "drugs.all(d, d in blocked)"
    compile_expression(source, {"drugs": "strings", "blocked": "list"})
    compile_expression(source, {"drugs": "strings", "blocked": "list", "d": "int", "all": "string"})
