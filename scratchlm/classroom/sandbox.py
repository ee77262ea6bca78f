"""The near side of the wall: starts the process that runs a submission, sends it arrays, and never waits for ever.

In: a student's submission. Out: its functions, which can be called as if they were here. They are given copies, and
they return numbers, or only the name of anything else; nothing they do can change anything on this side. Threads read
and write the pipes, because then a wait can end on every system.
"""

import contextlib
import inspect
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np

from scratchlm.classroom import frames
from scratchlm.classroom.found import Found, Source
from scratchlm.classroom.replies import are_names, raise_what_it_raised, result_of
from scratchlm.classroom.wall import BORROWED, READERS, STARTERS
from scratchlm.terminal import escaped, in_one_line, in_words, requests_blocked

BANNED = (*BORROWED, *STARTERS, *READERS)
LOADING = 60  # seconds allowed for loading Python and NumPy
READABLE: tuple[str, ...] = ()  # folders that may be read besides Python's own and NumPy's
ROOT = Path(__file__).parents[2]  # the folder that contains this package
FAR_SIDE = """
import sys
sys.path.insert(0, sys.argv[1])
from scratchlm.classroom import worker
worker.main()
"""
OPEN: "set[Submission]" = set()  # their processes must be ended if this one is
ALL_CALLS = 20  # times the limit of one call: the limit for all calls of a function together
NEEDED = ("SYSTEMROOT", "TEMP", "TMP")  # environment variables that Windows needs
CUT = 20_000  # characters of a submission's output that are kept


class Lost(Exception):
    """The submission's process is gone or had to be ended, so there is no result."""


class Unable(OSError):
    """The machine cannot give a submission what it needs (a process, memory, a file): not the submission's fault."""


@contextlib.contextmanager
def our_side(what: str = "") -> Iterator[None]:
    """Turn errors on this side of the wall, while the block runs, into Unable; `what` is put before the message."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:  # RuntimeError: a thread cannot be started
        raise error if isinstance(error, Unable) else Unable(what + in_words(error)) from None


class Loaded(NamedTuple):
    """What running a file gave: functions with their parameters, those still unwritten, and what went wrong."""

    functions: dict[str, list[str]]
    untouched: list[str]
    troubles: list[str]
    definitions_only: bool = False


class Submission:
    """A submission behind the wall. Use it in a `with`, and get its functions from `function(name)`.

    `seconds` is the limit for a call, `memory` the limit for the process in bytes; `output` is what it printed.
    If `mirrored`, what a function does to its arguments is repeated on the arguments here. Otherwise it changes only
    its own copies, so it cannot alter the question to fit its answer. `candidate` is a function of ours that the
    submission may call if it was passed "<ask>". `signatures` holds the functions that were looked for and found,
    `places` the files they were found in.
    """

    def __init__(self, found: Found, seconds: float = 3.0, memory: int = 2**30) -> None:
        self.sources, self.seconds, self.memory = found.sources, seconds, memory
        self.output, self.lost, self.number = "", "", 0
        self.spent: dict[str, float] = {}  # seconds spent in calls of each function
        self.mirrored = True
        self.candidate: Callable[..., Any] | None = None
        self.signatures: dict[str, list[str]] = {}
        self.places: dict[str, int] = {}
        self.loaded: dict[int, Loaded] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Submission":
        """Make an empty folder for the submission to run in. Errors: Unable."""
        with our_side("no folder could be made for it: "):
            self.folder = Path(tempfile.gettempdir()) / f"submission-{uuid.uuid4().hex}"
            OPEN.add(self)  # before there is anything to remove
            try:
                self.folder.mkdir(mode=0o700)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *how: object) -> None:
        """End the process and whatever it left running, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        OPEN.discard(self)

    # --- what is in it -----------------------------------------------------------------------------------------------

    def load(self, index: int) -> "Loaded":
        """Run a file of the submission once and return its contents; if it never ends, only what it defines.

        Errors: Unable.
        """
        if index not in self.loaded:
            try:
                self.loaded[index] = self._load(index, definitions_only=False)
            except Lost as lost:
                why = f"{self.sources[index].name} failed: {lost}; only its definitions were used"
                self.loaded[index] = Loaded({}, [], [why], definitions_only=True)
                with contextlib.suppress(Lost):
                    again = self._load(index, definitions_only=True)
                    self.loaded[index] = again._replace(troubles=[why, *again.troubles])
        return self.loaded[index]

    def _load(self, index: int, definitions_only: bool) -> "Loaded":
        if self.process is None:
            self.start()
        reply = self._asked({"load": index, "definitions only": definitions_only})
        value: Any = reply.get("value")
        try:
            functions = {name: names if are_names(names) else ["**"] for name, names in value["functions"].items()}
            told = [in_one_line(trouble) for trouble in value["troubles"]][:20]
            refused = [in_one_line(what) for what in reply.get("refused") or ()][:20]
            troubles = told + [what for what in refused if not any(what in trouble for trouble in told)]
            return Loaded(functions, [str(name) for name in value["untouched"]], troubles, definitions_only)
        except (TypeError, KeyError, AttributeError):
            self._lose("something other than the harness answered")

    # --- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process, and reload what it had loaded. Errors: Unable; Lost."""
        self.stop()
        printed_before = self.output
        with our_side("no process could be started for it: "):
            self._start_process()
        self._wait_until_it_begins(printed_before)
        for index in [index for index in self.loaded if index in self.places.values()]:
            self._load(index, self.loaded[index].definitions_only)

    def _start_process(self) -> None:
        """Start the process with one pipe to it, two pipes from it, and the threads that serve them."""
        environment = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PATH": os.defpath, "LANG": "C.UTF-8"}
        with requests_blocked():  # until it is recorded here and so can be ended
            self.process = process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-u", "-c", FAR_SIDE, str(ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                cwd=self.folder,
                env=environment | {name: os.environ[name] for name in NEEDED if name in os.environ},
            )
        self._received, self._come = bytearray(), queue.Queue[bytes](4)
        self._to_send, self._threads = queue.Queue[bytes](), list[threading.Thread]()
        for serve, pipe in ((self._receive, process.stdout), (self._hear, process.stderr), (self._send, process.stdin)):
            thread = threading.Thread(target=serve, args=(pipe,), daemon=True)
            thread.start()
            self._threads.append(thread)
        self.number = 0

    def _receive(self, pipe: IO[bytes]) -> None:
        """Pass on the answers of the process as they come; b"" marks the end."""
        while data := _read(pipe):
            self._come.put(data)
        self._come.put(b"")

    def _hear(self, pipe: IO[bytes]) -> None:
        """Keep the beginning of the process's output."""
        while data := _read(pipe):
            if len(self.output) < CUT:
                self.output = (self.output + data.decode("utf-8", "replace"))[:CUT]

    def _send(self, pipe: IO[bytes]) -> None:
        """Send whatever is queued; if the process has ended, reading from it shows how."""
        while data := self._to_send.get():
            with contextlib.suppress(OSError):
                pipe.write(data)
        with contextlib.suppress(OSError):
            pipe.close()

    def _wait_until_it_begins(self, printed_before: str) -> None:
        """Wait until NumPy is imported and the wall is up. Errors: Unable, since none of the submission has run yet."""
        config = {
            "sources": [_as_values(source) for source in self.sources],
            "memory": self.memory,
            "banned": list(BANNED),
            "grader": os.getpid(),
            "readable": list(READABLE),
        }
        begun = time.monotonic()
        try:
            self._exchange(config, LOADING)
        except Lost as lost:
            late = time.monotonic() - begun >= LOADING
            said = self.output.removeprefix(printed_before).split()
            why = f"it took more than {LOADING} s" if late else " ".join(said[-30:]) or str(lost)
            raise Unable(f"Python and NumPy could not be loaded for it: {in_one_line(why)}") from None

    def kill(self) -> None:
        """End the process and all that it started; safe in a signal handler, whatever that has interrupted."""
        if self.process is None:
            return
        if not hasattr(os, "killpg"):  # Windows
            self.process.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):  # not `self.process.wait`: that may be what was interrupted
                os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def stop(self) -> None:
        """End the process, and keep what it printed."""
        if self.process is None:
            return
        self.kill()
        self.process.wait()
        self._to_send.put(b"")
        patience = time.monotonic() + 5  # in case something left its process group and still holds the pipes
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < patience:
            with contextlib.suppress(queue.Empty):
                self._come.get(timeout=0.01)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.process = None

    def _lose(self, why: str) -> NoReturn:
        self.stop()
        self.lost = why
        raise Lost(why)

    @property
    def printed(self) -> str:
        """Return what the submission printed, with terminal commands escaped."""
        return escaped(self.output, keep="\n\t")[:CUT]

    def _exchange(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a frame, and wait up to so many seconds for one. Errors: Lost, Unable."""
        with our_side():
            self._to_send.put(frames.to_bytes(message))
            deadline = time.monotonic() + seconds
            while (reply := self._whole_frame()) is None:
                self._received += self._next(deadline) or self._ended()
            return reply

    def _next(self, deadline: float) -> bytes:
        """Return what comes next from the process. Errors: Lost if nothing comes in time."""
        left = deadline - time.monotonic()
        try:
            return self._come.get(timeout=max(left, 0.05))  # it may be here already, if we were stopped for a while
        except queue.Empty:
            self._lose(f"it did not return within {self.seconds:g} s")

    def _ended(self) -> NoReturn:
        self._lose(self._how_it_ended())

    def _whole_frame(self) -> dict[str, Any] | None:
        """Take a frame from the received bytes, once it is complete."""
        try:
            if len(self._received) < 12:
                return None
            end = 12 + frames.length_of(bytes(self._received[:12]))
            if len(self._received) < end:
                return None
            payload = bytes(self._received[12:end])
            del self._received[:end]
            if self._received and self.number:  # it answers only when asked, and only once
                self._lose("it sent more through the pipe than was asked for")
            return frames.from_bytes(payload)
        except frames.Garbled as error:
            self._lose(str(error))
        return None

    def _how_it_ended(self) -> str:
        assert self.process is not None
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed the pipe to the grader"
        if status >= 0:
            return f"it ended the process (exit status {status})"
        name = signal_name(-status)
        return f"the interpreter crashed ({name})" if name.startswith("SIG") else f"it was ended by {name}"

    # --- the functions -----------------------------------------------------------------------------------------------

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function of the submission that can be called from here, with its parameters."""

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, args, kwargs)

        kinds = inspect.Parameter
        names = self.signatures.get(name, ["**"])
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [kinds("kwargs", kinds.VAR_KEYWORD)]
            if "**" in names
            else [kinds(parameter, kinds.POSITIONAL_OR_KEYWORD) for parameter in names]
        )
        return call

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function on the other side. Errors: Lost, Refused, Unable, or what it raised."""
        if self.spent.get(name, 0) > ALL_CALLS * self.seconds:
            self.lost = f"it took more than {ALL_CALLS * self.seconds:g} s in total"
        if self.lost:
            raise Lost(self.lost)
        begun = time.monotonic()
        try:
            return self._call(name, args, kwargs)
        finally:
            took = min(time.monotonic() - begun, self.seconds)  # anything beyond that was not its own
            self.spent[name] = self.spent.get(name, 0) + took

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.process is None:
            self.start()
        layouts = [(list(a.strides), bool(a.flags.writeable)) if isinstance(a, np.ndarray) else None for a in args]
        request = {"function": name, "source": self.places[name], "args": list(args), "layouts": layouts}
        reply = self._asked({**request, "kwargs": kwargs})
        raise_what_it_raised(reply)
        return result_of(reply, args, self.mirrored)

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request under a new number, and return the reply to it. Errors: Lost, Unable."""
        self.number += 1
        deadline = time.monotonic() + self.seconds
        reply = self._exchange({"id": self.number, **request}, self.seconds)
        while "ask" in reply:
            if self.candidate is None:
                self._lose("it asked a question where none was allowed")
            reply = self._exchange(self._answer(reply), max(deadline - time.monotonic(), 0))
        if reply.get("id") != self.number:
            self._lose("it sent an answer that nobody had asked for")
        return reply

    def _answer(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return what our function answers to the submission's question."""
        question = reply["ask"]
        if self.candidate is None or not isinstance(question, list) or len(question) != 1 or not _is_small(question[0]):
            return {"raised": "ValueError", "text": "the argument must be one small array of floats"}
        try:
            with np.errstate(all="ignore"):
                return {"value": self.candidate(question[0])}
        except Exception as error:
            return {"raised": type(error).__name__, "text": str(error)[:200]}


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number if it has none, as with real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read(pipe: IO[bytes]) -> bytes:
    """Return what comes next through a pipe; b"" at its end."""
    try:
        return os.read(pipe.fileno(), 2**20)
    except (OSError, ValueError):  # ValueError: it was closed
        return b""


def _as_values(source: Source) -> list[Any]:
    """Return a source in a form that can be sent, with its texts as bytes."""
    cells = [[label, np.frombuffer(text.encode("utf-8", "replace"), np.uint8)] for label, text in source.cells]
    return [source.name, source.plain_name, cells]


def _is_small(value: Any) -> bool:
    return isinstance(value, float | int) or (
        isinstance(value, np.ndarray)
        and value.dtype.kind == "f"
        and math.prod(max(n, 1) for n in value.shape) <= 10_000
    )
