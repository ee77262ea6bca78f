"""The line that tells how far training is. In: steps that are done, and what was measured. Out: text on a stream."""

import contextlib
import sys
import time
from typing import TextIO


class Progress:
    """Tell how training goes: a line that renews itself on a terminal; elsewhere, one a record, or every 5 seconds.

    A stream that is closed, or cannot be written to, is no reason to stop: then nothing is told.
    """

    def __init__(self, steps: int, stream: TextIO | None = None, first: int = 0) -> None:
        self.steps, self.stream, self.first = steps, sys.stderr if stream is None else stream, first
        self.terminal = self.stream is not None and not self.stream.closed and self.stream.isatty()
        self.started = self.shown = time.monotonic()
        self.last = ""

    def tick(self, step: int) -> None:
        """Renew the line, if the last one is old enough."""
        if time.monotonic() - self.shown >= (0.1 if self.terminal else 5):
            self._show(step)

    def record(self, step: int, loss: float, nll: float) -> None:
        """Show what was measured after a step."""
        self.last = f"loss {loss:.4f}  NLL {nll:.4f} nats per token"
        self._show(step)

    def finish(self) -> None:
        """Leave the line that was being renewed."""
        if self.terminal:
            self._write("\n")

    def _show(self, step: int) -> None:
        self.shown = time.monotonic()
        rate = (step - self.first) / max(self.shown - self.started, 1e-9)
        left = (self.steps - step) / max(rate, 1e-9)
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.2f}"
        line = f"step {step:>{len(str(self.steps))}}/{self.steps}  {speed} steps/s  {left:.0f} s left  {self.last}"
        self._write(f"\r{line}\033[K" if self.terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            if self.stream:
                self.stream.write(text)
                self.stream.flush()
