"""A page as a document: prose in cells that begin with `# %% [markdown]`, code in cells that begin with `# %%`.

In: the text of a page. Out: its cells. VS Code, Spyder and Jupytext split a script in the same way; the name for it is
the percent format.
"""

import re
from typing import NamedTuple

BORDER = re.compile(r"# %%(?P<prose> \[markdown\])?(?: (?P<title>.*))?")


class Cell(NamedTuple):
    """Prose as Markdown, or code; an optional title for code; and the line of the page where the text begins."""

    is_prose: bool
    text: str
    title: str
    line: int


def cells_of(page: str) -> list[Cell]:
    r"""Return the cells of a page, from top to bottom.

    >>> for cell in cells_of("# %% [markdown]\n# # Why?\n#\n# Because.\n\n# %% Add\n1 + 1\n"):
    ...     print(cell)
    Cell(is_prose=True, text='# Why?\n\nBecause.', title='', line=2)
    Cell(is_prose=False, text='1 + 1', title='Add', line=7)
    """
    lines = page.splitlines()
    borders = [i for i, line in enumerate(lines) if BORDER.fullmatch(line)]
    found = []
    for border, end in zip(borders, [*borders, len(lines)][1:], strict=True):
        match = BORDER.fullmatch(lines[border])
        assert match
        body = lines[border + 1 : end]
        if match["prose"]:
            body = [line.removeprefix("#").removeprefix(" ") for line in body]
        line = border + 2 + next((i for i, text in enumerate(body) if text), 0)
        found.append(Cell(bool(match["prose"]), "\n".join(body).strip("\n"), match["title"] or "", line))
    return found


def on_a_terminal(prose: str) -> str:
    r"""Return Markdown as plain text for a terminal, with headings underlined and no marks for bold type.

    >>> print(on_a_terminal("## The rescue\n\n**Remember:** shift first."))
    The rescue
    ==========
    <BLANKLINE>
    Remember: shift first.
    """
    shown = []
    for line in prose.replace("**", "").splitlines():
        title = line.lstrip("#").strip()
        level = len(line) - len(line.lstrip("#"))
        shown += [title, "=" * len(title)] if level > 1 else [title] if level else [line]
    return "\n".join(shown)
