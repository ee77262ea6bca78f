"""Pages as Markdown, with what they showed when they ran: the web view of a repository shows it to every visitor."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from demos.record import Block
from scratchlm.pages.cells import Cell, cells_of


class Made(NamedTuple):
    """A page that was run: its script, and what each of its cells showed."""

    script: Path
    shown: list[list[Block]]

    @property
    def cells(self) -> list[tuple[Cell, list[Block]]]:
        """The cells, each with what it showed."""
        return list(zip(cells_of(self.script.read_text(encoding="utf-8")), self.shown, strict=True))

    @property
    def question(self) -> str:
        """What the page asks: its first line."""
        return self.cells[0][0].text.splitlines()[0].lstrip("# ")


def markdown_of(page: Made, folder: Path) -> str:
    """Return a page as Markdown that stands in a folder: prose, code, and what it showed."""
    parts = []
    for cell, shown in page.cells:
        title = f"# {cell.title}\n" if cell.title else ""
        parts.append(cell.text if cell.is_prose else f"```python\n{title}{cell.text}\n```")
        parts += [_shown(block, folder) for block in shown]
    return "\n\n".join(parts) + "\n"


def _shown(block: Block, folder: Path) -> str:
    match block:
        case ["heading", text]:
            return f"**{_literal(text)}**"
        case ["paragraph", text]:
            return _literal(text)
        case ["table", header, rows]:
            lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
            return "\n".join(f"| {' | '.join(_in_a_table(cell) for cell in line)} |" for line in lines)
        case ["picture", path]:
            return f"![]({Path(os.path.relpath(path, folder)).as_posix()})"
        case ["printed", text]:
            return f"```text\n{text}\n```"
    raise ValueError(f"a page shows no {block[0]}")


def _literal(text: str) -> str:
    """Return a text with a backslash before what Markdown, or HTML in it, would take for a mark."""
    return re.sub(r"([\\`*_<|#])", r"\\\1", text)


def _in_a_table(cell: str) -> str:
    return cell if re.fullmatch(r":?--:?", cell) else _literal(cell)
