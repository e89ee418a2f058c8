"""The same report as a PDF, by fpdf2 with the fonts that every PDF reader has; other letters are written as escapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from node.bundles.advice import HOW_TO_CHECK, READING, WHAT_IS_PROVED
from node.bundles.report_html import item_rows, shown
from node.bundles.story import Item, Story, time_text

FONT: Final = "Times"
MARGIN_MM: Final = 18
LABEL_MM: Final = 42
ESCAPES_NOTE: Final = (
    "Letters that the standard fonts of PDF do not have are written as their Unicode numbers, such as \\u4e2d; the "
    "HTML form of this report shows them as they are."
)


def pdf_report(story: Story, *, digest: str, file_name: str) -> bytes:
    """The report.

    Args:
        story: proved (``node.bundles.verifying``).
        digest: SHA-256 of the bundle's bytes, in hex.
        file_name: of the bundle.
    """
    from fpdf import FPDF  # noqa: PLC0415 - takes half a second, and most commands do without

    page = _Page(FPDF(format="A4"))
    # Two reports of one bundle are the same bytes: nothing of the machine or of the moment goes in.
    page.pdf.set_creation_date(datetime.fromtimestamp(max(c.newest_time_ms for c in story.chains) / 1000, UTC))
    page.pdf.set_producer("Tidegate")
    page.pdf.set_title(latin(f"Evidence: {story.subject}"))
    page.heading(f"Evidence: {story.subject}", 16)
    page.small(f"Made from the file {file_name}, SHA-256 {digest}.")
    page.box(f"{story.outcome[:1].upper()}{story.outcome[1:]}.")
    page.text(WHAT_IS_PROVED)
    page.heading("What is proved")
    page.bullets(story.statements)
    page.heading("What is not shown")
    page.bullets(story.gaps)
    page.heading("The chains")
    for chain in story.chains:
        page.heading(chain.name, 11)
        page.row("chain id", chain.chain_id)
        page.row("hash of the genesis file", chain.genesis_hash)
        page.row("blocks in this bundle", str(chain.blocks))
        page.row("the newest of them", f"height {chain.newest_height}, {time_text(chain.newest_time_ms)}")
    page.heading("What happened, in order")
    page.text(READING)
    for number, item in enumerate(story.items, 1):
        page.item(number, item)
    page.heading("How to check this yourself")
    page.bullets(HOW_TO_CHECK)
    if page.escaped:
        page.text(ESCAPES_NOTE)
    return bytes(page.pdf.output())


def latin(text: str) -> str:
    """Text in the letters of the standard fonts (Latin-1); all others, and those that hide or reorder, by number."""
    return "".join(char if shown(char) and ord(char) < 0x100 else f"\\u{ord(char):04x}" for char in text)


class _Page:
    """Writes paragraphs and rows. ``escaped``: whether anything had to be."""

    def __init__(self, pdf: object) -> None:
        from fpdf import FPDF  # noqa: PLC0415 - as above

        assert isinstance(pdf, FPDF)
        self.pdf = pdf
        self.escaped = False
        pdf.set_margin(MARGIN_MM)
        pdf.set_auto_page_break(auto=True, margin=MARGIN_MM)
        pdf.add_page()

    def _latin(self, text: str) -> str:
        found = latin(text)
        self.escaped = self.escaped or found != text
        return found

    def _write(self, text: str, size: float, style: str = "", *, indent: float = 0.0) -> None:
        self.pdf.set_font(FONT, style, size)
        self.pdf.set_x(self.pdf.l_margin + indent)
        self.pdf.multi_cell(0, size * 0.45, self._latin(text), align="L", new_x="LMARGIN", new_y="NEXT")

    def heading(self, text: str, size: float = 13) -> None:
        self.pdf.ln(3)
        self._write(text, size, "B")
        self.pdf.ln(1)

    def text(self, text: str) -> None:
        self.pdf.set_font(FONT, "", 10.5)
        self.pdf.multi_cell(0, 4.8, self._latin(text), align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1)

    def small(self, text: str) -> None:
        self._write(text, 9)

    def box(self, text: str) -> None:
        self.pdf.ln(2)
        self.pdf.set_font(FONT, "B", 12)
        self.pdf.multi_cell(0, 8, self._latin(text), border=1, align="L", new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(2)

    def bullets(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            self.pdf.set_font(FONT, "", 10.5)
            self.pdf.set_x(self.pdf.l_margin + 4)
            self.pdf.multi_cell(0, 4.8, "- " + self._latin(line), align="L", new_x="LMARGIN", new_y="NEXT")
            self.pdf.ln(0.8)

    def row(self, name: str, value: str) -> None:
        if self.pdf.will_page_break(8):
            self.pdf.add_page()
        self.pdf.set_font(FONT, "I", 9)
        top = self.pdf.get_y()
        self.pdf.multi_cell(LABEL_MM, 4.2, self._latin(name), align="L", new_x="RIGHT", new_y="TOP")
        self.pdf.set_xy(self.pdf.l_margin + LABEL_MM, top)
        self._write(value, 9, indent=LABEL_MM)

    def item(self, number: int, item: Item) -> None:
        if self.pdf.will_page_break(24):
            self.pdf.add_page()
        self.heading(f"{number}. {item.title}", 11)
        self.small(f"{time_text(item.time_ms)}, chain {item.chain}, block {item.height}")
        for name, value in [*item.facts, *item_rows(item)]:
            self.row(name, value)
