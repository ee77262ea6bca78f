"""The near side of the wall: starts the process that runs a submission, sends it arrays, and does not wait for ever.

In: the path of a submission. Out: its functions, to be called as if they were here. What they are given are copies, and
what they return are numbers or the name of what it was; nothing that they do can change anything on this side.
"""

import builtins
import inspect
import keyword
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scratchlm.classroom import worker

BANNED = ("scratchlm", "scipy", "torch", "jax", "jaxlib", "tensorflow", "sklearn", "mygrad", "autograd", "cupy", "mlx")
# By these, other processes could be started, or C be called; by the next, files be opened unseen.
STARTERS = ("subprocess", "multiprocessing", "_posixsubprocess", "ctypes", "_ctypes", "cffi", "fcntl")
READERS = (
    "readline",
    "sqlite3",
    "_sqlite3",
    "dbm",
    "_dbm",
    "_gdbm",
    "tkinter",
    "_tkinter",
)  # or files be opened unseen
READABLE: tuple[str, ...] = ()  # folders that may be read beside Python's own and NumPy's
OPEN: "set[Submission]" = set()  # whose processes have to be ended, should this one be
LARGEST = 1_000_000  # bytes of a student's file
CUT = 20_000  # characters of a submission's output that are kept


class Lost(Exception):
    """The submission's process is gone, or had to be ended, and so there is no result."""


class Refused(Exception):
    """The submission asked for something that it may not have."""


class Submission:
    """A submission behind the wall. Use it in a `with`, and ask `function(name)` for what is in it.

    `seconds` is the limit for a call, `memory` that of the process in bytes; `output` is what it printed.
    `asked` answers the calls that the submission makes to a function of ours (where it was handed "<ask>").
    """

    def __init__(self, path: Path, seconds: float = 3.0, memory: int = 2**30) -> None:
        self.path, self.seconds, self.memory = path, seconds, memory
        self.output, self.lost, self.number = "", "", 0
        self.spent = 0.0  # seconds, in calls
        self.asked: Callable[..., Any] | None = None
        self.signatures: dict[str, list[str]] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Submission":
        """Make a folder that holds a copy of the submission and nothing else.

        Errors: OSError if it cannot be read; ValueError if it is no file, or too large to be a student's.
        """
        if not self.path.is_file() and self.path.exists():
            raise ValueError(f"{self.path} is not a file")
        with open(self.path, "rb") as file:
            source = file.read(LARGEST + 1)
        if len(source) > LARGEST:
            raise ValueError(f"{self.path} has more than {LARGEST:,} bytes")
        self.folder = Path(tempfile.gettempdir()) / f"submission-{uuid.uuid4().hex}"
        OPEN.add(self)  # before there is anything to remove
        self.folder.mkdir(mode=0o700)
        self.copy = self.folder / self.path.name
        self.copy.write_bytes(source)
        return self

    def __exit__(self, *how: object) -> None:
        """End the process, whatever it left running, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        OPEN.discard(self)

    # --- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process and let it load the submission. Errors: Lost, or what the submission raised at import."""
        self.stop()
        there, self._to = os.pipe()
        self._from, back = os.pipe()
        self._printed, printed = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-u", worker.__file__, str(there), str(back)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=(there, back),
            start_new_session=True,
            cwd=self.folder,
            env={"OPENBLAS_NUM_THREADS": "1", "PATH": os.defpath, "LANG": "C.UTF-8"},
        )
        for end in (there, back, printed):
            os.close(end)
        for end in (self._to, self._from, self._printed):
            os.set_blocking(end, False)
        self._received = bytearray()
        self.number = 0
        config = {
            "path": str(self.copy),
            "memory": self.memory,
            "banned": [*BANNED, *STARTERS, *READERS],
            "readable": list(READABLE),
        }
        self._exchange(config, 60)  # until NumPy is imported; that is no fault of the submission
        reply = self._exchange(None, self.seconds)
        self._raise_what_it_raised(reply)
        if not isinstance(reply.get("value"), dict):
            self._lose("something else than the harness answered")
        self.signatures = {name: names if _are_names(names) else ["**"] for name, names in reply["value"].items()}

    def stop(self) -> None:
        """End the process and all that it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()
        self.process.wait()
        self._drain()
        for end in (self._to, self._from, self._printed):
            os.close(end)
        self.process = None

    def _lose(self, why: str) -> None:
        self.stop()
        self.lost = why
        raise Lost(why)

    @property
    def printed(self) -> str:
        """Return what the submission printed, without commands to a terminal."""
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in self.output)

    def _drain(self) -> None:
        """Take what was printed; keep the beginning of it."""
        try:
            while data := os.read(self._printed, 65536):
                if len(self.output) < CUT:
                    self.output = (self.output + data.decode("utf-8", "replace"))[:CUT]
        except OSError:
            return

    def _exchange(self, message: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """Send a frame, if there is one, and wait for one, but no longer than so many seconds."""
        assert self.process is not None
        unsent, deadline = memoryview(worker.to_bytes(message) if message else b""), time.monotonic() + seconds
        if not unsent and (reply := self._whole_frame()) is not None:
            return reply
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            selector.register(self._printed, selectors.EVENT_READ)
            selector.register(self._to, selectors.EVENT_WRITE)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._lose(f"it did not return within {self.seconds:g} s")
                for key, _ in selector.select(left):
                    if key.fd == self._to:
                        unsent = self._send_some(unsent)
                        if not unsent:
                            selector.unregister(self._to)
                    elif key.fd == self._printed:
                        self._drain_some(selector)
                    elif (reply := self._received_frame()) is not None:
                        return reply

    def _send_some(self, unsent: memoryview) -> memoryview:
        try:
            return unsent[os.write(self._to, unsent) :]
        except BlockingIOError:
            return unsent
        except BrokenPipeError:
            return unsent[:0]  # how it ended is seen when we read

    def _drain_some(self, selector: selectors.BaseSelector) -> None:
        try:
            data = os.read(self._printed, 65536)
        except BlockingIOError:
            return
        if not data:
            selector.unregister(self._printed)
        elif len(self.output) < CUT:
            self.output = (self.output + data.decode("utf-8", "replace"))[:CUT]

    def _received_frame(self) -> dict[str, Any] | None:
        """Read what is there; return a frame if it is whole."""
        try:
            data = os.read(self._from, 2**20)
        except BlockingIOError:
            return None
        if not data:
            self._lose(self._how_it_ended())
        self._received += data
        return self._whole_frame()

    def _whole_frame(self) -> dict[str, Any] | None:
        """Take a frame from what was received, if it is whole."""
        try:
            if len(self._received) < 12:
                return None
            end = 12 + worker.length_of(bytes(self._received[:12]))
            if len(self._received) < end:
                return None
            payload = bytes(self._received[12:end])
            del self._received[:end]
            return worker.from_bytes(payload)
        except worker.Garbled as error:
            self._lose(str(error))
        return None

    def _how_it_ended(self) -> str:
        assert self.process is not None
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it closed the pipe to the grader"
        if status < 0:
            return f"the interpreter crashed ({signal.Signals(-status).name})"
        return f"it ended the process (exit status {status})"

    # --- the functions -----------------------------------------------------------------------------------------------

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function of the submission, with its parameters, to be called from here."""

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
        """Call a function on the other side. Errors: Lost, Refused, or what it raised."""
        if self.spent > 20 * self.seconds:
            self.lost = f"it took more than {20 * self.seconds:g} s in all"
        if self.lost:
            raise Lost(self.lost)
        begun = time.monotonic()
        try:
            return self._call(name, args, kwargs)
        finally:
            self.spent += time.monotonic() - begun

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.process is None:
            self.start()
        self.number += 1
        layouts = [(list(a.strides), bool(a.flags.writeable)) if isinstance(a, np.ndarray) else None for a in args]
        request = {"id": self.number, "function": name, "args": list(args), "layouts": layouts, "kwargs": kwargs}
        deadline = time.monotonic() + self.seconds
        reply = self._exchange(request, self.seconds)
        while "ask" in reply:
            reply = self._exchange(self._answer(reply), max(deadline - time.monotonic(), 0))
        if reply.get("id") != self.number:
            self._lose("an answer came that nobody had asked for")
        self._raise_what_it_raised(reply)
        return self._result(reply, args)

    def _answer(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a question that the submission asked a function of ours."""
        question = reply["ask"]
        if self.asked is None or not isinstance(question, list) or not all(_is_small(a) for a in question):
            return {"raised": "ValueError", "text": "it can be asked for a small array of floats only"}
        try:
            with np.errstate(all="ignore"):
                return {"value": self.asked(*question)}
        except Exception as error:
            return {"raised": type(error).__name__, "text": str(error)[:200]}

    def _raise_what_it_raised(self, reply: dict[str, Any]) -> None:
        refused = reply.get("refused")
        if isinstance(refused, list) and refused:
            raise Refused(_plain(refused[0]))
        if "raised" not in reply:
            return
        name, text, line = _plain(reply["raised"]), _plain(reply.get("text")), reply.get("line")
        where = f" (line {line})" if isinstance(line, int) else ""
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
            raise kind(f"{text}{where}")
        raise RuntimeError(f"{name}: {text}{where}")

    def _result(self, reply: dict[str, Any], args: tuple[Any, ...]) -> Any:
        """Return what came back, and do here what was done to the arguments there."""
        value: Any = reply.get("value")
        changed = reply.get("changed")
        for place, array in (changed if isinstance(changed, dict) else {}).items():
            given = args[int(place)] if place.isdecimal() and int(place) < len(args) else None
            if isinstance(given, np.ndarray) and given.flags.writeable and np.shape(array) == given.shape:
                given[...] = array
        told, shares = reply.get("warnings"), reply.get("shares")
        for text in told[:20] if isinstance(told, list) else []:
            warnings.warn(_plain(text), RuntimeWarning, stacklevel=2)
        for share in shares[:3] if isinstance(shares, list) else []:
            try:  # the same view of our own array, so that it is seen to be one
                place, offset, strides = share
                return np.ndarray(value.shape, value.dtype, args[place], offset, strides)
            except (TypeError, ValueError, IndexError, AttributeError):
                continue
        return value


def _plain(text: Any) -> str:
    """Return a text from the other side as one that can be printed: no half characters, no commands to a terminal."""
    words = " ".join(str(text)[:1000].encode("utf-8", "replace").decode().split())
    return "".join(c if c.isprintable() else "\ufffd" for c in words)[:300]


def _are_names(names: Any) -> bool:
    """Return whether these can be the names of parameters."""
    return (
        isinstance(names, list)
        and all(isinstance(n, str) and (n == "**" or (n.isidentifier() and not keyword.iskeyword(n))) for n in names)
        and len(set(names)) == len(names)
    )


def _is_small(value: Any) -> bool:
    return isinstance(value, float | int) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size <= 10_000
    )
