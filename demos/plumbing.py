"""What every demo needs and no demo is about: its options, printing, and one look for all pictures."""

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

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
    """A demo while it runs: where its pictures go, whether they are shown, and the counts it asks for (rows=12)."""

    def __init__(self, file: str, doc: str, **counts: int) -> None:
        self.name = Path(file).stem
        parser = argparse.ArgumentParser(description=doc.strip().splitlines()[0])
        parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
        parser.add_argument("--show", action="store_true", help="open each picture in a window as well")
        for name, default in counts.items():
            text = f"number of {name} (default: {default})"
            parser.add_argument(f"--{name}", type=_count, default=default, metavar="N", help=text)
        self.options = parser.parse_args()
        self.out, self.show = self.options.out, self.options.show
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
        try:
            figure.savefig(path)
        except OSError as error:
            print(f"{self.name}: cannot write {path}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        print(f"\npicture: {path}")
        if self.show:
            plt.show()
        plt.close(figure)


def heading(text: str) -> None:
    """Print a line that says what comes next."""
    print(f"\n{text}\n{'-' * len(text)}")


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print rows in columns: the first column to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    for line in [header, ["-" * width for width in widths], *rows]:
        first, *others = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("   ".join([first.strip().ljust(widths[0]), *others]))


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
