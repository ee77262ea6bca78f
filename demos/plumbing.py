"""What every demo needs and no demo is about: its options, its tables, and one look for all pictures."""

from terminal import Parser, folder_for, in_one_piece, run

import argparse
import ast
import json
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import scratchlm
from scratchlm.files import try_to_write, write_whole
from scratchlm.terminal import complain, escaped

with in_one_piece():  # it may be writing its cache of fonts, and a lock left there would hold up whoever comes next
    backend = os.environ.pop("MPLBACKEND", None)
    import matplotlib

    if backend:
        with suppress(ValueError):  # there is none of this name, or it is a notebook's, and not installed here
            matplotlib.rcParams["backend"] = backend
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

# Colours that stay apart for colour-blind readers and in grey: Okabe & Ito 2008, "Color universal design".
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#666666"

matplotlib.rcdefaults()  # not what a matplotlibrc says: these pictures look alike everywhere, and need no LaTeX
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


class Page:
    """A demo while it runs: where its pictures and measurements go, and how much it measures.

    Each count that a demo asks for has two values, a full and a quick one: Page(..., rows=(200, 20)) gives the page an
    option --rows, and page.rows is 200, with --quick 20.
    """

    def __init__(
        self, file: str, doc: str | None, parents: Sequence[argparse.ArgumentParser] = (), **counts: tuple[int, int]
    ) -> None:
        self.name = Path(file).stem
        story = story_of(file, doc)
        parser = Parser(description=story.splitlines()[0], allow_abbrev=False, parents=list(parents))
        parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
        parser.add_argument("--show", action="store_true", help="open each picture in a window as well")
        parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
        for name, (full, quick) in counts.items():
            text = f"number of {name} (default: {full}, with --quick {quick})"
            parser.add_argument(f"--{name}", type=_count, metavar="N", help=text)
        stepped_through = "ipykernel" in sys.modules  # cell by cell: the arguments are the editor's
        options = parser.parse_args([] if stepped_through else None)
        self.show, self.quick = options.show, options.quick
        self.usual = all(getattr(options, name) is None for name in counts)
        for name, values in counts.items():
            setattr(self, name, getattr(options, name) or values[self.quick])
        self.out = folder_for(options.out, parser)
        if not stepped_through and not self.show:
            matplotlib.use("Agg")
        if self.show and matplotlib.get_backend().lower() == "agg":
            self.end(f"no window can be opened; without --show, pictures go to {self.out}")
        print(story, "\n")

    def save(self, figure: Figure, what: str = "") -> None:
        """Keep a picture, and say where."""
        path = self.out / f"{self.name}{'_' + what if what else ''}.png"
        self._or_end(path, write_whole, partial(figure.savefig, format="png"))
        print(f"\npicture: {escaped(str(path))}")
        if self.show:
            plt.show()
        plt.close(figure)

    def keep(self, **measured: Any) -> None:
        """Keep what was measured, beside the pictures: the page of verdicts reads it."""
        kept = {"quick": self.quick, "usual": self.usual, "measured": measured}
        self.write(self.out / f"{self.name}.json", json.dumps(kept, indent=1) + "\n")

    def write(self, path: Path, text: str) -> None:
        """Keep a text in a file."""
        self._or_end(path, write_whole, lambda file: file.write(text.encode()))

    def can_write(self, path: Path) -> None:
        """End the page, before it measures for minutes, if a file cannot be written."""
        self._or_end(path, try_to_write)

    def measured(self, number: int) -> Any:
        """Return what page `number` kept; run it first if it did not yet, or before the code was changed."""
        script = self.script(number)
        if self._kept(script) is None:
            print(f"page {number} is run first ...", flush=True)
            command = [sys.executable, str(script), f"--out={self.out}", *["--quick"] * self.quick]
            result = run(command)
            if result.returncode or self._kept(script) is None:
                lines = result.stderr.strip().splitlines()
                why = lines[-1] if lines else "it kept no measurements"
                self.end(f"{script.name} failed: {why}")
        return self._kept(script)

    def _kept(self, script: Path) -> Any:
        """Return what a page measured with as much effort as is asked of this one, or None."""
        kept, demos, package = self.out / f"{script.stem}.json", Path(__file__).parent, Path(scratchlm.__file__).parent
        code = [script, *demos.glob("[!0-9]*.py"), *package.rglob("*.py"), *package.rglob("*.txt")]
        try:
            if kept.is_file() and kept.stat().st_mtime >= max(path.stat().st_mtime for path in code):
                found = json.loads(kept.read_text(encoding="utf-8"))
                if (found["quick"], found["usual"]) == (self.quick, True):
                    return found["measured"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None  # not there, or not what a page keeps
        return None

    def script(self, number: int) -> Path:
        """Return the file of page `number`."""
        (script,) = Path(__file__).parent.glob(f"{number:02}_*.py")
        return script

    def close(self, text: str) -> None:
        """Print what to remember and what to try, and which page comes next."""
        print(f"\n{text.strip()}")
        later = [path for path in sorted(Path(__file__).parent.glob("[0-9]*.py")) if path.stem > self.name]
        if later:
            print(f"\nNext: python {os.path.relpath(later[0])}")

    def end(self, why: str) -> NoReturn:
        """End the page with one line."""
        sys.exit(complain(why, self.name))

    def _or_end(self, path: Path, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(path, *arguments)
        except OSError as error:
            self.end(f"cannot write {path}: {error.strerror}")


def story_of(file: str, doc: str | None) -> str:
    """Return what a page says of itself at its beginning, which python -OO does not keep."""
    return (doc or ast.get_docstring(ast.parse(Path(file).read_bytes())) or "").strip()


def heading(text: str) -> None:
    """Print a line that says what comes next."""
    print(f"\n{text}\n{'-' * len(text)}")


def headline(figure: Figure, text: str) -> None:
    """Write above a picture of several panels what it shows."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=17, fontweight="bold")


def say(text: str) -> None:
    """Print a paragraph, filled to the width of the page."""
    print("\n" + textwrap.fill(" ".join(text.split()), width=112))


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print rows in columns: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    for line in [header, ["-" * width for width in widths], *rows]:
        first, *others = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("   ".join([first.strip().ljust(widths[0]), *others]))


def in_ulps(error: float) -> str:
    """Return an error for a table; inf stands for a number of which no digit is right."""
    if error == math.inf:
        return "all lost"
    return f"{error:.1f}" if error < 100 else f"{error:.0f}" if error < 1e6 else f"{error:.0e}"


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10**6:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to a million, not {text!r}")
    return int(text)
