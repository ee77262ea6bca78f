"""How pages behave on a terminal: Ctrl-C, a closed pipe, a full disk. No page is about this.

A command is wrapped in a function that can clean up. A demo is a script to read from top to bottom, with no such
function. So it imports this file before anything else, and this file arranges how it ends.
"""

import os
import sys
from pathlib import Path

from scratchlm.terminal import (
    Output,
    complain,
    end_at_once,
    in_one_line,
    in_one_piece,
    occupy_closed_descriptors,
    on_request_to_end,
)


def a_demo_is_run() -> bool:
    """Return whether the main script is a page; a test, a notebook or a program may import this file too."""
    started = getattr(sys.modules["__main__"], "__file__", None)
    try:
        return started is not None and b"scratchlm.pages" in Path(started).read_bytes()
    except OSError:
        return False


IS_RUN = a_demo_is_run()
if IS_RUN:
    on_request_to_end(end_at_once)  # even while the rest is still loading

import argparse
import atexit
import logging
import subprocess
import threading
import warnings
from types import TracebackType
from typing import Any, NoReturn

from scratchlm.files import try_to_write

# --- processes -------------------------------------------------------------------------------------------------------

running: set["subprocess.Popen[str]"] = set()
starting = threading.RLock()  # held while a process starts, so that none is overlooked


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a script in a process that ends when this one is asked to end; return its output.

    Errors: OSError if no process can be started.
    """
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with in_one_piece(), starting:
        process = subprocess.Popen(command, encoding="utf-8", errors="backslashreplace", env=environment, **pipes)
        running.add(process)
    stdout, stderr = process.communicate()
    running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def leave() -> None:
    """End all running processes and do everything due at exit, now: this process is about to end."""
    starting.acquire()  # never released: no process can start any more
    for process in list(running):
        process.terminate()
    for process in list(running):
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
    sys.stdout.flush()
    atexit._run_exitfuncs()


# --- requests to end -------------------------------------------------------------------------------------------------


def stop(number: int, frame: object) -> NoReturn:
    """End with one line."""
    leave()
    end_at_once(number, frame)


# --- options --------------------------------------------------------------------------------------------------------


def folder_for(pictures: Path, parser: argparse.ArgumentParser) -> Path:
    """Return the folder, created if necessary; end with one line if nothing can be written to it."""
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        try_to_write(pictures / "probe")
    except OSError as error:
        sys.exit(complain(f"cannot write pictures to {pictures}: {error.strerror}", parser.prog))
    kept.append("the pictures were kept")
    return pictures


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        sys.exit(complain(f"{message}; see {self.prog} --help", self.prog))


# --- the end ---------------------------------------------------------------------------------------------------------

kept: list[str] = []  # what to say if the text is lost


def tell_what_was_lost(out: Output) -> None:
    """End with one line if the output could not be written; the pictures are safe all the same."""
    out.flush()
    if out.failed:
        complain("; ".join([out.why, *kept]))
        os._exit(2)


def complain_of_the_machine(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End with one line if the machine has run out of something; show any other error to the page's author."""
    if not isinstance(error, OSError | MemoryError) and "can't start new thread" not in str(error):
        sys.__excepthook__(kind, error, trace)
        return
    complain(in_one_line(error) or "there is not enough memory")
    leave()
    os._exit(2)


def behave() -> None:
    """Do all this in this process from now on."""
    on_request_to_end(stop)
    occupy_closed_descriptors()
    out, err = Output(sys.stdout), Output(sys.stderr)
    sys.stdout, sys.stderr = out, err
    atexit.register(err.flush)
    atexit.register(tell_what_was_lost, out)
    sys.excepthook = complain_of_the_machine


if IS_RUN:
    behave()

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: more threads gain nothing on matrices this small
# Other libraries' warnings are for their authors, even under python -W error.
warnings.filterwarnings("ignore", module=r"(matplotlib|PIL|scipy|torch)\b")
logging.getLogger("matplotlib").setLevel(logging.ERROR)
