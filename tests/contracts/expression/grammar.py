"""Expressions at random, by grammar, each with its twin: the same meaning in words that the CEL library gets right.

The library departs from the CEL specification in three places, and the twin goes around them:

* it wraps when the smallest number is negated: the twin subtracts from 0;
* an error inside ``all`` or ``exists`` ends it, though a later item would decide: the twin is written out;
* ``size`` of a string counts bytes: only strings of ASCII are measured.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

SCHEMA = {
    "amount": "int",
    "count": "int",
    "drug": "string",
    "subject": "string",
    "plain": "string",
    "urgent": "bool",
    "drugs": "strings",
    "codes": "strings",
    "blocked": "list",
    "watched": "list",
}
MIN, MAX = -(2**63), 2**63 - 1
ITEM = "item"
# Stands for the variable until the twin is written out.
MARK = "\ue0f0"
TEXTS = ("", "a", "b", "ab", "é", "\uffff", "\U0001f600", "a\U0001f600", "'", '"', "\\", "a\nb", "860975")
NUMBERS = (0, 1, 2, 3, -1, 255, 2**31, 2**53, MAX - 1, MAX, MIN, MIN + 1)

numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(MIN, MAX), st.integers(-5, 5))
texts = st.one_of(st.sampled_from(TEXTS), st.text("ab\u00e9\u4e2d\uffff\U0001f600'\"\\ ", max_size=4))
lists = st.lists(texts, max_size=4).map(tuple)
kinds = {
    "amount": numbers,
    "count": numbers,
    "drug": texts,
    "subject": texts,
    "plain": st.text("ab", max_size=4),
    "urgent": st.booleans(),
    "drugs": lists,
    "codes": lists,
}


def values_or_missing():
    """Values of the attributes, of which some are missing at times."""
    return st.fixed_dictionaries({}, optional=kinds)


@dataclass(frozen=True)
class Made:
    """A source, and its twin for the library."""

    source: str
    twin: str


def quoted(text):
    """A literal that stands for ``text``, the shortest way."""
    parts = []
    for character in text:
        if character in '"\\':
            parts.append("\\" + character)
        elif character == "\n":
            parts.append("\\n")
        else:
            parts.append(character)
    return '"' + "".join(parts) + '"'


class _Writer:
    """Draws one expression. Every method gives (source, twin), neither needing parentheses at its place."""

    def __init__(self, draw, values):
        self.draw = draw
        self.values = values
        self.quantified = False
        self.inside = False

    def one_of(self, *options):
        return self.draw(st.sampled_from(options))()

    def joined(self, part, operators, most=3):
        source, twin = part()
        for _ in range(self.draw(st.integers(0, most - 1))):
            operator = f" {self.draw(st.sampled_from(operators))} "
            more, more_twin = part()
            source, twin = source + operator + more, twin + operator + more_twin
        return source, twin

    # --- bool ---

    def any_(self, depth):
        return self.joined(lambda: self.joined(lambda: self.relation(depth), ["&&"]), ["||"])

    def relation(self, depth):
        options = [self.numbers_compared, self.texts_compared, self.truths_compared, self.within, self.starting]
        if depth and not self.quantified:
            options += [self.quantifier] * 3
        made = self.draw(st.sampled_from(options))
        return made(depth)

    def truth(self, depth):
        chosen = self.draw(st.integers(0, 4 if depth else 2))
        if chosen <= 1:
            return (self.draw(st.sampled_from(["true", "false"])),) * 2
        if chosen == 2:
            return ("urgent",) * 2
        if chosen == 3:
            source, twin = self.truth(depth - 1)
            return f"!{source}", f"!{twin}"
        source, twin = self.any_(depth - 1)
        return f"({source})", f"({twin})"

    def truths_compared(self, depth):
        return self.joined(lambda: self.truth(depth), ["==", "!=", "<", "<=", ">", ">="])

    def compared(self, part):
        operator = self.draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
        (left, left_twin), (right, right_twin) = part(), part()
        return f"{left} {operator} {right}", f"{left_twin} {operator} {right_twin}"

    def numbers_compared(self, depth):
        return self.compared(lambda: self.sum(depth))

    def texts_compared(self, _depth):
        return self.compared(self.text)

    def within(self, depth):
        if self.draw(st.booleans()):
            left, left_twin = self.sum(depth)
            items = ", ".join(map(str, self.draw(st.lists(numbers, min_size=1, max_size=3))))
            return f"{left} in [{items}]", f"{left_twin} in [{items}]"
        left, left_twin = self.text()
        literal = "[" + ", ".join(map(quoted, self.draw(st.lists(texts, min_size=1, max_size=3)))) + "]"
        right = self.draw(st.sampled_from(["drugs", "codes", "blocked", "watched", literal]))
        return f"{left} in {right}", f"{left_twin} in {right}"

    def starting(self, _depth):
        (text, text_twin), (prefix, prefix_twin) = self.text(), self.text()
        return f"{text}.startsWith({prefix})", f"{text_twin}.startsWith({prefix_twin})"

    def quantifier(self, depth):
        self.quantified = self.inside = True
        body, body_twin = self.any_(depth - 1)
        self.inside = False
        function, joint, nothing = self.draw(st.sampled_from([("all", "&&", "true"), ("exists", "||", "false")]))
        over = self.draw(st.sampled_from(["drugs", "codes"]))
        if over in self.values:
            each = [f"({body_twin.replace(MARK, quoted(item))})" for item in self.values[over]]
            twin = f"({f' {joint} '.join(each) or nothing})"
        else:
            twin = f"({over} == {over})"
        return f"{over}.{function}({ITEM}, {body.replace(MARK, ITEM)})", twin

    # --- int and string ---

    def sum(self, depth):
        return self.joined(lambda: self.joined(lambda: self.number(depth), ["*"], 2), ["+", "-"])

    def number(self, depth):
        chosen = self.draw(st.integers(0, 5 if depth else 3))
        if chosen == 0:
            return (str(self.draw(numbers)),) * 2
        if chosen in (1, 2):
            return (self.draw(st.sampled_from(["amount", "count"])),) * 2
        if chosen == 3:
            return (self.draw(st.sampled_from(["size(drugs)", "codes.size()", "size(plain)", "plain.size()"])),) * 2
        source, twin = self.number(depth - 1)
        if chosen == 4:
            sign = "- " if source.startswith("-") and not source[1:].startswith(str(-MIN)) else "-"
            source = f"({source})" if source.startswith(str(MIN)) else source
            return sign + source, f"(0 - {twin})"
        source, twin = self.sum(depth - 1)
        return f"({source})", f"({twin})"

    def text(self):
        if self.inside and self.draw(st.booleans()):
            return MARK, MARK
        chosen = self.draw(st.sampled_from(["drug", "subject", "plain", "literal"]))
        return (quoted(self.draw(texts)) if chosen == "literal" else chosen,) * 2


@st.composite
def expressions(draw, values, depth=3):
    """An expression over ``SCHEMA``, of at most 1 KiB."""
    writer = _Writer(draw, values)
    source, twin = writer.any_(depth)
    made = Made(source, twin)
    return made if len(source.encode()) <= 1_024 else Made("true", "true")
