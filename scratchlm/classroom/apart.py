"""Work done apart: each piece in its own process, a few at a time, so one that dies costs the others nothing.

In: a function and the items to call it with. Out: each item with the function's result, or with Unable. Whatever a
process leaves behind, its submission or its folder, is ended or removed here, however the process ended.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from scratchlm.classroom.sandbox import OPEN, Unable, signal_name
from scratchlm.classroom.wall import die_with
from scratchlm.terminal import REQUESTS, in_one_line, in_words, on_request_to_end, requests_blocked

Item = TypeVar("Item")
Result = TypeVar("Result")
# A forked process is ready at once, and forking is safe on Linux. Other systems' libraries may not survive a fork, so
# there a process starts afresh.
FORKS = sys.platform == "linux" and hasattr(os, "fork")
CONTEXT = multiprocessing.get_context("fork") if FORKS else multiprocessing.get_context("spawn")


def done_apart(
    work: Callable[[Item], Result], items: Iterable[Item], most: int = 1
) -> Generator[tuple[Item, Result | Unable], None, None]:
    """Do some work on each item, at most so many at a time; yield each item with its result, or Unable, as they come.

    If the machine allows fewer processes, fewer run. Closing the generator ends all work that is still running.
    """
    left, running = deque(items), dict[Connection, _Process]()
    try:
        while left or running:
            try:
                while left and len(running) < most:
                    with requests_blocked():  # so none comes between the start of a process and its entry here
                        process = _started(work, left[0])
                        running[process.answer] = process
                        left.popleft()
            except (OSError, MemoryError) as error:
                most = len(running)
                if not running:
                    yield from ((item, Unable(f"no process could be started: {in_words(error)}")) for item in left)
                    return
            for answer in wait(list(running)):
                process = running[answer]  # type: ignore[index]
                outcome = process.outcome()
                del running[process.answer]
                yield process.item, outcome
    finally:
        for process in running.values():
            process.end()


@dataclass
class _Process:
    """A process that works on an item, with a pipe for its answer and a folder for temporary files."""

    item: Any
    process: BaseProcess
    answer: Connection
    folder: Path

    def outcome(self) -> Any:
        """Return the answer, or Unable; by then the process has ended."""
        try:
            outcome = self.answer.recv()
        except (EOFError, OSError):  # it ended before it had sent the whole answer
            self.process.join()
            status = self.process.exitcode or 0
            how = f"was ended by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
            outcome = Unable(f"the process that did the work {how}")
        except MemoryError as error:
            outcome = Unable(in_words(error))
        self.end()
        return outcome

    def end(self) -> None:
        """End the process, at first politely, so that it ends its submission; then remove its folder."""
        self.process.terminate()
        self.process.join(5)
        self.process.kill()
        self.process.join()
        self.answer.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _started(work: Callable[[Item], Any], item: Item) -> _Process:
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="scratchlm-"))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        answer, told = CONTEXT.Pipe(duplex=False)
        undo.callback(answer.close)
        with told:  # the new process has a copy
            process = CONTEXT.Process(target=_serve, args=(work, item, told, folder, os.getpid()))
            process.start()
        undo.pop_all()
    return _Process(item, process, answer, folder)


def _serve(work: Callable[[Item], Any], item: Item, told: Connection, folder: Path, parent: int) -> NoReturn:
    """Do the work in its own process, send the outcome, and end."""

    def end(number: int, frame: object) -> NoReturn:
        for submission in list(OPEN):
            submission.kill()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(2)

    on_request_to_end(end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)  # this delivers those that came meanwhile
    die_with(parent, signal.SIGTERM)
    tempfile.tempdir = str(folder)
    outcome: Any
    try:
        outcome = work(item)
    except (OSError, MemoryError) as error:
        outcome = error if isinstance(error, Unable) else Unable(in_words(error))
    except ValueError as error:
        outcome = Unable(str(error))
    except BaseException as error:  # our own fault
        outcome = Unable(in_one_line(f"{type(error).__name__}: {error}"))
    with contextlib.suppress(OSError):  # nobody is waiting for it any more
        told.send(outcome)
    os._exit(0)
