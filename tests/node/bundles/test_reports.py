"""Pages for people: complete, without anything that runs, whatever names are made of."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from node.bundles.report_html import html_report, shown
from node.bundles.report_pdf import latin, pdf_report
from node.bundles.story import Item, Story
from tests.node.bundles.made import made

pytestmark = pytest.mark.xdist_group("bundles")
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><iframe src=//evil.example>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "&lt;b&gt; & <b>bold</b>",
    "\u202eevil\u202c\u200b\x00\x1b[31m",
    "保险公司 — Жизнь — شركة",
]
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "h3",
    "p",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "code",
}


class Page(HTMLParser):
    """Tags, attributes and the text that a reader sees."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def decided() -> Story:
    return made().story("decided")


def named(name: str) -> Story:
    """A story in which everything that somebody else may have written is ``name``."""
    story = decided()

    def renamed(item: Item) -> Item:
        return replace(
            item,
            chain=name,
            title=f"{item.title} {name}",
            signers=(name,),
            facts=((name, name),),
            certified=name,
            path=name,
        )

    return replace(
        story,
        subject=name,
        outcome=name,
        statements=(name,),
        gaps=(name,),
        items=tuple(renamed(item) for item in story.items[:2]),
        chains=tuple(replace(chain, name=name) for chain in story.chains),
    )


def page_of(story: Story) -> bytes:
    return html_report(story, digest="ab" * 32, file_name="record.json")


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_the_page_says_who_decided_and_how_to_check() -> None:
    story = made().story("decided")
    page = Page(page_of(story))
    for item in story.items:
        assert item.title in page.text
        assert item.certified in page.text
    for words in (*story.statements, *story.gaps, "ab" * 32, "tidegate evidence verify", made().business.hash.hex()):
        assert words in page.text
    assert page.tags == TAGS


@pytest.mark.parametrize("name", EVIL)
def test_nothing_runs_and_nothing_is_hidden_whatever_a_name_is(name: str) -> None:
    data = page_of(named(name))
    page = Page(data)
    assert page.tags <= TAGS
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert not re.search(rb"<\s*(script|img|iframe|a|link|object|svg|form)\b", data)
    assert not any(char in data.decode() for char in "\u202e\u200b\x00\x1b")
    assert b"default-src 'none'" in data


@given(st.text(max_size=80))
def test_a_page_is_well_formed_for_any_name(name: str) -> None:
    page = Page(page_of(named(name)))
    assert page.tags <= TAGS
    assert "".join(char if shown(char) else f"\\u{ord(char):04x}" for char in name) in page.text


def test_a_pdf_holds_what_the_page_holds() -> None:
    story = made().story("decided")
    text = "".join(text_of(pdf_report(story, digest="ab" * 32, file_name="record.json")).split())
    for words in (*story.statements, *(item.title for item in story.items), "ab" * 32):
        assert "".join(words.split()) in text, words


@pytest.mark.parametrize("name", EVIL)
def test_a_pdf_can_be_made_and_read_whatever_a_name_is(name: str) -> None:
    data = pdf_report(named(name), digest="ab" * 32, file_name=name)
    assert data.startswith(b"%PDF-")
    assert not re.search(rb"/JavaScript|/JS\b|/Launch|/URI|/Annots", data)
    text = "".join(text_of(data).split())
    assert "".join(latin(name).split())[:10] in text
    foreign = any(ord(char) > 0xFF for char in name)
    assert ("Unicodenumbers" in text) == (foreign or latin(name) != name)


def test_letters_that_the_fonts_lack_are_written_by_their_numbers() -> None:
    assert latin("Zürich 保") == "Zürich \\u4fdd"
    assert latin("a\u202eb\nc") == "a\\u202eb\\u000ac"


def test_two_reports_of_one_bundle_are_the_same_bytes() -> None:
    story = made().story("note")
    assert page_of(story) == page_of(story)
    first, second = (pdf_report(story, digest="00", file_name="f") for _ in range(2))
    assert first == second
