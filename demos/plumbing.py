"""What every demo needs and no demo is about: its options, printing, and one look for all pictures."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: more threads gain nothing on matrices this small

import argparse
import atexit
import json
import math
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

import scratchlm
from scratchlm.checkpoint import beside

# Colours that stay apart for colour-blind readers and in grey: Okabe & Ito 2008, "Color universal design".
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#666666"

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

    def __init__(self, file: str, doc: str, **counts: tuple[int, int]) -> None:
        self.name = Path(file).stem
        parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
        parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
        parser.add_argument("--show", action="store_true", help="open each picture in a window as well")
        parser.add_argument("--quick", action="store_true", help="measure less: rougher digits, same story")
        for name, (full, quick) in counts.items():
            text = f"number of {name} (default: {full}, with --quick {quick})"
            parser.add_argument(f"--{name}", type=_count, metavar="N", help=text)
        options = parser.parse_args()
        self.out, self.show, self.quick = options.out, options.show, options.quick
        for name, values in counts.items():
            setattr(self, name, getattr(options, name) or values[self.quick])
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.exit(2, f"{parser.prog}: cannot write pictures to {self.out}: {error.strerror}\n")
        if not self.show:
            matplotlib.use("Agg")
        signal.signal(signal.SIGINT, _stop)
        sys.stdout = output = _Output(sys.stdout)  # type: ignore[assignment]
        atexit.register(output.close)
        print(doc.strip(), "\n")

    def save(self, figure: Figure, what: str = "") -> None:
        """Keep a picture, and say where."""
        path = self.out / f"{self.name}{'_' + what if what else ''}.png"
        self._write(path, partial(figure.savefig, format="png"))
        print(f"\npicture: {path}")
        if self.show:
            plt.show()
        plt.close(figure)

    def keep(self, **measured: Any) -> None:
        """Keep what was measured, beside the pictures: the page of verdicts reads it."""
        self.write(f"{self.name}.json", json.dumps({"quick": self.quick, **measured}, indent=1) + "\n")

    def write(self, name: str, text: str) -> None:
        """Keep a text beside the pictures."""
        self._write(self.out / name, lambda path: path.write_text(text, encoding="utf-8"))

    def measured(self, number: int) -> Any:
        """Return what page `number` kept; run it first if it did not yet, or before the code was changed."""
        script = self.script(number)
        kept = self.out / f"{script.stem}.json"
        code = [script, *Path(__file__).parent.glob("[!0-9]*.py"), *Path(scratchlm.__file__).parent.rglob("*.py")]
        try:
            if kept.stat().st_mtime >= max(path.stat().st_mtime for path in code):
                found = json.loads(kept.read_text(encoding="utf-8"))
                if found.pop("quick") == self.quick:
                    return found
        except (OSError, ValueError):  # not there, or only a part of it
            pass
        print(f"page {number} is run first ...", flush=True)
        command = [sys.executable, str(script), "--out", str(self.out), *["--quick"] * self.quick]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            print(f"{self.name}: {script.name} failed\n{result.stderr}", file=sys.stderr)
            sys.exit(2)
        return json.loads(kept.read_text(encoding="utf-8"))

    def script(self, number: int) -> Path:
        """Return the file of page `number`."""
        (script,) = Path(__file__).parent.glob(f"{number:02}_*.py")
        return script

    def close(self, text: str) -> None:
        """Print what to remember and the exercise, and which page comes next."""
        print(f"\n{text.strip()}")
        later = [path for path in sorted(Path(__file__).parent.glob("[0-9]*.py")) if path.stem > self.name]
        if later:
            print(f"\nNext: python {os.path.relpath(later[0])}")

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        try:
            with beside(path) as written:  # so that a full disk leaves no half picture
                write(written)
                os.replace(written, path)
        except OSError as error:
            print(f"{self.name}: cannot write {path}: {error.strerror}", file=sys.stderr)
            sys.exit(2)


def heading(text: str) -> None:
    """Print a line that says what comes next."""
    print(f"\n{text}\n{'-' * len(text)}")


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
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}")
    return int(text)


def _stop(*_: object) -> None:
    print("interrupted", file=sys.stderr)
    sys.exit(2)


class _Output:
    """Standard output that falls silent when nobody reads it any more (`| head`), so that pictures are still made."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.is_read = stream, True

    def write(self, text: str) -> int:
        """Write text, if it is still read."""
        self._while_it_is_read(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, if it is still read."""
        self._while_it_is_read(self.stream.flush)

    def _while_it_is_read(self, act: Callable[[], object]) -> None:
        try:
            if self.is_read and not self.stream.closed:
                act()
        except BrokenPipeError:
            self.is_read = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def close(self) -> None:
        """Tell at the end, in one line, that not all was read."""
        self.flush()
        if not self.is_read:
            print("nobody reads the output any more; the pictures were kept", file=sys.stderr)
            sys.stderr.flush()
            os._exit(2)
