"""What every page needs and no page is about: its options, its tables, its prose, and one look for all pictures.

A page runs as a script, which prints its prose in place, or as a notebook, which shows the prose anyway. Either can be
recorded for the book.
"""

from scratchlm.pages.console import Parser, folder_for, run

import argparse
import json
import math
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import scratchlm
from scratchlm.files import try_to_write, write_whole
from scratchlm.pages.cells import cells_of, on_a_terminal
from scratchlm.terminal import complain, escaped, in_one_piece

with in_one_piece():  # it may be writing its font cache, and a lock left there would hold up the next process
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if backend:
        with suppress(ValueError):  # an unknown backend, or a notebook's that is not installed here
            matplotlib.rcParams["backend"] = backend
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

# Colours that stay apart for colour-blind readers and in grey: Okabe & Ito 2008, "Color universal design".
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#666666"

matplotlib.rcdefaults()  # ignore any matplotlibrc: these pictures look alike everywhere and need no LaTeX
plt.rcParams.update(
    {
        "figure.figsize": (10, 5.6),  # a slide
        "figure.dpi": 110,
        "savefig.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 14,
        "axes.titlesize": 17,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 2.5,
        "legend.frameon": False,
    }
)


# --- what a page shows ------------------------------------------------------------------------------------------------


class Heading(NamedTuple):
    """A heading above a result."""

    text: str


class Paragraph(NamedTuple):
    """A paragraph about a result."""

    text: str


class Table(NamedTuple):
    """Rows under a header."""

    header: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """The path of a picture."""

    path: str


Shown = Heading | Paragraph | Table | Picture


def heading(text: str) -> None:
    """Show a heading above a result."""
    _show(Heading(text))


def say(text: str) -> None:
    """Show a paragraph, filled to the width of the page."""
    _show(Paragraph(" ".join(text.split())))


def table(header: list[str], rows: list[list[str]]) -> None:
    """Show rows in columns: the first column to the left, the others to the right."""
    _show(Table(header, rows))


def _show(what: Shown | None) -> None:
    with _recorder(what):
        _tell_what_stands_above()
        _print(what)


def _print(what: Shown | None) -> None:
    match what:
        case Heading(text):
            print(f"\n{text}\n{'-' * len(text)}")
        case Paragraph(text):
            print("\n" + textwrap.fill(text, width=112))
        case Picture(path):
            print(f"\npicture: {escaped(path)}")
        case Table(header, rows):
            widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
            for line in [header, ["-" * width for width in widths], *rows]:
                first, *others = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
                print("   ".join([first.strip().ljust(widths[0]), *others]))


Recorder = Callable[[Shown | None], AbstractContextManager[None]]  # wraps the printing of a result or of prose
_recorder: Recorder = lambda what: nullcontext()  # noqa: E731


def record_with(recorder: Recorder) -> None:
    """Pass everything that pages show from now on to a recorder."""
    global _recorder
    _recorder = recorder


# --- the prose of a script --------------------------------------------------------------------------------------------

_untold: list[tuple[int, str]] = []  # prose not printed yet: its line in the page, and its text
_variables: dict[str, Any] = {}  # the script's globals, which identify its frame


def _tell_what_stands_above() -> None:
    """Print the script's prose from where it last printed up to the line it has reached."""
    frame: Any = sys._getframe()
    while frame and not (frame.f_globals is _variables and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    while frame and _untold and _untold[0][0] < frame.f_lineno:
        _, text = _untold.pop(0)
        print("\n" + on_a_terminal(text))


def in_a_notebook() -> bool:
    """Return whether this runs in a notebook's cells, or in an editor that steps through a script."""
    shell = sys.modules.get("IPython")
    return bool(shell and getattr(shell.get_ipython(), "kernel", None))


# --- a page -----------------------------------------------------------------------------------------------------------


class Page:
    """A running page: where its pictures and measurements go, and how much it measures.

    Each count of a page has two values, a full and a quick one: Page(..., rows=(200, 20)) gives the page an option
    --rows; page.rows is 200, or 20 with --quick. A notebook has no command line; there the options come from the
    environment variable SCRATCHLM_PAGE_OPTIONS, as in "--quick --out DIR".
    """

    def __init__(self, name: str, parents: Sequence[argparse.ArgumentParser] = (), **counts: tuple[int, int]) -> None:
        global _variables
        _variables = sys._getframe(1).f_globals
        script = None if in_a_notebook() else _variables.get("__file__")
        self.name, self.folder = (Path(script).stem, Path(script).parent) if script else (name, Path())
        self.is_script = bool(script)
        source = Path(script).read_text(encoding="utf-8") if script else ""
        prose = [cell for cell in cells_of(source) if cell.is_prose]
        question = prose[0].text.splitlines()[0].lstrip("# ") if prose else name
        parser = Parser(description=question, allow_abbrev=False, parents=list(parents))
        parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
        parser.add_argument("--show", action="store_true", help="open each picture in a window as well")
        parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
        for name, (full, quick) in counts.items():
            text = f"number of {name} (default: {full}, with --quick {quick})"
            parser.add_argument(f"--{name}", type=_count, metavar="N", help=text)
        told = None if script else shlex.split(os.environ.get("SCRATCHLM_PAGE_OPTIONS", ""))
        options = parser.parse_args(told)
        self.show, self.quick = options.show, options.quick
        self.usual = all(getattr(options, name) is None for name in counts)
        for name, values in counts.items():
            setattr(self, name, getattr(options, name) or values[self.quick])
        self.out = folder_for(options.out, parser)
        if script and not self.show:
            matplotlib.use("Agg")
        if self.show and matplotlib.get_backend().lower() == "agg":
            self.end(f"no window can be opened; without --show, pictures go to {self.out}")
        _untold[:] = [(cell.line, cell.text) for cell in prose]
        if _untold:
            with _recorder(None):
                print(on_a_terminal(_untold.pop(0)[1]))

    def save(self, figure: Figure, what: str = "") -> None:
        """Save a picture, and print where."""
        path = self.out / f"{self.name}{'_' + what if what else ''}.png"
        self._or_end(path, write_whole, partial(figure.savefig, format="png"))
        _show(Picture(str(path)))
        if in_a_notebook():
            _show_in_the_cell(path)
        elif self.show:
            plt.show()
        plt.close(figure)

    def keep(self, **measured: Any) -> None:
        """Save measurements beside the pictures, for the page of verdicts."""
        kept = {"quick": self.quick, "usual": self.usual, "measured": measured}
        self.write(self.out / f"{self.name}.json", json.dumps(kept, indent=1) + "\n")

    def write(self, path: Path, text: str) -> None:
        """Write a text to a file."""
        self._or_end(path, write_whole, lambda file: file.write(text.encode()))

    def can_write(self, path: Path) -> None:
        """End the page now, not after minutes of measuring, if a file cannot be written."""
        self._or_end(path, try_to_write)

    def measured(self, number: int) -> Any:
        """Return the measurements of page `number`; run it first if it has not run since the code changed."""
        script = self.script(number)
        if self._kept(script) is None:
            print(f"running page {number} first ...", flush=True)
            command = [sys.executable, str(script), f"--out={self.out}", *["--quick"] * self.quick]
            result = run(command)
            if result.returncode or self._kept(script) is None:
                lines = result.stderr.strip().splitlines()
                why = lines[-1] if lines else "it saved no measurements"
                self.end(f"{script.name} failed: {why}")
        return self._kept(script)

    def _kept(self, script: Path) -> Any:
        """Return a page's saved measurements, if it took the same options as this page; otherwise None."""
        kept, package = self.out / f"{script.stem}.json", Path(scratchlm.__file__).parent
        code = [script, *package.rglob("*.py"), *package.rglob("*.txt")]
        try:
            if kept.is_file() and kept.stat().st_mtime >= max(path.stat().st_mtime for path in code):
                found = json.loads(kept.read_text(encoding="utf-8"))
                if (found["quick"], found["usual"]) == (self.quick, True):
                    return found["measured"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None  # missing, or not a file of measurements
        return None

    def script(self, number: int) -> Path:
        """Return the file of page `number`: beside this one, or in the folder `pages` if a notebook wrote it there."""
        if self.name.startswith(f"{number:02}_"):
            return self.folder / f"{self.name}.py"
        found = [*self.folder.glob(f"{number:02}_*.py"), *self.folder.glob(f"pages/{number:02}_*.py")]
        if not found:
            self.end(f"page {number} is missing; it belongs beside this one, in {self.folder.resolve()}")
        return found[0]

    def close(self) -> None:
        """End the page: print the rest of its prose, and the page that comes next."""
        _show(None)
        later = [path for path in sorted(self.folder.glob("[0-9]*.py")) if path.stem > self.name]
        if later and self.is_script:
            with _recorder(None):
                print(f"\nNext: python {os.path.relpath(later[0])}")

    def end(self, why: str) -> NoReturn:
        """End the page with one line."""
        sys.exit(complain(why, self.name))

    def _or_end(self, path: Path, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(path, *arguments)
        except OSError as error:
            self.end(f"cannot write {path}: {error.strerror}")


def _show_in_the_cell(picture: Path) -> None:
    from IPython.display import Image, display  # available, since this runs in its notebook

    display(Image(data=picture.read_bytes(), alt=picture.stem))  # type: ignore[no-untyped-call]


def headline(figure: Figure, text: str) -> None:
    """Write the title of a picture with several panels."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=17, fontweight="bold")


def in_ulps(error: float) -> str:
    """Return an error as text for a table; inf means that no digit is right."""
    if error == math.inf:
        return "all lost"
    return f"{error:.1f}" if error < 100 else f"{error:.0f}" if error < 1e6 else f"{error:.0e}"


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10**6:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to a million, not {text!r}")
    return int(text)
