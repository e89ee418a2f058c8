"""A page that a judge can read, from a proved bundle: one HTML file without scripts, pictures or foreign parts."""

from __future__ import annotations

from html import escape
from typing import Final

from node.bundles.advice import HOW_TO_CHECK, READING, WHAT_IS_PROVED
from node.bundles.story import Item, Story, time_text

_STYLE: Final = """
body{font:16px/1.5 Georgia,serif;max-width:46em;margin:2em auto;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.6em;margin-bottom:.2em}h2{margin-top:2em;border-bottom:1px solid #999;font-size:1.25em}
h3{margin:1.6em 0 .2em;font-size:1.05em}
.outcome{border:2px solid #111;padding:.6em 1em;margin:1em 0;font-weight:bold}
.when{color:#444;font-size:.9em;margin:0}
table{border-collapse:collapse;width:100%;margin:.4em 0}
th{text-align:left;font-weight:normal;color:#444;width:13em;vertical-align:top}
th,td{padding:.15em .6em .15em 0;border-bottom:1px dotted #ccc;overflow-wrap:anywhere;font-size:.92em}
code,td{font-family:inherit}code{font-family:monospace;font-size:.9em;overflow-wrap:anywhere}
li{margin:.4em 0;overflow-wrap:anywhere}
.sign{color:#063}
@media print{body{max-width:none;margin:0}h3{page-break-after:avoid}table{page-break-inside:avoid}}
"""
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy of the page: nothing is loaded and nothing runs, even where a name tries to."""


def html_report(story: Story, *, digest: str, file_name: str) -> bytes:
    """The page.

    Args:
        story: proved (``node.bundles.verifying``).
        digest: SHA-256 of the bundle's bytes, in hex.
        file_name: of the bundle.

    Returns:
        UTF-8 bytes; nothing in them is taken from the bundle without being escaped.
    """
    body = [
        f"<h1>Evidence: {_text(story.subject)}</h1>",
        (
            f'<p class="when">Made from the file <code>{_text(file_name)}</code>,'
            f" SHA-256 <code>{_text(digest)}</code>.</p>"
        ),
        f'<p class="outcome">{_text(story.outcome[:1].upper() + story.outcome[1:])}.</p>',
        f"<p>{_text(WHAT_IS_PROVED)}</p>",
        "<h2>What is proved</h2>",
        _list(story.statements),
        "<h2>What is not shown</h2>",
        _list(story.gaps),
        "<h2>The chains</h2>",
        *(_chain(story, number) for number in range(len(story.chains))),
        "<h2>What happened, in order</h2>",
        f"<p>{_text(READING)}</p>",
        *(_item(number, item) for number, item in enumerate(story.items, 1)),
        "<h2>How to check this yourself</h2>",
        _list(HOW_TO_CHECK, ordered=True),
    ]
    page = (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Evidence: {_text(story.subject)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    return page.encode()


def _text(value: str) -> str:
    """Text for HTML: escaped, and without characters that turn the reading direction or hide."""
    return escape("".join(char if shown(char) else f"\\u{ord(char):04x}" for char in value))


def shown(char: str) -> bool:
    """False for control characters and those that reorder or hide text: they are written as escapes."""
    code = ord(char)
    if code < 0x20 or 0x7F <= code < 0xA0:
        return False
    return not (0x200B <= code <= 0x200F or 0x202A <= code <= 0x202E or 0x2060 <= code <= 0x206F or code == 0xFEFF)


def _list(lines: tuple[str, ...], *, ordered: bool = False) -> str:
    tag = "ol" if ordered else "ul"
    return f"<{tag}>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + f"</{tag}>"


def _rows(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{_text(n)}</th><td>{_text(v)}</td></tr>" for n, v in rows) + "</table>"


def _chain(story: Story, number: int) -> str:
    chain = story.chains[number]
    rows = [
        ("chain id", chain.chain_id),
        ("hash of the genesis file", chain.genesis_hash),
        ("blocks in this bundle", str(chain.blocks)),
        ("the newest of them", f"height {chain.newest_height}, {time_text(chain.newest_time_ms)}"),
    ]
    return f"<h3>{_text(chain.name)}</h3>{_rows(rows)}"


def _item(number: int, item: Item) -> str:
    rows = [*item.facts, *item_rows(item)]
    when = f"{time_text(item.time_ms)}, chain {item.chain}, block {item.height}"
    return f'<h3>{number}. {_text(item.title)}</h3><p class="when">{_text(when)}</p>{_rows(rows)}'


def item_rows(item: Item) -> list[tuple[str, str]]:
    """How an item is proved: signers, transaction, certificate, place in the bundle."""
    rows = [("signed by", signer) for signer in item.signers] or [("signed by", "nobody: contracts did it by rule")]
    if item.tx_id:
        rows.append(("transaction", item.tx_id))
    return [*rows, ("block certified by", item.certified), ("proof in the bundle", item.path)]
