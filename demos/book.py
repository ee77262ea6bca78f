"""All pages in one HTML file, readable without running anything: on a phone, by keyboard, without a network."""

import base64
import html
import json
import re
from pathlib import Path

import numpy as np

from demos import explorer
from demos.markdown import Made
from demos.record import Block

TEMPLATE = Path(__file__).with_name("book.html")
VERDICTS = 10
COVER = 3  # the page whose first picture opens the book: many rows of logits, one model


def book_of(pages: list[Made]) -> str:
    """Return the book."""
    parts = {
        "cover": next((_shown(block) for page in pages for block in _pictures(page, COVER)), ""),
        "contents": "\n".join(
            f'<li value="{_number(page)}"><a href="#{_id(page)}">{_text(page.question)}</a></li>' for page in pages
        ),
        "verdicts": _verdicts(pages),
        "pages": "\n".join(_page(page) for page in pages),
        "states": json.dumps(states(), separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"<!-- (\w+) -->", lambda match: parts[match[1]], TEMPLATE.read_text(encoding="utf-8"))


def _number(page: Made) -> int:
    return int(page.script.stem[:2])


def _id(page: Made) -> str:
    return f"page-{_number(page)}"


def _pictures(page: Made, number: int) -> list[Block]:
    return [block for shown in page.shown for block in shown if block[0] == "picture" and _number(page) == number]


def _verdicts(pages: list[Made]) -> str:
    """Return the table of verdicts that page 10 wrote beside its picture, or "" if that page was not run."""
    written = [Path(path).with_name("verdicts.md") for page in pages for _, path in _pictures(page, VERDICTS)]
    if not written:
        return ""
    header, _, *rows = map(_cells_of, written[0].read_text(encoding="utf-8").splitlines())
    table = _table(header, rows)
    return f'<h2 id="verdicts">The verdicts</h2>{table}'


def _cells_of(row: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))
    return [_inline(cell.strip().replace("\\|", "|")) for cell in cells]


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table whose cells are HTML."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return _scrolling("div", f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", "table")


def _page(page: Made) -> str:
    cells = "\n".join(
        _prose(cell.text) if cell.is_prose else _code(cell.text) + "".join(map(_shown, shown))
        for cell, shown in page.cells
    )
    return f'<article id="{_id(page)}">\n<p class="number">Page {_number(page)}</p>\n{cells}\n</article>'


def _code(text: str) -> str:
    lines = text.count("\n") + 1
    summary = f"<summary>code: {lines} line{'s' * (lines > 1)}</summary>"
    return f"<details>{summary}{_scrolling('pre', _text(text), 'code')}</details>"


def _shown(block: Block) -> str:
    match block:
        case ["heading", text]:
            return f'<p class="caption">{_text(text)}</p>'
        case ["paragraph", text]:
            return f"<p>{_text(text)}</p>"
        case ["table", header, rows]:
            return _table([_text(cell) for cell in header], [[_text(cell) for cell in row] for row in rows])
        case ["picture", path]:
            data = base64.b64encode(Path(path).read_bytes()).decode()
            alt = f"picture of page {Path(path).stem.replace('_', ' ')}"
            return f'<p class="picture" tabindex="0"><img src="data:image/png;base64,{data}" alt="{alt}"></p>'
        case ["printed", text]:
            return _scrolling("pre", _text(text), "output")
    raise ValueError(f"{block[0]!r} is not something that a page shows")


def _cell(text: str) -> str:
    in_one_line = "" if re.search("[a-z]{2}", text) else ' class="numbers"'
    return f"<td{in_one_line}>{text}</td>"


def _scrolling(tag: str, inside: str, what: str) -> str:
    """Return an element that may be wider than a phone: it scrolls on its own, by keyboard too."""
    return f'<{tag} class="{what}" tabindex="0" role="group" aria-label="{what}">{inside}</{tag}>'


# --- Markdown, as far as the pages use it -----------------------------------------------------------------------------


def _prose(markdown: str) -> str:
    """Return prose as HTML."""
    found = []
    for block in re.split(r"\n\s*\n", markdown):
        if title := re.fullmatch(r"(#+) (.*)", block):
            level = min(len(title[1]) + 1, 6)  # the book has an h1 of its own
            found.append(f"<h{level}>{_inline(title[2])}</h{level}>")
        elif block.startswith("- "):
            items = re.split(r"\n?^- ", block, flags=re.MULTILINE)[1:]
            found.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
        else:
            found.append(f"<p>{_inline(block)}</p>")
    return "\n".join(found)


MARKS = [
    (r"\[(\d+)\]\(demos/\w+\.py\)", r'<a href="#page-\1">\1</a>'),  # links in the table of verdicts
    (r"`([^`]+)`", r"<code>\1</code>"),
    (r"\*\*([^*]+)\*\*", r"<strong>\1</strong>"),
    (r"(?<![\w*])\*(\w[^*]*)\*(?![\w*])", r"<em>\1</em>"),
]


def _inline(text: str) -> str:
    shown = _text(text)
    for mark, tag in MARKS:
        shown = re.sub(mark, tag, shown)
    return shown


def _text(text: str) -> str:
    return html.escape(text, quote=False)


# --- the explorer: every state of its knobs, computed in advance ------------------------------------------------------

TEMPERATURES = [float(f"{10**x:.3g}") for x in np.linspace(np.log10(0.05), np.log10(20), 27)] + [1.0]
KNOBS = {
    "T": sorted(set(TEMPERATURES)),
    "fed": list(explorer.FED),
    "dtype": ["float64", "float16"],
    "c": [0.0, 10.0, 1000.0],
    "E": [-12.0, -20.0],
}


def states() -> dict[str, object]:
    """Return the knobs of the book's explorer, and for each of their states the sentence and the bars."""
    found = []
    for T in KNOBS["T"]:
        for fed in KNOBS["fed"]:
            for dtype in KNOBS["dtype"]:
                for c in KNOBS["c"]:
                    for E in KNOBS["E"]:
                        z = (*explorer.State().z[:-1], E)
                        state = explorer.State(z, c, T, dtype, fed)
                        now = explorer.compute(*state)
                        bars = [
                            [explorer.number(x, digits) for x in values.tolist()]
                            for values, digits in ((now.scores, 2), (now.log_probs, 2), (now.probs, 3))
                        ]
                        found.append([explorer.tell(state, now), *bars])
    return {"knobs": KNOBS, "tokens": explorer.TOKENS, "states": found}
