"""How pages behave on a terminal: Ctrl-C, a pipe that is closed, a disk that is full. No page is about this.

A command has a function around it that can clean up. A demo is a script to be read, from top to bottom: so what is to
be done at its end, whichever it is, is said here, when the script imports this file before anything else.
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
    """Tell whether the script that was started uses this; a test, a notebook or a program may have imported it, too."""
    started = getattr(sys.modules["__main__"], "__file__", None)
    try:
        return started is not None and b"scratchlm.pages" in Path(started).read_bytes()
    except OSError:
        return False


IS_RUN = a_demo_is_run()
if IS_RUN:
    on_request_to_end(end_at_once)  # also while the rest is still being loaded

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
starting = threading.RLock()  # held while a process is started, so that none is overlooked


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a script in a process that ends when this one is asked to; return what it wrote.

    Errors: OSError if there can be no other process.
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
    """End what runs, and do what is to be done at the end, now: what follows is the end of this process."""
    starting.acquire()  # for good: nothing is started any more
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


# --- what is asked for ------------------------------------------------------------------------------------------------


def folder_for(pictures: Path, parser: argparse.ArgumentParser) -> Path:
    """Return the folder, made if it was not there; end with one line if nothing can be written to it."""
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

kept: list[str] = []  # what can be said if the text is lost


def tell_what_was_lost(out: Output) -> None:
    """End with one line if the output could not be written; the pictures did not need it."""
    out.flush()
    if out.failed:
        complain("; ".join([out.why, *kept]))
        os._exit(2)


def complain_of_the_machine(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End with one line if the machine has no more to give; any other error is for who changes a page."""
    if not isinstance(error, OSError | MemoryError) and "can't start new thread" not in str(error):
        sys.__excepthook__(kind, error, trace)
        return
    complain(in_one_line(error) or "there is not enough memory")
    leave()
    os._exit(2)


def behave() -> None:
    """Do all this from now on, in this process."""
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
# What other libraries do that they should not is for their authors, also under python -W error.
warnings.filterwarnings("ignore", module=r"(matplotlib|PIL|scipy|torch)\b")
logging.getLogger("matplotlib").setLevel(logging.ERROR)
