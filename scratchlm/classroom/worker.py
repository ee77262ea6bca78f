"""The far side of the wall: a process that runs a submission, and holds nothing worth stealing.

In: frames that name a function and its arguments. Out: frames with what it returned, or raised. What was expected is
never sent here.
"""

import inspect
import os
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchlm.classroom import frames
from scratchlm.classroom.frames import Pipe
from scratchlm.classroom.wall import enclose


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
    found, kinds = {}, inspect.Parameter
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType):
            parameters = inspect.signature(value).parameters.values()
            by_name = [p for p in parameters if p.kind not in (kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL)]
            found[name] = ["**" if p.kind is kinds.VAR_KEYWORD else p.name for p in by_name]
        elif callable(value) and not isinstance(value, type):
            found[name] = ["**"]
    return found


def main(come: int, go: int) -> None:
    """Serve the requests that come on one descriptor, until there are none; then end, whatever threads are left."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the grader held signals back when it started us
    serve(come, go)
    sys.stdout.flush()
    os._exit(0)


def serve(come: int, go: int) -> None:
    """Load the submission, tell its functions, and call them."""
    pipe = Pipe(os.fdopen(come, "rb"), os.fdopen(go, "wb"))
    config = pipe.receive()
    path, refused = config["path"], []  # type: tuple[str, list[str]]
    sys.argv[:] = [path]
    with open(path, "rb") as file:
        source = file.read()  # while files can be read
    if b"testing" in source:  # natural to test oneself with, but slow to load, and it needs what is refused later
        import numpy.testing  # noqa: F401

    enclose({**config, "frames": [__file__, frames.__file__]}, path, refused)

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
