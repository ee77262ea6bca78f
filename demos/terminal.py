"""How the demos behave on a terminal: Ctrl-C, a pipe that is closed, a disk that is full. No demo is about this."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: more threads gain nothing on matrices this small

import argparse
import atexit
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchlm.checkpoint import beside


def stop(*_: object) -> None:
    """End with one line."""
    print("interrupted", file=sys.stderr)
    sys.exit(2)


if Path(sys.argv[0]).resolve().parent == Path(__file__).resolve().parent:  # a demo is run, not read by a test
    signal.signal(signal.SIGINT, stop)  # at once: also while Matplotlib is still being imported


class Output:
    """Standard output that falls silent when it cannot be written any more (`| head`), so that pictures are still made.

    What it cannot spell is replaced, and at the end one line tells that not all was read.
    """

    def __init__(self) -> None:
        self.stream = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open until the end)
        self.failed: OSError | None = None
        with contextlib.suppress(AttributeError):  # not a file: a notebook's, or a test's
            self.stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        atexit.register(self.close)
        sys.stdout = self  # type: ignore[assignment]

    def write(self, text: str) -> int:
        """Write text, while it can be written."""
        self._while_it_works(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, likewise."""
        self._while_it_works(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Return what else a stream has."""
        return getattr(self.stream, name)

    def _while_it_works(self, act: Callable[[], object]) -> None:
        try:
            if not self.failed and not self.stream.closed:
                act()
        except OSError as error:
            self.failed = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def close(self) -> None:
        """Tell at the end, in one line, that not all was read."""
        self.flush()
        if self.failed:
            gone = isinstance(self.failed, BrokenPipeError)
            why = "nobody reads the output any more" if gone else f"cannot write the text: {self.failed.strerror}"
            with contextlib.suppress(OSError):
                print(f"{why}; the pictures were kept", file=sys.stderr, flush=True)
            os._exit(2)


def folder_for(pictures: Path, parser: argparse.ArgumentParser) -> Path:
    """Return the folder, made if it was not there; end with one line if nothing can be written to it."""
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        with beside(pictures / "probe") as probe:
            probe.write_bytes(b"is there room for a byte?")
    except OSError as error:
        parser.exit(2, f"{parser.prog}: cannot write pictures to {pictures}: {error.strerror}\n")
    return pictures
