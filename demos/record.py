"""Run a page cell by cell and keep the output of each cell: python demos/record.py PAGE.py FILE.json [page's options].

The file has a list for each cell of the page, with its output: ["heading", text], ["paragraph", text],
["table", header, rows], ["picture", path], ["printed", text].
"""

from scratchlm.pages.plumbing import Shown, record_with

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from scratchlm.files import write_whole
from scratchlm.pages.cells import cells_of

Block = list[Any]


class Tape(io.TextIOBase):
    """Standard output that also keeps what is written, until someone takes it."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.kept = stream, ""

    def write(self, text: str) -> int:
        """Write text, and keep it."""
        self.kept += text
        self.stream.write(text)
        return len(text)

    def take(self) -> str:
        """Return the kept text, and forget it."""
        taken, self.kept = self.kept.strip("\n"), ""
        return taken


def record(page: Path, options: list[str]) -> list[list[Block]]:
    """Run a page in this process, printing as usual, and return the output of each of its cells."""
    blocks: list[Block] = []
    tape = Tape(sys.stdout)

    def keep_what_was_printed() -> None:
        if text := tape.take():
            blocks.append(["printed", text])

    @contextmanager
    def keep(what: Shown | None) -> Iterator[None]:
        keep_what_was_printed()
        yield
        tape.take()
        if what:
            blocks.append([type(what).__name__.lower(), *what])

    record_with(keep)
    sys.argv = [str(page), *options]
    variables = {"__name__": "__main__", "__file__": str(page)}
    shown = []
    for cell in cells_of(page.read_text(encoding="utf-8")):
        if not cell.is_prose:
            code = compile("\n" * (cell.line - 1) + cell.text, str(page), "exec")  # errors name the line of the page
            with redirect_stdout(tape):
                exec(code, variables)
            keep_what_was_printed()
        shown.append(blocks.copy())
        blocks.clear()
    return shown


if __name__ == "__main__":
    page, file, *options = sys.argv[1:]
    shown = record(Path(page), options)
    write_whole(file, lambda out: out.write(json.dumps(shown).encode()))
