"""Pages as Markdown, with their output: the web view of a repository shows it to every visitor."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from demos.record import Block
from scratchlm.pages.cells import Cell, cells_of


class Made(NamedTuple):
    """A page that was run: its script, and the output of each of its cells."""

    script: Path
    shown: list[list[Block]]

    @property
    def cells(self) -> list[tuple[Cell, list[Block]]]:
        """The cells, each with its output."""
        return list(zip(cells_of(self.script.read_text(encoding="utf-8")), self.shown, strict=True))

    @property
    def question(self) -> str:
        """The question of the page: its first line."""
        return self.cells[0][0].text.splitlines()[0].lstrip("# ")


def markdown_of(page: Made, folder: Path) -> str:
    """Return a page as Markdown for a file in a folder: prose, code, and output."""
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
    raise ValueError(f"{block[0]!r} is not something that a page shows")


def _literal(text: str) -> str:
    """Return a text with a backslash before every character that Markdown or HTML would interpret."""
    return re.sub(r"([\\`*_<|#])", r"\\\1", text)


def _in_a_table(cell: str) -> str:
    return cell if re.fullmatch(r":?--:?", cell) else _literal(cell)
