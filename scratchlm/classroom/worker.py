"""The far side of the wall: a process that runs a submission, and holds nothing worth stealing.

In: frames that name a function and its arguments. Out: frames with what it returned, or raised. A frame carries numbers
and text only: JSON, and arrays as npy bytes; never a pickle, which could run code on the side that reads it. This file
is started as a script of its own, and imports nothing of the package. What was expected is never sent here.
"""

import _posixsubprocess
import inspect
import io
import json
import os
import resource
import struct
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

MAGIC = b"slm1"
MOST, MOST_TEXT = 2**25, 2**20  # bytes in a frame, and in its JSON
KINDS = "biufc"  # arrays of numbers, and no others
Blobs = list[bytes]


class Garbled(Exception):
    """What came through the wall is no frame."""


class NotNumbers:
    """What a submission returned that is neither numbers nor text, by its name only."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        """Return what it was."""
        return self.text


# --- values to bytes, and back ---------------------------------------------------------------------------------------


def pack(value: Any, blobs: Blobs, depth: int = 0) -> Any:
    """Return a value as JSON, its arrays appended to blobs; what cannot be sent is described."""
    if value is None or type(value) in (bool, float, str):
        return {"plain": value}
    if type(value) is int and abs(value) < 2**64:
        return {"plain": value}
    if type(value) in (list, tuple) and depth < 8:
        return {type(value).__name__: [pack(item, blobs, depth + 1) for item in value]}
    if type(value) is dict and depth < 8 and all(type(key) is str for key in value):
        return {"dict": {key: pack(item, blobs, depth + 1) for key, item in value.items()}}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in KINDS:
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)
        blobs.append(buffer.getvalue())
        return {"scalar" if isinstance(value, np.generic) else "array": len(blobs) - 1}
    try:
        shown = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{type(value).__name__} {value!r}"
    except Exception:
        shown = "an object that cannot even be shown"
    return {"other": shown[:200]}


def unpack(tree: Any, blobs: Blobs) -> Any:
    """Return the value again; Garbled if the bytes are not what `pack` makes."""
    try:
        ((kind, value),) = tree.items()
        if kind == "plain" and (value is None or type(value) in (bool, int, float, str)):
            return value
        if kind in ("list", "tuple"):
            items = [unpack(item, blobs) for item in value]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {str(key): unpack(item, blobs) for key, item in value.items()}
        if kind in ("array", "scalar"):
            array = _array(blobs[value])
            return array if kind == "array" else array[()]
        if kind == "other":
            return NotNumbers(str(value))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Garbled(f"no value: {error}") from None
    raise Garbled(f"no value of kind {kind!r}")


def _array(blob: bytes) -> Any:
    """Return the array of npy bytes, after a look at the header: it must promise no more than the bytes hold."""
    buffer = io.BytesIO(blob)
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise ValueError("not the first version of npy")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    data = blob[buffer.tell() :]
    if dtype.kind not in KINDS or len(data) != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError("a header that does not fit its data")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def to_bytes(message: dict[str, Any]) -> bytes:
    """Return a frame; every value under "value" or "values" may hold arrays."""
    blobs: Blobs = []
    head = {key: pack(value, blobs) for key, value in message.items()}
    text = json.dumps(head).encode()
    parts = [struct.pack(">I", len(text)), text]
    parts += [part for blob in blobs for part in (struct.pack(">Q", len(blob)), blob)]
    payload = b"".join(parts)
    return MAGIC + struct.pack(">Q", len(payload)) + payload


def length_of(prefix: bytes) -> int:
    """Return how many bytes follow the first twelve of a frame."""
    length = int(struct.unpack(">Q", prefix[4:])[0])
    if prefix[:4] != MAGIC or length > MOST:
        raise Garbled("something else than a frame came through the pipe")
    return length


def from_bytes(payload: bytes) -> dict[str, Any]:
    """Return the message of a frame."""
    try:
        (size,) = struct.unpack_from(">I", payload)
        if size > MOST_TEXT:
            raise ValueError("too much of it")
        head = json.loads(payload[4 : 4 + size])
        blobs, place = [], 4 + size
        if place > len(payload):
            raise ValueError("it ends too early")
        while place < len(payload):
            (length,) = struct.unpack_from(">Q", payload, place)
            blobs.append(payload[place + 8 : place + 8 + length])
            place += 8 + length
        return {key: unpack(value, blobs) for key, value in head.items()}
    except (ValueError, struct.error, AttributeError, RecursionError) as error:
        raise Garbled(f"a broken frame: {error}") from None


# --- inside the process ----------------------------------------------------------------------------------------------

REFUSED_EVENTS = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "subprocess.",
    "os.kill", "os.killpg", "signal.", "pty.", "socket.", "ctypes.", "os.remove", "os.rename", "os.rmdir", "os.mkdir",
    "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.putenv", "os.unsetenv", "shutil.", "tempfile.",
    "resource.", "gc.", "fcntl.", "sqlite3.",
    "os.utime", "os.setxattr", "os.removexattr", "cpython._PySys_ClearAuditHooks",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
UNHEARD = (
    "pidfd_open",
    "pidfd_send_signal",
    "mkfifo",
    "mknod",
    "setpriority",
    "sched_setaffinity",
    "sched_setscheduler",
)


def guard(banned: frozenset[str], readable: tuple[str, ...], refused: list[str]) -> Callable[[str, Any], None]:
    """Return an audit hook: Python calls it before it imports, opens, starts or kills, and it cannot be taken away.

    Only the libraries that are there anyway may be read, by their whole path. What the hook needs is bound here, where
    the submission cannot exchange it.
    """

    def hook(
        event: str,
        args: Any,
        banned: frozenset[str] = banned,
        readable: tuple[str, ...] = readable,
        refused: list[str] = refused,
        events: tuple[str, ...] = REFUSED_EVENTS,
        writes: int = WRITES,
        bound: Any = (type, str, int, bytes, ImportError, PermissionError),
    ) -> None:
        kind, text, number, raw, no_import, no_right = bound
        if event == "import":
            parts = text(args[0]).split(".")
            if parts[0] in banned or parts[-1] in banned:
                refused.append(f"importing {args[0]} is refused")
                raise no_import(refused[-1])
        elif event == "open":
            path, _, flags = args
            if kind(path) is number:
                return
            path = path.decode("utf-8", "replace") if kind(path) is raw else path
            if kind(flags) is number and flags & writes:
                refused.append(f"writing to {path!s:.80} is refused")
            elif kind(path) is not text or not path.startswith(readable) or "/../" in path or "-packages/" in path:
                for library in readable[1:]:  # of all installed packages, NumPy
                    if kind(path) is text and path.startswith(library) and "/../" not in path:
                        return
                name = path.rpartition("/")[2] if kind(path) is text else path
                refused.append(f"reading {name!s:.80} is refused")
            else:
                return
            raise no_right(refused[-1])
        elif event.startswith(events):
            refused.append(f"{event} is refused")
            raise no_right(refused[-1])

    return hook


def silence_the_unheard() -> None:
    """Take away what could disturb other processes and is not announced to an audit hook."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("this is refused")

    _posixsubprocess.fork_exec = refuse  # type: ignore[assignment]
    for module in ("os", "posix", "signal", "_signal"):
        for name in UNHEARD:
            if hasattr(sys.modules.get(module), name):
                setattr(sys.modules[module], name, refuse)


def limit(memory: int) -> None:
    """Let the process have so many bytes more than it has now, write no file, and leave no core."""
    try:
        with open("/proc/self/statm") as pages:
            now = int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux
        now = 2**30
    limits = {
        resource.RLIMIT_AS: now + memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CPU: 600,  # seconds, should the grader be killed and leave us alone
    }
    for what, most in limits.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


class Pipe:
    """Frames from one descriptor, and to another."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.source, self.sink = source, sink

    def send(self, message: dict[str, Any]) -> None:
        """Send a frame."""
        self.sink.write(to_bytes(message))
        self.sink.flush()

    def receive(self) -> dict[str, Any]:
        """Wait for a frame; EOFError when there will be none any more."""
        return from_bytes(self._exactly(length_of(self._exactly(12))))

    def _exactly(self, count: int) -> bytes:
        data = self.source.read(count)
        if len(data) < count:
            raise EOFError
        return data


def loaded(source: bytes, path: str) -> types.ModuleType:
    """Run the source of a submission as a module, and return it."""
    module = types.ModuleType("submission")
    module.__file__ = path
    sys.modules["submission"] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def laid_out(array: Any, layout: Any) -> Any:
    """Return a copy of the array with the strides and the protection that the caller's has."""
    strides, writeable = layout
    size = array.dtype.itemsize
    low = sum(min(0, s * (n - 1)) for s, n in zip(strides, array.shape, strict=True))
    high = sum(max(0, s * (n - 1)) for s, n in zip(strides, array.shape, strict=True))
    memory = np.zeros((high - low) // size + 1 if array.size else 1, array.dtype)
    view: Any = np.ndarray(array.shape, array.dtype, memory, -low, strides)
    view[...] = array
    view.flags.writeable = bool(writeable)
    return view


def described(error: BaseException, path: str) -> dict[str, Any]:
    """Return what a submission raised: its name, its words, and the line of the submission it came from."""
    frames = traceback.walk_tb(error.__traceback__)  # without the source: reading ours is refused
    lines = [number for frame, number in frames if frame.f_code.co_filename == path]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)
    except Exception:
        text = ""
    return {"raised": type(error).__name__, "text": text[:300], "line": line}


def answer(module: types.ModuleType, request: dict[str, Any], ask: Callable[..., Any]) -> dict[str, Any]:
    """Call the function that a request names, and return what is to be sent back."""
    function = getattr(module, request["function"])
    args = [laid_out(a, way) if way else a for a, way in zip(request["args"], request["layouts"], strict=True)]
    args = [ask if isinstance(a, str) and a == "<ask>" else a for a in args]
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in args]
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        result = function(*args, **request["kwargs"])
    arrays = [(i, a) for i, a in enumerate(args) if isinstance(a, np.ndarray)]
    changed = {str(i): a for i, a in arrays if a.tobytes() != before[i].tobytes()}  # type: ignore[union-attr]
    shares = [
        [i, start_of(result) - start_of(a), list(result.strides)]
        for i, a in arrays
        if isinstance(result, np.ndarray) and np.may_share_memory(a, result) and np.shares_memory(a, result)
    ]
    return {
        "value": result,
        "changed": changed,
        "shares": shares,
        "warnings": [str(w.message)[:200] for w in caught[:20]],
    }


def start_of(array: Any) -> int:
    """Return the address of the first entry."""
    return int(array.__array_interface__["data"][0])


def signatures(module: types.ModuleType) -> dict[str, list[str]]:
    """Return the names of the parameters of every function; ** stands for any."""
    found = {}
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType):
            parameters = inspect.signature(value).parameters.values()
            found[name] = ["**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters]
        elif callable(value) and not isinstance(value, type):
            found[name] = ["**"]
    return found


def enclose(config: dict[str, Any], path: str, refused: list[str]) -> None:
    """Put up the wall: limits, no way to other packages, and an ear for what is asked of the system."""
    limit(config["memory"])
    for name in set(config["banned"]) - {"_posixsubprocess"}:
        sys.modules.pop(name, None)  # NumPy may have loaded it; whoever imports it now is asked first
    silence_the_unheard()
    sys.path[:] = [p for p in sys.path if p.startswith(os.path.dirname(os.__file__)) and "-packages" not in p]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "importlib" in str(finder)]  # no editable installs
    folders = [os.path.dirname(module.__file__ or "") + os.sep for module in (os, np)]
    libraries = (*folders, path, *config["readable"])  # its own file is read when a syntax error is told
    sys.addaudithook(guard(frozenset(config["banned"]), libraries, refused))


def main() -> None:
    """Serve requests until there are none."""
    come, go = (int(number) for number in sys.argv[1:3])
    pipe = Pipe(os.fdopen(come, "rb"), os.fdopen(go, "wb"))
    config = pipe.receive()
    path, refused = config["path"], []  # type: tuple[str, list[str]]
    with open(path, "rb") as file:
        source = file.read()  # while files can be read
    enclose(config, path, refused)

    def ask(*args: Any) -> Any:
        pipe.send({"id": number, "ask": list(args)})
        reply = pipe.receive()
        if "raised" in reply:
            raise ValueError(reply["text"])
        return reply["value"]

    number = 0
    pipe.send({"id": -1})  # NumPy is here; what takes long from now on is the submission
    try:
        module = loaded(source, path)
        pipe.send({"id": 0, "value": signatures(module), "refused": refused})
    except BaseException as error:
        pipe.send({"id": 0, **described(error, path), "refused": refused})
        return
    while True:
        try:
            request = pipe.receive()
        except EOFError:
            return
        number = request["id"]
        refused.clear()
        try:
            reply = answer(module, request, ask)
        except BaseException as error:
            reply = described(error, path)
        pipe.send({"id": number, **reply, "refused": list(refused)})


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # whatever threads were left running
