"""The progress line of training. In: the number of steps done, and measurements. Out: text on a stream."""

import contextlib
import sys
import time
from typing import TextIO


class Progress:
    """Show how training goes: one line that updates itself on a terminal; elsewhere, a line per record or every 5 s.

    If the stream is closed or cannot be written to, training continues without it.
    """

    def __init__(self, steps: int, stream: TextIO | None = None, first: int = 0) -> None:
        self.steps, self.stream, self.first = steps, sys.stderr if stream is None else stream, first
        self.terminal = self.stream is not None and not self.stream.closed and self.stream.isatty()
        self.started = self.shown = time.monotonic()
        self.last = ""

    def tick(self, step: int) -> None:
        """Update the line, if the last update is old enough."""
        if time.monotonic() - self.shown >= (0.1 if self.terminal else 5):
            self._show(step)

    def record(self, step: int, loss: float, nll: float) -> None:
        """Show the measurements after a step."""
        self.last = f"loss {loss:.4f}  NLL {nll:.4f} nats per token"
        self._show(step)

    def finish(self) -> None:
        """End the line that was being updated."""
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
